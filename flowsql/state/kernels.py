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
from flowsql.state.memory import Vector

__all__ = ["HashTable", "distinct", "expand", "last_of_each", "runs"]

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
# A table that is much larger than the caches is better small and full.
_MAX_LOAD: Final = 0.5
_MAX_LOAD_LARGE: Final = 0.6
_LARGE: Final = 1 << 24
# Cells of the old table moved in one call,
_SLICE: Final = 1 << 12
# beside so many for each row of the call: where the table grows, keeps its size, shrinks; a fuller
# one that grows needs half as much again.
_SPEEDS: Final = {1: 4, 0: 8, -1: 32}
# Up to so many rows look at a window of cells at a time.
_FEW: Final = 4096
_WINDOW: Final = 8
_STEPS: Final = np.arange(1, _WINDOW + 1)


class HashTable:
    """Hash → value (0 … 2^32 − 2), open addressing with linear probing.

    A cell holds the high half of the hash and value + 1; its home is the hash's high bits, so a
    table can be rebuilt from its cells alone. Growing makes a second table, and every later call
    moves a slice of the old one, in order of homes: a key's home tells in which of the two it is,
    and the new table's memory is touched from its beginning to its end, never all at once.

    The caller compares keys: `verify(rows, values)` says which of the `values` really are the keys
    of the query's `rows` (None: of all rows, in order). Values of cells that do not match may be
    given too, then the answer is ignored; they may be out of range.
    """

    __slots__ = (
        "_memory",
        "_moved",
        "_old",
        "_old_memory",
        "_old_shift",
        "_shift",
        "_speed",
        "_start",
        "cells",
        "live",
        "used",
    )

    def __init__(self) -> None:
        self._old: Words | None = None
        self._old_memory: Vector | None = None
        self._old_shift = np.uint64(0)
        self._start = 0  # the first home to be moved, behind an empty cell
        self._moved = 0  # homes that were moved, in circular order from there
        self._speed = _SPEEDS[1]
        self.live = 0
        self.used = 0  # cells of the new table that are not empty
        self._make(_MIN_BITS)

    def _make(self, bits: int) -> None:
        # Reserved, not allocated: the old table's memory goes back slice by slice, too.
        self._memory = Vector(np.uint64)
        self.cells: Words = self._memory.reserve(1 << bits)[: 1 << bits]
        self._shift = np.uint64(64 - bits)

    @property
    def nbytes(self) -> int:
        """Bytes of both tables."""
        return self.cells.nbytes + (0 if self._old is None else self._old.nbytes)

    def _split(self, hashes: Words) -> tuple[Ints, Ints]:
        """Rows whose keys belong to the new table, and to the old one."""
        assert self._old is not None
        home = (hashes >> self._old_shift).view(np.int64)
        moved = ((home - self._start) & (len(self._old) - 1)) < self._moved
        return moved.nonzero()[0], (~moved).nonzero()[0]

    def find(self, hashes: Words, verify: Verify) -> Ints:
        """int64[n]: the value of each key, −1 where there is none."""
        if self._old is None:
            return _find(self.cells, self._shift, hashes, None, verify)
        found = np.empty(len(hashes), np.int64)
        new, old = self._split(hashes)
        found[new] = _find(self.cells, self._shift, hashes.take(new), new, verify)
        found[old] = _find(self._old, self._old_shift, hashes.take(old), old, verify)
        return found

    def insert(self, hashes: Words, values: Ints) -> None:
        """Add keys that are not there, all different."""
        n = len(hashes)
        if n == 0:
            return
        self._prepare(n)
        entries = (hashes & _HIGH) | (values.astype(np.uint64) + _ONE)
        self.live += n
        if self._old is not None:
            new, old = self._split(hashes)
            _insert(self._old, self._old_shift, entries.take(old))
            entries = entries.take(new)
        self.used += _insert(self.cells, self._shift, entries)

    def delete(self, hashes: Words, values: Ints) -> None:
        """Remove entries that are there, all different."""
        if not len(hashes):
            return
        entries = (hashes & _HIGH) | (values.astype(np.uint64) + _ONE)
        self.live -= len(hashes)
        if self._old is not None:
            new, old = self._split(hashes)
            _delete(self._old, self._old_shift, entries.take(old))
            entries = entries.take(new)
        _delete(self.cells, self._shift, entries)

    def _prepare(self, n: int) -> None:
        """Room for `n` more; moves a slice of the old table."""
        if self._old is not None:
            self.migrate(self._speed * n + _SLICE)
        load = _MAX_LOAD if len(self.cells) < _LARGE else _MAX_LOAD_LARGE
        if self._old is not None or self.used + n <= load * len(self.cells):
            return
        # At most three quarters of the limit after growing; the same or half the size again where
        # most cells were deleted.
        old_bits = len(self.cells).bit_length() - 1
        wanted = int(np.ceil(np.log2((self.live + n) / (0.75 * load))))
        bits = max(_MIN_BITS, wanted, old_bits - 1)
        self._old, self._old_shift, self._old_memory = self.cells, self._shift, self._memory
        self._start = _first_empty(self._old) + 1
        self._moved = 0
        # The old table has to be empty before the new one is full: of one that keeps its size a
        # quarter is left for new keys meanwhile. And it becomes slow while it is filled on.
        self._speed = _SPEEDS[int(np.sign(bits - old_bits))]
        if bits > old_bits and load == _MAX_LOAD_LARGE:
            self._speed += self._speed // 2
        self._make(bits)
        self.used = 0
        part = self._speed * n + _SLICE
        # The next call begins where this one's part is small and large enough to wait for memory.
        if 16 * part <= len(self._old) and self._memory.prepare(0, part << max(0, bits - old_bits)):
            part = _SLICE
        self.migrate(part)

    def migrate(self, count: int) -> None:
        """Move about `count` cells of the old table, if there is one."""
        old = self._old
        if old is None:
            return
        size = len(old)
        while True:
            stop = min(self._moved + count, size)
            begin = (self._start + self._moved) & (size - 1)
            end = begin + stop - self._moved
            ranges = [(begin, min(end, size)), (0, max(0, end - size))]
            if stop == size:
                break
            # A slice ends at an empty cell: no entry stands behind it that has its home before.
            first, last = ranges.pop() if end > size else ranges[0]
            empty = (old[first:last] == _EMPTY).nonzero()[0]
            if len(empty):
                cut = first + int(empty[-1]) + 1
                stop -= last - cut
                ranges = [*ranges[:1], (first, cut)] if end > size else [(first, cut)]
                break
            count *= 2
        over = stop == size and old[(self._start - 1) & (size - 1)] != _EMPTY
        self._place(np.concatenate([self._take_out(*r) for r in ranges]))
        self._moved = stop
        if over:
            self._take_overrun(old)
        if stop == size:
            self._old = self._old_memory = None

    def _take_overrun(self, old: Words) -> None:
        """Entries that came meanwhile and ran over the end, into cells moved long ago."""
        at = self._start & (len(old) - 1)
        while True:
            part = old[at : at + 1024]
            empty = (part == _EMPTY).nonzero()[0]
            entries = part[: int(empty[0])] if len(empty) else part
            entries = entries[(entries & _LOW) != 0]
            self.used += _insert(self.cells, self._shift, entries)
            if len(empty):
                return
            at = (at + 1024) & (len(old) - 1)

    def _place(self, entries: Words) -> None:
        """Put the old table's next entries into the new table."""
        if self._shift > self._old_shift:
            self.used += _insert(self.cells, self._shift, entries)
            return
        # In circular order of homes linear probing is a running maximum: an entry stands at its
        # home or behind the one before it.
        mask = len(self.cells) - 1
        offset = np.uint64(self._start) << self._old_shift
        entries -= offset
        entries.sort()
        home = (entries >> self._shift).view(np.int64)
        entries += offset
        number = np.arange(len(entries))
        home -= number
        place = np.maximum.accumulate(home, out=home)
        place += number
        place += int(offset >> self._shift)
        place &= mask
        if len(place):
            self._memory.expect(int(place[-1]))
        free = self.cells.take(place) == _EMPTY
        if free.all():
            self.cells[place] = entries
            self.used += len(entries)
            return
        # The first of them meet entries that run over from before.
        at = free.nonzero()[0]
        self.cells[place.take(at)] = entries.take(at)
        rest = (~free).nonzero()[0]
        self.used += len(at) + _insert(self.cells, self._shift, entries.take(rest))

    def _take_out(self, first: int, last: int) -> Words:
        """The entries of a slice of the old table, which is empty afterwards."""
        assert self._old is not None
        assert self._old_memory is not None
        part = self._old[first:last]
        # Several times as fast as indexing with the mask.
        entries = part.take(((part & _LOW) != 0).nonzero()[0])
        self._old_memory.clear(first, last)
        return entries


