"""Top-N with a small N, of rows that only come.

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM t)
    WHERE n <= 10

In → out: as `top_n.py`, of which this is the case in daily use.

Requires: append; ROW_NUMBER up to a constant; sort columns of fixed width.
Emits: retract; one net change a partition and step, all retractions first. Rows that are equal in the
order stand in order of arrival.
State: `partitions` (key → slot), `columns` (for each rank the row's number, and its place in the order
as words that compare as the rows do), `rows` (the columns but the partition's). A row behind the
last rank leaves; a partition stays.
Cost: per row one look-up of its partition and one comparison; per row that is kept a comparison with
each rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Changes, Keys
from flowsql.operators.gathering import KeyedRowsOperator
from flowsql.operators.ranking import Given, RankedRows, first_of_each
from flowsql.state import SortColumn
from flowsql.state.kernels import runs
from flowsql.state.order import OrderLayout
from flowsql.types import DataType

__all__ = ["TopFewOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

# Rows looked up together: more than elsewhere, since only the best of a partition are kept.
_ROWS: Final = 1 << 17
_NONE: Final = 1 << 62


class TopFewOperator(KeyedRowsOperator):
    """See the module.

    Args:
        partition: columns of the partition.
        partition_types: their types.
        stored: the columns kept beside the partition's.
        order: columns of the order, and how each is ordered.
        start: first rank that is given, from 1.
        end: last rank.
        with_rank: the rank is given.
        output: schema of the output: the input's columns, perhaps the rank.
        ttl: how long a partition is kept after its last change, in milliseconds; 0 for ever.
    """

    _INDEX = "partitions"
    _COLUMNS = "columns"

    def __init__(
        self,
        *,
        partition: tuple[int, ...],
        partition_types: tuple[DataType, ...],
        stored: tuple[int, ...],
        order: tuple[tuple[int, SortColumn], ...],
        start: int,
        end: int,
        with_rank: bool,
        output: pa.Schema,
        ttl: int = 0,
    ) -> None:
        super().__init__(_ROWS, ttl)
        self._partition = partition
        self._types = partition_types
        self._stored = stored
        self._sort = tuple(c for c, _ in order)
        self._layout = OrderLayout([s for _, s in order])
        self._start = start
        self._end = end
        self._ranked = with_rank
        self._form = RankedRows(partition, stored, with_rank=with_rank, output=output)
        # Of the running step only:
        # Before it, number + 1 of each partition's row at each rank, by first touch.
        self._before: list[Ints] = []
        # The first row stored.
        self._first = _NONE

    def _ingest(self, changes: Changes) -> None:
        batch = changes.batch
        arrays = [batch.column(c) for c in self._partition]
        slots, _ = self._find(Keys.of(arrays, self._types, len(changes)))
        words = self._layout.encode([batch.column(c) for c in self._sort]).words
        rows = self._ahead(slots, words).nonzero()[0]
        if not len(rows):
            return
        if len(rows) < len(slots):
            slots, words = slots.take(rows), [w.take(rows) for w in words]
        chosen = first_of_each(slots, words, self._end)
        slots, words = slots.take(chosen), [w.take(chosen) for w in words]
        self._touch(slots)
        values = batch.select(list(self._stored)).take(pa.array(rows.take(chosen)))
        numbers = self._rows.append(values)
        self._first = min(self._first, int(numbers[0]))
        # A partition's rows come one by one, the first in order first.
        starts, lengths = runs(slots)
        turn = np.arange(len(slots)) - np.repeat(starts, lengths)
        for i in range(int(lengths.max())):
            at = (turn == i).nonzero()[0] if i else starts
            self._insert(slots.take(at), [w.take(at) for w in words], numbers.take(at) + 1)

    def _ahead(self, slots: Ints, words: list[Words]) -> Bools:
        """bool[n]: rows that stand before their partition's last one, or fill it up."""
        last = self._end - 1
        return _before(words, self._words(last, slots)) | (self._row(last, slots) == 0)

    def _row(self, rank: int, slots: Ints) -> Ints:
        """Number + 1 of each partition's row at a rank from 0; 0 for none."""
        return self._columns.vector(f"row{rank}").take(slots)

    def _words(self, rank: int, slots: Ints) -> list[Words]:
        names = (f"word{rank}.{i}" for i in range(self._layout.words))
        return [self._columns.vector(name).take(slots) for name in names]

    def _touch(self, slots: Ints) -> None:
        """Partitions that are about to change: what was given of them is noted."""
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            self._columns.mark(fresh)
            self._before.append(self._given(fresh))
            self._write(fresh)

    def _given(self, slots: Ints) -> Ints:
        """int64[ranks, n]: number + 1 of the row given at each rank, 0 for none."""
        return np.stack([self._row(r, slots) for r in range(self._start - 1, self._end)])

    def _insert(self, slots: Ints, words: list[Words], rows: Ints) -> None:
        """One row each of different partitions; what is pushed behind the last rank leaves."""
        moving = np.zeros(len(slots), np.bool_)
        for rank in range(self._end):
            held, held_words = self._row(rank, slots), self._words(rank, slots)
            # What was displaced stands before all ranks behind, also where it equals them.
            moving |= _before(words, held_words) | (held == 0)
            self._columns.vector(f"row{rank}")[slots] = np.where(moving, rows, held)
            for i, (mine, theirs) in enumerate(zip(words, held_words, strict=True)):
                self._columns.vector(f"word{rank}.{i}")[slots] = np.where(moving, mine, theirs)
            rows = np.where(moving, held, rows)
            words = [np.where(moving, b, a) for a, b in zip(words, held_words, strict=True)]
            left = rows.nonzero()[0]
            if not len(left):
                return
            if 2 * len(left) < len(rows):
                slots, rows, moving = slots.take(left), rows.take(left), moving.take(left)
                words = [w.take(left) for w in words]
        self._rows.remove(rows[rows > 0] - 1)

    def _forget(self, slots: Ints) -> None:
        for rank in range(self._end):
            self._leave(self._row(rank, slots))
        super()._forget(slots)

    def _net(self) -> Iterator[Changes]:
        if self._touched.size:
            slots = self._touched.slots()
            old, new = np.concatenate(self._before, axis=1), self._given(slots)
            gone, came = self._moved(old, new)
            for rows, mask in ((old, gone), (new, came)):
                given = self._listed(rows, mask)
                yield from self._form.give(
                    self._index, self._rows, slots, given, retract=rows is old
                )
        self._before = []
        self._first = _NONE

    def _moved(self, old: Ints, new: Ints) -> tuple[Bools, Bools]:
        """bool[ranks, n] each: rows of before that are to be taken back, rows to be given now."""
        if self._ranked or self._start == self._end:
            moved = old != new
            return moved & (old > 0), moved & (new > 0)
        if self._start == 1:
            # What is kept is given: a row that is not given any more has left.
            gone = old > 0
            gone[gone] = ~self._rows.alive(old[gone] - 1)
            return gone, new > self._first
        same = old[:, None, :] == new[None, :, :]
        return (old > 0) & ~same.any(axis=1), (new > 0) & ~same.any(axis=0)

    def _listed(self, rows: Ints, mask: Bools) -> Given:
        rank, place = mask.nonzero()
        return Given(place, rows[mask] - 1, rank + self._start, self._ranked)


def _before(words: list[Words], others: list[Words]) -> Bools:
    """bool[n]: where the words stand before the others; not where they are equal."""
    found: Bools = np.zeros(len(others[0]) if others else 0, np.bool_)
    for mine, theirs in zip(reversed(words), reversed(others), strict=True):
        found = (mine < theirs) | ((mine == theirs) & found)
    return found
