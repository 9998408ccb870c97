"""Where a job starts: anew, or at a checkpoint; and whether its targets agree (DESIGN 8, 11)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowsql.checkpoint import Checkpoint, load
from flowsql.connector import JSON
from flowsql.errors import StateError
from flowsql.physical import PhysicalPlan
from flowsql.physical.specs import Sink
from flowsql.runtime.folder import JobFolder, JobRecord, new_run
from flowsql.runtime.graph import JobPlan

__all__ = ["PlanCodec", "Start", "check_targets", "choose_start"]


class PlanCodec(Protocol):
    """Plans as JSON, and what differs between two."""

    def encode(self, plan: PhysicalPlan) -> JSON:
        """For the manifest."""

    def decode(self, stored: JSON) -> PhysicalPlan:
        """From the manifest; executes nothing."""

    def difference(self, old: PhysicalPlan, new: PhysicalPlan) -> str:
        """What changed, in sentences."""


@dataclass(frozen=True)
class Start:
    """How a job starts.

    Attributes:
        checkpoint: where from; None for the beginning.
        record: run and attempt.
        last: highest number of any checkpoint of the job.
        plan: that runs: the stored one where there is a checkpoint.
    """

    checkpoint: Checkpoint | None
    record: JobRecord
    last: int
    plan: PhysicalPlan


def choose_start(
    job: str,
    plan: PhysicalPlan,
    folder: JobFolder | None,
    *,
    path: Path | None,
    fresh: bool,
    codec: PlanCodec,
) -> Start:
    """Decide, and check what is restored.

    Args:
        job: the job's id.
        plan: as planned now.
        folder: of the job, opened; None where it has none.
        path: `execution.state-recovery.path`.
        fresh: begin anew even where there is something to resume.
        codec: for plans.

    Raises:
        StateError: the checkpoint is damaged, foreign, or of another statement.
    """
    record = None if folder is None else folder.record()
    numbers = [] if folder is None else folder.store.numbers()
    last = max(numbers, default=0)
    found = None
    if path is not None:
        found = load(path.absolute())
    elif record is not None and folder is not None and not fresh and not record.finished:
        found = _latest(folder, numbers, record.run)
    if found is None:
        if record is not None and not fresh and not record.finished:
            # Killed before its first checkpoint: the same run begins again.
            again = JobRecord(record.run, record.attempt + 1, past=record.past)
            return Start(None, again, last, plan)
        past = [] if record is None else [*record.past, *([record.run] if record.finished else [])]
        return Start(None, JobRecord(new_run(), 1, past=past), last, plan)
    found.check()
    manifest = found.manifest
    stored = _stored_plan(job, plan, found, codec)
    attempt = manifest.attempt
    past = []
    if record is not None:
        past = record.past
        attempt = max(attempt, record.attempt) if record.run == manifest.run else attempt
        if record.finished and record.run not in past and record.run != manifest.run:
            past = [*past, record.run]
    resumed = JobRecord(manifest.run, attempt + 1, past=[r for r in past if r != manifest.run])
    return Start(found, resumed, max(last, manifest.checkpoint), stored)


def latest(folder: JobFolder, run: str) -> Checkpoint | None:
    """The newest checkpoint of a run, checked; for a restart within the process."""
    found = _latest(folder, folder.store.numbers(), run)
    if found is not None:
        found.check()
    return found


def _latest(folder: JobFolder, numbers: Iterable[int], run: str) -> Checkpoint | None:
    for number in sorted(numbers, reverse=True):
        found = folder.store.load(number)
        if found.manifest.run == run:
            return found
    return None


def _stored_plan(job: str, plan: PhysicalPlan, found: Checkpoint, codec: PlanCodec) -> PhysicalPlan:
    stored = codec.decode(found.manifest.plan)
    if found.manifest.fingerprint == plan.fingerprint:
        return stored
    raise StateError(
        f'the statement of job "{job}" is not the one its checkpoint was taken with',
        detail=f'Checkpoint "{found.folder}": {codec.difference(stored, plan)}',
        hint="Run the old statement, begin anew with --fresh, or give the job another "
        "'pipeline.name'.",
    )


def check_targets(job: str, plan: JobPlan, start: Start) -> None:
    """Refuse a start that would lose or double rows in an exactly-once target.

    Raises:
        StateError: a target holds more than the start knows of.
    """
    record = start.record
    for node in plan.plan.nodes:
        if not isinstance(node.spec, Sink):
            continue
        resolved = plan.sink_table(node.spec.table)
        found = resolved.connector.sink(resolved.table).committed(job)
        if found is None or (found.run != record.run and found.run in record.past):
            continue
        holds = (
            f'table "{node.spec.table}" holds rows of job "{job}" up to checkpoint '
            f'{found.checkpoint} of run "{found.run}"'
        )
        if start.checkpoint is None:
            raise StateError(
                f"{holds}, and the job would start anew",
                hint="Resume it with --from PATH at that checkpoint or a later one, give the job "
                "another 'pipeline.name', or empty the table together with what it knows of the "
                "job.",
            )
        manifest = start.checkpoint.manifest
        if found.run != manifest.run or found.checkpoint > manifest.checkpoint:
            raise StateError(
                f"{holds}, and the job would go back to checkpoint {manifest.checkpoint} of run "
                f'"{manifest.run}"',
                detail=f'The checkpoint is "{start.checkpoint.folder}".',
                hint=f"Start from checkpoint {found.checkpoint} or a later one, or give the job "
                "another 'pipeline.name'.",
            )