def _first_empty(cells: Words) -> int:
    few = (cells[:1024] == _EMPTY).nonzero()[0]
    return int(few[0]) if len(few) else int((cells == _EMPTY).nonzero()[0][0])


def _find(cells: Words, shift: np.uint64, hashes: Words, rows: Ints | None, verify: Verify) -> Ints:
    """Probe one table; `rows` are the query's row numbers of these hashes, None for all."""
    tags = hashes & _HIGH
    place = (hashes >> shift).view(np.int64)
    cell = cells.take(place)
    value = cell ^ tags
    value -= _ONE
    same = value < _LOW
    found = value.view(np.int64)
    hits = same.nonzero()[0]
    if 2 * len(hits) > len(same):
        same &= verify(rows, found)
    elif len(hits):
        asked = hits if rows is None else rows.take(hits)
        same[hits] = verify(asked, found.take(hits))
    missed = ~same
    found[missed] = -1
    missed &= cell != _EMPTY
    rest = missed.nonzero()[0]
    if len(rest):
        _find_on(cells, rest, (place.take(rest), tags.take(rest)), found, (rows, verify))
    return found


def _find_on(
    cells: Words,
    rest: Ints,
    at: tuple[Ints, Words],
    found: Ints,
    query: tuple[Ints | None, Verify],
) -> None:
    """Go on behind the first cell, for the rows `rest`; fills in `found`."""
    mask = len(cells) - 1
    place, tags = at
    rows, verify = query
    while len(rest):
        # Many rows look at one cell each; the few with long ways at eight in one go.
        width = 1 if len(rest) > _FEW else _WINDOW
        if width == 1:
            place += 1
            place &= mask
            cell = cells.take(place)
            value = cell ^ tags
            value -= _ONE
            hit = value < _LOW
            going = cell != _EMPTY
        else:
            window = place[:, None] + _STEPS
            window &= mask
            cell = cells.take(window)
            value = cell ^ tags[:, None]
            value -= _ONE
            hit = value < _LOW
            stop = hit | (cell == _EMPTY)
            first = stop.argmax(axis=1)
            flat = first + _WINDOW * np.arange(len(rest))
            stopped = stop.reshape(-1).take(flat)
            hit = hit.reshape(-1).take(flat)
            value = value.reshape(-1).take(flat)
            # Past the window, or to the cell of a hit, from where a false one goes on.
            place += np.where(stopped, first + 1, _WINDOW)
            going = hit | ~stopped
        hits = hit.nonzero()[0]
        if len(hits):
            asked = rest.take(hits)
            here = value.take(hits).view(np.int64)
            good = verify(asked if rows is None else rows.take(asked), here).nonzero()[0]
            found[asked.take(good)] = here.take(good)
            going[hits.take(good)] = False
        keep = going.nonzero()[0]
        if len(keep) < len(rest):
            rest, place, tags = rest.take(keep), place.take(keep), tags.take(keep)


