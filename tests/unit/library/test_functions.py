"""Functions written in Python: declared, called, shown, and found again by a plan."""

from __future__ import annotations

import datetime as dt
import importlib
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import flowsql
from flowsql import udf
from flowsql.expr import Call, Column, EvalSettings, compile_projection
from flowsql.expr.python_functions import PREFIX, declared
from flowsql.runtime.job import Job
from flowsql.types import BigIntType, Field, RowType, VarCharType

EARLY = dt.datetime.fromisoformat("1969-12-31T23:59:59.999999")
NEW_YEAR = dt.datetime.fromisoformat("2024-01-01T00:00:00")

MODULE = """
import flowsql
import pyarrow.compute as pc

seen = []


def twice(x: int) -> int:
    seen.append(x)
    return None if x is None else 2 * x


def repeat(text: str, times: int = 2) -> str:
    "Text, several times."
    return text * times


@flowsql.udf(input_types=["BIGINT", "BIGINT"], result_type="BIGINT", func_type="arrow")
def add(a, b):
    return pc.add(a, b)


def bare(x):
    return x


number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of functions that SQL can name."""
    (tmp_path / "code_of_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "code_of_test", raising=False)
    import code_of_test  # type: ignore[import-not-found]

    code_of_test.seen.clear()
    return code_of_test


@pytest.fixture
def session(module: Any) -> Iterator[flowsql.Session]:
    """A session with four rows and the module's functions."""
    del module
    with flowsql.connect() as made:
        made.execute(
            "CREATE TEMPORARY VIEW t AS SELECT * FROM "
            "(VALUES (1, 'a'), (2, 'b'), (2, 'b'), (CAST(NULL AS INT), 'c')) AS v(x, s)"
        )
        for name in ("twice", "repeat", "add"):
            place = f"code_of_test.{name}"
            made.execute(f"CREATE TEMPORARY FUNCTION {name}s AS '{place}' LANGUAGE PYTHON")
        yield made


def rows(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    answer = session.execute(sql)
    assert isinstance(answer, flowsql.Result)
    return answer.fetchall()


def column(session: flowsql.Session, sql: str) -> list[object]:
    """The first column."""
    return [r[0] for r in rows(session, sql)]


def failing(session: flowsql.Session, sql: str) -> str:
    """The error's text."""
    with pytest.raises(flowsql.FlowSQLError) as caught:
        rows(session, sql)
    return str(caught.value)


def test_a_function_is_called_once_for_each_distinct_argument(
    session: flowsql.Session, module: Any
) -> None:
    """NULL goes in as None."""
    assert column(session, "SELECT twices(x) FROM t") == [2, 4, 4, None]
    assert sorted(module.seen, key=str) == [1, 2, None]


def test_distinct_rows_of_several_arguments(session: flowsql.Session) -> None:
    """Each row has the result of its own arguments."""
    calls: list[tuple[object, ...]] = []

    def pair(x: int | None, s: str) -> str:
        calls.append((x, s))
        return f"{x}{s}"

    session.create_temporary_function("pair", pair)
    assert column(session, "SELECT pair(x, s) FROM t") == ["1a", "2b", "2b", "Nonec"]
    assert len(calls) == 3


def test_zeros_of_either_sign_are_distinct(session: flowsql.Session) -> None:
    """The sign of a zero and NaN come through."""
    f = udf(math.copysign, ["DOUBLE", "DOUBLE"], "DOUBLE")
    session.create_temporary_function("signed", f)
    given = pa.table({"a": [1.0, 1.0, 2.0], "b": [0.0, -0.0, 0.0]})
    session.from_arrow("zeros", given)
    assert column(session, "SELECT signed(a, b) FROM zeros") == [1.0, -1.0, 2.0]


def test_arguments_may_be_left_out_and_are_cast(session: flowsql.Session) -> None:
    """INT goes in for BIGINT; a constant is one as any other."""
    assert rows(session, "SELECT Repeats(s), REPEATS(s, 3), adds(x, 1), adds(1, 1) FROM t") == [
        ("aa", "aaa", 2, 2),
        ("bb", "bbb", 3, 2),
        ("bb", "bbb", 3, 2),
        ("cc", "ccc", None, 2),
    ]


def test_a_function_stands_wherever_an_expression_does(session: flowsql.Session) -> None:
    """WHERE, GROUP BY, a view, a computed column; CASE calls it only for rows that reach it."""
    sql = "SELECT twices(x), COUNT(*) FROM t WHERE adds(x, 0) > 0 GROUP BY twices(x)"
    assert sorted(rows(session, sql)) == [(2, 1), (4, 2)]
    session.execute("CREATE TEMPORARY VIEW v AS SELECT repeats(s) AS r FROM t")
    assert column(session, "SELECT r FROM v") == ["aa", "bb", "bb", "cc"]
    session.execute(
        "CREATE TABLE g (id BIGINT, two AS twices(id)) WITH ('connector' = 'datagen', "
        "'number-of-rows' = '2', 'fields.id.kind' = 'sequence', 'fields.id.start' = '4', "
        "'fields.id.end' = '5')"
    )
    assert column(session, "SELECT two FROM g") == [8, 10]

    def inverse(x: int) -> float:
        return 1 / (x - 2)

    session.create_temporary_function("inverse", inverse)
    sql = "SELECT CASE WHEN x = 2 THEN 0 ELSE inverse(x) END FROM t WHERE x > 0"
    assert column(session, sql) == [-1.0, 0.0, 0.0]


def test_what_is_not_deterministic_is_called_for_every_row(session: flowsql.Session) -> None:
    """Even where its arguments are constants; it is never folded or shared."""
    numbers = iter(range(100))
    session.create_temporary_function(
        "draw", udf(lambda: next(numbers), [], "BIGINT", deterministic=False)
    )
    session.create_temporary_function(
        "drawn", udf(lambda _: next(numbers), ["INT"], "BIGINT", deterministic=False)
    )
    assert column(session, "SELECT draw() FROM t") == [0, 1, 2, 3]
    assert column(session, "SELECT drawn(7) FROM t") == [4, 5, 6, 7]
    assert rows(session, "SELECT draw() = draw(), drawn(1) = drawn(1) FROM t LIMIT 1") == [
        (False, False)
    ]


def test_what_is_not_deterministic_is_refused_over_updating_rows(
    session: flowsql.Session,
) -> None:
    """As RAND is."""
    session.execute("SET 'table.optimizer.non-deterministic-update.strategy' = 'TRY_RESOLVE'")
    session.create_temporary_function(
        "draw", udf(lambda _: random.random(), ["BIGINT"], "DOUBLE", deterministic=False)
    )
    text = failing(session, "SELECT draw(n) FROM (SELECT COUNT(*) AS n FROM t GROUP BY x)")
    assert "is not deterministic and cannot be computed over updating rows" in text


@pytest.mark.parametrize(
    ("kind", "value", "given"),
    [
        ("BOOLEAN", "TRUE", True),
        ("INT", "CAST(7 AS INT)", 7),
        ("FLOAT", "CAST(1.5 AS FLOAT)", 1.5),
        ("DOUBLE", "1.5E0", 1.5),
        ("DECIMAL(5, 2)", "CAST(1.5 AS DECIMAL(5, 2))", Decimal("1.50")),
        ("STRING", "'é'", "é"),
        ("BYTES", "x'00ff'", b"\x00\xff"),
        ("DATE", "DATE '2024-02-29'", dt.date(2024, 2, 29)),
        ("TIME(3)", "TIME '01:02:03'", dt.time(1, 2, 3)),
        ("TIMESTAMP(6)", "TIMESTAMP '2024-02-29 01:02:03.000004'",
         dt.datetime.fromisoformat("2024-02-29T01:02:03.000004")),
        ("TIMESTAMP_LTZ(3)", "TO_TIMESTAMP_LTZ(1500, 3)",
         dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, dt.UTC)),
        ("ARRAY<STRING>", "ARRAY['a', 'b']", ["a", "b"]),
    ],
)  # fmt: skip
def test_values_of_each_type(
    session: flowsql.Session, kind: str, value: str, given: object
) -> None:
    """What goes in, and that the same comes out."""
    seen: list[object] = []

    def same(x: object) -> object:
        seen.append(x)
        return x

    session.create_temporary_function("same", udf(same, kind, kind))
    answer = rows(session, f"SELECT same({value}), same({value}) = {value}")
    assert answer[0][1] is True
    assert seen[0] == given
    assert type(seen[0]) is type(given)


def test_digits_that_the_type_has_not_are_cut(session: flowsql.Session) -> None:
    """On values and on arrays."""
    session.create_temporary_function("cut", udf(lambda _: EARLY, "INT", "TIMESTAMP(3)"))
    session.create_temporary_function(
        "cuts",
        udf(lambda x: pa.array([EARLY] * len(x)), "INT", "TIMESTAMP(3)", func_type="arrow"),
    )
    wanted = EARLY.replace(microsecond=999_000)
    assert rows(session, "SELECT cut(x), cuts(x) FROM t WHERE x = 1") == [(wanted, wanted)]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("BIGINT", 1.0, "1.0 (float)"),
        ("BIGINT", True, "True (bool)"),
        ("INT", 1 << 31, "2147483648 (int)"),
        ("DOUBLE", "1", "'1' (str)"),
        ("FLOAT", 1e300, "1e+300 (float)"),
        ("DECIMAL(4, 2)", Decimal("1.234"), "Decimal('1.234') (Decimal)"),
        ("STRING", b"a", "b'a' (bytes)"),
        ("DATE", NEW_YEAR, "datetime.datetime(2024, 1, 1, 0, 0) (datetime)"),
        ("TIMESTAMP(3)", dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "(datetime)"),
        ("TIMESTAMP_LTZ(3)", NEW_YEAR, "(datetime)"),
        ("ARRAY<BIGINT>", [1, 2.5], "[1, 2.5] (list)"),
        ("BIGINT NOT NULL", None, "NULL"),
    ],
)
def test_a_value_of_another_type_is_refused(
    session: flowsql.Session, kind: str, value: object, shown: str
) -> None:
    """Nothing is rounded or read as something else."""
    session.create_temporary_function("odd", udf(lambda _: value, "INT", kind))
    text = failing(session, "SELECT odd(x) FROM t WHERE x = 1")
    assert 'Python function "odd" gave ' in text
    assert f"{shown} for (1), which is no {kind}" in text


