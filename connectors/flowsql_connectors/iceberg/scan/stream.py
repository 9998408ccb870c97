"""Reads a table snapshot by snapshot: what each changed is one transaction.

    files of a first snapshot (`table_scan_then_incremental`)  ─ splits of their own, a snapshot's chunks
    "snapshots"                                                ─ one split: every later snapshot

The position of the latter is the id of the last snapshot that was read, or of the first that is to
be. The next ones are its descendants up to the head of the branch; where the head does not descend
from it, nobody can tell what changed, and the job ends.

Who expires a snapshot may leave the next one with its id or, as the client does, without a parent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from flowsql.changelog import DELETE, Changes
from flowsql.connector import (
    JSON,
    ConnectorContext,
    ConnectorTable,
    Piece,
    Poll,
    Reader,
    Source,
    SourceStatus,
    Split,
)
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.scan.batch import (
    FORMAT,
    FileReader,
    OpenedTable,
    check_position,
)
from flowsql_connectors.iceberg.scan.plan import (
    Change,
    ReadFile,
    branch_head,
    changes_of,
    is_first,
    line_of,
    show_snapshot,
)
from flowsql_connectors.iceberg.scan.rows import FileRows

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["StreamSource"]

_SNAPSHOTS: Final = "snapshots"
_MOST_ROWS: Final = 65_536
_BEGIN: Final = {"begin": True}
_AFRESH: Final = "Begin anew with another 'pipeline.name'."


class StreamSource(Source):
    """A table and all its later snapshots; never over."""

    def __init__(
        self,
        declared: ConnectorTable,
        position: JSON | None,
        context: ConnectorContext,
        *,
        inserts_only: bool,
    ) -> None:
        self._declared = declared
        self._opened = OpenedTable(declared)
        self._inserts_only = inserts_only
        self._finished: set[str] = set()
        if position is None:
            self._scan, self._begin = _start(self._opened.table, declared, context)
        else:
            check_position(position, declared)
            self._scan, self._begin = position["scan"], Place(**position["begin"])
            self._finished = set(position["finished"])
        self._scanned = self._scan is None or (position is not None and position["scanned"])
        self._opened.check_kept(None if self._scanned else self._scan)
        self._tasks: dict[str, ReadFile] = {}
        self._discovered = False

    def discover(self) -> Sequence[Split]:
        if self._discovered:
            return ()
        self._discovered = True
        tables = (self._declared.name,)
        chunks: list[Split] = []
        if not self._scanned:
            self._tasks = {t.file.file_path: t for t in self._opened.files(self._scan)}
            self._scanned = not self._tasks.keys() - self._finished
            chunks = [
                Split(path, tables, snapshot=True)
                for path in self._tasks
                if path not in self._finished
            ]
        return [*chunks, Split(_SNAPSHOTS, tables, owner=_SNAPSHOTS)]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = StreamReader(FileReader(self._opened, self._tasks, consistent=False), self._follow)
        reader.assign(splits)
        return reader

    def _follow(self, split: str, position: JSON | None) -> SnapshotReader:
        place = self._begin
        if position is not None:
            check_position(position, self._declared)
            place = Place(position["after"], position["first"])
        return SnapshotReader(
            # The readers of files go on with the table as it was at the start.
            OpenedTable(self._declared),
            split,
            place,
            begun=self._scanned,
            inserts_only=self._inserts_only,
        )

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del result
        self._finished.add(split)
        if self._scanned or self._tasks.keys() - self._finished:
            return ()
        self._scanned = True
        return (_BEGIN,)

    def position(self) -> JSON:
        return {
            "format": FORMAT,
            "connector": "iceberg",
            "scan": self._scan,
            "begin": asdict(self._begin),
            "scanned": self._scanned,
            "finished": [] if self._scanned else sorted(self._finished),
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Between two snapshots.

    Attributes:
        after: the last one that was read; None: there was none.
        first: instead, the next one to be read.
    """

    after: int | None = None
    first: int | None = None


