"""Calls behind FROM: which functions there are, their arguments, what is wrong with them."""

from __future__ import annotations

import pytest

from flowsql.expr import all_table_functions
from flowsql.logical import PlanSettings
from flowsql.types import LocalZonedTimestampType, TimeAttribute, TimestampType
from tests.unit.logical.planning import Planner, text


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def columns(planner: Planner, sql: str) -> list[str]:
    """The columns of a query with their types."""
    return [f"{f.name} {f.type}" for f in planner.bind(sql)[-1].schema.fields]


def test_to_changelog_gives_the_code_and_the_table(planner: Planner) -> None:
    """In front, or behind the partition's columns; the time attribute stays one."""
    sql = "SELECT * FROM TO_CHANGELOG(input => TABLE r)"
    assert columns(planner, sql) == ["op STRING", "id INT NOT NULL", "x STRING", "y INT"]
    sql = "SELECT * FROM TO_CHANGELOG(TABLE r PARTITION BY (y, id), DESCRIPTOR(`the op`))"
    assert columns(planner, sql) == ["y INT", "id INT NOT NULL", "the op STRING", "x STRING"]
    sql = "SELECT * FROM TABLE(TO_CHANGELOG(TABLE t, DEFAULT, MAP['INSERT', 'i'])) AS x (o, a, b, c, d, e)"
    last = planner.bind(sql)[-1].schema.fields[-1]
    assert last.name == "e"
    assert isinstance(last.type, TimestampType | LocalZonedTimestampType)
    assert last.type.attribute is TimeAttribute.ROWTIME


def test_deletions_that_hold_the_key_only_have_nullable_columns(planner: Planner) -> None:
    """The partition's are sure to be there."""
    sql = "SELECT * FROM TO_CHANGELOG(TABLE r PARTITION BY id, produces_full_deletes => FALSE)"
    assert columns(planner, sql)[0] == "id INT NOT NULL"
    sql = "SELECT * FROM TO_CHANGELOG(TABLE r PARTITION BY x, produces_full_deletes => FALSE)"
    assert columns(planner, sql) == ["x STRING", "op STRING", "id INT", "y INT"]


def test_from_changelog_gives_the_table_without_the_code(planner: Planner) -> None:
    """The partition's columns stand in front."""
    sql = "SELECT * FROM FROM_CHANGELOG(input => (SELECT a, b AS op, c FROM t))"
    assert columns(planner, sql) == ["a INT", "c BIGINT NOT NULL"]
    sql = "SELECT * FROM FROM_CHANGELOG(input => (SELECT a, b, c FROM t) PARTITION BY c, op => DESCRIPTOR(b))"
    assert columns(planner, sql) == ["c BIGINT NOT NULL", "a INT"]


def test_null_and_default_are_no_arguments(planner: Planner) -> None:
    """As Flink has it; `uid` says nothing here."""
    plain = planner.bind("SELECT * FROM TO_CHANGELOG(TABLE r)")[-1]
    for more in (
        "op => DEFAULT, op_mapping => NULL, produces_full_deletes => NULL",
        "op_mapping => CAST(NULL AS MAP<STRING, STRING>), uid => 'some-id_2'",
        "DEFAULT, DEFAULT, DEFAULT, DEFAULT, NULL",
    ):
        assert planner.bind(f"SELECT * FROM TO_CHANGELOG(TABLE r, {more})")[-1] == plain


def test_codes_as_flink_reads_them(planner: Planner) -> None:
    """Names are trimmed, codes are not; of equal keys the last counts; a last comma is none."""
    tree = planner.tree(
        "SELECT * FROM TO_CHANGELOG(TABLE r, op_mapping => "
        "MAP['INSERT , UPDATE_AFTER,', ' i ', 'DELETE', 'x', 'DELETE', 'd'])"
    )
    assert 'op=[INSERT as " i ", UPDATE_AFTER as " i ", DELETE as "d"]' in tree
    tree = planner.tree(
        "SELECT * FROM FROM_CHANGELOG(TABLE t, DESCRIPTOR(b), MAP[' c, r ', ' INSERT ', '', 'DELETE'])"
    )
    assert 'b=[INSERT as "c", INSERT as "r", DELETE as ""]' in tree


