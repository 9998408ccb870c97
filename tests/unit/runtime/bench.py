"""A folder for jobs of one statement, and what happens to its disk."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowsql.checkpoint import CheckpointStore
from flowsql.config import EngineSettings
from flowsql.connector import FileOperation
from flowsql.runtime.job import Job
from flowsql.runtime.log import Line
from tests.recovery.toys import (
    KnownPlan,
    Numbers,
    Parts,
    job_plan,
    sums_plan,
)


class Bench:
    """Makes jobs `sums` over one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.jobs = folder / "jobs"
        self.events: list[str] = []
        self.lines: list[Line] = []

    def job(
        self, source: Numbers, *, target: Parts | None = None, fingerprint: str = "sums-1",
        job_id: str = "sums", fresh: bool = False, resume: bool = False, **settings: Any,
    ) -> Job:  # fmt: skip
        plan = job_plan(source, target or Parts(self.out), fingerprint=fingerprint)
        made = {"checkpoint_dir": self.jobs, "checkpoint_interval": 10, "step_max_rows": 300}
        return Job(
            job_id, plan, EngineSettings(**{**made, **settings}), fresh=fresh, resume=resume,
            codec=KnownPlan(sums_plan()), events=self._hear,
        )  # fmt: skip

    def _hear(self, line: Line) -> None:
        self.lines.append(line)
        if line.wanted("info"):
            self.events.append(line.message)

    def run(self, source: Numbers, **settings: Any) -> Job:
        """To its end; raises what went wrong."""
        job = self.job(source, **settings)
        job.run()
        if job.error is not None:
            raise job.error
        return job

    def store(self, job_id: str = "sums") -> CheckpointStore:
        return CheckpointStore(self.jobs / job_id / "checkpoints")

    def stop_after(
        self, source: Numbers, rows: int, *, drain: bool = False, **settings: Any
    ) -> Job:
        """Run until so many rows were read and a checkpoint was taken, then stop."""
        job = self.job(source, **settings).start()
        until(lambda: job.status().get("rows_in", 0) >= rows and self.store().numbers())
        job.stop(drain=drain)
        assert job.wait(60)
        return job


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def endless(total: int = 5000, pause: float = 0.001) -> Numbers:
    """A source that stays open after its last row."""
    return Numbers(total, size=100, pause=pause, bounded=False)


class FullDisk:
    """No manifest can be written while `full`."""

    def __init__(self) -> None:
        self.full = True
        self.refused = 0

    def before(self, operation: FileOperation) -> None:
        if self.full and operation.path.endswith("manifest.json.tmp"):
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def after(self, operation: FileOperation) -> None:
        pass