def _start(
    table: Table, declared: ConnectorTable, context: ConnectorContext
) -> tuple[int | None, Place]:
    """The snapshot that is read whole, if any, and where its changes begin; by the options."""
    options = declared.options
    head = branch_head(table, declared)
    strategy = options["starting-strategy"].removeprefix("incremental_from_")
    match strategy:
        case "table_scan_then_incremental":
            return head, Place(head)
        case "latest_snapshot_exclusive":
            return None, Place(head)
        case "latest_snapshot":
            return None, Place(first=head)
    line = line_of(table, head)
    if strategy == "earliest_snapshot":
        first = line[0] if line else None
    elif strategy == "snapshot_id":
        wanted = options["start-snapshot-id"]
        first = next((s for s in line if s.snapshot_id == wanted), None)
        if first is None:
            raise ConnectorError(
                f'table "{declared.name}" has no snapshot {wanted} on branch "{options["branch"]}"',
                hint=_on_line(line),
                option="start-snapshot-id",
            )
    else:
        moment = options["start-snapshot-timestamp"]
        first = next((s for s in line if s.timestamp_ms >= moment), None)
        if first is None:
            # All are older: what comes is read.
            return None, Place(head)
    if first is None:
        return None, Place()
    name = declared.declared_name
    context.tell(f'table "{name}" is read from snapshot {show_snapshot(first)} on')
    return None, Place(first=first.snapshot_id)


def _on_line(line: Sequence[Snapshot]) -> str:
    if not line:
        return "It has none yet."
    return f"It has {len(line)}: from {line[0].snapshot_id} to {line[-1].snapshot_id}."


class StreamReader(Reader):
    """Files of the first snapshot, and what follows it: as the splits say.

    Args:
        files: reads the files.
        follow: makes who reads the snapshots, from a position on.
    """

    def __init__(
        self, files: FileReader, follow: Callable[[str, JSON | None], SnapshotReader]
    ) -> None:
        self._files = files
        self._follow = follow
        self._snapshots: SnapshotReader | None = None

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            if split.id == _SNAPSHOTS:
                self._snapshots = self._follow(split.id, position)
            else:
                self._files.assign([(split, position)])

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        if self._snapshots is None or self._files.busy:
            return self._files.poll(max_rows, timeout)
        return self._snapshots.poll(max_rows, timeout)

    def position(self, split: str) -> JSON:
        if split == _SNAPSHOTS:
            assert self._snapshots is not None
            return self._snapshots.position
        return self._files.position(split)

    def tell(self, message: JSON) -> None:
        if message == _BEGIN and self._snapshots is not None:
            self._snapshots.begin()

    def status(self) -> SourceStatus | None:
        return None if self._snapshots is None else self._snapshots.status()

    def close(self) -> None:
        self._files.close()
        if self._snapshots is not None:
            self._snapshots.close()