def _insert(cells: Words, shift: np.uint64, entries: Words) -> int:
    """Put entries into free cells; returns how many of those were never used before."""
    fresh = 0
    mask = len(cells) - 1
    place = (entries >> shift).view(np.int64)
    while len(entries):
        if len(entries) > _FEW:
            cell = cells.take(place)
            free = ((cell & _LOW) == 0).nonzero()[0]
            at = place.take(free)
            cell = cell.take(free)
            place += 1
        else:
            # The few that are left take the first free cell of a window.
            window = (place - 1)[:, None] + _STEPS
            window &= mask
            cell = cells.take(window)
            is_free = (cell & _LOW) == 0
            first = is_free.argmax(axis=1)
            flat = first + _WINDOW * np.arange(len(entries))
            has = is_free.reshape(-1).take(flat)
            free = has.nonzero()[0]
            flat = flat.take(free)
            at = window.reshape(-1).take(flat)
            cell = cell.reshape(-1).take(flat)
            place += np.where(has, first, _WINDOW)
        mine = entries.take(free)
        cells[at] = mine
        won = cells.take(at) == mine
        fresh += int(np.count_nonzero(won & (cell == _EMPTY)))
        going = np.ones(len(entries), np.bool_)
        going[free] = ~won
        rest = going.nonzero()[0]
        entries = entries.take(rest)
        place = place.take(rest)
        place &= mask
    return fresh


def _delete(cells: Words, shift: np.uint64, entries: Words) -> None:
    """Mark entries deleted; those that are not there are passed over."""
    mask = len(cells) - 1
    place = (entries >> shift).view(np.int64)
    while len(entries):
        window = (place - 1)[:, None] + (_STEPS[:1] if len(entries) > _FEW else _STEPS)
        window &= mask
        cell = cells.take(window)
        hit = cell == entries[:, None]
        cells[window[hit]] = _DELETED
        rest = (~(hit | (cell == _EMPTY)).any(axis=1)).nonzero()[0]
        entries = entries.take(rest)
        place = (place.take(rest) + window.shape[1]) & mask


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
    change = (ordered[1:] != ordered[:-1]).nonzero()[0]
    start = np.empty(len(change) + 1, np.int64)
    start[0] = 0
    start[1:] = change
    start[1:] += 1
    length = np.empty_like(start)
    length[:-1] = start[1:]
    length[-1] = len(ordered)
    length -= start
    return start, length


def distinct(numbers: Ints) -> Ints:
    """The different numbers, ascending (NumPy's `unique` hashes, which is slow for few)."""
    ordered = np.sort(numbers)
    keep = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=keep[1:])
    return ordered[keep]


def last_of_each(slots: Ints) -> Ints:
    """Index of the last occurrence of each distinct slot, ascending by slot."""
    order, ordered = sort_small(slots)
    start, length = runs(ordered)
    return order.take(start + length - 1)
