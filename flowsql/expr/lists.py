"""Columns of arrays and maps as one column of all their elements, with the row of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog.keys import Keys
from flowsql.expr.vector import mask_of, null_mask
from flowsql.types import DataType

__all__ = ["Lists", "codes_of", "entries", "firsts", "joined", "lists_of", "offsets_of"]

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


def codes_of(element: DataType, parts: Sequence[Lists]) -> list[Ints]:
    """A number for each element of each part: equal for equal elements of equal rows."""
    together = pa.concat_arrays([p.elements for p in parts])
    ids, first = Keys.of([together], [element]).group()
    codes = np.concatenate([p.owner for p in parts]) * (len(first) + 1) + ids
    ends = np.cumsum([len(p.owner) for p in parts])[:-1]
    return list(np.split(codes, ends))


def firsts(codes: Ints) -> Ints:
    """The places of each code's first element, rising."""
    _, places = np.unique(codes, return_index=True)
    return np.sort(places)
