"""Publications that are made for one reader, and go with it.

Each is marked as ours by its comment, which names the slot that it is read through, and as long as
its reader lives a session of the reader holds an advisory lock named after it: taken before anybody
can see the publication, given back by the server itself when the session ends, however it does. One
that has neither its lock nor its slot was left by a reader that was killed, and whoever reads next
drops it.

A lasting slot cannot be marked, so the publication that goes with it tells, once the slot is there,
by which run it was made and where it begins: a run that was killed before its first checkpoint finds
by this that nobody will go on with the slot, and so does one that begins in place of another.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from typing import Final

import psycopg
from psycopg import sql

from flowsql.connector import Attempt
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server, lsn_text
from flowsql_connectors.postgres_cdc.server.slot_checks import idle_slot
from flowsql_connectors.postgres_cdc.server.slots import drop_slot, find_slot

__all__ = [
    "claim",
    "clear_up",
    "draw_name",
    "drop_left",
    "drop_own",
    "free_slot",
    "is_ours",
    "left_behind",
    "mark",
]

_MARK: Final = 'made by flowsql for slot "{}", goes with it'
_MADE: Final = ", run {} from {}"
_NAMES: Final = "flowsql_[0-9a-f]{12}"
_MARKED: Final = """
SELECT p.pubname::text FROM pg_publication p
CROSS JOIN LATERAL substring(obj_description(p.oid, 'pg_publication')
  FROM '^made by flowsql for slot "([a-z0-9_]+)", goes with it') slot
WHERE p.pubname ~ '^flowsql_[0-9a-f]{12}$' AND slot IS NOT NULL AND NOT pg_is_in_recovery()
  AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot)
  AND pg_has_role(p.pubowner, 'USAGE')
ORDER BY 1
"""
_BEGUN: Final = """
SELECT pubname::text FROM pg_publication
WHERE pubname ~ '^flowsql_[0-9a-f]{12}$' AND obj_description(oid, 'pg_publication') = ANY(%s)
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


def mark(
    server: Server,
    connection: Connection,
    name: str,
    slot: str,
    made: tuple[str, int] | None = None,
) -> None:
    """Say whose publication it is.

    Args:
        server: where.
        connection: to it; in the transaction that made the publication.
        name: of the publication.
        slot: that it is read through.
        made: the run that has made the slot, and the log position where it begins.
    """
    text = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(
        sql.Identifier(name), sql.Literal(_text(slot, made))
    )
    server.rows(connection, text)


def free_slot(server: Server, connection: Connection, slot: str, attempt: Attempt) -> bool:
    """Whether a run without a checkpoint may make a slot of that name.

    What an earlier start of it, or a run that nobody goes on with, has made, and nobody has read, is
    dropped. Raises ConnectorError.
    """
    found = find_slot(server, connection, slot)
    if found is None:
        return True
    runs = (attempt.run, *attempt.dead)
    begun = server.rows(connection, _BEGUN, [_text(slot, (r, found.confirmed)) for r in runs])
    if not begun:
        return False
    # The server may not have noticed yet that its reader was killed.
    idle_slot(server, connection, slot)
    try:
        drop_slot(connection, slot)
    except psycopg.Error as error:
        raise server.error(error, f'did not drop replication slot "{slot}"') from None
    for (name,) in begun:
        drop_own(server, connection, name)
    return True


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


def _text(slot: str, made: tuple[str, int] | None) -> str:
    return _MARK.format(slot) + ("" if made is None else _MADE.format(made[0], lsn_text(made[1])))


def _key(name: str) -> int:
    return _OURS | int(name.removeprefix("flowsql_"), 16)
