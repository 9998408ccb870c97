"""Joins over equality of keys, on input that changes.

    SELECT * FROM l LEFT JOIN r ON l.k = r.k AND l.a < r.b

In → out, for a left join, one step each:

    left  +I 1 a   →  +I 1 a NULL
    right +I 1 x   →  -D 1 a NULL, +I 1 a 1 x
    right -D 1 x   →  -D 1 a 1 x, +I 1 a NULL

Requires: append or retract on either side; a unique key only where the layout says so.
Emits: append for an inner join of append sides, else retract. Pairs are given as rows come
(`ΔA⋈B`, then `A⋈ΔB` over the state that has ΔA: the bilinear form). A preserved row without a match
is padded with NULL: taken back before its first match is given, given again in `flush` where the
last match is gone. A retraction of a row that is not there is counted (`orphan-retractions`) and ignored; where
the side forgets rows with time it may be one of those, and takes back what it meets on the other side
now (or its padding), with or without having been joined with it, as in Flink.
NULL in a key matches nothing unless the pair of keys is null-safe.
State: `keys` (join key → slot) for both sides, with the number of rows of each; per side
`…_rows` and what its layout needs (`join_side.py`). A preserved row remembers how often it is given
padded, and under a further condition, or where a side forgets rows with time, its number of matches,
in which a forgotten row still counts: as in Flink a preserved row is padded again only when
the last of its matches is taken back. What was never joined may be taken back too, so that the number
falls below zero, and the row stays padded until it rises above. A key is freed with its last row.
Cost: per row one look-up of its key, one probe, one row stored; per pair its columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    INSERT,
    Changes,
    Keys,
    split_changes,
)
from flowsql.expr import Predicate
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.cutting import cut
from flowsql.operators.join_pairs import Arrived, Merge, pieces, spans
from flowsql.operators.join_side import JoinSideState, Update
from flowsql.operators.touched import Touched
from flowsql.state import KeyIndex
from flowsql.types import DataType

__all__ = ["JoinOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]


class JoinOperator(Operator):
    """See the module.

    Args:
        left: state of port 0's rows.
        right: state of port 1's rows.
        preserved: for each side, whether its rows are given without a match.
        null_safe: for each key pair, whether NULL matches NULL.
        key_types: of the join key's columns.
        condition: over a pair of rows, or None.
        output: schema of the output: the left side's columns, then the right side's.
    """

    def __init__(
        self,
        *,
        left: JoinSideState,
        right: JoinSideState,
        preserved: tuple[bool, bool],
        null_safe: tuple[bool, ...],
        key_types: tuple[DataType, ...],
        condition: Predicate | None,
        output: pa.Schema,
    ) -> None:
        self._sides = (left, right)
        self._preserved = preserved
        self._null_safe = null_safe
        self._key_types = key_types
        self._condition = condition
        self._output = output
        ages = left.ttl > 0 or right.ttl > 0
        # Whether a row has a match is told by the number of its matches, or by that of its key.
        self._counting = condition is not None or ages
        # Rows leave, or are looked at in `flush`, only here.
        self._lasting = left.append and right.append and not any(preserved) and not ages
        # Of the running step only:
        self._touched = Touched()
        # For each side: rows that may have to be padded, and their keys' slots.
        self._candidates: tuple[list[tuple[Ints, Ints]], ...] = ([], [])
        # For each side: keys whose rows may all have to be padded.
        self._bared: tuple[list[Ints], ...] = ([], [])

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._keys: KeyIndex = context.state["keys"]
        for side in self._sides:
            side.open(context.state)

    # -- rows come -----------------------------------------------------------------------------

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        for side in self._sides:
            side.begin(self.context.clock)
        me = self._sides[port]
        batch = changes.batch
        signs = None if me.append else changes.signs
        loose = self._null_keys(me, batch)
        arrival: Ints | None = None
        pads: Changes | None = None
        if loose is not None:
            if self._preserved[port]:
                pads = self._padded_input(port, changes, loose)
            arrival = (~loose).nonzero()[0]
            batch = batch.take(pa.array(arrival))
            signs = None if signs is None else signs.take(arrival)
        merge = Merge(arrival, None if loose is None else loose.nonzero()[0], pads)
        if batch.num_rows:
            yield from self._join(port, batch, signs, merge)
        yield from merge.rest()

    def _null_keys(self, me: JoinSideState, batch: pa.RecordBatch) -> Bools | None:
        """bool[n]: rows whose key matches nothing; None where there are none."""
        found: Bools | None = None
        for column, safe in zip(me.keys, self._null_safe, strict=True):
            array = batch.column(column)
            if not safe and array.null_count:
                nulls = array.is_null().to_numpy(zero_copy_only=False)
                found = nulls if found is None else found | nulls
        return found

    def _join(
        self,
        port: int,
        batch: pa.RecordBatch,
        signs: Signs | None,
        merge: Merge,
    ) -> Iterator[Changes]:
        me, other = self._sides[port], self._sides[1 - port]
        keys = Keys.of([batch.column(c) for c in me.keys], self._key_types, batch.num_rows)
        slots, _ = self._keys.ensure(keys)
        if not self._lasting:
            self._touched.add(slots, self._keys.capacity)
        places: Ints | None = None
        if signs is not None:
            places, accepted = me.accept(batch, slots, signs)
            if accepted is not None:
                rows = accepted.nonzero()[0]
                self.context.counters.add("orphan-retractions", len(slots) - len(rows))
                if me.ttl:
                    orphans = (~accepted).nonzero()[0]
                    yield from self._pass_on(
                        port, batch.take(pa.array(orphans)), slots.take(orphans)
                    )
                if not len(rows):
                    return
                batch = batch.take(pa.array(rows))
                slots, signs, places = slots.take(rows), signs.take(rows), places.take(rows)
                merge.keep(rows)
        if self._preserved[1 - port] and not self._counting:
            added = slots if signs is None else slots[signs > 0]
            first = np.unique(added[me.counts(added) == 0])
            probe, rows = other.probe(first)
            yield from self._unpad(1 - port, rows, first.take(probe))
        update = me.update(batch, slots, signs, places)
        if self._preserved[port] and len(update.dropped):
            yield from self._unpad_dropped(port, update)
        hits = None
        if self._counting and self._preserved[port]:
            hits = np.zeros(len(slots), np.int64)
        arrived = Arrived(port, batch, signs, slots)
        for start, stop in spans(other, slots):
            probe, rows = other.probe(slots[start:stop])
            if start:
                probe += start
            for part in pieces(batch, me.columns, probe, other.rows.widths(rows)):
                yield from self._pairs(arrived, (probe[part], rows[part]), hits, merge)
        if hits is not None:
            me.rows.write(update.new_rows, "matches", hits.take(update.new_from))
        self._note(port, slots, signs, update)

    def _pass_on(self, port: int, batch: pa.RecordBatch, slots: Ints) -> Iterator[Changes]:
        """Retractions of rows that may have been forgotten: of what they meet now, as in Flink.

        All of these stand before what else the batch comes to, so that no sink deletes by its key
        what has just been inserted.
        """
        me, other = self._sides[port], self._sides[1 - port]
        hits = np.zeros(len(slots), np.int64)
        arrived = Arrived(port, batch, np.full(len(slots), -1, np.int8), slots)
        for start, stop in spans(other, slots):
            probe, rows = other.probe(slots[start:stop])
            probe = probe + start
            for part in pieces(batch, me.columns, probe, other.rows.widths(rows)):
                yield from self._pairs(
                    arrived, (probe[part], rows[part]), hits, Merge(None, None, None)
                )
        bare = hits == 0
        if self._preserved[port] and bare.any():
            orphans = Changes(batch, np.full(len(slots), DELETE, np.int8))
            yield from split_changes(self._padded_input(port, orphans, bare))

    def _pairs(
        self, arrived: Arrived, pairs: tuple[Ints, Ints], hits: Ints | None, merge: Merge
    ) -> Iterator[Changes]:
        """Rows of a batch with stored rows of the other side.

        Args:
            arrived: the batch.
            pairs: numbers of its rows, ascending, and the stored row each meets.
            hits: matches of each row of the batch, counted here; None where nobody asks.
            merge: puts rows without a key between.
        """
        port, signs = arrived.port, arrived.signs
        other = self._sides[1 - port]
        probe, rows = pairs
        joined = self._pair_batch(arrived, probe, rows)
        if self._condition is not None:
            matching = self._condition(joined, self.context.clock)
            if not matching.all():
                chosen = matching.nonzero()[0]
                if not len(chosen):
                    return
                joined = joined.take(pa.array(chosen))
                probe, rows = probe.take(chosen), rows.take(chosen)
        if self._counting and self._preserved[1 - port]:
            yield from self._count_matches(arrived, probe, rows)
        weights = other.rows.weights(rows) if other.weighted else None
        if hits is not None:
            np.add.at(hits, probe, 1 if weights is None else weights)
        kinds = None
        if signs is not None:
            taken = signs.take(probe) < 0
            if taken.any():
                kinds = np.where(taken, DELETE, INSERT).astype(np.int8)
        given = Changes(joined, kinds)
        if weights is None or (weights == 1).all():
            yield from split_changes(merge.mix(probe, given))
            return
        times = np.repeat(np.arange(len(rows)), weights)
        width = 1 + joined.nbytes // len(rows)
        for at in cut(width, len(times)):
            part = times[at]
            yield from split_changes(merge.mix(probe.take(part), given.take(part)))

    def _pair_batch(self, arrived: Arrived, probe: Ints, rows: Ints) -> pa.RecordBatch:
        me, other = self._sides[arrived.port], self._sides[1 - arrived.port]
        batch = arrived.batch
        index = pa.array(probe)
        whole = len(probe) == batch.num_rows and bool((probe == np.arange(len(probe))).all())
        taken: dict[int, pa.Array] = {}

        def mine(column: int) -> pa.Array:
            if column not in taken:
                array = batch.column(column)
                taken[column] = array if whole else array.take(index)
            return taken[column]

        own = [mine(c) for c in me.columns]
        theirs = other.given(rows, lambda k: mine(me.keys[k]))
        arrays = own + theirs if arrived.port == 0 else theirs + own
        return pa.RecordBatch.from_arrays(arrays, schema=self._output)

    # -- preserved rows ------------------------------------------------------------------------

    def _padded_input(self, port: int, changes: Changes, loose: Bools) -> Changes:
        """The rows of a batch that match nothing, padded; they need no state."""
        me = self._sides[port]
        chosen = changes.filter(loose)
        arrays = self._padded(port, [chosen.batch.column(c) for c in me.columns], len(chosen))
        return Changes(pa.RecordBatch.from_arrays(arrays, schema=self._output), chosen.codes)

    def _padded(self, port: int, own: list[pa.Array], length: int) -> list[pa.Array]:
        ahead = len(self._sides[0].columns) if port == 1 else 0
        fields = list(self._output)
        fields = fields[:ahead] if port == 1 else fields[len(own) :]
        nulls = [pa.nulls(length, f.type) for f in fields]
        return nulls + own if port == 1 else own + nulls

    def _padding(
        self, port: int, rows: Ints, slots: Ints, times: Ints, *, retract: bool
    ) -> Iterator[Changes]:
        """Stored rows of one side padded with NULL, each so many times."""
        me = self._sides[port]
        if (times != 1).any():
            rows, slots = np.repeat(rows, times), np.repeat(slots, times)
        for at in cut(me.rows.widths(rows), len(rows)):
            part = rows[at]
            key = self._keys.keys(slots[at])
            arrays = self._padded(port, me.given(part, key.__getitem__), len(part))
            kinds = np.full(len(part), DELETE, np.int8) if retract else None
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            yield from split_changes(Changes(batch, kinds))

    def _unpad(self, port: int, rows: Ints, slots: Ints) -> Iterator[Changes]:
        """Take back what is given padded of these rows, all different."""
        if not len(rows):
            return
        me = self._sides[port]
        padded = me.rows.read(rows, "padded")
        given = padded.nonzero()[0]
        if len(given):
            rows = rows.take(given)
            me.rows.write(rows, "padded", 0)
            yield from self._padding(
                port, rows, slots.take(given), padded.take(given), retract=True
            )

    def _unpad_dropped(self, port: int, update: Update) -> Iterator[Changes]:
        """Take back the padding of rows that are gone, or have become fewer."""
        me = self._sides[port]
        rows = update.dropped
        padded = me.rows.read(rows, "padded")
        left = np.where(me.rows.alive(rows), me.rows.weights(rows), 0)
        excess = (padded > left).nonzero()[0]
        if len(excess):
            rows, left = rows.take(excess), left.take(excess)
            me.rows.write(rows, "padded", left)
            yield from self._padding(
                port,
                rows,
                update.dropped_slots.take(excess),
                padded.take(excess) - left,
                retract=True,
            )

    def _count_matches(self, arrived: Arrived, probe: Ints, rows: Ints) -> Iterator[Changes]:
        """Stored rows of the other, preserved side gain or lose matches."""
        port = 1 - arrived.port
        me = self._sides[port]
        slots = arrived.slots.take(probe)
        if arrived.signs is None:
            gaining, at = rows, slots
            change: Ints | int = 1
        else:
            change = arrived.signs.take(probe).astype(np.int64)
            gaining, at = rows[change > 0], slots[change > 0]
        distinct, where = np.unique(gaining, return_index=True)
        yield from self._unpad(port, distinct, at.take(where))
        matches = me.rows.add(rows, "matches", change)
        me.rewrite(rows)
        bare = (matches <= 0).nonzero()[0]
        if len(bare):
            self._candidates[port].append((rows.take(bare), slots.take(bare)))

    def _note(self, port: int, slots: Ints, signs: Signs | None, update: Update) -> None:
        """Remember what `flush` has to look at."""
        other = self._sides[1 - port]
        if self._preserved[port] and len(update.added):
            rows, at = update.added, update.added_slots
            if not self._counting:
                alone = (other.counts(at) == 0).nonzero()[0]
                rows, at = rows.take(alone), at.take(alone)
            if len(rows):
                self._candidates[port].append((rows, at))
        if self._preserved[1 - port] and not self._counting and signs is not None:
            taken = slots[signs < 0]
            bare = taken[self._sides[port].counts(taken) == 0]
            if len(bare):
                self._bared[1 - port].append(bare)

    # -- end of the step -----------------------------------------------------------------------

    def flush(self) -> Iterator[Changes]:
        for port in (0, 1):
            if self._preserved[port]:
                yield from self._pad(port)
        if self._lasting:
            return
        for side in self._sides:
            side.begin(self.context.clock)
            self._touched.add(side.age(), self._keys.capacity)
        freed = np.zeros(0, np.int64)
        if self._touched.size:
            slots = self._touched.slots()
            left, right = self._sides
            freed = slots[(left.counts(slots) == 0) & (right.counts(slots) == 0)]
            if len(freed):
                self._keys.free(freed)
            self._touched.clear()
        for side in self._sides:
            side.end_step(freed)

    def _pad(self, port: int) -> Iterator[Changes]:
        """Give padded what is without a match now and not given yet."""
        me, other = self._sides[port], self._sides[1 - port]
        found = self._candidates[port][:]
        self._candidates[port].clear()
        if self._bared[port]:
            slots = np.unique(np.concatenate(self._bared[port]))
            self._bared[port].clear()
            slots = slots[other.counts(slots) == 0]
            probe, rows = me.probe(slots)
            found.append((rows, slots.take(probe)))
        if not found:
            return
        rows, first = np.unique(np.concatenate([r for r, _ in found]), return_index=True)
        slots = np.concatenate([s for _, s in found]).take(first)
        unmatched = me.rows.alive(rows)
        rows, slots = rows[unmatched], slots[unmatched]
        if not self._counting:
            unmatched = other.counts(slots) == 0
        else:
            unmatched = me.rows.read(rows, "matches") <= 0
        rows, slots = rows[unmatched], slots[unmatched]
        weights = me.rows.weights(rows)
        missing = weights - me.rows.read(rows, "padded")
        lacking = (missing > 0).nonzero()[0]
        if len(lacking):
            rows = rows.take(lacking)
            me.rows.write(rows, "padded", weights.take(lacking))
            yield from self._padding(
                port, rows, slots.take(lacking), missing.take(lacking), retract=False
            )
