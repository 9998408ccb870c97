"""What a terminal is shown when a job starts: its plan, where its state lives, what Ctrl-C does."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.config import EngineSettings
from flowsql.physical import explain_plan
from flowsql.physical.specs import Sink
from flowsql.runtime.job import Job

__all__ = ["opening"]

_DEFAULT_DATABASE = "default_catalog.default_database."
_MOST_LINES = 20


def opening(job: Job, settings: EngineSettings, at_commit: Sequence[str], width: int) -> list[str]:
    """The lines below the one that says that it starts.

    Args:
        job: that starts.
        settings: of the session.
        at_commit: names of the tables that show rows when a checkpoint is complete.
        width: of a line.
    """
    plan = explain_plan(job.plan, changelog=False).replace(_DEFAULT_DATABASE, "").split("\n")
    lines = [f"  {line}" for line in plan[:_MOST_LINES]]
    if len(plan) > _MOST_LINES:
        lines.append(f"  … and {len(plan) - _MOST_LINES} more, see EXPLAIN")
    every = settings.checkpoint_interval / 1000
    lasting = bool(every) and job.plan.streaming
    when = f"every {every:g} s" if lasting else "when it ends"
    facts = [("state", f"{settings.checkpoint_dir / job.id}, a checkpoint {when}")]
    if at_commit:
        tables = ", ".join(name.rpartition(".")[2] for name in at_commit)
        shown = "at each checkpoint" if lasting else when
        facts.append(("sinks", f"{tables} show{'s' * (len(at_commit) == 1)} rows {shown}"))
    url = job.board.url
    if url is not None:
        facts.append(("metrics", url))
    then = "stops it with a last checkpoint; the next run goes on from there"
    if not job.plan.streaming:
        then = f"stops it; the next run begins at the beginning, {_written(job, at_commit)}"
    facts.append(("Ctrl-C", then))
    lines += [f"{name:<7}  {text}" for name, text in facts]
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _written(job: Job, at_commit: Sequence[str]) -> str:
    """What a batch job that is stopped has left in its targets."""
    targets = [node.spec.table for node in job.plan.nodes if isinstance(node.spec, Sink)]
    each = [name.rpartition(".")[2] for name in targets if name not in at_commit]
    return f"{', '.join(each)} will get rows again" if each else "nothing was written"
