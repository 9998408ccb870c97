"""Rows by a sink's primary key, where that is not the key by which rows are updated.

In → out, one step each, key is the first column:

    +I 1 a           →  +I 1 a
    +I 1 b           →  -U 1 a, +U 1 b        the last to come wins
    -D 1 b           →  -U 1 b, +U 1 a        and what it hid is seen again

Requires: append or retract. Emits: retract with one row a key; one net change a key and step. A
retraction of a row that is not there is ignored and counted (`orphan-retractions`).
State: `keys` (sink key → slot), `keys_columns` (the row the sink shows, and how many it hides), `rows`,
`hidden` (rows that a later one hides, the last to come first), `ids` (content → row and how often);
freed with the last row.
Cost: per row two look-ups; an entry in order only for a row that hides another.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Changes, Keys, concat_changes
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.normalize import LastRows
from flowsql.operators.sequence import accepted_counts, sort_stable
from flowsql.operators.touched import Touched
from flowsql.state import Columns, KeyIndex, Ordered, Rows
from flowsql.types import BigIntType, RowType

__all__ = ["SinkMaterializeOperator"]

Ints = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]

_INGEST = 1 << 15
_SLOT = BigIntType(nullable=False)


class SinkMaterializeOperator(Operator):
    """See the module.

    Args:
        keys: the sink key's columns.
        stored: the columns kept beside the key.
        row: the input's type.
        output: schema of the output, which has the input's columns.
    """

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        stored: tuple[int, ...],
        row: RowType,
        output: pa.Schema,
    ) -> None:
        self._form = LastRows(keys, stored, row, output)
        # Of the running step only:
        self._waiting: list[Changes] = []
        self._waiting_rows = 0
        self._touched = Touched()
        self._touched_ids = Touched()
        self._before: list[Ints] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._index: KeyIndex = context.state["keys"]
        self._columns: Columns = context.state["keys_columns"]
        self._rows: Rows = context.state["rows"]
        self._hidden: Ordered = context.state["hidden"]
        self._ids: KeyIndex = context.state["ids"]
        self._id_columns: Columns = context.state["ids_columns"]

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
        batch, form, signs = changes.batch, self._form, changes.signs
        keys = Keys.of([batch.column(c) for c in form.keys], form.key_types)
        slots, _ = self._index.ensure(keys)
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            self._before.append(self._columns.read(fresh, "row"))
        content = [pa.array(slots), *(batch.column(c) for c in form.stored)]
        ids, _ = self._ids.ensure(Keys.of(content, (_SLOT, *form.stored_types)))
        self._touched_ids.add(ids, self._ids.capacity)
        accepted = accepted_counts(ids, signs, self._id_columns.read(ids, "count"))
        if accepted is not None:
            rows = np.flatnonzero(accepted)
            self.context.counters.add("orphan-retractions", len(slots) - len(rows))
            if not len(rows):
                return
            batch, signs = batch.take(pa.array(rows)), signs.take(rows)
            slots, ids = slots.take(rows), ids.take(rows)
        self._apply(batch, slots, ids, signs)

    def _apply(self, batch: pa.RecordBatch, slots: Ints, ids: Ints, signs: Signs) -> None:
        """Each content's balance; one that came (again) is the newest, if any of it is left."""
        order = sort_stable(ids)
        ordered = ids.take(order)
        begins = np.ones(len(order), np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(begins)
        signs = signs.take(order)
        change = np.add.reduceat(signs.astype(np.int64), starts)
        came = np.maximum.reduceat(np.where(signs > 0, order, -1), starts)
        which, at = ordered.take(starts), slots.take(order.take(starts))
        known = self._id_columns.read(which, "row")
        count = self._id_columns.read(which, "count") + change
        self._id_columns.write(which, "count", count)
        # What leaves its place: content that is gone, or has come again since.
        leaves = np.flatnonzero((known > 0) & ((count <= 0) | (came >= 0)))
        if len(leaves):
            self._leave(at.take(leaves), known.take(leaves) - 1)
            self._id_columns.write(which.take(leaves), "row", 0)
        enters = np.flatnonzero((count > 0) & (came >= 0))
        if len(enters):
            enters = enters.take(np.argsort(came.take(enters)))
            chosen = pa.array(came.take(enters))
            rows = self._rows.append(batch.select(list(self._form.stored)).take(chosen))
            self._id_columns.write(which.take(enters), "row", rows + 1)
            self._enter(at.take(enters), rows)

    def _leave(self, slots: Ints, rows: Ints) -> None:
        """Rows go, be they shown or hidden."""
        self._rows.remove(rows)
        shown = self._columns.read(slots, "row") == rows + 1
        if shown.any():
            self._columns.write(slots.take(np.flatnonzero(shown)), "row", 0)
        if not shown.all():
            hidden = np.flatnonzero(~shown)
            self._hide(slots.take(hidden), rows.take(hidden), -1)

    def _enter(self, slots: Ints, rows: Ints) -> None:
        """Rows come, in order of arrival: the last one of a key is shown."""
        before = self._columns.read(slots, "row")
        self._columns.write(slots, "row", rows + 1)
        shown = self._columns.read(slots, "row") == rows + 1
        passing = np.flatnonzero(~shown)
        if len(passing):
            self._hide(slots.take(passing), rows.take(passing), 1)
        covered = np.flatnonzero(shown & (before > 0))
        if len(covered):
            self._hide(slots.take(covered), before.take(covered) - 1, 1)

    def _hide(self, slots: Ints, rows: Ints, sign: int) -> None:
        change = self._hidden.add if sign > 0 else self._hidden.remove
        change(slots, [pa.array(rows)], rows=rows)
        self._columns.add(slots, "hidden", sign)

    def flush(self) -> Iterator[Changes]:
        self._ingest_waiting()
        if self._touched.size:
            slots = self._touched.slots()
            before = np.concatenate(self._before)
            after = self._reveal(slots)
            gone = np.flatnonzero(after == 0)
            if len(gone):
                self._index.free(slots.take(gone))
            ids = self._touched_ids.slots()
            empty = np.flatnonzero(self._id_columns.read(ids, "count") <= 0)
            if len(empty):
                self._ids.free(ids.take(empty))
            yield from self._form.changes(self._index, self._rows, slots, before, after)
        self._touched.clear()
        self._touched_ids.clear()
        self._before = []

    def _reveal(self, slots: Ints) -> Ints:
        """The row that each key shows now, number + 1; one that was hidden, where the shown left."""
        after = self._columns.read(slots, "row")
        bare = np.flatnonzero((after == 0) & (self._columns.read(slots, "hidden") > 0))
        if len(bare):
            newest = self._hidden.first(slots.take(bare), 1)
            assert newest.rows is not None
            self._hide(slots.take(bare), newest.rows, -1)
            after[bare] = newest.rows + 1
            self._columns.write(slots.take(bare), "row", newest.rows + 1)
        return after
