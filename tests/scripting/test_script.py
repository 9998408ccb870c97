"""The script runner's own parts: grammar, cells, folding, Java's texts."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from flowsql import types as t
from tests.support.cells import line_of, parse_line
from tests.support.connectors import Advance, End, FeedClock
from tests.support.ddl import physical_columns, primary_key
from tests.support.fold import FoldError, fold, fold_by_key
from tests.support.javatext import java_double, java_float, row_text
from tests.support.rows import NAN, NEGATIVE_ZERO, batch_of, rows_of
from tests.support.script import ScriptSyntaxError, parse, render
from tests.support.scriptrun import (
    CANONICAL,
    check_append_only,
    check_closed_windows,
    gives_windows,
    run_script,
)

PATH = Path("some.script")
TEXT = """\
# A file may begin with a comment.
sql
CREATE TABLE l (id INT);

CREATE VIEW v AS SELECT id FROM l;
----
ok

# Why this push.
push l
+I | 1
----

changes v
----
+I | 1

# The end.
"""


def test_a_script_renders_as_it_was_read() -> None:
    """Comments, blank lines inside input, and what stands behind the last block are kept."""
    script = parse(PATH, TEXT)
    assert [block.command for block in script.blocks] == ["sql", "push", "changes"]
    assert script.blocks[1].args == ["l"]
    assert render(script) == TEXT


def test_an_answer_replaces_only_expected_lines() -> None:
    """Rewriting touches nothing else."""
    script = parse(PATH, TEXT)
    blocks = (*script.blocks[:2], script.blocks[2].answering(["+I | 2"]))
    changed = render(type(script)(PATH, blocks, script.tail))
    assert changed == TEXT.replace("+I | 1\n\n# The end", "+I | 2\n\n# The end")


def test_a_command_without_a_separator_is_named() -> None:
    """The message says file and line."""
    with pytest.raises(ScriptSyntaxError, match=r"some\.script:2: no ---- behind this command"):
        parse(PATH, "\nsql\nSELECT 1\n")


def test_rewriting_is_refused_in_ci() -> None:
    """What scripts expect is reviewed, not made."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/scripts", "--rewrite", "-q"],
        cwd=Path(__file__).parents[2],
        env={"CI": "true", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "--rewrite is refused in CI" in done.stderr


def test_a_closed_window_is_not_given_again() -> None:
    """The runner refuses a window that comes after a later one."""
    kind = t.RowType((t.Field("window_end", t.TimestampType(3)), t.Field("n", t.BigIntType())))
    given = [(0, "+I", (10, 1)), (0, "+I", (10, 2)), (3, "+I", (30, 1))]
    check_closed_windows(given, kind)
    with pytest.raises(FoldError, match="step 4: the watermark had closed this window"):
        check_closed_windows([*given, (4, "+I", (20, 1))], kind)


def test_windows_are_known_by_their_plan() -> None:
    """Only where nothing but projections and filters stand behind the aggregate."""
    sink, windows, join = "Collect()", "   └─ WindowAggregate(keys=[a])", "   ├─ Join(inner, a = b)"
    assert gives_windows([sink, "└─ Project(a)", windows])
    assert not gives_windows([sink, "└─ Filter(a > 1)", join, windows])


def test_an_append_only_view_takes_nothing_back() -> None:
    """The runner refuses it, whatever the changes add up to."""
    check_append_only(((0, "+I", (1,)), (1, "+I", (1,))))
    with pytest.raises(FoldError, match="step 1: an append-only view gave -D"):
        check_append_only(((0, "+I", (1,)), (1, "-D", (1,))))


def test_a_feed_has_its_own_clock() -> None:
    """It is read once a step, and goes on from where a session begins."""
    steps = [[End("t")], [Advance(5000)], [End("t")], [Advance(1000)]]
    clock = FeedClock(steps)
    assert [clock.now() - FeedClock.START for _ in steps] == [0, 5_000_000, 5_000_000, 6_000_000]
    assert FeedClock(steps, done=2).now() - FeedClock.START == 5_000_000


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense\n----\n", r"some\.script:1: unknown command 'nonsense'"),
        ("advance soon\n----\n", "expected a duration such as"),
    ],
)
def test_commands_that_nobody_knows_are_refused(text: str, error: str) -> None:
    """With file and line."""
    with pytest.raises(Exception, match=error):
        run_script(parse(PATH, text), CANONICAL)


