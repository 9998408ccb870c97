"""The slots of a server that jobs have made, for who clears up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg

from flowsql.connector import JSON, ConnectorTable, ServerSlot
from flowsql_connectors.postgres_cdc.server import own
from flowsql_connectors.postgres_cdc.server.connections import Server
from flowsql_connectors.postgres_cdc.server.slots import drop_slot as drop
from flowsql_connectors.postgres_cdc.server.slots import system_of

__all__ = ["drop_slot", "list_slots"]

_GONE: Final = "gone"

# A SELECT's slot is temporary and named so; its session tells who it is.
_SLOTS: Final = """
SELECT s.slot_name::text, s.active_pid, a.application_name, {status},
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
    - s.restart_lsn)::int8
FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.plugin = 'pgoutput' AND s.database = current_database()
  AND (s.slot_name = ANY(%s) OR s.slot_name ~ '^flowsql_[0-9a-f]{{12}}$')
ORDER BY 1
"""
_STATUS_SINCE: Final = 130_000


def list_slots(
    tables: Sequence[ConnectorTable], positions: Mapping[str, Sequence[JSON]]
) -> list[ServerSlot]:
    """The slots of a server that tables name, that jobs stand in, and that queries use now.

    Args:
        tables: of one server and database.
        positions: id of a job → positions of its sources.

    Raises:
        ConnectorError: the server cannot be asked.
    """
    server = Server(tables[0])
    publications = {t.options["slot.name"]: t.options["debezium.publication.name"] for t in tables}
    with contextlib.closing(server.connect(replication=True)) as replication:
        system, _ = system_of(server, replication)
    jobs: dict[str, list[str]] = {}
    for job, stored in positions.items():
        for position in stored:
            if position.get("system") == system and position.get("slot"):
                jobs.setdefault(position["slot"], []).append(job)
    with contextlib.closing(server.connect()) as connection:
        there = {n for (n,) in server.rows(connection, "SELECT pubname::text FROM pg_publication")}
        new = connection.info.server_version >= _STATUS_SINCE
        query = _SLOTS.format(status="s.wal_status" if new else "NULL")
        found = server.rows(connection, query, [*publications, *jobs])
        left = own.left_behind(server, connection)
    slots = [
        ServerSlot(
            name,
            str(server),
            None if pid is None else f"process {pid}" + (f" ({program})" if program else ""),
            status,
            kept,
            publications.get(name) if publications.get(name) in there else None,
            tuple(jobs.get(name, ())),
        )
        for name, pid, program, status, kept in found
    ]
    return [*slots, *(ServerSlot(name, str(server), None, _GONE, None, name) for name in left)]


def drop_slot(tables: Sequence[ConnectorTable], name: str) -> None:
    """Remove a slot, or what is left of one, of the server of these tables; raises ConnectorError."""
    server = Server(tables[0])
    with contextlib.closing(server.connect()) as connection:
        if own.drop_left(server, connection, name):
            return
        try:
            drop(connection, name)
        except psycopg.Error as error:
            raise server.error(error, f'did not drop replication slot "{name}"') from None
