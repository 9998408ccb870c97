"""NumPy kernels: a hash table that grows in slices, and runs of rows.

The only module that a native version may replace; everything here works on arrays and knows
neither types nor keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog.hashing import sort_small

__all__ = ["HashTable", "expand", "last_of_each", "runs"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Verify = Callable[[Ints | None, Ints], Bools]

_HIGH: Final = np.uint64(0xFFFFFFFF00000000)
_LOW: Final = np.uint64(0xFFFFFFFF)
_ONE: Final = np.uint64(1)
_EMPTY: Final = np.uint64(0)
_DELETED: Final = np.uint64(1 << 32)
_MIN_BITS: Final = 6
_MAX_LOAD: Final = 0.6
# Cells of the old table moved in one call, beside four for each row of the call.
_SLICE: Final = 1 << 13


class HashTable:
    """Hash → value (0 … 2^32 − 2), open addressing with linear probing.

    A cell holds the high half of the hash and value + 1; its home is the hash's high bits, so a
    table can be rebuilt from its cells alone. Growing makes a second table that takes all new
    entries, and every later call moves a slice of the old one: no call pays for the whole.

    The caller compares keys: `verify(rows, values)` says which of the `values` really are the keys
    of the query's `rows` (None: of all rows, in order). Values of cells that do not match may be
    given too, then the answer is ignored; they may be out of range.
    """

    __slots__ = (
        "_cursor",
        "_old",
        "_old_shift",
        "_shift",
        "cells",
        "live",
        "used",
    )

    def __init__(self) -> None:
        self._old: Words | None = None
        self._old_shift = np.uint64(0)
        self._cursor = 0
        self.live = 0
        self.used = 0  # cells of the new table that are not empty
        self._make(_MIN_BITS)

    def _make(self, bits: int) -> None:
        self.cells: Words = np.zeros(1 << bits, np.uint64)
        self._shift = np.uint64(64 - bits)

    @property
    def nbytes(self) -> int:
        """Bytes of both tables."""
        return self.cells.nbytes + (0 if self._old is None else self._old.nbytes)

    def find(self, hashes: Words, verify: Verify) -> Ints:
        """int64[n]: the value of each key, −1 where there is none."""
        found = _find(self.cells, self._shift, hashes, None, verify)
        if self._old is not None:
            rest = np.flatnonzero(found < 0)
            if len(rest):
                found[rest] = _find(self._old, self._old_shift, hashes.take(rest), rest, verify)
        return found

    def insert(self, hashes: Words, values: Ints) -> None:
        """Add keys that are not there, all different."""
        n = len(hashes)
        if n == 0:
            return
        self._prepare(n)
        entries = (hashes & _HIGH) | (values.astype(np.uint64) + _ONE)
        self.used += _insert(self.cells, self._shift, entries)
        self.live += n

    def delete(self, hashes: Words, values: Ints) -> None:
        """Remove entries that are there, all different."""
        if not len(hashes):
            return
        entries = (hashes & _HIGH) | (values.astype(np.uint64) + _ONE)
        rest = _delete(self.cells, self._shift, entries)
        if self._old is not None and len(rest):
            _delete(self._old, self._old_shift, rest)
        self.live -= len(hashes)

    def _prepare(self, n: int) -> None:
        """Room for `n` more; moves a slice of the old table."""
        if self._old is not None:
            self.migrate(4 * n + _SLICE)
        if self.used + n <= _MAX_LOAD * len(self.cells):
            return
        if self._old is not None:
            self.migrate(len(self._old))
            if self.used + n <= _MAX_LOAD * len(self.cells):
                return
        # Half the limit's load after growing; the same size again if most cells were deleted.
        bits = max(_MIN_BITS, int(np.ceil(np.log2((self.live + n) / _MAX_LOAD))))
        if self.live + n > 0.75 * _MAX_LOAD * (1 << bits):
            bits += 1
        self._old, self._old_shift = self.cells, self._shift
        self._cursor = 0
        self._make(bits)
        self.used = 0
        self.migrate(4 * n + _SLICE)

    def migrate(self, count: int) -> None:
        """Move `count` cells of the old table, if there is one."""
        if self._old is None:
            return
        part = self._old[self._cursor : self._cursor + count]
        moving = np.flatnonzero((part & _LOW) != 0)
        if len(moving):
            entries = part.take(moving)
            part[moving] = _DELETED
            self.used += _insert(self.cells, self._shift, entries)
        self._cursor += count
        if self._cursor >= len(self._old):
            self._old = None


def _find(cells: Words, shift: np.uint64, hashes: Words, rows: Ints | None, verify: Verify) -> Ints:
    """Probe one table; `rows` are the query's row numbers of these hashes, None for all."""
    mask = len(cells) - 1
    tags = hashes & _HIGH
    place = (hashes >> shift).view(np.int64)
    cell = cells.take(place)
    value = cell ^ tags
    value -= _ONE
    same = value < _LOW
    found = value.view(np.int64)
    same &= verify(rows, found)
    missed = ~same
    found[missed] = -1
    missed &= cell != _EMPTY
    rest = np.flatnonzero(missed)
    if not len(rest):
        return found
    place = place.take(rest)
    tags = tags.take(rest)
    while len(rest):
        place += 1
        place &= mask
        cell = cells.take(place)
        value = cell ^ tags
        value -= _ONE
        hit = np.flatnonzero(value < _LOW)
        going = cell != _EMPTY
        if len(hit):
            at = rest.take(hit)
            here = value.take(hit).view(np.int64)
            good = verify(at if rows is None else rows.take(at), here)
            good_at = np.flatnonzero(good)
            found[at.take(good_at)] = here.take(good_at)
            going[hit.take(good_at)] = False
        keep = np.flatnonzero(going)
        if len(keep) < len(rest):
            rest, place, tags = rest.take(keep), place.take(keep), tags.take(keep)
    return found


