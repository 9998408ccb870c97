"""Entries in order, in leaves of at most 32: the tree behind `Ordered`.

An entry is a row of key words (its first word is the slot) and a weight. Leaves stand in a
directory sorted by their first entries; within a leaf entries are sorted. A batch of changes is
sorted, located by binary searches of the whole batch at once, and the leaves it meets are written
anew. So a step costs what its entries and their leaves cost, besides a copy of the directory (one
line for some 24 entries) where leaves were split or joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowsql.state.kernels import expand
from flowsql.state.memory import Vector

__all__ = ["CAPACITY", "Leaves", "Query"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

CAPACITY: Final = 32
_FILL: Final = 24
_SPARSE: Final = 8


Tied = Callable[[int, Words, Words], Bools]
Tie = Callable[[int, Words, Ints], npt.NDArray[np.int8]]


class Query:
    """Keys to look for.

    Attributes:
        words: uint64[n] each, as many as an entry has.
        text_words: numbers of the words (second ones of strings) that may leave two strings tied.
        tied: (word number, stored words, own words) → bool[m]: these words cannot tell.
        tie: (word number, stored words, rows) → int8[m], the order of entries against rows of the
            query where they cannot.
    """

    __slots__ = ("text_words", "tie", "tied", "words")

    def __init__(
        self,
        words: Sequence[Words],
        text_words: frozenset[int] = frozenset(),
        tied: Tied | None = None,
        tie: Tie | None = None,
    ) -> None:
        self.words = list(words)
        self.text_words = text_words
        self.tied = tied
        self.tie = tie

    def __len__(self) -> int:
        return len(self.words[0])


class Leaves:
    """Sorted entries.

    Args:
        width: number of key words.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._words = [Vector(np.uint64) for _ in range(width)]
        self._weights = Vector(np.int64)
        self._leaf = np.zeros(0, np.int64)
        self._count = np.zeros(0, np.int64)
        self._first: list[Words] = [np.zeros(0, np.uint64) for _ in range(width)]
        self._before: Ints | None = None  # entries before each leaf
        self._free: list[Ints] = []
        self._next = 0
        self.entries = 0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        directory = self._leaf.nbytes * (2 + self.width)
        return sum(v.nbytes for v in self._words) + self._weights.nbytes + directory

    # -- search --------------------------------------------------------------------------------

    def locate(self, query: Query, *, after: bool = False) -> tuple[Ints, Ints]:
        """(directory line, place in its leaf) of the first entry not before, or `after`, each key.

        The place is the leaf's count where all entries of the leaf stand before the key.
        """
        n = len(query)
        if not len(self._leaf):
            return np.zeros(n, np.int64), np.zeros(n, np.int64)
        slots = query.words[0]
        low = np.searchsorted(self._first[0], slots, side="left")
        high = np.searchsorted(self._first[0], slots, side="right")
        line = self._search(query, low, high, self._first, after=True)
        line -= 1
        np.maximum(line, 0, out=line)
        start = self._leaf.take(line) * CAPACITY
        words = [v.data for v in self._words]
        place = self._search(query, start, start + self._count.take(line), words, after=after)
        return line, place - start

    def _search(
        self, query: Query, low: Ints, high: Ints, words: list[Words], *, after: bool
    ) -> Ints:
        """First position in [low, high) whose entry is not before (`after`: is after) the key."""
        low = low.astype(np.int64)
        rows = (low < high).nonzero()[0]
        if not len(rows):
            return low
        bottom, top = low.take(rows), high.take(rows)
        limit = 1 if after else 0
        for _ in range(int((top - bottom).max()).bit_length()):
            middle = (bottom + top) >> 1
            ahead = self._compare(query, rows, middle, words) < limit
            active = bottom < top
            bottom = np.where(ahead & active, middle + 1, bottom)
            top = np.where(ahead | ~active, top, middle)
        low[rows] = bottom
        return low

    def _compare(
        self, query: Query, rows: Ints, positions: Ints, words: list[Words]
    ) -> npt.NDArray[np.int8]:
        """int8[m]: the order of the entries at `positions` against rows of the query."""
        result: npt.NDArray[np.int8] | None = None
        for number, (stored, asked) in enumerate(zip(words, query.words, strict=True)):
            mine = stored.take(positions, mode="clip")
            theirs = asked.take(rows)
            order = (mine > theirs).view(np.int8) - (mine < theirs).view(np.int8)
            if number in query.text_words and query.tied is not None and query.tie is not None:
                undecided = query.tied(number, mine, theirs)
                if result is not None:
                    undecided &= result == 0
                at = undecided.nonzero()[0]
                if len(at):
                    order[at] = query.tie(number, mine.take(at), rows.take(at))
            result = order if result is None else np.where(result == 0, order, result)
        assert result is not None
        return result

    def before(self) -> Ints:
        """int64[lines + 1]: how many entries stand before each directory line."""
        if self._before is None:
            self._before = np.zeros(len(self._leaf) + 1, np.int64)
            np.cumsum(self._count, out=self._before[1:])
        return self._before

    def ordinals(self, query: Query, *, after: bool = False) -> Ints:
        """int64[n]: how many entries stand before the place that `locate` finds."""
        line, place = self.locate(query, after=after)
        if not len(self._leaf):
            return place
        return self.before().take(line) + place

    def positions(self, ordinals: Ints) -> Ints:
        """int64[m]: where the entries with these ordinals stand; −1 outside."""
        if not self.entries:
            return np.full(len(ordinals), -1, np.int64)
        before = self.before()
        line = np.searchsorted(before, ordinals, side="right") - 1
        np.clip(line, 0, len(self._leaf) - 1, out=line)
        found = self._leaf.take(line) * CAPACITY + (ordinals - before.take(line))
        found[(ordinals < 0) | (ordinals >= self.entries)] = -1
        return found

    def next_positions(self, query: Query, *, after: bool = False) -> Ints:
        """int64[n]: where the entry at `locate` stands, −1 for none."""
        if not self.entries:
            return np.full(len(query), -1, np.int64)
        line, place = self.locate(query, after=after)
        over = place >= self._count.take(line)
        line += over
        place[over] = 0
        found = self._leaf.take(line, mode="clip") * CAPACITY + place
        found[line >= len(self._leaf)] = -1
        return found

    def last_positions(self, query: Query, *, after: bool = False) -> Ints:
        """int64[n]: where the entry before that stands, −1 for none."""
        if not self.entries:
            return np.full(len(query), -1, np.int64)
        line, place = self.locate(query, after=after)
        place -= 1
        under = place < 0
        line -= under
        found = self._leaf.take(line, mode="clip") * CAPACITY
        found += np.where(under, self._count.take(line, mode="clip") - 1, place)
        found[line < 0] = -1
        return found

    def read(self, positions: Ints) -> list[Words]:
        """The key words at positions."""
        return [v.data.take(positions, mode="clip") for v in self._words]

    def slots(self, positions: Ints) -> Ints:
        """int64[m]: the slots at positions; −2 at position −1, which no probe asks for."""
        found = self._words[0].data.take(positions, mode="clip").view(np.int64)
        return np.where(positions < 0, -2, found)

    def weights(self, positions: Ints) -> Ints:
        """int64[m]."""
        return self._weights.data.take(positions, mode="clip")

    # -- change --------------------------------------------------------------------------------

    def apply(
        self, query: Query, delta: Ints, fresh: Callable[[Ints], list[Words]]
    ) -> tuple[int, list[Words]]:
        """Change weights; entries come with a positive weight and go when it is used up.

        Args:
            query: the keys, ascending, all different.
            delta: what is added to each weight.
            fresh: rows of the query → their words as they will be stored.

        Returns:
            (orphans, gone): how much weight was to be taken that was not there; words of the
            entries that are gone.
        """
        line, place = self.locate(query)
        known = np.zeros(len(query), np.bool_)
        if len(self._leaf):
            position = self._leaf.take(line) * CAPACITY + place
            inside = (place < self._count.take(line)).nonzero()[0]
            words = [v.data for v in self._words]
            same = self._compare(query, inside, position.take(inside), words) == 0
            known[inside] = same
        there = known.nonzero()[0]
        orphans = 0
        dead = np.zeros(0, np.int64)
        if len(there):
            at = position.take(there)
            left = self._weights.data.take(at) + delta.take(there)
            self._weights.data[at] = left
            dead = there.take((left <= 0).nonzero()[0])
            orphans -= int(np.minimum(left, 0).sum())
        absent = ~known
        orphans -= int(np.minimum(delta[absent], 0).sum())
        new = (absent & (delta > 0)).nonzero()[0]
        if not len(new) and not len(dead):
            return orphans, []
        gone = self.read(position.take(dead)) if len(dead) else []
        self._rewrite((line, place), new, dead, [*fresh(new), delta.take(new)])
        return orphans, gone

    def delete(self, starts: Ints, stops: Ints) -> list[Words]:
        """Delete the entries of disjoint, ascending ranges of ordinals; returns their words."""
        _, ordinals = expand(starts, stops - starts)
        if not len(ordinals):
            return []
        before = self.before()
        line = np.searchsorted(before, ordinals, side="right") - 1
        place = ordinals - before.take(line)
        gone = self.read(self._leaf.take(line) * CAPACITY + place)
        none = np.zeros(0, np.int64)
        empty = [np.zeros(0, np.uint64)] * (self.width + 1)
        self._rewrite((line, place), none, np.arange(len(line)), empty)
        return gone

    def _rewrite(
        self, at: tuple[Ints, Ints], new: Ints, dead: Ints, fresh: Sequence[npt.NDArray[Any]]
    ) -> None:
        """Write leaves anew.

        Args:
            at: directory lines of the changes, ascending, and places in their leaves.
            new: changes that are entries to come, before the one at their place.
            dead: changes that are entries to go.
            fresh: words and weight of the entries to come.
        """
        line, place = at
        self._before = None
        if not len(self._leaf):
            self._leaf = np.array([self._take_leaves(1)[0]])
            self._count = np.zeros(1, np.int64)
            self._first = [np.zeros(1, np.uint64) for _ in range(self.width)]
        self.entries += len(new) - len(dead)
        new_line, dead_line = line.take(new), line.take(dead)
        lines, counts = self._lines_to_write(new_line, dead_line)
        # All old entries of these leaves in a row; new ones go between.
        old_counts = self._count.take(lines)
        base = np.cumsum(old_counts) - old_counts
        _, old = expand(self._leaf.take(lines) * CAPACITY, old_counts)
        slot = np.searchsorted(lines, new_line)
        new_at = base.take(slot) + place.take(new) + np.arange(len(new))
        total = len(old) + len(new)
        is_old = np.ones(total, np.bool_)
        is_old[new_at] = False
        old_at = is_old.nonzero()[0]
        kept: Ints | None = None
        if len(dead):
            alive = np.ones(total, np.bool_)
            dead_old = base.take(np.searchsorted(lines, dead_line)) + place.take(dead)
            alive[old_at.take(dead_old)] = False
            kept = alive.nonzero()[0]
        columns = []
        for vector, more in zip([*self._words, self._weights], fresh, strict=True):
            column = np.empty(total, vector.data.dtype)
            column[old_at] = vector.data.take(old)
            column[new_at] = more
            columns.append(column if kept is None else column.take(kept))
        self._write(lines, counts, columns)

    def _lines_to_write(self, new_line: Ints, dead_line: Ints) -> tuple[Ints, Ints]:
        """Directory lines to write anew and their leaves' new counts.

        Those that are changed, and the neighbours that leaves which became small may be joined
        with.
        """
        lines = _distinct(np.concatenate([new_line, dead_line]))
        counts = self._count.take(lines)
        np.add.at(counts, np.searchsorted(lines, new_line), 1)
        if not len(dead_line):
            return lines, counts
        np.subtract.at(counts, np.searchsorted(lines, dead_line), 1)
        buddies = lines[counts < _SPARSE] ^ 1
        if not len(buddies):
            return lines, counts
        whole = _distinct(np.concatenate([lines, buddies[buddies < len(self._leaf)]]))
        all_counts = self._count.take(whole)
        all_counts[np.searchsorted(whole, lines)] = counts
        return whole, all_counts

    def _write(self, lines: Ints, counts: Ints, columns: list[npt.NDArray[np.generic]]) -> None:
        """Cut the rows of `columns` into leaves that take the place of `lines`."""
        units, owner = _units(lines, counts)
        pieces = np.where(units > CAPACITY, -(-units // _FILL), np.minimum(units, 1))
        unit_of, number = expand(np.zeros(len(units), np.int64), pieces)
        size, extra = np.divmod(units, np.maximum(pieces, 1))
        sizes = size.take(unit_of) + (number < extra.take(unit_of))
        self._free.append(self._leaf.take(lines))
        leaves = self._take_leaves(len(sizes))
        starts = np.cumsum(sizes) - sizes
        _, where = expand(leaves * CAPACITY, sizes)
        for vector, column in zip([*self._words, self._weights], columns, strict=True):
            vector.fit(self._next * CAPACITY)[where] = column
        first = [c.take(starts) for c in columns[: self.width]]
        if len(lines) == len(sizes) and bool((pieces == 1).all()):
            into = lines
        else:
            repeat = np.ones(len(self._leaf), np.int64)
            repeat[lines] = 0
            repeat[lines.take(owner)] = pieces
            kept = np.repeat(np.arange(len(repeat)), repeat)
            self._leaf = self._leaf.take(kept)
            self._count = self._count.take(kept)
            self._first = [f.take(kept) for f in self._first]
            ends = np.cumsum(repeat)
            into = (ends - repeat).take(lines.take(owner)).take(unit_of) + number
        self._leaf[into] = leaves
        self._count[into] = sizes
        for mine, theirs in zip(self._first, first, strict=True):
            mine[into] = theirs

    def _take_leaves(self, number: int) -> Ints:
        parts: list[Ints] = []
        while number and self._free:
            part = self._free.pop()
            parts.append(part[:number])
            if len(part) > number:
                self._free.append(part[number:])
            number -= len(parts[-1])
        parts.append(np.arange(self._next, self._next + number))
        self._next += number
        return np.concatenate(parts)


def _distinct(lines: Ints) -> Ints:
    """Sort and drop repetitions; `lines` is the caller's to lose."""
    lines.sort()
    keep = np.ones(len(lines), np.bool_)
    np.not_equal(lines[1:], lines[:-1], out=keep[1:])
    return lines[keep]


def _units(lines: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Join small neighbours: (entries of each unit, index of its first line in `lines`)."""
    joined = np.zeros(len(lines), np.bool_)
    if len(lines) > 1:
        pair = (lines[1:] == lines[:-1] + 1) & (lines[1:] & 1 == 1)
        joined[1:] = pair & (counts[1:] + counts[:-1] <= _FILL)
    owner = (~joined).nonzero()[0]
    if len(owner) == len(lines):
        return counts, owner
    units = counts.take(owner)
    second = joined.nonzero()[0]
    unit = np.searchsorted(owner, second, side="right") - 1
    units[unit] += counts.take(second)
    return units, owner
