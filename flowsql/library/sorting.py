"""The rows of a final table in the order that its query asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.physical.specs import SortKey

__all__ = ["sorted_table"]


def sorted_table(table: pa.Table, order: Sequence[SortKey]) -> pa.Table:
    """The table by its sort keys; equal rows stay as they stand, NaN is greater than all numbers."""
    rows = np.arange(table.num_rows)
    # From the last key to the first, each sort stable: what was sorted before decides among equals.
    for key in reversed(order):
        column = table.column(key.column).combine_chunks()
        rows = _by(column, rows, descending=key.descending)
        if pa.types.is_floating(column.type):
            nan = pc.is_nan(column).fill_null(False)
            rows = _by(nan, rows, descending=key.descending)
        rows = _by(column.is_null(), rows, descending=key.nulls_first)
    return table.take(pa.array(rows)) if order else table


def _by(values: pa.Array, rows: np.ndarray, *, descending: bool) -> np.ndarray:
    direction = "descending" if descending else "ascending"
    found = pc.array_sort_indices(values.take(pa.array(rows)), order=direction)
    return rows[found.to_numpy()]
