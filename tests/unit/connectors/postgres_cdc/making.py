"""Bytes as the server sends them, and columns to read them as."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal

from flowsql_connectors.postgres_cdc import (
    CatalogType,
    ColumnReading,
    PgType,
    default_type,
    read_column,
    resolve_type,
)

from flowsql.types import DataType

__all__ = [
    "BOOL",
    "BYTEA",
    "DATE",
    "INT4",
    "INT8",
    "NUMERIC",
    "TEXT",
    "TIMESTAMP",
    "UNCHANGED",
    "Unchanged",
    "begin",
    "builtin",
    "change",
    "column",
    "commit",
    "copy_row",
    "frame",
    "numeric",
    "relation",
    "row",
]

BOOL, BYTEA, INT8, INT4, TEXT, DATE, TIMESTAMP, NUMERIC = 16, 17, 20, 23, 25, 1082, 1114, 1700

_BUILTIN = {
    16: "bool",
    17: "bytea",
    20: "int8",
    21: "int2",
    23: "int4",
    25: "text",
    26: "oid",
    114: "json",
    600: "point",
    700: "float4",
    701: "float8",
    869: "inet",
    1042: "bpchar",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    1560: "bit",
    1700: "numeric",
    2950: "uuid",
    3802: "jsonb",
}


def builtin() -> dict[int, CatalogType]:
    """The catalog's rows for types of its own, and arrays of some."""
    rows = {
        oid: CatalogType(oid, "pg_catalog", name, "b", 0, -1, 0, is_array=False)
        for oid, name in _BUILTIN.items()
    }
    for oid, element in {1007: 23, 1009: 25, 1231: 1700, 1000: 16}.items():
        name = f"_{rows[element].name}"
        rows[oid] = CatalogType(oid, "pg_catalog", name, "b", 0, -1, element, is_array=True)
    return rows


def column(
    oid: int, modifier: int = -1, declared: DataType | None = None, name: str = "c"
) -> ColumnReading:
    """How a column of a type is read, as declared or as its default."""
    pg: PgType = resolve_type(oid, modifier, builtin())
    return read_column(name, pg, declared or default_type(pg), "s.t")


def numeric(value: str, digits: int | None = None) -> bytes:
    """A numeric in binary, as the server packs it."""
    if value in {"NaN", "Infinity", "-Infinity"}:
        sign = {"NaN": 0xC000, "Infinity": 0xD000, "-Infinity": 0xF000}[value]
        return struct.pack(">hhHh", 0, 0, sign, 0)
    number = Decimal(value)
    scale = max(0, -int(number.as_tuple().exponent))
    whole, _, fraction = f"{number.copy_abs():f}".partition(".")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    weight = len(whole) // 4 - 1
    packed = [int((whole + fraction)[i : i + 4]) for i in range(0, len(whole + fraction), 4)]
    while packed and packed[0] == 0:
        packed.pop(0)
        weight -= 1
    while packed and packed[-1] == 0:
        packed.pop()
    if not packed:
        weight = 0
    sign = 0x4000 if number < 0 else 0
    head = struct.pack(">hhHh", len(packed), weight, sign, scale if digits is None else digits)
    return head + struct.pack(f">{len(packed)}h", *packed)


def copy_row(*values: bytes | None) -> bytes:
    """A row of a binary COPY."""
    fields = [struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values]
    return struct.pack(">h", len(values)) + b"".join(fields)


def frame(message: bytes, start: int = 1, end: int = 2) -> bytes:
    """A message of the log in its frame."""
    return b"w" + struct.pack(">QQq", start, end, 0) + message


def begin(xid: int, final: int = 100, time: int = 0) -> bytes:
    """The begin of a transaction; `time` in microseconds since 2000."""
    return frame(b"B" + struct.pack(">QqI", final, time, xid))


def commit(end: int = 108, final: int = 100) -> bytes:
    """The end of a transaction."""
    return frame(b"C" + struct.pack(">BQQq", 0, final, end, 0))


def relation(
    oid: int,
    columns: Sequence[tuple[str, int]],
    *,
    keys: Sequence[str] = (),
    identity: str = "d",
    name: str = "t",
) -> bytes:
    """The description of table `s.<name>`."""
    described = b"".join(
        bytes([n in keys]) + n.encode() + b"\0" + struct.pack(">Ii", kind, -1)
        for n, kind in columns
    )
    head = b"R" + struct.pack(">I", oid) + b"s\0" + name.encode() + b"\0" + identity.encode()
    return frame(head + struct.pack(">H", len(columns)) + described)


class Unchanged:
    """A value that the server does not send."""


UNCHANGED = Unchanged()


def row(kind: str, *values: str | Unchanged | None) -> bytes:
    """A tuple with its kind, `N`, `K` or `O`."""
    fields = []
    for value in values:
        match value:
            case None:
                fields.append(b"n")
            case str():
                text = value.encode()
                fields.append(b"t" + struct.pack(">i", len(text)) + text)
            case _:
                fields.append(b"u")
    return kind.encode() + struct.pack(">H", len(values)) + b"".join(fields)


def change(kind: str, oid: int, *rows: bytes) -> bytes:
    """An insert, update or delete, `I`, `U` or `D`."""
    return frame(kind.encode() + struct.pack(">I", oid) + b"".join(rows))
