"""One side of a join: its rows by join key, in one of three layouts.

* one row a key: the row's number stands beside the key;
* rows with a unique key: found by (key slot, unique key);
* any rows: found by (key slot, content), equal rows are one with a weight.

An append side needs to find no row again, so it keeps no index of rows. Values of the join key are
not stored with the row. A row inserted for a unique key that is there replaces it, and what had been
joined with the replaced one stays as it is (as in Flink; a source that keeps its promise never does so).

A side with a lifetime forgets each row so long after it was last written: it is not found any more,
and a retraction of it is one of a row that is not there. Its rows know their keys, and so find what
is kept about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.expr import StepClock
from flowsql.operators.lifetimes import RowLifetimes
from flowsql.operators.sequence import accepted_counts, accepted_presence, sort_stable
from flowsql.operators.touched import Touched
from flowsql.state import Columns, KeyIndex, RowLists, Rows
from flowsql.state.kernels import distinct
from flowsql.types import BigIntType, DataType

__all__ = ["JoinSideState", "Layout", "Update"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

_SLOT = BigIntType(nullable=False)
_NONE: Ints = np.zeros(0, np.int64)


class Layout(Enum):
    """How the rows are kept; see the module."""

    ONE_ROW = "one row"
    UNIQUE_KEY = "unique key"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Update:
    """What a batch changed in one side.

    Attributes:
        added: numbers of rows that are new or have a larger weight.
        added_slots: their keys' slots.
        new_rows: of those, the ones that are new …
        new_from: … and the row of the batch that each came from.
        dropped: numbers of rows that are gone or have a smaller weight.
        dropped_slots: their keys' slots.
    """

    added: Ints
    added_slots: Ints
    new_rows: Ints
    new_from: Ints
    dropped: Ints
    dropped_slots: Ints


class JoinSideState:
    """See the module.

    Args:
        name: "left" or "right", the prefix of its state tables.
        keys: the join key's columns.
        columns: the columns given.
        stored: the columns kept, see `stored_columns` in `physical/state_specs.py`.
        layout: how rows are kept.
        ids: the columns that identify a row within its key: unique key or `stored`.
        id_types: their types.
        append: rows are never taken back.
        ttl: how long a row is kept after its last change, in milliseconds; 0 for ever.
    """

    def __init__(
        self,
        *,
        name: str,
        keys: tuple[int, ...],
        columns: tuple[int, ...],
        stored: tuple[int, ...],
        layout: Layout,
        ids: tuple[int, ...],
        id_types: tuple[DataType, ...],
        append: bool,
        ttl: int = 0,
    ) -> None:
        self.name = name
        self.ttl = ttl
        self._lifetimes = RowLifetimes(ttl) if ttl else None
        self.keys = keys
        self.columns = columns
        self.stored = stored
        self.layout = layout
        self.append = append
        self._ids = ids
        self._id_types = (_SLOT, *id_types)
        # Of the running step only: rows' identities, some of which may have lost their row.
        self._touched = Touched()

    def open(self, state: Mapping[str, Any]) -> None:
        """Take the tables."""
        self.rows: Rows = state[f"{self.name}_rows"]
        self.weighted = self.layout is Layout.CONTENT and not self.append
        self._lists: RowLists | None = state.get(f"{self.name}_lists")
        self._index: KeyIndex | None = state.get(f"{self.name}_ids")
        self._key_columns: Columns | None = state.get("keys_columns")
        self._count = f"{self.name}_count"
        self.counted = self._key_columns is not None and any(
            name == self._count for name, _ in self._key_columns.spec.fixed
        )
        if self.layout is Layout.ONE_ROW:
            assert self._key_columns is not None
            self._places, self._place = self._key_columns, f"{self.name}_row"
        elif self._index is not None:
            self._places, self._place = state[f"{self.name}_ids_columns"], "row"
        if self._lifetimes is not None:
            self._lifetimes.open(self.rows)
        self._clock = StepClock(0)

    def begin(self, clock: StepClock) -> None:
        """What is asked from now on is asked at this time."""
        self._clock = clock

    # -- reading -------------------------------------------------------------------------------

    def counts(self, slots: Ints) -> Ints:
        """int64[n]: how many rows (with their weights) each key has; only where `counted`."""
        assert self._key_columns is not None
        return self._key_columns.vector(self._count).take(slots)

    def probe(self, slots: Ints) -> tuple[Ints, Ints]:
        """(index into `slots`, row number) of all rows of each key, without their weights."""
        if self._lists is not None:
            probe, rows = self._lists.probe(slots)
        else:
            numbers = self._places.vector(self._place).take(slots)
            probe = numbers.nonzero()[0]
            rows = numbers.take(probe) - 1
        if self._lifetimes is not None and len(rows):
            lives = self._lifetimes.lives(rows, self._clock)
            if not lives.all():
                return probe[lives], rows[lives]
        return probe, rows

    def given(self, rows: Ints, key: Callable[[int], pa.Array]) -> list[pa.Array]:
        """The columns given of stored rows; `key(k)` is column k of their join keys."""
        return [
            self.rows.column(rows, self.stored.index(c))
            if c in self.stored
            else key(self.keys.index(c))
            for c in self.columns
        ]

    # -- writing -------------------------------------------------------------------------------

    def accept(self, batch: pa.RecordBatch, slots: Ints, signs: Signs) -> tuple[Ints, Bools | None]:
        """Which rows of a batch count; before `update`, and not for an append side.

        Returns:
            int64[n], what each row is kept under; bool[n], false for a retraction of a row that is
            not there, or None where all count.
        """
        if self.layout is Layout.ONE_ROW:
            places = slots
        else:
            assert self._index is not None
            arrays = [pa.array(slots), *(batch.column(c) for c in self._ids)]
            places, _ = self._index.ensure(Keys.of(arrays, self._id_types))
            self._touched.add(places, self._index.capacity)
        self._forget_over(places)
        if not (signs < 0).any():
            return places, None
        numbers = self._places.vector(self._place).take(places)
        if self.layout is Layout.CONTENT:
            return places, accepted_counts(places, signs, self._weights(numbers))
        return places, accepted_presence(places, signs, numbers > 0)

    def _weights(self, numbers: Ints) -> Ints:
        """Weights of rows given by number + 1, where 0 is no row."""
        weights = np.zeros(len(numbers), np.int64)
        there = numbers.nonzero()[0]
        weights[there] = self.rows.weights(numbers.take(there) - 1)
        return weights

    def update(
        self, batch: pa.RecordBatch, slots: Ints, signs: Signs | None, places: Ints | None
    ) -> Update:
        """Keep a batch, all of whose rows count.

        Args:
            batch: rows.
            slots: their keys' slots.
            signs: +1 or −1 each; None for an append side.
            places: from `accept`; None for an append side.
        """
        if self.append:
            return self._append(batch, slots)
        assert signs is not None
        assert places is not None
        if self.layout is Layout.CONTENT:
            return self._weigh(batch, slots, signs, places)
        return self._replace(batch, slots, signs, places)

    def _store(
        self,
        batch: pa.RecordBatch,
        slots: Ints,
        *,
        chosen: Ints | None = None,
        weights: Ints | None = None,
        places: Ints | None = None,
    ) -> Ints:
        """Keep rows of a batch.

        Args:
            batch: the rows.
            slots: the keys' slots of those that are kept.
            chosen: which are kept; None for all.
            weights: of those, or None.
            places: what they are kept under, or None.
        """
        kept = batch.select(list(self.stored))
        if chosen is not None:
            kept = kept.take(pa.array(chosen))
        numbers = self.rows.append(kept, weights)
        if self._lifetimes is not None:
            self._lifetimes.begin(numbers, self._clock)
            self.rows.write(numbers, "slot", slots)
            if self._index is not None and places is not None:
                self.rows.write(numbers, "place", places)
        return numbers

    def rewrite(self, rows: Ints) -> None:
        """What is noted about rows has changed: they live on."""
        if self._lifetimes is not None and len(rows):
            self._lifetimes.write(rows, self._clock)

    def _forget_over(self, places: Ints) -> None:
        """Rows that are over and would be found at these places are gone."""
        if self._lifetimes is None:
            return
        numbers = self._places.vector(self._place).take(places)
        rows = distinct(numbers.take(numbers.nonzero()[0])) - 1
        if len(rows):
            self.forget(rows[~self._lifetimes.lives(rows, self._clock)])

    def forget(self, rows: Ints) -> Ints:
        """Rows, all different, are gone without a change; returns their keys' slots."""
        if not len(rows):
            return rows
        slots = self.rows.read(rows, "slot")
        if self.layout is Layout.ONE_ROW:
            self._places.write(slots, self._place, 0)
        elif self._index is not None:
            places = self.rows.read(rows, "place")
            self._places.write(places, self._place, 0)
            self._touched.add(places, self._index.capacity)
        self._add_counts(slots, -self.rows.weights(rows))
        self.rows.remove(rows)
        return slots

    def age(self) -> Ints:
        """Some of the rows that are over are forgotten; the slots of keys that lost rows."""
        return _NONE if self._lifetimes is None else self.forget(self._lifetimes.due(self._clock))

    def _add_counts(self, slots: Ints, amount: Ints | int) -> None:
        assert self._key_columns is not None
        np.add.at(self._key_columns.vector(self._count), slots, amount)
        self._key_columns.mark(slots)

    def _append(self, batch: pa.RecordBatch, slots: Ints) -> Update:
        if self._lists is None:
            self._forget_over(slots)
        numbers = self._store(batch, slots)
        all_rows = np.arange(len(numbers))
        if self._lists is not None:
            self._lists.add(slots, numbers)
            if self.counted:
                self._add_counts(slots, 1)
            return Update(numbers, slots, numbers, all_rows, _NONE, _NONE)
        before = self._places.vector(self._place).take(slots)
        self._places.write(slots, self._place, numbers + 1)
        won = self._places.vector(self._place).take(slots) == numbers + 1
        last = won.nonzero()[0]
        replaced = last[before.take(last) > 0]
        lost = (~won).nonzero()[0]
        dropped = np.concatenate([before.take(replaced) - 1, numbers.take(lost)])
        if len(dropped):
            self.rows.remove(dropped)
        if self.counted:
            self._add_counts(slots.take(last), (before.take(last) == 0).astype(np.int64))
        dropped_slots = slots.take(np.concatenate([replaced, lost]))
        return Update(numbers, slots, numbers, all_rows, dropped, dropped_slots)

    def _replace(self, batch: pa.RecordBatch, slots: Ints, signs: Signs, places: Ints) -> Update:
        """Unique rows: of each place only its last row matters, and what was there before."""
        order = sort_stable(places)
        ordered = places.take(order)
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = ordered[1:] != ordered[:-1]
        last = np.sort(order[is_last])
        where, at = places.take(last), slots.take(last)
        before = self._places.vector(self._place).take(where)
        stays = signs.take(last) > 0
        kept = stays.nonzero()[0]
        chosen = last.take(kept)
        numbers = _NONE
        if len(kept):
            numbers = self._store(batch, at.take(kept), chosen=chosen, places=where.take(kept))
        after = np.zeros(len(where), np.int64)
        after[kept] = numbers + 1
        self._places.write(where, self._place, after)
        there = before.nonzero()[0]
        dropped = before.take(there) - 1
        if len(dropped):
            self.rows.remove(dropped)
        if self._lists is not None and len(kept):
            self._lists.add(at.take(kept), numbers)
        if self.counted:
            self._add_counts(at, stays.astype(np.int64) - (before > 0))
        return Update(numbers, at.take(kept), numbers, chosen, dropped, at.take(there))

    def _weigh(self, batch: pa.RecordBatch, slots: Ints, signs: Signs, places: Ints) -> Update:
        """Rows by content: the batch's balance of each."""
        order = sort_stable(places)
        ordered = places.take(order)
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = ordered[1:] != ordered[:-1]
        starts = is_first.nonzero()[0]
        change = np.add.reduceat(signs.take(order).astype(np.int64), starts)
        if self._lifetimes is not None:
            held = self._places.vector(self._place).take(ordered.take(starts))
            self.rewrite(held.take(held.nonzero()[0]) - 1)
        changed = change.nonzero()[0]
        change = change.take(changed)
        first = order.take(starts.take(changed))
        arrival = np.argsort(first)
        first, change = first.take(arrival), change.take(arrival)
        where, at = places.take(first), slots.take(first)
        before = self._places.vector(self._place).take(where)
        fresh = (before == 0).nonzero()[0]
        known = before.nonzero()[0]
        numbers = _NONE
        if len(fresh):
            numbers = self._store(
                batch,
                at.take(fresh),
                chosen=first.take(fresh),
                weights=change.take(fresh),
                places=where.take(fresh),
            )
            self._places.write(where.take(fresh), self._place, numbers + 1)
            assert self._lists is not None
            self._lists.add(at.take(fresh), numbers)
        less = more = _NONE
        if len(known):
            rows = before.take(known) - 1
            weights = self.rows.add_weight(rows, change.take(known))
            gone = (weights <= 0).nonzero()[0]
            if len(gone):
                self.rows.remove(rows.take(gone))
                self._places.write(where.take(known.take(gone)), self._place, 0)
            less = (change.take(known) < 0).nonzero()[0]
            more = (change.take(known) > 0).nonzero()[0]
            added = np.concatenate([numbers, rows.take(more)])
            dropped = rows.take(less)
        else:
            added, dropped = numbers, _NONE
        if self.counted:
            self._add_counts(at, change)
        return Update(
            added,
            np.concatenate([at.take(fresh), at.take(known.take(more))]),
            numbers,
            first.take(fresh),
            dropped,
            at.take(known.take(less)),
        )

    def end_step(self, freed: Ints) -> None:
        """Forget identities without a row, and the lists of keys that are freed."""
        if self._index is not None and self._touched.size:
            touched = self._touched.slots()
            empty = touched[self._places.vector(self._place).take(touched) == 0]
            if len(empty):
                self._index.free(empty)
        self._touched.clear()
        if self._lists is not None and len(freed):
            self._lists.expire(freed)
