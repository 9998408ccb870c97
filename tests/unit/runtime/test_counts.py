"""Counters never fall while a process lives, though its job restarts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pytest

import flowsql
from flowsql.config import RestartStrategy
from flowsql.connector import observe_files
from flowsql.errors import StateError
from flowsql.runtime.counts import KEPT, counts_of, go_on
from flowsql.runtime.job import Job
from flowsql.runtime.metrics import METRICS, Kind
from tests.recovery.toys import Numbers
from tests.unit.runtime.bench import Bench, FullDisk, until

SCHEMA = pa.schema([("k", pa.int64()), ("ts", pa.timestamp("ms"))])
HOUR = 3_600_000
LATE = [10]
LATE_ROWS = ("flowsql_job_num_late_records_dropped_total", "shop")


class Steps:
    """Can be read again: every reading has the same items, and goes on until `over`."""

    def __init__(self) -> None:
        self.gates = [threading.Event(), threading.Event()]
        self.over = threading.Event()

    def __iter__(self) -> Iterator[pa.RecordBatch | None]:
        yield from map(rows, ([HOUR], [2 * HOUR], LATE))
        self.gates[0].wait(60)
        yield rows(LATE)
        self.gates[1].wait(60)
        yield rows([*LATE, *LATE])
        while not self.over.wait(0.01):
            yield None


def rows(times: list[int]) -> pa.RecordBatch:
    """One a time."""
    stamps = pa.array(times, pa.timestamp("ms"))
    return pa.record_batch({"k": pa.array(range(len(times)), pa.int64()), "ts": stamps}, SCHEMA)


def counters(job: Job) -> dict[tuple[str, ...], float]:
    """Name and labels → value of all counters; of histograms the number of all."""
    status = job.status()
    return {
        (metric.name, *labels): value["count"] if metric.kind == Kind.HISTOGRAM else value
        for metric in METRICS
        if metric.kind != Kind.GAUGE
        for labels, value in metric.samples(job.id, status)
    }


class Watching:
    """Reads all counters again and again while it is entered; `fallen` has those that fell."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.highest: dict[tuple[str, ...], float] = {}
        self.fallen: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        self.note()

    def _look(self) -> None:
        while not self._over.wait(0.002):
            self.note()

    def note(self) -> None:
        """Look once."""
        for key, value in counters(self._job).items():
            if value < self.highest.get(key, 0):
                self.fallen.append((key, self.highest[key], value))
            self.highest[key] = max(value, self.highest.get(key, 0))


def test_no_counter_falls_where_a_job_restarts(tmp_path: Path) -> None:
    """Whether the attempt before had a checkpoint or not."""
    source = Numbers(3000, size=100, pause=0.001, fail_at=[9, 15, 26])
    now = RestartStrategy("fixed-delay", 5, 1, 1)
    job = Bench(tmp_path).job(source, restart=now, checkpoint_interval=5)
    with Watching(job) as seen:
        job.start()
        assert job.wait(60)
    assert seen.fallen == []
    status = job.status()
    assert status["restarts"] == 3
    assert status["rows_in"] >= 3000
    assert status["sources"][0]["rows"] == status["rows_in"]
    assert status["step_seconds"]["count"] >= 10


def test_late_rows_that_are_read_again_are_late_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same process, and in the next, whose counters begin at 0."""
    monkeypatch.chdir(tmp_path)
    config = {
        "pipeline.name": "shop",
        "execution.checkpointing.interval": "1 h",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.delay": "1 ms",
    }
    steps = Steps()
    with started(config, steps) as job, Watching(job) as seen:
        until(lambda: job.status().get("late_rows") == 1)
        job.checkpoint(60)
        steps.gates[0].set()
        until(lambda: job.status()["late_rows"] == 2)
        assert counters(job)[LATE_ROWS] == 2
        with pytest.raises(StateError, match="could not write"), observe_files(FullDisk()):
            job.checkpoint(60)
        steps.gates[1].set()
        until(lambda: job.status()["late_rows"] == 4)
        assert counters(job)[LATE_ROWS] == 4
        assert (job.status()["restarts"], job.status()["rows_in"]) == (1, 3 + 1 + 1 + 2)
        job.stop()
        assert job.wait(60)
    assert seen.fallen == []
    with started(config, steps) as job:
        until(lambda: "counted" in job.status())
        assert (job.status()["late_rows"], counters(job)[LATE_ROWS]) == (4, 0)
        job.stop()
        assert job.wait(60)


@contextlib.contextmanager
def started(config: dict[str, str], steps: Steps) -> Iterator[Job]:
    """A job that counts by minutes what the steps give."""
    with flowsql.connect(config) as session:
        session.from_changes(
            "t", SCHEMA, steps, watermark="ts - INTERVAL '1' SECOND", mode="append"
        )
        session.execute("CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole')")
        job = session.execute(
            "INSERT INTO nowhere SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), "
            "INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
        )
        assert isinstance(job, Job)
        yield job
        steps.over.set()


def test_an_attempt_that_never_opened_keeps_the_counts() -> None:
    """It has no operators to count for."""
    seconds = {"count": 2, "sum": 0.5, "buckets": {"0.1": 1}}
    status: dict[str, Any] = dict.fromkeys(("rows_in", "rows_out", "bytes_in", "bytes_out"), 3)
    status |= dict.fromkeys(KEPT, 0) | {"step_seconds": dict(seconds), "late_rows": 5}
    status |= {"sources": [{"connector": "c", "tables": ["t"], "rows": 3, "bytes": 3}]}
    status |= {"sinks": {"s": 1}, "sink_bytes": {"s": 1}}
    status |= {"operators": [{"id": "a", "rows_in": 3, "rows_out": 1, "seconds": seconds}]}
    first = counts_of(status, {})
    empty = {
        **status,
        "operators": [],
        "sources": [],
        "sinks": {},
        "sink_bytes": {},
        "late_rows": 4,
    }
    go_on(empty, first)
    assert empty["late_rows"] == 5
    second = counts_of(empty, first)
    status["operators"][0]["seconds"] = {"count": 2, "sum": 0.5, "buckets": {"0.1": 1}}
    go_on(status, second)
    assert status["operators"] == [
        {
            "id": "a",
            "rows_in": 6,
            "rows_out": 2,
            "seconds": {"count": 4, "sum": 1.0, "buckets": {"0.1": 2}},
        }
    ]
    assert (status["sinks"], status["sources"][0]["rows"]) == ({"s": 2}, 6)
