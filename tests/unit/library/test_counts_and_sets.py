"""COUNT of several values, and grouping sets that are written twice."""

from __future__ import annotations

import pyarrow as pa
import pytest

import flowsql

_SCHEMA = pa.schema(
    [
        pa.field("k", pa.string(), nullable=False),
        pa.field("x", pa.int32(), nullable=False),
        pa.field("y", pa.string()),
    ]
)
_ROWS = {"k": ["a", "a", "a", "b"], "x": [1, 1, 2, 1], "y": ["p", "p", None, "q"]}


def _rows(sql: str, mode: str) -> list[tuple[object, ...]]:
    with flowsql.connect(config={"execution.runtime-mode": mode}) as session:
        session.from_arrow("t", pa.table(_ROWS, schema=_SCHEMA))
        return sorted(session.execute(sql).fetchall(), key=repr)


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_values_that_cannot_be_null_count_together(mode: str) -> None:
    """One that may be NULL decides alone; of distinct ones none may be."""
    sql = "SELECT k, COUNT(x, y), COUNT(k, x), COUNT(DISTINCT k, x) FROM t GROUP BY k"
    assert _rows(sql, mode) == [("a", 2, 3, 2), ("b", 1, 1, 1)]
    one = "SELECT COUNT(DISTINCT k, x) FILTER (WHERE x > 1) FROM t GROUP BY k"
    assert _rows(one, mode) == [(0,), (1,)]
    with pytest.raises(flowsql.SqlError, match="COUNT of several values that may be NULL"):
        _rows("SELECT COUNT(DISTINCT x, y) FROM t", mode)


def test_a_set_that_is_written_twice_is_given_twice_in_batch_mode() -> None:
    """GROUP_ID tells them apart."""
    sql = "SELECT k, COUNT(*), GROUP_ID() FROM t GROUP BY GROUPING SETS ((k), (k), ())"
    assert _rows(sql, "batch") == [
        ("a", 3, 0), ("a", 3, 1), ("b", 1, 0), ("b", 1, 1), (None, 4, 0),
    ]  # fmt: skip
    mixed = "SELECT k, y, COUNT(*), GROUPING_ID(k, y) FROM t GROUP BY GROUPING SETS ((k), (k), (y))"
    assert _rows(mixed, "batch") == [
        ("a", None, 3, 1), ("a", None, 3, 1), ("b", None, 1, 1), ("b", None, 1, 1),
        (None, "p", 2, 2), (None, "q", 1, 2), (None, None, 1, 2),
    ]  # fmt: skip
    assert _rows(mixed.replace("GROUP BY", "GROUP BY DISTINCT"), "batch") == [
        ("a", None, 3, 1), ("b", None, 1, 1),
        (None, "p", 2, 2), (None, "q", 1, 2), (None, None, 1, 2),
    ]  # fmt: skip
    with pytest.raises(flowsql.SqlError, match="the same grouping set twice"):
        _rows(sql, "streaming")


def test_try_cast_of_a_map_is_null_where_a_key_cannot_be_cast() -> None:
    """As of any other part; CAST says what happened."""
    made = "FROM (VALUES (1.2, 1), (123456.5, 2), (3.4, 3)) AS q (a, b)"
    sql = f"SELECT b, TRY_CAST(MAP[a, b] AS MAP<DECIMAL(2, 1), STRING>) {made}"
    found = [(b, m and [(str(k), v) for k, v in m]) for b, m in _rows(sql, "streaming")]
    assert found == [(1, [("1.2", "1")]), (2, None), (3, [("3.4", "3")])]
    with pytest.raises(flowsql.DataError, match="a key of a map became NULL"):
        _rows(f"SELECT CAST(MAP[a, b] AS MAP<DECIMAL(2, 1), STRING>) {made}", "streaming")
