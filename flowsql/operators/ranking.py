"""Which rows of a partition are given, by their rank, and what changes when they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import DELETE, Changes, Keys, split_changes
from flowsql.operators.cutting import cut
from flowsql.operators.sequence import sort_stable
from flowsql.state import Entries, KeyIndex, Ordered, Rows
from flowsql.state.kernels import runs
from flowsql.types import DataType

__all__ = ["Given", "RankedRows", "Ranking", "first_of_each"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

# Rows given in one batch.
_EMIT: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Given:
    """Rows that are given of some partitions at one moment.

    Attributes:
        place: int64[n], which partition each row belongs to.
        rows: int64[n], their numbers.
        rank: int64[n].
        ranked: whether a row with another rank is another row.
    """

    place: Ints
    rows: Ints
    rank: Ints
    ranked: bool

    @staticmethod
    def concat(parts: Sequence[Given]) -> Given:
        """All partitions, in order."""
        if len(parts) == 1:
            return parts[0]
        return Given(
            np.concatenate([p.place for p in parts]),
            np.concatenate([p.rows for p in parts]),
            np.concatenate([p.rank for p in parts]),
            parts[0].ranked,
        )

    def without(self, other: Given) -> Given:
        """The rows that are not in `other`, with their rank if that counts."""
        if not len(self.rows) or not len(other.rows):
            return self
        order = np.argsort(other.rows)
        known = other.rows.take(order)
        at = np.minimum(np.searchsorted(known, self.rows), len(known) - 1)
        same = known.take(at) == self.rows
        if self.ranked:
            same &= other.rank.take(order).take(at) == self.rank
        left = (~same).nonzero()[0]
        return Given(self.place.take(left), self.rows.take(left), self.rank.take(left), self.ranked)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows whose rank is from `start` to `end`.

    Attributes:
        ties: `None` for ROW_NUMBER; else the sort columns' types, by which rows are equal.
        dense: DENSE_RANK rather than RANK.
        start: first rank, from 1.
        end: last rank; None for none, or where each partition has its own.
        ranked: the rank is given.
    """

    ties: tuple[DataType, ...] | None
    dense: bool
    start: int
    end: int | None
    ranked: bool

    def given(
        self, order: Ordered, slots: Ints, ends: Ints | None, places: Ints, held: Ints
    ) -> Given:
        """What is given of partitions now.

        Args:
            order: rows by partition.
            slots: partitions, all different.
            ends: last rank of each; None for none.
            places: int64, the place of each partition in the answer.
            held: int64, how many rows each has.
        """
        if self.ties is None and ends is not None:
            found = order.places(slots, self.start - 1, ends, held)
        else:
            found = order.places(slots, 0, held, held)
        assert found.rows is not None
        probe = found.probe
        if self.ties is None and ends is not None:
            rank = _place(probe) + self.start
            return Given(places.take(probe), found.rows, rank, self.ranked)
        rank = _place(probe) + 1 if self.ties is None else self._tied(found, self.ties)
        chosen = rank >= self.start
        if ends is not None:
            chosen &= rank <= ends.take(probe)
        kept = chosen.nonzero()[0]
        return Given(
            places.take(probe.take(kept)), found.rows.take(kept), rank.take(kept), self.ranked
        )

    def _tied(self, found: Entries, types: tuple[DataType, ...]) -> Ints:
        """RANK or DENSE_RANK of the entries of whole partitions."""
        n = len(found.probe)
        place = _place(found.probe)
        keys = Keys.of(found.values, types, n)
        every = np.arange(n)
        fresh = place == 0
        fresh[1:] |= ~keys.equal(every[1:], keys, every[:-1])
        if self.dense:
            steps = np.cumsum(fresh)
            return steps - steps.take(every - place) + 1
        first: Ints = np.maximum.accumulate(np.where(fresh, every, 0))
        return place - (every - first) + 1


def _place(probe: Ints) -> Ints:
    """int64[n]: place of each entry in its probe, from 0."""
    starts, lengths = runs(probe)
    return np.arange(len(probe)) - np.repeat(starts, lengths)


def first_of_each(slots: Ints, words: list[Words], most: Ints | int) -> Ints:
    """At most `most` rows of each slot, the first in order.

    Args:
        slots: int64[n].
        words: of the order; equal rows stand in order of arrival.
        most: int64[n], the same in all rows of a slot; or one number for all.

    Returns:
        Rows by slot, and of a slot in order.
    """
    order = sort_stable(slots)
    starts, lengths = runs(slots.take(order))
    crowded = lengths > 1
    if words and crowded.any():
        # Slots with one row, as a rule most of them, are in order already.
        places = np.repeat(crowded, lengths).nonzero()[0]
        rows = order.take(places)
        # By the last word first; slots last, whose sort is the fast one.
        for word in reversed(words):
            values = word.take(rows)
            if (values != values[0]).any():
                rows = rows.take(np.argsort(values, kind="stable"))
        order[places] = rows.take(sort_stable(slots.take(rows)))
    place = np.arange(len(order)) - np.repeat(starts, lengths)
    limit = most if isinstance(most, int) else most.take(order)
    within = place < limit
    return order if within.all() else order.take(within.nonzero()[0])


class RankedRows:
    """Ranked rows as changes.

    Args:
        partition: columns of the partition.
        stored: the columns of the table `rows`.
        with_rank: the rank is given.
        output: schema of the output: the input's columns, perhaps the rank.
    """

    def __init__(
        self,
        partition: tuple[int, ...],
        stored: tuple[int, ...],
        *,
        with_rank: bool,
        output: pa.Schema,
    ) -> None:
        self._partition = partition
        self._stored = stored
        self._with_rank = with_rank
        self._output = output

    def changes(
        self, index: KeyIndex, rows: Rows, slots: Ints, old: Given, new: Given
    ) -> Iterator[Changes]:
        """What was given and is no more, then what is given now; `slots` are the partitions."""
        yield from self.give(index, rows, slots, old.without(new), retract=True)
        yield from self.give(index, rows, slots, new.without(old), retract=False)

    def give(
        self, index: KeyIndex, rows: Rows, slots: Ints, given: Given, *, retract: bool
    ) -> Iterator[Changes]:
        """Rows that are given, or taken back."""
        for part in cut(rows.widths(given.rows), len(given.rows), _EMIT):
            values = rows.take(given.rows[part])
            keys = index.keys(slots.take(given.place[part]))
            arrays = [
                values.column(self._stored.index(c))
                if c in self._stored
                else keys[self._partition.index(c)]
                for c in range(len(self._output) - self._with_rank)
            ]
            if self._with_rank:
                arrays.append(pa.array(given.rank[part]))
            kinds = np.full(values.num_rows, DELETE, np.int8) if retract else None
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            yield from split_changes(Changes(batch, kinds))