def _insert(cells: Words, shift: np.uint64, entries: Words) -> int:
    """Put entries into free cells; returns how many of those were never used before."""
    mask = len(cells) - 1
    place = (entries >> shift).view(np.int64)
    fresh = 0
    while True:
        cell = cells.take(place)
        free = np.flatnonzero((cell & _LOW) == 0)
        at = place.take(free)
        mine = entries.take(free)
        cells[at] = mine
        won = cells.take(at) == mine
        fresh += int(np.count_nonzero(won & (cell.take(free) == _EMPTY)))
        going = np.ones(len(entries), np.bool_)
        going[free] = ~won
        rest = np.flatnonzero(going)
        if not len(rest):
            return fresh
        entries = entries.take(rest)
        place = (place.take(rest) + 1) & mask


def _delete(cells: Words, shift: np.uint64, entries: Words) -> Words:
    """Mark entries deleted; returns those that are not in this table."""
    mask = len(cells) - 1
    place = (entries >> shift).view(np.int64)
    absent = []
    while len(entries):
        cell = cells.take(place)
        hit = cell == entries
        cells[place[hit]] = _DELETED
        end = cell == _EMPTY
        if end.any():
            absent.append(entries[end])
        rest = np.flatnonzero(~(hit | end))
        entries = entries.take(rest)
        place = (place.take(rest) + 1) & mask
    return np.concatenate(absent) if absent else np.zeros(0, np.uint64)


def expand(starts: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Expand ranges: (item, element) for `counts[i]` elements from `starts[i]` of each item i."""
    total = int(counts.sum())
    item = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts)
    first -= counts
    element = np.arange(total)
    element += (starts - first).take(item)
    return item, element


def runs(ordered: Ints) -> tuple[Ints, Ints]:
    """(start, length) of each run of equal values in a sorted array."""
    if not len(ordered):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    change = np.flatnonzero(ordered[1:] != ordered[:-1])
    start = np.empty(len(change) + 1, np.int64)
    start[0] = 0
    start[1:] = change
    start[1:] += 1
    length = np.empty_like(start)
    length[:-1] = start[1:]
    length[-1] = len(ordered)
    length -= start
    return start, length


def last_of_each(slots: Ints) -> Ints:
    """Index of the last occurrence of each distinct slot, ascending by slot."""
    order, ordered = sort_small(slots)
    start, length = runs(ordered)
    return order.take(start + length - 1)
