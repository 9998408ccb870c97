"""ORDER BY event time, on a stream.

    SELECT * FROM t ORDER BY ts, price DESC

In → out: when the watermark reaches w, all rows whose time is not after w, in order.

Requires: append; the first column of the order is the rowtime, ascending.
Emits: append. As in Flink a row is late where a row of its time or a later one has been given by then;
late rows are counted (`late-rows`) and left out. Rows that are equal in the order stand in order of
arrival.
State: `all` (one key), `columns` (the latest time that was given, the last watermark), `rows` and `order`
(what waits); a row leaves when it is given.
Cost: per row one entry in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import NO_WATERMARK, Changes, Keys, Marks, split_changes
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.cutting import cut
from flowsql.operators.vectors import to_numpy
from flowsql.state import Columns, Entries, KeyIndex, Ordered, Rows

__all__ = ["TimeSortOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_EMIT: Final = 1 << 15
# Event time is stored in microseconds, watermarks are milliseconds.
_UNIT: Final = 1_000
_LAST: Final = (1 << 63) // _UNIT - 1


class TimeSortOperator(Operator):
    """See the module.

    Args:
        columns: of the order, the rowtime first.
        output: schema of the output, which has the input's columns.
    """

    def __init__(self, *, columns: tuple[int, ...], output: pa.Schema) -> None:
        self._sort = columns
        self._output = output

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._all: KeyIndex = context.state["all"]
        self._columns: Columns = context.state["columns"]
        self._rows: Rows = context.state["rows"]
        self._order: Ordered = context.state["order"]

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        slot, is_new = self._all.ensure(Keys.of([], (), 1))
        if is_new[0]:
            self._columns.write(slot, "given", NO_WATERMARK)
            self._columns.write(slot, "watermark", NO_WATERMARK)
        batch = changes.batch
        times = to_numpy(batch.column(self._sort[0])) // _UNIT
        marks = None if changes.marks is None else changes.marks.watermark
        if marks is None:
            marks = np.full(len(times), self._columns.read(slot, "watermark")[0])
        late = self._late(slot, times, np.maximum.accumulate(marks))
        if late is not None and late.any():
            rows = (~late).nonzero()[0]
            self.context.counters.add("late-rows", len(times) - len(rows))
            if not len(rows):
                return iter(())
            batch = batch.take(pa.array(rows))
        numbers = self._rows.append(batch)
        values = [batch.column(c) for c in self._sort]
        self._order.add(np.repeat(slot, len(numbers)), values, numbers)
        return iter(())

    def _late(self, slot: Ints, times: Ints, marks: Ints) -> Bools | None:
        """bool[n]: rows not after the latest that had been given when they came; None for none.

        A row is given when a later one comes with a mark that reaches its time; late rows' own times
        change nothing, since a later one has been given by then.
        """
        if not (times <= marks).any():
            return None
        n = len(times)
        given = np.full(n + 1, int(self._columns.read(slot, "given")[0]))
        waiting = self._due(slot, int(marks[-1]))
        if len(waiting.probe):
            due = to_numpy(waiting.values[0]) // _UNIT
            np.maximum.at(given, np.searchsorted(marks, due), due)
        when = np.maximum(np.searchsorted(marks, times), np.arange(1, n + 1))
        np.maximum.at(given, when, times)
        late: Bools = times <= np.maximum.accumulate(given)[:n]
        return late

    def _due(self, slot: Ints, watermark: int) -> Entries:
        """What waits and is not after the watermark."""
        if watermark >= _LAST:
            return self._order.entries(slot)
        kind = self._output.field(self._sort[0]).type
        end = max(watermark, -_LAST) * _UNIT + _UNIT - 1
        return self._order.range(slot, None, pa.array([end], pa.int64()).cast(kind))

    def advance(self, watermark: int) -> Iterator[Changes]:
        slot = self._all.find(Keys.of([], (), 1))
        if slot[0] < 0:
            return
        before = int(self._columns.read(slot, "watermark")[0])
        self._columns.write(slot, "watermark", watermark)
        due = self._due(slot, watermark)
        if not len(due.probe):
            return
        assert due.rows is not None
        self._columns.write(slot, "given", int(to_numpy(due.values[0])[-1]) // _UNIT)
        for at in cut(self._rows.widths(due.rows), len(due.rows), _EMIT):
            rows = due.rows[at]
            arrays = self._rows.take(rows).columns
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            marks = Marks(np.full(len(rows), before, np.int64))
            yield from split_changes(Changes(batch, marks=marks))
        self._order.remove(np.repeat(slot, len(due.rows)), due.values, due.rows)
        self._rows.remove(due.rows)
