"""MIN and MAX over rows that are only added; over updates they are read from `Ordered`.

NULL is never an extreme; strings and bytes are ordered by their bytes. Floats are compared as by `<`
in order of arrival, as Flink does: the first value stays until a smaller (greater) one comes. So NaN is
the extreme where it came first and else never, and of two zeros the first stays. (Over updates Flink
compares otherwise: −0.0 before 0.0, and NaN after everything.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.sequence import sort_stable
from flowsql.operators.vectors import Vector
from flowsql.state import Columns
from flowsql.state.accumulators import Accumulator
from flowsql.types import BooleanType, DataType, DecimalType, DoubleType, FloatType, arrow_type

__all__ = ["extreme", "raise_value", "raise_word"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Read = Callable[[str], Vector]

_SIGN = np.int64(-(1 << 63))
_TOP = np.uint64(1 << 63)
_LAST = np.uint64(0xFFFFFFFFFFFFFFFF)


def raise_word(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Fixed-width values as words in their order; a MIN keeps the complement, so 0 is no value."""
    assert what.arg is not None
    values = chosen.pick(batch.values(what.arg))
    if values.dtype.kind == "f" and (np.isnan(values) | (values == 0)).any():
        odd = np.isnan(values) | ((values == 0) & np.signbit(values))
        if odd.any():
            _raise_in_order(columns, what, values, chosen.slots)
            return
    words = chosen.pick(batch.words(what.arg, _to_word))
    np.maximum.at(columns.vector(what.name), chosen.slots, words if what.greatest else ~words)


def _to_word(values: Vector) -> Words:
    """Unsigned words in the order of the values; both zeros are one."""
    if values.ndim == 2:
        values = values[:, 0]
    if values.dtype.kind == "f":
        bits = (values.astype(np.float64, copy=False) + 0.0).view(np.int64)
        # Negative floats are ordered against their bits.
        return np.where(bits < 0, ~bits, bits ^ _SIGN).view(np.uint64)
    return values.astype(np.int64, copy=False).view(np.uint64) ^ _TOP


def _raise_in_order(columns: Columns, what: Accumulator, values: Vector, slots: Ints) -> None:
    """Floats among which are NaN or −0.0: for each group what it has, then the rows as they came."""
    order = sort_stable(slots)
    ordered = slots.take(order)
    begins = np.ones(len(order), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    starts = begins.nonzero()[0]
    groups = ordered.take(starts)
    words = columns.vector(what.name).take(groups)
    held = words.nonzero()[0]
    # The value a group has stands in front of its rows.
    known = _from_word(words.take(held), what).astype(np.float64)
    negative = columns.vector(f"{what.name}.negative zero").take(groups.take(held)) != 0
    known = np.where((known == 0) & negative, -0.0, known)
    row = np.insert(values.take(order).astype(np.float64), starts.take(held), known)
    shift = np.zeros(len(starts), np.int64)
    shift[held] = 1
    starts += np.cumsum(shift) - shift
    sign = -1.0 if what.greatest else 1.0
    least = np.minimum.reduceat(np.where(np.isnan(row), np.inf, row * sign), starts) * sign
    size = np.diff(np.append(starts, len(row)))
    at = np.where(row == np.repeat(least, size), np.arange(len(row)), len(row))
    first = np.minimum.reduceat(at, starts)
    winner = np.where(np.isnan(row.take(starts)), np.nan, row.take(first, mode="clip"))
    new = _to_word(winner)
    columns.vector(what.name)[groups] = np.where(
        np.isnan(winner), _LAST, new if what.greatest else ~new
    )
    zero = (winner == 0) & np.signbit(winner)
    columns.vector(f"{what.name}.negative zero")[groups] = zero


def extreme(what: Accumulator, read: Read) -> Vector:
    """The values again, as `to_numpy` gives them."""
    values = _from_word(read(what.name), what)
    if values.dtype.kind == "f":
        negative = read(f"{what.name}.negative zero")
        if negative.any():
            values = np.where((negative != 0) & (values == 0), values.dtype.type(-0.0), values)
    return values


def _from_word(words: Words, what: Accumulator) -> Vector:
    if isinstance(what.type, FloatType | DoubleType):
        nan = words == _LAST
        bits = (words if what.greatest else ~words).view(np.int64)
        bits = np.where(bits < 0, bits ^ _SIGN, ~bits)
        values = np.where(nan, np.nan, bits.view(np.float64))
        return values.astype(np.float32) if isinstance(what.type, FloatType) else values
    if not what.greatest:
        words = ~words
    numbers = (words ^ _TOP).view(np.int64)
    if isinstance(what.type, DecimalType):
        return np.stack([numbers, numbers >> 63], axis=1)
    return numbers.astype(_width(what.type), copy=False)


def _width(data_type: DataType) -> npt.DTypeLike:
    if isinstance(data_type, BooleanType):
        return np.uint8
    return np.dtype(f"i{arrow_type(data_type).bit_width // 8}")


def raise_value(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Values of any width: the batch's extreme of each group, then the better of two."""
    assert what.arg is not None
    if not len(chosen.slots):
        return
    table = pa.table({"slot": chosen.slots, "value": batch.array(what.arg, chosen)})
    name = "max" if what.greatest else "min"
    extremes = table.group_by("slot", use_threads=False).aggregate([("value", name)])
    slots = extremes.column("slot").combine_chunks().to_numpy()
    values = _whole(extremes.column(f"value_{name}"))
    known = columns.read(slots, what.name)
    better = (pc.greater if what.greatest else pc.less)(values, known)
    rows = better.fill_null(True).to_numpy(zero_copy_only=False).nonzero()[0]
    if len(rows):
        columns.write(slots.take(rows), what.name, values.take(pa.array(rows)))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
