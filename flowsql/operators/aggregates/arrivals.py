"""FIRST_VALUE and LAST_VALUE over rows that are only added; over updates they are read from a list."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.state import Columns
from flowsql.state.accumulators import Accumulator

__all__ = ["keep_first", "keep_last"]


def keep_first(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """The first non-NULL value to arrive; a group that has one keeps it."""
    assert what.arg is not None
    begun = columns.vector(f"{what.name}.begun")
    new = (begun.take(chosen.slots) == 0).nonzero()[0]
    if not len(new):
        return
    slots, first = np.unique(chosen.slots.take(new), return_index=True)
    begun[slots] = 1
    values = batch.array(what.arg, chosen).take(pa.array(new.take(first)))
    columns.write(slots, what.name, values)


def keep_last(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """The last non-NULL value to arrive."""
    assert what.arg is not None
    if len(chosen.slots):
        columns.write(chosen.slots, what.name, batch.array(what.arg, chosen))