def test_lateral_says_nothing_more(planner: Planner) -> None:
    """Both take a table, no columns of the row beside them; another function might."""
    plain = planner.tree("SELECT * FROM k, TO_CHANGELOG(TABLE r) AS x")
    assert planner.tree("SELECT * FROM k, LATERAL TABLE(TO_CHANGELOG(TABLE r)) AS x") == plain
    assert "LATERAL TABLE is not supported yet" in planner.error(
        "SELECT * FROM k, LATERAL TABLE(f(k.x)) AS y"
    )


def test_a_function_of_a_function(planner: Planner) -> None:
    """Is a query in brackets, as in Flink; the refusal says how."""
    shown = planner.error("SELECT * FROM TO_CHANGELOG(TABLE TO_CHANGELOG(TABLE k))")
    assert shown.endswith("Hint: Write (SELECT * FROM f(…)).")
    planner.tree("SELECT * FROM FROM_CHANGELOG((SELECT * FROM TO_CHANGELOG(TABLE k)))")


def test_unknown_functions(planner: Planner) -> None:
    """The nearest name; one of Flink's that is not built yet says so."""
    assert planner.error("SELECT * FROM TO_CHANGELOGS(input => TABLE k)") == text("""
SqlError at 1:15: table function "TO_CHANGELOGS" does not exist
  SELECT * FROM TO_CHANGELOGS(input => TABLE k)
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Hint: Did you mean "TO_CHANGELOG"?
""")
    assert planner.error("SELECT * FROM TABLE(EXPLODE(TABLE k))").endswith(
        "Hint: There are FROM_CHANGELOG, TO_CHANGELOG, TUMBLE."
    )
    assert 'table function "CUMULATE" is not supported yet' in planner.error(
        "SELECT * FROM CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '2' DAY)"
    )
    assert [f.name for f in all_table_functions()] == ["FROM_CHANGELOG", "TO_CHANGELOG", "TUMBLE"]


def test_a_table_function_is_no_value(planner: Planner) -> None:
    """The cure is where it stands."""
    assert planner.error("SELECT to_changelog(id) FROM k") == text("""
SqlError at 1:8: table function "TO_CHANGELOG" cannot stand in SELECT
  SELECT to_changelog(id) FROM k
         ^^^^^^^^^^^^^^^^
Hint: It gives a table: write FROM TO_CHANGELOG(…).
""")


