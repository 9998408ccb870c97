"""What the benchmarks share: input files made once, a chain of operators driven in steps, a report.

They run on one core with library threads set to one, read Parquet, and count the reading.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowsql.changelog import ChangelogMode, Changes
from flowsql.expr import EvalSettings, StepClock
from flowsql.operators import Operator, OperatorContext
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import Spec, Values
from flowsql.physical.state_specs import declare_state
from flowsql.runtime.build import build_operator
from flowsql.state import StateStore
from flowsql.types import RowType

STEP_ROWS = 500_000
BATCH_ROWS = 1 << 16
CACHE = Path(tempfile.gettempdir()) / "flowsql-benchmarks"


def arguments(description: str | None, rows: int = 10_000_000) -> argparse.Namespace:
    """`--rows N`."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=rows)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return options


def parquet(
    name: str, rows: int, make: Callable[[np.random.Generator, int, int], pa.Table]
) -> Path:
    """A Parquet file of `rows` rows, made by `make(random, start, count)` in pieces, once."""
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{name}-{rows}.parquet"
    if path.exists():
        return path
    random = np.random.default_rng(7)
    part = path.with_suffix(".part")
    writer = None
    for start in range(0, rows, 1_000_000):
        table = make(random, start, min(1_000_000, rows - start))
        writer = writer or pq.ParquetWriter(part, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    part.rename(path)
    return path


def scan(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The file's batches, only these columns."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)


class Node:
    """One operator with its state."""

    def __init__(
        self,
        spec: Spec,
        inputs: Sequence[RowType],
        output: RowType,
        mode: ChangelogMode = ChangelogMode.RETRACT,
    ) -> None:
        self.output = output
        specs = declare_state(spec, tuple(inputs), output)
        self.store = StateStore.open(specs)
        sources = [
            PhysicalNode(f"in{i}", Values(()), (), row, ChangelogMode.RETRACT)
            for i, row in enumerate(inputs)
        ]
        ids = tuple(s.id for s in sources)
        node = PhysicalNode("op", spec, ids, output, mode, (), specs)
        self.operator: Operator = build_operator(node, sources, EvalSettings())
        self.operator.open(OperatorContext(self.store.tables, clock=StepClock(0)))

    def megabytes(self) -> float:
        """Memory of its state tables."""
        return sum(s.bytes for s in self.store.stats().values()) / 1e6


class Chain:
    """Operators one behind the other; only the first may have several ports.

    Attributes:
        rows_out: rows that came out at the end.
    """

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        self.rows_out = 0

    def push(self, changes: Changes, port: int = 0, at: int = 0) -> None:
        """A batch into node number `at`, and what comes of it into the next."""
        if at == len(self.nodes):
            self.rows_out += len(changes)
            return
        for out in self.nodes[at].operator.process(port, changes):
            self.push(out, 0, at + 1)

    def end_step(self, watermark: int | None = None) -> None:
        """Time, flush, maintenance, node by node."""
        for at, node in enumerate(self.nodes):
            if watermark is not None:
                for out in node.operator.advance(watermark):
                    self.push(out, 0, at + 1)
            for out in node.operator.flush():
                self.push(out, 0, at + 1)
            node.store.end_step()


def drive(chain: Chain, batches: Iterable[tuple[int, Changes, int | None]]) -> int:
    """All batches `(port, changes, watermark)` in steps of `STEP_ROWS`; returns the rows."""
    total = waiting = 0
    watermark = None
    for port, changes, mark in batches:
        chain.push(changes, port)
        watermark = mark if mark is not None else watermark
        waiting += len(changes)
        if waiting >= STEP_ROWS:
            chain.end_step(watermark)
            total, waiting = total + waiting, 0
    chain.end_step(watermark)
    return total + waiting


def report(name: str, chain: Chain, run: Callable[[], int]) -> float:
    """Run once and print rows a second, rows out and memory."""
    start, busy = time.perf_counter(), time.process_time()
    rows = run()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    state = sum(node.megabytes() for node in chain.nodes)
    rate = rows / seconds
    print(
        f"{name}: {rate / 1e6:.2f} M rows/s ({rows:,} rows in {seconds:.2f} s, CPU {busy:.2f} s, "
        f"{chain.rows_out:,} out, state {state:.0f} MB, resident at most {resident:.0f} MB)"
    )
    sys.stdout.flush()
    return rate
