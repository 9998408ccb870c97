"""The files of a table: how large they are, and others where it was truncated or rewritten."""

from __future__ import annotations

from typing import Any, Final

from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = ["bytes_of", "files_of", "rewritten"]

_OF_PARTS: Final = """
WITH RECURSIVE part(oid) AS (
  SELECT %s::int8::oid
  UNION ALL
  SELECT i.inhrelid FROM part JOIN pg_inherits i ON i.inhparent = part.oid
  JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition
)
SELECT {} FROM part JOIN pg_class c ON c.oid = part.oid WHERE c.relkind = 'r'
"""
# The catalogue as the snapshot saw it, beside the table's file now.
_FILES: Final = _OF_PARTS.format(
    "c.oid::text, c.relfilenode::int8, pg_relation_filenode(c.oid)::int8"
)
_BYTES: Final = _OF_PARTS.format("coalesce(sum(pg_table_size(c.oid)), 0)::int8")


def bytes_of(server: Server, connection: Connection, oid: int) -> int:
    """How much room a table takes in the server, its indexes left out."""
    ((size,),) = server.rows(connection, _BYTES, oid)
    return int(size)


def rewritten(server: Server, connection: Connection, oid: int) -> bool:
    """Whether a table has got another file since the snapshot that the connection reads under."""
    return any(seen != now for _, seen, now in _files(server, connection, oid))


def files_of(server: Server, connection: Connection, oid: int) -> dict[str, int]:
    """Which file a table is, or each of its parts by their oid, in the connection's snapshot."""
    return {part: seen for part, seen, _ in _files(server, connection, oid)}


def _files(server: Server, connection: Connection, oid: int) -> list[tuple[Any, ...]]:
    return server.rows(connection, _FILES, oid)
