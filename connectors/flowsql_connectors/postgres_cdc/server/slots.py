"""Replication slots: what the server keeps its log for."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from flowsql.connector import ConnectorContext, StartInterrupted
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.connections import (
    Connection,
    Server,
    lsn_number,
    lsn_text,
)

__all__ = [
    "SlotState",
    "busy_slot",
    "check_standby",
    "check_timeline",
    "create_slot",
    "drop_slot",
    "find_slot",
    "fork_of",
    "is_standby",
    "lost_slot",
    "missing_slot",
    "reader_of",
    "slot_ahead",
    "system_of",
]

# Of another role's session a role without pg_read_all_stats sees neither address nor role.
_READER: Final = """
SELECT application_name, usename::text, COALESCE(host(client_addr), client_hostname)
FROM pg_stat_activity WHERE pid = %s
"""
_LOOK: Final = 1.0  # seconds
_STANDBY_SINCE: Final = 160_000
_FAILOVER_SINCE: Final = 170_000


# Of `invalidation_reason`: what keeps it from happening again.
_REASONS: Final = {
    "wal_removed": "raise max_slot_wal_keep_size",
    "idle_timeout": "raise idle_replication_slot_timeout",
    "rows_removed": "set hot_standby_feedback = on in the standby",
    "wal_level_insufficient": "set wal_level = logical",
}


@dataclass(frozen=True, slots=True)
class SlotState:
    """A replication slot as the server shows it.

    Attributes:
        confirmed: changes before this log position are gone.
        restart: from here on the server keeps its log for it.
        active_pid: the server process that reads it, or None.
        lost: why it cannot be read any more, or None.
        plugin, database: what it was made for.
        endangered: the log that it needs may be removed at any moment.
    """

    confirmed: int
    restart: int
    active_pid: int | None
    lost: str | None
    plugin: str
    database: str
    endangered: bool = False


def system_of(server: Server, replication: Connection) -> tuple[str, int]:
    """The server's system identifier and timeline."""
    (row,) = server.records(replication, b"IDENTIFY_SYSTEM")
    return str(row["systemid"]), int(row["timeline"])


def check_timeline(server: Server, replication: Connection, known: int, position: int) -> int:
    """The server's timeline; raises where a position in another one is not part of its history.

    A standby that took over had perhaps not all of the log that was read: what it lacks was undone.
    Raises psycopg.Error for a server that is away, and ConnectorError.
    """
    with replication.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(b"IDENTIFY_SYSTEM").fetchone()
        assert row is not None
        timeline = int(row["timeline"])
        if timeline == known:
            return timeline
        history = cursor.execute(f"TIMELINE_HISTORY {timeline}".encode()).fetchone()
        assert history is not None
    text = history["content"]
    left = fork_of(text if isinstance(text, str) else bytes(text).decode(), known)
    if left is None or left < position:
        raise ConnectorError(
            f'PostgreSQL server "{server}" has gone another way than the log that was read: it is in'
            f" timeline {timeline}, the position {lsn_text(position)} in timeline {known}",
            detail="Timeline "
            + (
                f"{known} is not part of its history."
                if left is None
                else f"{known} was left at {lsn_text(left)}."
            )
            + " A server that took over lacked changes that had been read.",
            hint="Begin anew with --fresh.",
            final=True,
        )
    return timeline


def fork_of(history: str, timeline: int) -> int | None:
    """Where a server's history left a timeline; None where it never was in it."""
    for line in history.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] == str(timeline):
            return lsn_number(fields[1])
    return None


def find_slot(server: Server, connection: Connection, name: str) -> SlotState | None:
    """The slot of that name, if there is one.

    Raises ConnectorError for one that is not for logical decoding by pgoutput of this database,
    commit by commit.
    """
    rows = server.records(
        connection, "SELECT * FROM pg_replication_slots WHERE slot_name = %s", name
    )
    if not rows:
        return None
    row = rows[0]
    if row["plugin"] != "pgoutput" or row["database"] != server.database:
        what = (
            f'for plugin "{row["plugin"]}" and database "{row["database"]}"'
            if row["plugin"]
            else "for physical replication"
        )
        raise ConnectorError(
            f'replication slot "{name}" of PostgreSQL server "{server}" is {what}',
            hint="Choose another 'slot.name'.",
            final=True,
        )
    if row.get("two_phase"):
        # It gives transactions before they are committed, and once only.
        raise ConnectorError(
            f'replication slot "{name}" of PostgreSQL server "{server}" is for two-phase commit:'
            " it tells of prepared transactions before they are committed",
            hint="Choose another 'slot.name', or make the slot without; prepared transactions are"
            " read when they are committed.",
            final=True,
        )
    lost = row.get("invalidation_reason")
    # Without a position and with a reader it is being made.
    empty = row["confirmed_flush_lsn"] is None and row["active_pid"] is None
    if lost is None and (row.get("wal_status") == "lost" or empty):
        lost = "wal_removed"
    return SlotState(
        lsn_number(row["confirmed_flush_lsn"] or "0/0"),
        lsn_number(row["restart_lsn"] or "0/0"),
        row["active_pid"],
        lost,
        row["plugin"],
        row["database"],
        row.get("wal_status") == "unreserved",
    )


