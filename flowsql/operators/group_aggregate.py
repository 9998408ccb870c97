"""GROUP BY and global aggregates.

    SELECT k, COUNT(*), SUM(x) FROM t GROUP BY k
    SELECT DISTINCT a, b FROM t

In → out, one step each:

    +I a 1, +I a 2     →  +I a 2 3
    -D a 1, +I b 5     →  -U a 2 3, +U a 1 2, +I b 1 5
    -D a 2             →  -D a 1 2

Requires: rows of any changelog; for an append input nothing is kept to take rows back.
Emits: retract; one net change a group and step, nothing where the row stays the same. A group whose
last row is taken back is retracted and forgotten. A retraction for a group that is not there is
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

from flowsql.changelog import DELETE, Changes, Keys, concat_changes
from flowsql.operators.aggregates import Accumulators, Batch, Snapshot, combine, differs
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.sequence import accepted_counts
from flowsql.operators.touched import Touched
from flowsql.state import KeyIndex
from flowsql.state.accumulators import GROUPS, ROW_COUNT, AccumulatorPlan
from flowsql.types import DataType

__all__ = ["GroupAggregateOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Rows collected before they are looked up together, and groups given in one batch.
_INGEST = 1 << 15
_EMIT = 1 << 15


class GroupAggregateOperator(Operator):
    """See the module.

    Args:
        keys: grouping columns of the input.
        key_types: their types.
        plan: the accumulators.
        output: schema of the output: keys, then aggregates.
        emit_empty: the global group has a row even over no rows.
    """

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        key_types: tuple[DataType, ...],
        plan: AccumulatorPlan,
        output: pa.Schema,
        emit_empty: bool = False,
    ) -> None:
        self._keys = keys
        self._key_types = key_types
        self._retract = plan.retract
        self._output = output
        self._emit_empty = emit_empty
        self._accumulators = Accumulators(plan, (ROW_COUNT,) if plan.retract else ())
        self._types = tuple(o.type for o in plan.outputs)
        # Of the running step only:
        self._waiting: list[Changes] = []
        self._waiting_rows = 0
        self._touched = Touched()
        self._before: list[Snapshot] = []
        self._made: list[Ints] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._groups: KeyIndex = context.state[GROUPS]
        self._accumulators.open(context.state)

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        self._waiting.append(changes)
        self._waiting_rows += len(changes)
        if self._waiting_rows >= _INGEST:
            self._ingest_waiting()
        return iter(())

    def _ingest_waiting(self) -> None:
        changes = concat_changes(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        if changes is not None:
            self._ingest(changes)

    def _ingest(self, changes: Changes) -> None:
        arrays = [changes.batch.column(i) for i in self._keys]
        slots, is_new = self._groups.ensure(Keys.of(arrays, self._key_types, len(changes)))
        made = slots[is_new]
        if len(made):
            self._made.append(made)
            self._accumulators.start(made)
        fresh = self._touched.add(slots, self._groups.capacity)
        if len(fresh):
            self._before.append(self._accumulators.snapshot(fresh))
            self._accumulators.columns.mark(fresh)
        batch, signs = changes.batch, None
        if self._retract:
            signs = changes.signs
            counts = self._accumulators.columns.vector(ROW_COUNT)
            accepted = accepted_counts(slots, signs, counts.take(slots))
            if accepted is not None:
                rows = np.flatnonzero(accepted)
                self.context.counters.add("orphan-retractions", len(slots) - len(rows))
                batch, slots, signs = batch.take(pa.array(rows)), slots[rows], signs[rows]
            np.add.at(counts, slots, signs.astype(np.int64))
        self._accumulators.feed(Batch(batch, slots, signs))

    def flush(self) -> Iterator[Changes]:
        self._ingest_waiting()
        if self._emit_empty:
            self._ensure_global()
        if self._touched.size:
            yield from self._emit()
        self._accumulators.release()
        self._touched.clear()
        self._before, self._made = [], []

    def _ensure_global(self) -> None:
        slots, is_new = self._groups.ensure(Keys.of([], (), 1))
        if is_new[0]:
            self._made.append(slots)
            self._accumulators.start(slots)
            self._touched.add(slots, self._groups.capacity)
            self._before.append(self._accumulators.snapshot(slots))

    def _emit(self) -> Iterator[Changes]:
        slots = self._touched.slots()
        before = Snapshot.concat(self._before)
        lived = np.ones(len(slots), np.bool_)
        for made in self._made:
            lived[self._touched.places(made)] = False
        if self._retract and not self._emit_empty:
            lived &= before.fixed[ROW_COUNT] > 0
        for start in range(0, len(slots), _EMIT):
            part = slice(start, start + _EMIT)
            piece = self._emit_part(slots[part], before.slice(start, _EMIT), lived[part])
            if piece is not None:
                yield piece

    def _emit_part(self, slots: Ints, before: Snapshot, lived: Bools) -> Changes | None:
        after = self._accumulators.snapshot(slots)
        lives = np.ones(len(slots), np.bool_)
        if self._retract and not self._emit_empty:
            lives = after.fixed[ROW_COUNT] > 0
            gone = slots[~lives]
            if len(gone):
                self._groups.free(gone)
        if not lived.any():
            # Only new groups: there is nothing to compare with.
            old_rows, new_rows = np.zeros(0, np.int64), np.flatnonzero(lives)
            old = new = self._accumulators.results(after)
        else:
            old = self._accumulators.results(before)
            new = self._accumulators.results(after)
            changed = lived != lives
            for a, b, data_type in zip(old, new, self._types, strict=True):
                changed |= differs(a, b, data_type)
            old_rows = np.flatnonzero(changed & lived)
            new_rows = np.flatnonzero(changed & lives)
        if not len(old_rows) and not len(new_rows):
            return None
        arrays = self._groups.keys(np.concatenate([slots.take(old_rows), slots.take(new_rows)]))
        for a, b, data_type in zip(old, new, self._types, strict=True):
            arrays.append(combine(a, old_rows, b, new_rows, data_type))
        kinds = None
        if len(old_rows):
            kinds = np.zeros(len(old_rows) + len(new_rows), np.int8)
            kinds[: len(old_rows)] = DELETE
        return Changes(pa.RecordBatch.from_arrays(arrays, schema=self._output), kinds)
