"""What the sink writes by key, the streaming scan reads as the same changes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa

import flowsql
from flowsql.changelog import DELETE, INSERT, Changes

from .lake import Lake

_SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


def _changes(choose: random.Random, rows: dict[int, str], number: int) -> Changes:
    """A few updates, as deletions and insertions; `rows` is what they leave."""
    changed: list[tuple[int, str, int]] = []
    for key in choose.sample(range(8), 4):
        if key in rows:
            changed.append((key, rows.pop(key), DELETE))
        if choose.random() < 0.7:
            rows[key] = f"{key}.{number}"
            changed.append((key, rows[key], INSERT))
    ids, names, kinds = zip(*changed, strict=True)
    batch = pa.RecordBatch.from_arrays([pa.array(ids, pa.int64()), pa.array(names)], schema=_SCHEMA)
    return Changes(batch, pa.array(kinds, pa.int8()))


def test_changes_that_are_written_come_back(tmp_path: Path) -> None:
    """A job's rows in one snapshot each; folded, they are what was written."""
    lake, choose = Lake(tmp_path), random.Random(5)
    reading = lake.session()
    reading.execute("USE CATALOG lake")
    reading.execute(
        "CREATE TABLE t (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)"
        " WITH ('write.upsert.enabled' = 'true')"
    )
    hint = "/*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '10ms') */"
    result = reading.execute(f"SELECT * FROM t {hint}")
    steps = result.changes()
    rows: dict[int, str] = {}
    found: Counter[tuple[int, str]] = Counter()
    for number in range(5):
        # What was there is not in the input of the next job: it only adds to what the table has.
        before = dict(rows)
        given = _changes(choose, rows, number)
        writing = flowsql.connect()
        writing.execute(f"CREATE CATALOG lake WITH ({lake.options})")
        first = pa.RecordBatch.from_pydict(
            {"id": list(before), "name": list(before.values())}, schema=_SCHEMA
        )
        writing.from_changes("given", _SCHEMA, [Changes(first), given], primary_key=["id"])
        writing.execute("INSERT INTO lake.`default`.t SELECT * FROM given").wait(60)
        changes = next(steps)
        kinds = changes.kinds.to_pylist() if changes.kinds is not None else [INSERT] * len(changes)
        for row, kind in zip(changes.batch.to_pylist(), kinds, strict=True):
            found[row["id"], row["name"]] += 1 if kind in (0, 2) else -1
        there = reading.execute("SELECT * FROM t").fetchall()
        assert +found == Counter(there)
        assert min(found.values()) >= 0
    result.close()
    lake.close()