def test_what_takes_no_argument_is_marked_too(session: flowsql.Session) -> None:
    """Where its value is of another type, and where it fails."""
    session.create_temporary_function("big", udf(lambda: 1 << 70, [], "BIGINT"))
    session.create_temporary_function("broken", udf(lambda: 1 / 0, [], "DOUBLE"))
    text = failing(session, "SELECT x, big() FROM t WHERE x = 1")
    assert 'gave 1180591620717411303424 (int), which is no BIGINT in "big()"\n' in text
    assert "\n            ^^^^^\n" in text
    assert "\n            ^^^^^^^^\n" in failing(session, "SELECT x, broken() FROM t WHERE x = 1")


def test_an_error_names_function_arguments_and_cause(session: flowsql.Session) -> None:
    """And the line of the function."""

    def inverse(x: int, s: str) -> float:
        return 1 / (x - 2)

    session.create_temporary_function("inverse", inverse)
    with pytest.raises(flowsql.DataError) as caught:
        rows(session, "SELECT inverse(x, s) FROM t")
    text = str(caught.value)
    assert (
        "Python function \"inverse\" failed for (2, 'b') with ZeroDivisionError: division by zero "
        "(test_functions.py, line " in text
    )
    assert "Detail: In a row with " in text
    assert "\n         ^^^^^^^^^^^^^" in text
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: x.slice(1), 'function "odd" gave 2 values for 3 rows'),
        (lambda x: [1, 2, 3], 'function "odd" gave a list, no Arrow array'),
        (lambda x: pc.cast(x, "string"), 'function "odd" gave string, not int64'),
        (lambda x: pc.cast(x, "double"), 'function "odd" gave double, not int64'),
        (lambda x: pc.if_else(pc.equal(x, 2), None, 5), 'function "odd" gave NULL'),
        (lambda x: x.nothing, 'Python function "odd" failed with AttributeError'),
    ],
)
def test_arrays_are_checked(session: flowsql.Session, f: Callable[[Any], Any], text: str) -> None:
    """Length, type and NULL."""
    made = udf(f, "INT", "BIGINT NOT NULL", func_type="arrow")
    session.create_temporary_function("odd", made)
    session.from_arrow("three", pa.table({"x": pa.array([1, 2, 3], pa.int32())}))
    assert text in failing(session, "SELECT odd(x) FROM three")


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: udf(lambda x: x), 'parameter "x" of function'),
        (lambda: udf(lambda x: x, "INT"), "the result of function"),
        (lambda: udf(lambda x: x, ["INT", "INT"], "INT"), "has 1 parameter, but 2 input_types"),
        (lambda: udf(lambda *x: x, None, "INT"), "has *x and no input_types"),
        (lambda: udf(lambda x: x, "INTT", "INT"), 'type "INTT" of function'),
        (lambda: udf(lambda x: x, "INT", "VARCHAR(3)"), "cannot have the type VARCHAR(3)"),
        (lambda: udf(lambda x: x, "INT", "TIMESTAMP(9)"), "cannot have the type TIMESTAMP(9)"),
        (lambda: udf(lambda x: x, "MAP<INT, INT>", "INT"), "cannot have the type MAP<INT, INT>"),
        (lambda: udf(lambda x: x, "INT", "INT", func_type="pandas"), "instead of pandas"),
        (lambda: udf(lambda: 1, [], "INT", func_type="arrow"), "takes no argument"),
        (lambda: udf(int, "INT", "INT"), '"int" is no function'),
    ],
)  # fmt: skip
def test_what_cannot_be_declared(declare: Callable[[], object], text: str) -> None:
    """At the declaration, not at the first row."""
    with pytest.raises(flowsql.ConfigError) as caught:
        declare()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("CREATE FUNCTION f AS 'no_such_one.f' LANGUAGE PYTHON",
         'module "no_such_one" of Python function "no_such_one.f" cannot be found'),
        ("CREATE FUNCTION f AS 'code_of_test.twise' LANGUAGE PYTHON", 'Did you mean "twice"?'),
        ("CREATE FUNCTION f AS 'code_of_test.bare' LANGUAGE PYTHON",
         'parameter "x" of function "bare" has no type'),
        ("CREATE FUNCTION f AS 'code_of_test.number' LANGUAGE PYTHON",
         '"code_of_test.number" is a int, not a function'),
        ("CREATE FUNCTION f AS 'twice' LANGUAGE PYTHON", '"twice" names no Python function'),
        ("CREATE FUNCTION f AS 'a.B'", "functions written in JAVA are not supported"),
        ("CREATE FUNCTION f AS 'a.B' LANGUAGE C", 'there is no language "C" for functions'),
        ("CREATE FUNCTION f AS 'a.B' USING JAR 'x'", "USING JAR is not supported"),
        ("SHOW CREATE FUNCTION upper", 'function "upper" is built in: no statement makes it'),
        ("SHOW CREATE FUNCTION twicess", 'Did you mean "twices"?'),
        ("SHOW CREATE FUNCTION no_db.f", 'function "no_db.f" does not exist'),
        ("CREATE TEMPORARY FUNCTION twices AS 'a.b' LANGUAGE PYTHON", '"twices" exists already'),
        ("CREATE FUNCTION upper AS 'a.b' LANGUAGE PYTHON", 'function "upper" is built in'),
        ("CREATE FUNCTION no_db.f AS 'a.b' LANGUAGE PYTHON", 'database "no_db" does not exist'),
        ("CREATE TEMPORARY SYSTEM FUNCTION a.f AS 'a.b' LANGUAGE PYTHON", "more than 1 part"),
        ("DROP FUNCTION twices", 'temporary function "twices" must be dropped first'),
        ("DROP TEMPORARY FUNCTION twicess", 'Did you mean "twices"?'),
        ("DROP FUNCTION upper", "is built in and cannot be changed"),
        ("ALTER TEMPORARY FUNCTION twices AS 'a.b' LANGUAGE PYTHON", "cannot be altered"),
        ("ALTER FUNCTION f AS 'a.b' LANGUAGE PYTHON", 'function "f" does not exist'),
        ("SELECT twicess(x) FROM t", 'Did you mean "twices"?'),
        ("SELECT twices(s) FROM t", '"twices" does not take (CHAR(1) NOT NULL)'),
        ("SELECT twices() FROM t", "Supported: twices(BIGINT) → BIGINT."),
        ("DESCRIBE FUNCTION twicess", 'Did you mean "twices"?'),
    ],
)  # fmt: skip
def test_mistakes(session: flowsql.Session, sql: str, text: str) -> None:
    """Each says what is wrong, at its place."""
    shown = failing(session, sql)
    assert text in shown
    assert " at 1:" in shown or "LANGUAGE C" in sql or "USING" in sql or "SYSTEM" in sql


