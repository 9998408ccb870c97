"""What the benchmarks share: input made once, a session on one core, one line a result.

Every question is asked in SQL and answered by the library in a process of its own, on one core,
with Arrow's threads set to one. Planning and reading the input are counted, up to the end of the
last step; the checkpoint with which a job ends is given apart. A result gives rows a second by the
clock and by processor time: on a machine that does other work as well only the second says
something, and even that suffers from neighbours in the caches.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import flowsql
from flowsql.runtime.execution import Execution

CACHE = Path(tempfile.gettempdir()) / "flowsql-benchmarks"
_CHUNK = 1_000_000

Make = Callable[[np.random.Generator, int, int], pa.Table]


def arguments(description: str | None, rows: int = 10_000_000) -> argparse.Namespace:
    """`--rows N`."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=rows)
    return parser.parse_args()


def alone(call: Callable[..., None], *values: Any) -> None:
    """`call(*values)` in a new process, so that each result has its own peak of memory."""
    process = get_context("spawn").Process(target=_on_one_core, args=(call, values))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def _on_one_core(call: Callable[..., None], values: Sequence[Any]) -> None:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    call(*values)


# -- input ---------------------------------------------------------------------------------


def parquet(name: str, rows: int, make: Make) -> Path:
    """A Parquet file of `rows` rows, made by `make(random, start, count)` in pieces, once."""
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{name}-{rows}.parquet"
    if not path.exists():
        random = np.random.default_rng(7)
        pieces = (
            make(random, start, min(_CHUNK, rows - start)) for start in range(0, rows, _CHUNK)
        )
        _write(path, pieces, pq.ParquetWriter)
    return path


def csv(source: Path) -> Path:
    """The same rows as a CSV file without a header."""
    path = source.with_suffix(".csv")
    if not path.exists():
        options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
        with pq.ParquetFile(source) as file:
            groups = (file.read_row_group(i) for i in range(file.num_row_groups))
            _write(path, groups, lambda p, s: pa.csv.CSVWriter(p, s, write_options=options))
    return path


def _write(
    path: Path, pieces: Iterator[pa.Table], open_writer: Callable[[Path, pa.Schema], Any]
) -> None:
    part = path.with_suffix(".part")
    writer = None
    for piece in pieces:
        writer = writer or open_writer(part, piece.schema)
        writer.write_table(piece)
    assert writer is not None
    writer.close()
    part.rename(path)


# -- a session -----------------------------------------------------------------------------


@dataclass
class Steps:
    """How long the steps of all jobs of this process took, in milliseconds.

    Attributes:
        cpu: processor time of the engine's thread; other processes do not count.
        wall: by the clock.
        resident: memory in MB, noted every so many steps.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)

    def percentiles(self, last: int, *points: float) -> list[float]:
        """Of the processor time of the last steps."""
        return [float(p) for p in np.percentile(self.cpu[-last:], points)]


def watch_steps(memory_every: int = 0) -> Steps:
    """Measure every step from here on, memory every so many."""
    steps, run = Steps(), Execution.step

    def step(execution: Execution, *, drain: bool = False) -> bool:
        wall, cpu = time.perf_counter(), time.thread_time()
        ran = run(execution, drain=drain)
        if ran:
            steps.cpu.append((time.thread_time() - cpu) * 1e3)
            steps.wall.append((time.perf_counter() - wall) * 1e3)
            if memory_every and len(steps.cpu) % memory_every == 0:
                steps.resident.append(memory()[0])
        return ran

    Execution.step = step  # type: ignore[method-assign]
    return steps


def session() -> flowsql.Session:
    """A session that writes no checkpoint on the way."""
    folder = tempfile.mkdtemp(prefix="flowsql-benchmark-")
    # Its last checkpoint is as large as the state that was measured.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return flowsql.connect(
        {"execution.checkpointing.dir": folder, "execution.checkpointing.interval": "1 h"},
        tune_process=True,
    )


def files(s: flowsql.Session, name: str, columns: str, path: Path) -> None:
    """A table over a Parquet or CSV file."""
    s.execute(
        f"CREATE TABLE {name} ({columns}) WITH ('connector' = 'filesystem', "
        f"'path' = '{path}', 'format' = '{path.suffix[1:]}')"
    )


def nowhere(s: flowsql.Session, query: str, key: str = "") -> str:
    """The statement that runs a query into nothing; its sink has the query's columns.

    Args:
        s: the session.
        query: a SELECT.
        key: columns of the sink's primary key.
    """
    fields = s.execute(query).schema.fields
    columns = [f"`{f.name}` {f.type}" for f in fields]
    if key:
        columns.append(f"PRIMARY KEY ({key}) NOT ENFORCED")
    name = f"nowhere_{len(s.execute('SHOW TABLES').fetchall())}"
    s.execute(f"CREATE TABLE {name} ({', '.join(columns)}) WITH ('connector' = 'blackhole')")
    return f"INSERT INTO {name} {query}"


def timed(s: flowsql.Session, statement: str) -> tuple[float, float, float]:
    """Run a job to its end.

    Returns:
        Seconds by the clock and of processor time until its last step is over; processor time of
        the checkpoint with which it ends.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    last = (wall, cpu)
    run = Execution.step

    def step(execution: Execution, *, drain: bool = False) -> bool:
        nonlocal last
        ran = run(execution, drain=drain)
        last = (time.perf_counter(), time.process_time())
        return ran

    Execution.step = step  # type: ignore[method-assign]
    s.execute(statement).wait()
    return last[0] - wall, last[1] - cpu, time.process_time() - last[1]


def memory() -> tuple[float, float]:
    """Resident memory of this process in MB: now, and at most so far."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    now, peak = (int(re.search(rf"{n}:\s+(\d+)", text)[1]) for n in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return now * 1024 / 1e6, peak * 1024 / 1e6


def report(name: str, rows: int, taken: tuple[float, float, float]) -> None:
    """One line."""
    wall, cpu, checkpoint = taken
    _, peak = memory()
    print(
        f"{name}: {rows / cpu / 1e6:.2f} M rows/s by processor time, {rows / wall / 1e6:.2f} by "
        f"the clock ({rows:,} rows, {cpu:.2f} s, {wall:.2f} s, last checkpoint {checkpoint:.2f} s, "
        f"resident at most {peak:.0f} MB)",
        flush=True,
    )
