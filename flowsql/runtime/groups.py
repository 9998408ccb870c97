"""Source groups: the tables read through one connection or log, seen from the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Reader,
    SourceStatus,
    Split,
)
from flowsql.runtime.clock import monotonic
from flowsql.runtime.progress import SnapshotProgress, reading_progress
from flowsql.runtime.readers import ReaderThread
from flowsql.runtime.units import Finished, Unit

if TYPE_CHECKING:
    from flowsql.runtime.reader_process import ReaderProcess

__all__ = ["ReaderLimits", "SourceGroup", "group_name"]


def group_name(tables: Iterable[ConnectorTable]) -> str:
    """The stable name, in checkpoints, of the group of these tables."""
    return ",".join(sorted(t.name for t in tables))


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Bounds of one reader: bytes queued, bytes of a transaction in memory."""

    queue_bytes: int
    transaction_bytes: int


@dataclass(slots=True)
class _Reader:
    thread: ReaderThread
    owner: str | None
    apart: bool  # it has a process of its own
    splits: set[str] = field(default_factory=set)
    consistent: bool | None = None


class SourceGroup:
    """One `Source`, its readers and its splits; used by the engine's thread.

    Args:
        key: stable name of the group in checkpoints: its tables.
        connector: theirs.
        tables: of the group.
        context: handed to the source.
        limits: of each reader.
        ready: notified when a reader has something, or splits were discovered.
        reader: where readers run, `thread` or `process`; None: as the connector chooses.

    Attributes:
        splits: the splits that are not read to their end.
        position: split → where the next read starts, as of the last step.
        consistent: the tables equal the database at a commit (DESIGN 9).
        done: nothing more will come.
        rows: read so far by this attempt.
        bytes: size of these rows.
        lag_ms: as last told.
    """

    def __init__(
        self,
        key: str,
        connector: Connector,
        tables: Sequence[ConnectorTable],
        *,
        context: ConnectorContext,
        limits: ReaderLimits,
        ready: threading.Condition,
        reader: str | None = None,
    ) -> None:
        self.key = key
        self.connector = connector
        self.tables = tables
        self._context = context
        self._limits = limits
        self._ready = ready
        self._apart = (reader or connector.reads_in) == "process"
        self._spare: ReaderProcess | None = None
        self._lock = threading.Lock()
        self._readers: list[_Reader] = []
        self._opened = 0
        self._dismissed: list[ReaderThread] = []
        self._closing = threading.Event()
        self._discovered: list[Split] = []
        self._discovery_error: BaseException | None = None
        self._discoverer: threading.Thread | None = None
        self._by_thread: dict[ReaderThread, _Reader] = {}
        self.splits: dict[str, Split] = {}
        self.position: dict[str, JSON] = {}
        # Before it is open nothing is known of it.
        self.consistent = False
        self.done = False
        self.rows = 0
        self.bytes = 0
        self.lag_ms: int | None = None
        self._began = 0.0
        self._snapshot = SnapshotProgress()
        self._chunks = 0

    def warm(self) -> None:
        """Start the first reader's process, which loads the connector while others are opened."""
        if self._apart and self.connector.reads_in == "process":
            self._spare = self._start_process()

    def open(self, stored: JSON | None) -> list[Split]:
        """Open the source at a stored position; gives the splits to be read."""
        position = None if stored is None else stored["position"]
        self.source = self.connector.open_source(
            self.tables, None if position is None else position["source"], self._context
        )
        splits = list(self.source.discover())
        self.splits = {s.id: s for s in splits}
        self._chunks = sum(s.snapshot for s in splits)
        if stored is not None:
            self._snapshot.rows = stored.get("snapshot_rows", 0)
        if position is not None:
            self.position = dict(position["splits"])
            gone = [split for split in self.position if split not in self.splits]
            if gone:
                self.source.gone(gone)
                self.position = {k: v for k, v in self.position.items() if k in self.splits}
        self.consistent = not any(s.snapshot for s in splits)
        if stored is not None:
            self.consistent = bool(stored["consistent"])
        return splits

    def start(self) -> None:
        """Start the readers, and the search for further splits."""
        self._began = monotonic()
        if self._chunks:
            self._snapshot.begin()
        self._distribute(list(self.splits.values()))
        self._drop_spare()
        self._look_done()
        interval = self.source.discovery_interval
        if interval is not None and not self.done:
            self._discoverer = threading.Thread(
                target=self._discover, name=f"discover {self.key}", daemon=True
            )
            self._discoverer.start()

    @property
    def threads(self) -> list[ReaderThread]:
        """The readers' threads, in the order in which they were opened."""
        return [r.thread for r in self._readers]

    def snapshotting(self, table: str) -> bool:
        """Whether a snapshot of the table is being read: it has no watermark yet."""
        if not self.consistent:
            return True
        return any(s.snapshot and table in s.tables for s in self.splits.values())

    def take_new_splits(self) -> list[Split]:
        """Splits discovered meanwhile; their readers are told. Raises what discovery raised."""
        if self._discovery_error is not None:
            raise self._discovery_error
        with self._ready:
            new, self._discovered = self._discovered, []
        added = self._add(new)
        if added:
            self._dismiss()
        return added

    def note(self, thread: ReaderThread, unit: Unit) -> None:
        """A unit is in the running step: its positions are the group's."""
        self.position.update(unit.positions)
        self.rows += unit.rows
        self.bytes += unit.volume
        if unit.lag_ms is not None:
            self.lag_ms = unit.lag_ms
        if self._chunks and unit.split is not None:
            split = self.splits.get(unit.split)
            if split is not None and split.snapshot:
                self._snapshot.add(unit.rows)
        self._by_thread[thread].consistent = unit.consistent

    def end_step(self, finished: Iterable[Finished]) -> list[Split]:
        """After the step that holds the last rows of these splits; gives splits that follow."""
        new: list[Split] = []
        told: list[JSON] = []
        ended = list(finished)
        for end in ended:
            gone = self.splits.pop(end.split, None)
            self._chunks -= gone is not None and gone.snapshot
            self.position.pop(end.split, None)
            for reader in self._readers:
                reader.splits.discard(end.split)
            with self._lock:
                told += self.source.finished(end.split, end.result)
                # What was discovered before it ended would be read again.
                with self._ready:
                    self._discovered = [s for s in self._discovered if s.id != end.split]
        for message in told:
            for reader in self._readers:
                reader.thread.tell(message)
        if ended and not self.splits and self.source.discovery_interval is not None:
            with self._lock:
                new = list(self.source.discover())
            new = self._add(new)
        if ended:
            self._look_done()
            self._dismiss()
        self._look_consistent()
        return new

    def ends_with(self, finished: Iterable[str]) -> bool:
        """Whether the source is over once these splits are, too."""
        if not self.source.bounded or self.source.discovery_interval is not None:
            return False
        if self._more_to_come():
            return False
        return not self.splits.keys() - set(finished)

    def table_ends_with(self, table: str, finished: Iterable[str]) -> bool:
        """Whether a table is read to its end once these splits are, too."""
        if not self.source.bounded or self.source.discovery_interval is not None:
            return False
        if self._more_to_come():
            return False
        gone = set(finished)
        return not any(table in s.tables for s in self.splits.values() if s.id not in gone)

    def snapshot(self) -> JSON:
        """What a checkpoint keeps."""
        with self._lock:
            position = {"source": self.source.position(), "splits": dict(self.position)}
        return {
            "tables": [t.name for t in self.tables],
            "connector": self.connector.name,
            "position": position,
            "consistent": self.consistent,
            **({"snapshot_rows": self._snapshot.rows} if self._snapshot.rows else {}),
        }

    def acknowledge(self, position: JSON) -> None:
        """The oldest retained checkpoint holds this position."""
        with self._lock:
            told = self.source.acknowledge(position)
        for message in told:
            for reader in self._readers:
                reader.thread.tell(message)

    def close(self) -> list[str]:
        """Stop all readers and let the source go; gives the names of those that were left behind."""
        self._closing.set()
        threads = [*self.threads, *self._dismissed]
        for thread in threads:
            thread.close()
        patience = self.source.patience if hasattr(self, "source") else 0.0
        deadline = monotonic() + patience
        left = [
            f'a reader of "{self.key}"'
            for thread in threads
            if not thread.join(max(0.0, deadline - monotonic()))
        ]
        for thread in threads:
            thread.abandon()
        self._drop_spare()
        if self._discoverer is not None:
            self._discoverer.join(patience)
        if hasattr(self, "source"):
            self.source.close()
        return left

    def status(self) -> JSON:
        """For `Job.status`."""
        readers = list(self._readers)
        said = [r.thread.status for r in readers]
        told = [s for s in (*said, self._said()) if s is not None]
        lost = max(told, key=lambda s: s.attempt, default=None)
        status: JSON = {
            "connector": self.connector.name,
            "tables": [t.name for t in self.tables],
            "phase": self._phase(),
            "rows": self.rows,
            "bytes": self.bytes,
            "splits": len(self.splits),
            "queued_bytes": sum(r.thread.queued_bytes for r in readers),
            "queue_limit_bytes": self._limits.queue_bytes * len(readers),
            "position": _first(s.position for s in told),
            "slot": _first(s.slot for s in told),
            "lag_bytes": _lag_bytes(told),
            "kept_bytes": _first(s.kept_bytes for s in told),
            "over_budget": any(s.over_budget for s in told),
            "lag_ms": max((s.lag_ms for s in told if s.lag_ms is not None), default=self.lag_ms),
            "consistent": self.consistent,
            "done": self.done,
        }
        if self._chunks or self._snapshot.rows:
            total = _first(s.snapshot_rows for s in told)
            status["snapshot"] = self._snapshot.status(total, over=not self._snapshotting())
        size = _first(s.total_bytes for s in told)
        if size and not self.done and self._began:
            read = sum(s.read_bytes for s in said if s is not None and s.read_bytes is not None)
            seconds = monotonic() - self._began
            status["progress"] = reading_progress(self.rows, read, size, seconds)
        if lost is not None and lost.attempt:
            # How far it is behind nobody knows until it is there again.
            status |= {"lag_bytes": None, "lag_ms": None}
            status["reconnecting"] = {
                "attempt": lost.attempt,
                "next_ms": lost.next_attempt_ms,
                "error": lost.trouble,
            }
        return status

    def processes(self) -> list[int]:
        """Ids of the processes that read for it."""
        return [pid for r in list(self._readers) if (pid := r.thread.process) is not None]

    def _said(self) -> SourceStatus | None:
        return self.source.status() if hasattr(self, "source") else None

    def _phase(self) -> str:
        if self.done:
            return "done"
        if not hasattr(self, "source"):
            return "starting"
        if self._snapshotting():
            return "snapshot"
        return "stream" if self.consistent else "catching up"

    def _snapshotting(self) -> bool:
        """Whether chunks are being read, or are still to come."""
        return bool(self._chunks or (self._snapshot.rows and not self.source.complete))

    def _add(self, new: Sequence[Split]) -> list[Split]:
        fresh = [s for s in new if s.id not in self.splits]
        if fresh:
            self.splits.update((s.id, s) for s in fresh)
            chunks = sum(s.snapshot for s in fresh)
            if chunks:
                self._chunks += chunks
                self._snapshot.begin()
                self.consistent = False
            self.done = False
            self._distribute(fresh)
        return fresh

    def _distribute(self, splits: Sequence[Split]) -> None:
        """Give splits to readers: owned ones to their own, others to the least loaded."""
        given: dict[int, list[Split]] = {}
        opened: dict[str | int, list[Split]] = {}
        free = [i for i, r in enumerate(self._readers) if r.owner is None]
        room = max(1, self._context.parallelism) - len(free)
        loads = {i: len(self._readers[i].splits) for i in free}
        for split in splits:
            if split.owner is not None:
                known = [i for i, r in enumerate(self._readers) if r.owner == split.owner]
                if known:
                    given.setdefault(known[0], []).append(split)
                else:
                    opened.setdefault(split.owner, []).append(split)
                continue
            fresh = [k for k in opened if isinstance(k, int)]
            if len(fresh) < room:
                opened[len(fresh)] = [split]
                continue
            choice = min(
                [*((loads[i], 0, i) for i in free), *((len(opened[k]), 1, k) for k in fresh)]
            )
            if choice[1] == 0:
                loads[choice[2]] += 1
                given.setdefault(choice[2], []).append(split)
            else:
                opened[choice[2]].append(split)
        for index, more in given.items():
            self._readers[index].splits.update(s.id for s in more)
            self._readers[index].thread.assign([(s, self.position.get(s.id)) for s in more])
        for key, first in opened.items():
            self._open_reader(key if isinstance(key, str) else None, first)

    def _open_reader(self, owner: str | None, splits: Sequence[Split]) -> None:
        ids = [s.id for s in splits]
        assignment = [(s, self.position.get(s.id)) for s in splits]
        setup = self.source.setup() if self._apart else None
        thread = ReaderThread(
            f"{self.key}-{self._opened}".replace("/", "-"),
            self._opening(setup, assignment, owner),
            ids,
            spool=self._context.spool,
            queue_bytes=self._limits.queue_bytes,
            transaction_bytes=self._limits.transaction_bytes,
            ready=self._ready,
        )
        self._opened += 1
        reader = _Reader(thread, owner, setup is not None, set(ids))
        self._readers.append(reader)
        self._by_thread[thread] = reader
        thread.start()

    def _opening(
        self, setup: JSON | None, assignment: Sequence[tuple[Split, JSON | None]], owner: str | None
    ) -> Callable[[], Reader]:
        """What makes the reader, in its thread."""
        if setup is None:
            return self._locked(partial(self.source.open, assignment))
        from flowsql.runtime.remote import RemoteReader  # noqa: PLC0415 - few jobs need it

        spare, self._spare = self._spare, None
        take = self._predecessor() if spare is None and owner is not None else None

        def remote() -> Reader:
            process = spare if take is None else take()
            return RemoteReader(process or self._start_process(), self.tables, setup, assignment)

        return remote

    def _predecessor(self) -> Callable[[], ReaderProcess | None] | None:
        """What gives the process of a reader that has read all it will ever be given."""
        if not self.source.complete:
            return None
        over = next((r for r in self._readers if self._is_over(r)), None)
        if over is None:
            return None
        from flowsql.runtime.reader_process import Handover  # noqa: PLC0415 - few jobs need it
        from flowsql.runtime.remote import RemoteReader  # noqa: PLC0415 - few jobs need it

        handover = Handover()

        def leave(reader: Reader | None) -> None:
            handover.give(reader.release() if isinstance(reader, RemoteReader) else None)

        self._let_go(over, leave)
        return handover.take

    def _start_process(self) -> ReaderProcess:
        from flowsql.runtime.reader_process import ReaderProcess  # noqa: PLC0415 - few need it

        named = ", ".join(f'"{t.name}"' for t in self.tables)
        return ReaderProcess(self.connector.name, named)

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.kill()
            spare.end()

    def _dismiss(self) -> None:
        """Processes that have read all that they will ever be given end.

        That is known where what follows has a reader of its own.
        """
        if not self.source.complete or all(r.owner is None for r in self._readers):
            return
        for reader in [r for r in self._readers if self._is_over(r)]:
            self._let_go(reader)

    @staticmethod
    def _is_over(reader: _Reader) -> bool:
        return reader.apart and not reader.splits

    def _let_go(
        self, reader: _Reader, leave: Callable[[Reader | None], None] | None = None
    ) -> None:
        reader.thread.close(leave)
        self._dismissed.append(reader.thread)
        self._readers.remove(reader)

    def _locked(self, call: Callable[[], Any]) -> Callable[[], Any]:
        def locked() -> Any:
            with self._lock:
                return call()

        return locked

    def _look_done(self) -> None:
        self.done = self.source.bounded and not self.splits and not self._more_to_come()

    def _more_to_come(self) -> bool:
        """Whether there are splits that the engine has not taken."""
        with self._lock, self._ready:
            return bool(self._discovered) or not self.source.complete

    def _look_consistent(self) -> None:
        if self.consistent or any(s.snapshot for s in self.splits.values()):
            return
        active = [r for r in self._readers if r.splits]
        if active or self.done:
            self.consistent = all(r.consistent is True for r in active)

    def _discover(self) -> None:
        while True:
            interval = self.source.discovery_interval
            if interval is None or self._closing.wait(interval):
                return
            try:
                with self._lock:
                    new = list(self.source.discover())
                    with self._ready:
                        self._discovered += new
                        if new:
                            self._ready.notify_all()
            except BaseException as error:  # noqa: BLE001 - raised again by the engine's thread
                with self._ready:
                    self._discovery_error = error
                    self._ready.notify_all()
                return


def _lag_bytes(told: Sequence[SourceStatus]) -> int | None:
    """How much of the log is not read yet; readers are asked before their source."""
    end, read_to = _first(s.log_end for s in told), _first(s.read_to for s in told)
    derived = None if end is None or read_to is None else max(0, end - read_to)
    return max((s.lag_bytes for s in told if s.lag_bytes is not None), default=derived)


_T = TypeVar("_T")


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((v for v in values if v is not None), None)
