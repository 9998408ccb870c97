"""Which rows of a partition are given, by their rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowsql.changelog import Keys
from flowsql.state import Ordered
from flowsql.types import DataType

__all__ = ["Given", "Ranking", "first_of_each"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Given:
    """Rows that are given of some partitions at one moment.

    Attributes:
        place: int64[n], which partition each row belongs to, ascending.
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

    def given(self, order: Ordered, slots: Ints, ends: Ints | None, places: Ints) -> Given:
        """What is given of partitions now.

        Args:
            order: rows by partition.
            slots: partitions, all different.
            ends: last rank of each; None for none.
            places: int64, the place of each partition in the answer, ascending.
        """
        if self.ties is None and ends is not None:
            found = order.places(slots, self.start - 1, ends)
        else:
            found = order.entries(slots)
        assert found.rows is not None
        probe = found.probe
        begins = np.ones(len(probe), np.bool_)
        begins[1:] = probe[1:] != probe[:-1]
        position = np.arange(len(probe))
        rank: Ints
        start: Ints = np.maximum.accumulate(np.where(begins, position, 0))
        if self.ties is None:
            rank = np.add(position - start, 1 if ends is None else self.start)
            if ends is not None:
                return Given(places.take(probe), found.rows, rank, self.ranked)
        else:
            keys = Keys.of(found.values, self.ties, len(probe))
            fresh = begins.copy()
            fresh[1:] |= ~keys.equal(position[1:], keys, position[:-1])
            if self.dense:
                steps = np.cumsum(fresh)
                rank = steps - steps.take(start) + 1
            else:
                rank = np.maximum.accumulate(np.where(fresh, position, 0)) - start + 1
        chosen = rank >= self.start
        if ends is not None:
            chosen &= rank <= ends.take(probe)
        kept = chosen.nonzero()[0]
        return Given(
            places.take(probe.take(kept)), found.rows.take(kept), rank.take(kept), self.ranked
        )


def first_of_each(slots: Ints, words: list[Words], most: Ints) -> Ints | None:
    """At most `most[i]` rows of each slot, the first in order; None for all.

    Args:
        slots: int64[n].
        words: of the order; equal rows stand in order of arrival.
        most: int64[n], the same in all rows of a slot.

    Returns:
        Rows in order of arrival.
    """
    order = np.lexsort([*words[::-1], slots])
    ordered = slots.take(order)
    begins = np.ones(len(order), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    position = np.arange(len(order))
    place = position - np.maximum.accumulate(np.where(begins, position, 0))
    kept = (place < most.take(order)).nonzero()[0]
    if len(kept) == len(slots):
        return None
    return np.sort(order.take(kept))
