"""Where a job starts: anew, or at a checkpoint; and whether its targets agree (DESIGN 8, 11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowsql.checkpoint import Checkpoint, Manifest, load
from flowsql.connector import JSON
from flowsql.errors import FlowSQLError, StateError
from flowsql.physical import PhysicalPlan
from flowsql.physical.specs import Sink
from flowsql.runtime.folder import JobFolder, JobRecord, new_run
from flowsql.runtime.graph import JobPlan
from flowsql.runtime.targets import (
    Holding,
    accepts,
    emptying,
    held_by,
    holdings,
    known_holdings,
    lost,
    named,
)

__all__ = ["PlanCodec", "Start", "Starting", "latest", "without_last_checkpoint"]


class PlanCodec(Protocol):
    """Plans as JSON, and what differs between two."""

    def encode(self, plan: PhysicalPlan) -> JSON:
        """For the manifest."""

    def decode(self, stored: JSON) -> PhysicalPlan:
        """From the manifest; executes nothing."""

    def difference(self, old: PhysicalPlan, new: PhysicalPlan) -> str:
        """What changed, a line each."""


@dataclass(frozen=True)
class Start:
    """How a job starts.

    Attributes:
        checkpoint: where from; None for the beginning.
        record: run and attempt.
        last: highest number of any checkpoint of the job.
        plan: that runs: the stored one where there is a checkpoint.
        notice: what the user must know of it, a line; empty where nothing was there before.
    """

    checkpoint: Checkpoint | None
    record: JobRecord
    last: int
    plan: PhysicalPlan
    notice: str = ""


class Starting:
    """Decides where a job starts, and refuses what would lose or double rows.

    Every hint of a refusal names what works in the case at hand: the targets and the checkpoints
    are looked at before a cure is offered.

    Args:
        job: the job's id.
        plan: as planned now.
        folder: of the job, opened; None where it has none.
        codec: for plans.
    """

    def __init__(self, job: str, plan: JobPlan, folder: JobFolder | None, codec: PlanCodec) -> None:
        self._job = job
        self._plan = plan
        self._folder = folder
        self._codec = codec
        self._record = None if folder is None else folder.record()
        self._numbers = [] if folder is None else folder.store.numbers()

    def choose(self, *, path: Path | None, fresh: bool = False, resume: bool = False) -> Start:
        """Decide, and check what is restored and what the targets hold.

        Args:
            path: a checkpoint or savepoint that is to be taken.
            fresh: begin anew even where there is something to resume.
            resume: refuse to begin a first or a new run; one that ended before its first checkpoint
                begins again.

        Raises:
            StateError: the checkpoint is damaged, foreign, or of another statement; a target holds
                more than the start knows of; or there is nothing to resume.
        """
        if path is not None:
            start = self._restored(self._given(path.absolute()))
            self._check_targets(start)
            return start
        if not fresh:
            found = self._newest()
            if found is not None:
                start = self._restored(found)
                self._check_targets(start)
                return start
        record = self._record
        if resume and (record is None or record.finished):
            raise self._nothing_to_resume()
        start = self._anew(fresh=fresh)
        self._check_targets(start)
        return start

    # -- which checkpoint ---------------------------------------------------------------------

    def _given(self, path: Path) -> Checkpoint:
        try:
            found = load(path)
            found.check()
        except StateError as error:
            if "there is no checkpoint" not in error.message:
                error.hint = self._ways_on(path)
            raise
        record = self._record
        if (
            found.manifest.finished
            and record is not None
            and record.finished
            and record.run == found.manifest.run
        ):
            raise StateError(
                f'checkpoint "{path}" is the last one of a run that is finished: there is nothing '
                "to go on with",
                hint=self._after_finished(),
            )
        return found

    def _newest(self) -> Checkpoint | None:
        """The newest checkpoint of the run that is not finished."""
        record = self._record
        if record is None or record.finished or self._folder is None:
            return None
        for number in reversed(self._numbers):
            try:
                found = self._folder.store.load(number)
                if found.manifest.run == record.run:
                    found.check()
                    return found
            except StateError as error:
                if "version" not in (error.hint or ""):
                    error.hint = self._ways_on(self._folder.store.path(number))
                raise
        return None

    def _restored(self, found: Checkpoint) -> Start:
        manifest, record = found.manifest, self._record
        stored = self._codec.decode(manifest.plan)
        if manifest.fingerprint != self._plan.plan.fingerprint:
            raise self._another_statement(found, stored)
        attempt = manifest.attempt
        past = []
        if record is not None:
            past = record.past
            attempt = max(attempt, record.attempt) if record.run == manifest.run else attempt
            if record.finished and record.run not in past and record.run != manifest.run:
                past = [*past, record.run]
        past = [r for r in past if r != manifest.run]
        resumed = JobRecord(manifest.run, attempt + 1, past=past, aside=self._aside())
        number = manifest.checkpoint
        notice = f'resuming from checkpoint {number} at "{found.folder}"'
        if manifest.job != self._job:
            notice += f', which job "{manifest.job}" took'
        runs = stored.placed(self._plan.plan)
        return Start(found, resumed, max(self._last, number), runs, notice)

    @property
    def _last(self) -> int:
        return max(self._numbers, default=0)

    def _anew(self, *, fresh: bool) -> Start:
        record = self._record
        plan = self._plan.plan
        if record is None:
            first = JobRecord(new_run(), 1)
            return Start(None, first, self._last, plan, self._added())
        if not fresh and not record.finished:
            # Killed before its first checkpoint: the same run begins again.
            again = JobRecord(record.run, record.attempt + 1, past=record.past, aside=record.aside)
            notice = ["beginning again: it ended before its first checkpoint", self._added()]
            return Start(None, again, self._last, plan, "; ".join(n for n in notice if n))
        past = [*record.past, *([record.run] if record.finished else [])]
        new = JobRecord(new_run(), 1, past=past, aside=self._aside())
        return Start(None, new, self._last, plan, self._new_run_notice(record))

    def _aside(self) -> list[str]:
        """Runs that nobody goes on with once this start goes on with another one."""
        record = self._record
        return [] if record is None else [*(r for r in record.aside if r != record.run), record.run]

    def _new_run_notice(self, record: JobRecord) -> str:
        """That everything is read and written once more, and where that can be seen."""
        if record.finished:
            at = self._finished_at(record.run)
            why = f"the last run finished{f' at {at}' if at else ''}, so this is a new one"
        else:
            left = f", checkpoint {self._last} is left aside" if self._numbers else ""
            why = f"this is a new run, as --fresh asks{left}"
        added = self._added()
        if added:
            return f"{why}: all input is read again, and {added}"
        targets = [n.spec.table for n in self._plan.plan.nodes if isinstance(n.spec, Sink)]
        into = f" to {named(targets)}" if targets else ""
        return f"{why}: all input is read again, and its rows are written again{into}"

    def _added(self) -> str:
        """That the targets hold rows already, and whose; empty where they don't."""
        by_jobs: dict[tuple[str, ...], list[str]] = {}
        for table, jobs in held_by(self._plan).items():
            by_jobs.setdefault(jobs, []).append(table)
        held = []
        for jobs, tables in by_jobs.items():
            if jobs == (self._job,):
                held.append(f"{named(tables)} got from the last run")
            else:
                hold = "holds" if len(tables) == 1 else "hold"
                several = "job" if len(jobs) == 1 else "jobs"
                held.append(f"{named(tables)} {hold} of {several} {named(jobs)}")
        return f"its rows are ADDED to those that {' and that '.join(held)}" if held else ""

    def _finished_at(self, run: str) -> str | None:
        assert self._folder is not None
        for number in reversed(self._numbers):
            try:
                manifest = self._folder.store.load(number).manifest
            except StateError:
                continue
            if manifest.run == run and manifest.finished:
                return f"{manifest.created[:19]}Z"
        return None

    # -- what the targets hold ----------------------------------------------------------------

    def _check_targets(self, start: Start) -> None:
        """Refuse a start that would lose or double rows in an exactly-once target."""
        record, checkpoint = start.record, start.checkpoint
        jobs = [self._job]
        if checkpoint is not None and checkpoint.manifest.job != self._job:
            jobs.append(checkpoint.manifest.job)
        for job in jobs:
            for held in holdings(job, self._plan):
                if held.found.run != record.run and held.found.run in record.past:
                    continue
                holds = (
                    f'table "{held.table}" holds rows of job "{job}" up to checkpoint '
                    f'{held.found.checkpoint} of run "{held.found.run}"'
                )
                if checkpoint is None:
                    raise self._would_double(holds, held)
                if not accepts(held, checkpoint.manifest):
                    raise self._behind(holds, held, checkpoint, job)
        self.check_kept(checkpoint)

    def check_kept(self, checkpoint: Checkpoint | None) -> None:
        """Raise StateError where a target does not know any more what was committed to it.

        A restart within the process asks this alone: the rest was asked at its start.
        """
        # Another job's checkpoint may be taken into another target, as its start tells.
        if checkpoint is not None and checkpoint.manifest.job == self._job:
            missing = lost(self._plan, checkpoint.manifest)
            if missing:
                raise self._lost(missing, checkpoint)

    def _lost(self, missing: dict[str, int], checkpoint: Checkpoint) -> StateError:
        table, number = next(iter(missing.items()))
        manifest = checkpoint.manifest
        found = self._acceptable(checkpoint.folder)
        first = (
            f'Go on with --from "{found.folder}".'
            if found is not None
            else f"Bring back {named(list(missing))} from a copy, with what is known there of the job."
        )
        return StateError(
            f'table "{table}" has lost the rows of job "{manifest.job}": up to checkpoint {number} '
            f'of run "{manifest.run}" they were committed to it, and it does not know of them',
            detail=f"The job would go on from checkpoint {manifest.checkpoint} at "
            f'"{checkpoint.folder}", and rows from before would be missing for good.',
            hint=f"{first} {self._begin_anew(bare=list(missing))}",
            final=True,
        )

    def _would_double(self, holds: str, held: Holding) -> StateError:
        goes_on = self._goes_on()
        if goes_on is not None:
            first = f"Without --fresh it goes on from checkpoint {goes_on.manifest.checkpoint}."
        elif self._changed():
            first = "Run the old statement without --fresh to go on."
        else:
            ways = self._acceptable(None)
            first = (
                f'Go on with --from "{ways.folder}".'
                if ways is not None
                else f"If there is a copy of checkpoint {held.found.checkpoint} or a later one, go "
                "on with --from PATH."
            )
        return StateError(
            f"{holds}, and the job would start anew", hint=f"{first} {self._begin_anew()}"
        )

    def _behind(self, holds: str, held: Holding, checkpoint: Checkpoint, job: str) -> StateError:
        manifest = checkpoint.manifest
        goes_on = self._goes_on()
        if goes_on is not None and goes_on.folder != checkpoint.folder:
            first = f"Without --from it goes on from checkpoint {goes_on.manifest.checkpoint}."
        else:
            found = self._acceptable(checkpoint.folder)
            first = (
                f'Go on with --from "{found.folder}".'
                if found is not None
                else f"Only checkpoint {held.found.checkpoint} or a later one of run "
                f'"{held.found.run}" can be taken.'
            )
        return StateError(
            f"{holds}, and the job would go back to checkpoint {manifest.checkpoint} of run "
            f'"{manifest.run}"',
            detail=f'The checkpoint is "{checkpoint.folder}".',
            hint=f"{first} {self._begin_anew(() if job == self._job else (job,))}",
        )

    # -- cures --------------------------------------------------------------------------------

    def _usable(self, found: Checkpoint, held: Iterable[Holding]) -> bool:
        """Whether the job could go on from there."""
        try:
            found.check()
        except StateError:
            return False
        manifest = found.manifest
        if manifest.fingerprint != self._plan.plan.fingerprint:
            return False
        if not all(accepts(h, manifest) for h in held):
            return False
        try:
            return manifest.job != self._job or not lost(self._plan, manifest)
        except FlowSQLError:
            return False

    def _goes_on(self) -> Checkpoint | None:
        """What a start without arguments would take; None where it would not or be refused."""
        try:
            found = self._newest()
        except StateError:
            return None
        if found is not None and self._usable(found, self._held()):
            return found
        return None

    def _changed(self) -> bool:
        """Whether the newest checkpoint is of another statement."""
        try:
            found = self._newest()
        except StateError:
            return False
        return found is not None and found.manifest.fingerprint != self._plan.plan.fingerprint

    def _acceptable(self, other_than: Path | None) -> Checkpoint | None:
        """The newest checkpoint or savepoint in the job's folder that could be taken."""
        held = self._held()
        found = [c for c in self._kept() if c.folder != other_than and self._usable(c, held)]
        record = self._record
        if record is not None and record.finished:
            # Where the last run ended there is nothing to go on with.
            found = [c for c in found if not c.manifest.finished]
        return max(found, key=lambda c: c.manifest.created, default=None)

    def _kept(self) -> Iterator[Checkpoint]:
        if self._folder is None:
            return
        savepoints = self._folder.savepoints
        paths = [self._folder.store.path(n) for n in self._numbers]
        paths += sorted(savepoints.iterdir()) if savepoints.is_dir() else []
        for path in paths:
            try:
                yield load(path)
            except StateError:
                continue

    def _held(self) -> list[Holding]:
        """What targets hold of a run that is not over."""
        past = set[str]() if self._record is None else set(self._record.past)
        if self._record is not None and self._record.finished:
            past.add(self._record.run)
        return [h for h in known_holdings(self._job, self._plan) if h.found.run not in past]

    def _ways_on(self, damaged: Path) -> str:
        """What can be done where a checkpoint is damaged."""
        goes_on = self._folder is not None and damaged.parent != self._folder.store.folder
        newest = self._goes_on() if goes_on else None
        if newest is not None:
            return f"Without --from it goes on from checkpoint {newest.manifest.checkpoint}."
        found = self._acceptable(damaged)
        if found is not None:
            again = " Targets that are not exactly-once get the rows since then once more."
            return f'Go on with --from "{found.folder}".{again}'
        return f"Bring back the folder from a copy. {self._begin_anew()}"

    def _begin_anew(self, others: Sequence[str] = (), bare: Sequence[str] = ()) -> str:
        """How to begin anew, whatever the targets hold of this job and the others named.

        Args:
            others: jobs.
            bare: tables that may hold rows without a marker.
        """
        foreign = [h for job in others for h in known_holdings(job, self._plan)]
        first = emptying([*self._held(), *foreign], bare)
        if first:
            return (
                f"To begin anew, {first} and run with --fresh; or give the job another "
                "'pipeline.name' and another target."
            )
        return "To begin anew, run with --fresh: all input is read again."

    def _nothing_to_resume(self) -> StateError:
        record = self._record
        if record is not None and record.finished:
            at = self._finished_at(record.run)
            return StateError(
                f'job "{self._job}" is finished{f" since {at}" if at else ""}: there is nothing to '
                "resume",
                hint=self._after_finished(),
            )
        place = "" if self._folder is None else f' in "{self._folder.path}"'
        return StateError(
            f'job "{self._job}" has no checkpoint{place}: there is nothing to resume',
            hint="Without --from it reads its input from the beginning; "
            "'execution.checkpointing.dir' names the folder of the jobs.",
        )

    def _after_finished(self) -> str:
        known = known_holdings(self._job, self._plan)
        added = f" and adds its rows to {named([h.table for h in known])}" if known else ""
        return f"Without --from a new run begins, which reads all input again{added}."

    def _another_statement(self, found: Checkpoint, stored: PhysicalPlan) -> StateError:
        manifest: Manifest = found.manifest
        lines = self._codec.difference(stored, self._plan.plan).split("\n")
        shown = "\n".join(f"  {line}" for line in lines)
        if manifest.job != self._job:
            goes_on = self._goes_on()
            return StateError(
                f'checkpoint "{found.folder}" is of job "{manifest.job}", whose statement is '
                f'another one than that of job "{self._job}"',
                detail=f"What was (-), what is (+):\n{shown}",
                hint=(
                    f"Without --from it goes on from checkpoint {goes_on.manifest.checkpoint}."
                    if goes_on is not None
                    else f'Name a checkpoint or savepoint of job "{self._job}".'
                )
                + " For one of several jobs of a file, SET 'execution.state-recovery.path' in "
                "front of its INSERT and RESET it behind.",
            )
        return StateError(
            f'the statement of job "{self._job}" is not the one its checkpoint was taken with',
            detail=f'Checkpoint "{found.folder}": what was (-), what is (+):\n{shown}',
            hint=f"Run the old statement to go on. {self._begin_anew()}",
        )


def latest(folder: JobFolder, run: str) -> Checkpoint | None:
    """The newest checkpoint of a run, checked; for a restart within the process."""
    for number in reversed(folder.store.numbers()):
        found = folder.store.load(number)
        if found.manifest.run == run:
            found.check()
            return found
    return None


def without_last_checkpoint(
    job: str, folder: JobFolder | None, start: Start, error: FlowSQLError
) -> StateError:
    """What a job that is asked to stop says where an error keeps it from its last checkpoint."""
    detail = "The next start begins anew: there is no checkpoint."
    if folder is not None:
        try:
            found = latest(folder, start.record.run) or start.checkpoint
        except StateError as damaged:
            detail = f"The next start is refused: {damaged.message}."
        else:
            if found is not None:
                detail = (
                    f"The next start goes on from checkpoint {found.manifest.checkpoint} at "
                    f'"{found.folder}", and reads again what came after it.'
                )
    return StateError(
        f'job "{job}" was stopped without a last checkpoint: {error.message}',
        detail=detail,
        hint=error.hint,
    )
