"""Variance and standard deviation.

A group remembers its first value; sums of the distances from it, and of their squares, are small where
values lie close together, so that the difference of the two keeps its digits: values that are all
equal have the variance 0. Sums are taken in order of arrival, and begin anew where the last value
leaves, so that the cut into batches is not seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.expr.casts_numeric import to_decimal, to_float
from flowsql.operators.aggregates.renewal import renewal
from flowsql.operators.aggregates.results import Result
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.vectors import Vector
from flowsql.state import Columns
from flowsql.state.accumulators import VARIANCES, Accumulator
from flowsql.types import (
    BigIntType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    SmallIntType,
    TinyIntType,
)

__all__ = ["add_moments", "as_doubles", "variance"]

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_WIDTHS: dict[type[DataType], type[np.signedinteger]] = {
    TinyIntType: np.int8,
    SmallIntType: np.int16,
    IntType: np.int32,
    BigIntType: np.int64,
}


def as_doubles(array: pa.Array, data_type: DataType) -> Doubles:
    """Numbers without NULL as doubles."""
    if isinstance(data_type, DecimalType):
        array = to_float(data_type, DoubleType(), safe=False)(None, array)
    # Integers beyond 2^53 become the nearest double, as in Java.
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def add_moments(
    columns: Columns, what: Accumulator, batch: Batch, chosen: Selection, count: str
) -> None:
    """One value after the other; NaN and the infinities are only counted.

    Args:
        columns: the accumulators.
        what: the accumulator.
        batch: the rows.
        chosen: those of them that are added.
        count: the column with the number of values, these among them.
    """
    assert what.arg is not None
    slots, signs = chosen.slots, chosen.signs
    if not len(slots):
        return
    values = as_doubles(batch.array(what.arg, chosen), what.type)
    finite = np.isfinite(values)
    if not finite.all():
        odd = (~finite).nonzero()[0]
        amount = np.ones(len(odd), np.int64) if signs is None else signs.take(odd).astype(np.int64)
        np.add.at(columns.vector(f"{what.name}.odd"), slots.take(odd), amount)
        rows = finite.nonzero()[0]
        slots, values = slots.take(rows), values.take(rows)
        signs = None if signs is None else signs.take(rows)
        if not len(slots):
            return
    total, square, begun, origin = (
        columns.vector(name)
        for name in (what.name, *(f"{what.name}.{part}" for part in ("square", "begun", "origin")))
    )
    if signs is not None:
        anew = renewal(columns, count, (f"{what.name}.odd",), slots, signs)
        if anew is not None:
            for vector in (total, square, begun, origin):
                vector[anew.slots] = 0
            slots, values = slots.take(anew.rows), values.take(anew.rows)
            signs = signs.take(anew.rows)
    new = (begun.take(slots) == 0).nonzero()[0]
    if len(new):
        made, first = np.unique(slots.take(new), return_index=True)
        begun[made] = 1
        origin[made] = values.take(new.take(first))
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number is an answer
        distance = values - origin.take(slots)
        squared = distance * distance
        if signs is not None:
            distance, squared = distance * signs, squared * signs
        np.add.at(total, slots, distance)
        np.add.at(square, slots, squared)


def variance(
    function: str,
    what: Accumulator,
    read: Callable[[str], Vector],
    counts: Ints,
    data_type: DataType,
) -> Result:
    """The variance or its root: of integers cut off, of DECIMAL rounded half up."""
    less, root = VARIANCES[function]
    valid = counts > less
    number = np.where(valid, counts, 1 + less).astype(np.float64)
    total = read(what.name)
    with np.errstate(over="ignore", invalid="ignore"):
        # Of small integers this is exact, and so is what is cut off.
        spread = np.maximum(read(f"{what.name}.square") * number - total * total, 0.0)
        spread[number == 1] = 0.0
        result = spread / (number * (number - less))
        if root:
            result = np.sqrt(result)
    result[read(f"{what.name}.odd") != 0] = np.nan
    shown = None if valid.all() else valid
    if isinstance(data_type, DecimalType):
        doubles = pa.array(result, mask=~valid)
        return Result(to_decimal(DoubleType(), data_type, safe=True)(None, doubles), None)
    if isinstance(data_type, FloatType):
        with np.errstate(over="ignore"):
            return Result(result.astype(np.float32), shown)
    if isinstance(data_type, DoubleType):
        return Result(result, shown)
    whole = np.nan_to_num(np.clip(result, -(2.0**62), 2.0**62)).astype(np.int64)
    return Result(whole.astype(_WIDTHS[type(data_type)]), shown)
