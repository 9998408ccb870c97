"""What do upserts into a large Iceberg table cost: a checkpoint's commit, and memory for the index?

A table of 10 M rows is written by key, then 1 M of its rows, anywhere in it, are replaced in one
checkpoint: taking the rows, `prepare` (files complete and durable), `commit` (one snapshot) and
copying the state are given apart. Promised: the commit at most 2 s, the index at most 60 B a key.
Then a restart finds the keys of all rows in the table's files, as where a job begins with it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from _common import alone

from flowsql.changelog import ChangelogMode, Changes
from flowsql.connector import Attempt, ConnectorTable, Writer
from flowsql.connector.plugins import find_connector
from flowsql.state.store import StateStore
from flowsql.testing import attempt_context, connector_table

Ints = npt.NDArray[np.int64]

BATCH = 1 << 16
KEYS: dict[str, Callable[[Ints], Ints]] = {
    "dense": lambda numbers: numbers,
    # Far apart, so that they cannot be addressed directly.
    "spread": lambda numbers: (numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(
        np.int64
    ),
}


def main() -> None:
    """Both kinds of keys."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--upserts", type=int, default=1_000_000)
    given = parser.parse_args()
    for kind in KEYS:
        alone(measure, kind, given.rows, given.upserts)


def measure(kind: str, rows: int, upserts: int) -> None:
    """One table."""
    folder = Path(tempfile.mkdtemp(prefix="flowsql-iceberg-"))
    try:
        _measure(folder, kind, rows, upserts)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, kind: str, rows: int, upserts: int) -> None:
    table = declared(folder)
    random = np.random.default_rng(3)
    writer, store = opened(table, folder, 1)
    fill = Watch()
    for start in range(0, rows, BATCH):
        write(writer, store, KEYS[kind](np.arange(start, min(rows, start + BATCH))), start)
    token = writer.prepare(1)
    assert token is not None
    writer.commit(token)
    print(f"{kind} keys: {rows:,} rows written by key in {fill}")
    chosen = KEYS[kind](random.choice(rows, upserts, replace=False))
    taking = Watch()
    for start in range(0, upserts, BATCH):
        write(writer, store, chosen[start : start + BATCH], rows + start)
    print(f"  {upserts:,} upserts taken in {taking}")
    preparing = Watch()
    token = writer.prepare(2)
    assert token is not None
    print(f"  prepared in {preparing}")
    copying = Watch()
    segments = store.segments()
    print(f"  state copied in {copying}, {sum(b.nbytes for s in segments for b in s.batches):,} B")
    committing = Watch()
    writer.commit(token)
    print(f"  committed in {committing}")
    held = sum(stats.bytes for stats in store.stats().values())
    print(f"  index: {held / rows:.1f} B a key")
    writer.close()
    finding = Watch()
    opened(table, folder, 2)
    print(f"  a new job finds all keys in {finding}")


def declared(folder: Path) -> ConnectorTable:
    """The table."""
    options = {
        "connector": "iceberg",
        "catalog-name": "lake",
        "uri": f"jdbc:sqlite:{folder}/catalog.db",
        "warehouse": str(folder),
        "write.upsert.enabled": "true",
        "write.target-file-size-bytes": str(16 << 20),
    }
    columns = "id BIGINT, name STRING, amount BIGINT"
    return connector_table(columns, options, primary_key=("id",))


def opened(table: ConnectorTable, folder: Path, number: int) -> tuple[Writer, StateStore]:
    """A writer of a run of its own."""
    context = attempt_context(folder / "job")
    attempt = Attempt("benchmark", f"r{number}", 1)
    context = replace(context, attempt=attempt, mode=ChangelogMode.UPSERT)
    writer = find_connector("iceberg").sink(table).open(context, [])
    store = StateStore.open(writer.state)
    writer.open_state(store.tables)
    return writer, store


def write(writer: Writer, store: StateStore, keys: Ints, first: int) -> None:
    """A step."""
    amounts = np.arange(first, first + len(keys))
    names = pa.array(amounts % 1000).cast(pa.string())
    columns = [pa.array(keys), names, pa.array(amounts)]
    writer.write(Changes(pa.RecordBatch.from_arrays(columns, names=["id", "name", "amount"])))
    writer.end_step()
    store.end_step()


class Watch:
    """Seconds since it was made, by the clock and by processor time."""

    def __init__(self) -> None:
        self._clock, self._busy = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        clock, busy = time.perf_counter() - self._clock, time.process_time() - self._busy
        return f"{clock:.2f} s ({busy:.2f} s of processor time)"


if __name__ == "__main__":
    main()
