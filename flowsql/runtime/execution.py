"""One attempt of a job: sources, plan and sinks, opened, and the step that drives them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from flowsql.changelog import ChangelogMode, Changes
from flowsql.checkpoint import Checkpoint
from flowsql.config import EngineSettings
from flowsql.connector import (
    JSON,
    BadRecord,
    ConnectorContext,
    ConnectorTable,
    Emptied,
    Needs,
    Piece,
    Split,
    Writer,
    kill_point,
)
from flowsql.connector import Sink as ConnectorSink
from flowsql.errors import DataError, InternalError
from flowsql.expr import StepClock
from flowsql.physical.specs import BadRecordPolicy, Scan, Sink
from flowsql.runtime.clock import Clock, monotonic
from flowsql.runtime.counts import Counts
from flowsql.runtime.graph import Build, CollectCall, Graph, JobPlan, build_graph
from flowsql.runtime.groups import ReaderLimits, SourceGroup, group_name
from flowsql.runtime.measures import Durations
from flowsql.runtime.outlets import CollectOutlet, dead_letter_rows
from flowsql.runtime.pending import PendingOutput
from flowsql.runtime.preflight import needs_of
from flowsql.runtime.readers import ReaderThread
from flowsql.runtime.scans import ScanNode
from flowsql.runtime.units import Finished, Unit, Vouched
from flowsql.runtime.watermarks import MAX_WATERMARK, Event
from flowsql.state.store import StateStore

__all__ = ["Execution", "StepInterrupted", "Surroundings"]

_BATCH_WAIT = 0.05


@dataclass(frozen=True)
class Surroundings:
    """What an attempt is given.

    Attributes:
        job: plan and tables.
        settings: of the engine.
        context: for connectors; its parallelism and mode are set from the settings.
        pending: folder for held-back output.
        clock: read once a step.
        build: physical node → operator.
        collect: takes results.
        interrupted: whether a running step should give up; asked between two batches of it.
    """

    job: JobPlan
    settings: EngineSettings
    context: ConnectorContext
    pending: Path
    clock: Clock
    build: Build
    collect: CollectCall | None
    interrupted: Callable[[], bool]


class StepInterrupted(Exception):  # noqa: N818 - not a failure
    """The job was stopped in the middle of a step that nobody needs the rest of."""


class Execution:
    """Runs steps until nothing is left.

    Attributes:
        ready: notified when there may be something to do.
        step_number: of the last step.
        over: nothing is left: every source is read to its end, and time with it.
        committed: sink that keeps a marker → the last checkpoint of this job committed to it.
        before: what earlier attempts of the process counted.
        released_at: the step that gives what was held back until the sources were consistent; None
            where nothing was, or a checkpoint has it.
    """

    def __init__(self, given: Surroundings, before: Counts | None = None) -> None:
        self._given = given
        self.before = before or {}
        self.ready = threading.Condition()
        self.step_number = 0
        self.over = False
        self.released_at: int | None = None
        self.groups: list[SourceGroup] = []
        self.writers: dict[str, Writer] = {}
        self.committed: dict[str, int] = {}
        self._sinks: dict[str, ConnectorSink] = {}
        self.writer_stores: dict[str, StateStore] = {}
        self.graph = Graph()
        self.durations = Durations()
        self.bad_records = 0
        self._group_of: dict[str, SourceGroup] = {}
        self._outlet_groups: list[list[SourceGroup]] = []
        self._turn = 0
        # There is something to do beside what readers bring: time moved, or rows are let go.
        self._changed = False
        self._poked = False

    # -- opening ----------------------------------------------------------------------------

    def open(self, checkpoint: Checkpoint | None) -> None:
        """Open everything, at a checkpoint or from the beginning; reading starts."""
        given = self._given
        plan = given.job.plan
        self._make_groups()
        stores = {n.id: StateStore.open(n.state) for n in plan.nodes}
        if checkpoint is not None:
            self.step_number = checkpoint.manifest.step
            for node_id, store in stores.items():
                if store.tables:
                    store.restore(checkpoint.segments(node_id))
        self._open_writers(checkpoint)
        self.graph = build_graph(
            given.job,
            given.settings,
            build=given.build,
            writers=self.writers,
            stores=stores,
            collect=given.collect,
        )
        for operator in self.graph.operators:
            operator.before_output = self._look_up
            operator.open()
        if checkpoint is not None:
            self._restore_nodes(checkpoint)
        self._open_sources(checkpoint)
        self._make_pending(checkpoint)
        self._hold()
        for group in self.groups:
            group.start()
            if group.done:
                self._finish_tables(group)
        # Where nothing will be read, a step is needed to find that the job is over.
        if any(not v.given for v in self.graph.values) or all(g.done for g in self.groups):
            self._changed = True

    def _context(self) -> ConnectorContext:
        settings = self._given.settings
        return replace(
            self._given.context,
            parallelism=settings.parallelism,
            streaming=self._given.job.plan.streaming,
        )

    def _open_writers(self, checkpoint: Checkpoint | None) -> None:
        """Writers with the tokens of the checkpoint, which are committed (again).

        All are opened before the first commits: what one of them refuses changes no other target.
        """
        known = {} if checkpoint is None else checkpoint.manifest.committed
        if checkpoint is not None and checkpoint.manifest.job == self._given.context.attempt.job:
            # What another job committed stands under its name.
            self.committed = dict(known)
        pending: list[tuple[str, int, JSON]] = []
        for node in self._given.job.plan.nodes:
            if not isinstance(node.spec, Sink):
                continue
            resolved = self._given.job.sink_table(node.spec.table)
            tokens = [] if checkpoint is None else checkpoint.manifest.tokens.get(node.id, [])
            sink = resolved.connector.sink(resolved.table)
            context = replace(self._context(), sink=node.id, mode=node.spec.mode)
            writer = sink.open(context, [t["token"] for t in tokens])
            self.writers[node.id], self._sinks[node.id] = writer, sink
            store = StateStore.open(writer.state)
            if checkpoint is not None and store.tables:
                store.restore(checkpoint.segments(f"{node.id}/writer"))
            self.writer_stores[node.id] = store
            writer.open_state(store.tables)
            pending += [(node.id, t["checkpoint"], t["token"]) for t in tokens]
        # The oldest checkpoint first: several of them may write one table.
        for sink_id, number, token in sorted(pending, key=lambda found: found[1]):
            self.commit(sink_id, number, token)

    def commit(self, sink: str, checkpoint: int, token: JSON) -> None:
        """Make visible what a sink prepared for a checkpoint."""
        with kill_point("commit"):
            self.writers[sink].commit(token)
        marks = sink in self.committed
        if marks or self._sinks[sink].committed(self._given.context.attempt.job) is not None:
            self.committed[sink] = checkpoint

    def _restore_nodes(self, checkpoint: Checkpoint) -> None:
        stored = checkpoint.manifest.operators
        for node in self.graph.nodes:
            if node.id in stored:
                node.watermark = stored[node.id]["watermark"]
        for operator in self.graph.operators:
            operator.reached = stored[operator.id]["reached"]
            operator.context.counters.restore(stored[operator.id]["counters"])
        for values in self.graph.values:
            if values.watermark == MAX_WATERMARK:
                values.given = True
        for scan in self.graph.scans.values():
            scan.assigner.restore(checkpoint.manifest.watermarks[scan.id])
        self.bad_records = stored.get("", {}).get("bad_records", 0)

    def _make_groups(self) -> None:
        """Before anything is opened: their processes load meanwhile."""
        job, settings = self._given.job, self._given.settings
        members: dict[tuple[int, Hashable], list[ConnectorTable]] = {}
        needs: dict[str, Needs] = {}
        connectors = {}
        for node in job.plan.nodes:
            if isinstance(node.spec, Scan):
                resolved = job.tables[node.spec.table]
                table = job.scan_table(node.spec)
                key = (id(resolved.connector), resolved.connector.group(table))
                members.setdefault(key, []).append(table)
                needs[table.name] = needs_of(job.plan, node, table)
                connectors[key] = resolved.connector
        readers = max(1, len(members) * settings.parallelism)
        queued = settings.queue_bytes
        if settings.memory is not None:
            queued = min(queued, settings.memory // 5)
        limits = ReaderLimits(max(1 << 20, queued // readers), settings.max_transaction_bytes)
        for key, tables in members.items():
            group = SourceGroup(
                group_name(tables),
                connectors[key],
                tables,
                context=replace(self._context(), needs=needs),
                limits=limits,
                ready=self.ready,
                reader=settings.reader,
            )
            self.groups.append(group)
            group.warm()

    def _open_sources(self, checkpoint: Checkpoint | None) -> None:
        now = monotonic()
        for group in self.groups:
            stored = None if checkpoint is None else checkpoint.manifest.sources.get(group.key)
            splits = group.open(stored)
            for table in group.tables:
                self._group_of[table.name] = group
                scan = self.graph.scans[table.name]
                scan.assigner.forget_unknown({s.id for s in splits})
            self._add_splits(splits, now)

    def _add_splits(self, splits: list[Split], now: float) -> None:
        for split in splits:
            for table in split.tables:
                scan = self.graph.scans.get(table)
                if scan is not None:
                    scan.assigner.add_split(split.id, snapshot=split.snapshot, now=now)

    def _make_pending(self, checkpoint: Checkpoint | None) -> None:
        for number, outlet in enumerate(self.graph.outlets):
            form = outlet.form
            outlet.progressive = self._given.settings.snapshot_output == "progressive"
            key = form.upsert_key or tuple(range(len(form.row.fields)))
            outlet.pending = PendingOutput(
                self._given.pending,
                f"pending-{number}",
                form.row.types,
                None if form.appends else key,
                form.net,
                last_wins=form.input_mode is ChangelogMode.UPSERT,
            )
            if checkpoint is not None:
                outlet.pending.restore(checkpoint, f"{outlet.id}/pending")
                # What was kept before the setting became progressive is given at once.
                self._changed |= outlet.progressive and outlet.pending.rows > 0

    def _hold(self) -> None:
        """Hold back output and time where a snapshot is being read; let go where it is over."""
        if not self._outlet_groups:
            self._outlet_groups = [
                [self._group_of[t] for t in self.graph.tables_above(o)] for o in self.graph.outlets
            ]
        for outlet, groups in zip(self.graph.outlets, self._outlet_groups, strict=True):
            held = any(not g.consistent for g in groups)
            if outlet.held and not held:
                self._changed = True
                self.released_at = self.step_number + 1
            outlet.held = held
        for table, scan in self.graph.scans.items():
            held = self._group_of[table].snapshotting(table)
            assigner = scan.assigner
            if assigner.held and not held:
                assigner.held = False
                assigner.rise()
                self._changed = True
            assigner.held = held

    # -- steps ------------------------------------------------------------------------------

    @property
    def has_released(self) -> bool:
        """The sinks have what was held back until the sources were consistent, and no checkpoint has."""
        at = self.released_at
        return bool(self.writers) and at is not None and self.step_number >= at

    def step(self, *, drain: bool = False) -> bool:
        """Runs one step if there is anything to do; False where there is not.

        Args:
            drain: time ends: every window closes, whatever the sources say.
        """
        self._take_splits()
        if not (drain or self._changed or self._anything_queued() or self._time_is_due()):
            return False
        started = monotonic()
        self._changed = False
        clock = StepClock(self._given.clock.now())
        graph = self.graph
        self.step_number += 1
        for node in graph.nodes:
            node.begin(clock)
        for outlet in graph.outlets:
            if isinstance(outlet, CollectOutlet):
                outlet.step = self.step_number
        for values in graph.values:
            values.give()
        finished = self._feed()
        for scan in graph.scans.values():
            scan.release()
        self._pass_time()
        if drain:
            for scan in graph.scans.values():
                scan.assigner.finish()
        for node in graph.nodes:
            node.settle(clock)
        for node in graph.nodes:
            node.end()
        for store in self.writer_stores.values():
            store.end_step()
        self._after(finished)
        self.durations.add(monotonic() - started)
        return True

    def wait(self, timeout: float) -> None:
        """Sleep until a reader has something, someone calls `wake`, or time is due."""
        deadlines = [s.assigner.next_deadline() for s in self.graph.scans.values()]
        known = [d for d in deadlines if d is not None]
        if known:
            timeout = min(timeout, max(0.0, min(known) - monotonic()))
        with self.ready:
            if not (self._changed or self._poked or self._queued()):
                self.ready.wait(timeout)
            self._poked = False

    def wake(self) -> None:
        """Let `wait` return, now or the next time."""
        with self.ready:
            self._poked = True
            self.ready.notify_all()

    def _take_splits(self) -> None:
        for group in self.groups:
            new = group.take_new_splits()
            if new:
                self._add_splits(new, monotonic())
                self._hold()

    def _queued(self) -> bool:
        return any(t.queue for g in self.groups for t in g.threads)

    def _anything_queued(self) -> bool:
        with self.ready:
            return self._queued()

    def _time_is_due(self) -> bool:
        now = monotonic()
        for scan in self.graph.scans.values():
            deadline = scan.assigner.next_deadline()
            if deadline is not None and deadline <= now:
                return True
        return False

    def _units(self) -> Iterator[tuple[SourceGroup, Unit]]:
        """Whole units, a reader after the other, up to the rows of a step."""
        batch = not self._given.job.plan.streaming
        limit = self._given.settings.step_max_rows
        rows = 0
        while batch or rows < limit:
            found = self._next()
            if found is None:
                if not batch or all(g.done for g in self.groups):
                    return
                self._look_up()
                self._take_splits()
                with self.ready:
                    if not self._queued():
                        self.ready.wait(_BATCH_WAIT)
                continue
            self._look_up()
            group, thread, unit = found
            group.note(thread, unit)
            rows += unit.rows
            yield group, unit
            if unit.ends_step and not batch:
                return

    def _look_up(self) -> None:
        if self._given.interrupted():
            raise StepInterrupted

    def _next(self) -> tuple[SourceGroup, ReaderThread, Unit] | None:
        with self.ready:
            readers = [(g, t) for g in self.groups for t in g.threads]
            for i in range(len(readers)):
                at = (self._turn + i) % len(readers)
                group, thread = readers[at]
                if thread.queue:
                    self._turn = at + 1
                    item = thread.take()
                    if isinstance(item, BaseException):
                        raise item
                    return group, thread, item
        return None

    def _feed(self) -> list[tuple[SourceGroup, Finished]]:
        """Push the step's rows; gives the splits that ended."""
        batch = not self._given.job.plan.streaming
        finished: list[tuple[SourceGroup, Finished]] = []
        bad: dict[str, list[BadRecord]] = {}
        last: ScanNode | None = None
        scans, keep_order = self.graph.scans, self.graph.keep_order
        for group, unit in self._units():
            for item in unit.occurrences():
                if isinstance(item, Piece):
                    scan = scans[item.table]
                    if keep_order and last is not scan:
                        if last is not None:
                            last.release()
                        last = scan
                    scan.add(item.split, item.changes)
                elif isinstance(item, Emptied):
                    if keep_order and last is not None:
                        last.release()
                    scans[item.table].lose_rows()
                elif isinstance(item, BadRecord):
                    self._set_aside(item, bad)
                elif isinstance(item, Vouched):
                    for split in group.splits.values():
                        if item.table in split.tables:
                            scans[item.table].happen(Event(split.id, vouched=item.watermark))
                else:
                    finished.append((group, item))
                    self._end_split(group, item, [f.split for g, f in finished if g is group])
            if batch and finished:
                self._after(finished)
                finished = []
        for table, records in bad.items():
            rows = dead_letter_rows([(b.table, b.place, b.raw, b.reason) for b in records])
            self.graph.dead_letters[scans[table].id].push(0, Changes(rows))
        return finished

    def _end_split(self, group: SourceGroup, end: Finished, ended: list[str]) -> None:
        split = group.splits.get(end.split)
        if split is None:
            raise InternalError(f'split "{end.split}" ended that nobody reads')
        for table in split.tables:
            scan = self.graph.scans.get(table)
            if scan is None:
                continue
            scan.happen(Event(end.split, finished=True))
            if group.table_ends_with(table, ended):
                scan.release()
                scan.assigner.finish()

    def _set_aside(self, record: BadRecord, letters: dict[str, list[BadRecord]]) -> None:
        policy = self.graph.scans[record.table].bad_records
        if policy is BadRecordPolicy.FAIL:
            shown = record.raw[:200].decode("utf-8", "backslashreplace")
            raise DataError(
                f'a record of table "{record.table}" cannot be decoded: {record.reason}',
                detail=f"At {record.place}: {shown}",
                hint="Leave such records out with 'scan.bad-record' = 'skip' in the table's WITH, "
                "or keep them with 'dead-letter'.",
            )
        self.bad_records += 1
        if policy is BadRecordPolicy.DEAD_LETTER:
            letters.setdefault(record.table, []).append(record)

    def _pass_time(self) -> None:
        """Idle splits; only where nothing of theirs waits in the queue."""
        now = monotonic()
        for table, scan in self.graph.scans.items():
            if scan.assigner.next_deadline() is not None:
                threads = self._group_of[table].threads
                if not any(t.queue for t in threads):
                    scan.assigner.pass_time(now)

    def _after(self, finished: list[tuple[SourceGroup, Finished]]) -> None:
        """The rows are in the step: tell the sources, look whether anything is over."""
        now = monotonic()
        for group in self.groups:
            consistent = group.consistent
            ended = [f for g, f in finished if g is group]
            if not ended and consistent:
                continue
            self._add_splits(group.end_step(ended), now)
            if group.done:
                self._finish_tables(group)
            if ended or group.consistent != consistent:
                self._hold()
        time_over = all(
            n.watermark == MAX_WATERMARK for n in (*self.graph.scans.values(), *self.graph.values)
        )
        # What was held back until now is given by a step of its own.
        owed = any(
            o.pending is not None and o.pending.rows and not o.withholds for o in self.graph.outlets
        )
        self.over = all(g.done for g in self.groups) and time_over and not owed
        if not self.over and all(g.done for g in self.groups):
            self._changed = True

    def _finish_tables(self, group: SourceGroup) -> None:
        for table in group.tables:
            scan = self.graph.scans[table.name]
            scan.release()
            if scan.watermark != MAX_WATERMARK:
                scan.assigner.finish()
                self._changed = True

    def close(self) -> list[str]:
        """Let go of readers, sources and writers; nothing becomes visible.

        Returns the readers that did not answer and were left behind.
        """
        left = [name for group in self.groups for name in group.close()]
        for writer in self.writers.values():
            writer.close()
        return left
