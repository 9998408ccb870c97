"""`Ordered`: entries of a slot in an order, each with a weight.

Serves MIN and MAX over updates, Top-N, OVER, FIRST_VALUE and LAST_VALUE, versions of temporal
joins. What is added and removed waits until somebody asks, or the step ends; then it is netted,
sorted, and put into the leaves of one tree over all slots (`leaves.py`). Entries are found by
binary searches of a whole batch; a slot's position in the tree needs no memory of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import InternalError
from flowsql.state.kernels import distinct, expand
from flowsql.state.key_index import KeyIndex
from flowsql.state.leaves import Leaves, Query
from flowsql.state.order import LONG, OrderKeys, OrderLayout
from flowsql.state.spec import OrderedSpec
from flowsql.state.table import Segment, Table, TableStats, batches_of
from flowsql.state.time_queue import TimeQueue
from flowsql.types import arrow_type

__all__ = ["Entries", "Ordered"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_S32: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries found for probes.

    Attributes:
        probe: int64[m], index of the slot asked for, ascending; entries of a probe in their order.
        values: the sort columns, typed, in the order of the spec.
        weights: int64[m].
        rows: int64[m] row numbers, or None where the table carries none.
    """

    probe: Ints
    values: list[pa.Array]
    weights: Ints
    rows: Ints | None


