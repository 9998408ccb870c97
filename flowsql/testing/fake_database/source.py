"""The engine's side: chunks, their bounds, and what of the log is still needed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowsql.connector import (
    JSON,
    ConnectorTable,
    Finding,
    Reader,
    Severity,
    Source,
    SourceStatus,
    Split,
)
from flowsql.errors import ConnectorError, nearest
from flowsql.testing.fake_database.reader import FakeDatabaseReader
from flowsql.testing.fake_database.store import connect

__all__ = ["FakeDatabaseSource", "mismatches"]

_FORMAT = 1


@dataclass(slots=True)
class _Chunk:
    """Rows of one table with `low <= key < high`; None is unlimited.

    Attributes:
        bound: the LSN of its snapshot, once it is read.
    """

    table: str
    low: Any
    high: Any
    bound: int | None = None


class FakeDatabaseSource(Source):
    """Tables of one database, read through one slot.

    First every chunk is read, each in a snapshot of its own whose LSN is the chunk's *bound*. Then
    the log is read from the lowest bound on: a change counts if it lies behind the bound of the
    chunk that its key is in. Behind the highest bound the tables equal the database at every commit.
    The slot is taken before the first chunk, so that the log behind any bound is kept.
    """

    def __init__(self, tables: Sequence[ConnectorTable], position: JSON | None) -> None:
        self._tables = tables
        options = tables[0].options
        self._folder: str = options["path"]
        self._slot: str = options["slot.name"]
        self.bounded = options["scan.bounded.mode"] != "unbounded"
        self._connection = connect(self._folder)
        self._check_tables()
        self._snapshot_rows = sum(self._count(t) for t in tables)
        self._given = False
        self._log_done = False
        self._chunks: dict[str, _Chunk] = {}
        if position is None:
            self._start_fresh(options["scan.startup.mode"])
        else:
            self._resume(position)

    def discover(self) -> Sequence[Split]:
        if self._given:
            return ()
        self._given = True
        splits = []
        for identity, chunk in self._chunks.items():
            if chunk.bound is None:
                payload = {"table": chunk.table, "low": chunk.low, "high": chunk.high}
                splits.append(Split(identity, (chunk.table,), payload, snapshot=True))
        if not self._log_done:
            log: JSON = {"start": self._start, "end": self._end, "chunks": self._described()}
            splits.append(Split("log", tuple(t.name for t in self._tables), log, owner="log"))
        return splits

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = FakeDatabaseReader(self._tables)
        reader.assign(splits)
        return reader

    def setup(self) -> JSON:
        return {}

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        if split == "log":
            self._log_done = True
            return ()
        self._chunks[split].bound = result["bound"]
        if any(c.bound is None for c in self._chunks.values()):
            return ()
        return ({"chunks": self._described()},)

    def position(self) -> JSON:
        return {
            "format": _FORMAT,
            "connector": "fake-database",
            "database": self._identity,
            "start": self._start,
            "end": self._end,
            "log_done": self._log_done,
            "chunks": self._described(),
        }

    def status(self) -> SourceStatus:
        return SourceStatus(slot=self._slot, snapshot_rows=self._snapshot_rows)

    def acknowledge(self, position: Mapping[str, JSON]) -> Sequence[JSON]:
        log = position["splits"].get("log")
        if log is not None and log["lsn"] is not None:
            self._connection.execute(
                "UPDATE slots SET confirmed = MAX(confirmed, ?) WHERE name = ?",
                (log["lsn"], self._slot),
            )
        return ()

    def close(self) -> None:
        self._connection.close()

    def _described(self) -> JSON:
        return {
            identity: {"table": c.table, "low": c.low, "high": c.high, "bound": c.bound}
            for identity, c in self._chunks.items()
        }

    @property
    def _identity(self) -> str:
        found = self._connection.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        return str(found[0])

    def _count(self, table: ConnectorTable) -> int:
        (number,) = self._connection.execute(
            "SELECT id FROM tables WHERE name = ?", (table.options["table-name"],)
        ).fetchone()
        counted = self._connection.execute(f"SELECT COUNT(*) FROM data_{number}")  # noqa: S608 - a number
        return int(counted.fetchone()[0])

    def _check_tables(self) -> None:
        for finding in mismatches(self._tables, self._connection):
            raise ConnectorError(finding.fact, hint=finding.cure)

    def _start_fresh(self, mode: str) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        last, floor = _last_lsn(connection), _floor(connection)
        self._start = floor if mode == "earliest-offset" else last
        self._end = last if self.bounded else None
        connection.execute(
            "INSERT INTO slots VALUES (?, ?) ON CONFLICT (name) "
            "DO UPDATE SET confirmed = excluded.confirmed",
            (self._slot, self._start),
        )
        connection.execute("COMMIT")
        if mode == "initial":
            for table in self._tables:
                self._split_table(table)

    def _split_table(self, table: ConnectorTable) -> None:
        size = table.options["scan.incremental.snapshot.chunk.size"]
        (number,) = self._connection.execute(
            "SELECT id FROM tables WHERE name = ?", (table.options["table-name"],)
        ).fetchone()
        low, index = None, 0
        while True:
            # The first key of the chunk behind this one; NULL sorts before every key.
            found = self._connection.execute(
                f"SELECT DISTINCT chunk FROM data_{number} WHERE ? IS NULL OR chunk >= ? "  # noqa: S608 - a number
                "ORDER BY chunk LIMIT 1 OFFSET ?",
                (low, low, size),
            ).fetchone()
            high = found[0] if found else None
            self._chunks[f"chunk:{table.name}:{index}"] = _Chunk(table.name, low, high)
            if high is None:
                return
            low, index = high, index + 1

    def _resume(self, position: JSON) -> None:
        if (position.get("connector"), position.get("format")) != ("fake-database", _FORMAT):
            raise ConnectorError(
                f'the stored position of fake database "{self._folder}" cannot be read',
                detail=f"It was written by {position.get('connector')!r}, "
                f"format {position.get('format')!r}.",
            )
        if position["database"] != self._identity:
            raise ConnectorError(
                f'"{self._folder}" is another database than the one the checkpoint was taken of',
                detail=f"It is {self._identity}, the checkpoint's is {position['database']}.",
            )
        self._start, self._end = position["start"], position["end"]
        self._log_done = position["log_done"]
        self._chunks = {
            identity: _Chunk(c["table"], c["low"], c["high"], c["bound"])
            for identity, c in position["chunks"].items()
        }


def _last_lsn(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return int(found[0]) if found else 0


def _floor(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE key = 'floor'").fetchone()[0])


def mismatches(tables: Sequence[ConnectorTable], connection: Any) -> Iterator[Finding]:
    """What the tables say of the database that is not so; the connection is to that database."""
    known = {
        name: (json.loads(columns), json.loads(key))
        for name, columns, key in connection.execute("SELECT name, columns, key FROM tables")
    }
    for table in tables:
        name, folder = table.options["table-name"], table.options["path"]
        if name not in known:
            near = nearest(name, known)
            yield Finding(
                Severity.ERROR,
                f'fake database "{folder}" has no table "{name}"',
                f'Did you mean "{near}"?' if near else None,
                table.name,
                "table-name",
            )
            continue
        columns, key = known[name]
        for column in table.schema.names:
            if column not in columns:
                near = nearest(column, columns)
                yield Finding(
                    Severity.ERROR,
                    f'table "{name}" of fake database "{folder}" has no column "{column}"',
                    f'Did you mean "{near}"?' if near else None,
                    table.name,
                )
        if table.primary_key and set(table.primary_key) != set(key):
            yield Finding(
                Severity.ERROR,
                f'the primary key of table "{name}" is ({", ".join(key)}), '
                f"not ({', '.join(table.primary_key)})",
                table=table.name,
            )
