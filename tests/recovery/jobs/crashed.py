"""One SQL job that runs to its end on a disk that is recorded, and again on what a crash left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import flowsql
from flowsql.connector import FileOperation, observe_files
from flowsql.runtime.job import Job
from tests.recovery.disk import Loss, Recorder, crashes

__all__ = ["CrashedJob"]


class CrashedJob:
    """A bounded job whose state and results are below one folder.

    Args:
        script: its statements.
        disk: the folder; its state is in `jobs`.
        name: the job's id.
    """

    def __init__(self, script: str, disk: Path, name: str) -> None:
        disk.mkdir()
        self._script = script
        self._disk = disk
        self._record = disk / "jobs" / name / "job.json"

    def crashes(self, loss: Loss, cuts: int) -> Iterator[tuple[int, FileOperation]]:
        """Run it, and give, one after the other, what crashes would have left (see `disk.crashes`)."""
        recorder = Recorder()
        with observe_files(recorder):
            self._run()
        operations = [o for o in recorder.operations if o.path.startswith(str(self._disk))]
        yield from crashes(operations, self._disk, loss, cuts)

    def run_again(self) -> None:
        """From what is left to the end, unless it had come there."""
        if not (self._record.exists() and json.loads(self._record.read_text())["finished"]):
            self._run()

    def _run(self) -> None:
        with flowsql.connect() as session:
            job = session.execute(self._script)
            assert isinstance(job, Job)
            assert job.wait(60)
