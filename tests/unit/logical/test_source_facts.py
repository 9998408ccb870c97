"""What settings and options say of a source: duplicates, parallelism, its own watermark."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes
from tests.support.connectors import Rows, WatermarkAt
from tests.support.engine import Engine, Table

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.int64())])
DUPLICATES = "SET 'table.exec.source.cdc-events-duplicate' = 'true'"


@pytest.fixture
def session() -> Iterator[flowsql.Session]:
    """A session that is closed behind the test."""
    with flowsql.connect() as made:
        yield made


def _changes(rows: list[tuple[int, int]], codes: list[int]) -> Changes:
    batch = pa.RecordBatch.from_pylist([{"k": k, "v": v} for k, v in rows], SCHEMA)
    return Changes(batch, np.array(codes, np.int8))


def test_changes_that_come_twice_count_once(session: flowsql.Session) -> None:
    """By the primary key; without the setting they are added up, as in Flink."""
    first = _changes([(1, 10), (2, 20)], [0, 0])
    update = _changes([(1, 10), (1, 11), (2, 20)], [1, 2, 3])
    session.from_changes("t", SCHEMA, [first, update, first, update, update], primary_key=["k"])
    session.from_changes("plain", SCHEMA, [first, update])
    query = "SELECT k, v FROM t"
    assert session.execute(query).fetchall() != [(1, 11)]
    session.execute(DUPLICATES)
    assert session.execute(query).fetchall() == [(1, 11)]
    assert "Normalize(keys=[k])" in session.execute(f"EXPLAIN {query}").fetchall()[0][0]
    with pytest.raises(flowsql.FlowSQLError) as error:
        session.execute("SELECT * FROM plain")
    assert str(error.value) == (
        'ConfigError at 1:15: table "plain" gives changes that may come more than once, and has no '
        "PRIMARY KEY\n  SELECT * FROM plain\n                ^^^^^\n"
        "Detail: 'table.exec.source.cdc-events-duplicate' is set.\n"
        "Hint: Declare PRIMARY KEY (…) NOT ENFORCED, by which a change is told from a new one; or "
        "RESET 'table.exec.source.cdc-events-duplicate'."
    )


def test_the_setting_is_no_part_of_a_job_that_it_does_not_touch(session: flowsql.Session) -> None:
    """A job over other tables goes on from its checkpoint whatever the setting is."""
    session.from_arrow("t", pa.table({"a": [1]}))
    explained = session.execute("EXPLAIN CHANGELOG_MODE SELECT * FROM t").fetchall()
    session.execute(DUPLICATES)
    assert session.execute("EXPLAIN CHANGELOG_MODE SELECT * FROM t").fetchall() == explained


@pytest.mark.parametrize(
    ("ddl", "use"),
    [
        ("'connector' = 'datagen', 'scan.parallelism' = '{}'", "SELECT * FROM t"),
        ("'connector' = 'print', 'sink.parallelism' = '{}'", "INSERT INTO t VALUES (1)"),
    ],
)
def test_a_parallelism_below_one_is_refused_where_it_is_used(
    session: flowsql.Session, ddl: str, use: str
) -> None:
    """As in Flink the declaration stands."""
    for wrong in (0, -1):
        session.execute(f"CREATE TABLE t (x INT) WITH ({ddl.format(wrong)})")
        with pytest.raises(flowsql.ConfigError, match=f"invalid configured parallelism {wrong}\n"):
            session.execute(use)
        session.execute("DROP TABLE t")


def test_who_gives_no_watermark_is_refused(session: flowsql.Session) -> None:
    """SOURCE_WATERMARK() needs a source that knows its time."""
    session.execute(
        "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS SOURCE_WATERMARK()) "
        "WITH ('connector' = 'datagen')"
    )
    message = r'connector "datagen" has no watermark of its own for SOURCE_WATERMARK\(\)'
    with pytest.raises(flowsql.ConfigError, match=message) as error:
        session.execute("SELECT * FROM t")
    assert "WATERMARK FOR ts AS ts - INTERVAL '5' SECOND" in str(error.value)


def test_the_source_says_how_far_time_is() -> None:
    """Rows raise no watermark; what the source vouches for closes windows and makes rows late."""
    start = 1_577_836_800_000
    times = [start * 1000 + s * 1_000_000 for s in (1, 20, 2, 3)]
    steps = [
        [Rows("t", (("+I", (times[0],)), ("+I", (times[1],)), ("+I", (times[2],))))],
        [WatermarkAt("t", start + 5_000)],
        [Rows("t", (("+I", (times[3],)),))],
    ]
    table = Table("t", ("ts TIMESTAMP(3)", "WATERMARK FOR ts AS SOURCE_WATERMARK()"))
    query = (
        "SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), "
        "INTERVAL '5' SECOND)) GROUP BY window_start, window_end"
    )
    answer = Engine([table]).select(query, steps)
    assert sorted(row[1] for _, _, row in answer.changes) == [1, 2]
