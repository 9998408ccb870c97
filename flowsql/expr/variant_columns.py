"""Columns of VARIANT: members of objects and elements of arrays, whole columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.faults import Fault
from flowsql.expr.variant_binary import ARRAY, OBJECT
from flowsql.expr.vector import build, chars

__all__ = ["element_at", "member_at"]

Ints = Any

# Bytes behind the first of a scalar, by its code; −1 for those that say it themselves.
_CONTENT = np.array([0, 0, 0, 1, 2, 4, 8, 8, 5, 9, 17, 4, 8, 8, 4, -1, -1, 8, 8, 8, 16] + [0] * 43)


def element_at(array: Any, index: Ints, absent: Any) -> Any:
    """The element at an index from 1; NULL where there is none.

    Args:
        array: VARIANT column.
        index: int64[rows].
        absent: bool[rows], True where the array or the index is NULL.

    Raises:
        Fault: a value is no array.
    """
    if not (~absent).any():
        return pa.nulls(len(array), pa.binary())
    values = _Values(array, absent)
    head = values.heads(ARRAY, "an integer", "array")
    width = (head >> 2 & 3) + 1
    size = np.where(head & 16, 4, 1)
    count = values.number(values.at + 1, size)
    offsets = values.at + 1 + size
    wanted = index[values.rows] - 1
    inside = (wanted >= 0) & (wanted < count)
    wanted = np.where(inside, wanted, 0)
    base = offsets + (count + 1) * width
    return values.cut(base + values.number(offsets + wanted * width, width), inside)


def member_at(array: Any, names: Any, absent: Any) -> Any:
    """The value of a key; NULL where the object has no such key.

    Args:
        array: VARIANT column.
        names: STRING column.
        absent: bool[rows], True where the object or the name is NULL.

    Raises:
        Fault: a value is no object.
    """
    if not (~absent).any():
        return pa.nulls(len(array), pa.binary())
    values = _Values(array, absent)
    head = values.heads(OBJECT, "a string", "object")
    width, for_number = (head >> 2 & 3) + 1, (head >> 4 & 3) + 1
    size = np.where(head & 64, 4, 1)
    count = values.number(values.at + 1, size)
    numbers = values.at + 1 + size
    offsets = numbers + count * for_number

    # Every member of every row, then those whose key is as long as the wanted one.
    owner = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    number = np.arange(len(owner)) - first[owner]
    key = values.number(numbers[owner] + number * for_number[owner], for_number[owner])
    start, end = values.key(owner, key)
    ends, text = chars(names)
    name_start = ends[values.rows][owner]
    fits = np.flatnonzero(end - start == ends[values.rows + 1][owner] - name_start)
    fits = fits[_equal_bytes(
        values.data, start[fits], text, name_start[fits], (end - start)[fits]
    )]  # fmt: skip
    found = np.full(len(count), -1)
    found[owner[fits]] = number[fits]
    inside = found >= 0
    found = np.where(inside, found, 0)
    base = offsets + (count + 1) * width
    return values.cut(base + values.number(offsets + found * width, width), inside)


def _equal_bytes(a: Ints, a_start: Ints, b: Ints, b_start: Ints, lengths: Ints) -> Any:
    """bool[pairs]: the `lengths` bytes from both starts are the same."""
    same = np.ones(len(lengths), dtype=bool)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    unlike = a[a_start[owner] + within] != b[b_start[owner] + within]
    same[owner[unlike]] = False
    return same


class _Values:
    """The bytes of the rows that have a value.

    Attributes:
        rows: int64[values], the rows.
        data: all bytes, with some zeros behind, so that a number may be read as if it had four.
        at: int64[values], where the value begins, behind the metadata.
    """

    def __init__(self, array: Any, absent: Any) -> None:
        offsets, data = chars(array)
        self._count = len(array)
        self.rows = np.flatnonzero(~absent)
        self.data = np.concatenate([data, np.zeros(4, np.uint8)])
        self._start = offsets[self.rows]
        self._width = (self.data[self._start].astype(np.int64) >> 6) + 1
        keys = self.number(self._start + 1, self._width)
        self._keys = self._start + 1 + self._width
        self._texts = self._keys + (keys + 1) * self._width
        self.at = self._texts + self.number(self._keys + keys * self._width, self._width)

    def number(self, at: Ints, width: Ints) -> Ints:
        """The unsigned numbers of `width` bytes, 1 to 4, at some places."""
        found = self.data[at].astype(np.int64)
        most = int(width.max(initial=0))
        for i in range(1, most):
            found |= np.where(width > i, self.data[at + i].astype(np.int64) << 8 * i, 0)
        return found

    def heads(self, basic: int, index: str, wanted: str) -> Ints:
        """The first byte of each value; raises Fault if one is of another kind."""
        head = self.data[self.at].astype(np.int64)
        if (head & 3 != basic).any():
            raise Fault(
                f"{index} in brackets needs a VARIANT that is an {wanted}, and this one is none",
                hint="JSON_QUERY and JSON_VALUE give NULL for what is not there.",
            )
        return head

    def key(self, owner: Ints, number: Ints) -> tuple[Ints, Ints]:
        """Where the text of a key begins and ends."""
        width = self._width[owner]
        at = self._keys[owner] + number * width
        texts = self._texts[owner]
        return texts + self.number(at, width), texts + self.number(at + width, width)

    def cut(self, at: Ints, inside: Any) -> Any:
        """The VARIANTs at some places, one a row; NULL where `inside` is False, and for no value."""
        at = np.where(inside, at, self.at)
        end = at + self._sizes(at)
        # Four pieces a value lie one behind the other: metadata, what is left out, the part, rest.
        edges = np.empty(4 * len(at) + 1, dtype=np.int32)
        edges[0:-1:4], edges[1::4], edges[2::4], edges[3::4] = self._start, self.at, at, end
        edges[-1] = end[-1]
        pieces = pa.Array.from_buffers(
            pa.binary(), 4 * len(at), [None, pa.py_buffer(edges), pa.py_buffer(self.data)]
        )
        first = 4 * np.arange(len(at))
        parts = pc.binary_join_element_wise(
            pieces.take(pa.array(first)), pieces.take(pa.array(first + 2)), pa.scalar(b"")
        )
        place = np.full(self._count, -1)
        place[self.rows[inside]] = np.flatnonzero(inside)
        missing = place < 0
        if not missing.any():
            return parts
        return parts.take(build(np.where(missing, 0, place), pa.int64(), missing))

    def _sizes(self, at: Ints) -> Ints:
        """The bytes that the values at some places have."""
        head = self.data[at].astype(np.int64)
        basic, code = head & 3, head >> 2
        content = _CONTENT[code]
        said = (basic == 0) & (content < 0)
        size = 1 + np.where(basic == 1, code, content)
        if said.any():
            size[said] = 5 + self.number(at[said] + 1, np.full(int(said.sum()), 4))
        nested = np.flatnonzero(basic >= 2)
        if len(nested):
            at, head = at[nested], head[nested]
            is_object = basic[nested] == OBJECT
            width = (head >> 2 & 3) + 1
            for_number = np.where(is_object, (head >> 4 & 3) + 1, 0)
            counted = np.where(head & np.where(is_object, 64, 16), 4, 1)
            count = self.number(at + 1, counted)
            ends = 1 + counted + count * for_number + count * width
            size[nested] = ends + width + self.number(at + ends, width)
        return size
