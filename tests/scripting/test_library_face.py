"""The library's face, as a host program uses it: inputs by step, changes by step, restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

import flowsql
from flowsql.changelog import kind_names
from tests.support.connectors import Collection

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.int64())])
EVENTS = pa.schema([("v", pa.int64()), ("ts", pa.timestamp("ms"))])


def batch(*rows: tuple[int, int], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    """Rows as a record batch."""
    columns = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def test_items_of_one_ordinal_are_one_step() -> None:
    """A join sees both tables' rows of a step at once: no padded row in between."""
    with flowsql.connect() as session:
        session.from_changes("l", SCHEMA, [batch((1, 10)), None, batch((2, 20))])
        session.from_changes("r", SCHEMA, [batch((1, 11)), batch((2, 21)), None])
        query = "SELECT l.k, l.v, r.v AS w FROM l LEFT JOIN r ON l.k = r.k"
        given = [
            (c.step, kind_names(c), c.batch.to_pylist()) for c in session.execute(query).changes()
        ]
    assert given == [
        (1, ["+I"], [{"k": 1, "v": 10, "w": 11}]),
        (3, ["+I"], [{"k": 2, "v": 20, "w": 21}]),
    ]


def test_a_host_may_vouch_for_time() -> None:
    """`Watermark` closes windows between two batches."""
    steps = [
        batch((1, 1_000), (2, 2_000), schema=EVENTS),
        flowsql.Watermark(9_999),
        batch((5, 11_000), schema=EVENTS),
    ]
    with flowsql.connect() as session:
        session.from_changes("m", EVENTS, steps, watermark="ts - INTERVAL '1' HOUR")
        query = (
            "SELECT SUM(v) AS total FROM TABLE(TUMBLE(TABLE m, DESCRIPTOR(ts), INTERVAL '10' "
            "SECOND)) GROUP BY window_start, window_end"
        )
        given = [(c.step, c.batch.to_pylist()) for c in session.execute(query).changes()]
    assert [rows for _, rows in given] == [[{"total": 3}], [{"total": 5}]]
    assert given[0][0] == 2


class _Held:
    """Items that can be read again; the reader waits before `gate` until it is let go."""

    def __init__(self, items: list[pa.RecordBatch], gate: int) -> None:
        self.items, self.gate, self.go = items, gate, threading.Event()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for ordinal, item in enumerate(self.items):
            if ordinal == self.gate:
                self.go.wait(60)
            yield item


def test_a_job_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """`job.checkpoint()` gives a path, `execution.state-recovery.path` takes it."""
    items = [batch((1, 1)), batch((1, 2)), batch((1, 4))]
    Collection.known["face"] = collection = Collection()
    create = (
        "CREATE TABLE sums (k BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ("
        "'connector' = 'collected', 'collection' = 'face', 'changelog-mode' = 'I,UA,D')"
    )
    insert = "INSERT INTO sums SELECT k, SUM(v) FROM t GROUP BY k"
    config = {"execution.checkpointing.dir": str(tmp_path), "pipeline.name": "face"}
    try:
        with flowsql.connect(config) as session:
            held = _Held(items, 2)
            session.from_changes("t", SCHEMA, held, mode="append")
            session.execute(create)
            job = session.execute(insert)
            assert collection.wait_for(2, 60)
            path = job.savepoint(tmp_path / "kept", 20)
            held.go.set()
            assert job.wait(60)
        assert collection.changes[-1][2] == (1, 7)
        with flowsql.connect({**config, "pipeline.name": "again"}) as session:
            session.from_changes("t", SCHEMA, items, mode="append")
            session.execute(create)
            session.execute(f"SET 'execution.state-recovery.path' = '{path}'")
            assert session.execute(insert).wait(60)
    finally:
        del Collection.known["face"]
    assert [(kind, row) for _, kind, row in collection.changes] == [
        ("+I", (1, 1)),
        ("+U", (1, 3)),
        ("+U", (1, 7)),
    ]
