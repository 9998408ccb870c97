"""The power goes off between any two disk operations of a whole job, and un-synced writes are lost.

The journal of one run is cut after every so many operations; each cut is written out as the disk a
crash would leave, and the job is run again on it to its end.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flowsql.config import EngineSettings
from flowsql.connector import observe_files
from flowsql.runtime.job import Job
from tests.recovery.disk import Disk, Loss, Recorder
from tests.recovery.toys import (
    KnownPlan,
    Numbers,
    Parts,
    committed_changes,
    expected_sums,
    fold,
    job_plan,
)

TOTAL = 3000


def run(root: Path, pause: float = 0.0) -> None:
    """The job, from whatever the disk holds to its end."""
    plan = job_plan(Numbers(TOTAL, splits=2, size=100, pause=pause), Parts(root / "out"))
    settings = EngineSettings(
        checkpoint_dir=root / "jobs", checkpoint_interval=10, step_max_rows=400
    )
    job = Job("sums", plan, settings, codec=KnownPlan(plan.plan))
    job.run()
    if job.error is not None:
        raise job.error


@pytest.mark.parametrize("loss", list(Loss))
def test_after_any_crash_the_job_ends_right(tmp_path: Path, loss: Loss) -> None:
    """Every row once, whatever the disk forgot."""
    root = tmp_path / "disk"
    recorder = Recorder()
    with observe_files(recorder):
        run(root, pause=0.002)
    # Every checkpoint changes the same files in the same way: the first few, and the end.
    operations = recorder.operations
    cuts = [*range(1, min(160, len(operations)), 5), *range(len(operations) - 24, len(operations))]
    disk = Disk(root)
    at = 0
    for cut in cuts:
        for operation in operations[at:cut]:
            if operation.path.startswith(str(root)):
                disk.apply(operation)
        at = max(at, cut)
        target = tmp_path / f"after-{cut}"
        disk.materialize(target, loss)
        finished = (target / "jobs" / "sums" / "job.json").exists() and (
            '"finished": true' in (target / "jobs" / "sums" / "job.json").read_text()
        )
        if not finished:
            run(target)
        assert fold(committed_changes(target / "out")) == expected_sums(TOTAL, 2), (cut, loss)
