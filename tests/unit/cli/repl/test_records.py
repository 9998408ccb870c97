"""Results as CSV and JSON lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from flowsql.cli.main import main

Run = Callable[..., tuple[int, str, str]]

KINDS = (
    "SELECT 1 AS a, CAST(NULL AS INT) AS b, 'x,\"y' AS c, MAP['k', 1] AS m, MAP[1, 2] AS n, "
    "ARRAY[1, 2] AS r, INTERVAL '1' DAY AS i, CAST(100 AS DECIMAL(10, 2)) AS d, "
    "TIMESTAMP '2020-01-01 00:00:00' AS t, NULL AS z"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`flowsql ARGUMENTS` with standard input: exit code, output, messages."""

    def run(*arguments: str, text: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(arguments)
        return (code, *capsys.readouterr())

    return run


def test_every_kind_of_value(run: Run) -> None:
    """What a form does not hold as what it is stands there as its text."""
    assert run("-e", KINDS, "--format", "json") == (
        0,
        (
            '{"a":1,"b":null,"c":"x,\\"y","m":{"k":1},"n":"{1=2}","r":[1,2],"i":"+1 00:00:00.000",'
            '"d":100.00,"t":"2020-01-01 00:00:00","z":null}\n'
        ),
        "",
    )
    assert run("-e", KINDS, "--format", "csv") == (
        0,
        (
            "a,b,c,m,n,r,i,d,t,z\n"
            '1,,"x,""y",{k=1},{1=2},"[1, 2]","+1 00:00:00.000",100.00,"2020-01-01 00:00:00",\n'
        ),
        "",
    )


def test_statements_through_a_pipe(run: Run) -> None:
    """DDL prints nothing; a query that takes rows back prints what is left; QUIT ends."""
    text = (
        "CREATE VIEW v AS SELECT x FROM (VALUES 1, 2, 2) AS t (x);\n"
        "SELECT x, COUNT(*) AS n FROM v GROUP BY x; SHOW VIEWS; QUIT; SELECT 3;"
    )
    code, out, err = run("--format", "json", text=text)
    assert (code, err) == (0, "")
    assert out.splitlines() == ['{"x":1,"n":1}', '{"x":2,"n":2}', '{"view name":"v"}']
    assert run("--format", "csv", text="SELECT a FROM (VALUES 1) AS t (a) WHERE FALSE")[1] == "a\n"
    assert "1 row in set" in run(text="SELECT 1")[1]


def test_changes_have_their_kind_where_there_is_no_end(run: Run) -> None:
    """A column `op`, by another name where there is one."""
    table = (
        "CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.min' = '1', "
        "'fields.id.max' = '1', 'number-of-rows' = '2');"
    )
    assert run("-e", table + "SELECT id AS op FROM g", "--format", "csv")[1] == "op\n1\n1\n"


def test_mistakes(run: Run) -> None:
    """Exit code 2, the caret in the text that was given."""
    code, out, err = run("-e", "SELECT 1 AS a;\nSELECT b", "--format", "json")
    assert (code, out) == (2, "")
    assert 'SqlError at 2:8: column "b" does not exist\n  SELECT b\n         ^' in err
    with pytest.raises(SystemExit):
        run("-e", "SELECT 1", "run", "a.sql")
