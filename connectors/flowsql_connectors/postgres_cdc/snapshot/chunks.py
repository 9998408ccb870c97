"""What chunks are: ranges of one column of the primary key, in the server's order.

A chunk is half-open and written as the server's text of its bounds: `low <= key < high`, None for no
bound. Which chunk a row of the log is in must come out as the server's comparison does: whole
numbers, uuid and bytea are compared here, all others by the server (`judging`). Types whose order
an extension makes, and arrays, ranges and rows, are not cut: their table is one chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError
from flowsql_connectors.postgres_cdc.decode.types import PgType, Shape
from flowsql_connectors.postgres_cdc.server.catalog import ServerColumn, ServerTable

__all__ = ["Chunk", "ChunkKey", "chunk_key", "places_of"]

_INTEGERS: Final = frozenset({20, 21, 23})
# Fixed case and no leading blanks: their text is ordered as they are.
_AS_TEXT: Final = frozenset({17, 2950})  # bytea, uuid
# Types of the server itself with one order, which all of it uses. Not timetz and macaddr, whose
# arrays its width_bucket reads amiss (their width is no multiple of their alignment).
_ORDERED: Final = (
    _INTEGERS
    | _AS_TEXT
    | {16, 18, 19, 25, 26}  # bool, "char", name, text, oid
    | {650, 700, 701, 774, 790, 869}  # cidr, real, double, macaddr8, money, inet
    | {
        1042,
        1043,
        1082,
        1083,
        1114,
        1184,
        1186,
    }  # char(n), varchar, date, time, timestamps, interval
    | {1560, 1562, 1700, 3220}  # bit, varbit, numeric, pg_lsn
)
_FIRST_OF_USERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """The column that chunks are ranges of.

    Attributes:
        column: it.
        base: oid of its type, below domains.
        indexed: whether its order can be had from an index.
    """

    column: ServerColumn
    base: int
    indexed: bool

    @property
    def integer(self) -> bool:
        """Whether its values are whole numbers."""
        return self.base in _INTEGERS

    @property
    def by_server(self) -> bool:
        """Whether only the server can compare its values."""
        return self.base not in _INTEGERS and self.base not in _AS_TEXT

    def name(self) -> sql.Composable:
        """As a statement names it."""
        return sql.Identifier(self.column.name)

    def literal(self, text: str) -> sql.Composable:
        """A bound, for a statement."""
        return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(self.column.declared))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a table with `low <= key < high`."""

    low: str | None
    high: str | None

    def condition(self, key: ChunkKey | None) -> sql.Composable | None:
        """As a condition; None for all rows."""
        parts: list[sql.Composable] = []
        if key is not None and self.low is not None:
            parts.append(sql.SQL("{} >= {}").format(key.name(), key.literal(self.low)))
        if key is not None and self.high is not None:
            parts.append(sql.SQL("{} < {}").format(key.name(), key.literal(self.high)))
        return sql.SQL(" AND ").join(parts) if parts else None


def chunk_key(
    table: ConnectorTable, source: ServerTable, types: Mapping[tuple[int, int], PgType]
) -> ChunkKey | None:
    """The column to cut by; None where the table is one chunk.

    Args:
        table: of the job; may name the column.
        source: the server's.
        types: of its columns, by oid and modifier.

    Raises:
        ConfigError: for a column that cannot be cut by.
    """
    wanted = table.options["scan.incremental.snapshot.chunk.key-column"]
    names = source.primary_key if wanted is None else (wanted,)
    if wanted is not None and wanted not in source.primary_key:
        raise ConfigError(
            f'column "{wanted}" is not part of the primary key of "{source}"',
            hint="Cut by one of: "
            + (", ".join(f'"{n}"' for n in source.primary_key) or "it has none")
            + "; or leave the option out.",
            option="scan.incremental.snapshot.chunk.key-column",
        )
    # A change of a row must tell the chunk that the row was in.
    if not set(source.primary_key) <= source.identity_columns:
        return None
    for name in names:
        column = source.column(name)
        assert column is not None
        pg = types[column.oid, column.modifier]
        enum = pg.oid >= _FIRST_OF_USERS and pg.shape is Shape.CHARACTERS
        if enum or pg.oid in _ORDERED:
            return ChunkKey(column, pg.oid, any(k.columns[0] == name for k in source.keys))
    return None


def places_of(key: ChunkKey, text: pa.StringArray, lows: Sequence[str]) -> npt.NDArray[np.intp]:
    """Which chunk each row is in, for keys that are not the server's to compare.

    Args:
        key: of the table.
        text: the server's text of the rows' keys.
        lows: the lower bounds of all chunks but the first, rising.
    """
    assert not key.by_server
    if key.integer:
        values = text.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.searchsorted(np.array([int(v) for v in lows], np.int64), values, side="right")
    edges: list[Any] = [low.encode() for low in lows]
    # Few: they are looked at until the log has passed the bound of a restart's snapshot.
    found = [bisect_right(edges, value.encode()) for value in text.to_pylist()]
    return np.array(found, np.intp)
