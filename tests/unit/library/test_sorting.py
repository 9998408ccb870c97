"""ORDER BY of a query over bounded tables: the final table is sorted, though a stream has no end."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

import flowsql
from flowsql.library.result import Result


@pytest.fixture
def session() -> Iterator[flowsql.Session]:
    """A session of its own."""
    with flowsql.connect() as made:
        yield made


def test_the_final_table_is_sorted(session: flowsql.Session) -> None:
    """By each key in its direction; NULL and NaN where Flink has them."""
    table = pa.table({"a": [2.0, None, float("nan"), 1.0, 2.0], "b": ["x", "y", "z", "v", "w"]})
    session.from_arrow("s", table)
    result = session.execute("SELECT a, b FROM s ORDER BY a DESC, b")
    assert isinstance(result, Result)
    assert not result.append
    assert [b for _, b in result.fetchall()] == ["z", "w", "x", "v", "y"]
    rising = session.execute("SELECT b, a FROM s ORDER BY 2 NULLS LAST, 1 DESC")
    assert isinstance(rising, Result)
    assert [b for b, _ in rising.fetchall()] == ["v", "x", "w", "z", "y"]
    top = session.execute("SELECT b FROM s ORDER BY b DESC LIMIT 2 OFFSET 1")
    assert isinstance(top, Result)
    assert top.fetchall() == [("y",), ("x",)]


def test_changes_come_as_they_are(session: flowsql.Session) -> None:
    """Only the final table is sorted; the plan says so."""
    session.from_arrow("s", pa.table({"a": [2, 3, 1]}))
    result = session.execute("SELECT a FROM s ORDER BY a")
    assert isinstance(result, Result)
    assert [row["a"] for c in result.changes() for row in c.batch.to_pylist()] == [2, 3, 1]
    shown = session.execute("EXPLAIN SELECT a FROM s ORDER BY a DESC")
    assert isinstance(shown, Result)
    assert "Collect(order=[a DESC])" in shown.fetchall()[0][0]
