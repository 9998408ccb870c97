"""ORDER BY of bounded input in streaming mode.

    INSERT INTO s SELECT * FROM t ORDER BY a DESC

In → out: nothing until the input has ended; then, in that step, the rows that are left, in order.
Equal ones stand in no certain order.

Requires: append or retract, and input that ends: the watermark that says so is the last there is. A
retraction of a row that is not there is ignored and counted (`orphan-retractions`).
Emits: append. State: `rows` and, over rows that also go, `rows_ids`, `rows_ids_columns`, `rows_copies`
(`row_bag.py`); all leave when they are given.
Cost: per row what keeping it costs, at the end n log n.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from flowsql.changelog import Changes, split_changes
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.cutting import cut
from flowsql.operators.row_bag import RowBag
from flowsql.state import SortColumn
from flowsql.state.order import OrderLayout
from flowsql.types import DataType

__all__ = ["EndSortOperator"]

_END: Final = (1 << 63) - 1


class EndSortOperator(Operator):
    """See the module.

    Args:
        columns: of ORDER BY.
        order: how each is ordered, with its type.
        types: of the input's columns.
        append: rows only come.
        output: schema of the output, which has the input's columns.
    """

    def __init__(
        self,
        *,
        columns: tuple[int, ...],
        order: tuple[SortColumn, ...],
        types: tuple[DataType, ...],
        append: bool,
        output: pa.Schema,
    ) -> None:
        self._columns = columns
        self._order = order
        self._output = output
        self._bag = RowBag("rows", types, append=append)

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._bag.open(context.state)

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        signs = None if changes.codes is None else changes.signs
        moved = self._bag.change(np.zeros(len(changes), np.int64), changes.batch, signs)
        if moved.orphans:
            self.context.counters.add("orphan-retractions", moved.orphans)
        return iter(())

    def advance(self, watermark: int) -> Iterator[Changes]:
        if watermark < _END:
            return
        rows = np.sort(self._bag.rows.live())
        if not len(rows):
            return
        stored = self._bag.rows
        keys = OrderLayout(self._order).encode([stored.column(rows, c) for c in self._columns])
        order = rows.take(np.lexsort(keys.words[::-1]))
        for at in cut(stored.widths(order), len(order)):
            arrays = stored.take(order[at]).columns
            yield from split_changes(
                Changes(pa.RecordBatch.from_arrays(arrays, schema=self._output))
            )
        self._bag.release()
        self._bag.forget(rows, np.zeros(len(rows), np.int64))

    def flush(self) -> Iterator[Changes]:
        self._bag.release()
        return iter(())
