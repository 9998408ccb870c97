"""The tables of a server: what they are called, what their columns are, what makes a row unique."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import sql

from flowsql.connector import JSON, ConnectorTable
from flowsql.errors import ConfigError, nearest
from flowsql_connectors.postgres_cdc.decode.types import (
    CatalogType,
    PgType,
    resolve_type,
    types_query,
)
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.server.logged import refuse_unlogged

__all__ = [
    "ServerColumn",
    "ServerTable",
    "UniqueKey",
    "count_about",
    "list_tables",
    "matching",
    "read_types",
]

_TABLES: Final = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text,
  c.relispartition
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
ORDER BY 2, 3
"""

_COLUMNS: Final = """
SELECT a.attrelid::int8, a.attname::text, a.atttypid::int8, a.atttypmod, a.attnotnull,
  a.attgenerated::text, format_type(a.atttypid, a.atttypmod),
  CASE WHEN l.oid <> 100 THEN format('%%I.%%I', n.nspname, l.collname) END
FROM pg_attribute a
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_UNIQUE: Final = """
SELECT i.indrelid::int8, i.indisprimary, i.indisreplident,
  array_agg(a.attname::text ORDER BY k.n), bool_and(a.attnotnull)
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(number, n)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indisreplident
ORDER BY i.indisprimary DESC, i.indexrelid
"""

# A partitioned table has the rows of its leaves; -1 stands for a table nobody has looked at.
_COUNTS: Final = """
SELECT min(c.reltuples), sum(c.reltuples)::int8
FROM unnest(%s::int8[]) AS r(root)
LEFT JOIN LATERAL pg_partition_tree(r.root::oid::regclass) p ON TRUE
JOIN pg_class c ON c.oid = COALESCE(p.relid::oid, r.root::oid)
WHERE c.relkind = 'r'
"""

_ROOTS: Final = "SELECT pg_partition_root(%s::int8::oid::regclass)::oid::int8"
_ROOTS_SINCE: Final = 13_00_00
_IDENTITIES: Final = {"d": "default", "n": "nothing", "f": "full", "i": "index"}


@dataclass(frozen=True, slots=True)
class ServerColumn:
    """A column as the catalog has it.

    Attributes:
        name: its name.
        oid, modifier: its type.
        declared: the type as SQL, for casts.
        required: NOT NULL.
        generated: `s` stored, `v` virtual, or empty.
        collation: as SQL; None for the database's own.
    """

    name: str
    oid: int
    modifier: int
    declared: str
    required: bool
    generated: str
    collation: str | None


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique index without condition."""

    primary: bool
    identity: bool
    columns: tuple[str, ...]
    required: bool


