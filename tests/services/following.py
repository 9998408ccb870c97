"""A source over a real server, driven as the runtime drives it, and its rows folded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowsql.changelog import kind_names
from flowsql.connector import ConnectorTable, Emptied, Needs, Poll, Reader, Role, Source, Split
from flowsql.connector.plugins import find_connector
from flowsql.testing import attempt_context, connector_table
from tests.services.postgres import PostgresServer

__all__ = ["Follow", "Follower", "clean", "drop_slot", "make", "server_table", "until_idle"]


def server_table(
    server: PostgresServer,
    columns: str,
    name: str,
    *,
    key: tuple[str, ...] = (),
    read: tuple[str, ...] | None = None,
    metadata: dict[str, str] | None = None,
    port: int | None = None,
    **options: str,
) -> ConnectorTable:
    """A table of the server as a job declares it; `__` in an option's name is a dot."""
    given = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(port or server.port),
        "username": "postgres",
        "database-name": "postgres",
        "schema-name": "public",
        "table-name": name,
        "slot.name": f"slot_{name}",
        "debezium.publication.name": f"pub_{name}",
        **{k.replace("__", ".").replace("_", "-"): v for k, v in options.items()},
    }
    return connector_table(columns, given, name=name, primary_key=key, read=read, metadata=metadata)


class Follower:
    """Reads a source, one reader for all its splits, and can be killed and begin again.

    Args:
        folder: for files.
        tables: of the group.
        lasting: False for what keeps no checkpoints.

    Attributes:
        held: tables whose rows the engine would hold.
        changes: `(table, kind, row)` of all that was handed out whole; kind `0`: its table lost
            all rows.
        position: as a checkpoint would hold it.
        polls: those that were handed out.
    """

    def __init__(
        self, folder: Path, tables: Sequence[ConnectorTable], *, lasting: bool = True
    ) -> None:
        self.folder = folder
        self.tables = tables
        self.lasting = lasting
        self.held: set[str] = set()
        self.changes: list[tuple[str, str, tuple[Any, ...]]] = []
        self.position: dict[str, Any] | None = None
        self.polls: list[Poll] = []
        self.told: list[str] = []
        self.source: Source | None = None
        self.reader: Reader | None = None
        self._splits: dict[str, Split] = {}
        self._open: list[tuple[str, str, tuple[Any, ...]]] = []

    def start(self) -> Follower:
        """Open at the position."""
        context = replace(
            attempt_context(self.folder),
            lasting=self.lasting,
            tell=self.told.append,
            needs={
                t.name: Needs(Role.SCAN, t.primary_key, holds_rows=t.name in self.held)
                for t in self.tables
            },
        )
        connector = find_connector(self.tables[0].options["connector"])
        stored = None if self.position is None else json.loads(json.dumps(self.position))
        self.source = connector.open_source(
            self.tables, None if stored is None else stored["source"], context
        )
        self._stored = {} if stored is None else stored["splits"]
        self._splits, self._open = {}, []
        self.reader = None
        self._discover()
        while not self._splits and not self.source.complete:
            time.sleep(0.005)
            self._discover()
        return self

    def kill(self) -> Follower:
        """Let go of everything but the position, as a process that dies."""
        if self.reader is not None:
            self.reader.close()
        if self.source is not None:
            self.source.close()
        self.reader = self.source = None
        return self

    def poll(self, timeout: float = 0.05, max_rows: int = 65_536) -> Poll | None:
        """One poll, and all that follows from it."""
        assert self.reader is not None
        assert self.source is not None
        poll = self.reader.poll(max_rows, timeout)
        if poll is None:
            return None
        self.polls.append(poll)
        for piece in poll.pieces:
            if isinstance(piece, Emptied):
                self._open.append((piece.table, "0", ()))
                continue
            rows = [tuple(r.values()) for r in piece.changes.batch.to_pylist()]
            kinds = kind_names(piece.changes)
            self._open += [(piece.table, k, r) for k, r in zip(kinds, rows, strict=True)]
        for split, result in poll.finished.items():
            del self._splits[split]
            for message in self.source.finished(split, json.loads(json.dumps(result))):
                self.reader.tell(message)
        if poll.boundary:
            self.changes += self._open
            self._open = []
            splits = {s: self.reader.position(s) for s in self._splits}
            self.position = json.loads(
                json.dumps({"source": self.source.position(), "splits": splits})
            )
        while not self._splits and not self.source.complete:
            time.sleep(0.005)
            self._discover()
        return poll

    def acknowledge(self) -> None:
        """A checkpoint with the position is the oldest one."""
        assert self.reader is not None
        assert self.source is not None
        assert self.position is not None
        for message in self.source.acknowledge(self.position):
            self.reader.tell(message)

    def until(self, done: Any, seconds: float = 60.0) -> Follower:
        """Poll until `done(self)`."""
        end = time.monotonic() + seconds
        while not done(self):
            assert time.monotonic() < end, f"{len(self.changes)} changes: {self.changes[-5:]}"
            self.poll()
        return self

    def until_holds(self, server: PostgresServer, *names: str, seconds: float = 60.0) -> Follower:
        """Poll until the folded rows equal the server's tables."""
        end = time.monotonic() + seconds
        while True:
            self.poll()
            wanted = {n: sorted(server.execute(f"SELECT * FROM {n}"), key=repr) for n in names}
            found = {n: sorted(self.fold(n), key=repr) for n in names}
            if wanted == found:
                return self
            assert time.monotonic() < end, f"wanted {wanted}, found {found}"

    def fold(self, name: str) -> list[tuple[Any, ...]]:
        """The table that its changes make: by key, or as a multiset without one."""
        (table,) = [t for t in self.tables if t.name == name]
        places = [table.columns.index(k) for k in table.primary_key]
        rows: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for of, kind, row in self.changes:
            if of != name:
                continue
            if kind == "0":
                rows.clear()
                continue
            key = tuple(row[p] for p in places) if places else row
            held = rows.setdefault(key, [])
            if table.options["changelog-mode"] == "upsert":
                held[:] = [] if kind == "-D" else [row]
            elif kind in {"+I", "+U"}:
                held.append(row)
            else:
                assert row in held, f"{kind} of {row}, which is not there"
                held.remove(row)
        return [row for held in rows.values() for row in held]

    def _discover(self) -> None:
        assert self.source is not None
        new = list(self.source.discover())
        assert not {s.id for s in new} & self._splits.keys()
        self._splits.update((s.id, s) for s in new)
        work = [(s, self._stored.get(s.id)) for s in new]
        if self.reader is None:
            self.reader = self.source.open(work)
        elif work:
            self.reader.assign(work)


