"""Whether a slot can be read, and read on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

import psycopg

from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server import slots
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server, lsn_number

__all__ = ["check_slot", "drop_idle_slot", "end_of_log", "idle_slot"]

_ACTIVE_PATIENCE: Final = 10.0  # seconds
_WRITTEN: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
  ELSE pg_current_wal_lsn() END::text
"""


def idle_slot(
    server: Server,
    connection: Connection,
    slot: str,
    tell: Callable[[str], None] = lambda _: None,
) -> slots.SlotState | None:
    """The slot of that name, once nobody reads it; None where there is none.

    Args:
        server: where.
        connection: to it.
        slot: its name.
        tell: told at once whom it waits for.

    Raises:
        ConnectorError: it is lost, or somebody else goes on reading it.
    """
    end = time.monotonic() + _ACTIVE_PATIENCE
    told = None
    while True:
        found = slots.find_slot(server, connection, slot)
        if found is None:
            return None
        if found.lost is not None:
            raise slots.lost_slot(server, slot, found.lost)
        if found.active_pid is None:
            return found
        if time.monotonic() > end:
            raise slots.busy_slot(server, connection, slot, found.active_pid)
        if found.active_pid != told:
            told = found.active_pid
            busy = slots.busy_slot(server, connection, slot, told)
            tell(f"{busy.message}: waiting for up to {_ACTIVE_PATIENCE:.0f} s")
        time.sleep(0.1)


def end_of_log(server: Server, connection: Connection) -> int:
    """Up to where the server has its log; on a standby, up to where it has followed."""
    return lsn_number(server.rows(connection, _WRITTEN)[0][0])


def check_slot(
    server: Server, slot: str, replication: Connection, position: int, timeline: int
) -> int:
    """Raise where the slot cannot be read on from a position in a timeline; the timeline now.

    Raises psycopg.Error for a server that is away.
    """
    now_in = slots.check_timeline(server, replication, timeline, position)
    with contextlib.closing(server.open()) as connection:
        try:
            found = slots.find_slot(server, connection, slot)
            now = end_of_log(server, connection)
        except ConnectorError:
            if connection.broken or connection.closed:
                raise psycopg.OperationalError("the connection is lost") from None
            raise
    if found is None:
        raise slots.missing_slot(server, slot)
    if found.lost is not None:
        raise slots.lost_slot(server, slot, found.lost)
    if found.confirmed > position:
        raise slots.slot_ahead(server, slot, found.confirmed, position)
    if now < position:
        raise ConnectorError(
            f'the log of PostgreSQL server "{server}" ends before the position that was read',
            detail="Another server has taken over that had not all of it.",
            hint="Begin anew with --fresh.",
        )
    return now_in


def drop_idle_slot(server: Server, slot: str) -> str | None:
    """Drop a slot once nobody reads it; why that could not be done, for people."""
    try:
        with contextlib.closing(server.connect()) as connection:
            idle_slot(server, connection, slot)
            slots.drop_slot(connection, slot)
    except (ConnectorError, psycopg.Error) as error:
        return (
            f'replication slot "{slot}" of PostgreSQL server "{server}" could not be dropped:'
            f" {str(error).strip()}; run in the server: SELECT pg_drop_replication_slot('{slot}');"
        )
    return None
