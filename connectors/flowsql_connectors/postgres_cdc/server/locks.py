"""Tells whom a start or a snapshot waits for: who has locked a table, and lets nobody read it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection
from typing import Final

import psycopg

from flowsql.connector import ConnectorContext, StartInterrupted
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.slots import reader_of

__all__ = ["LockWatch"]

_FIRST: Final = 3.0  # seconds, of which nothing is said
_EVERY: Final = 2.0
_PATIENCE: Final = 2.0
# Sessions of ours, and the last of them in a queue may wait for another one of ours.
_WAITING: Final = """
SELECT w.pid, l.relation::regclass::text, blocker
FROM pg_stat_activity w JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted
  AND l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) blocker
WHERE w.application_name = 'flowsql'
  AND (l.relation = ANY(%s) OR pg_partition_root(l.relation) = ANY(%s))
ORDER BY 2, 3
"""


class LockWatch:
    """Asks the server now and then, in a thread of its own, until there is nothing left to read.

    A start that waits when the job is asked to stop is ended.

    Args:
        server: where.
        connection: with which a start waits.
        oids: of the tables that are not read yet; none before they are known.
        context: told, each table and process once.
    """

    def __init__(
        self,
        server: Server,
        connection: Connection,
        oids: Callable[[], Collection[int]],
        context: ConnectorContext,
    ) -> None:
        self._server = server
        self._starting: Connection | None = connection
        self._oids = oids
        self._context = context
        self._told: set[tuple[str, int]] = set()
        self._ended = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"locks {server}", daemon=True)
        self._thread.start()

    def started(self) -> None:
        """The start is through: its connection is left alone."""
        self._starting = None

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join(_PATIENCE)

    def check(self) -> None:
        """Raise StartInterrupted where a start was ended, as the job is asked to stop."""
        if self._ended:
            raise StartInterrupted from None

    def _run(self) -> None:
        known, wait = False, _FIRST
        while not self._over.wait(wait):
            wait = _EVERY
            oids = list(self._oids())
            if known and not oids:
                return
            known = bool(oids)
            # A server that is away, or refuses another connection, is told by who reads.
            with contextlib.suppress(psycopg.Error, ConnectorError):
                self._look(oids)

    def _look(self, oids: list[int]) -> None:
        with contextlib.closing(self._server.open()) as connection:
            found = self._server.rows(connection, _WAITING, oids, oids)
            for _, table, pid in found:
                if (table, pid) not in self._told and not self._over.is_set():
                    self._told.add((table, pid))
                    self._tell(connection, table, pid)
        starting = self._starting
        if (
            starting is not None
            and self._context.stopping()
            and any(waiter == starting.info.backend_pid for waiter, _, _ in found)
        ):
            self._ended = True
            starting.cancel_safe(timeout=_PATIENCE)

    def _tell(self, connection: Connection, table: str, pid: int) -> None:
        # One that is prepared has no process.
        who = reader_of(self._server, connection, pid) if pid else "one that is prepared"
        self._context.tell(
            f'table "{table}" of PostgreSQL server "{self._server}" is locked, or about to be, by'
            f" {who}: reading it waits for the end of that transaction"
        )
