"""Reads the log of a slot, transaction by transaction, and survives a server that goes away."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import psycopg

from flowsql.changelog import UPDATE_AFTER, UPDATE_BEFORE, Changes
from flowsql.connector import JSON, Emptied, Piece, Poll, SourceStatus
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql_connectors.postgres_cdc.decode.messages import LogBatch
from flowsql_connectors.postgres_cdc.decode.pgoutput import LogDecoder
from flowsql_connectors.postgres_cdc.decode.wire import read_frames
from flowsql_connectors.postgres_cdc.log.changing import ChangeMaker
from flowsql_connectors.postgres_cdc.log.stream import LogStream
from flowsql_connectors.postgres_cdc.server.connections import (
    Connection,
    Server,
    lsn_text,
    may_pass,
)

__all__ = ["FORMAT", "LOG", "LogReader"]

FORMAT: Final = 2
LOG: Final = "log"

_COMMIT: Final = ord("C")
_DATA: Final = ord("w")
_MESSAGE: Final = 25  # a frame's header
_COMMIT_FRAME: Final = _MESSAGE + 26
_KEEP_BYTES: Final = 8 << 20
_FIRST_WAIT: Final = 0.1  # seconds
_LONGEST_WAIT: Final = 5.0
_IN_USE_PATIENCE: Final = 20.0
_IN_USE: Final = "55006"


class LogReader:
    """One split: the log.

    Args:
        server: where.
        slot, publication: what is read.
        start: log position.
        timeline: of the server, that the position is in.
        stop: where the split ends, behind the transaction that passes this position; None: never.
        bound: until the log has passed it the tables may equal the server at no commit.
        maker: makes rows.
        acknowledged: below this log position nothing is needed again; None where everything that
            was handed out is done with (no checkpoints).
        connection: on which the slot lives, where it is temporary.
        idle_seconds: how often an idle log's position is handed out.
        check: raises where the slot cannot be read on from a position in a timeline; gives the
            timeline that the server is in now.
    """

    def __init__(
        self,
        server: Server,
        slot: str,
        publication: str,
        *,
        start: int,
        timeline: int,
        bound: int,
        stop: int | None,
        maker: ChangeMaker,
        acknowledged: int | None,
        connection: Connection | None,
        idle_seconds: float,
        check: Callable[[Connection, int, int], int],
    ) -> None:
        self._server = server
        self._slot = slot
        self._publication = publication
        self._maker = maker
        self._bound = bound
        self._stop = stop
        self._lsn = start
        self.timeline = timeline
        self._acknowledged = acknowledged
        self._temporary = connection
        self._is_temporary = connection is not None
        self._idle_seconds = idle_seconds
        self._check = check
        self._stream: LogStream | None = None
        self._decoder = LogDecoder()
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        # Changes of the transaction that is open: made so far, and made before a break.
        self._made = 0
        self._skip = 0
        self._open: tuple[int, int] | None = None
        self._parts: deque[tuple[str, Changes | None]] = deque()
        self._boundary = True
        self._given = start
        self._told_at = 0.0
        self._greeted = False
        self._lag_ms: int | None = None
        self._retry_at = 0.0
        self._wait = _FIRST_WAIT
        self._broken_since: float | None = None
        self._attempt = 0
        self._trouble: str | None = None

    @property
    def lsn(self) -> int:
        """Where the next read starts; right after a poll with `boundary`."""
        return self._given

    def acknowledge(self, lsn: int) -> None:
        """Below this log position nothing is needed again."""
        if self._acknowledged is not None:
            self._acknowledged = max(self._acknowledged, lsn)

    def status(self) -> SourceStatus:
        """Where the log is read, and when a lost connection is tried again."""
        lost = self._stream is None and self._broken_since is not None
        wait = max(0.0, self._retry_at - time.monotonic())
        return SourceStatus(
            position=lsn_text(self._given),
            read_to=self._given,
            lag_ms=self._lag_ms,
            attempt=self._attempt if lost else 0,
            next_attempt_ms=round(wait * 1000) if lost else None,
            trouble=self._trouble if lost else None,
        )

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        """The next rows, or a position that moved; what is neither does not end the waiting."""
        end = time.monotonic() + timeout
        while True:
            if not self._parts and self._ready(end):
                self._read(max(0.0, end - time.monotonic()))
            if self._parts:
                return self._hand_out(max_rows)
            if self._moved():
                return self._position_only()
            if time.monotonic() >= end:
                return None

    def _moved(self) -> bool:
        """Whether a position without rows is worth telling."""
        if not self._boundary or self._stream is None:
            return False
        if not self._greeted:
            self._greeted = True
            # From here on the tables are what they were when the slot was made.
            return self._bound <= self._lsn
        if self._lsn == self._given:
            return False
        passed = self._given < self._bound <= self._lsn
        return passed or time.monotonic() - self._told_at >= self._idle_seconds

    def _ready(self, end: float) -> bool:
        """Whether there is a stream; the first time it is told at once that there is."""
        if self._stream is None and not self._connect(max(0.0, end - time.monotonic())):
            return False
        return self._greeted

    def close(self) -> None:
        """Let go of the connections."""
        self._maker.close()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._temporary is not None:
            self._temporary.close()

    def _confirmed(self) -> int:
        return self._given if self._acknowledged is None else self._acknowledged

    def _position_only(self) -> Poll:
        self._given = self._lsn
        self._told_at = time.monotonic()
        return Poll(
            finished=self._ended(), consistent=self._given >= self._bound, lag_ms=self._lag_ms
        )

    def _ended(self) -> dict[str, JSON]:
        """The split, once its end was handed out."""
        return {LOG: {}} if self._stop is not None and self._given >= self._stop else {}

    def _hand_out(self, max_rows: int) -> Poll:
        pieces: list[Piece | Emptied] = []
        room = max(max_rows, 2)
        while self._parts and room:
            table, changes = self._parts[0]
            if changes is None:
                self._parts.popleft()
                pieces.append(Emptied(table, LOG))
                continue
            size = _cut(changes, room)
            if size == 0:
                break
            if size < len(changes):
                self._parts[0] = (table, changes.slice(size, len(changes) - size))
                changes = changes.slice(0, size)
            else:
                self._parts.popleft()
            pieces.append(Piece(table, LOG, changes))
            room -= size
        boundary = self._boundary and not self._parts
        if boundary:
            self._given = self._lsn
            self._told_at = time.monotonic()
        return Poll(
            tuple(pieces),
            boundary=boundary,
            finished=self._ended() if boundary else {},
            consistent=self._given >= self._bound,
            lag_ms=self._lag_ms,
        )

    def _read(self, timeout: float) -> None:
        assert self._stream is not None
        try:
            new = self._stream.take(timeout)
        except (psycopg.Error, OSError) as error:
            self._failed(error)
            return
        if not new:
            return
        self._broken_since = None
        frames = self._cut(new)
        if frames:
            self._decode(frames)

    def _cut(self, new: list[bytes]) -> list[bytes]:
        """Frames up to the last commit.

        What is behind is kept until its own commit comes, or it is large.
        """
        # By its length first: this looks at every message of a large transaction.
        last = next(
            (
                i
                for i in range(len(new) - 1, -1, -1)
                if len(new[i]) == _COMMIT_FRAME and new[i][_MESSAGE] == _COMMIT
            ),
            -1,
        )
        if last < 0:
            self._rest += new
            self._rest_bytes += sum(map(len, new))
            if self._rest_bytes < _KEEP_BYTES and not self._all_outside():
                return []
            frames, self._rest, self._rest_bytes = self._rest, [], 0
            return frames
        # Keepalives right behind it belong to it.
        end = last + 1
        while end < len(new) and new[end][0] != _DATA:
            end += 1
        frames = self._rest + new[:end]
        self._rest = new[end:]
        self._rest_bytes = sum(map(len, self._rest))
        return frames

    def _all_outside(self) -> bool:
        """Nothing is kept but keepalives."""
        return all(frame[0] != _DATA for frame in self._rest)

    def _decode(self, frames: list[bytes]) -> None:
        read = read_frames(frames)
        batch = self._decoder.decode(read)
        skip = self._take_skip(batch)
        # Behind a break the server says how far it is before it sends what was open anew.
        complete = batch.complete and not self._skip
        passed = self._given >= self._bound
        if passed and self._bound:
            self._maker.forget_chunks()
            self._bound = 0
        self._parts.extend(self._maker.make(batch, skip))
        self._boundary = complete
        count = len(batch.transactions)
        if count:
            ends = batch.transactions.end
            done = ends[ends > 0]
            if len(done):
                self._lsn = max(self._lsn, int(done[-1]))
            self._lag_ms = max(
                0, int(time.time() * 1000) - int(batch.transactions.time[-1]) // 1000
            )
            self._note_open(batch)
        if complete and read.keepalive_end is not None:
            self._lsn = max(self._lsn, read.keepalive_end)
            self._lag_ms = 0 if not count else self._lag_ms

    def _note_open(self, batch: LogBatch) -> None:
        """How much of the transaction that is open was made, for a break in its midst."""
        if batch.complete:
            self._made, self._open = 0, None
            return
        last = len(batch.transactions) - 1
        xid = (int(batch.transactions.xid[last]), int(batch.transactions.final[last]))
        if self._open != xid:
            self._made = 0
        self._open = xid
        self._made += _messages(batch, last)

    def _take_skip(self, batch: LogBatch) -> int:
        """How many changes at the batch's start were made before the connection broke."""
        if not self._skip or not len(batch.transactions):
            return 0
        assert self._open is not None
        first = (int(batch.transactions.xid[0]), int(batch.transactions.final[0]))
        if first != self._open:
            raise ConnectorError(
                f'PostgreSQL server "{self._server}" sent another log than before the connection'
                " was lost",
                hint="Start again: the job goes on from its last checkpoint.",
            )
        here = _messages(batch, 0)
        skip = min(self._skip, here)
        self._skip -= skip
        # They are counted again by `_note_open`.
        self._made -= skip
        if batch.complete or len(batch.transactions) > 1:
            self._skip = 0
        return skip

    def _broken(self, error: BaseException) -> None:
        if self._is_temporary:
            raise ConnectorError(
                f'the connection to PostgreSQL server "{self._server}" is lost',
                detail=str(error).strip(),
                hint="What takes no checkpoints cannot go on where it was: run it again.",
            ) from None
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._rest, self._rest_bytes = [], 0
        self._decoder = LogDecoder()
        self._skip = self._made
        if self._broken_since is None:
            self._broken_since = time.monotonic()
            self._wait = _FIRST_WAIT
            self._attempt = 0
        self._attempt += 1
        self._trouble = str(error).strip()
        self._retry_at = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)

    def _connect(self, timeout: float) -> bool:
        """Begin the stream where it was left; whether it did."""
        left = self._retry_at - time.monotonic()
        if left > 0:
            time.sleep(min(left, timeout))
            if left > timeout:
                return False
        connection = None
        try:
            connection, self._temporary = self._temporary, None
            if connection is None:
                connection = self._server.open(replication=True)
                self.timeline = self._check(connection, self._lsn, self.timeline)
            self._stream = LogStream(
                connection, self._slot, self._publication, self._lsn, self._confirmed
            )
        except (psycopg.Error, OSError, FlowSQLError) as error:
            if connection is not None:
                connection.close()
            self._failed(error)
            return False
        return True

    def _failed(self, error: BaseException) -> None:
        """Try again later, or give up."""
        if isinstance(error, FlowSQLError):
            raise error
        if isinstance(error, psycopg.Error) and error.sqlstate == _IN_USE:
            begun = self._broken_since if self._broken_since is not None else time.monotonic()
            if time.monotonic() - begun > _IN_USE_PATIENCE:
                raise ConnectorError(
                    f'replication slot "{self._slot}" of PostgreSQL server "{self._server}" is'
                    " being read by somebody else",
                    detail=str(error).strip(),
                    hint="Stop the other job, or give this one a 'slot.name' of its own.",
                ) from None
        elif isinstance(error, psycopg.errors.UndefinedObject):
            raise ConnectorError(
                f'PostgreSQL server "{self._server}" does not send the log',
                detail=str(error).strip(),
                hint="The publication is gone, or was made behind changes that the slot still has:"
                " begin anew with --fresh; where the slot was there before the publication, drop it"
                " first (flowsql slots drop).",
                final=True,
            ) from None
        elif isinstance(error, psycopg.Error) and not may_pass(error):
            raise self._server.error(error, "does not send the log") from None
        self._broken(error)


def _messages(batch: LogBatch, transaction: int) -> int:
    """How many changes of the transaction the batch has, one a message."""
    found = [c.ordinals[c.transactions == transaction] // 2 for c in batch.changes]
    count = sum(1 for t in batch.truncates if t.transaction == transaction)
    # They rise; both rows of an update are of one message.
    return count + sum(int(np.count_nonzero(np.diff(f))) + bool(len(f)) for f in found)


def _cut(changes: Changes, room: int) -> int:
    """How many rows to hand out, so that halves of an update stay together."""
    if len(changes) <= room:
        return len(changes)
    codes = changes.codes
    if codes is not None and codes[room - 1] == UPDATE_BEFORE and codes[room] == UPDATE_AFTER:
        return room - 1
    return room