def test_functions_come_and_go(session: flowsql.Session) -> None:
    """Permanent, temporary and system functions, each in its place."""
    execute = session.execute
    execute("CREATE FUNCTION f AS 'code_of_test.twice' LANGUAGE PYTHON")
    execute("CREATE FUNCTION IF NOT EXISTS f AS 'nowhere.at_all' LANGUAGE PYTHON")
    assert column(session, "SELECT f(2)") == [4]
    execute("ALTER FUNCTION f AS 'code_of_test.repeat' LANGUAGE PYTHON")
    assert column(session, "SELECT f('a')") == ["aa"]
    execute("CREATE TEMPORARY FUNCTION f AS 'code_of_test.twice' LANGUAGE PYTHON")
    assert column(session, "SELECT f(3)") == [6]
    execute("DROP TEMPORARY FUNCTION f")
    assert column(session, "SELECT default_catalog.default_database.f('b')") == ["bb"]
    execute("CREATE TEMPORARY SYSTEM FUNCTION f AS 'code_of_test.twice' LANGUAGE PYTHON")
    assert column(session, "SELECT f(4)") == [8]
    execute("CREATE DATABASE other")
    execute("USE other")
    assert column(session, "SELECT f(4)") == [8]
    assert column(session, "SELECT default_database.f('b')") == ["bb"]
    assert column(session, "SHOW USER FUNCTIONS") == ["f"]
    execute("DROP TEMPORARY SYSTEM FUNCTION f")
    assert 'function "f" does not exist' in failing(session, "SELECT f(4)")
    execute("DROP FUNCTION IF EXISTS f")
    execute("CREATE FUNCTION g AS 'code_of_test.twice' LANGUAGE PYTHON")
    execute("USE default_database; DROP DATABASE other CASCADE; CREATE DATABASE other; USE other")
    assert column(session, "SHOW USER FUNCTIONS") == []


