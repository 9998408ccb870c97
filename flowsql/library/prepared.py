"""A statement between its plan and its start."""

from __future__ import annotations

from dataclasses import dataclass

from flowsql.library.result import Result
from flowsql.runtime.graph import JobPlan
from flowsql.runtime.job import Job

__all__ = ["Prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that was carried out as far as it can be without running anything.

    Attributes:
        answer: what it answers with: a job that was not started yet, or a result.
        wait: the next statement is begun when this job is over (`table.dml-sync`).
        at_commit: target tables that show rows at checkpoints only.
        plan: what it runs, where it runs anything.
    """

    answer: Result | Job
    wait: bool = False
    at_commit: tuple[str, ...] = ()
    plan: JobPlan | None = None