@pytest.mark.parametrize(
    ("arguments", "at", "fact", "cure"),
    [
        ("", 15, 'TO_CHANGELOG needs argument "input"',
         "Write TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."),
        ("input => 1", 37, 'argument "input" of TO_CHANGELOG must be a table',
         "Write TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."),
        ("TABLE k, opp => DESCRIPTOR(x)", 37, 'TO_CHANGELOG has no argument "opp"',
         'Did you mean "op"?'),
        ("INPUT => TABLE k", 28, 'TO_CHANGELOG has no argument "INPUT"', 'Did you mean "input"?'),
        ("TABLE k, zzz => 1", 37, 'TO_CHANGELOG has no argument "zzz"',
         "It has input, op, op_mapping, produces_full_deletes, on_time, uid."),
        ("TABLE k, DESCRIPTOR(a), op => DESCRIPTOR(b)", 52, 'argument "op" is given twice', None),
        ("TABLE k, DEFAULT, DEFAULT, DEFAULT, DEFAULT, DEFAULT, 1", 82,
         "TO_CHANGELOG takes at most 6 arguments",
         "Write TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."),
        ("TABLE k, DESCRIPTOR(a, b)", 37, 'argument "op" must be a DESCRIPTOR of one column',
         "Write TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))."),
        ("TABLE k, DESCRIPTOR(x)", 15, 'TO_CHANGELOG would give two columns "x"',
         "Give one of them another name: op => DESCRIPTOR(x_code)."),
        ("(SELECT id, x, x FROM k)", 15, 'TO_CHANGELOG would give two columns "x"',
         "Give one of them another name: (SELECT …) with an alias."),
        ("TABLE kk", 34, 'table "kk" does not exist', 'Did you mean "k"?'),
        ("TABLE r PARTITION BY idd", 49, 'column "idd" does not exist', 'Did you mean "id"?'),
        ("TABLE r PARTITION BY id + 1", 49, "PARTITION BY of TO_CHANGELOG takes columns of its table",
         "Compute it in a sub-query: (SELECT …) PARTITION BY k."),
        ("TABLE r PARTITION BY x ORDER BY y", 60, "ORDER BY of TO_CHANGELOG is not supported yet", None),
        ("TABLE r, on_time => DESCRIPTOR(y)", 48, 'argument "on_time" of TO_CHANGELOG is not supported',
         "Leave it out: the table's time attribute stays one."),
        ("TABLE r, uid => 'a b'", 44,
         'argument "uid" must be a constant name of letters, digits, "_" and "-"', None),
        ("TABLE r, op_mapping => MAP['INSRT', 'X']", 55, '"INSRT" is no change operation',
         'Did you mean "INSERT"?'),
        ("TABLE r, op_mapping => MAP['insert', 'X']", 55, '"insert" is no change operation',
         'Did you mean "INSERT"?'),
        ("TABLE r, op_mapping => MAP['X', 'INSERT']", 55, '"X" is no change operation',
         "There are INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE."),
        ("TABLE r, op_mapping => MAP['INSERT, DELETE', 'a', 'DELETE', 'b']", 78,
         '"op_mapping" maps change operation "DELETE" twice', None),
        ("TABLE r, op_mapping => MAP['INSERT', UPPER('x')]", 51,
         'argument "op_mapping" must be a constant MAP of strings',
         "Write op_mapping => MAP['INSERT', 'I', 'DELETE', 'D']."),
        ("TABLE r, op_mapping => 'INSERT'", 51,
         'argument "op_mapping" must be a constant MAP of strings',
         "Write op_mapping => MAP['INSERT', 'I', 'DELETE', 'D']."),
        ("TABLE r, produces_full_deletes => 1", 62,
         'argument "produces_full_deletes" must be TRUE or FALSE', None),
        ("TABLE r, op_mapping => MAP['INSERT', 'i'], produces_full_deletes => TRUE", 96,
         'argument "produces_full_deletes" is TRUE, but "op_mapping" does not map DELETE',
         'Leave "produces_full_deletes" out, or map DELETE.'),
        ("TABLE k, produces_full_deletes => TRUE", 15,
         'argument "produces_full_deletes" is TRUE, but the input only gives INSERT', "Leave it out."),
        ("(SELECT x FROM r), produces_full_deletes => FALSE", 15,
         'argument "produces_full_deletes" is FALSE, but the input has no unique key',
         "Leave it out, or add PARTITION BY with the columns that such rows keep."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_to_changelog(
    planner: Planner, arguments: str, at: int, fact: str, cure: str | None
) -> None:
    """Fact, place, cure."""
    shown = planner.error(f"SELECT * FROM TO_CHANGELOG({arguments})").split("\n")
    assert shown[0] == f"SqlError at 1:{at}: {fact}"
    assert (shown[-1] == f"Hint: {cure}") if cure else not shown[-1].startswith("Hint")


@pytest.mark.parametrize(
    ("arguments", "at", "fact", "cure"),
    [
        ("input => TABLE k", 39, 'column "op" does not exist in the table of FROM_CHANGELOG',
         'Name the column that holds the code of each change: op => DESCRIPTOR(…). The table has "id", "x".'),
        ("TABLE t, DESCRIPTOR(bb)", 50, 'column "bb" does not exist', 'Did you mean "b"?'),
        ("TABLE t, DESCRIPTOR(a)", 50,
         'column "a" must be a STRING to hold the code of each change, not INT',
         "Cast it to STRING in a sub-query: input => (SELECT …, CAST(a AS STRING) …)."),
        ("TABLE r, DESCRIPTOR(x)", 15,
         "FROM_CHANGELOG takes rows that are only added, but its table gives updates",
         "Its table is the changelog itself, a row for each change."),
        ("TABLE t, DESCRIPTOR(b), MAP['i', 'INSERT', 'u', 'UPDATE_AFTER']", 54,
         '"op_mapping" maps UPDATE_AFTER without UPDATE_BEFORE, which needs a key',
         "Add PARTITION BY with the key's columns to the table, or map UPDATE_BEFORE."),
        ("TABLE t, DESCRIPTOR(b), MAP['i', 'INSERT', 'u', 'INSERT']", 78,
         '"op_mapping" maps change operation "INSERT" twice',
         "Put its codes into one key: MAP['c, r', 'INSERT']."),
        ("TABLE t, DESCRIPTOR(b), MAP['i, i', 'INSERT']", 58, '"op_mapping" maps code "i" twice', None),
        ("TABLE t, DESCRIPTOR(b), MAP['i', 'DELET']", 63, '"DELET" is no change operation',
         'Did you mean "DELETE"?'),
        ("TABLE t, DESCRIPTOR(b), error_handling => 'skip'", 72,
         "argument \"error_handling\" must be 'FAIL' or 'SKIP'", None),
        ("TABLE t PARTITION BY b, DESCRIPTOR(b)", 30,
         'column "b" is the code of the changes and cannot be in PARTITION BY', None),
        ("(SELECT b AS op FROM t)", 30,
         "the table of FROM_CHANGELOG has no column beside the code of the changes", None),
        ("TABLE t, DESCRIPTOR(b), on_time => DESCRIPTOR(ts)", 65,
         'argument "on_time" of FROM_CHANGELOG is not supported',
         "Leave it out: the table's time attribute stays one."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_from_changelog(
    planner: Planner, arguments: str, at: int, fact: str, cure: str | None
) -> None:
    """Fact, place, cure."""
    shown = planner.error(f"SELECT * FROM FROM_CHANGELOG({arguments})").split("\n")
    assert shown[0] == f"SqlError at 1:{at}: {fact}"
    assert (shown[-1] == f"Hint: {cure}") if cure else not shown[-1].startswith("Hint")


def test_batch_mode_has_no_changes() -> None:
    """Flink has both for streams only."""
    planner = Planner(PlanSettings(streaming=False))
    for function in ("TO_CHANGELOG", "FROM_CHANGELOG"):
        shown = planner.error(f"SELECT * FROM {function}(TABLE t)").split("\n")
        assert shown[0] == f"SqlError at 1:15: {function} is not supported in batch mode"
        assert shown[-1] == "Hint: SET 'execution.runtime-mode' = 'streaming'."


def test_tumble_names_what_is_wrong_with_its_arguments(planner: Planner) -> None:
    """As every table function; its names are written in any case."""
    planner.bind(
        "SELECT * FROM TUMBLE(data => TABLE t, timecol => DESCRIPTOR(ts), size => INTERVAL '1' DAY)"
    )
    shown = planner.error("SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), SIZ => INTERVAL '1' DAY)")
    assert 'TUMBLE has no argument "SIZ"' in shown
    assert 'Did you mean "SIZE"?' in shown
    shown = planner.error("SELECT * FROM TUMBLE(1, DESCRIPTOR(ts), INTERVAL '1' DAY)")
    assert 'argument "DATA" of TUMBLE must be a table' in shown