class Ordered(Table):
    """Sorted entries behind the slots of one `KeyIndex`.

    Contract:

    * slots are live; an entry is its sort columns and, if the spec names a `Rows`, its row number;
    * an entry added k times has weight k; removing takes weight away, and what is taken from an
      entry that has it not, at the next question or step's end, is ignored and counted (`orphans`);
    * `first`, `range`, `asof` and `rank` speak of entries, whatever their weight.
    """

    def __init__(self, spec: OrderedSpec, index: KeyIndex) -> None:
        self.name = spec.name
        self.spec = spec
        self.orphans = 0
        self._order = OrderLayout(spec.sort)
        self._has_rows = spec.rows is not None
        self._leaves = Leaves(1 + self._order.words + self._has_rows)
        self._waiting: list[tuple[Ints, list[pa.Array], Ints | None, Ints]] = []
        self._touched: list[Ints] = []
        self._times: TimeQueue | None = None
        self._added = 0
        self._dirty = 0
        index.on_release(self.expire)

    # -- change --------------------------------------------------------------------------------

    def add(
        self,
        slots: Ints,
        sort_values: Sequence[pa.Array],
        rows: Ints | None = None,
        weights: Ints | None = None,
    ) -> None:
        """Add entries.

        Args:
            slots: int64[n].
            sort_values: one array for each sort column.
            rows: int64[n] row numbers, where the spec names a `Rows`.
            weights: int64[n] > 0, or None: all 1.
        """
        self._wait(slots, sort_values, rows, np.ones(len(slots), np.int64), weights)
        self._added += len(slots)

    def remove(
        self,
        slots: Ints,
        sort_values: Sequence[pa.Array],
        rows: Ints | None = None,
        weights: Ints | None = None,
    ) -> None:
        """Take weight away; arguments as `add`."""
        self._wait(slots, sort_values, rows, np.full(len(slots), -1), weights)

    def _wait(
        self,
        slots: Ints,
        values: Sequence[pa.Array],
        rows: Ints | None,
        signs: Ints,
        weights: Ints | None,
    ) -> None:
        if (rows is not None) != self._has_rows:
            raise InternalError(f'state table "{self.name}" and its caller disagree on row numbers')
        if len(slots):
            delta = signs if weights is None else signs * weights
            self._waiting.append((slots, list(values), rows, delta))

    def expire(self, slots: Ints) -> None:
        """Slots lose all their entries; called for slots that the index released."""
        self._settle()
        if not self._leaves.entries:
            return
        slots = distinct(slots)
        starts, stops = self._bounds(slots)
        self._forget(self._leaves.delete(starts, stops))

    def drop_below(self, t: int, keep_last: int = 0) -> Ints:
        """Drop entries whose first sort column is below `t`, but the last ones of each slot.

        Args:
            t: the stored integer of a first sort column that is ascending, NOT NULL and a
                number, date or time.
            keep_last: how many of a slot's entries below `t` stay.

        Returns:
            The row numbers of the dropped entries (empty where the table carries none). Work is in
            proportion to the entries that came below `t` since the last call.
        """
        self._settle()
        queue = self._queue()
        _, slots = queue.pop(t - 1)
        if not len(slots):
            return np.zeros(0, np.int64)
        slots = distinct(slots)
        starts, _ = self._bounds(slots)
        limit = np.full(len(slots), np.uint64((t ^ -(1 << 63)) & 0xFFFFFFFFFFFFFFFF))
        stops = self._leaves.ordinals(self._bound(slots, OrderKeys([limit], []), np.uint64(0)))
        stops = np.maximum(starts, stops - keep_last)
        gone = self._leaves.delete(starts, stops)
        self._forget(gone)
        if not self._has_rows or not gone:
            return np.zeros(0, np.int64)
        return gone[-1].view(np.int64)

    def _queue(self) -> TimeQueue:
        """Every entry's first sort column and slot, in order of time; made at the first need."""
        if self._times is None:
            first = self.spec.sort[0]
            if first.descending or first.type.nullable or self._order.first_width != 1:
                raise InternalError(f'state table "{self.name}" has no time to drop entries by')
            self._times = TimeQueue()
            words = self._leaves.read(self._leaves.positions(np.arange(self._leaves.entries)))
            self._times.put(_number(words[1]), words[0].view(np.int64))
        return self._times

    def _settle(self) -> None:
        """Put what waits into the leaves."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        slots = np.concatenate([w[0] for w in waiting])
        values = [
            pa.concat_arrays([w[1][i] for w in waiting]) if len(waiting) > 1 else waiting[0][1][i]
            for i in range(len(self.spec.sort))
        ]
        delta = np.concatenate([w[3] for w in waiting])
        keys = self._order.encode(values)
        words = [slots.view(np.uint64), *keys.words]
        if self._has_rows:
            rows = np.concatenate([w[2] for w in waiting if w[2] is not None])
            words.append(rows.view(np.uint64))
        order = np.lexsort(words[::-1])
        words = [w.take(order) for w in words]
        start = np.zeros(len(order), np.bool_)
        start[0] = True
        for w in words:
            start[1:] |= w[1:] != w[:-1]
        first = start.nonzero()[0]
        delta = np.add.reduceat(delta.take(order), first)
        changed = delta.nonzero()[0]
        first = first.take(changed)
        if not len(first):
            return
        words = [w.take(first) for w in words]
        query = self._query(words, OrderKeys(words[1:], keys.long))
        orphans, gone = self._leaves.apply(
            query, delta.take(changed), lambda new: self._keep(words, keys, new)
        )
        self.orphans += orphans
        self._dirty += len(first)
        self._forget(gone)
        if self._times is not None:
            came = delta.take(changed) > 0
            self._times.put(_number(words[1][came]), words[0][came].view(np.int64))

    def _keep(self, words: list[Words], keys: OrderKeys, new: Ints) -> list[Words]:
        """The words under which new entries are stored: longer strings get their own numbers."""
        stored = [w.take(new) for w in words]
        for text, long in zip(self._order.texts, keys.long, strict=True):
            if long is None:
                continue
            second = stored[text.word + 2]
            plain = ~second if text.descending else second
            at = ((plain & LONG) != 0).nonzero()[0]
            if not len(at):
                continue
            rank = (plain.take(at) & (LONG - np.uint64(1))).view(np.int64)
            numbers = text.keep(long.take(pa.array(rank))).astype(np.uint64)
            named = ((plain.take(at) >> _S32) << _S32) | LONG | numbers
            second[at] = ~named if text.descending else named
        return stored

    def _forget(self, gone: list[Words]) -> None:
        if gone:
            self._dirty += len(gone[0])
            for text in self._order.texts:
                text.forget(gone[text.word + 2])

    # -- queries on the tree -------------------------------------------------------------------

    def _query(self, words: list[Words], keys: OrderKeys) -> Query:
        """A query for full keys, whose sort words are `keys`."""
        long = {
            text.word + 2: (text, values)
            for text, values in zip(self._order.texts, keys.long, strict=False)
            if values is not None
        }
        if not long:
            return Query(words)

        def tied(number: int, mine: Words, theirs: Words) -> Bools:
            text, _ = long[number]
            if text.descending:
                mine, theirs = ~mine, ~theirs
            same: Bools = (((mine ^ theirs) >> _S32) == 0) & ((mine & theirs & LONG) != 0)
            return same

        def tie(number: int, mine: Words, rows: Ints) -> npt.NDArray[np.int8]:
            text, values = long[number]
            theirs = words[number].take(rows)
            rank = (~theirs if text.descending else theirs) & (LONG - np.uint64(1))
            a, b = text.bytes(mine), values.take(pa.array(rank.view(np.int64)))
            more = pc.greater(a, b).to_numpy(zero_copy_only=False).view(np.int8)
            less = pc.less(a, b).to_numpy(zero_copy_only=False).view(np.int8)
            return less - more if text.descending else more - less

        return Query(words, frozenset(long), tied, tie)

    def _bound(self, slots: Ints, keys: OrderKeys | None, fill: np.uint64) -> Query:
        """A query for slots and the first sort words, the other words all zero or all one."""
        given = [slots.view(np.uint64)] + ([] if keys is None else keys.words)
        rest = self._leaves.width - len(given)
        words = given + [np.full(len(slots), fill)] * rest
        return self._query(words, OrderKeys(words[1:], [] if keys is None else keys.long))

    def _bounds(self, slots: Ints) -> tuple[Ints, Ints]:
        """Ordinals of each slot's entries: [start, stop)."""
        starts = self._leaves.ordinals(self._bound(slots, None, np.uint64(0)))
        stops = self._leaves.ordinals(self._bound(slots, None, _ALL), after=True)
        return starts, stops

    def _entries(self, starts: Ints, counts: Ints) -> Entries:
        probe, ordinals = expand(starts, counts)
        return self._at(probe, self._leaves.positions(ordinals))

    def _at(self, probe: Ints, positions: Ints) -> Entries:
        words = self._leaves.read(positions)
        rows = words[-1].view(np.int64) if self._has_rows else None
        return Entries(probe, self._order.decode(words[1:]), self._leaves.weights(positions), rows)

    # -- questions -----------------------------------------------------------------------------

    def entries(self, slots: Ints) -> Entries:
        """All entries of each slot."""
        self._settle()
        starts, stops = self._bounds(slots)
        return self._entries(starts, stops - starts)

    def first(self, slots: Ints, n: int) -> Entries:
        """At most the first `n` entries of each slot."""
        self._settle()
        starts, stops = self._bounds(slots)
        return self._entries(starts, np.minimum(stops - starts, n))

    def last(self, slots: Ints, n: int) -> Entries:
        """At most the last `n` entries of each slot, in their order."""
        self._settle()
        starts, stops = self._bounds(slots)
        starts = np.maximum(starts, stops - n)
        return self._entries(starts, stops - starts)

    def places(
        self, slots: Ints, start: Ints | int, stop: Ints | int, held: Ints | None = None
    ) -> Entries:
        """Entries of each slot from place `start` (0 is the first) to before `stop`, both ≥ 0.

        Args:
            slots: int64[n].
            start: for each slot, or one for all.
            stop: the same.
            held: int64[n], how many entries each slot has, for a caller that knows: it spares half
                of the search.
        """
        self._settle()
        if held is None:
            starts, stops = self._bounds(slots)
        else:
            starts = self._leaves.ordinals(self._bound(slots, None, np.uint64(0)))
            stops = starts + held
        first = np.minimum(starts + start, stops)
        return self._entries(first, np.maximum(np.minimum(starts + stop, stops) - first, 0))

    def range(self, slots: Ints, low: pa.Array | None, high: pa.Array | None) -> Entries:
        """Entries of each slot between its own bounds.

        Args:
            slots: int64[n].
            low: least value of the first sort column for each probe, included; None: no bound.
            high: greatest value, included; None: no bound.
        """
        self._settle()
        if self.spec.sort[0].descending:
            low, high = high, low
        no_low = None if low is None else self._order.encode([low])
        no_high = None if high is None else self._order.encode([high])
        starts = self._leaves.ordinals(self._bound(slots, no_low, np.uint64(0)))
        stops = self._leaves.ordinals(self._bound(slots, no_high, _ALL), after=True)
        return self._entries(starts, np.maximum(stops - starts, 0))

    def asof(self, slots: Ints, t: pa.Array) -> Entries:
        """For each probe the slot's last entry whose first sort column is not after `t`, if any."""
        self._settle()
        query = self._bound(slots, self._order.encode([t]), _ALL)
        positions = self._leaves.last_positions(query, after=True)
        probe = (self._leaves.slots(positions) == slots).nonzero()[0]
        return self._at(probe, positions.take(probe))

    def rank(self, slots: Ints, keys: Sequence[pa.Array]) -> Ints:
        """int64[n]: how many entries of each slot stand before these sort values."""
        self._settle()
        starts = self._leaves.ordinals(self._bound(slots, None, np.uint64(0)))
        place = self._leaves.ordinals(self._bound(slots, self._order.encode(keys), np.uint64(0)))
        return place - starts

    def min(self, slots: Ints) -> tuple[pa.Array, Bools]:
        """The first entry's first sort column, NULL where there is none; bool[n], where there is."""
        self._settle()
        return self._extreme(
            slots, self._leaves.next_positions(self._bound(slots, None, np.uint64(0)))
        )

    def max(self, slots: Ints) -> tuple[pa.Array, Bools]:
        """The last entry's first sort column; as `min`."""
        self._settle()
        query = self._bound(slots, None, _ALL)
        return self._extreme(slots, self._leaves.last_positions(query, after=True))

    def _extreme(self, slots: Ints, positions: Ints) -> tuple[pa.Array, Bools]:
        found = self._leaves.slots(positions) == slots
        at = found.nonzero()[0]
        values = self._order.decode(self._leaves.read(positions.take(at))[1:], 1)[0]
        if len(at) == len(slots):
            return values, found
        number = np.cumsum(found) - 1
        return values.take(pa.array(number, mask=~found)), found

    # -- life ----------------------------------------------------------------------------------

    def end_step(self) -> None:
        """Nothing waits any more."""
        self._settle()
        if self._times is not None:
            self._times.maintain()

    def stats(self) -> TableStats:
        """Entries and their memory."""
        size = self._leaves.nbytes + sum(t.values.nbytes for t in self._order.texts)
        size += 0 if self._times is None else self._times.nbytes
        return TableStats(self._leaves.entries, size, self._added, self._dirty)

    @property
    def _schema(self) -> pa.Schema:
        fields = [pa.field("$slot", pa.int64()), pa.field("$weight", pa.int64())]
        if self._has_rows:
            fields.append(pa.field("$row", pa.int64()))
        fields += [pa.field(f"sort{i}", arrow_type(c.type)) for i, c in enumerate(self.spec.sort)]
        return pa.schema(fields)

    def segments(self) -> list[Segment]:
        """All entries, by slot and in order."""
        self._settle()

        def columns(ordinals: Ints) -> list[pa.Array]:
            positions = self._leaves.positions(ordinals)
            found = self._at(ordinals, positions)
            arrays = [pa.array(self._leaves.slots(positions)), pa.array(found.weights)]
            return arrays + ([] if found.rows is None else [pa.array(found.rows)]) + found.values

        schema = self._schema
        batches = batches_of(schema, np.arange(self._leaves.entries), columns)
        self._dirty = 0
        return [Segment(self.name, "all", schema, batches)]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Entries get back behind their slots."""
        for segment in segments:
            for batch in segment.batches:
                at = 2 + self._has_rows
                rows = batch.column(2).to_numpy() if self._has_rows else None
                self.add(
                    batch.column(0).to_numpy(),
                    batch.columns[at:],
                    rows,
                    batch.column(1).to_numpy(),
                )
                self._settle()
        self._added = self._dirty = 0


def _number(words: Words) -> Ints:
    """The stored integers of order words."""
    return (words ^ np.uint64(1 << 63)).view(np.int64)
