"""Values of one output column for a list of groups, before they become Arrow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.operators.vectors import Vector, from_numpy, rows_equal
from flowsql.types import DataType, arrow_type

__all__ = ["Result", "combine", "differs", "pick"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Result:
    """One output column.

    Attributes:
        values: one a group, as `to_numpy` gives them, or an Arrow array where they have no fixed
            width; arbitrary where not valid.
        valid: bool[n], None where none is NULL; always None beside an Arrow array.
    """

    values: Vector | pa.Array
    valid: Bools | None


def differs(old: Result, new: Result, data_type: DataType) -> Bools:
    """bool[n]: group by group, whether the values are two in normal form."""
    if not isinstance(old.values, np.ndarray):
        return ~rows_equal([old.values], [new.values], [data_type], len(old.values))
    a, b = old.values, new.values
    if a.dtype.kind == "f":
        bits = np.int32 if a.dtype.itemsize == 4 else np.int64
        changed = (a.view(bits) != b.view(bits)) & ~(np.isnan(a) & np.isnan(b))
    elif a.ndim == 2:
        changed = (a != b).any(axis=1)
    else:
        changed = a != b
    if old.valid is None and new.valid is None:
        return changed
    valid_a = np.ones(len(a), np.bool_) if old.valid is None else old.valid
    valid_b = np.ones(len(a), np.bool_) if new.valid is None else new.valid
    return (valid_a != valid_b) | (valid_a & changed)


def combine(
    old: Result, old_rows: Ints, new: Result, new_rows: Ints, data_type: DataType
) -> pa.Array:
    """The old values at `old_rows`, then the new ones at `new_rows`, as one Arrow array."""
    if not len(old_rows):
        return pick(new, new_rows, data_type)
    if not len(new_rows):
        return pick(old, old_rows, data_type)
    if not isinstance(old.values, np.ndarray):
        parts = [pick(old, old_rows, data_type), pick(new, new_rows, data_type)]
        return pa.concat_arrays(parts)
    values = np.concatenate([_at(old.values, old_rows), _at(new.values, new_rows)])
    valid: Bools | None = None
    if old.valid is not None or new.valid is not None:
        valid = np.concatenate([_valid_at(old.valid, old_rows), _valid_at(new.valid, new_rows)])
    return from_numpy(values, valid, arrow_type(data_type))


def pick(result: Result, rows: Ints, data_type: DataType) -> pa.Array:
    """The values at ascending `rows` as an Arrow array."""
    if not isinstance(result.values, np.ndarray):
        return result.values.take(pa.array(rows))
    valid = None if result.valid is None else _at(result.valid, rows)
    return from_numpy(_at(result.values, rows), valid, arrow_type(data_type))


def _at(values: Vector, rows: Ints) -> Vector:
    """Values at ascending rows, which are often all."""
    return values if len(rows) == len(values) else values.take(rows, axis=0)


def _valid_at(valid: Bools | None, rows: Ints) -> Bools:
    return np.ones(len(rows), np.bool_) if valid is None else _at(valid, rows)
