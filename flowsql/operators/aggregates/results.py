"""Values of one output column for a list of groups, before they become Arrow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.operators.vectors import Vector, from_numpy, rows_equal
from flowsql.types import DataType, arrow_type

__all__ = ["Result", "combine", "differs"]

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
    if not isinstance(old.values, np.ndarray):
        parts = [old.values.take(pa.array(old_rows)), new.values.take(pa.array(new_rows))]
        return pa.concat_arrays(parts)
    values = np.concatenate([old.values.take(old_rows, axis=0), new.values.take(new_rows, axis=0)])
    valid: Bools | None = None
    if old.valid is not None or new.valid is not None:
        valid = np.concatenate([_valid_at(old.valid, old_rows), _valid_at(new.valid, new_rows)])
    return from_numpy(values, valid, arrow_type(data_type))


def _valid_at(valid: Bools | None, rows: Ints) -> Bools:
    return np.ones(len(rows), np.bool_) if valid is None else valid.take(rows)
