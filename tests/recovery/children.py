"""What the killed children run."""

from __future__ import annotations

import json
from pathlib import Path

from flowsql.config import EngineSettings
from flowsql.runtime.job import Job
from tests.recovery.toys import KnownPlan, Numbers, Parts, job_plan, sums_plan


def sums(folder: str, total: int, aggregate: bool, splits: int = 2, early: bool = False) -> None:
    """Numbers → filter → GROUP BY → parts, with a checkpoint every 20 ms; once."""
    root = Path(folder)
    record = root / "jobs" / "sums" / "job.json"
    if record.exists() and json.loads(record.read_text())["finished"]:
        return
    source = Numbers(total, splits=splits, size=50, pause=0.004, transaction=3)
    plan = job_plan(source, Parts(root / "out", early=early), sums_plan(aggregate=aggregate))
    settings = EngineSettings(
        checkpoint_dir=root / "jobs", checkpoint_interval=20, step_max_rows=400, num_retained=2
    )
    job = Job("sums", plan, settings, codec=KnownPlan(plan.plan))
    job.run()
    if job.error is not None:
        raise job.error
