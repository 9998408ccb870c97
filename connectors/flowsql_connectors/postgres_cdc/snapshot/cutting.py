"""Cuts tables into chunks while the first of them are being read.

Whole numbers that are spread evenly are cut into ranges of one width. All other keys are walked
along their index, a chunk's number of rows at a time, from the last bound on: so the cutting of a
large table is as far as its last bound when a job stops, and goes on there. Bounds need no
snapshot: a range is right whatever rows it holds.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

import psycopg
from psycopg import sql

from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.snapshot.chunked import SourceTable
from flowsql_connectors.postgres_cdc.snapshot.files import bytes_of

__all__ = ["Cut", "Cutter", "rows_about"]

# What is read again where a job stops in its midst, and held until it is whole.
_CHUNK_BYTES: Final = 16 << 20
# The last of a table that was much larger are not cut one by one.
_FEWEST: Final = 256  # rows
_MOST: Final = 131_072
# Without an index each chunk costs a look at all rows.
_MOST_UNINDEXED: Final = 8


@dataclass(frozen=True, slots=True)
class Cut:
    """A bound of a table: the last chunk ends there; None for no further bound."""

    table: SourceTable
    bound: str | None


class Cutter:
    """A thread that finds the bounds of tables, one table after the other.

    Args:
        server: where.
        tables: that are not cut to their end.
    """

    def __init__(self, server: Server, tables: Sequence[SourceTable]) -> None:
        self._server = server
        self._tables = list(tables)
        self._found: deque[Cut] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._over = not self._tables
        self._closing = False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="chunks", daemon=True)
        if self._tables:
            self._thread.start()

    @property
    def over(self) -> bool:
        """Whether all bounds were taken; never where something ended it before."""
        with self._changed:
            return self._over and not self._found and self._error is None

    def take(self, seconds: float) -> list[Cut]:
        """What was found since the last call; raises what ended the cutting.

        Args:
            seconds: to wait for all that is to come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over, seconds)
            found = list(self._found)
            self._found.clear()
            if not found and self._error is not None:
                raise self._error
            return found

    def close(self) -> None:
        """Stop."""
        with self._changed:
            self._closing = True
            connection = self._connection
        if connection is not None:
            # A server that is away has nothing to be stopped, and more is to be let go of than this.
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=2.0)
        if self._tables:
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            connection = self._server.connect()
            with self._changed:
                self._connection = connection
                tables = [] if self._closing else self._tables
            try:
                for table in tables:
                    for bound in self._bounds(table, connection):
                        self._put(Cut(table, bound))
                        if self._closing:
                            return
            finally:
                with self._changed:
                    self._connection = None
                connection.close()
        except BaseException as error:  # noqa: BLE001 - raised again by who takes
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, cut: Cut) -> None:
        with self._changed:
            self._found.append(cut)
            self._changed.notify_all()

    def _bounds(self, table: SourceTable, connection: Connection) -> Iterator[str | None]:
        """The bounds behind the last one that is known; at the end None."""
        if table.key is not None:
            rows = rows_about(table, self._server, connection)
            size = self._size(table, connection, rows)
            step = None
            if table.key.integer and not table.chunks:
                step = self._even(table, connection, rows, size)
            if step is not None:
                yield from map(str, step)
            else:
                if not table.key.indexed:
                    size = max(size, rows // _MOST_UNINDEXED + 1)
                yield from self._walk(table, connection, size)
        yield None

    def _size(self, table: SourceTable, connection: Connection, rows: int) -> int:
        """About how many rows a chunk has."""
        wanted: int | None = table.options["scan.incremental.snapshot.chunk.size"]
        if wanted is not None:
            return wanted
        width = bytes_of(self._server, connection, table.source.oid) / max(rows, 1)
        return int(min(max(_CHUNK_BYTES / max(width, 1.0), _FEWEST), _MOST))

    def _even(
        self, table: SourceTable, connection: Connection, rows: int, size: int
    ) -> range | None:
        """Bounds of one width; None where the numbers are spread unevenly."""
        assert table.key is not None
        ((low, high),) = self._server.rows(
            connection,
            sql.SQL("SELECT min({0})::int8, max({0})::int8 FROM {1}").format(
                table.key.name(), table.source.in_sql()
            ),
        )
        if low is None or low == high:
            return range(0)
        factor = (Decimal(high - low + 1) / max(rows, 1)).quantize(Decimal("1e-4"), ROUND_CEILING)
        lower = table.options["chunk-key.even-distribution.factor.lower-bound"]
        upper = table.options["chunk-key.even-distribution.factor.upper-bound"]
        if not lower <= factor <= upper:
            return None
        step = max(int(factor * size), 1)
        return range(low + step, high + 1, step)

    def _walk(self, table: SourceTable, connection: Connection, size: int) -> Iterator[str]:
        """Each bound behind so many rows, as the server orders them."""
        assert table.key is not None
        name = table.key.name()
        low = table.chunks[-1].high if table.chunks else None
        while True:
            behind: sql.Composable = sql.SQL("")
            skipped = size
            if low is not None:
                # One row at least has the bound itself.
                behind = sql.SQL(" WHERE {} > {}").format(name, table.key.literal(low))
                skipped = size - 1
            # With the table's name: what is selected has the key's name as well, and is text.
            query = sql.SQL(
                "SELECT t.{0}::text FROM {1} AS t{2} ORDER BY t.{0} OFFSET {3} LIMIT 1"
            ).format(name, table.source.in_sql(), behind, sql.Literal(skipped))
            found = self._server.rows(connection, query)
            if not found:
                return
            ((low,),) = found
            yield low


def rows_about(table: SourceTable, server: Server, connection: Connection) -> int:
    """How many rows the planner believes in."""
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM {}").format(table.source.in_sql())
    ((plan,),) = server.rows(connection, query)
    return int(plan[0]["Plan"]["Plan Rows"])