def test_a_view_calls_the_functions_of_its_own_database(session: flowsql.Session) -> None:
    """Whatever the current database has."""
    session.execute("CREATE FUNCTION f AS 'code_of_test.twice' LANGUAGE PYTHON")
    session.execute("CREATE VIEW w AS SELECT f(x) AS y FROM t WHERE x = 1")
    session.execute("CREATE DATABASE other; USE other")
    session.create_temporary_function("f", udf(lambda x: -x, "INT", "BIGINT"))
    assert column(session, "SELECT y FROM default_database.w") == [2]
    assert column(session, "SELECT f(1)") == [-1]


def test_functions_are_shown(session: flowsql.Session) -> None:
    """SHOW and DESCRIBE."""
    assert column(session, "SHOW USER FUNCTIONS") == ["adds", "repeats", "twices"]
    assert column(session, "SHOW USER FUNCTIONS LIKE 't%'") == ["twices"]
    assert "repeats" in column(session, "SHOW FUNCTIONS")
    assert rows(session, "DESCRIBE FUNCTION EXTENDED repeats") == [
        ("is system function", "false"),
        ("is temporary", "true"),
        ("class name", "code_of_test.repeat"),
        ("function language", "PYTHON"),
        ("kind", "SCALAR"),
        ("is deterministic", "true"),
        ("signature", "repeats(STRING) → STRING"),
        ("signature", "repeats(STRING, BIGINT) → STRING"),
        ("description", "Text, several times."),
    ]


