"""Whether a server still has what a checkpoint goes on with: asked by a start, and by a check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import psycopg

from flowsql.connector import JSON
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql_connectors.postgres_cdc.log.log_reader import LOG
from flowsql_connectors.postgres_cdc.reader import check_format
from flowsql_connectors.postgres_cdc.server import slots
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.parts import check_parts, look_at_parts
from flowsql_connectors.postgres_cdc.server.published import check_published, look_at_publication
from flowsql_connectors.postgres_cdc.server.slot_checks import check_slot
from flowsql_connectors.postgres_cdc.snapshot.chunked import UNREAD, SourceTable

__all__ = [
    "check_partitions_since",
    "check_publication",
    "check_snapshot",
    "check_system",
    "find_breaks",
    "ignoring_parts",
    "resume_tables",
]


def check_system(server: Server, system: str, position: JSON) -> None:
    """Raise where a position is of another server than the one of that identifier."""
    if position["system"] != system:
        raise ConnectorError(
            f'PostgreSQL server "{server}" is another one than the checkpoint was taken of',
            detail=f"Its system identifier is {system}, the checkpoint's is {position['system']}.",
            hint="Check 'hostname' and 'port'; or begin anew with --fresh.",
            final=True,
        )


def resume_tables(tables: Mapping[str, SourceTable], position: JSON) -> None:
    """Go on with the chunks of a checkpoint; raises where the tables are others, or have changed."""
    stored: JSON = position["tables"]
    if stored.keys() != tables.keys():
        raise ConnectorError(
            "the tables of the server that match are others than at the checkpoint",
            detail="At the checkpoint: "
            + ", ".join(f'"{n}"' for n in stored)
            + "; now: "
            + ", ".join(f'"{n}"' for n in tables)
            + ".",
            hint="Narrow 'table-name' to the tables of the checkpoint, or begin anew with --fresh.",
            final=True,
        )
    for name, table in tables.items():
        table.resume(stored[name])


def check_publication(
    server: Server,
    connection: Connection,
    name: str,
    tables: Mapping[str, SourceTable],
    position: JSON,
    *,
    renamed: bool,
) -> None:
    """Raise where the publication has left out changes since the checkpoint.

    Args:
        server: where.
        connection: to it.
        name: of the publication.
        tables: that are read now.
        position: of the checkpoint.
        renamed: a table may have got another name.
    """
    published = position.get("published")
    if published is None:
        return
    # A table that was made again is named as such where it is compared.
    known = {t["oid"] for t in position["tables"].values()}
    sources = [t.source for t in tables.values()]
    check_published(
        server,
        name,
        [s for s in sources if s.oid in known],
        look_at_publication(server, connection, name, sources),
        published,
        renamed=renamed,
    )


def check_partitions_since(
    server: Server, connection: Connection, tables: Mapping[str, SourceTable], position: JSON
) -> JSON | None:
    """Raise where rows came or went with partitions since the checkpoint; the partitions now.

    Raises ConnectorError.
    """
    sources = [t.source for t in tables.values()]
    parts = look_at_parts(server, connection, sources)
    if parts is None:
        return None
    then = position.get("parts")
    if then is not None:
        try:
            check_parts(server, connection, sources, parts, then, ignoring=ignoring_parts(tables))
        except psycopg.Error as error:
            raise server.error(error, "did not tell of partitions") from None
    return parts.described()


def ignoring_parts(tables: Mapping[str, SourceTable]) -> set[int]:
    """Oids of the tables of which rows that go without a word may stay."""
    return {
        t.source.oid
        for t in tables.values()
        if all(s.table.options["scan.truncate"] == "ignore" for s in t.shapes)
    }


def check_snapshot(tables: Mapping[str, SourceTable]) -> None:
    """Raise where no slot keeps a log, and a part of the tables was read already."""
    if any(r != UNREAD for t in tables.values() for r in t.read):
        raise ConnectorError(
            "the snapshot that was read in part is gone, and another one would not be of the same"
            " moment",
            hint="Begin anew with --fresh; with a replication slot of its own (wal_level ="
            " logical, a 'slot.name' that is free) a snapshot goes on where it was.",
            final=True,
        )


def find_breaks(
    server: Server,
    connection: Connection,
    tables: Mapping[str, SourceTable],
    position: JSON,
    *,
    publication: str,
    renamed: bool,
) -> Iterator[FlowSQLError]:
    """All for which a start could not go on; looks only.

    Args:
        server: where.
        connection: to it.
        tables: that are read now.
        position: of the group: of its source, and of its splits.
        publication: of the options.
        renamed: a table may have got another name.
    """
    stored: JSON = position["source"]
    log: JSON = position["splits"].get(LOG) or {
        "lsn": stored["start"],
        "timeline": stored["timeline"],
    }
    with contextlib.closing(server.connect(replication=True)) as replication:
        system, _ = slots.system_of(server, replication)
        checks: Sequence[Callable[[], object]] = (
            partial(check_format, stored),
            partial(check_system, server, system, stored),
            partial(resume_tables, tables, stored),
        )
        for check in checks:
            try:
                check()
            except FlowSQLError as error:
                # What follows would be compared with what it is not of.
                yield error
                return
        if stored["over"]:
            return
        if stored["slot"] is None:
            checks = (partial(check_snapshot, tables),)
        else:
            name = stored.get("publication") or publication
            checks = (
                partial(
                    check_publication, server, connection, name, tables, stored, renamed=renamed
                ),
                partial(check_partitions_since, server, connection, tables, stored),
                partial(
                    check_slot, server, stored["slot"], replication, log["lsn"], log["timeline"]
                ),
            )
        for check in checks:
            try:
                check()
            except FlowSQLError as error:
                yield error
