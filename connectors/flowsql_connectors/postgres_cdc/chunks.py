"""How the rows that are there are cut into chunks.

A chunk is a half-open range of one column of the primary key, and is written as the server's text
of its bounds: `low <= key < high`, None for no bound. Text is ordered by its bytes. Only types whose
order can be told from the server's text are cut; a table of others is one chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError
from flowsql_connectors.postgres_cdc.catalog import ServerColumn, ServerTable
from flowsql_connectors.postgres_cdc.server import Connection, Server

__all__ = ["Chunk", "ChunkKey", "chunk_key", "cut_chunks", "places_of"]

_INTEGERS: Final = frozenset({20, 21, 23})
# Fixed width and lower case: their text is ordered as they are.
_AS_TEXT: Final = frozenset({17, 2950})  # bytea, uuid
_STRINGS: Final = frozenset({25, 1043})  # text, varchar
_C: Final = frozenset({"C", "POSIX"})
# An index that is ordered otherwise does not help: each chunk costs a look at all rows.
_MOST_UNINDEXED: Final = 8


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """The column that chunks are ranges of.

    Attributes:
        column: it.
        by_bytes: its order has to be asked for.
    """

    column: ServerColumn
    by_bytes: bool = False

    @property
    def integer(self) -> bool:
        """Whether its values are whole numbers."""
        return self.column.oid in _INTEGERS

    def expression(self) -> sql.Composable:
        """What is compared and ordered."""
        name = sql.Identifier(self.column.name)
        return sql.SQL('{} COLLATE "C"').format(name) if self.by_bytes else name

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
            parts.append(sql.SQL("{} >= {}").format(key.expression(), key.literal(self.low)))
        if key is not None and self.high is not None:
            parts.append(sql.SQL("{} < {}").format(key.expression(), key.literal(self.high)))
        return sql.SQL(" AND ").join(parts) if parts else None


def chunk_key(table: ConnectorTable, source: ServerTable) -> ChunkKey | None:
    """The column to cut by; None where the table is one chunk.

    Raises ConfigError for a column that cannot be cut by.
    """
    wanted = table.options["scan.incremental.snapshot.chunk.key-column"]
    names = source.primary_key if wanted is None else (wanted,)
    if wanted is not None and wanted not in source.primary_key:
        raise ConfigError(
            f'chunks of table "{source}" cannot be cut by column "{wanted}", which is not part of'
            " its primary key",
            hint="Name a column of the primary key: "
            + (", ".join(f'"{c}"' for c in source.primary_key) or "it has none")
            + "; or leave the option out.",
            option="scan.incremental.snapshot.chunk.key-column",
        )
    # A change of a row must tell the chunk that the row was in.
    if not set(source.primary_key) <= source.identity_columns:
        return None
    for name in names:
        column = source.column(name)
        assert column is not None
        if column.oid in _INTEGERS or column.oid in _AS_TEXT:
            return ChunkKey(column)
        if column.oid in _STRINGS:
            return ChunkKey(column, by_bytes=column.collation not in _C)
    return None


def cut_chunks(
    table: ConnectorTable,
    source: ServerTable,
    key: ChunkKey | None,
    server: Server,
    connection: Connection,
) -> list[Chunk]:
    """The chunks of a table, as the connection's transaction sees it."""
    whole = [Chunk(None, None)]
    if key is None:
        return whole
    name = source.in_sql()
    (plan,) = server.rows(
        connection, sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM {}").format(name)
    )[0]
    rows = int(plan[0]["Plan"]["Plan Rows"])
    size = table.options["scan.incremental.snapshot.chunk.size"]
    if key.by_bytes:
        size = max(size, rows // _MOST_UNINDEXED + 1)
    # The planner's idea of an empty table is a few pages of rows.
    if key.integer:
        low, high = server.rows(
            connection, sql.SQL("SELECT min({0}), max({0}) FROM {1}").format(key.expression(), name)
        )[0]
        if low is None or low == high:
            return whole
        factor = (Decimal(high - low + 1) / max(rows, 1)).quantize(Decimal("1e-4"), ROUND_CEILING)
        options = table.options
        lower = options["chunk-key.even-distribution.factor.lower-bound"]
        upper = options["chunk-key.even-distribution.factor.upper-bound"]
        if lower <= factor <= upper:
            step = max(int(factor * size), 1)
            return _chunks([str(bound) for bound in range(low + step, high + 1, step)])
    bounds = server.rows(
        connection,
        sql.SQL(
            "SELECT DISTINCT k::text FROM (SELECT {0} AS k, row_number() OVER (ORDER BY {0}) AS n"
            " FROM {1}) s WHERE n % {2} = 0"
        ).format(key.expression(), name, sql.Literal(size)),
    )
    texts = [text for (text,) in bounds]
    return _chunks(sorted(texts, key=int) if key.integer else sorted(texts, key=str.encode))


def _chunks(bounds: Sequence[str]) -> list[Chunk]:
    edges = [None, *bounds, None]
    return [Chunk(low, high) for low, high in pairwise(edges)]


def places_of(
    key: ChunkKey | None, text: pa.StringArray | None, lows: Sequence[str]
) -> npt.NDArray[np.intp]:
    """Which chunk each row is in.

    Args:
        key: of the table.
        text: the server's text of the rows' keys.
        lows: the lower bounds of all chunks but the first, rising.
    """
    if key is None or text is None or not lows:
        return np.zeros(0 if text is None else len(text), np.intp)
    if key.integer:
        values = text.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.searchsorted(np.array([int(v) for v in lows], np.int64), values, side="right")
    edges: list[Any] = [low.encode() for low in lows]
    # Few: they are looked at until the log has passed the bound of a restart's snapshot.
    found = [bisect_right(edges, value.encode()) for value in text.to_pylist()]
    return np.array(found, np.intp)