def create_slot(
    server: Server,
    replication: Connection,
    name: str,
    *,
    temporary: bool,
    export: bool,
    context: ConnectorContext,
) -> tuple[int, str | None]:
    """A new slot: the log position it starts at, and the snapshot of the tables there.

    The snapshot lives until the connection runs its next command. A slot that stays is one that
    standbys keep as well, where the server can have such: a job goes on there after a failover.

    Args:
        server: where.
        replication: a connection for it; a temporary slot lives as long.
        name: of the slot.
        temporary: it is for who makes it alone.
        export: the snapshot is wanted.
        context: told, by another thread, whose end the server waits for.

    Raises:
        ConnectorError: the server makes none.
        StartInterrupted: the job is asked to stop while the server waits.
    """
    how = sql.SQL("EXPORT_SNAPSHOT" if export else "NOEXPORT_SNAPSHOT")
    if (
        not temporary
        and replication.info.server_version >= _FAILOVER_SINCE
        and not is_standby(server, replication)
    ):
        how = sql.SQL(f"(SNAPSHOT '{'export' if export else 'nothing'}', FAILOVER true)")
    statement = sql.SQL("CREATE_REPLICATION_SLOT {} {} LOGICAL pgoutput {}").format(
        sql.Identifier(name),
        sql.SQL("TEMPORARY" if temporary else ""),
        how,
    )
    made = threading.Event()
    given = (server, replication, name, made, context)
    threading.Thread(target=_look_after, args=given, daemon=True).start()
    try:
        cursor = replication.execute(statement.as_bytes(replication))
        row = cursor.fetchone()
    except psycopg.errors.QueryCanceled:
        raise StartInterrupted from None
    except psycopg.Error as error:
        raise server.failed(error, f'did not create replication slot "{name}"') from None
    finally:
        made.set()
    assert row is not None
    return lsn_number(row[1]), row[2]


def _look_after(
    server: Server,
    replication: Connection,
    name: str,
    made: threading.Event,
    context: ConnectorContext,
) -> None:
    """Where a slot is not made at once: a transaction that is open may stay so for days."""
    told = False
    while not made.wait(_LOOK):
        if context.stopping():
            with contextlib.suppress(psycopg.Error):
                replication.cancel_safe(timeout=_LOOK)
        if not told:
            with contextlib.suppress(psycopg.Error, ConnectorError):
                told = _tell_whom_it_waits_for(server, replication, name, made, context)


def _tell_whom_it_waits_for(
    server: Server,
    replication: Connection,
    name: str,
    made: threading.Event,
    context: ConnectorContext,
) -> bool:
    """Whether it waits for anybody."""
    pid = replication.info.backend_pid
    with contextlib.closing(server.open()) as connection:
        found = server.rows(connection, "SELECT unnest(pg_blocking_pids(%s))", pid)
        known = [reader_of(server, connection, other) for (other,) in found if other]
    # One that is prepared has no process.
    who = ", ".join(known) or "one that is prepared (pg_prepared_xacts)"
    if found and not made.is_set():
        context.tell(
            f'PostgreSQL server "{server}" makes replication slot "{name}" when the'
            f" transactions that are open have ended; it waits for: {who}"
        )
    return bool(found)


def is_standby(server: Server, connection: Connection) -> bool:
    """Whether the server follows another one."""
    return bool(server.rows(connection, "SELECT pg_is_in_recovery()")[0][0])


def check_standby(server: Server, connection: Connection) -> None:
    """Raise ConnectorError for a server that follows another one and cannot send its log."""
    if connection.info.server_version < _STANDBY_SINCE and is_standby(server, connection):
        raise ConnectorError(
            f'PostgreSQL server "{server}" is a standby, which sends its log from version 16 on',
            hint="Name the primary in 'hostname'.",
            option="hostname",
        )


def drop_slot(connection: Connection, name: str) -> None:
    """Remove a slot that was made in vain; raises psycopg.Error."""
    connection.execute("SELECT pg_drop_replication_slot(%s)", [name])


def missing_slot(server: Server, name: str) -> ConnectorError:
    """The slot is gone while a job reads it."""
    return ConnectorError(
        f'PostgreSQL server "{server}" has no replication slot "{name}" any more',
        detail="It was dropped, or another server has taken over without it.",
        hint="Begin anew with --fresh.",
        final=True,
    )


def busy_slot(server: Server, connection: Connection, name: str, pid: int) -> ConnectorError:
    """The slot is being read by somebody else, whose process in the server is known."""
    return ConnectorError(
        f'replication slot "{name}" of PostgreSQL server "{server}" is being read by'
        f" {reader_of(server, connection, pid)}",
        hint="Stop the job that reads it, or give this one a 'slot.name' of its own. Where nobody is"
        f" left who could, run in the server: SELECT pg_terminate_backend({pid});",
    )


def reader_of(server: Server, connection: Connection, pid: int) -> str:
    """Who reads a slot, for people: the process, the program, where it runs."""
    found = server.rows(connection, _READER, pid)
    if not found:
        return f"process {pid}"
    program, role, address = found[0]
    known = [k for k in (program, role and f"role {role}", address and f"from {address}") if k]
    return f"process {pid}" + (f" ({', '.join(known)})" if known else "")


def lost_slot(server: Server, name: str, reason: str) -> ConnectorError:
    """The slot cannot be read any more."""
    return ConnectorError(
        f'replication slot "{name}" of PostgreSQL server "{server}" is lost: {reason}',
        detail="Changes between the checkpoint and now are no longer in the server.",
        hint=f"Drop it (SELECT pg_drop_replication_slot('{name}')), begin anew with --fresh, and"
        f" {_REASONS.get(reason, 'see what the server log says of it')}.",
        final=True,
    )


def slot_ahead(server: Server, name: str, confirmed: int, position: int) -> ConnectorError:
    """The slot has let go of changes that are still needed."""
    return ConnectorError(
        f'replication slot "{name}" of PostgreSQL server "{server}" is ahead of the checkpoint',
        detail=f"Changes up to {lsn_text(confirmed)} are gone; the checkpoint is at"
        f" {lsn_text(position)}.",
        hint="Another job has read the slot, or the checkpoint is an old one. Begin anew with"
        " --fresh, and give every job a slot of its own.",
        final=True,
    )
