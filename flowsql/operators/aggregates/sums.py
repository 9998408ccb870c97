"""COUNT, SUM and AVG."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flowsql.operators.aggregates.decimals import quotient, words_of
from flowsql.operators.aggregates.renewal import renewal
from flowsql.operators.aggregates.results import Result
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.vectors import Vector, limbs_of
from flowsql.state import Columns
from flowsql.state.accumulators import Accumulator, AccumulatorKind
from flowsql.types import (
    BigIntType,
    DataType,
    DecimalType,
    FloatType,
    IntType,
    SmallIntType,
    TinyIntType,
)

__all__ = [
    "add_count",
    "add_decimal",
    "add_float",
    "add_float_retract",
    "add_integer",
    "average",
    "count",
    "summed",
]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Read = Callable[[str], Vector]

_INTEGERS: dict[type[DataType], type[np.signedinteger]] = {
    TinyIntType: np.int8,
    SmallIntType: np.int16,
    IntType: np.int32,
    BigIntType: np.int64,
}


def add_count(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """One more, or one less, a row."""
    del batch
    amount = 1 if chosen.signs is None else chosen.signs.astype(np.int64)
    np.add.at(columns.vector(what.name), chosen.slots, amount)


def add_integer(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Sums modulo 2^64, of which every narrower type's sum is the low end."""
    assert what.arg is not None
    values = chosen.pick(batch.values(what.arg)).astype(np.int64, copy=False)
    if chosen.signs is not None:
        values = values * chosen.signs
    np.add.at(columns.vector(what.name), chosen.slots, values)


def add_float(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """One value after the other in order of arrival, so that the cut into batches is not seen."""
    assert what.arg is not None
    vector = columns.vector(what.name)
    values = chosen.pick(batch.values(what.arg)).astype(vector.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite sum is an answer
        np.add.at(vector, chosen.slots, values)


def add_float_retract(
    columns: Columns, what: Accumulator, batch: Batch, chosen: Selection, count: str
) -> None:
    """As `add_float`; a sum begins anew where the last value leaves.

    NaN and the infinities, which no subtraction takes back, are counted.

    Args:
        columns: the accumulators.
        what: the accumulator.
        batch: the rows.
        chosen: those of them that are added or taken back.
        count: the column with the number of values, these among them.
    """
    assert what.arg is not None
    assert chosen.signs is not None
    vector = columns.vector(what.name)
    values = chosen.pick(batch.values(what.arg)).astype(vector.dtype)
    finite = np.isfinite(values)
    slots, signs = chosen.slots, chosen.signs
    if not finite.all():
        kinds = (np.isnan(values), values == np.inf, values == -np.inf)
        for (name, _), mask in zip(what.columns[1:], kinds, strict=True):
            np.add.at(columns.vector(name), slots[mask], signs[mask].astype(np.int64))
        slots, signs, values = slots[finite], signs[finite], values[finite]
    if not len(slots):
        return
    aside = tuple(name for name, _ in what.columns[1:])
    anew = renewal(columns, count, aside, slots, signs)
    if anew is not None:
        vector[anew.slots] = 0
        slots, signs = slots.take(anew.rows), signs.take(anew.rows)
        values = values.take(anew.rows)
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.at(vector, slots, values * signs.astype(vector.dtype))


def add_decimal(columns: Columns, what: Accumulator, batch: Batch, chosen: Selection) -> None:
    """Exact: limb by limb."""
    assert what.arg is not None
    limbs = limbs_of(chosen.pick(batch.values(what.arg)), what.limbs)
    for (name, _), limb in zip(what.columns, limbs, strict=True):
        amount = limb if chosen.signs is None else limb * chosen.signs
        np.add.at(columns.vector(name), chosen.slots, amount)


def count(counts: Ints) -> Result:
    """COUNT is never NULL."""
    return Result(counts, None)


def summed(what: Accumulator, read: Read, counts: Ints, data_type: DataType) -> Result:
    """SUM; NULL over no values, and for a DECIMAL with more than 38 digits."""
    valid = _some(counts)
    match what.kind:
        case AccumulatorKind.SUM_DECIMAL:
            words, fits = words_of([read(name) for name, _ in what.columns])
            return Result(words, fits if valid is None else valid & fits)
        case AccumulatorKind.SUM_FLOAT_RETRACT | AccumulatorKind.SUM_DOUBLE_RETRACT:
            return Result(_restored(what, read), valid)
        case AccumulatorKind.SUM_INTEGER:
            return Result(read(what.name).astype(_INTEGERS[type(data_type)], copy=False), valid)
        case _:
            return Result(read(what.name), valid)


def average(what: Accumulator, read: Read, counts: Ints, data_type: DataType) -> Result:
    """AVG: of integers truncated, of DECIMAL rounded half up at the result's scale."""
    valid = _some(counts)
    divisor = counts if valid is None else np.where(valid, counts, 1)
    match what.kind:
        case AccumulatorKind.SUM_DECIMAL:
            words, fits = words_of([read(name) for name, _ in what.columns])
            assert isinstance(data_type, DecimalType)
            assert isinstance(what.type, DecimalType)
            shift = data_type.scale - what.type.scale
            words, small = quotient(words, divisor, shift)
            fits &= small
            return Result(words, fits if valid is None else valid & fits)
        case AccumulatorKind.SUM_INTEGER:
            total = read(what.name)
            quotients = total // divisor
            quotients += (total < 0) & (quotients * divisor != total)
            return Result(quotients.astype(_INTEGERS[type(data_type)], copy=False), valid)
        case AccumulatorKind.SUM_FLOAT_RETRACT | AccumulatorKind.SUM_DOUBLE_RETRACT:
            total = _restored(what, read)
        case _:
            total = read(what.name)
    means = total / divisor
    single = isinstance(data_type, FloatType)
    return Result(means.astype(np.float32) if single else means, valid)


def _some(counts: Ints) -> Bools | None:
    valid = counts > 0
    return None if valid.all() else valid


def _restored(what: Accumulator, read: Read) -> Vector:
    """The sum with NaN and the infinities put back."""
    total = read(what.name)
    nan, above, below = (read(name) for name, _ in what.columns[1:])
    if not (nan.any() or above.any() or below.any()):
        return total
    total = total.copy()
    total[above > 0] = np.inf
    total[below > 0] = -np.inf
    total[(nan > 0) | ((above > 0) & (below > 0))] = np.nan
    return total
