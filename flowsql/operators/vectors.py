"""Between Arrow arrays and NumPy vectors, without a copy where the layout allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.types import DataType

__all__ = [
    "from_numpy",
    "is_true",
    "limbs_of",
    "rows_equal",
    "to_numpy",
    "valid_rows",
]

Vector = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def valid_rows(array: pa.Array) -> Bools | None:
    """bool[n]: where the value is not NULL; None where none is NULL."""
    if array.null_count == 0:
        return None
    return array.is_valid().to_numpy(zero_copy_only=False)


def is_true(array: pa.Array) -> Bools:
    """bool[n]: where a BOOLEAN column is TRUE."""
    values = array.fill_null(False) if array.null_count else array
    return values.to_numpy(zero_copy_only=False)


def to_numpy(array: pa.Array) -> Vector:
    """The stored values of a fixed-width column; arbitrary where NULL.

    Integers, floats and booleans keep their type, times are their integers, a decimal is a row of
    two int64 words, the low one first.
    """
    n = len(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    buffer = array.buffers()[1]
    if pa.types.is_decimal128(array.type):
        if buffer is None:
            return np.zeros((n, 2), np.int64)
        return np.frombuffer(buffer, np.int64, 2 * n, 16 * array.offset).reshape(-1, 2)
    width = array.type.bit_width // 8
    kind = "f" if pa.types.is_floating(array.type) else "i"
    dtype = np.dtype(f"{kind}{width}")
    if buffer is None:
        return np.zeros(n, dtype)
    return np.frombuffer(buffer, dtype, n, width * array.offset)


def from_numpy(values: Vector, valid: Bools | None, stored: pa.DataType) -> pa.Array:
    """The inverse of `to_numpy`: an Arrow array of type `stored`; NULL where not `valid`."""
    n = len(values)
    bits = None
    if valid is not None and not valid.all():
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    if pa.types.is_boolean(stored):
        data = np.packbits(values.astype(np.bool_), bitorder="little")
    elif pa.types.is_decimal128(stored):
        data = np.ascontiguousarray(values)
    else:
        kind = "f" if pa.types.is_floating(stored) else "i"
        dtype = np.dtype(f"{kind}{stored.bit_width // 8}")
        data = np.ascontiguousarray(values.astype(dtype, copy=False))
    return pa.Array.from_buffers(stored, n, [bits, pa.py_buffer(data)])


def limbs_of(words: Vector, limbs: int) -> list[Ints]:
    """32-bit limbs, the lowest first and the highest signed, of decimals as `to_numpy` gives."""
    low = words[:, 0]
    if limbs == 2:
        return [low & 0xFFFFFFFF, low >> 32]
    high = words[:, 1]
    return [low & 0xFFFFFFFF, (low >> 32) & 0xFFFFFFFF, high & 0xFFFFFFFF, high >> 32]


def rows_equal(
    a: Sequence[pa.Array], b: Sequence[pa.Array], types: Sequence[DataType], length: int
) -> Bools:
    """bool[n]: row i of `a` equals row i of `b` in normal form."""
    all_rows = np.arange(length)
    return Keys.of(a, types, length).equal(all_rows, Keys.of(b, types, length), all_rows)