def test_objects_of_one_name_are_kept_apart(session: flowsql.Session) -> None:
    """A query that was planned before another session declared its own function runs its own."""
    session.create_temporary_function("mine", udf(lambda x: x + 1, "INT", "INT"))
    early = session.execute("SELECT mine(x) FROM t WHERE x = 1")
    assert isinstance(early, flowsql.Result)
    with flowsql.connect() as other:
        other.create_temporary_function("mine", udf(lambda x: x + 2, "INT", "INT"))
        late = other.execute("SELECT mine(1)")
        assert isinstance(late, flowsql.Result)
        assert (early.fetchall(), late.fetchall()) == ([(2,)], [(3,)])


def test_modules_are_found_in_the_folders_that_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python.files` names folders."""
    folder = tmp_path / "my code"
    folder.mkdir()
    (folder / "beside_of_test.py").write_text("def one() -> int:\n    return 1\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with flowsql.connect() as session:
        sql = "CREATE FUNCTION one AS 'beside_of_test.one' LANGUAGE PYTHON"
        assert "SET 'python.files'" in failing(session, sql)
        session.execute(f"SET 'python.files' = 'nowhere, {folder}'; {sql}")
        assert column(session, "SELECT one()") == [1]


def test_a_declared_function_is_the_function_itself() -> None:
    """Python calls it as before."""

    @udf(input_types="INT", result_type="INT")
    def plus(x: int, y: int = 2) -> int:
        return x + y

    assert (plus(1), plus(1, y=3)) == (3, 4)


def test_a_job_goes_on_from_a_checkpoint(module: Any, tmp_path: Path) -> None:
    """The stored plan names the function; whoever resumes it imports it anew."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("1\n2\n")
    script = f"""
        SET 'pipeline.name' = 'again';
        CREATE TEMPORARY FUNCTION twice AS 'code_of_test.twice' LANGUAGE PYTHON;
        CREATE TABLE src (x BIGINT) WITH ('connector' = 'filesystem', 'format' = 'csv',
            'path' = '{tmp_path}/in', 'source.monitor-interval' = '50 ms');
        CREATE TABLE dst (y BIGINT, n BIGINT, PRIMARY KEY (y) NOT ENFORCED)
            WITH ('connector' = 'print');
        INSERT INTO dst SELECT twice(x), COUNT(*) FROM src GROUP BY twice(x);
    """
    for _ in range(2):
        with flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "state")}) as session:
            job = session.execute(script)
            assert isinstance(job, Job)
            job.checkpoint()
            job.stop()
            job.wait()
    manifests = [p.read_text() for p in (tmp_path / "state").rglob("*manifest*") if p.is_file()]
    assert any("PYTHON code_of_test.twice" in text for text in manifests)


@pytest.mark.parametrize("args", [["run", "code/job.sql"], ["-e", "{text}"]])
def test_modules_beside_the_script_or_in_the_current_folder(
    args: list[str], tmp_path: Path
) -> None:
    """`flowsql run` looks beside the script, `-e` in the current folder."""
    text = "CREATE FUNCTION one AS 'ones.one' LANGUAGE PYTHON; SELECT one() AS n;"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "job.sql").write_text(text)
    folder = tmp_path / "code" if args[0] == "run" else tmp_path
    (folder / "ones.py").write_text("def one() -> int:\n    return 1\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("flowsql"), *(a.replace("{text}", text) for a in args)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| 1 |" in done.stdout


def test_a_plan_that_was_made_with_other_types_is_refused(session: flowsql.Session) -> None:
    """The stored call has the types of then."""
    del session
    place = "code_of_test.twice"
    column_of_text = Column(type=VarCharType(), index=0, name="s")
    call = Call(type=BigIntType(), function=f"{PREFIX}{place}", args=(column_of_text,))
    with pytest.raises(flowsql.ConfigError) as caught:
        compile_projection([call], RowType((Field("s", VarCharType()),)), EvalSettings())
    assert f'"{place}" has other types than in the plan: (STRING) → BIGINT' in str(caught.value)


def test_an_object_that_is_not_here_is_missed() -> None:
    """A plan of another process, in which it was given."""
    with pytest.raises(flowsql.ConfigError) as caught:
        declared("<never_given>")
    assert 'function "never_given" of the stored plan is not here' in str(caught.value)
    assert "call create_temporary_function before the statement" in str(caught.value)


def test_a_module_that_is_loaded_again_is_taken_again(
    session: flowsql.Session, module: Any, tmp_path: Path
) -> None:
    """By the next CREATE FUNCTION, or when the new object is given."""
    assert column(session, "SELECT twices(2)") == [4]
    (tmp_path / "code_of_test.py").write_text("def twice(x: int) -> int:\n    return -2 * x + 1\n")
    importlib.reload(module)
    session.execute("CREATE TEMPORARY FUNCTION other AS 'code_of_test.twice' LANGUAGE PYTHON")
    assert column(session, "SELECT other(2)") == [-3]
    with flowsql.connect() as fresh:
        fresh.create_temporary_function("given", module.twice)
        assert column(fresh, "SELECT given(2)") == [-3]
