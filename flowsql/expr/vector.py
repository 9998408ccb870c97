"""The values that kernels work on, and the helpers they share.

A `Value` is a column of the frame's rows (`pa.Array`) or a constant (`pa.Scalar`). A kernel gets at
least one array; the evaluator sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.settings import EvalSettings, StepClock

__all__ = [
    "Context",
    "EvalSettings",
    "Kernel",
    "Value",
    "arrow_function",
    "as_array",
    "build",
    "bytes_of",
    "chars",
    "each",
    "mask_of",
    "null_mask",
    "numbers",
    "row_count",
    "true_mask",
    "validity",
]

Value = Any  # pa.Array | pa.Scalar; pyarrow has no types worth the name


class Context(Protocol):
    """What a kernel may ask the frame for."""

    @property
    def rows(self) -> int:
        """Rows of the frame."""

    @property
    def clock(self) -> StepClock:
        """The step's clock."""

    @property
    def marks(self) -> Any:
        """int64[rows] milliseconds, the watermark before each row; None where there is none."""


Kernel = Callable[..., Value]
"""`kernel(context, *values) -> value`."""


def arrow_function(name: str, options: Any = None) -> Kernel:
    """A kernel that is one call of an Arrow function (cheaper than its Python wrapper)."""
    call = pc.get_function(name).call
    if options is None:
        return lambda _, *values: call(values)
    return lambda _, *values: call(values, options)


def row_count(values: Sequence[Value]) -> int:
    """Rows of the first array among `values`."""
    for v in values:
        if not isinstance(v, pa.Scalar):
            return len(v)
    return 1


def as_array(value: Value, rows: int) -> Any:
    """The value as an array of `rows` elements."""
    if not isinstance(value, pa.Scalar):
        return value
    return pa.repeat(value, rows) if rows else pa.array([], value.type)


def null_mask(array: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True where the element is NULL."""
    if array.null_count == 0:
        return np.zeros(len(array), dtype=bool)
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False))


def validity(*values: Value) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Mask of the rows where some value is NULL, or None if there is no such row."""
    mask = None
    for v in values:
        if isinstance(v, pa.Scalar):
            if not v.is_valid:
                return np.ones(row_count(values), dtype=bool)
        elif v.null_count:
            m = null_mask(v)
            mask = m if mask is None else mask | m
    return mask


def numbers(value: Value) -> Any:
    """NumPy values of a fixed-width column (undefined where NULL), or a NumPy scalar.

    Dates, times, timestamps and intervals give their storage integers.
    """
    if isinstance(value, pa.Scalar):
        if not value.is_valid:
            return np.zeros((), dtype=_numpy_type(value.type))[()]
        raw = value.value if hasattr(value, "value") else value.as_py()
        return _numpy_type(value.type).type(raw)
    dtype = _numpy_type(value.type)
    buffer = value.buffers()[1]
    if buffer is None or len(value) == 0:
        return np.zeros(len(value), dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(value) + value.offset)[value.offset :]


def _numpy_type(arrow: Any) -> np.dtype[Any]:
    match arrow.id:
        case pa.lib.Type_DATE32 | pa.lib.Type_TIME32:
            return np.dtype(np.int32)
        case pa.lib.Type_TIMESTAMP | pa.lib.Type_TIME64 | pa.lib.Type_DURATION:
            return np.dtype(np.int64)
        case _:
            return np.dtype(arrow.to_pandas_dtype())


def build(values: Any, arrow: Any, nulls: Any = None) -> Any:
    """An Arrow array over NumPy storage values; `nulls` is True where NULL, or None."""
    values = np.ascontiguousarray(values)
    bitmap, count = None, 0
    if nulls is not None:
        count = int(nulls.sum())
        if count:
            bitmap = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    if arrow.id == pa.lib.Type_BOOL:
        data = pa.py_buffer(np.packbits(values.astype(bool), bitorder="little"))
    else:
        data = pa.py_buffer(values.astype(_numpy_type(arrow), copy=False))
    return pa.Array.from_buffers(arrow, len(values), [bitmap, data], count)


def true_mask(value: Value, rows: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where a BOOLEAN value is TRUE; NULL is not."""
    if isinstance(value, pa.Scalar):
        return np.full(rows, bool(value.as_py()))
    mask = np.asarray(value.to_numpy(zero_copy_only=False))
    if mask.dtype != np.bool_:  # NULLs make an object array
        mask = np.asarray(value.fill_null(False).to_numpy(zero_copy_only=False))
    return mask


def mask_of(nulls: Any) -> Any:
    """An Arrow boolean array of a NumPy mask."""
    return build(nulls, pa.bool_())


def chars(array: Any) -> tuple[Any, Any]:
    """Offsets (int64, rows + 1, from 0) and the bytes of a string or binary array."""
    _, offsets, data = array.buffers()
    n = len(array)
    if offsets is None:
        return np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    at = np.frombuffer(offsets, dtype=np.int32, count=n + 1 + array.offset)[array.offset :]
    raw = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    at = at.astype(np.int64)
    return at - at[0], raw[at[0] : at[-1]]


def bytes_of(lengths: Any, data: Any, arrow: Any, nulls: Any = None) -> Any:
    """A string or binary array of the concatenated `data`, cut by `lengths`."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    bitmap, count = None, 0
    if nulls is not None:
        count = int(nulls.sum())
        if count:
            bitmap = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(arrow, len(lengths), buffers, count)


def each(
    function: Callable[..., Any],
    arrow: Any,
    *values: Value,
    strict: bool = True,
) -> Any:
    """`function` applied to the *distinct* combinations of the values.

    Args:
        function: from Python values (as `to_pylist` gives them) to one, or None.
        arrow: type of the result.
        values: arrays and constants; at least one array.
        strict: a NULL among the arguments gives NULL without a call.
    """
    if strict and any(isinstance(v, pa.Scalar) and not v.is_valid for v in values):
        return pa.nulls(row_count(values), arrow)
    columns, inverse = _distinct([v for v in values if not isinstance(v, pa.Scalar)])
    rows = len(columns[0])
    varying = iter(columns)
    full = [[v.as_py()] * rows if isinstance(v, pa.Scalar) else next(varying) for v in values]
    picked = [
        None if strict and any(a is None for a in args) else function(*args)
        for args in zip(*full, strict=True)
    ]
    result = pa.array(picked, type=arrow)
    return result if inverse is None else result.take(inverse)


def _distinct(arrays: list[Any]) -> tuple[list[list[Any]], Any]:
    """The distinct combinations as columns of Python values, and each row's number among them."""
    if len(arrays[0]) <= 8 or any(pa.types.is_nested(a.type) for a in arrays):
        return [a.to_pylist() for a in arrays], None
    inverse = None
    for a in arrays:
        # 0.0 and -0.0 differ, and NaN is one value, only as bit patterns.
        bits = a.view(f"int{a.type.bit_width}") if pa.types.is_floating(a.type) else a
        encoded = bits.dictionary_encode(null_encoding="encode")
        code = encoded.indices.to_numpy(zero_copy_only=False)
        if len(arrays) == 1:
            values = encoded.dictionary
            return [values.view(a.type).to_pylist() if bits is not a else values.to_pylist()], (
                encoded.indices
            )
        joined = code if inverse is None else inverse * len(encoded.dictionary) + code
        _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
        inverse = inverse.ravel().astype(np.int64)
    rows = pa.array(first)
    return [a.take(rows).to_pylist() for a in arrays], pa.array(inverse)