def test_cells_go_both_ways() -> None:
    """Every cell of a script line is read as it is written."""
    kind = physical_columns(
        [
            "a INT",
            "s STRING",
            "d DOUBLE",
            "c DECIMAL(5, 2)",
            "ts TIMESTAMP(3)",
            "y DATE",
            "b BOOLEAN",
        ]
    )
    line = "-U | 1 | a b | -0.0 | 1.50 | 2020-01-01T00:00:05.120 | 2020-02-29 | true"
    sign, row = parse_line(line, kind)
    assert (sign, row[2]) == ("-U", NEGATIVE_ZERO)
    assert line_of(row, kind, sign) == line
    empty = " | ".join(["NULL"] * 7)
    assert parse_line(empty, kind) == ("+I", (None,) * 7)
    assert line_of((None,) * 7, kind) == empty


def test_rows_survive_arrow() -> None:
    """Nested values, times and the two odd doubles come back as they went."""
    kind = t.RowType(
        (
            t.Field("d", t.DoubleType()),
            t.Field("ts", t.TimestampType(9)),
            t.Field("m", t.MapType(t.VarCharType(), t.DateType())),
            t.Field("r", t.RowType((t.Field("x", t.ArrayType(t.TimeType(3))),))),
            t.Field("c", t.DecimalType(5, 2)),
        )
    )
    rows = [
        (NAN, 5, (("k", 3),), ((1, None),), Decimal("1.50")),
        (NEGATIVE_ZERO, -1, (), (None,), None),
        (None, None, None, None, None),
    ]
    assert rows_of(batch_of(rows, kind), kind) == rows


def test_zeros_are_two_and_nan_is_one() -> None:
    """As keys of a multiset."""
    assert len(Counter([(0.0,), (NEGATIVE_ZERO,), (NAN,), (NAN,)])) == 3


def test_folding_refuses_what_no_table_can_do() -> None:
    """A retraction of a row that is not there."""
    assert Counter({2: 1}) == fold([("+I", 1), ("-U", 1), ("+U", 2)])
    with pytest.raises(FoldError, match="-D of a row that is not there: 7"):
        fold([("+I", 1), ("-D", 7)])


def test_folding_by_key_keeps_the_last() -> None:
    """Upsert: a delete may hold only its key."""
    changes = [("+I", (1, "a")), ("+U", (1, "b")), ("+I", (2, "c")), ("-D", (2, None))]
    assert Counter({(1, "b"): 1}) == fold_by_key(changes, [0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0.0"), (-0.0, "-0.0"), (1e7, "1.0E7"), (9999999.0, "9999999.0"), (0.001, "0.001")],
        *[(0.00099, "9.9E-4"), (1.5e300, "1.5E300"), (float("inf"), "Infinity"), (NAN, "NaN")],
    ],
)
def test_doubles_are_written_as_java_does(value: float, text: str) -> None:
    """Scientific from ten millions up and below a thousandth."""
    assert java_double(value) == text


def test_rows_are_written_as_flink_does() -> None:
    """`Row.toString`, seconds dropped where they are zero."""
    kind = physical_columns(["f FLOAT", "ts TIMESTAMP(3)", "t TIME(0)", "r ROW<a INT, b STRING>"])
    row = (5.179999828338623, 1_602_288_000_000_000, 45_000_000, (1, None))
    assert row_text(row, kind) == "+I[5.18, 2020-10-10T00:00, 12:30, +I[1, null]]"
    assert java_float(16777216.0) == "1.6777216E7"


def test_ddl_pieces_give_the_physical_columns() -> None:
    """Computed and metadata columns, watermarks and keys are no part of a source's row."""
    pieces = [
        "`a b` INT NOT NULL, c MAP<STRING, ROW<x INT, y DECIMAL(3, 1)>>",
        "ts AS TO_TIMESTAMP(s)",
        "m BIGINT METADATA FROM 'offset'",
        "WATERMARK FOR ts AS ts - INTERVAL '1' SECOND",
        "PRIMARY KEY (`a b`) NOT ENFORCED",
    ]
    assert physical_columns(pieces).names == ("a b", "c")
    assert primary_key(pieces) == ("a b",)
    assert primary_key(["id INT PRIMARY KEY NOT ENFORCED"]) == ("id",)
