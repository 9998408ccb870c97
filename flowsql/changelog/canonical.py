"""Canonical bytes of ARRAY, MAP and MULTISET values: equal values have equal bytes.

An element's bytes are its NULL bits and words (`keys.py`), eight bytes each; of a text only the
length is a word, its bytes follow. An array's bytes are its elements' bytes in order, a map's are
its (key, value) rows' bytes in the order of the keys' own bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog.hashing import ragged
from flowsql.types import (
    ArrayType,
    DataType,
    Field,
    IntType,
    MapType,
    MultisetType,
    RowType,
)

__all__ = ["canonical_bytes", "in_order", "many_forms"]

Ints = npt.NDArray[np.int64]
Encode = Callable[[Sequence[pa.Array], Sequence[DataType]], pa.Array]


def canonical_bytes(array: pa.Array, data_type: DataType, encode: Encode) -> pa.Array:
    """A binary array with one value a row; empty where `array` is NULL.

    Args:
        array: an ARRAY, MAP or MULTISET column.
        data_type: its Flink type.
        encode: (columns, their types) → binary, the bytes of an element (`keys.py`).
    """
    counts = _counts(array)
    match data_type:
        case ArrayType(element=element):
            items = _entries(array, array.values, counts)
            return _join(encode([items], [element]), counts)
        case MapType(key=key, value=value):
            pass
        case MultisetType(element=element):
            key, value = element, IntType()
        case _:
            raise TypeError(data_type)
    keys = _entries(array, array.keys, counts)
    values = _entries(array, array.items, counts)
    row = np.repeat(np.arange(len(counts)), counts)
    table = pa.table({"row": pa.array(row), "key": encode([keys], [key])})
    order = pc.sort_indices(table, [("row", "ascending"), ("key", "ascending")])
    return _join(encode([keys.take(order), values.take(order)], [key, value]), counts)


def many_forms(data_type: DataType) -> bool:
    """Whether equal values of the type can be told apart: the entries of a MAP have an order.

    A value of such a type cannot stand for another that equals it.
    """
    match data_type:
        case MapType() | MultisetType():
            return True
        case ArrayType(element=element):
            return many_forms(element)
        case RowType(fields=fields):
            return any(many_forms(f.type) for f in fields)
        case _:
            return False


def in_order(data_type: DataType) -> DataType:
    """The type with an ARRAY of entries for each MAP and MULTISET: only what is the same is equal.

    Arrow casts a column of the one type to the other.
    """
    if not many_forms(data_type):
        return data_type
    match data_type:
        case MapType(key=key, value=value):
            entry = (Field("key", in_order(key)), Field("value", in_order(value)))
        case MultisetType(element=element):
            entry = (Field("key", in_order(element)), Field("value", IntType()))
        case ArrayType(element=element):
            return ArrayType(in_order(element))
        case RowType(fields=fields):
            return RowType(tuple(Field(f.name, in_order(f.type)) for f in fields))
        case _:
            return data_type
    return ArrayType(RowType(entry))


def _offsets(array: pa.Array) -> Ints:
    buffer = array.buffers()[1]
    if not len(array):
        return np.zeros(1, np.int64)
    part = np.frombuffer(buffer, np.int32)[array.offset : array.offset + len(array) + 1]
    return part.astype(np.int64)


def _counts(array: pa.Array) -> Ints:
    counts = np.diff(_offsets(array))
    if array.null_count:
        counts[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return counts


def _entries(array: pa.Array, child: pa.Array, counts: Ints) -> pa.Array:
    """The children of all rows, in order; none for NULL rows, whatever their offsets say."""
    offsets = _offsets(array)
    total = int(counts.sum())
    if int(offsets[-1] - offsets[0]) == total:
        return child.slice(int(offsets[0]), total)
    row, number = ragged(counts)
    return child.take(pa.array(offsets.take(row) + number))


def _join(elements: pa.Array, counts: Ints) -> pa.Array:
    """Concatenate each row's elements: they stand in order, so only offsets change."""
    offsets = np.frombuffer(elements.buffers()[1], np.int32)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    joined = np.ascontiguousarray(offsets.take(ends))
    return pa.Array.from_buffers(
        pa.binary(), len(counts), [None, pa.py_buffer(joined), elements.buffers()[2]]
    )
