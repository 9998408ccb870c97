"""ORDER BY of a query over bounded tables: the final table is sorted, though a stream has no end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def test_what_is_not_selected_can_be_sorted_by(session: flowsql.Session) -> None:
    """A hidden column, or an aggregate: the rows come in order when their table has ended."""
    session.from_arrow("s", pa.table({"a": [2, 3, 1, 2], "b": [10, 5, None, 1]}))
    for sql, rows in [
        ("SELECT a FROM s ORDER BY b DESC NULLS LAST", [2, 3, 2, 1]),
        ("SELECT a FROM s GROUP BY a ORDER BY SUM(b), a", [1, 3, 2]),
        ("SELECT COUNT(*) FROM s GROUP BY ROLLUP (a) ORDER BY GROUPING(a), 1", [1, 1, 2, 4]),
    ]:
        result = session.execute(sql)
        assert isinstance(result, Result)
        assert result.append
        assert result.fetchall() == [(row,) for row in rows]


_INTO = "INSERT INTO o SELECT a, SUM(b) FROM s GROUP BY a ORDER BY SUM(b) DESC"
_AT_END = "__table.exec.sort.non-temporal.enabled__"


def test_an_insert_is_sorted_where_that_is_asked_for(tmp_path: Path) -> None:
    """Once, at the end of its tables: what changed before is not written."""
    config = {"execution.checkpointing.dir": str(tmp_path / "jobs"), _AT_END: "true"}
    with flowsql.connect(config=config) as session:
        session.from_arrow("s", pa.table({"a": [2, 3, 1, 2], "b": [10, 5, 12, 1]}))
        session.execute(
            "CREATE TABLE o (a BIGINT, n BIGINT) WITH "
            f"('connector' = 'filesystem', 'format' = 'csv', 'path' = '{tmp_path / 'o'}')"
        )
        session.execute(_INTO).wait()
        (file,) = (tmp_path / "o").glob("[!._]*")
        assert file.read_text().split() == ["1,12", "2,11", "3,5"]
        session.execute(f"SET '{_AT_END}' = 'false'")
        with pytest.raises(flowsql.SqlError, match="is not supported on a stream") as caught:
            session.execute(_INTO)
        assert _AT_END in str(caught.value.hint)
        session.execute(f"SET '{_AT_END}' = 'true'")
        session.execute("CREATE TABLE g (a BIGINT) WITH ('connector' = 'datagen')")
        with pytest.raises(flowsql.SqlError, match='table "g", which never ends, would never give'):
            session.execute("INSERT INTO o SELECT a, a FROM g ORDER BY a")