def until_idle(server: PostgresServer, slot: str) -> bool:
    """Wait until nobody reads a slot; whether it is there."""
    end = time.monotonic() + 60
    asked = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'"
    while found := server.execute(asked):
        if not found[0][0]:
            return True
        assert time.monotonic() < end, f"{slot} is still being read"
        time.sleep(0.05)
    return False


def drop_slot(server: PostgresServer, slot: str) -> None:
    """Remove a slot that may be there, once nobody reads it."""
    if until_idle(server, slot):
        server.execute(f"SELECT pg_drop_replication_slot('{slot}')")


def clean(server: PostgresServer, name: str) -> None:
    """Remove a table, its slot, once nobody reads it, and its publication."""
    drop_slot(server, f"slot_{name}")
    server.execute(f"DROP PUBLICATION IF EXISTS pub_{name}")
    server.execute(f"DROP TABLE IF EXISTS {name} CASCADE")


def make(server: PostgresServer, name: str, rows: int = 35, identity: str = "FULL") -> None:
    """A table of two columns with `n<i>` for each i."""
    server.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text)")
    server.execute(f"ALTER TABLE {name} REPLICA IDENTITY {identity}")
    server.execute(f"INSERT INTO {name} SELECT g, 'n' || g FROM generate_series(1, {rows}) g")


Follow = Callable[..., Follower]
