"""The snapshot that all readers of chunks share: a transaction that holds it open."""

from __future__ import annotations

import time
from typing import Final

from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server, lsn_number
from flowsql_connectors.postgres_cdc.server.slots import is_standby
from flowsql_connectors.postgres_cdc.snapshot.visibility import Snapshot

__all__ = ["SnapshotHolder", "wait_for_running"]

_RUNNING_PATIENCE: Final = 60.0  # seconds


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
        # Transactional, so that it is written at once; no standby is waited for.
        self._server.rows(connection, "SET synchronous_commit = local")
        ((bound,),) = self._server.rows(
            connection, "SELECT pg_logical_emit_message(true, 'flowsql', 'bound')::text"
        )
        return Snapshot.read(self.sees, lsn_number(bound))

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def wait_for_running(server: Server, connection: Connection, slot: str) -> None:
    """Until no transaction runs that may stand in the log before the slot's position.

    Its commit may be in the log while it is still invisible to snapshots.
    """
    highest = int(_current_snapshot(server, connection).split(":")[1])
    end = time.monotonic() + _RUNNING_PATIENCE
    while int(_current_snapshot(server, connection).split(":")[0]) < highest:
        if time.monotonic() > end:
            raise ConnectorError(
                f'transactions of PostgreSQL server "{server}" have been open for more than a'
                " minute, and a first start on a slot that is there waits for them",
                hint="End them (pg_stat_activity, pg_prepared_xacts shows them), or drop slot"
                f' "{slot}", so that it is made anew.',
            )
        time.sleep(0.05)


def _current_snapshot(server: Server, connection: Connection) -> str:
    new = connection.info.server_version >= 130_000
    name = "pg_current_snapshot" if new else "txid_current_snapshot"
    ((text,),) = server.rows(connection, f"SELECT {name}()::text")
    return str(text)
