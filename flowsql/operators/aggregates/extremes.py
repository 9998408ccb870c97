"""MIN and MAX over rows that are only added; over updates they are read from `Ordered`.

Order of values: NULL is never an extreme; strings and bytes by their bytes; −0.0 before 0.0; NaN
after everything.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.vectors import Vector
from flowsql.state import Columns
from flowsql.state.accumulators import Accumulator
from flowsql.types import BooleanType, DataType, DecimalType, DoubleType, FloatType, arrow_type

__all__ = ["from_word", "raise_value", "raise_word"]

Words = npt.NDArray[np.uint64]

_TOP = np.uint64(1 << 63)


def raise_word(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Fixed-width values as words in their order; a MIN keeps the complement, so 0 is no value."""
    assert what.arg is not None
    words = chosen.pick(batch.words(what.arg, _to_word))
    np.maximum.at(columns.vector(what.name), chosen.slots, words if what.greatest else ~words)


def _to_word(values: Vector) -> Words:
    """Unsigned words in the order of the values."""
    if values.ndim == 2:
        values = values[:, 0]
    if values.dtype.kind == "f":
        wide = values.astype(np.float64, copy=False)
        wide = np.where(np.isnan(wide), np.nan, wide)
        bits = wide.view(np.int64)
        # Negative floats are ordered against their bits.
        return np.where(bits < 0, ~bits, bits ^ np.int64(-(1 << 63))).view(np.uint64)
    return values.astype(np.int64, copy=False).view(np.uint64) ^ _TOP


def from_word(words: Words, what: Accumulator) -> Vector:
    """The values again, as `to_numpy` gives them."""
    if not what.greatest:
        words = ~words
    if isinstance(what.type, FloatType | DoubleType):
        bits = words.view(np.int64)
        bits = np.where(bits < 0, bits ^ np.int64(-(1 << 63)), ~bits)
        values: Vector = bits.view(np.float64)
        return values.astype(np.float32) if isinstance(what.type, FloatType) else values
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
    rows = np.flatnonzero(better.fill_null(True).to_numpy(zero_copy_only=False))
    if len(rows):
        columns.write(slots.take(rows), what.name, values.take(pa.array(rows)))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
