"""Casts between nested types, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.errors import InternalError
from flowsql.expr.faults import Fault
from flowsql.expr.vector import Kernel, Value, mask_of, null_mask
from flowsql.types import ArrayType, DataType, MapType, MultisetType, RowType, arrow_type

__all__ = ["nested_cast"]

Inner = Callable[[DataType, DataType], Kernel | None]


def nested_cast(source: DataType, target: DataType, inner: Inner, *, safe: bool) -> Kernel | None:
    """ARRAY to ARRAY, MAP to MAP, MULTISET to MULTISET, ROW to ROW.

    With `safe`, a value one of whose parts cannot be cast is NULL as a whole.
    """
    match source, target:
        case ArrayType(), ArrayType():
            pairs = [(source.element, target.element)]
        case MultisetType(), MultisetType():
            pairs = [(source.element, target.element)]
        case MapType(), MapType():
            pairs = [(source.key, target.key), (source.value, target.value)]
        case RowType(), RowType():
            pairs = list(zip(source.types, target.types, strict=True))
        case _:
            raise InternalError(f"no cast from {source} to {target}")
    kernels = [inner(a, b) for a, b in pairs]
    arrow = arrow_type(target)
    if all(k is None for k in kernels) and not isinstance(target, RowType):
        return None

    def kernel(context: Any, value: Value) -> Value:
        nulls = null_mask(value)
        if isinstance(target, RowType):
            before = value.flatten()
        elif isinstance(target, ArrayType):
            before = [value.values]
        else:
            before = [value.keys, value.items][: max(1, len(kernels))]
        after = [
            k(context, a) if k is not None else a for k, a in zip(kernels, before, strict=True)
        ]
        if safe:
            nulls = nulls | _broken(value, before, after, target)
        if isinstance(target, RowType):
            types = [arrow.field(i).type for i in range(arrow.num_fields)]
            arrays = [a.cast(t) if a.type != t else a for a, t in zip(after, types, strict=True)]
            return pa.StructArray.from_arrays(
                arrays, fields=list(arrow), mask=mask_of(nulls) if nulls.any() else None
            )
        offsets = _offsets(value)
        mask = mask_of(nulls) if nulls.any() else None
        if isinstance(target, ArrayType):
            return pa.ListArray.from_arrays(offsets, after[0], type=arrow, mask=mask)
        items = after[1] if len(after) > 1 else value.items
        if after[0].null_count:
            offsets, keys, items = _without_null_keys(offsets, after[0], items, nulls)
            return pa.MapArray.from_arrays(offsets, keys, items, type=arrow, mask=mask)
        return pa.MapArray.from_arrays(offsets, after[0], items, type=arrow, mask=mask)

    return kernel


def _without_null_keys(offsets: Any, keys: Any, items: Any, nulls: Any) -> tuple[Any, Any, Any]:
    """The entries of maps that are not NULL themselves: a key that became NULL must be of one that is.

    Raises:
        Fault: it is not.
    """
    starts = offsets.to_numpy().astype(np.int64)
    lengths = np.diff(starts)
    gone = np.repeat(nulls, lengths)
    first = starts[0]
    if (null_mask(keys)[first : first + len(gone)] & ~gone).any():
        raise Fault("a key of a map became NULL", hint="NULL keys cannot be stored.")
    kept = pa.array(first + (~gone).nonzero()[0])
    lengths[nulls] = 0
    made = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.array(made), keys.take(kept), items.take(kept)


def _offsets(array: Any) -> Any:
    raw = np.frombuffer(array.buffers()[1], dtype=np.int32, count=len(array) + 1 + array.offset)
    return pa.array(raw[array.offset :])


def _broken(value: Any, before: list[Any], after: list[Any], target: DataType) -> Any:
    """Rows of `value` in which a part became NULL."""
    lost = None
    for a, b in zip(before, after, strict=True):
        parts = null_mask(b) & ~null_mask(a)
        lost = parts if lost is None else lost | parts
    assert lost is not None
    if isinstance(target, RowType):
        return lost
    offsets = _offsets(value).to_numpy()
    running = np.concatenate(([0], np.cumsum(lost)))
    return running[offsets[1:]] > running[offsets[:-1]]
