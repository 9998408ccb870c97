"""What is said where a VARIANT, a BITMAP or a slip of the pen stands where it cannot."""

from __future__ import annotations

import pytest

import flowsql
from flowsql.errors import FlowSQLError

VIEW = """CREATE TEMPORARY VIEW t AS SELECT PARSE_JSON('{"a": 1, "b": [1, 2]}') AS v, 1 AS id"""


def _hint(*statements: str) -> str | None:
    session = flowsql.Session()
    for statement in (VIEW, *statements[:-1]):
        session.execute(statement)
    with pytest.raises(FlowSQLError) as error:
        session.execute(statements[-1])
    return error.value.hint


@pytest.mark.parametrize(
    ("query", "cure"),
    [
        ("SELECT v.a FROM t", "Write …['a']"),
        ("SELECT x FROM t, UNNEST(v) AS u(x)", "JSON_QUERY(…, '$' RETURNING ARRAY<STRING>)"),
        ("SELECT CARDINALITY(v) FROM t", "JSON_QUERY(…, '$' RETURNING ARRAY<STRING>)"),
        ("SELECT id FROM t WHERE v['a'] = 1", "JSON_VALUE(…, '$' RETURNING INT)"),
        ("SELECT JSON_EXISTS(v, '$.a') FROM t", "JSON_STRING(…)"),
        ("SELECT id, COUNT(*) FROM t GROUP BY 1", "1 is a constant there, no position."),
        ("SELECT SUN(id) FROM t", 'Did you mean "SUM"?'),
        ("SELECT COALESC(id) FROM t", 'Did you mean "COALESCE"?'),
        ("CREATE TABLE a (a INT NOT NUL) WITH ('connector' = 'datagen')", '"NOT NULL"?'),
        ("CREATE TABLE a (a INT) WITH (connector = 'datagen')", "Write 'connector'."),
        ("SELECT * FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(id))", "Models are not supported"),
    ],
)
def test_the_cure_is_said(query: str, cure: str) -> None:
    """What to write instead."""
    assert cure in (_hint(query) or "")


def test_the_cures_work() -> None:
    """They are no guesses."""
    session = flowsql.Session()
    session.execute(VIEW)
    query = (
        "SELECT v['a'], JSON_VALUE(v['a'], '$' RETURNING INT) = 1, JSON_EXISTS(JSON_STRING(v), '$.a'), "
        "CARDINALITY(JSON_QUERY(v['b'], '$' RETURNING ARRAY<STRING>)) FROM t"
    )
    assert session.execute(query).fetchall() == [(1, True, True, 2)]


@pytest.mark.parametrize("call", ["CONV(1, 2, 3)", "BITMAP_CONTAINS(1, 2)", "LAGG(1)"])
def test_no_far_name_is_proposed(call: str) -> None:
    """COUNT is not what CONV means."""
    assert _hint(f"SELECT {call}") is None


@pytest.mark.parametrize(
    ("table", "cure"),
    [
        ("(v VARIANT) WITH ('connector' = 'datagen')", "PARSE_JSON"),
        ("(b BITMAP) WITH ('connector' = 'datagen')", "BITMAP_BUILD"),
        (
            (
                "(v VARIANT, r INT) PARTITIONED BY (v) "
                "WITH ('connector' = 'filesystem', 'path' = '/x', 'format' = 'json')"
            ),
            "declare it as STRING",
        ),
    ],
)
def test_columns_that_no_connector_fills(table: str, cure: str) -> None:
    """Refused with the type to declare."""
    assert cure in (_hint(f"CREATE TABLE made {table}", "SELECT * FROM made") or "")