class SnapshotReader:
    """Every snapshot after one, each as a transaction of its own.

    Args:
        opened: the table.
        split: id of the only split.
        place: where to begin.
        begun: False: it waits until it is told to begin.
        inserts_only: the declaration takes no rows back.
    """

    def __init__(
        self,
        opened: OpenedTable,
        split: str,
        place: Place,
        *,
        begun: bool,
        inserts_only: bool,
    ) -> None:
        self._opened = opened
        self._split = split
        self._place = place
        self._begun = begun
        self._inserts_only = inserts_only
        self._interval = opened.declared.options["monitor-interval"] / 1000
        self._next_look = 0.0
        self._failures = 0
        self._trouble = ""
        self._known: deque[Snapshot] = deque()
        self._reading: Snapshot | None = None
        self._changes: deque[Change] = deque()
        self._file: tuple[Change, FileRows] | None = None
        self._told = False
        self._idle = threading.Event()

    def begin(self) -> None:
        """What stands before these snapshots is read."""
        self._begun = True

    @property
    def position(self) -> JSON:
        """The snapshot that was read last, or that is to be read first."""
        return {"format": FORMAT, "connector": "iceberg", **asdict(self._place)}

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        """As `Reader.poll`."""
        if not self._begun:
            self._idle.wait(timeout)
            return None
        if not self._told:
            # With what was read before, the table equals one of its snapshots.
            self._told = True
            return Poll()
        if self._reading is None:
            if not self._known:
                self._look(timeout)
            if not self._known:
                return None
            self._begin(self._known.popleft())
        return self._read_on(min(max_rows, _MOST_ROWS))

    def _look(self, timeout: float) -> None:
        """The snapshots that came since, at the interval."""
        wait = self._next_look - time.monotonic()
        if wait > 0:
            self._idle.wait(min(wait, timeout))
            return
        declared = self._opened.declared
        try:
            table = self._opened.load()
        except ConnectorError as error:
            allowed = declared.options["max-allowed-planning-failures"]
            if 0 <= allowed <= self._failures:
                raise
            self._failures += 1
            self._trouble = error.message
            self._next_look = time.monotonic() + self._interval
            return
        self._failures = 0
        self._opened.deleted.io = table.io
        self._next_look = time.monotonic() + self._interval
        head = branch_head(table, declared)
        self._known = self._since(table, head)

    def _since(self, table: Table, head: int | None) -> deque[Snapshot]:
        """The snapshots from this place to the head, oldest first; raises ConnectorError."""
        line: deque[Snapshot] = deque()
        at, place = head, self._place
        if head is None and place.first is None and place.after is None:
            return line
        while place.first is not None or at != place.after:
            found = None if at is None else table.snapshot_by_id(at)
            if found is None:
                lost = bool(line) and (at is not None or not is_first(table, line[0]))
                raise self._lost(head, expired=lost)
            line.appendleft(found)
            if found.snapshot_id == place.first:
                return line
            at = found.parent_snapshot_id
        if line and at is None and not is_first(table, line[0]):
            raise self._lost(head, expired=True)
        return line

    def _lost(self, head: int | None, *, expired: bool) -> ConnectorError:
        """The head does not descend from what was read last, or nobody knows any more."""
        name = self._opened.declared.name
        branch = self._opened.declared.options["branch"]
        place = self._place
        if expired:
            last = "None was" if place.after is None else f"Snapshot {place.after} was"
            return ConnectorError(
                f'snapshots of table "{name}" have expired that were not read yet',
                detail=f"{last} read last; the head is {head}, and those between are not all kept.",
                hint=f"{_AFRESH} Keep snapshots for longer than a job may stand still.",
            )
        last = (
            f"{place.first}, with which it was to begin"
            if place.first
            else f"{place.after}, which was read last"
        )
        return ConnectorError(
            f'snapshot {last}, is no part of branch "{branch}" of table "{name}" any more',
            detail=f"The branch was set back or replaced; its head is {head}.",
            hint=_AFRESH,
        )

    def _begin(self, snapshot: Snapshot) -> None:
        opened = self._opened
        name = opened.declared.name
        with opened.telling():
            found = changes_of(opened.table, snapshot, opened.wanted, opened.deleted, name)
        if self._inserts_only and any(c.removed for c in found):
            raise ConnectorError(
                f'snapshot {show_snapshot(snapshot)} removed rows of table "{name}", which is read as '
                "one that only grows",
                detail="Every snapshot before it has been read.",
                hint="Declare the table's PRIMARY KEY (…) NOT ENFORCED: then it is read with its "
                "updates and deletions.",
            )
        self._reading = snapshot
        self._changes = deque(found)

    def _read_on(self, room: int) -> Poll:
        """Rows of the snapshot being read; its last poll has `boundary`."""
        assert self._reading is not None
        pieces: list[Piece] = []
        name = self._opened.declared.name
        while room > 0 and (current := self._current()) is not None:
            change, rows = current
            batch = rows.read(room)
            if batch is None:
                rows.close()
                self._file = None
                continue
            if batch.num_rows:
                pieces.append(Piece(name, self._split, _changes(batch, removed=change.removed)))
            room -= max(1, batch.num_rows)
        lag = max(0, int(time.time() * 1000) - self._reading.timestamp_ms)
        if self._current() is not None:
            return Poll(tuple(pieces), boundary=False, lag_ms=lag)
        self._place = Place(self._reading.snapshot_id)
        self._reading = None
        return Poll(tuple(pieces), lag_ms=lag if self._known else 0)

    def _current(self) -> tuple[Change, FileRows] | None:
        if self._file is None and self._changes:
            change = self._changes.popleft()
            opened = self._opened
            rows = opened.rows_of(
                change.file, without=change.without, only=change.only, equal=change.equal
            )
            self._file = (change, rows)
        return self._file

    def status(self) -> SourceStatus:
        """As `Reader.status`."""
        at = None if self._place.after is None else str(self._place.after)
        if not self._failures:
            return SourceStatus(position=at)
        wait = max(0, round(1000 * (self._next_look - time.monotonic())))
        return SourceStatus(
            position=at, attempt=self._failures, next_attempt_ms=wait, trouble=self._trouble
        )

    def close(self) -> None:
        """As `Reader.close`."""
        if self._file is not None:
            self._file[1].close()
            self._file = None


def _changes(batch: pa.RecordBatch, *, removed: bool) -> Changes:
    if not removed:
        return Changes(batch)
    return Changes(batch, np.full(batch.num_rows, DELETE, np.int8))
