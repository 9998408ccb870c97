"""BITMAP_BUILD_AGG, BITMAP_AND_AGG … and their cardinalities.

A group's bitmap is one stored value, read and written once for each group that a batch touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.expr import bitmaps
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.sequence import sort_stable
from flowsql.state import Columns
from flowsql.state.accumulators import Accumulator, AccumulatorKind
from flowsql.state.kernels import runs

__all__ = ["add_bitmaps", "add_integers", "counted", "members_of", "reached"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_STORED = pa.binary()
_EMPTY = pa.scalar(bytes.fromhex("3a30000000000000"), _STORED)
_OPERATION = {
    AccumulatorKind.BITMAP_AND: "AND",
    AccumulatorKind.BITMAP_OR: "OR",
    AccumulatorKind.BITMAP_XOR: "XOR",
}


def _groups(slots: Ints) -> tuple[Ints, Ints, Iterator[tuple[int, int]]]:
    """Rows in order of their slots, the slots that occur, and each one's part of the rows."""
    order = sort_stable(slots)
    starts, lengths = runs(slots.take(order))
    parts = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    return order, slots.take(order.take(starts)), parts


def add_integers(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Integers that come; of those that also go the last sign counts, as a set has them once."""
    assert what.arg is not None
    if not len(chosen.slots):
        return
    order, slots, parts = _groups(chosen.slots)
    integers = batch.array(what.arg, chosen).to_numpy(zero_copy_only=False).take(order)
    signs = None if chosen.signs is None else chosen.signs.take(order)
    held = columns.read(slots, what.name).to_pylist()
    made = []
    for old, (start, end) in zip(held, parts, strict=True):
        values = integers[start:end]
        going = None
        if signs is not None:
            values, stay = _last_signs(values, signs[start:end])
            values, going = values[stay], values[~stay]
        bitmap = bitmaps.build(values)
        if old is not None:
            bitmap |= bitmaps.load(old)
        if going is not None and len(going):
            bitmap -= bitmaps.build(going)
        made.append(bitmaps.dump(bitmap))
    columns.write(slots, what.name, pa.array(made, _STORED))


def _last_signs(
    values: npt.NDArray[np.int32], signs: npt.NDArray[np.int8]
) -> tuple[npt.NDArray[np.int32], Bools]:
    """Each value once, and whether it was added last rather than taken away."""
    each, last = np.unique(values[::-1], return_index=True)
    return each, signs[::-1].take(last) > 0


def add_bitmaps(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Bitmaps that come; in XOR one that goes is the same as one that comes."""
    assert what.arg is not None
    if not len(chosen.slots):
        return
    order, slots, parts = _groups(chosen.slots)
    values = batch.array(what.arg, chosen).take(pa.array(order)).to_pylist()
    held = columns.read(slots, what.name).to_pylist()
    operation = _OPERATION[what.kind]
    made = [
        bitmaps.combined(operation, values[start:end] if old is None else [old, *values[start:end]])
        for old, (start, end) in zip(held, parts, strict=True)
    ]
    columns.write(slots, what.name, pa.array(made, _STORED))


def members_of(
    batch: Batch, column: int, chosen: Selection, ends: Ints | None
) -> tuple[Batch, Ints | None]:
    """A row for each member of the chosen rows' bitmaps, in column `column`, and its `ends`."""
    values, counts = bitmaps.members(batch.array(column, chosen))
    slots = chosen.slots.repeat(counts)
    signs = None if chosen.signs is None else chosen.signs.repeat(counts)
    arrays = [pa.nulls(len(slots)) for _ in range(batch.batch.num_columns)]
    arrays[column] = pa.array(values.view(np.int32))
    rows = pa.RecordBatch.from_arrays(arrays, names=batch.batch.schema.names)
    every = None if ends is None else chosen.pick(ends).repeat(counts)
    return Batch(rows, slots, signs), every


def reached(
    stored: pa.Array, slots: Ints, wanted: Ints, count: Callable[[Ints, pa.Array], Ints]
) -> pa.Array:
    """Of each group's bitmap the members that are there as often as is wanted.

    Args:
        stored: a bitmap a group.
        slots: the groups.
        wanted: int64[groups].
        count: (group, member) → how often it is there.
    """
    values, sizes = bitmaps.members(stored)
    keep = count(slots.repeat(sizes), pa.array(values.view(np.int32))) == wanted.repeat(sizes)
    owner = np.arange(len(sizes)).repeat(sizes)[keep]
    ends = np.cumsum(np.bincount(owner, minlength=len(sizes))).tolist()
    kept = values[keep]
    made = [
        bitmaps.dump(bitmaps.build(kept[start:end]))
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    return pa.array(made, _STORED)


def counted(stored: pa.Array, there: Bools, *, cardinality: bool) -> pa.Array:
    """The result of groups: their bitmap or its cardinality, NULL where there is none."""
    stored = stored.fill_null(_EMPTY)  # bitmaps came, but none with a member
    shown = stored if there.all() else stored.take(pa.array(np.arange(len(stored)), mask=~there))
    if not cardinality:
        return shown
    sizes = [None if data is None else bitmaps.cardinality(data) for data in shown.to_pylist()]
    return pa.array(sizes, pa.int64())
