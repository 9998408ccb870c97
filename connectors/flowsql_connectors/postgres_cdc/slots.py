"""Publications and replication slots: what the server keeps for a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from flowsql.connector import OptionValues
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server import Connection, Server, lsn_number, lsn_text

__all__ = [
    "GENERATED_SINCE",
    "SlotState",
    "check_timeline",
    "create_slot",
    "drop_slot",
    "ensure_publication",
    "find_slot",
    "fork_of",
    "lost_slot",
    "publishes",
    "slot_ahead",
    "system_of",
]

_PUBLICATION: Final = "SELECT * FROM pg_publication WHERE pubname = %s"
_MEMBERS: Final = "SELECT * FROM pg_publication_tables WHERE pubname = %s"
_VIA_ROOT_SINCE: Final = 130_000
GENERATED_SINCE: Final = 180_000


@dataclass(frozen=True, slots=True)
class SlotState:
    """A replication slot as the server shows it.

    Attributes:
        confirmed: changes before this log position are gone.
        active_pid: the server process that reads it, or None.
        lost: why it cannot be read any more, or None.
        plugin, database: what it was made for.
    """

    confirmed: int
    active_pid: int | None
    lost: str | None
    plugin: str
    database: str


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

    Raises ConnectorError for one that is not for logical decoding by pgoutput of this database.
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
        )
    lost = row.get("invalidation_reason")
    if lost is None and (row.get("wal_status") == "lost" or row["confirmed_flush_lsn"] is None):
        lost = "wal_removed"
    return SlotState(
        lsn_number(row["confirmed_flush_lsn"] or "0/0"),
        row["active_pid"],
        lost,
        row["plugin"],
        row["database"],
    )


def create_slot(
    server: Server, replication: Connection, name: str, *, temporary: bool, export: bool
) -> tuple[int, str | None]:
    """A new slot: the log position it starts at, and the snapshot of the tables there.

    The snapshot lives until the connection runs its next command.
    """
    statement = sql.SQL("CREATE_REPLICATION_SLOT {} {} LOGICAL pgoutput {}").format(
        sql.Identifier(name),
        sql.SQL("TEMPORARY" if temporary else ""),
        sql.SQL("EXPORT_SNAPSHOT" if export else "NOEXPORT_SNAPSHOT"),
    )
    try:
        cursor = replication.execute(statement.as_bytes(replication))
        row = cursor.fetchone()
    except psycopg.Error as error:
        raise server.error(error, f'did not create replication slot "{name}"') from None
    assert row is not None
    return lsn_number(row[1]), row[2]


def drop_slot(connection: Connection, name: str) -> None:
    """Remove a slot that was made in vain; raises psycopg.Error."""
    connection.execute("SELECT pg_drop_replication_slot(%s)", [name])


def publishes(
    server: Server, connection: Connection, name: str, tables: Sequence[ServerTable]
) -> bool:
    """Whether a publication of that name names all tables."""
    members = {
        (row["schemaname"], row["tablename"]) for row in server.records(connection, _MEMBERS, name)
    }
    return all((t.schema, t.name) in members for t in tables)


def ensure_publication(
    server: Server,
    connection: Connection,
    name: str,
    tables: Sequence[ServerTable],
    options: OptionValues,
    *,
    create: bool,
    generated: bool,
) -> str | None:
    """See that a publication names the tables; what was done, for people.

    Args:
        server: where.
        connection: to it.
        name: the publication's.
        tables: that are read.
        options: of the group.
        create: at a first start; later on one that lacks a table has lost changes.
        generated: whether generated columns are read.

    Raises:
        ConnectorError: it lacks what the job needs; the hint has the statement.
    """
    mode = options["debezium.publication.autocreate.mode"] if create else "disabled"
    quoted = sql.Identifier(name)
    listed = sql.SQL(", ").join(t.in_sql() for t in tables)
    found = server.records(connection, _PUBLICATION, name)
    if not found:
        with_options = []
        if connection.info.server_version >= _VIA_ROOT_SINCE:
            with_options.append("publish_via_partition_root = true")
        if generated and connection.info.server_version >= GENERATED_SINCE:
            with_options.append("publish_generated_columns = stored")
        statement = sql.SQL("CREATE PUBLICATION {} FOR {}{}").format(
            quoted,
            sql.SQL("ALL TABLES") if mode == "all_tables" else sql.SQL("TABLE {}").format(listed),
            sql.SQL(f" WITH ({', '.join(with_options)})" if with_options else ""),
        )
        text = statement.as_string(connection)
        if mode == "disabled":
            raise ConnectorError(
                f'PostgreSQL server "{server}" has no publication "{name}"',
                hint=f"Run in the server: {text};",
            )
        _run(server, connection, statement, text)
        return f'publication "{name}" was made in PostgreSQL server "{server}"'
    _check_publication(server, name, found[0], tables)
    members = {
        (row["schemaname"], row["tablename"]): row
        for row in server.records(connection, _MEMBERS, name)
    }
    missing = [t for t in tables if (t.schema, t.name) not in members]
    done = None
    if missing:
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
            quoted, sql.SQL(", ").join(t.in_sql() for t in missing)
        )
        text = statement.as_string(connection)
        if mode == "disabled" or found[0]["puballtables"]:
            names = ", ".join(f'"{t}"' for t in missing)
            raise ConnectorError(
                f'publication "{name}" of PostgreSQL server "{server}" does not hold {names}',
                hint=f"Run in the server: {text};",
            )
        _run(server, connection, statement, text)
        done = f'publication "{name}" of PostgreSQL server "{server}" was given more tables'
    for table in tables:
        row = members.get((table.schema, table.name), {})
        if row.get("rowfilter"):
            raise ConnectorError(
                f'publication "{name}" of PostgreSQL server "{server}" leaves out rows of'
                f' "{row["schemaname"]}.{row["tablename"]}"',
                detail=f"It has the condition {row['rowfilter']}.",
                hint="Use a publication without conditions: 'debezium.publication.name'.",
            )
    return done


def _check_publication(
    server: Server, name: str, row: dict[str, Any], tables: Sequence[ServerTable]
) -> None:
    absent = [k for k in ("insert", "update", "delete", "truncate") if not row[f"pub{k}"]]
    if absent:
        raise ConnectorError(
            f'publication "{name}" of PostgreSQL server "{server}" does not publish'
            f" {', '.join(absent)}",
            hint=f'Run in the server: ALTER PUBLICATION "{name}" SET (publish = \'insert, update,'
            " delete, truncate');",
        )
    roots = [t for t in tables if t.partitioned]
    if roots and not row.get("pubviaroot"):
        raise ConnectorError(
            f'publication "{name}" of PostgreSQL server "{server}" names rows of partitions by the'
            f' partition, not by "{roots[0]}"',
            hint=f'Run in the server: ALTER PUBLICATION "{name}" SET (publish_via_partition_root ='
            " true);",
        )


def _run(server: Server, connection: Connection, statement: sql.Composed, text: str) -> None:
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        ours = server.error(error, "did not take a publication")
        raise ConnectorError(
            ours.message, detail=ours.detail, hint=f"Let its owner run in the server: {text};"
        ) from None


def lost_slot(server: Server, name: str, reason: str) -> ConnectorError:
    """The slot cannot be read any more."""
    return ConnectorError(
        f'replication slot "{name}" of PostgreSQL server "{server}" is lost: {reason}',
        detail="Changes between the checkpoint and now are no longer in the server.",
        hint=f"Drop it (SELECT pg_drop_replication_slot('{name}')), begin anew with --fresh, and"
        " raise max_slot_wal_keep_size.",
    )


def slot_ahead(server: Server, name: str, confirmed: int, position: int) -> ConnectorError:
    """The slot has let go of changes that are still needed."""
    return ConnectorError(
        f'replication slot "{name}" of PostgreSQL server "{server}" is ahead of the checkpoint',
        detail=f"Changes up to {lsn_text(confirmed)} are gone; the checkpoint is at"
        f" {lsn_text(position)}.",
        hint="Another job has read the slot, or the checkpoint is an old one. Begin anew with"
        " --fresh, and give every job a slot of its own.",
    )
