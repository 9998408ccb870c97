"""Hashes of words and bytes, and exact grouping on top of them.

The unseeded hash of words decides the key group that checkpoints carry: it is part of the file
format (`docs/checkpoint-format.md`) and never changes. For words w0 … wk and NULL bits b:

    h = seed
    for w in words:  h = (h ^ w) · M1;  h ^= h >> 32
    h = (h ^ b·M2) · M3;  h ^= h >> 29;  h *= M1;  h ^= h >> 32

modulo 2^64, with b = 0 where nothing is NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["group", "hash_bytes", "hash_words", "ragged", "sort_small"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_M1: Final = np.uint64(0x9E3779B97F4A7C15)
_M2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_M3: Final = np.uint64(0xD6E8FEB86659FD93)
_S32: Final = np.uint64(32)
_S29: Final = np.uint64(29)
# Windows of long values hashed at a time: bounds the memory of one call.
_BLOCK: Final = 1 << 18
_COLUMNS: Final = 16
_FEW: Final = 4096


def hash_words(words: Sequence[Words], nulls: Words | None, length: int, seed: int) -> Words:
    """uint64[length] of the words' rows."""
    start = np.uint64(seed)
    if not words:
        h = np.full(length, start)
    else:
        h = words[0] ^ start
        h *= _M1
        h ^= h >> _S32
        for w in words[1:]:
            h ^= w
            h *= _M1
            h ^= h >> _S32
    if nulls is not None:
        h ^= nulls * _M2
    h *= _M3
    h ^= h >> _S29
    h *= _M1
    h ^= h >> _S32
    return h


def hash_bytes(array: pa.Array, rows: Ints) -> Words:
    """uint64 of the bytes of the chosen rows of a string or binary array, each ≥ 8 bytes long.

    A value is cut into windows of 8 bytes, the last one ending at its end; each window is mixed
    with its number, and the sum is mixed with the length.
    """
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(buffers[2], np.uint8)
    # Every window starts somewhere: a view of each byte's next eight.
    windows = np.ndarray((max(0, len(data) - 7),), "<u8", data, strides=(1,))
    starts = offsets.take(rows).astype(np.int64)
    lengths = offsets.take(rows + 1) - starts
    counts = (lengths + 7) >> 3
    out = np.zeros(len(rows), np.uint64)
    last = starts + lengths - 8
    # The first windows of all values, then what long values have more.
    for number in range(min(_COLUMNS, int(counts.max(initial=0)))):
        active = (counts > number).nonzero()[0]
        whole = len(active) == len(rows)
        begin, end = (starts, last) if whole else (starts.take(active), last.take(active))
        tag = np.uint64((number + 1) * int(_M2) & 0xFFFFFFFFFFFFFFFF)
        mixed = _mix(windows[np.minimum(begin + 8 * number, end)], tag)
        if whole:
            out += mixed
        else:
            out[active] += mixed
    _add_rest(out, windows, starts, last, counts)
    out ^= lengths.astype(np.uint64) * _M1
    out *= _M3
    out ^= out >> _S32
    return out


def _mix(window: Words, tag: Words | np.uint64) -> Words:
    window ^= tag
    window *= _M1
    window ^= window >> _S32
    window *= _M3
    window ^= window >> _S29
    return window


def _add_rest(out: Words, windows: Words, starts: Ints, last: Ints, counts: Ints) -> None:
    """Add the windows from `_COLUMNS` on, a block at a time."""
    long = (counts > _COLUMNS).nonzero()[0]
    ends = np.cumsum(counts.take(long) - _COLUMNS)
    at = 0
    while at < len(long):
        # A single value may be longer than a block; then it is alone.
        base = ends[at - 1] if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, base + _BLOCK, side="right")))
        part = long[at:stop]
        row, number = ragged(counts.take(part) - _COLUMNS)
        number += _COLUMNS
        place = np.minimum(starts.take(part).take(row) + 8 * number, last.take(part).take(row))
        mixed = _mix(windows[place], (number + 1).view(np.uint64) * _M2)
        first = np.cumsum(counts.take(part) - _COLUMNS) - (counts.take(part) - _COLUMNS)
        out[part] += np.add.reduceat(mixed, first)
        at = stop


def ragged(counts: Ints) -> tuple[Ints, Ints]:
    """Expand counts: for each item, the row it belongs to and its number within the row.

    Args:
        counts: int64[n] ≥ 0.

    Returns:
        (row, number), both int64[sum of counts].
    """
    total = int(counts.sum())
    row = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return row, np.arange(total) - first.take(row)


def sort_small(numbers: Ints) -> tuple[Ints, Ints]:
    """Stable sort: (order, numbers in that order), for 0 ≤ numbers < 2^31 and rows < 2^32.

    Sorting one word that holds number and row is ten times as fast as NumPy's stable argsort.
    """
    packed = numbers << 32
    packed |= np.arange(len(numbers))
    packed.sort()
    order = packed & 0xFFFFFFFF
    packed >>= 32
    return order, packed


def _all_differ(hashes: Words) -> bool:
    ordered = np.sort(hashes)
    return not (ordered[1:] == ordered[:-1]).any()


def group(hashes: Words, equal: Callable[[Ints, Ints], Bools]) -> tuple[Ints, Ints]:
    """Number equal rows alike.

    Args:
        hashes: uint64[n], equal for equal rows.
        equal: (rows i, rows j) → bool; the exact comparison.

    Returns:
        (ids, first): int64[n] group numbers in order of first appearance, int64[g] first rows.
    """
    n = len(hashes)
    # Where no two hashes are equal no two rows are: sorting finds that sooner than a table. Of many
    # rows the first few tell whether it is worth a try.
    if _all_differ(hashes[:_FEW]) and (n <= _FEW or _all_differ(hashes)):
        return np.arange(n), np.arange(n)
    bits = max(4, (4 * n - 1).bit_length())
    table = np.full(1 << bits, -1, np.int32)
    mask = (1 << bits) - 1
    place = (hashes >> np.uint64(64 - bits)).view(np.int64)
    rows = np.arange(n)
    # First round: the table is empty, everyone proposes itself; written backwards, the first wins.
    table[place[::-1]] = rows[::-1]
    leader = table.take(place).astype(np.int64)
    rest = (leader != rows).nonzero()[0]
    rest = rest.take((~equal(rest, leader.take(rest))).nonzero()[0])
    if len(rest):
        # Others go on in strides of their own, which equal rows have in common.
        place = place.take(rest)
        stride = (hashes.take(rest) & np.uint64(mask)).view(np.int64) | 1
    while len(rest):
        place += stride
        place &= mask
        there = table.take(place)
        empty = (there < 0).nonzero()[0]
        if len(empty):
            back = empty[::-1]
            table[place.take(back)] = rest.take(back)
            there = table.take(place)
        found = there.astype(np.int64)
        leader[rest] = found
        keep = (~equal(rest, found)).nonzero()[0]
        rest, place, stride = rest.take(keep), place.take(keep), stride.take(keep)
    is_first = leader == rows
    first = is_first.nonzero()[0]
    if len(first) == n:
        return rows, first
    number = np.cumsum(is_first)
    number -= 1
    return number.take(leader), first
