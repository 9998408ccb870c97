"""Flink's list of built-in functions: each is there, or stands below with the reason.

The list is `functions.yml` in the folder of `FLOWSQL_CASES`. Of an entry the name in capitals counts that
its SQL begins with; what begins otherwise are operators, which the recorded answers cover.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import flowsql
from flowsql.errors import SqlError
from flowsql.expr.aggregates import is_aggregate
from flowsql.expr.functions.catalogue import all_functions

_LIST = "functions.yml"

# Syntax, not calls: a statement that runs.
_SYNTAX = {
    "ARRAY": "SELECT ARRAY[1]",
    "CASE": "SELECT CASE WHEN TRUE THEN 1 ELSE 2 END",
    "CAST": "SELECT CAST('1' AS INT)",
    "CURRENT_DATABASE": "SELECT CURRENT_DATABASE()",
    "DATE": "SELECT DATE '2020-01-02'",
    "DENSE_RANK": "SELECT DENSE_RANK() OVER (ORDER BY a) FROM (VALUES (1)) AS t (a)",
    "DESCRIPTOR": "SET 'execution.runtime-mode' = 'streaming'; SELECT * FROM TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))",
    "EXISTS": "SELECT a FROM (VALUES (1)) AS t (a) WHERE EXISTS (SELECT 1)",
    "GROUPING": "SELECT GROUPING(a) FROM (VALUES (1)) AS t (a) GROUP BY ROLLUP (a)",
    "GROUP_ID": "SELECT GROUP_ID() FROM (VALUES (1)) AS t (a) GROUP BY a",
    "INTERVAL": "SELECT INTERVAL '1' DAY",
    "IS": "SELECT '1' IS JSON",
    "MAP": "SELECT MAP['a', 1]",
    "NOT": "SELECT NOT TRUE",
    "RANK": "SELECT RANK() OVER (ORDER BY a) FROM (VALUES (1)) AS t (a)",
    "ROW_NUMBER": "SELECT ROW_NUMBER() OVER (ORDER BY a) FROM (VALUES (1)) AS t (a)",
    "TIME": "SELECT TIME '01:02:03'",
    "TIMESTAMP": "SELECT TIMESTAMP '2020-01-02 03:04:05'",
    "TRY_CAST": "SELECT TRY_CAST('x' AS INT)",
}

# Not there yet, and refused by name: why.
_ABSENT = dict.fromkeys(
    ("CUME_DIST", "LAG", "LEAD", "NTILE", "PERCENT_RANK"),
    "OVER windows are not there yet",
)


def _names() -> list[str]:
    """The names of the list; none where there is no list."""
    path = Path(os.environ.get("FLOWSQL_CASES") or ".") / _LIST
    if not path.is_file():
        return []
    entries = re.findall(
        r"^  - sql: (?:\|\s+)?'?([A-Z][A-Z_0-9]+)\b", path.read_text(), re.MULTILINE
    )
    return sorted(set(entries))


def _known(name: str) -> bool:
    return name in all_functions() or is_aggregate(name)


@pytest.mark.parametrize("name", _names())
def test_is_there(name: str) -> None:
    """A function or an aggregate of the registry, syntax that runs, or refused by name."""
    if _known(name):
        assert name not in _ABSENT, f"{name} is there: take it out of the list of absent ones"
        return
    with flowsql.connect(config={"execution.runtime-mode": "batch"}) as session:
        if name in _ABSENT:
            with pytest.raises(SqlError, match=name):
                session.execute(f"SELECT {name}(a) OVER (ORDER BY a) FROM (VALUES (1)) AS t (a)")
            return
        assert name in _SYNTAX, f"{name} is neither there nor listed"
        session.execute("CREATE VIEW t AS SELECT 1 AS a")
        session.execute(_SYNTAX[name]).fetchall()


def test_exceptions_are_those_of_the_list() -> None:
    """What is listed here stands in Flink's list."""
    names = set(_names())
    if names:
        assert {*_SYNTAX, *_ABSENT} <= names
