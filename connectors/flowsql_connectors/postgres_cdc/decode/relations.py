"""Tables as the log describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flowsql.errors import DataError

__all__ = ["Relation", "RelationColumn", "cut_off", "read_relation", "read_text_field"]

_IDENTITIES: Final = {"d": "default", "n": "nothing", "f": "full", "i": "index"}


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A published column.

    Attributes:
        name: the column's name.
        type: oid of its type.
        modifier: typmod, −1 without.
        key: whether it is part of the replica identity.
    """

    name: str
    type: int
    modifier: int
    key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or a partitioned one's root.

    Attributes:
        oid: of the table.
        schema: its schema's name.
        name: its name.
        identity: replica identity: `default`, `nothing`, `full` or `index`.
        columns: in the log's order.
    """

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


def cut_off(what: str) -> DataError:
    """The error of a message that ends too early, or does not end where it should."""
    return DataError(
        f"the server sent a {what} message of the log that is not as long as it says",
        hint="Check that nothing between server and client changes the stream.",
    )


def read_text_field(message: bytes, at: int, what: str) -> tuple[str, int]:
    """Text that ends with a zero byte, and the place behind it."""
    end = message.find(b"\0", at)
    if end < 0:
        raise cut_off(what)
    try:
        return message[at:end].decode(), end + 1
    except UnicodeDecodeError as problem:
        raise DataError(
            f"the server sent a name that is not UTF-8: {message[at:end]!r}"
        ) from problem


def read_relation(message: bytes) -> Relation:
    """The table that an `R` message describes."""
    if len(message) < 8:
        raise cut_off("relation")
    oid = int.from_bytes(message[1:5], "big")
    schema, at = read_text_field(message, 5, "relation")
    name, at = read_text_field(message, at, "relation")
    if len(message) < at + 3:
        raise cut_off("relation")
    identity = _IDENTITIES.get(chr(message[at]))
    if identity is None:
        raise DataError(f'table "{schema}.{name}" has a replica identity that is not known')
    columns = []
    count = int.from_bytes(message[at + 1 : at + 3], "big")
    at += 3
    for _ in range(count):
        column, behind = read_text_field(message, at + 1, "relation")
        if len(message) < behind + 8:
            raise cut_off("relation")
        columns.append(
            RelationColumn(
                column,
                int.from_bytes(message[behind : behind + 4], "big"),
                int.from_bytes(message[behind + 4 : behind + 8], "big", signed=True),
                bool(message[at] & 1),
            )
        )
        at = behind + 8
    if at != len(message):
        raise cut_off("relation")
    # The system's own schema is sent as an empty name.
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))
