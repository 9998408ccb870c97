"""Sort columns as unsigned words whose order is the order of the rows.

| value | words, ascending |
| --- | --- |
| a nullable column | one in front: 0 or 1, so that NULLs stand where they should |
| BOOLEAN, integers, dates, times, DECIMAL(p ≤ 18) | one, sign bit turned |
| FLOAT, DOUBLE | one: −Infinity … −0.0, 0.0 … Infinity, NaN |
| DECIMAL(p > 18) | two, high one first |
| strings, bytes | two: bytes 0 … 7; bytes 8 … 11 and the length, or for longer values a number |

A longer string's number names it; where all else is equal the bytes are compared. Words of
descending columns are complemented (but not the one in front); a NULL's are those of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog.key_layout import KeyLayout, LeafKind
from flowsql.changelog.keys import fixed_words, typed_arrays
from flowsql.errors import InternalError
from flowsql.state.blobs import INLINE, is_long, pairs_of
from flowsql.state.spec import SortColumn
from flowsql.state.storage import Storage, make_storage, validity
from flowsql.types import FloatType, VarBinaryType, arrow_type

__all__ = ["LONG", "OrderKeys", "OrderLayout", "TextColumn"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_TOP: Final = np.uint64(1 << 63)
_LOW: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)
LONG: Final = np.uint64(1 << 31)
_NUMBER: Final = np.uint64((1 << 31) - 1)


@dataclass
class TextColumn:
    """A sort column of strings or bytes: its words, and the bytes of longer values by number."""

    word: int
    descending: bool
    values: Storage
    next: int = 0

    def __post_init__(self) -> None:
        self._free: list[Ints] = []

    def keep(self, array: pa.Array) -> Ints:
        """Numbers for longer values."""
        n = len(array)
        parts: list[Ints] = []
        while n and self._free:
            part = self._free.pop()
            parts.append(part[:n])
            if len(part) > n:
                self._free.append(part[n:])
            n -= len(parts[-1])
        parts.append(np.arange(self.next, self.next + n))
        self.next += n
        numbers = np.concatenate(parts)
        self.values.write(numbers, array, self.next)
        return numbers

    def forget(self, words: Words) -> None:
        """Entries with these second words are gone."""
        plain = ~words if self.descending else words
        long = plain[(plain & LONG) != 0]
        if len(long):
            numbers = (long & _NUMBER).view(np.int64)
            self.values.drop(numbers)
            self._free.append(numbers)

    def bytes(self, words: Words) -> pa.Array:
        """The bytes of longer values by second word."""
        plain = ~words if self.descending else words
        return self.values.take((plain & _NUMBER).view(np.int64))


class OrderKeys:
    """A batch of sort keys.

    Attributes:
        words: uint64[n] each.
        long: by text column the bytes of the batch's longer values, or None; a longer value's
            words hold its rank among them.
    """

    __slots__ = ("long", "words")

    def __init__(self, words: list[Words], long: list[pa.Array | None]) -> None:
        self.words = words
        self.long = long

    def take(self, indices: Ints) -> OrderKeys:
        """The keys at `indices`."""
        return OrderKeys([w.take(indices) for w in self.words], self.long)


class OrderLayout:
    """The words of a sort order."""

    def __init__(self, sort: Sequence[SortColumn]) -> None:
        self.sort = tuple(sort)
        self.texts: list[TextColumn] = []
        self._columns: list[tuple[SortColumn, LeafKind, KeyLayout, int]] = []
        words = 0
        for column in self.sort:
            layout = KeyLayout.of((column.type,))
            kind = layout.leaves[0].kind
            if kind in (LeafKind.NULL, LeafKind.NESTED, LeafKind.STRUCT):
                raise InternalError(f'values of type "{column.type}" have no order')
            self._columns.append((column, kind, layout, words))
            words += column.type.nullable
            if kind is LeafKind.TEXT:
                store = make_storage(VarBinaryType())
                self.texts.append(TextColumn(words, column.descending, store))
            words += layout.words
        self.words = words

    @property
    def first_width(self) -> int:
        """Number of words of the first sort column."""
        return self._columns[1][3] if len(self._columns) > 1 else self.words

    def encode(self, arrays: Sequence[pa.Array]) -> OrderKeys:
        """The words of rows; of fewer columns than the order has, the first ones."""
        words: list[Words] = []
        long: list[pa.Array | None] = []
        for array, (column, kind, _, _) in zip(arrays, self._columns, strict=False):
            nulls = None
            if array.null_count:
                nulls = array.is_null().to_numpy(zero_copy_only=False)
            if column.type.nullable:
                flag = np.full(len(array), np.uint64(column.nulls_first))
                if nulls is not None:
                    flag[nulls] = np.uint64(not column.nulls_first)
                words.append(flag)
            elif nulls is not None:
                raise InternalError("NULL in a sort column that has none")
            if kind is LeafKind.TEXT:
                values, rest = _text_words(array)
                long.append(rest)
            else:
                values = _fixed_words(array, kind, column)
            for value in values:
                plain = value if nulls is None else np.where(nulls, np.uint64(0), value)
                words.append(~plain if column.descending else plain)
        return OrderKeys(words, long)

    def decode(self, words: Sequence[Words], columns: int | None = None) -> list[pa.Array]:
        """The typed values of stored entries; of the first `columns` only, if given."""
        arrays: list[pa.Array] = []
        text = iter(self.texts)
        for column, kind, layout, at in self._columns[:columns]:
            nulls: Bools | None = None
            place = at
            if column.type.nullable:
                nulls = words[at] != np.uint64(column.nulls_first)
                place += 1
            mine = list(words[place : place + layout.words])
            if kind is LeafKind.TEXT:
                arrays.append(_text_values(mine, nulls, next(text), arrow_type(column.type)))
                continue
            if column.descending:
                mine = [~w for w in mine]
            plain = _plain_words(mine, kind, column)
            if nulls is not None and nulls.any():
                plain = [np.where(nulls, np.uint64(0), w) for w in plain]
            arrays += typed_arrays(layout, plain, [nulls], [], len(words[0]))
        return arrays


def _fixed_words(array: pa.Array, kind: LeafKind, column: SortColumn) -> list[Words]:
    words = fixed_words(array, kind)
    if kind is LeafKind.BOOL:
        return words
    if kind is LeafKind.DECIMAL_LONG:
        return [words[1] ^ _TOP, words[0]]
    if kind is LeafKind.FLOAT:
        bits = words[0]
        if isinstance(column.type, FloatType):
            bits = bits << _S32
        negative = (bits >> np.uint64(63)) != 0
        return [np.where(negative, ~bits, bits ^ _TOP)]
    return [words[0] ^ _TOP]


def _plain_words(words: list[Words], kind: LeafKind, column: SortColumn) -> list[Words]:
    """The reverse of `_fixed_words`."""
    if kind is LeafKind.BOOL:
        return words
    if kind is LeafKind.DECIMAL_LONG:
        return [words[1], words[0] ^ _TOP]
    if kind is LeafKind.FLOAT:
        turned = words[0]
        bits = np.where((turned >> np.uint64(63)) != 0, turned ^ _TOP, ~turned)
        return [bits >> _S32 if isinstance(column.type, FloatType) else bits]
    return [words[0] ^ _TOP]


def _text_words(array: pa.Array) -> tuple[list[Words], pa.Array | None]:
    pairs = pairs_of(array)
    heads, tails = pairs[:, 0], pairs[:, 1]
    # A view's first word is the length, then bytes 0 … 3; the second one bytes 4 … 11.
    first = ((heads >> _S32) | (tails << _S32)).byteswap()
    second = (tails >> _S32).byteswap() | (heads & _LOW)
    long = is_long(heads)
    if not len(long):
        return [first, second], None
    values = array.cast(pa.binary()).take(pa.array(long))
    first[long], bytes_8_to_11 = _prefixes(values)
    rank = pc.rank(values, sort_keys="ascending", tiebreaker="dense").to_numpy() - np.uint64(1)
    second[long] = bytes_8_to_11 | LONG | rank.astype(np.uint64)
    # One value for each rank.
    order = np.zeros(int(rank.max()) + 1, np.int64)
    order[rank.astype(np.int64)] = np.arange(len(long))
    return [first, second], values.take(pa.array(order))


def _prefixes(values: pa.Array) -> tuple[Words, Words]:
    """Bytes 0 … 7, and 8 … 11 in the high half, of values that have as many."""
    offsets = np.frombuffer(values.buffers()[1], np.int32)
    starts = offsets[values.offset : values.offset + len(values)].astype(np.int64)
    data = np.frombuffer(values.buffers()[2], np.uint8)
    windows = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    # The second window ends at byte 12, which every longer value has.
    return windows[starts].byteswap(), (windows[starts + 4].byteswap() << _S32)


def _text_values(
    words: list[Words], nulls: Bools | None, text: TextColumn, stored: pa.DataType
) -> pa.Array:
    first, second = (~w if text.descending else w for w in words)
    n = len(first)
    if nulls is not None:
        first, second = np.where(nulls, np.uint64(0), first), np.where(nulls, np.uint64(0), second)
    long = np.flatnonzero((second & LONG) != 0)
    bytes_0_to_7 = first.byteswap()
    pairs = np.empty((n, 2), np.uint64)
    pairs[:, 0] = (second & _LOW) | (bytes_0_to_7 << _S32)
    pairs[:, 1] = (bytes_0_to_7 >> _S32) | ((second >> _S32) << _S32).byteswap() << _S32
    pairs[long] = 0
    valid = validity(None if nulls is None else ~nulls)
    buffers = [valid, pa.py_buffer(pairs)]
    short = pa.Array.from_buffers(pa.binary_view(), n, buffers).cast(pa.binary())
    if len(long):
        where = np.arange(n)
        where[long] = n + np.arange(len(long))
        both = pa.concat_arrays([short, text.bytes(words[1].take(long))])
        short = both.take(pa.array(where))
    return short.cast(stored)


assert INLINE == 12  # the words of strings hold what a view holds
