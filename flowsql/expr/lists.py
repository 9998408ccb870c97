"""Columns of arrays and maps as one column of all their elements, with the row of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog.keys import Keys
from flowsql.expr.vector import mask_of, null_mask
from flowsql.types import ArrayType, DataType, MapType, NullType, RowType
from flowsql.types.common import common_type, is_approximate, is_character, is_nested

__all__ = [
    "Lists",
    "codes_of",
    "element_with",
    "entries",
    "firsts",
    "joined",
    "keys_of",
    "lists_of",
    "nan_mask",
    "offsets_of",
]

Ints = Any
Bools = Any


@dataclass(frozen=True, slots=True)
class Lists:
    """The elements of a column of arrays.

    Attributes:
        owner: int64[elements], the row of each, not falling.
        elements: the Arrow array of them.
        counts: int64[rows]; 0 where the array is NULL.
    """

    owner: Ints
    elements: Any
    counts: Ints

    def take(self, places: Ints) -> Lists:
        """Some of the elements, in rising order of their rows."""
        owner = self.owner[places]
        counts = np.bincount(owner, minlength=len(self.counts)).astype(np.int64)
        return Lists(owner, self.elements.take(pa.array(places)), counts)

    def where(self, mask: Bools) -> Lists:
        """The elements that the mask chooses."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def array(self, arrow: Any, nulls: Bools | None = None) -> Any:
        """The column of arrays again; `nulls` is True where it is NULL."""
        offsets = np.zeros(len(self.counts) + 1, dtype=np.int32)
        np.cumsum(self.counts, out=offsets[1:])
        mask = None if nulls is None or not nulls.any() else mask_of(nulls)
        return pa.ListArray.from_arrays(pa.array(offsets), self.elements, type=arrow, mask=mask)


def offsets_of(array: Any) -> Ints:
    """int64[rows + 1]: where each list begins in `array.values` (or `.keys`)."""
    if len(array) == 0:
        return np.zeros(1, dtype=np.int64)
    raw = np.frombuffer(array.buffers()[1], dtype=np.int32, count=len(array) + 1 + array.offset)
    return raw[array.offset :].astype(np.int64)


def entries(array: Any) -> tuple[Ints, Ints, Ints]:
    """(owner, place among the child's values, counts) of the entries of an array or map column."""
    offsets = offsets_of(array)
    counts = np.where(null_mask(array), 0, np.diff(offsets))
    owner = np.repeat(np.arange(len(array)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, offsets[:-1][owner] + number, counts


def lists_of(array: Any) -> Lists:
    """The elements of a column of arrays."""
    owner, places, counts = entries(array)
    return Lists(owner, array.values.take(pa.array(places)), counts)


def joined(parts: Sequence[Lists]) -> Lists:
    """Row by row the elements of the first, then of the second, …."""
    if len(parts) == 1:
        return parts[0]
    owner = np.concatenate([p.owner for p in parts])
    order = np.argsort(owner, kind="stable")
    elements = pa.concat_arrays([p.elements for p in parts]).take(pa.array(order))
    counts = np.sum([p.counts for p in parts], axis=0)
    return Lists(owner[order], elements, counts)


def element_with(element: DataType, other: DataType) -> DataType | None:
    """The type of both an array's elements and a value beside them, or None.

    The value has to go into the array without widening it; texts may differ in length.
    """
    merged = common_type((element, other))
    if merged is None or isinstance(merged, NullType):
        return None
    fits = merged.with_nullable(True) == element.with_nullable(True) or is_nested(element)
    return merged if fits or is_character(element) else None


def keys_of(array: Any, data_type: DataType) -> Keys:
    """Values as `=` compares them: keys, but -0.0 is 0.0."""
    return Keys.of([_plain_zeros(array, data_type)], [data_type])


def nan_mask(array: Any) -> Any | None:
    """Where a FLOAT or DOUBLE is NaN; None where nothing is."""
    if not pa.types.is_floating(array.type):
        return None
    nan = np.isnan(array.to_numpy(zero_copy_only=False)) & ~null_mask(array)
    return nan if nan.any() else None


def _has_zeros(data_type: DataType) -> bool:
    match data_type:
        case ArrayType(element=element):
            return _has_zeros(element)
        case MapType(key=key, value=value):
            return _has_zeros(key) or _has_zeros(value)
        case RowType(types=types):
            return any(map(_has_zeros, types))
        case _:
            return is_approximate(data_type)


def _plain_zeros(array: Any, data_type: DataType) -> Any:
    if not _has_zeros(data_type):
        return array
    nulls = null_mask(array)
    mask = mask_of(nulls) if nulls.any() else None
    match data_type:
        case ArrayType(element=element):
            values = _plain_zeros(array.values, element)
            return pa.ListArray.from_arrays(_starts(array), values, type=array.type, mask=mask)
        case MapType(key=key, value=value):
            keys, items = _plain_zeros(array.keys, key), _plain_zeros(array.items, value)
            return pa.MapArray.from_arrays(_starts(array), keys, items, type=array.type, mask=mask)
        case RowType(types=types):
            members = [_plain_zeros(m, t) for m, t in zip(array.flatten(), types, strict=True)]
            return pa.StructArray.from_arrays(members, fields=list(array.type), mask=mask)
        case _:
            return pc.add(array, pa.scalar(0.0, array.type))


def _starts(array: Any) -> Any:
    return pa.array(offsets_of(array).astype(np.int32))


def codes_of(element: DataType, parts: Sequence[Lists]) -> list[Ints]:
    """A number for each element of each part: equal for equal elements of equal rows."""
    together = pa.concat_arrays([p.elements for p in parts])
    ids, first = keys_of(together, element).group()
    nan = nan_mask(together)
    if nan is not None:  # equal to nothing, not even to itself
        ids = np.where(nan, len(first) + np.arange(len(ids)), ids)
    codes = np.concatenate([p.owner for p in parts]) * (len(first) + len(ids)) + ids
    ends = np.cumsum([len(p.owner) for p in parts])[:-1]
    return list(np.split(codes, ends))


def firsts(codes: Ints) -> Ints:
    """The places of each code's first element, rising."""
    _, places = np.unique(codes, return_index=True)
    return np.sort(places)
