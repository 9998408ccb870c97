"""Reads chunks and the log."""

from __future__ import annotations

import bisect
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowsql.connector import JSON, ConnectorTable, Piece, Poll, Reader, SourceStatus, Split
from flowsql.errors import ConnectorError
from flowsql.testing.fake_database.rows import TableRows
from flowsql.testing.fake_database.store import connect

__all__ = ["FakeDatabaseReader"]

_FORMAT = 1
# How often an idle log is looked at.
_LOOK = 0.005


@dataclass(slots=True)
class _ChunkRead:
    """Rows of a chunk that are not handed out yet."""

    split: Split
    bound: int
    rows: list[JSON]


class FakeDatabaseReader(Reader):
    """Reads its chunks first, then the log."""

    def __init__(self, tables: Sequence[ConnectorTable]) -> None:
        self._folder = tables[0].options["path"]
        self._connection = connect(self._folder)
        self._by_name = {t.name: TableRows(t) for t in tables}
        self._numbers: dict[int, list[TableRows]] = {}
        for number, name in self._connection.execute("SELECT id, name FROM tables"):
            for table in self._by_name.values():
                if table.source_name == name:
                    table.number = number
                    table.key = self._key(number)
                    self._numbers.setdefault(number, []).append(table)
        self._waiting: deque[Split] = deque()
        self._chunk: _ChunkRead | None = None
        self._log: _LogRead | None = None
        self._idle = threading.Event()

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            if position is not None:
                known = (position.get("connector"), position.get("format"))
                if known != ("fake-database", _FORMAT):
                    raise ConnectorError(
                        f'the stored position of "{split.id}" of fake database '
                        f'"{self._folder}" cannot be read',
                        detail=f"It was written by {known[0]!r}, format {known[1]!r}.",
                    )
            if split.id == "log":
                lsn = position["lsn"] if position is not None else None
                self._log = _LogRead(split, lsn)
                self._log.learn(split.payload["chunks"])
                self._check_kept(self._log)
            else:
                self._waiting.append(split)

    def tell(self, message: JSON) -> None:
        if self._log is not None:
            self._log.learn(message["chunks"])

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        log = self._log
        if log is not None and not log.boundary:
            return self._read_log(log, max_rows)
        if self._chunk is None and self._waiting:
            self._chunk = self._open_chunk(self._waiting.popleft())
        if self._chunk is not None:
            return self._read_chunk(self._chunk, max_rows)
        end = time.monotonic() + timeout
        while True:
            poll = None if log is None or log.lsn is None else self._read_log(log, max_rows)
            rest = end - time.monotonic()
            if poll is not None or rest <= 0:
                return poll
            self._idle.wait(min(rest, _LOOK) if log is not None and log.lsn is not None else rest)

    def position(self, split: str) -> JSON:
        place: JSON = {"format": _FORMAT, "connector": "fake-database"}
        if split == "log":
            assert self._log is not None
            return {**place, "lsn": self._log.lsn}
        # A chunk that is not read to its end is read again, in a new snapshot.
        return place

    def status(self) -> SourceStatus | None:
        log = self._log
        return None if log is None or log.lsn is None else SourceStatus(position=f"LSN {log.lsn}")

    def close(self) -> None:
        self._connection.close()

    def _key(self, number: int) -> list[str]:
        found = self._connection.execute("SELECT key FROM tables WHERE id = ?", (number,))
        key: list[str] = json.loads(found.fetchone()[0])
        return key

    def _check_kept(self, log: _LogRead) -> None:
        if log.lsn is None:
            return
        found = self._connection.execute("SELECT value FROM meta WHERE key = 'floor'").fetchone()
        if int(found[0]) > log.lsn:
            raise ConnectorError(
                f'the log of fake database "{self._folder}" begins behind LSN {found[0]}, '
                f"but the checkpoint needs it from LSN {log.lsn} on",
                hint="Start afresh with --fresh: what is missing cannot be read any more.",
            )

    def _open_chunk(self, split: Split) -> _ChunkRead:
        table = self._by_name[split.payload["table"]]
        low, high = split.payload["low"], split.payload["high"]
        self._connection.execute("BEGIN")
        try:
            # The first read fixes the snapshot; the last LSN in it is the chunk's bound.
            found = self._connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'log'"
            ).fetchone()
            rows = self._connection.execute(
                f"SELECT row FROM data_{table.number} "  # noqa: S608 - a number
                "WHERE (?1 IS NULL OR chunk >= ?1) AND (?2 IS NULL OR chunk < ?2) ORDER BY chunk",
                (low, high),
            ).fetchall()
        finally:
            self._connection.execute("COMMIT")
        bound = int(found[0]) if found else 0
        return _ChunkRead(split, bound, [json.loads(row) for (row,) in rows])

    def _read_chunk(self, chunk: _ChunkRead, max_rows: int) -> Poll:
        table = self._by_name[chunk.split.payload["table"]]
        for row in chunk.rows[:max_rows]:
            table.insert(row)
        del chunk.rows[:max_rows]
        changes = table.take()
        pieces = tuple(Piece(table.name, chunk.split.id, c) for c in changes)
        if chunk.rows:
            return Poll(pieces, boundary=False, consistent=False)
        self._chunk = None
        result = {chunk.split.id: {"bound": chunk.bound}}
        return Poll(pieces, finished=result, consistent=False)

    def _read_log(self, log: _LogRead, max_rows: int) -> Poll | None:
        # An update gives two rows.
        lines = self._lines(log.lsn, max(1, max_rows // 2))
        for lsn, number, kind, old, new, unchanged, last in lines:
            log.lsn, log.boundary = lsn, bool(last)
            for table in self._numbers.get(number, ()):
                table.change(
                    kind,
                    None if old is None else json.loads(old),
                    None if new is None else json.loads(new),
                    json.loads(unchanged) if unchanged else (),
                    log.counts(table, lsn),
                )
            if log.boundary and log.end is not None and lsn >= log.end:
                break
        news = log.news()
        if not lines and not news:
            return None
        pieces = tuple(
            Piece(table.name, "log", changes)
            for table in self._by_name.values()
            for changes in table.take()
        )
        finished: Mapping[str, JSON] = {}
        if log.boundary and log.end is not None and log.lsn is not None and log.lsn >= log.end:
            finished = {"log": {}}
            self._log = None
        return Poll(pieces, boundary=log.boundary, finished=finished, consistent=log.consistent)

    def _lines(self, lsn: int | None, limit: int) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(
                'SELECT lsn, "table", kind, old, new, unchanged, last FROM log '
                "WHERE lsn > ? ORDER BY lsn LIMIT ?",
                (lsn, limit),
            ).fetchall()
        except sqlite3.Error as error:
            raise ConnectorError(
                f'could not read the log of fake database "{self._folder}": {error}'
            ) from None


class _LogRead:
    """How far the log is read, and which of its changes the chunks have already.

    Attributes:
        lsn: the last one read; None until every chunk's bound is known.
        boundary: it ends a transaction.
        end: where a bounded scan ends.
    """

    def __init__(self, split: Split, lsn: int | None) -> None:
        self._start: int = split.payload["start"]
        self._asked_end: int | None = split.payload["end"]
        self.lsn = lsn
        self.boundary = True
        self.end: int | None = None
        self._lows: dict[str, list[Any]] = {}
        self._bounds: dict[str, list[int]] = {}
        self._highest = 0
        self._told: bool | None = None

    def learn(self, chunks: Mapping[str, JSON]) -> None:
        """The chunks and their bounds; reading starts once all are known."""
        if any(c["bound"] is None for c in chunks.values()):
            return
        bounds = [int(c["bound"]) for c in chunks.values()]
        self._highest = max(bounds, default=0)
        if self.lsn is None:
            self.lsn = min(bounds, default=self._start)
        if self._asked_end is not None:
            self.end = max(self._asked_end, self._highest)
        by_table: dict[str, list[JSON]] = {}
        for chunk in chunks.values():
            by_table.setdefault(chunk["table"], []).append(chunk)
        for table, parts in by_table.items():
            # The first chunk has no lower end; the others' are searched.
            ordered = sorted(parts, key=lambda c: (c["low"] is not None, c["low"]))
            self._lows[table] = [c["low"] for c in ordered[1:]]
            self._bounds[table] = [c["bound"] for c in ordered]

    @property
    def consistent(self) -> bool:
        """Behind every bound, at the end of a transaction."""
        return self.boundary and self.lsn is not None and self.lsn >= self._highest

    def news(self) -> bool:
        """Whether being consistent is still to be told, though there is no change to go with it.

        So is the end of a bounded scan.
        """
        at_end = self.end is not None and self.lsn is not None and self.lsn >= self.end
        fresh = self._told is not self.consistent
        self._told = self.consistent
        return fresh or at_end

    def counts(self, table: TableRows, lsn: int) -> Any:
        """A function that says of a row whether its chunk's snapshot does not have the change."""
        bounds = self._bounds.get(table.name)
        if bounds is None or lsn > self._highest:
            return _always
        lows, column = self._lows[table.name], table.key[0]
        return lambda row: lsn > bounds[bisect.bisect_right(lows, row[column])]


def _always(row: JSON) -> bool:
    del row
    return True
