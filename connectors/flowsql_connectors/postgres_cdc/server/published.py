"""Whether the server still tells of all tables: what it leaves out makes no noise in its log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = ["Published", "check_published", "look_at_publication"]

# A membership has an oid that it does not get back once it has ended.
_TABLES: Final = """
SELECT t.oid, n.nspname::text, c.relname::text, p.tablename IS NOT NULL, {filter},
  ARRAY(SELECT r.oid::int8 FROM pg_publication_rel r WHERE r.prpubid = %s AND (r.prrelid = t.oid
    OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(t.oid::oid::regclass)))
  {schemas} ORDER BY 1)
FROM unnest(%s::int8[]) AS t(oid)
LEFT JOIN pg_class c ON c.oid = t.oid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_publication_tables p
  ON p.pubname = %s AND p.schemaname = n.nspname AND p.tablename = c.relname
"""
_SCHEMAS: Final = """
  UNION ALL SELECT s.oid::int8 FROM pg_publication_namespace s
  WHERE s.pnpubid = %s AND s.pnnspid = c.relnamespace
"""
_FILTERS_SINCE: Final = 150_000
_EVENTS: Final = ("insert", "update", "delete", "truncate")


@dataclass(frozen=True, slots=True)
class _Member:
    """A table of the server now: its name, None once it is gone, and how it is published."""

    name: str | None
    published: bool
    condition: str | None
    memberships: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A publication, and tables in it, as they are now.

    Attributes:
        oid: of the publication; None: there is none of that name.
        version: of its row in the catalogue: every ALTER PUBLICATION that sets an option or the
            owner writes another, also one that sets what was set before.
        all_tables: it holds every table, whatever its memberships are.
        absent: kinds of changes that it leaves out.
        members: by the tables' oids.
    """

    oid: int | None
    version: str | None
    all_tables: bool
    absent: tuple[str, ...]
    members: Mapping[int, _Member]

    def described(self) -> JSON:
        """For a checkpoint: what must be the same for nothing to have been left out since."""
        memberships = {str(oid): list(m.memberships) for oid, m in self.members.items()}
        return {"oid": self.oid, "version": self.version, "memberships": memberships}


def look_at_publication(
    server: Server, connection: Connection, name: str, tables: Collection[ServerTable]
) -> Published:
    """A publication of that name; raises ConnectorError."""
    # One that is made again must not be half the old one, half the new one.
    server.rows(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return _look(server, connection, name, tables)
    finally:
        if not connection.closed:
            server.rows(connection, "COMMIT")


def _look(
    server: Server, connection: Connection, name: str, tables: Collection[ServerTable]
) -> Published:
    rows = server.records(
        connection,
        "SELECT oid::int8 AS id, xmin::text AS version, * FROM pg_publication WHERE pubname = %s",
        name,
    )
    nothing = {"id": None, "version": None, "puballtables": False}
    row: dict[str, Any] = rows[0] if rows else nothing
    new = connection.info.server_version >= _FILTERS_SINCE
    query = sql.SQL(_TABLES).format(
        filter=sql.SQL("p.rowfilter" if new else "NULL"), schemas=sql.SQL(_SCHEMAS if new else "")
    )
    values = [row["id"], *([row["id"]] if new else []), [t.oid for t in tables], name]
    members = {}
    for oid, schema, table, published, condition, memberships in server.rows(
        connection, query, *values
    ):
        full = None if table is None else f"{schema}.{table}"
        members[oid] = _Member(full, published, condition, tuple(memberships))
    absent = tuple(e for e in _EVENTS if rows and not row[f"pub{e}"])
    return Published(row["id"], row["version"], row["puballtables"], absent, members)


def check_published(
    server: Server,
    name: str,
    tables: Collection[ServerTable],
    now: Published,
    then: JSON,
    *,
    renamed: bool,
) -> None:
    """Raise where changes may have been left out since a moment, or are from now on.

    Args:
        server: where.
        name: of the publication.
        tables: that are read.
        now: what was found.
        then: what `described` said.
        renamed: a table may have got another name.

    Raises:
        ConnectorError: naming the table.
    """
    for table in tables:
        member = now.members[table.oid]
        if member.name is None:
            raise ConnectorError(
                f'table "{table}" of PostgreSQL server "{server}" was dropped',
                hint="Take it out of the job, or make it again and begin anew with --fresh.",
                final=True,
            )
        if member.name != str(table) and not renamed:
            raise ConnectorError(
                f'table "{table}" of PostgreSQL server "{server}" is called "{member.name}" now',
                hint="Give it back its name; or change 'schema-name' and 'table-name' and begin"
                " anew with --fresh; or set 'scan.schema-change' = 'ignore', which goes on until"
                " the job is started again.",
                final=True,
            )
    if now.oid is None or now.oid != then["oid"]:
        what = "was dropped" if now.oid is None else "was dropped and made again"
        raise _gap(f'publication "{name}" of PostgreSQL server "{server}" {what}')
    if now.absent:
        raise _gap(
            f'publication "{name}" of PostgreSQL server "{server}" does not publish'
            f" {', '.join(now.absent)} any more"
        )
    if then.get("version") not in {None, now.version}:
        raise _gap(
            f'publication "{name}" of PostgreSQL server "{server}" was altered, and may have left'
            " out changes for a while"
        )
    for table in tables:
        member = now.members[table.oid]
        if not member.published:
            raise _gap(
                f'publication "{name}" of PostgreSQL server "{server}" does not hold "{table}" any'
                " more"
            )
        known = then["memberships"].get(str(table.oid), ())
        if not now.all_tables and not set(known) & set(member.memberships):
            raise _gap(
                f'"{table}" was taken out of publication "{name}" of PostgreSQL server "{server}"'
                " and put into it again"
            )
        if member.condition:
            raise _gap(
                f'publication "{name}" of PostgreSQL server "{server}" leaves out rows of "{table}"'
            )


def _gap(fact: str) -> ConnectorError:
    return ConnectorError(
        fact,
        detail="The log lacks what was changed meanwhile, if anything was.",
        hint="See that the publication holds all tables of the job, and begin anew with --fresh.",
        final=True,
    )
