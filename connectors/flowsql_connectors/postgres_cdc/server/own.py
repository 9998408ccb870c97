"""Publications that are made for one reader, and go with it.

Each is marked as ours by its comment, which names the slot that it is read through, and as long as
its reader lives a session of the reader holds an advisory lock named after it: taken before anybody
can see the publication, given back by the server itself when the session ends, however it does. One
that has neither its lock nor its slot was left by a reader that was killed, and whoever reads next
drops it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from typing import Final

import psycopg
from psycopg import sql

from flowsql_connectors.postgres_cdc.server.connections import Connection, Server

__all__ = [
    "claim",
    "clear_up",
    "draw_name",
    "drop_left",
    "drop_own",
    "is_ours",
    "left_behind",
    "mark",
]

_MARK: Final = 'made by flowsql for slot "{}", goes with it'
_NAMES: Final = "flowsql_[0-9a-f]{12}"
_MARKED: Final = """
SELECT p.pubname::text FROM pg_publication p
CROSS JOIN LATERAL substring(obj_description(p.oid, 'pg_publication')
  FROM '^made by flowsql for slot "([a-z0-9_]+)", goes with it$') slot
WHERE p.pubname ~ '^flowsql_[0-9a-f]{12}$' AND slot IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot)
  AND pg_has_role(p.pubowner, 'USAGE')
ORDER BY 1
"""
_CLAIMED: Final = """
SELECT (classid::int8 << 32) | objid::int8 FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# The upper bytes tell our locks from those that an application takes by numbers of its own.
_OURS: Final = 0x666C << 48
_PATIENCE: Final = "SET lock_timeout = '2s'"
_PATIENT: Final = "SET lock_timeout = 0"


def draw_name() -> str:
    """For a slot or publication that nobody else has."""
    return f"flowsql_{secrets.token_hex(6)}"


def is_ours(name: str) -> bool:
    """Whether `draw_name` gave it, or could have."""
    return re.fullmatch(_NAMES, name) is not None


def claim(server: Server, connection: Connection, name: str) -> None:
    """From now on, and as long as the connection lives, the publication of that name is in use."""
    server.rows(connection, "SELECT pg_advisory_lock(%s)", _key(name))


def mark(server: Server, connection: Connection, name: str, slot: str) -> None:
    """Say whose publication it is; in the transaction that made it."""
    text = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(
        sql.Identifier(name), sql.Literal(_MARK.format(slot))
    )
    server.rows(connection, text)


def left_behind(server: Server, connection: Connection) -> list[str]:
    """Names of the publications of killed readers that this role may drop; looks only."""
    found = [name for (name,) in server.rows(connection, _MARKED)]
    if not found:
        return []
    # Behind the first look: what was claimed by then is seen here.
    claimed = {key for (key,) in server.rows(connection, _CLAIMED)}
    return [name for name in found if _key(name) not in claimed]


def drop_left(server: Server, connection: Connection, only: str | None = None) -> list[str]:
    """Drop what killed readers left, or the one of a name; the names of what is gone."""
    found = left_behind(server, connection)
    return [name for name in found if only in {None, name} and _drop(connection, name)]


def clear_up(server: Server, connection: Connection) -> list[str]:
    """Drop what killed readers left; what was done, for people."""
    return [
        f'publication "{name}" of PostgreSQL server "{server}" was dropped: the query that made it'
        " was killed"
        for name in drop_left(server, connection)
    ]


def drop_own(server: Server, connection: Connection, name: str) -> None:
    """Drop a publication whose reader ends; what cannot be done now is left to the next one."""
    statement = sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name))
    try:
        connection.execute(statement)
    except psycopg.Error:
        if not (connection.broken or connection.closed):
            return
        # The server has ended the session, which says nothing of a new one.
        with contextlib.suppress(psycopg.Error), contextlib.closing(server.open()) as other:
            other.execute(statement)


def _drop(connection: Connection, name: str) -> bool:
    """Whether this session was the one that dropped it."""
    with contextlib.suppress(psycopg.Error):
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_key(name)]).fetchone()
        if row is None or not row[0]:
            return False
        try:
            connection.execute(_PATIENCE)
            connection.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))
            return True
        finally:
            connection.execute(_PATIENT)
            connection.execute("SELECT pg_advisory_unlock(%s)", [_key(name)])
    return False


def _key(name: str) -> int:
    return _OURS | int(name.removeprefix("flowsql_"), 16)
