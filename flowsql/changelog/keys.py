"""The normal form of a key: what GROUP BY, joins, DISTINCT, netting and sinks compare.

A key is a row of values. Its normal form is a row of unsigned 64-bit words, so that two keys are
equal exactly when their words are, and where a value is too long for words, its bytes as well:

| value | words |
| --- | --- |
| BOOLEAN, integers, DATE, TIME, TIMESTAMP, intervals | one: the stored integer, sign-extended |
| FLOAT, DOUBLE | one: the bits; every NaN is one NaN, −0.0 and 0.0 stay two |
| DECIMAL(p ≤ 18), DECIMAL(p > 18) | one, two: the unscaled integer, low word first |
| CHAR, VARCHAR, BINARY, VARBINARY up to 12 bytes | two: Arrow's view (length, then the bytes) |
| longer ones | two: length and first four bytes, a hash of all bytes; the bytes are compared too |
| ROW | the words of its fields |
| ARRAY, MAP, MULTISET | their canonical bytes (`canonical.py`), as a VARBINARY |

NULL bits stand in one more word, one bit a column (a ROW and each of its fields have their own),
and a NULL's words are zero. NULL equals NULL here; a join that must not match NULL asks
`has_null`. Nothing here looks at a type's length or nullability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import canonical, hashing
from flowsql.changelog.key_layout import (
    NULL_COLUMNS,
    KeyLayout,
    Leaf,
    LeafKind,
    text_leaves,
    top_leaves,
)
from flowsql.errors import InternalError
from flowsql.types import DataType, RowType, arrow_type

__all__ = ["INLINE", "KEY_GROUPS", "Keys", "fixed_words", "typed_arrays", "validity"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

KEY_GROUPS: Final = 128
INLINE: Final = 12  # bytes that an Arrow view holds without a buffer
_LENGTH: Final = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class _Text:
    """The values of a TEXT leaf: as bytes, which of them, and whether any is over 12 bytes."""

    values: pa.Array
    rows: Ints | None  # None: row i is values[i]
    long: bool
    nested: pa.Array | None = None  # the typed values, where these are their canonical bytes

    def take(self, indices: Ints) -> _Text:
        rows = indices if self.rows is None else self.rows.take(indices)
        return _Text(self.values, rows, self.long, self.nested)

    def array(self, indices: Ints) -> pa.Array:
        rows = indices if self.rows is None else self.rows.take(indices)
        return self.values.take(pa.array(rows))


class Keys:
    """A batch of keys in normal form; immutable.

    Attributes:
        layout: types and places.
        words: uint64[n] each, as the layout says.
        nulls: uint64[n] of NULL bits of the first 64 leaves, or None where nothing is NULL.
        texts: for each TEXT leaf its values.
    """

    __slots__ = ("_groups", "_hashes", "_length", "layout", "nulls", "texts", "words")

    def __init__(
        self,
        layout: KeyLayout,
        length: int,
        words: tuple[Words, ...],
        nulls: Words | None,
        texts: tuple[_Text, ...],
    ) -> None:
        self.layout = layout
        self.words = words
        self.nulls = nulls
        self.texts = texts
        self._length = length
        self._hashes: dict[int, Words] = {}
        self._groups: tuple[Ints, Ints] | None = None

    @staticmethod
    def of(
        arrays: Sequence[pa.Array], types: Sequence[DataType], length: int | None = None
    ) -> Keys:
        """The normal form of the rows of `arrays`.

        Args:
            arrays: one a column, of equal length, stored as `flowsql.types.arrow_type` says.
            types: their Flink types.
            length: number of rows; needed only where there is no column.
        """
        layout = KeyLayout.of(types)
        if length is None:
            if not arrays:
                raise InternalError("keys without columns need a length")
            length = len(arrays[0])
        build = _Builder(layout, length)
        for array, data_type in zip(arrays, types, strict=True):
            stored = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
            build.add(stored, data_type)
        return build.finish()

    def __len__(self) -> int:
        return self._length

    def take(self, indices: Ints) -> Keys:
        """The keys at `indices`, in that order."""
        taken = Keys(
            self.layout,
            len(indices),
            tuple(w.take(indices) for w in self.words),
            None if self.nulls is None else self.nulls.take(indices),
            tuple(t.take(indices) for t in self.texts),
        )
        taken._hashes = {seed: h.take(indices) for seed, h in self._hashes.items()}
        return taken

    @property
    def has_null(self) -> Bools:
        """bool[n]: true where a top-level column is NULL."""
        if self.nulls is None and len(self.layout.leaves) <= NULL_COLUMNS:
            return np.zeros(len(self), dtype=np.bool_)
        found = np.zeros(len(self), dtype=np.bool_)
        for i in top_leaves(self.layout):
            found |= self.null_bit(i)
        return found

    def null_bit(self, leaf: int) -> Bools:
        """bool[n]: true where leaf number `leaf` is NULL."""
        if leaf >= NULL_COLUMNS:
            word = self.words[self.layout.null_words + leaf // NULL_COLUMNS - 1]
        elif self.nulls is None:
            return np.zeros(len(self), dtype=np.bool_)
        else:
            word = self.nulls
        return (word >> np.uint64(leaf % NULL_COLUMNS)) & np.uint64(1) != 0

    def hash(self, seed: int = 0) -> Words:
        """uint64[n]: equal keys have equal hashes. All bits are good; the high ones are best."""
        known = self._hashes.get(seed)
        if known is None:
            known = hashing.hash_words(self.words, self.nulls, len(self), seed)
            self._hashes[seed] = known
        return known

    def key_group(self) -> npt.NDArray[np.uint8]:
        """uint8[n], 0 … 127: the high seven bits of the unseeded hash; stable for ever."""
        return (self.hash(0) >> np.uint64(57)).astype(np.uint8)

    def equal(self, i: Ints, other: Keys, j: Ints) -> Bools:
        """bool[m]: key `i[k]` here equals key `j[k]` of `other`, whose types are the same."""
        same = np.ones(len(i), dtype=np.bool_)
        for mine, theirs in zip(self.words, other.words, strict=True):
            same &= mine.take(i) == theirs.take(j)
        if self.nulls is not None or other.nulls is not None:
            same &= _nulls_at(self.nulls, i) == _nulls_at(other.nulls, j)
        for leaf, a, b in zip(text_leaves(self.layout), self.texts, other.texts, strict=True):
            if not (a.long and b.long):
                continue
            long = same & (self.words[leaf.word].take(i) & _LENGTH > INLINE)
            rows = long.nonzero()[0]
            if len(rows):
                equal = pc.equal(a.array(i[rows]), b.array(j[rows]))
                same[rows] = equal.to_numpy(zero_copy_only=False)
        return same

    def long_text(self, text: int) -> tuple[Ints, pa.Array] | None:
        """Rows whose TEXT leaf number `text` is over 12 bytes, and those values as binary."""
        stored = self.texts[text]
        if not stored.long:
            return None
        leaf = text_leaves(self.layout)[text]
        rows = (self.words[leaf.word] & _LENGTH > INLINE).nonzero()[0]
        return (rows, stored.array(rows)) if len(rows) else None

    def equals_text(self, text: int, rows: Ints, values: pa.Array) -> Bools:
        """bool[m]: the bytes of TEXT leaf number `text` in `rows` are those of `values`."""
        same = pc.equal(self.texts[text].array(rows), values)
        return same.to_numpy(zero_copy_only=False)

    def nested_values(self, text: int) -> pa.Array:
        """The typed values of NESTED leaf number `text`."""
        stored = self.texts[text]
        assert stored.nested is not None
        if stored.rows is None:
            return stored.nested
        return stored.nested.take(pa.array(stored.rows))

    def text_values(self, text: int) -> pa.Array:
        """binary[n]: the bytes of TEXT leaf number `text`; arbitrary where it is NULL."""
        stored = self.texts[text]
        return stored.values if stored.rows is None else stored.values.take(pa.array(stored.rows))

    def group(self) -> tuple[Ints, Ints]:
        """Factorise: (ids, first).

        Returns:
            int64[n], the number of each row's key in order of first appearance; int64[g], the
            first row of each key. Exact: keys are compared, not only their hashes. Both are read
            only.
        """
        if self._groups is None:
            self._groups = self._group()
        return self._groups

    def _group(self) -> tuple[Ints, Ints]:
        n = len(self)
        if n == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if not self.words and self.nulls is None:
            return np.zeros(n, np.int64), np.zeros(1, np.int64)
        if self.nulls is None and len(self.words) == 1:
            # As a database's snapshot comes: in order of its key.
            (word,) = self.words
            if (word[1:] > word[:-1]).all():
                return np.arange(n), np.arange(n)
        return hashing.group(self.hash(0), self.equal_rows)

    def equal_rows(self, i: Ints, j: Ints) -> Bools:
        """bool[m]: rows `i` and `j` of this batch hold the same key."""
        return self.equal(i, self, j)


def _nulls_at(nulls: Words | None, rows: Ints) -> Words | np.uint64:
    return np.uint64(0) if nulls is None else nulls.take(rows)


class _Builder:
    """Collects words column by column."""

    def __init__(self, layout: KeyLayout, length: int) -> None:
        self.layout = layout
        self.length = length
        self.words: list[Words] = []
        self.null_bits: list[tuple[int, Bools]] = []
        self.texts: list[_Text] = []
        self.leaf = 0

    def add(self, array: pa.Array, data_type: DataType) -> None:
        leaf = self.layout.leaves[self.leaf]
        index, self.leaf = self.leaf, self.leaf + 1
        nulls: Bools | None = None
        if array.null_count:
            nulls = array.is_null().to_numpy(zero_copy_only=False)
            self.null_bits.append((index, nulls))
        match leaf.kind:
            case LeafKind.NULL:
                pass
            case LeafKind.STRUCT:
                assert isinstance(data_type, RowType)
                for child, field in zip(array.flatten(), data_type.fields, strict=True):
                    self.add(child, field.type)
            case LeafKind.TEXT:
                self._add_text(array, nulls)
            case LeafKind.NESTED:
                packed = canonical.canonical_bytes(array, data_type, _encode)
                self._add_text(packed, nulls, array)
            case _:
                self._add_fixed(array, leaf.kind, nulls)

    def _add_fixed(self, array: pa.Array, kind: LeafKind, nulls: Bools | None) -> None:
        for values in fixed_words(array, kind):
            if nulls is None:
                self.words.append(values)
            else:
                self.words.append(np.where(nulls, np.uint64(0), values))

    def _add_text(
        self, array: pa.Array, nulls: Bools | None, nested: pa.Array | None = None
    ) -> None:
        values = array.cast(pa.binary())
        views = values.cast(pa.binary_view())
        pairs = np.frombuffer(views.buffers()[1] or b"", np.uint64).reshape(-1, 2)
        pairs = pairs[views.offset : views.offset + self.length]
        head = np.ascontiguousarray(pairs[:, 0])
        tail = np.ascontiguousarray(pairs[:, 1])
        if nulls is not None:
            head[nulls] = 0
            tail[nulls] = 0
        long = (head & _LENGTH > INLINE).nonzero()[0]
        if len(long):
            tail[long] = hashing.hash_bytes(values, long)
        self.texts.append(_Text(values, None, len(long) > 0, nested))
        self.words += [head, tail]

    def finish(self) -> Keys:
        layout = self.layout
        first: Words | None = None
        more = [np.zeros(self.length, np.uint64) for _ in range(layout.words - layout.null_words)]
        for leaf, bits in self.null_bits:
            shifted = bits.astype(np.uint64) << np.uint64(leaf % NULL_COLUMNS)
            if leaf >= NULL_COLUMNS:
                more[leaf // NULL_COLUMNS - 1] |= shifted
            else:
                first = shifted if first is None else first | shifted
        return Keys(layout, self.length, (*self.words, *more), first, tuple(self.texts))


def fixed_words(array: pa.Array, kind: LeafKind) -> list[Words]:
    """The words of a fixed-width column; those of NULL cells are arbitrary."""
    n = len(array)
    if kind is LeafKind.BOOL:
        bools = array.cast(pa.uint8())
        return [_buffer(bools, np.uint8, n).astype(np.uint64)]
    if kind is LeafKind.DECIMAL_SHORT:
        return [np.ascontiguousarray(_buffer(array, np.uint64, n, 2)[::2])]
    if kind is LeafKind.DECIMAL_LONG:
        both = _buffer(array, np.uint64, n, 2)
        return [np.ascontiguousarray(both[::2]), np.ascontiguousarray(both[1::2])]
    if kind is LeafKind.FLOAT:
        single = array.type == pa.float32()
        floats = _buffer(array, np.float32 if single else np.float64, n)
        odd = np.isnan(floats)
        if odd.any():
            floats = np.where(odd, floats.dtype.type(np.nan), floats)
        return [floats.view(np.uint32 if single else np.uint64).astype(np.uint64, copy=False)]
    width = array.type.bit_width
    values = _buffer(array, np.dtype(f"i{width // 8}"), n)
    return [values.astype(np.int64, copy=False).view(np.uint64)]


def _buffer(array: pa.Array, dtype: npt.DTypeLike, length: int, items: int = 1) -> npt.NDArray[Any]:
    """The values of a fixed-width array, without a copy."""
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(length * items, dtype)
    kind = np.dtype(dtype)
    # The buffer of no values may be shorter than one: its end is not looked at.
    return np.frombuffer(buffer, kind, length * items, array.offset * items * kind.itemsize)


def typed_arrays(
    layout: KeyLayout,
    words: Sequence[Words],
    null_bits: Sequence[Bools | None],
    texts: Sequence[pa.Array],
    length: int,
) -> list[pa.Array]:
    """Back from words to typed columns.

    Args:
        layout: the key's layout.
        words: uint64[n] each.
        null_bits: for each leaf bool[n], or None where none is NULL.
        texts: for each TEXT or NESTED leaf its typed values.
        length: number of rows.
    """
    reader = iter(range(len(layout.leaves)))

    def column(data_type: DataType) -> pa.Array:
        index = next(reader)
        leaf = layout.leaves[index]
        nulls = null_bits[index]
        stored = arrow_type(data_type)
        if leaf.kind is LeafKind.NULL:
            return pa.nulls(length, stored)
        if leaf.kind is LeafKind.STRUCT:
            assert isinstance(data_type, RowType)
            children = [column(f.type) for f in data_type.fields]
            mask = None if nulls is None else pa.array(nulls)
            if not children:
                return pa.nulls(length, stored)
            return pa.StructArray.from_arrays(children, fields=list(stored), mask=mask)
        if leaf.text >= 0:
            return texts[leaf.text]
        return _fixed_array(leaf, words, nulls, stored, length)

    return [column(t) for t in layout.types]


def _fixed_array(
    leaf: Leaf, words: Sequence[Words], nulls: Bools | None, stored: pa.DataType, length: int
) -> pa.Array:
    valid = validity(nulls)
    word = words[leaf.word]
    if leaf.kind is LeafKind.BOOL:
        return pa.array(word != 0, mask=nulls)
    if leaf.kind in (LeafKind.DECIMAL_SHORT, LeafKind.DECIMAL_LONG):
        both = np.empty((length, 2), np.uint64)
        both[:, 0] = word
        if leaf.kind is LeafKind.DECIMAL_LONG:
            both[:, 1] = words[leaf.word + 1]
        else:
            both[:, 1] = (word.view(np.int64) >> 63).view(np.uint64)
        return pa.Array.from_buffers(stored, length, [valid, pa.py_buffer(both)])
    dtype = f"u{stored.bit_width // 8}"
    return pa.Array.from_buffers(
        stored, length, [valid, pa.py_buffer(np.ascontiguousarray(word.astype(dtype)))]
    )


def validity(nulls: Bools | None) -> pa.Buffer | None:
    """Arrow's validity bitmap for bool[n] of NULLs."""
    if nulls is None or not nulls.any():
        return None
    return pa.py_buffer(np.packbits(~nulls, bitorder="little"))


