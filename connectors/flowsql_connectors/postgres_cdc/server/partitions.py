"""Partitions whose old rows are not what the log says they are.

A row that is changed in a partition comes under the name of the whole, and is called whole where
the partitioned table has REPLICA IDENTITY FULL. What of it was written is the partition's matter:
one without FULL sends NULL for every column outside its key, which nothing in the log tells from a
NULL of the row. So a partitioned table with FULL is read where all its partitions have it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from psycopg import sql

from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.decode.relations import Relation
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = ["PartitionWatch", "check_partitions", "wholes_of"]

_THIN: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_partition_tree(%s::int8::oid::regclass) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.isleaf AND c.relkind = 'r' AND c.relreplident <> 'f' ORDER BY 1, 2
"""
_WHOLES: Final = "SELECT relid::oid::int8 FROM pg_partition_ancestors(%s::int8::oid::regclass)"


def check_partitions(server: Server, connection: Connection, source: ServerTable) -> None:
    """Raise ConnectorError where a table has FULL and some of its partitions do not."""
    if source.partitioned and source.identity == "full":
        thin = [(s, n) for s, n in server.rows(connection, _THIN, source.oid)]
        if thin:
            raise _thin(str(source), thin)


def wholes_of(server: Server, connection: Connection, oid: int) -> list[int]:
    """The partitioned tables that a table is a part of, of all levels, and itself."""
    return [whole for (whole,) in server.rows(connection, _WHOLES, oid)]


@dataclass(slots=True)
class PartitionWatch:
    """Looks at the partitions that the log describes, which may be newer than the job.

    Attributes:
        roots: oids of the partitioned tables that are read.
        wholes_of: asks the server what an oid is a part of.
    """

    roots: Collection[int]
    wholes_of: Callable[[int], Collection[int]]
    _full: dict[int, str] = field(default_factory=dict)

    def look(self, described: Collection[Relation]) -> None:
        """Raise ConnectorError for a partition without FULL of a table with it."""
        for relation in described:
            if relation.oid in self.roots:
                self._full.pop(relation.oid, None)
                if relation.identity == "full":
                    self._full[relation.oid] = f"{relation.schema}.{relation.name}"
            elif self._full and relation.identity != "full":
                # The whole is described before its part.
                for whole in self._full.keys() & set(self.wholes_of(relation.oid)):
                    raise _thin(self._full[whole], [(relation.schema, relation.name)])


def _thin(whole: str, parts: list[tuple[str, str]]) -> ConnectorError:
    shown = ", ".join(f'"{s}.{n}"' for s, n in parts[:5]) + (", …" if len(parts) > 5 else "")
    cures = " ".join(
        f"ALTER TABLE {sql.Identifier(s, n).as_string(None)} REPLICA IDENTITY FULL;"
        for s, n in parts[:5]
    )
    return ConnectorError(
        f'partitioned table "{whole}" has REPLICA IDENTITY FULL, but {shown} not: the log would have'
        " NULL for what it does not hold of old rows",
        hint=f"Run in the server: {cures}" + (" And so for the others." if len(parts) > 5 else ""),
    )
