"""Units: what a reader hands to the engine, one whole source transaction or more at a time.

A step takes whole units only, so it ends where transactions end. A unit that does not fit into
memory (`pipeline.max-transaction-bytes`) is on disk before its first row is handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from flowsql.connector import JSON, BadRecord, Emptied, Piece, Poll
from flowsql.runtime.frames import packed, unpacked

__all__ = ["Finished", "Occurrence", "Unit", "UnitBuilder", "Vouched"]

# What bookkeeping of a small unit costs; bounds the number of units in a queue.
_OVERHEAD = 2048


@dataclass(frozen=True, slots=True)
class Finished:
    """A split is read to its end."""

    split: str
    result: JSON


@dataclass(frozen=True, slots=True)
class Vouched:
    """The source says that event time of a table has come so far (milliseconds)."""

    table: str
    watermark: int


Occurrence: TypeAlias = Piece | Emptied | BadRecord | Vouched | Finished


@dataclass(slots=True)
class Unit:
    """One or more polls, the last of which had `boundary`.

    Attributes:
        rows: how many.
        bytes: memory that it takes in the queue.
        positions: split → where the next read starts, of the splits that moved.
        consistent, lag_ms, ends_step: of the last poll, see `Poll`.
        split: that of the first row, if there is one.
        polls: what was read, if it is in memory.
        spool: what was read, if it is on disk.
        volume: size of the rows, wherever they are.
    """

    rows: int
    bytes: int
    positions: dict[str, JSON]
    consistent: bool
    lag_ms: int | None
    ends_step: bool
    split: str | None = None
    polls: list[Poll] = field(default_factory=list)
    spool: Spool | None = None
    volume: int = 0

    def occurrences(self) -> Iterator[Occurrence]:
        """Everything in order of arrival; only once."""
        if self.spool is not None:
            yield from self.spool.replay()
            return
        for poll in self.polls:
            yield from poll.pieces
            yield from poll.bad
            for table, watermark in poll.watermarks.items():
                yield Vouched(table, watermark)
            for split, result in poll.finished.items():
                yield Finished(split, result)
        self.polls = []


class UnitBuilder:
    """Puts polls together until a boundary.

    Args:
        folder: for what does not fit into memory.
        name: begins the names of files there.
        limit: bytes above which a transaction is spooled.
    """

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._folder = folder
        self._name = name
        self._limit = limit
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._polls: list[Poll] = []
        self._rows = 0
        self._bytes = 0
        self._volume = 0
        self._spool: Spool | None = None
        self._first: str | None = None
        self.splits: set[str] = set()

    @property
    def empty(self) -> bool:
        """Nothing was added since the last unit."""
        return not self._polls and self._spool is None

    def add(self, poll: Poll) -> None:
        """One more poll."""
        size = _OVERHEAD
        for piece in poll.pieces:
            self.splits.add(piece.split)
            if isinstance(piece, Piece):
                self._rows += piece.changes.batch.num_rows
                volume = piece.changes.batch.nbytes
                size += volume
                self._volume += volume
        if self._first is None and poll.pieces:
            self._first = poll.pieces[0].split
        size += sum(len(b.raw) + 200 for b in poll.bad)
        self.splits.difference_update(poll.finished)
        self._bytes += size
        if self._spool is None and self._bytes > self._limit and not poll.boundary:
            self._number += 1
            self._spool = Spool(self._folder / f"{self._name}-{self._number}")
            for earlier in self._polls:
                self._spool.add(earlier)
            self._polls = []
        if self._spool is None:
            self._polls.append(poll)
        else:
            self._spool.add(poll)

    def finish(self, positions: dict[str, JSON]) -> Unit:
        """The unit; the last poll had `boundary`."""
        last = self._polls[-1] if self._spool is None else self._spool.last
        assert last is not None
        if self._spool is not None:
            self._spool.close()
        unit = Unit(
            self._rows,
            self._bytes if self._spool is None else _OVERHEAD,
            positions,
            last.consistent,
            last.lag_ms,
            last.ends_step,
            self._first,
            self._polls,
            self._spool,
            self._volume,
        )
        self._reset()
        return unit


class Spool:
    """A large transaction on disk: an Arrow stream for each shape of rows, and their order.

    Not durable: after a crash the source gives the transaction again.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._files: dict[tuple[Any, ...], tuple[int, Any, Any]] = {}
        self._order: list[tuple[str, str, int, tuple[str, ...], bool] | Occurrence] = []
        self.last: Poll | None = None

    def add(self, poll: Poll) -> None:
        """Write a poll's rows; its other parts are small and stay in memory."""
        for piece in poll.pieces:
            if isinstance(piece, Piece):
                self._write(piece)
            else:
                self._order.append(piece)
        self._order += poll.bad
        self._order += [Vouched(t, w) for t, w in poll.watermarks.items()]
        self._order += [Finished(s, r) for s, r in poll.finished.items()]
        self.last = Poll(
            (), (), poll.boundary, {}, poll.consistent, poll.lag_ms, poll.ends_step, {}
        )

    def _write(self, piece: Piece) -> None:
        changes = piece.changes
        unchanged = tuple(changes.unchanged or ())
        batch = packed(changes)
        shape = (piece.table, batch.schema)
        if shape not in self._files:
            number = len(self._files)
            file = pa.OSFile(f"{self._prefix}-{number}.arrow", "wb")
            self._files[shape] = (number, file, pa.ipc.new_stream(file, batch.schema))
        number, _, writer = self._files[shape]
        writer.write_batch(batch)
        self._order.append((piece.table, piece.split, number, unchanged, changes.codes is not None))

    def close(self) -> None:
        """All is written."""
        for _, file, writer in self._files.values():
            writer.close()
            file.close()

    def replay(self) -> Iterator[Occurrence]:
        """Everything in order; the files are gone afterwards."""
        readers = []
        for number in range(len(self._files)):
            path = Path(f"{self._prefix}-{number}.arrow")
            readers.append(pa.ipc.open_stream(pa.memory_map(str(path))))
            # The mapping outlives the name: nothing is left behind after a crash.
            path.unlink()
        for item in self._order:
            if not isinstance(item, tuple):
                yield item
                continue
            table, split, number, unchanged, has_kinds = item
            batch = readers[number].read_next_batch()
            yield Piece(table, split, unpacked(batch, unchanged, has_kinds=has_kinds))
