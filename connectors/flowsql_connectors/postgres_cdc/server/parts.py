"""Partitions that come and go by themselves: of which the log says nothing under the whole's name.

A partition that is detached or dropped takes its rows with it, one that is attached brings some, one
that is truncated alone loses them, and the log, which is written under the name of the whole, has
none of that. The catalogue has: a partition's link to the whole has a version, its rows a file of
their own. What may be harmless is looked at: one that is new and empty, or was made as a partition,
brings nothing; one in another file that still has rows from before the last look was rewritten
(VACUUM FULL), not truncated; where all of several have other files by one transaction, the log tells of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.errors import UndefinedTable

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = ["Parts", "check_parts", "look_at_parts"]

# ATTACH writes every column of a partition anew: one that is as old as the table was there before.
_PARTS: Final = """
SELECT r.root, c.oid::int8, n.nspname::text, c.relname::text, c.relfilenode::int8, c.xmin::text,
  i.xmin::text, i.inhparent::int8, i.xmin = s.xmin AND EXISTS (SELECT FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.xmin = s.xmin AND a.cmin = s.cmin)
FROM unnest(%s::int8[]) r(root)
CROSS JOIN LATERAL pg_partition_tree(r.root::oid::regclass) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_inherits i ON i.inhrelid = c.oid
JOIN pg_attribute s ON s.attrelid = c.oid AND s.attnum = -6
WHERE p.level > 0
"""
# Every transaction below this number was over when it was asked for.
_HORIZON: Final = "SELECT (txid_snapshot_xmin(txid_current_snapshot()) % 4294967296)::text"
_ANY: Final = "SELECT EXISTS (SELECT FROM ONLY {})"
_OLD: Final = "SELECT EXISTS (SELECT FROM ONLY {} WHERE age(xmin) > age({}::xid))"
_PATIENCE: Final = "SET statement_timeout = '10s'"
_PATIENT: Final = "SET statement_timeout = 0"


@dataclass(frozen=True, slots=True)
class _Part:
    """A partition, of any level.

    Attributes:
        schema, name: what it is called.
        file: of its rows; 0 where it has none of its own.
        version: of its row in the catalogue.
        link: version of its link to its parent.
        parent: oid of the partitioned table that it is directly a part of.
        born: it was made as a partition, not attached.
    """

    schema: str
    name: str
    file: int
    version: str
    link: str
    parent: int
    born: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Parts:
    """The partitions of tables, as they were at a moment.

    Attributes:
        horizon: number of a transaction: all below were over by then.
        roots: oid of a table → its partitions by oid.
    """

    horizon: str
    roots: Mapping[int, Mapping[int, _Part]]

    def described(self) -> JSON:
        """For a checkpoint: what a later look is compared with."""
        roots = {
            str(root): {str(oid): [p.file, p.link] for oid, p in parts.items()}
            for root, parts in self.roots.items()
        }
        return {"horizon": self.horizon, "roots": roots}


def look_at_parts(
    server: Server, connection: Connection, tables: Collection[ServerTable]
) -> Parts | None:
    """The partitions of those of the tables that are partitioned; None where none is."""
    roots: dict[int, dict[int, _Part]] = {t.oid: {} for t in tables if t.partitioned}
    if not roots:
        return None
    ((horizon,),) = server.rows(connection, _HORIZON)
    for root, oid, *rest in server.rows(connection, _PARTS, list(roots)):
        roots[root][oid] = _Part(*rest)
    return Parts(horizon, roots)


def check_parts(
    server: Server,
    connection: Connection,
    tables: Collection[ServerTable],
    now: Parts,
    then: JSON,
    *,
    ignoring: Collection[int],
) -> None:
    """Raise where rows came or went with partitions since an earlier look.

    Args:
        server: where.
        connection: to it, for a look at rows.
        tables: that are read.
        now: what was found.
        then: what `Parts.described` told.
        ignoring: oids of tables of which rows that go without a word may stay.

    Raises:
        ConnectorError: naming the partition.
        psycopg.Error: the connection is lost.
    """
    for table in tables:
        known: Mapping[str, Any] | None = then["roots"].get(str(table.oid))
        if known is None or table.oid not in now.roots:
            continue
        parts = now.roots[table.oid]
        for part in _attached(table.oid, parts, known):
            if _holds(connection, part, _ANY):
                raise _came(server, table, part)
        if table.oid in ignoring:
            continue
        gone = len(known.keys() - {str(oid) for oid in parts})
        if gone:
            raise _went(
                f'{gone} partition{"s" * (gone > 1)} of table "{table}" of PostgreSQL server'
                f' "{server}" {"were" if gone > 1 else "was"} dropped or detached',
            )
        for part in _emptied(connection, parts, known, then["horizon"]):
            raise _went(
                f'partition "{part}" of table "{table}" of PostgreSQL server "{server}" was truncated'
                " by itself, or written anew",
            )


def _attached(root: int, parts: Mapping[int, _Part], known: Mapping[str, Any]) -> Iterator[_Part]:
    """Partitions that may have come with rows: not made as such in what was there."""
    trusted = {root, *map(int, known)}
    waiting = {
        oid: part
        for oid, part in parts.items()
        if str(oid) not in known or known[str(oid)][1] != part.link
    }
    # A new part of a new part is new.
    while made := [o for o, p in waiting.items() if str(o) not in known and _made_in(p, trusted)]:
        for oid in made:
            del waiting[oid]
        trusted.update(made)
    yield from (part for part in waiting.values() if part.file)


def _made_in(part: _Part, trusted: Collection[int]) -> bool:
    return part.born and part.parent in trusted


def _emptied(
    connection: Connection, parts: Mapping[int, _Part], known: Mapping[str, Any], horizon: str
) -> Iterator[_Part]:
    """Partitions that may have lost rows of which the log does not tell."""
    rows = {oid: p for oid, p in parts.items() if p.file and str(oid) in known}
    changed = [p for oid, p in rows.items() if known[str(oid)][0] != p.file]
    if len(changed) == len(rows) > 1 and len({p.version for p in changed}) == 1:
        # The whole was truncated, which the log tells; an only partition may have been by itself.
        return
    for part in changed:
        if not _holds(connection, part, _OLD, horizon):
            yield part


def _holds(connection: Connection, part: _Part, query: str, *values: str) -> bool:
    """Whether rows of a partition are there; where nobody may look, what is worse."""
    asked = sql.SQL(query).format(
        sql.Identifier(part.schema, part.name), *(sql.Literal(v) for v in values)
    )
    connection.execute(_PATIENCE)
    try:
        row = connection.execute(asked).fetchone()
        return row is not None and bool(row[0])
    except psycopg.Error as error:
        if connection.broken or connection.closed or isinstance(error, UndefinedTable):
            # It went, or got another name, behind the look: the next one is right.
            raise
        return not values
    finally:
        if not connection.closed:
            connection.execute(_PATIENT)


def _came(server: Server, table: ServerTable, part: _Part) -> ConnectorError:
    return ConnectorError(
        f'partition "{part}" was attached to table "{table}" of PostgreSQL server "{server}" with'
        " rows, of which the log does not tell",
        hint='Begin anew with --fresh. Partitions that are made as such ("CREATE TABLE … PARTITION'
        ' OF"), or attached empty and filled when the job has seen them, lack nothing.',
        final=True,
    )


def _went(fact: str) -> ConnectorError:
    return ConnectorError(
        fact,
        detail="The log does not tell of its rows, which may be gone.",
        hint="Set 'scan.truncate' = 'ignore' to go on with them as if they were there; or begin anew"
        " with --fresh.",
        final=True,
    )
