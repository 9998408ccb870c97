"""Semi and anti joins: IN, EXISTS and their opposites, on input that changes.

    SELECT * FROM l WHERE l.k IN (SELECT k FROM r)
    SELECT * FROM l WHERE NOT EXISTS (SELECT * FROM r WHERE r.k = l.k AND r.b > l.a)

In → out, for an anti join, one step each:

    left  +I 1 a   →  +I 1 a
    right +I 1 x   →  -D 1 a
    right -D 1 x   →  +I 1 a

Requires: append or retract on either side; a unique key only where the layout says so.
Emits: in `flush`, one net change a left row and step, retractions first, rows in order of
arrival; append for a semi join of append sides, else retract. NULL in a key matches nothing unless the
pair of keys is null-safe. Null-aware (NOT IN): where the right side has no row all left rows
are given, where it holds a NULL none, and rows with a NULL key only in the first case. A retraction
of a row that is not there is counted (`orphan-retractions`) and ignored; where its side forgets rows
with time it may be one of those, and counts as if it were there, as in Flink: a left row is taken back
at once, if it would be given now; a right one is a match less to the left rows it meets, whose number
may fall below zero. Without a condition the right side knows its rows by key only.
State: `keys` (join key → slot) for both sides, with the number of rows of each; the left side's
rows, each with how often it is given and, under a condition, its number of matches
(`join_side.py`); the right side's rows only under a condition; `facts` of a null-aware join. A
key is freed with its last row. Where a side forgets rows with time it is as under a condition, and a
forgotten row still counts as a match.
Cost: per row one look-up of its key; a left row is stored; a right one costs more only where it is the
first or last of its key, then as much as the key has left rows. Under a condition a right row meets
all left rows of its key. A null-aware join looks at all left rows where the right side's first or last
row, or first or last NULL, comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import DELETE, Changes, Keys, split_changes
from flowsql.expr import Predicate
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.cutting import cut
from flowsql.operators.join_pairs import pieces, spans
from flowsql.operators.join_side import JoinSideState
from flowsql.operators.sequence import accepted_counts
from flowsql.operators.touched import Touched
from flowsql.state import Columns, KeyIndex
from flowsql.types import DataType

__all__ = ["SemiJoinOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

_NONE: Ints = np.zeros(0, np.int64)


class SemiJoinOperator(Operator):
    """See the module.

    Args:
        anti: rows without a match are given.
        left: state of port 0's rows.
        right: state of port 1's rows; None where they are known by key only.
        right_keys: the right input's join key.
        null_safe: for each key pair, whether NULL matches NULL.
        null_aware: NOT IN, see the module; no side forgets rows then.
        key_types: of the join key's columns.
        condition: over a pair of rows, or None.
        pair: schema of a pair: the left side's columns, then the right side's.
        output: schema of the output: the left side's columns.
    """

    def __init__(
        self,
        *,
        anti: bool,
        left: JoinSideState,
        right: JoinSideState | None,
        right_keys: tuple[int, ...],
        null_safe: tuple[bool, ...],
        null_aware: bool,
        key_types: tuple[DataType, ...],
        condition: Predicate | None,
        pair: pa.Schema,
        output: pa.Schema,
    ) -> None:
        self._anti = anti
        self._left = left
        self._right = right
        self._right_keys = right_keys
        self._null_safe = null_safe
        self._null_aware = null_aware
        self._key_types = key_types
        self._condition = condition
        self._pair = pair
        self._output = output
        # Of the running step only:
        self._touched = Touched()
        # Keys that right rows touched, by first touch, and whether each had right rows before.
        self._moved = Touched()
        self._had: list[Bools] = []
        # Left rows that may have to be given or taken back, and their keys' slots.
        self._candidates: list[tuple[Ints, Ints]] = []
        # Of a null-aware join: had the right side rows, and had it NULLs, before the step.
        self._facts_before: tuple[bool, bool] | None = None

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._keys: KeyIndex = context.state["keys"]
        self._counts: Columns = context.state["keys_columns"]
        self._left.open(context.state)
        if self._right is not None:
            self._right.open(context.state)
        if self._null_aware:
            self._facts: Columns = context.state["facts_columns"]
            self._all: KeyIndex = context.state["facts"]

    # -- rows come -----------------------------------------------------------------------------

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        self._begin()
        batch = changes.batch
        columns = self._right_keys if port else self._left.keys
        append = changes.codes is None
        signs = None if append else changes.signs
        loose = self._null_keys(batch, columns)
        if port and self._null_aware and loose is not None:
            self._count_nulls(changes.signs[loose])
        # Right rows that match nothing count for nothing, and so do left ones of a semi join.
        if loose is not None and (port or not self._anti):
            rows = (~loose).nonzero()[0]
            if not len(rows):
                return iter(())
            batch = batch.take(pa.array(rows))
            signs = None if signs is None else signs.take(rows)
        keys = Keys.of([batch.column(c) for c in columns], self._key_types, batch.num_rows)
        slots, _ = self._keys.ensure(keys)
        self._touched.add(slots, self._keys.capacity)
        if port == 0:
            return self._add_left(batch, slots, signs)
        if self._right is None:
            self._count_right(slots, signs)
        else:
            self._add_right(self._right, batch, slots, signs)
        return iter(())

    def _begin(self) -> None:
        self._left.begin(self.context.clock)
        if self._right is not None:
            self._right.begin(self.context.clock)

    def _null_keys(self, batch: pa.RecordBatch, columns: tuple[int, ...]) -> Bools | None:
        """bool[n]: rows whose key matches nothing; None where there are none."""
        found: Bools | None = None
        for column, safe in zip(columns, self._null_safe, strict=True):
            array = batch.column(column)
            if not safe and array.null_count:
                nulls = array.is_null().to_numpy(zero_copy_only=False)
                found = nulls if found is None else found | nulls
        return found

    def _accepted(
        self, side: JoinSideState, batch: pa.RecordBatch, slots: Ints, signs: Signs | None
    ) -> tuple[pa.RecordBatch, Ints, Signs | None, Ints | None, Ints]:
        """The rows that count, what each is kept under, and which rows do not count."""
        if side.append:
            return batch, slots, None, None, _NONE
        signs = np.ones(len(slots), np.int8) if signs is None else signs
        places, accepted = side.accept(batch, slots, signs)
        if accepted is None:
            return batch, slots, signs, places, _NONE
        rows, orphans = accepted.nonzero()[0], (~accepted).nonzero()[0]
        self.context.counters.add("orphan-retractions", len(orphans))
        batch = batch.take(pa.array(rows))
        return batch, slots.take(rows), signs.take(rows), places.take(rows), orphans

    def _add_left(
        self, whole: pa.RecordBatch, all_slots: Ints, all_signs: Signs | None
    ) -> Iterator[Changes]:
        batch, slots, signs, places, orphans = self._accepted(
            self._left, whole, all_slots, all_signs
        )
        if len(orphans) and self._left.ttl:
            yield from self._pass_on(whole.take(pa.array(orphans)), all_slots.take(orphans))
        if not len(slots):
            return
        hits = self._hits(batch, slots)
        update = self._left.update(batch, slots, signs, places)
        if self._right is not None and len(update.new_rows):
            self._left.rows.write(update.new_rows, "matches", hits.take(update.new_from))
        if len(update.added):
            self._candidates.append((update.added, update.added_slots))
        if len(update.dropped):
            self._candidates.append((update.dropped, update.dropped_slots))

    def _hits(self, batch: pa.RecordBatch, slots: Ints) -> Ints:
        """How many right rows each of these left rows matches; 0 where nobody counts them."""
        hits = np.zeros(len(slots), np.int64)
        if self._right is not None:
            for probe, rows in self._matches(self._left, self._right, batch, slots):
                weights = self._right.rows.weights(rows) if self._right.weighted else 1
                np.add.at(hits, probe, weights)
        return hits

    def _pass_on(self, batch: pa.RecordBatch, slots: Ints) -> Iterator[Changes]:
        """Retractions of left rows that may have been forgotten, if they would be given now."""
        rows = self._belongs(self._hits(batch, slots) > 0, slots).nonzero()[0]
        if len(rows):
            index = pa.array(rows)
            arrays = [batch.column(c).take(index) for c in self._left.columns]
            given = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            yield from split_changes(Changes(given, np.full(len(rows), DELETE, np.int8)))

    def _count_right(self, slots: Ints, signs: Signs | None) -> None:
        """Right rows without a condition: their number by key."""
        counts = self._counts.vector("right_count")
        fresh = self._moved.add(slots, self._keys.capacity)
        if len(fresh):
            self._had.append(counts.take(fresh) > 0)
            self._counts.mark(fresh)
        if signs is None:
            np.add.at(counts, slots, 1)
            self._note_facts(len(slots), 0)
            return
        accepted = accepted_counts(slots, signs, counts.take(slots))
        if accepted is not None:
            rows = accepted.nonzero()[0]
            self.context.counters.add("orphan-retractions", len(slots) - len(rows))
            slots, signs = slots.take(rows), signs.take(rows)
        np.add.at(counts, slots, signs.astype(np.int64))
        self._note_facts(int(signs.sum()), 0)

    def _add_right(
        self, right: JoinSideState, batch: pa.RecordBatch, slots: Ints, signs: Signs | None
    ) -> None:
        """Right rows under a condition: the left rows they meet gain or lose a match."""
        counted, at, which, places, orphans = self._accepted(right, batch, slots, signs)
        if len(orphans) and not right.ttl:
            batch, slots, signs = counted, at, which
        if len(at):
            right.update(counted, at, which, places)
        if not len(slots):
            return
        for probe, rows in self._matches(right, self._left, batch, slots):
            change = 1 if signs is None else signs.take(probe).astype(np.int64)
            self._left.rows.add(rows, "matches", change)
            self._left.rewrite(rows)
            self._candidates.append((rows, slots.take(probe)))

    def _matches(
        self, me: JoinSideState, other: JoinSideState, batch: pa.RecordBatch, slots: Ints
    ) -> Iterator[tuple[Ints, Ints]]:
        """Rows of the batch and the other side's stored rows that they match, in pieces."""
        for start, stop in spans(other, slots):
            probe, rows = other.probe(slots[start:stop])
            if start:
                probe += start
            for part in pieces(batch, me.columns, probe, other.rows.widths(rows)):
                mine, theirs = probe[part], rows[part]
                if self._condition is None:
                    yield mine, theirs
                    continue
                matching = self._condition(
                    self._pairs(me, other, batch, mine, theirs), self.context.clock
                ).nonzero()[0]
                if len(matching):
                    yield mine.take(matching), theirs.take(matching)

    def _pairs(
        self,
        me: JoinSideState,
        other: JoinSideState,
        batch: pa.RecordBatch,
        probe: Ints,
        rows: Ints,
    ) -> pa.RecordBatch:
        index = pa.array(probe)
        own = [batch.column(c).take(index) for c in me.columns]
        theirs = other.given(rows, lambda k: batch.column(me.keys[k]).take(index))
        arrays = own + theirs if me is self._left else theirs + own
        return pa.RecordBatch.from_arrays(arrays, schema=self._pair)

    # -- NOT IN --------------------------------------------------------------------------------

    def _count_nulls(self, signs: Signs) -> None:
        """Rows of the right side whose key is NULL."""
        slots = np.zeros(len(signs), np.int64)
        held = np.full(len(signs), self._facts_counted()[1])
        accepted = accepted_counts(slots, signs, held)
        if accepted is not None:
            self.context.counters.add("orphan-retractions", int((~accepted).sum()))
            signs = signs[accepted]
        self._note_facts(int(signs.sum()), int(signs.sum()))

    def _note_facts(self, rows: int, nulls: int) -> None:
        """The right side has so many more rows, and so many more NULLs among them."""
        if not self._null_aware:
            return
        slot, _ = self._all.ensure(Keys.of([], (), 1))
        if self._facts_before is None:
            self._facts_before = self._facts_now()
        self._facts.add(slot, "rows", rows)
        self._facts.add(slot, "nulls", nulls)

    def _facts_counted(self) -> tuple[int, int]:
        """How many rows the right side has, and how many NULLs."""
        slots = self._all.find(Keys.of([], (), 1))
        if slots[0] < 0:
            return 0, 0
        rows, nulls = (int(self._facts.read(slots, name)[0]) for name in ("rows", "nulls"))
        return rows, nulls

    def _facts_now(self) -> tuple[bool, bool]:
        """Whether the right side has a row, and whether it has a NULL."""
        rows, nulls = self._facts_counted()
        return rows > 0, nulls > 0

    # -- end of the step -----------------------------------------------------------------------

    def flush(self) -> Iterator[Changes]:
        self._begin()
        rows, slots = self._looked_at()
        if len(rows):
            left = self._left.rows
            weights = np.where(left.alive(rows), left.weights(rows), 0)
            if self._right is not None:
                matched = left.read(rows, "matches") > 0
            else:
                matched = self._counts.vector("right_count").take(slots) > 0
            wanted = np.where(self._belongs(matched, slots), weights, 0)
            change = wanted - left.read(rows, "given")
            moved = change.nonzero()[0]
            if len(moved):
                rows, slots, change = rows.take(moved), slots.take(moved), change.take(moved)
                left.write(rows, "given", wanted.take(moved))
                for retract in (True, False):
                    chosen = (change < 0 if retract else change > 0).nonzero()[0]
                    times = np.abs(change.take(chosen))
                    yield from self._give(rows.take(chosen), slots.take(chosen), times, retract)
        self._end_step()

    def _looked_at(self) -> tuple[Ints, Ints]:
        """Left rows, each once, that may have to be given or taken back, and their keys' slots."""
        found, self._candidates = self._candidates, []
        if self._moved.size:
            slots = self._moved.slots()
            has = self._counts.vector("right_count").take(slots) > 0
            slots = slots.take((has != np.concatenate(self._had)).nonzero()[0])
            probe, rows = self._left.probe(slots)
            found.append((rows, slots.take(probe)))
            self._moved.clear()
            self._had = []
        if self._facts_before is not None:
            if self._facts_before != self._facts_now():
                slots = self._keys.live()
                probe, rows = self._left.probe(slots)
                found.append((rows, slots.take(probe)))
            self._facts_before = None
        if not found:
            return _NONE, _NONE
        rows, first = np.unique(np.concatenate([r for r, _ in found]), return_index=True)
        return rows, np.concatenate([s for _, s in found]).take(first)

    def _belongs(self, matched: Bools, slots: Ints) -> Bools:
        """bool[n]: left rows, with a match or without, that are part of the answer."""
        if not self._null_aware:
            return ~matched if self._anti else matched
        has_rows, has_nulls = self._facts_now()
        if not has_rows or has_nulls:
            return np.full(len(slots), not has_rows)
        return ~matched & ~np.asarray(
            self._keys.keys(slots)[0].is_null().to_numpy(zero_copy_only=False)
        )

    def _give(self, rows: Ints, slots: Ints, times: Ints, retract: bool) -> Iterator[Changes]:
        """Stored left rows, each so many times."""
        me = self._left
        if (times != 1).any():
            rows, slots = np.repeat(rows, times), np.repeat(slots, times)
        for at in cut(me.rows.widths(rows), len(rows)):
            part = rows[at]
            key = self._keys.keys(slots[at])
            arrays = me.given(part, key.__getitem__)
            kinds = np.full(len(part), DELETE, np.int8) if retract else None
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            yield from split_changes(Changes(batch, kinds))

    def _end_step(self) -> None:
        for side in (self._left, self._right):
            if side is not None:
                self._touched.add(side.age(), self._keys.capacity)
        freed = np.zeros(0, np.int64)
        if self._touched.size:
            slots = self._touched.slots()
            left, right = (self._counts.vector(f"{s}_count").take(slots) for s in ("left", "right"))
            freed = slots.take(((left == 0) & (right == 0)).nonzero()[0])
            if len(freed):
                self._keys.free(freed)
            self._touched.clear()
        self._left.end_step(freed)
        if self._right is not None:
            self._right.end_step(freed)
