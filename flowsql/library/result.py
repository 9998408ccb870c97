"""What `Session.execute` answers."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from flowsql.changelog import Changes, concat_changes, net
from flowsql.errors import ConfigError, FlowSQLError
from flowsql.library.sorting import sorted_table
from flowsql.library.variants import python_values
from flowsql.physical.specs import SortKey
from flowsql.types import BooleanType, Field, RowType, VarCharType, arrow_schema

__all__ = ["Result", "ResultStream", "rows_result", "text_result"]

_END = object()
_WAIT = 0.2


class ResultStream:
    """Changes on their way from the engine's thread to whoever iterates.

    Bounded: a consumer that does not read holds the job up, as a slow sink does.

    Attributes:
        on_close: called when the consumer takes no more.
    """

    def __init__(self, limit: int = 64) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(limit)
        self._closed = False
        self.on_close: Callable[[], None] = lambda: None

    def put(self, changes: Changes, step: int) -> None:
        """Called by the engine for each batch of a step."""
        changes.step = step
        self._offer(changes)

    def finish(self, error: FlowSQLError | None) -> None:
        """Called once, when the job is over."""
        while True:
            try:
                self._queue.put(_END if error is None else error, timeout=0.1)
            except queue.Full:
                if self._closed:
                    with contextlib.suppress(queue.Empty):
                        self._queue.get_nowait()
                continue
            return

    def close(self) -> None:
        """The consumer takes no more: what still comes is dropped, and the query ends."""
        self._closed = True
        self.on_close()

    def _offer(self, item: object) -> None:
        while not self._closed:
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read(self, waiting: Callable[[], None]) -> Iterator[Changes]:
        """The changes as they come.

        Args:
            waiting: called several times a second while there is none.
        """
        while True:
            try:
                item = self._queue.get(timeout=_WAIT)
            except queue.Empty:
                waiting()
                continue
            if item is _END:
                return
            if isinstance(item, FlowSQLError):
                raise item
            yield item


@dataclass(repr=False)
class Result:
    """The answer to one statement: rows known at once, or the changes of a query.

    Attributes:
        schema: the rows' schema.
        batches: the rows, where they are known at once (SHOW, DESCRIBE, EXPLAIN, OK).
        stream: the changes of a running query, else None.
        bounded: the query ends by itself.
        append: no row is ever taken back.
        order: ORDER BY: how the final table is sorted; its changes are not.
        status: how the query does, as `Job.status()`; None where nothing runs.
        start: begins the query, when the first change is asked for.
    """

    schema: RowType
    batches: tuple[pa.RecordBatch, ...] = ()
    stream: ResultStream | None = None
    bounded: bool = True
    append: bool = True
    order: tuple[SortKey, ...] = ()
    status: Callable[[], dict[str, Any]] | None = None
    start: Callable[[], object] = field(default=lambda: None)
    _begun: bool = field(default=False, init=False)
    _table: pa.Table | None = field(default=None, init=False)

    def __repr__(self) -> str:
        row = ", ".join(f"{f.name} {f.type}" for f in self.schema.fields)
        if self.stream is None:
            count = sum(b.num_rows for b in self.batches)
        elif self._table is not None:
            count = self._table.num_rows
        else:
            kind = "bounded" if self.bounded else "endless"
            return f"<Result of {'an' if kind == 'endless' else 'a'} {kind} query: {row}>"
        return f"<Result of {count} row{'s' * (count != 1)}: {row}>"

    def changes(self, waiting: Callable[[], None] = lambda: None) -> Iterator[Changes]:
        """The changes in order, each with its `.step`; ends when a bounded query is over.

        The query begins when the first one is asked for, and is stopped when the iterator is
        closed or dropped. A query's changes can be had once.

        Args:
            waiting: called several times a second while nothing comes.

        Raises:
            FlowSQLError: the query failed, or its changes were taken before.
        """
        if self.stream is None:
            yield from map(Changes, self.batches)
            return
        if self._begun:
            raise ConfigError(
                "the changes of this result were taken before",
                hint="Execute the query again, or keep what the first reading gave.",
            )
        self._begun = True
        self.start()
        try:
            yield from self.stream.read(waiting)
        finally:
            self.close()

    def to_arrow(self) -> pa.Table:
        """The final table of a bounded query: all changes folded.

        Raises:
            FlowSQLError: the query failed, was stopped or never ends, or its changes were taken
                before.
        """
        if self._table is None:
            if not self.bounded:
                raise ConfigError(
                    "the query never ends, so that there is no final table",
                    hint="Iterate over changes(), or read bounded tables only.",
                )
            table = self.fold(self.changes())
            if self.status is not None and self.status()["state"] == "stopped":
                raise ConfigError(
                    "the query was stopped before its end, so that there is no final table",
                    hint="Iterate over changes() to have what it gives until it is stopped.",
                )
            self._table = table
        return self._table

    def fold(self, changes: Iterable[Changes]) -> pa.Table:
        """The table that is left of changes of this result."""
        folded = concat_changes(changes)
        if folded is not None and folded.codes is not None:
            folded = net(folded, self.schema.types)
        if folded is not None and folded.codes is not None:
            # What was taken back without having been there leaves no row.
            folded = folded.filter(folded.signs > 0)
        batches = [] if folded is None else [folded.batch]
        table = pa.Table.from_batches(batches, schema=arrow_schema(self.schema))
        return sorted_table(table, self.order)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The final table as Python tuples; raises as `to_arrow`."""
        table = self.to_arrow()
        columns = list(map(python_values, table.columns, self.schema.types))
        return list(zip(*columns, strict=True))

    def close(self) -> None:
        """End the query, if it still runs."""
        if self.stream is not None:
            self.stream.close()


def text_result(column: str, values: Sequence[str]) -> Result:
    """One STRING column, known at once."""
    return rows_result((column,), [[v] for v in values])


def rows_result(names: Sequence[str], rows: Sequence[Sequence[str | bool | None]]) -> Result:
    """Rows known at once: STRING columns, and BOOLEAN ones where the first row has one."""
    fields = tuple(
        Field(n, BooleanType() if rows and isinstance(rows[0][i], bool) else VarCharType())
        for i, n in enumerate(names)
    )
    schema = RowType(fields, nullable=False)
    arrow = arrow_schema(schema)
    columns = [pa.array([row[i] for row in rows], f.type) for i, f in enumerate(arrow)]
    if not rows:
        return Result(schema)
    return Result(schema, (pa.RecordBatch.from_arrays(columns, schema=arrow),))
