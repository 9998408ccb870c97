"""What looks like a table and is not, or not wholly, in the server's log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = ["refuse_unlogged"]

_OTHERS: Final = """
SELECT n.nspname::text, c.relname::text,
  CASE WHEN c.relkind IN ('r', 'p') THEN c.relpersistence::text ELSE c.relkind::text END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('v', 'm', 'f') OR (c.relkind IN ('r', 'p') AND c.relpersistence <> 'p'))
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
ORDER BY 1, 2
"""
_PARTS: Final = """
SELECT n.nspname::text, c.relname::text,
  CASE c.relkind WHEN 'f' THEN 'f' ELSE c.relpersistence::text END
FROM unnest(%s::int8[]) AS r(root)
CROSS JOIN LATERAL pg_partition_tree(r.root::oid::regclass) p
JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.isleaf AND (c.relkind = 'f' OR c.relpersistence <> 'p')
ORDER BY 1, 2
"""
_UNLOGGED: Final = "Run in the server: ALTER TABLE {} SET LOGGED;"
_KINDS: Final = {
    "v": ("a view", "Read the tables that it is made of, and its query here."),
    "m": ("a materialized view", "Read the tables that it is made of, and its query here."),
    "f": ("a foreign table", "Read it from the server that has its rows."),
    "u": ("an unlogged table", _UNLOGGED),
    "t": ("a temporary table", "Make it a table that stays."),
}


def refuse_unlogged(
    table: ConnectorTable,
    found: Sequence[tuple[Any, ...]],
    server: Server,
    connection: Connection,
) -> None:
    """Raise where the pattern names what the log has no changes of, and rows would be missing.

    A view beside tables is passed over: it has no rows of its own.

    Args:
        table: of the job.
        found: the tables that match, as `list_tables` gives them.
        server: where.
        connection: to it.

    Raises:
        ConfigError: naming it.
    """
    schema, name = table.options["schema-name"], table.options["table-name"]
    for in_schema, called, kind in server.rows(connection, _OTHERS):
        if not (re.fullmatch(schema, in_schema) and re.fullmatch(name, called)):
            continue
        if not found or kind in {"u", "f"}:
            raise _refused(f"{in_schema}.{called}", kind, server)
    roots = [row[0] for row in found if row[3] == "p"]
    if roots:
        for in_schema, called, kind in server.rows(connection, _PARTS, roots):
            raise _refused(f"{in_schema}.{called}", kind, server)


def _refused(name: str, kind: str, server: Server) -> ConfigError:
    what, cure = _KINDS[kind]
    return ConfigError(
        f'"{name}" is {what}, of which PostgreSQL server "{server}" has no changes in its log',
        hint=cure.format(name),
        option="table-name",
    )
