"""The snapshot that all readers of chunks share: what holds it open, and what it sees."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from psycopg import sql

from flowsql.connector import ConnectorContext, StartInterrupted
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server, lsn_number
from flowsql_connectors.postgres_cdc.server.slots import is_standby
from flowsql_connectors.postgres_cdc.snapshot.chunked import SourceTable
from flowsql_connectors.postgres_cdc.snapshot.files import files_of
from flowsql_connectors.postgres_cdc.snapshot.visibility import Snapshot

__all__ = ["Exported", "SnapshotHolder", "wait_for_commits", "wait_for_running"]

_RUNNING_PATIENCE: Final = 60.0  # seconds
_SHORT: Final = 1.0  # of which nothing is said


class SnapshotHolder:
    """A transaction whose snapshot others may read under, as long as it is open.

    Args:
        server: where.

    Attributes:
        name: of the snapshot in the server.
        sees: what it sees, as `pg_current_snapshot()` tells.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect()
        try:
            server.rows(self._connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            ((self.name,),) = server.rows(self._connection, "SELECT pg_export_snapshot()")
            self.sees = _current_snapshot(server, self._connection)
        except BaseException:
            self.close()
            raise

    def bounded(self, connection: Connection) -> Snapshot:
        """What it sees, with a bound in the log behind all of that.

        Args:
            connection: another one, that commits by itself.

        Raises ConnectorError on a standby.
        """
        if is_standby(self._server, connection):
            # Its snapshots do not tell which transactions they leave out, and it cannot mark its log.
            raise ConnectorError(
                f'PostgreSQL server "{self._server}" is a standby, where a snapshot that is read'
                " in part cannot be read on",
                hint="Begin anew with --fresh and a 'slot.name' that is not there; or name the"
                " primary in 'hostname'.",
                final=True,
            )
        # Transactional, so that it is written at once.
        ((bound,),) = self._server.rows(
            connection, "SELECT pg_logical_emit_message(true, 'flowsql', 'bound')::text"
        )
        return Snapshot.read(self.sees, lsn_number(bound))

    def files(self, oid: int) -> dict[str, int]:
        """Which files a table is; see `files_of`."""
        return files_of(self._server, self._connection, oid)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class Exported:
    """What the snapshot sees that came with a new slot.

    It is made from the log: a transaction whose commit is written is visible in it, and not to
    anybody else as long as that commit waits for a standby. The slot's log begins behind it.

    Args:
        server: a primary.
        name: of the snapshot.
        tables: by the name that splits use.

    Attributes:
        hanging: the transactions that only it sees.
        files: of each table; see `files_of`.
    """

    def __init__(self, server: Server, name: str, tables: Mapping[str, SourceTable]) -> None:
        with contextlib.closing(server.connect()) as connection:
            server.rows(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            imported = sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(name))
            server.rows(connection, imported)
            sees = Snapshot.read(_current_snapshot(server, connection), 0)
            self.files = {
                table: files_of(server, connection, t.source.oid) for table, t in tables.items()
            }
            server.rows(connection, "COMMIT")
            others = Snapshot.read(_current_snapshot(server, connection), 0)
        # What they do not see is among these, or behind all of which anything has ended.
        hidden = others.running.union(range(others.highest, sees.highest))
        self.hanging = sorted(x for x in hidden if sees.sees(x))


def wait_for_running(
    server: Server, connection: Connection, slot: str, context: ConnectorContext
) -> None:
    """Until no transaction runs that may stand in the log before the slot's position.

    Its commit may be in the log while it is still invisible to snapshots.

    Args:
        server: where.
        connection: to it, that commits by itself.
        slot: that is there.
        context: told where it takes time.

    Raises:
        ConnectorError: they are open for more than a minute.
        StartInterrupted: the job is asked to stop.
    """
    if is_standby(server, connection):
        # Where the rows are wanted as well that is refused.
        return
    # A snapshot's own end is behind what has ended, not behind what has begun.
    name = "pg_current_xact_id" if _new(connection) else "txid_current"
    ((text,),) = server.rows(connection, f"SELECT {name}()::text")
    highest = int(text)
    _wait(
        lambda: int(_current_snapshot(server, connection).split(":")[0]) >= highest,
        context,
        f'PostgreSQL server "{server}" has open transactions: a first start on a slot that is'
        " there waits for their end",
        ConnectorError(
            f'transactions of PostgreSQL server "{server}" have been open for more than a'
            " minute, and a first start on a slot that is there waits for them",
            hint="End them (pg_stat_activity, pg_prepared_xacts shows them), or drop slot"
            f' "{slot}", so that it is made anew.',
        ),
    )


def wait_for_commits(
    server: Server, connection: Connection, hanging: Collection[int], context: ConnectorContext
) -> None:
    """Until everybody sees what only a slot's own snapshot saw.

    Args:
        server: where.
        connection: to it, that commits by itself.
        hanging: see `Exported`.
        context: told where it takes time.

    Raises:
        ConnectorError: they hang for more than a minute.
        StartInterrupted: the job is asked to stop.
    """
    _wait(
        lambda: not hanging or _all_seen(server, connection, hanging),
        context,
        f'PostgreSQL server "{server}" has transactions that wait for a standby since before'
        " the snapshot of the tables began: it goes on when they are over",
        ConnectorError(
            f'transactions of PostgreSQL server "{server}" have waited for a standby for more'
            " than a minute, and a snapshot that was read in part waits for them",
            hint="Bring the standby back (pg_stat_activity shows who waits: wait_event ="
            " 'SyncRep'), or take it out of synchronous_standby_names.",
        ),
    )


def _wait(
    over: Callable[[], bool], context: ConnectorContext, why: str, error: ConnectorError
) -> None:
    begun = time.monotonic()
    told = False
    while not over():
        waited = time.monotonic() - begun
        if waited > _RUNNING_PATIENCE:
            raise error
        if context.stopping():
            raise StartInterrupted
        if waited > _SHORT and not told:
            context.tell(why)
            told = True
        time.sleep(0.05)


def _all_seen(server: Server, connection: Connection, xids: Collection[int]) -> bool:
    sees = Snapshot.read(_current_snapshot(server, connection), 0)
    return all(map(sees.sees, xids))


def _current_snapshot(server: Server, connection: Connection) -> str:
    name = "pg_current_snapshot" if _new(connection) else "txid_current_snapshot"
    ((text,),) = server.rows(connection, f"SELECT {name}()::text")
    return str(text)


def _new(connection: Connection) -> bool:
    """Whether the server has functions of 64-bit transaction numbers by their later names."""
    return connection.info.server_version >= 130_000
