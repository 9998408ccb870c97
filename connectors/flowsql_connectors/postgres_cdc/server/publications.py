"""Publications: which tables the server tells of in its log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from flowsql.connector import OptionValues
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server import own
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = [
    "GENERATED_SINCE",
    "check_writable",
    "ensure_publication",
    "own_publication",
    "publishes",
]

_PUBLICATION: Final = "SELECT * FROM pg_publication WHERE pubname = %s"
_MEMBERS: Final = "SELECT * FROM pg_publication_tables WHERE pubname = %s"
_WHOLES: Final = """
SELECT t.oid, n.nspname::text, c.relname::text
FROM unnest(%s::int8[]) t(oid)
CROSS JOIN LATERAL pg_partition_ancestors(t.oid::oid::regclass) a(relid)
JOIN pg_class c ON c.oid = a.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> t.oid::oid
"""
_VIA_ROOT_SINCE: Final = 130_000
GENERATED_SINCE: Final = 180_000


def publishes(
    server: Server, connection: Connection, name: str, tables: Sequence[ServerTable]
) -> bool:
    """Whether a publication of that name names all tables."""
    members = {
        (row["schemaname"], row["tablename"]) for row in server.records(connection, _MEMBERS, name)
    }
    return all((t.schema, t.name) in members for t in tables)


def check_writable(server: Server, connection: Connection, table: ServerTable) -> None:
    """Refuse to publish a table of which the server would then let nobody change or delete rows.

    Raises ConnectorError.
    """
    if table.identity == "full" or table.identity_columns:
        return
    own = "it has no primary key" if table.identity == "default" else "updates and deletes need one"
    name = table.in_sql().as_string(connection).removeprefix("ONLY ")
    raise ConnectorError(
        f'table "{table}" of PostgreSQL server "{server}" cannot be put into a publication: its'
        f" replica identity is {table.identity}, and {own}",
        detail="As soon as it is in one, the server refuses UPDATE and DELETE of it to everybody.",
        hint=f"Run in the server: ALTER TABLE {name} REPLICA IDENTITY FULL; Or, if its rows are only"
        " added, put it into the publication yourself.",
    )


def own_publication(
    server: Server,
    connection: Connection,
    named: str,
    tables: Sequence[ServerTable],
    options: OptionValues,
    *,
    slot: str,
    columns: Mapping[str, Collection[str]],
) -> str | None:
    """Make a publication for a reader that leaves nothing behind: it goes with it.

    Args:
        server: where.
        connection: to it; as long as it lives the publication is in use.
        named: the publication of the options.
        tables: that are read.
        options: of the group.
        slot: that is read through it, which is made next.
        columns: names of the columns that are read, by the tables' full names.

    Returns:
        The new one's name; None where the one of the options does, or none may be made.

    Raises:
        ConnectorError: the server did not take it; the hint is about the one of the options.
    """
    if options["debezium.publication.autocreate.mode"] == "disabled" or publishes(
        server, connection, named, tables
    ):
        return None
    for table in tables:
        check_writable(server, connection, table)
    name = slot if own.is_ours(slot) else own.draw_name()
    own.claim(server, connection, name)
    try:
        with connection.transaction():
            ensure_publication(
                server, connection, name, tables, options, create=True, columns=columns
            )
            own.mark(server, connection, name, slot)
    except psycopg.Error as error:
        raise server.error(error, "did not take a publication") from None
    except ConnectorError as error:
        # The one made here goes with its reader: what an owner is to run is about the lasting one.
        try:
            ensure_publication(
                server, connection, named, tables, options, create=False, columns=columns
            )
        except ConnectorError as other:
            raise ConnectorError(other.message, detail=error.detail, hint=other.hint) from None
        raise
    return name


def ensure_publication(
    server: Server,
    connection: Connection,
    name: str,
    tables: Sequence[ServerTable],
    options: OptionValues,
    *,
    create: bool,
    columns: Mapping[str, Collection[str]],
    kept: bool = False,
) -> str | None:
    """See that a publication names the tables; what was done, for people.

    Args:
        server: where.
        connection: to it.
        name: the publication's.
        tables: that are read.
        options: of the group.
        create: at a first start; later on one that lacks a table has lost changes.
        columns: names of the columns that are read, by the tables' full names.
        kept: a slot has kept the log that is read, from before.

    Raises:
        ConnectorError: it lacks what the job needs; the hint has the statement.
    """
    mode = options["debezium.publication.autocreate.mode"] if create else "disabled"
    quoted = sql.Identifier(name)
    listed = sql.SQL(", ").join(t.in_sql() for t in tables)
    found = server.records(connection, _PUBLICATION, name)
    members = {
        (row["schemaname"], row["tablename"]): row
        for row in server.records(connection, _MEMBERS, name)
    }
    if connection.info.server_version >= _VIA_ROOT_SINCE and (not found or found[0]["pubviaroot"]):
        _check_parts(server, connection, name, tables, members)
    if not found:
        with_options = []
        if connection.info.server_version >= _VIA_ROOT_SINCE:
            with_options.append("publish_via_partition_root = true")
        if _generated(tables, columns) and connection.info.server_version >= GENERATED_SINCE:
            with_options.append("publish_generated_columns = stored")
        statement = sql.SQL("CREATE PUBLICATION {} FOR {}{}").format(
            quoted,
            sql.SQL("ALL TABLES") if mode == "all_tables" else sql.SQL("TABLE {}").format(listed),
            sql.SQL(f" WITH ({', '.join(with_options)})" if with_options else ""),
        )
        text = statement.as_string(connection)
        if mode != "disabled":
            for table in tables:
                check_writable(server, connection, table)
        else:
            raise ConnectorError(
                f'PostgreSQL server "{server}" has no publication "{name}"',
                hint=f"Run in the server: {text};",
            )
        _run(server, connection, statement, text)
        return f'publication "{name}" was made in PostgreSQL server "{server}"'
    _check_publication(server, name, found[0], tables)
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
                detail="What was changed in them so far is not in the log." if kept else None,
                hint=f"Run in the server: {text};",
            )
        for table in missing:
            check_writable(server, connection, table)
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
    _check_columns(server, connection, name, tables, columns)
    return done


def _check_parts(
    server: Server,
    connection: Connection,
    name: str,
    tables: Sequence[ServerTable],
    members: Collection[tuple[str, str]],
) -> None:
    """Raise for a partition whose changes would come under the name of the whole."""
    by_oid = {t.oid: t for t in tables}
    published = {*members, *((t.schema, t.name) for t in tables)}
    for oid, schema, whole in server.rows(connection, _WHOLES, list(by_oid)):
        if (schema, whole) in published:
            raise ConnectorError(
                f'publication "{name}" of PostgreSQL server "{server}" gives the changes of'
                f' "{by_oid[oid]}" under the name of "{schema}.{whole}", which it is a part of',
                hint=f'Read "{schema}.{whole}"; or give the table that reads the part a'
                " 'slot.name' and a 'debezium.publication.name' of its own.",
            )


def _generated(
    tables: Sequence[ServerTable], columns: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    """Generated columns that are read, by the tables' full names, where there are any."""
    found = {str(t): [c.name for c in t.columns if c.generated] for t in tables}
    read = {t: [c for c in names if c in columns[t]] for t, names in found.items()}
    return {t: names for t, names in read.items() if names}


def _check_columns(
    server: Server,
    connection: Connection,
    name: str,
    tables: Sequence[ServerTable],
    columns: Mapping[str, Collection[str]],
) -> None:
    """Raise where the publication leaves out columns that are read."""
    published = {
        (row["schemaname"], row["tablename"]): row.get("attnames")
        for row in server.records(connection, _MEMBERS, name)
    }
    for table in tables:
        there = published.get((table.schema, table.name))
        if there is None:
            continue
        absent = [
            c.name for c in table.columns if c.name in columns[str(table)] and c.name not in there
        ]
        if not absent:
            continue
        quoted = sql.Identifier(name).as_string(connection)
        made = table.in_sql().as_string(connection)
        cure = (
            f"ALTER PUBLICATION {quoted} SET (publish_generated_columns = stored);"
            if absent == _generated([table], columns).get(str(table))
            else f"ALTER PUBLICATION {quoted} DROP TABLE {made}; ALTER PUBLICATION {quoted} ADD"
            f" TABLE {made};"
        )
        raise ConnectorError(
            f'publication "{name}" of PostgreSQL server "{server}" leaves out columns of'
            f' "{table}": ' + ", ".join(f'"{c}"' for c in absent),
            hint=f"Run in the server: {cure}",
        )


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