@dataclass(slots=True)
class ServerTable:
    """A table; a partitioned one is its root.

    Attributes:
        oid, schema, name: which one.
        partitioned: whether it is the root of partitions.
        identity: replica identity: `default`, `nothing`, `full` or `index`.
        columns: in order.
        keys: its unique keys, the primary one first.
    """

    oid: int
    schema: str
    name: str
    partitioned: bool
    identity: str
    columns: list[ServerColumn] = field(default_factory=list)
    keys: list[UniqueKey] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def in_sql(self) -> sql.Composed:
        """As a statement names it: without tables that inherit from it, which have their own log."""
        name = sql.Identifier(self.schema, self.name)
        return sql.SQL("{}" if self.partitioned else "ONLY {}").format(name)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of its columns."""
        return next((k.columns for k in self.keys if k.primary), ())

    @property
    def identity_columns(self) -> frozenset[str]:
        """The columns of which the log has the old values of a deleted row."""
        match self.identity:
            case "full":
                return frozenset(c.name for c in self.columns)
            case "index":
                return frozenset(c for k in self.keys if k.identity for c in k.columns)
            case "default":
                return frozenset(self.primary_key)
        return frozenset()

    def column(self, name: str) -> ServerColumn | None:
        """The column of that name."""
        return next((c for c in self.columns if c.name == name), None)

    def described(self) -> JSON:
        """For a checkpoint, to be compared after a restart."""
        return {
            "oid": self.oid,
            "name": str(self),
            "columns": [[c.name, c.oid, c.modifier] for c in self.columns],
        }


def list_tables(server: Server, connection: Connection) -> list[tuple[Any, ...]]:
    """All tables of the database: oid, schema, name, kind, identity, whether a partition."""
    return server.rows(connection, _TABLES)


def matching(
    table: ConnectorTable, listed: Sequence[tuple[Any, ...]], server: Server, connection: Connection
) -> list[ServerTable]:
    """The tables that schema-name and table-name match, with columns and keys.

    Raises ConfigError where there is none, or one that the log does not have.
    """
    schema, name = table.options["schema-name"], table.options["table-name"]
    found = [row for row in listed if re.fullmatch(schema, row[1]) and re.fullmatch(name, row[2])]
    refuse_unlogged(table, found, server, connection)
    if not found:
        near = nearest(f"{schema}.{name}", [f"{row[1]}.{row[2]}" for row in listed])
        raise ConfigError(
            f'no table of PostgreSQL server "{server}" matches "{schema}"."{name}"',
            hint=(f'Did you mean "{near}"?' if near else None)
            or "Check 'schema-name' and 'table-name', which are regular expressions.",
            option="table-name",
        )
    found = _without_parts(table, found, server, connection)
    tables = {
        row[0]: ServerTable(row[0], row[1], row[2], row[3] == "p", _IDENTITIES[row[4]])
        for row in found
    }
    wanted = list(tables)
    for oid, column, kind, modifier, required, generated, declared, collation in server.rows(
        connection, _COLUMNS, wanted
    ):
        tables[oid].columns.append(
            ServerColumn(column, kind, modifier, declared, required, generated, collation)
        )
    for oid, primary, identity, columns, required in server.rows(connection, _UNIQUE, wanted):
        tables[oid].keys.append(UniqueKey(primary, identity, tuple(columns), required))
    return list(tables.values())


def _without_parts(
    table: ConnectorTable,
    found: list[tuple[Any, ...]],
    server: Server,
    connection: Connection,
) -> list[tuple[Any, ...]]:
    """What is read of tables and their partitions: each row once.

    A partition's rows come under the name of the whole, where that is read as well; but servers
    older than 13 have in their log the partitions only.

    Raises ConfigError for a partitioned table that such a server's log lacks.
    """
    oids = {row[0] for row in found}
    roots = {row[0]: server.rows(connection, _ROOTS, row[0])[0][0] for row in found if row[5]}
    if (
        connection.info.server_version >= _ROOTS_SINCE
        or table.options["scan.startup.mode"] == "snapshot"
    ):
        return [row for row in found if roots.get(row[0]) not in oids]
    leaves = [row for row in found if row[3] != "p"]
    for row in found:
        if row[3] == "p" and not row[5] and row[0] not in {roots.get(r[0]) for r in leaves}:
            raise ConfigError(
                f'"{row[1]}.{row[2]}" is a partitioned table, of which PostgreSQL server "{server}"'
                " has only the partitions in its log",
                detail="Version 13 and newer have the whole.",
                hint="Name the partitions in 'table-name', which is a regular expression:"
                f" '{row[2]}_.*'.",
                option="table-name",
            )
    return leaves


def count_about(server: Server, connection: Connection, oids: Sequence[int]) -> int | None:
    """About how many rows the tables have; None where one was never analyzed."""
    ((least, total),) = server.rows(connection, _COUNTS, list(oids))
    return None if least is None or least < 0 else int(total)


def read_types(
    server: Server, connection: Connection, columns: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], PgType]:
    """The types of pairs of oid and modifier."""
    rows = server.rows(connection, types_query(oid for oid, _ in columns).encode())
    catalog = {row[0]: CatalogType(*row) for row in rows}
    return {(oid, modifier): resolve_type(oid, modifier, catalog) for oid, modifier in columns}
