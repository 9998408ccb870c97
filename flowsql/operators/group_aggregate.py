"""GROUP BY and global aggregates.

    SELECT k, COUNT(*), SUM(x) FROM t GROUP BY k
    SELECT DISTINCT a, b FROM t

In → out, one step each:

    +I a 1, +I a 2     →  +I a 2 3
    -D a 1, +I b 5     →  -U a 2 3, +U a 1 2, +I b 1 5
    -D a 2             →  -D a 1 2

Requires: rows of any changelog; for an append input nothing is kept to take rows back.
Emits: retract; one net change a group and step, a `-U` right before its `+U` and in one batch, so
that a sink by the same key need not look for them; nothing where the row stays the same. A group
whose last row is taken back is retracted and forgotten. A retraction for a group that is not there is
ignored and counted (`orphan-retractions`).
State: `groups` (key → slot), `accumulators` and what DISTINCT, MIN and MAX keep beside; freed with
the group's last row.
Cost: per row one look-up of its key and one addition an accumulator; per touched group two reads
of its accumulators.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    INSERT,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Changes,
    Keys,
    split_changes,
)
from flowsql.operators.aggregates import (
    Accumulators,
    Batch,
    Snapshot,
    combine,
    differs,
    pick,
)
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import GatheringOperator
from flowsql.operators.sequence import accepted_counts
from flowsql.state.accumulators import GROUPS, ROW_COUNT, AccumulatorPlan
from flowsql.types import DataType

__all__ = ["GroupAggregateOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Groups given in one batch.
_EMIT = 1 << 15


class GroupAggregateOperator(GatheringOperator):
    """See the module.

    Args:
        keys: grouping columns of the input.
        key_types: their types.
        plan: the accumulators.
        output: schema of the output: keys, then aggregates.
        emit_empty: the global group has a row even over no rows.
        ttl: how long a group is kept after its last change, in milliseconds; 0 for ever.
    """

    _INDEX = GROUPS

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        key_types: tuple[DataType, ...],
        plan: AccumulatorPlan,
        output: pa.Schema,
        emit_empty: bool = False,
        ttl: int = 0,
    ) -> None:
        super().__init__(ttl=ttl)
        self._keys = keys
        self._key_types = key_types
        self._retract = plan.retract
        self._output = output
        self._emit_empty = emit_empty
        self._accumulators = Accumulators(plan, (ROW_COUNT,) if plan.retract else (), ttl)
        self._types = tuple(o.type for o in plan.outputs)
        # Of the running step only:
        # Groups by first touch, as they were before: slots, accumulators, whether they had a row.
        self._before: list[tuple[Ints, Snapshot, Bools]] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._accumulators.open(context.state)

    def _ingest(self, changes: Changes) -> None:
        arrays = [changes.batch.column(i) for i in self._keys]
        slots, is_new = self._find(Keys.of(arrays, self._key_types, len(changes)))
        self._remember(slots, slots.take(is_new.nonzero()[0]))
        batch, signs = changes.batch, None
        if self._retract:
            signs = changes.signs
            counts = self._accumulators.columns.vector(ROW_COUNT)
            accepted = accepted_counts(slots, signs, counts.take(slots))
            if accepted is not None:
                rows = accepted.nonzero()[0]
                self.context.counters.add("orphan-retractions", len(slots) - len(rows))
                batch, slots, signs = batch.take(pa.array(rows)), slots[rows], signs[rows]
            np.add.at(counts, slots, signs.astype(np.int64))
        self._accumulators.feed(Batch(batch, slots, signs), clock=self.context.clock)

    def _remember(self, slots: Ints, made: Ints) -> None:
        """Groups that this step touches for the first time, of which `made` are new."""
        known = self._touched.size
        fresh = self._touched.add(slots, self._index.capacity)
        if not len(fresh):
            return
        self._write(fresh)
        before = self._accumulators.snapshot(fresh)
        lived = np.ones(len(fresh), np.bool_)
        if len(made):
            self._accumulators.begin(made, self.context.clock)
            lived[self._touched.places(made) - np.int32(known)] = False
        if self._retract and not self._emit_empty:
            lived &= before.fixed[ROW_COUNT] > 0
        self._before.append((fresh, before, lived))
        self._accumulators.columns.mark(fresh)

    def _net(self) -> Iterator[Changes]:
        if self._emit_empty:
            slots, is_new = self._index.ensure(Keys.of([], (), 1))
            if is_new[0]:
                self._remember(slots, slots)
        parts, size = [], 0
        for part in self._before:
            parts.append(part)
            size += len(part[0])
            if size >= _EMIT:
                yield from self._emit(parts)
                parts, size = [], 0
        if parts:
            yield from self._emit(parts)
        self._accumulators.release()
        self._accumulators.age(self.context.clock)
        self._before = []

    def _emit(self, parts: list[tuple[Ints, Snapshot, Bools]]) -> Iterator[Changes]:
        """The net changes of some groups."""
        slots, lived = parts[0][0], parts[0][2]
        if len(parts) > 1:
            slots = np.concatenate([p[0] for p in parts])
            lived = np.concatenate([p[2] for p in parts])
        before = Snapshot.concat([p[1] for p in parts])
        after = self._accumulators.snapshot(slots)
        lives = np.ones(len(slots), np.bool_)
        if self._retract and not self._emit_empty:
            lives = after.fixed[ROW_COUNT] > 0
            gone = slots[~lives]
            if len(gone):
                self._index.free(gone)
        new = old = self._accumulators.results(after)
        changed = lived != lives
        # Where there are only new groups there is nothing to compare with.
        if lived.any():
            old = self._accumulators.results(before)
        if self._lifetimes is not None:
            # A row is given again in place of an equal one, so that what is made of it lives on.
            changed[:] = True
        elif old is not new:
            for a, b, data_type in zip(old, new, self._types, strict=True):
                changed |= differs(a, b, data_type)
        has_old, has_new = changed & lived, changed & lives
        old_rows, new_rows = has_old.nonzero()[0], has_new.nonzero()[0]
        count = len(old_rows) + len(new_rows)
        if not count:
            return
        rows = new_rows
        order = kinds = None
        if len(old_rows):
            rows, order, kinds = _paired(has_old, has_new, old_rows, new_rows)
        arrays = self._index.keys(
            slots if len(rows) == len(slots) and order is None else slots.take(rows)
        )
        for a, b, data_type in zip(old, new, self._types, strict=True):
            if order is None:
                arrays.append(pick(b, new_rows, data_type))
            else:
                arrays.append(combine(a, old_rows, b, new_rows, data_type).take(pa.array(order)))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
        yield from split_changes(Changes(batch, kinds))


def _paired(
    has_old: Bools, has_new: Bools, old_rows: Ints, new_rows: Ints
) -> tuple[Ints, Ints, npt.NDArray[np.int8]]:
    """The groups' rows with each `-U` right before its `+U`.

    Returns:
        The group of each row; its place in all old rows followed by all new ones; its kind.
    """
    starts = np.cumsum(has_old.view(np.int8) + has_new.view(np.int8), dtype=np.int64)
    total = int(starts[-1])
    # From the count up to and with a group to the place of its first row.
    starts -= has_old
    starts -= has_new
    old_places = starts.take(old_rows)
    new_places = starts.take(new_rows) + has_old.take(new_rows)
    rows = np.empty(total, np.int64)
    rows[old_places] = old_rows
    rows[new_places] = new_rows
    order = np.empty(total, np.int64)
    order[old_places] = np.arange(len(old_rows))
    order[new_places] = np.arange(len(old_rows), total)
    kinds = np.empty(total, np.int8)
    kinds[old_places] = np.where(has_new.take(old_rows), np.int8(UPDATE_BEFORE), np.int8(DELETE))
    kinds[new_places] = np.where(has_old.take(new_rows), np.int8(UPDATE_AFTER), np.int8(INSERT))
    return rows, order, kinds
