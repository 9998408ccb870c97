"""ORDER BY over all rows, in batch mode.

    SELECT * FROM t ORDER BY a, b DESC NULLS LAST

In → out: at the end of the step all its rows, in order; equal ones in order of arrival. Strings and
bytes are ordered by their bytes, −0.0 before 0.0, NaN behind Infinity, FALSE before TRUE.

Requires: append, and all rows in one step (batch mode). Emits: append. State: none outlives a step.
Cost: n log n in the rows of the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from flowsql.changelog import MAX_ROWS, Changes, split_changes
from flowsql.operators.base import Operator
from flowsql.state import SortColumn
from flowsql.state.order import OrderLayout

__all__ = ["SortOperator"]

_PIECE: Final = MAX_ROWS


class SortOperator(Operator):
    """See the module.

    Args:
        columns: of ORDER BY.
        order: how each is ordered, with its type.
    """

    def __init__(self, *, columns: tuple[int, ...], order: tuple[SortColumn, ...]) -> None:
        self._columns = columns
        self._order = order
        # Of the running step only:
        self._parts: list[pa.RecordBatch] = []

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        self._parts.append(changes.batch)
        return iter(())

    def flush(self) -> Iterator[Changes]:
        parts, self._parts = self._parts, []
        if not parts:
            return
        table = pa.Table.from_batches(parts)
        layout = OrderLayout(self._order)
        keys = layout.encode([_whole(table.column(c)) for c in self._columns])
        order = np.lexsort(keys.words[::-1])
        for at in range(0, len(order), _PIECE):
            chosen = table.take(pa.array(order[at : at + _PIECE])).combine_chunks()
            for batch in chosen.to_batches():
                yield from split_changes(Changes(batch))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
