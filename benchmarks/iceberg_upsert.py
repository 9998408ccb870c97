"""What do upserts into a large Iceberg table cost: a checkpoint's commit, and memory for the index?

Keys are whole numbers, dense or far apart, texts, or a number and a text together.

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Kind:
    """What rows are known by.

    Attributes:
        columns: declared, the key's.
        keys: row numbers → the key's columns.
    """

    columns: str
    keys: Callable[[Ints], list[pa.Array]]


def spread(numbers: Ints) -> pa.Array:
    """Far apart, so that they cannot be addressed directly."""
    return pa.array((numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64))


def digits(numbers: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Texts of one length."""
    return np.char.zfill(numbers.astype(f"U{width}"), width)


def long_texts(numbers: Ints) -> pa.Array:
    """As long as a UUID is as text, and different early on."""
    parts = digits(spread(numbers).to_numpy().view(np.uint64), 20), digits(numbers, 16)
    return pa.array(np.char.add(*parts))


KINDS = {
    "dense": Kind("id BIGINT", lambda numbers: [pa.array(numbers)]),
    "spread": Kind("id BIGINT", lambda numbers: [spread(numbers)]),
    "texts of 10": Kind("id STRING", lambda numbers: [pa.array(digits(numbers, 10))]),
    "texts of 36": Kind("id STRING", lambda numbers: [long_texts(numbers)]),
    "number, text of 10": Kind(
        "id BIGINT, part STRING", lambda numbers: [spread(numbers), pa.array(digits(numbers, 10))]
    ),
}


def main() -> None:
    """Every kind of keys, or one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--upserts", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=KINDS)
    given = parser.parse_args()
    for kind in [given.kind] if given.kind else KINDS:
        alone(measure, kind, given.rows, given.upserts)


def measure(kind: str, rows: int, upserts: int) -> None:
    """One table."""
    folder = Path(tempfile.mkdtemp(prefix="flowsql-iceberg-"))
    try:
        _measure(folder, kind, rows, upserts)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, kind: str, rows: int, upserts: int) -> None:
    chosen = KINDS[kind]
    table = declared(folder, chosen)
    random = np.random.default_rng(3)
    writer, store = opened(table, folder, 1)
    fill = Watch()
    for start in range(0, rows, BATCH):
        write(writer, store, chosen.keys(np.arange(start, min(rows, start + BATCH))), start)
    token = writer.prepare(1)
    assert token is not None
    writer.commit(token)
    print(f"{kind} keys: {rows:,} rows written by key in {fill}")
    numbers = random.choice(rows, upserts, replace=False)
    taking = Watch()
    for start in range(0, upserts, BATCH):
        write(writer, store, chosen.keys(numbers[start : start + BATCH]), rows + start)
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


def declared(folder: Path, kind: Kind) -> ConnectorTable:
    """The table."""
    options = {
        "connector": "iceberg",
        "catalog-name": "lake",
        "uri": f"jdbc:sqlite:{folder}/catalog.db",
        "warehouse": str(folder),
        "write.upsert.enabled": "true",
        "write.target-file-size-bytes": str(16 << 20),
    }
    columns = f"{kind.columns}, name STRING, amount BIGINT"
    key = tuple(column.split()[0] for column in kind.columns.split(", "))
    return connector_table(columns, options, primary_key=key)


def opened(table: ConnectorTable, folder: Path, number: int) -> tuple[Writer, StateStore]:
    """A writer of a run of its own."""
    context = attempt_context(folder / "job")
    attempt = Attempt("benchmark", f"r{number}", 1)
    context = replace(context, attempt=attempt, mode=ChangelogMode.UPSERT)
    writer = find_connector("iceberg").sink(table).open(context, [])
    store = StateStore.open(writer.state)
    writer.open_state(store.tables)
    return writer, store


def write(writer: Writer, store: StateStore, keys: list[pa.Array], first: int) -> None:
    """A step."""
    amounts = np.arange(first, first + len(keys[0]))
    columns = {f"key{i}": column for i, column in enumerate(keys)}
    columns |= {"name": pa.array(amounts % 1000).cast(pa.string()), "amount": pa.array(amounts)}
    writer.write(Changes(pa.RecordBatch.from_pydict(columns)))
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
