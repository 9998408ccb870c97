"""PERCENTILE(value, percentage [, frequency])."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.expr.nodes import LiteralValue
from flowsql.operators.aggregates.moments import as_doubles
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.vectors import to_numpy, valid_rows
from flowsql.state import Entries, Ordered
from flowsql.state.accumulators import Accumulator
from flowsql.types import ArrayType, DataType, arrow_type

__all__ = ["add_values", "percentile"]

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def add_values(table: Ordered, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Values come and go, each as often as its frequency says; one below 1, or NULL, is none."""
    assert what.arg is not None
    weights: Ints | None = None
    if what.more:
        column = what.more[0][0]
        array = batch.batch.column(column)
        times = to_numpy(array).astype(np.int64)
        valid = valid_rows(array)
        counted = times > 0 if valid is None else (times > 0) & valid
        chosen = chosen.narrow(chosen.pick(counted))
        weights = chosen.pick(times)
    values = batch.array(what.arg, chosen)
    if chosen.signs is None:
        table.add(chosen.slots, [values], weights=weights)
        return
    # Added first: a value that comes and goes within the batch is there when it goes.
    for change, rows in (
        (table.add, (chosen.signs > 0).nonzero()[0]),
        (table.remove, (chosen.signs < 0).nonzero()[0]),
    ):
        if len(rows):
            times_of = None if weights is None else weights.take(rows)
            change(chosen.slots.take(rows), [values.take(pa.array(rows))], weights=times_of)


def percentile(
    constants: tuple[LiteralValue, ...],
    what: Accumulator,
    data_type: DataType,
    entries: Entries,
    groups: int,
) -> pa.Array:
    """By linear interpolation between the two nearest values; NULL for a group without any.

    Args:
        constants: the percentages, 0 … 1; one, unless the result is an array.
        what: the accumulator.
        data_type: DOUBLE, or ARRAY<DOUBLE>.
        entries: each group's values in ascending order.
        groups: how many groups there are.
    """
    values = as_doubles(entries.values[0], what.type)
    ends = np.cumsum(entries.weights)
    counts = np.zeros(groups, np.int64)
    np.add.at(counts, entries.probe, entries.weights)
    there = (counts > 0).nonzero()[0]
    before = (np.cumsum(counts) - counts).take(there)
    columns = []
    for constant in constants:
        assert constant is not None
        columns.append(_at(float(constant), values, ends, counts.take(there), before))
    stored = arrow_type(data_type)
    if not isinstance(data_type, ArrayType):
        whole = np.zeros(groups)
        whole[there] = columns[0]
        return pa.array(whole, stored, mask=counts == 0)
    if not columns:
        return pa.nulls(groups, stored)
    flat = pa.array(np.stack(columns, axis=1).ravel(), pa.float64())
    offsets = np.arange(len(there) + 1, dtype=np.int32) * len(columns)
    lists = pa.ListArray.from_arrays(pa.array(offsets), flat, type=stored)
    at = np.full(groups, -1)
    at[there] = np.arange(len(there))
    return lists.take(pa.array(at, mask=at < 0))


def _at(share: float, values: Doubles, ends: Ints, counts: Ints, before: Ints) -> Doubles:
    """The value at a share of each group, which holds `counts` values behind `before` others."""
    position = (counts - 1) * share
    low, high = np.floor(position), np.ceil(position)
    first, second = (
        values.take(np.searchsorted(ends, before + place.astype(np.int64), side="right"))
        for place in (low, high)
    )
    # Between infinities, or beside one, there may be no number: an answer like any other.
    with np.errstate(over="ignore", invalid="ignore"):
        between = (high - position) * first + (position - low) * second
    return np.where(first == second, first, np.where(low == high, first, between))