def _encode(arrays: Sequence[pa.Array], types: Sequence[DataType]) -> pa.Array:
    """Each row's bytes as a binary array without offset: NULL bits, words, then texts."""
    keys = Keys.of(arrays, types)
    n = len(keys)
    leaves = text_leaves(keys.layout)
    tails = {leaf.word + 1 for leaf in leaves}
    nulls = np.zeros(n, np.uint64) if keys.nulls is None else keys.nulls
    fixed = [nulls]
    for i, word in enumerate(keys.words):
        if i in tails:
            continue
        is_head = i + 1 in tails
        fixed.append(word & _LENGTH if is_head else word)
    heads = np.stack(fixed, axis=1).view(np.uint8)
    width = heads.shape[1]
    texts = [keys.text_values(leaf.text) for leaf in leaves]
    lengths = [(keys.words[leaf.word] & _LENGTH).view(np.int64) for leaf in leaves]
    sizes = np.full(n, width, np.int64) + sum(lengths, np.zeros(n, np.int64))
    offsets = np.zeros(n + 1, np.int32)
    offsets[1:] = np.cumsum(sizes)
    if not texts:
        data = np.ascontiguousarray(heads)
    else:
        data = np.empty(int(offsets[-1]), np.uint8)
        place = offsets[:-1].astype(np.int64)
        data[(place[:, None] + np.arange(width)).reshape(-1)] = heads.reshape(-1)
        place += width
        for text, length in zip(texts, lengths, strict=True):
            row, number = hashing.ragged(length)
            start = np.frombuffer(text.buffers()[1], np.int32)[text.offset :][: n + 1]
            source = np.frombuffer(text.buffers()[2] or b"", np.uint8)
            data[place.take(row) + number] = source[start.astype(np.int64).take(row) + number]
            place += length
    return pa.Array.from_buffers(pa.binary(), n, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
