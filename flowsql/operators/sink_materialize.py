"""Rows by a sink's primary key, where that is not the key by which rows are updated.

In → out, one step each, key is the first column:

    +I 1 a           →  +I 1 a
    +I 1 b           →  -U 1 a, +U 1 b        the last to come wins
    -D 1 b           →  -U 1 b, +U 1 a        and what it hid is seen again

Requires: append or retract. Emits: retract with one row a key; one net change a key and step. A
retraction of a row that is not there is ignored and counted (`orphan-retractions`).
State: `keys` (sink key → slot), `keys_columns` (the row the sink shows), `rows`; for keys that ever held
two rows at once also `ids` (content → row and how often) and `hidden` (rows that a later one hides, the
last to come first); freed with the last row.
Cost: per row one look-up of its key; for a key that held two rows one more, and an entry in order for
each row that is hidden. A step that is its own net change is passed on as it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
from flowsql.changelog.hashing import sort_small
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import KeyedRowsOperator
from flowsql.operators.normalize import LastRows
from flowsql.operators.sequence import accepted_counts, sort_stable
from flowsql.operators.touched import Touched
from flowsql.state import Columns, KeyIndex, Ordered
from flowsql.types import BigIntType, RowType

__all__ = ["SinkMaterializeOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

_SLOT = BigIntType(nullable=False)


@dataclass(frozen=True, slots=True)
class _ByKey:
    """A batch's rows by key, those of one in order of arrival.

    Attributes:
        order: the rows.
        slots: their slots, ascending.
        begins: whether a row is its key's first.
        coming: whether it is an insertion.
    """

    order: Ints
    slots: Ints
    begins: Bools
    coming: Bools

    @classmethod
    def of(cls, slots: Ints, signs: Signs) -> _ByKey:
        order, ordered = sort_small(slots)
        begins = np.ones(len(order), np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        return cls(order, ordered, begins, signs.take(order) > 0)


class SinkMaterializeOperator(KeyedRowsOperator):
    """See the module.

    Args:
        keys: the sink key's columns.
        stored: the columns kept beside the key.
        row: the input's type.
        output: schema of the output, which has the input's columns.
        ttl: how long a key is kept after its last change, in milliseconds; 0 for ever.
    """

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        stored: tuple[int, ...],
        row: RowType,
        output: pa.Schema,
        ttl: int = 0,
    ) -> None:
        super().__init__(ttl=ttl)
        self._form = LastRows(keys, stored, row, output)
        # Of the running step only:
        self._touched_ids = Touched()
        self._before: list[Ints] = []
        # The step's rows, where they are its net change as they stand, and keys that lost theirs.
        self._as_came: tuple[Changes, Ints] | None = None

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._hidden: Ordered = context.state["hidden"]
        self._ids: KeyIndex = context.state["ids"]
        self._id_columns: Columns = context.state["ids_columns"]

    def _ingest(self, changes: Changes) -> None:
        batch, form, signs = changes.batch, self._form, changes.signs
        keys = Keys.of([batch.column(c) for c in form.keys], form.key_types)
        slots, _ = self._find(keys)
        is_first = not self._touched.size
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            self._before.append(self._columns.read(fresh, "row"))
            self._write(fresh)
        by_key = _ByKey.of(slots, signs)
        content = None
        if not by_key.coming.all():
            content = self._content(batch.select(list(self._form.stored)))
        crowded = self._crowded(by_key, content)
        if crowded is None:
            self._replace(batch, slots, signs, by_key)
            self._as_came = self._net_as_it_is(batch, slots, by_key, content) if is_first else None
            return
        self._as_came = None
        if not crowded.all():
            rows = (~crowded).nonzero()[0]
            where, which = slots.take(rows), signs.take(rows)
            self._replace(batch.take(pa.array(rows)), where, which, _ByKey.of(where, which))
            rows = crowded.nonzero()[0]
            batch, slots, signs = batch.take(pa.array(rows)), slots.take(rows), signs.take(rows)
        self._crowd(batch, slots, signs)

    def _crowded(self, by_key: _ByKey, content: Keys | None) -> Bools | None:
        """Rows of keys that hold, or would hold, more than one row; None where there are none.

        A key with at most one row sees insertions and retractions by turns, and what is taken back
        is the row it has.
        """
        order, begins, coming = by_key.order, by_key.begins, by_key.coming
        n = len(order)
        shown = self._columns.read(by_key.slots, "row")
        live = np.empty(n, np.bool_)
        live[1:] = coming[:-1]
        live[begins] = shown[begins] > 0
        odd = coming == live
        odd |= self._columns.read(by_key.slots, "crowded") != 0
        going = (~coming & live).nonzero()[0]
        if len(going):
            assert content is not None
            inner = going.take((~begins.take(going)).nonzero()[0])
            if len(inner):
                odd[inner] |= ~content.equal(order.take(inner), content, order.take(inner - 1))
            outer = going.take(begins.take(going).nonzero()[0])
            stored = self._content(self._rows.take(shown.take(outer) - 1))
            odd[outer] |= ~content.equal(order.take(outer), stored, np.arange(len(outer)))
        if not odd.any():
            return None
        starts = begins.nonzero()[0]
        any_odd = np.logical_or.reduceat(odd, starts)
        crowded = np.empty(n, np.bool_)
        crowded[order] = np.repeat(any_odd, np.diff(np.append(starts, n)))
        return crowded

    def _content(self, batch: pa.RecordBatch) -> Keys:
        return Keys.of(batch.columns, self._form.stored_types, batch.num_rows)

    def _net_as_it_is(
        self, batch: pa.RecordBatch, slots: Ints, by_key: _ByKey, content: Keys | None
    ) -> tuple[Changes, Ints] | None:
        """A step's only batch, of keys with one row: its changes and the keys left without one.

        None where it is not net: a key has more than a retraction right before an insertion, or
        the two are of equal rows.
        """
        order, begins, coming = by_key.order, by_key.begins, by_key.coming
        whole = pa.RecordBatch.from_arrays(batch.columns, schema=self._form.output)
        if content is None:
            # Only insertions, one a key.
            return Changes(whole), np.zeros(0, np.int64)
        after = (~begins).nonzero()[0]
        first, second = order.take(after - 1), order.take(after)
        if coming.take(after - 1).any() or (second - first != 1).any():
            return None
        if content.equal(first, content, second).any():
            return None
        kinds = np.empty(len(order), np.int8)
        kinds[order] = np.where(coming, np.int8(INSERT), np.int8(DELETE))
        kinds[first], kinds[second] = UPDATE_BEFORE, UPDATE_AFTER
        return Changes(whole, kinds), slots.take((kinds == DELETE).nonzero()[0])

    def _replace(self, batch: pa.RecordBatch, slots: Ints, signs: Signs, by_key: _ByKey) -> None:
        """Keys with at most one row: the last row decides."""
        is_last = np.ones(len(slots), np.bool_)
        is_last[:-1] = by_key.begins[1:]
        last = np.sort(by_key.order.take(is_last.nonzero()[0]))
        where = slots.take(last)
        self._leave(self._columns.read(where, "row"))
        kept = (signs.take(last) > 0).nonzero()[0]
        after = np.zeros(len(where), np.int64)
        if len(kept):
            values = batch.select(list(self._form.stored)).take(pa.array(last.take(kept)))
            after[kept] = self._rows.append(values) + 1
        self._columns.write(where, "row", after)

    def _crowd(self, batch: pa.RecordBatch, slots: Ints, signs: Signs) -> None:
        """Keys with any number of rows."""
        fresh = np.unique(slots)
        fresh = fresh.take((self._columns.read(fresh, "crowded") == 0).nonzero()[0])
        self._columns.write(fresh, "crowded", 1)
        shown = self._columns.read(fresh, "row")
        held = shown.nonzero()[0]
        if len(held):
            shown = shown.take(held)
            ids = self._identify(fresh.take(held), self._rows.take(shown - 1).columns)
            self._id_columns.write(ids, "row", shown)
            self._id_columns.write(ids, "count", 1)
        ids = self._identify(slots, batch.select(list(self._form.stored)).columns)
        accepted = accepted_counts(ids, signs, self._id_columns.read(ids, "count"))
        if accepted is not None:
            rows = accepted.nonzero()[0]
            self.context.counters.add("orphan-retractions", len(slots) - len(rows))
            if not len(rows):
                return
            batch, signs = batch.take(pa.array(rows)), signs.take(rows)
            slots, ids = slots.take(rows), ids.take(rows)
        self._apply(batch, slots, ids, signs)

    def _identify(self, slots: Ints, columns: list[pa.Array]) -> Ints:
        """The identity of each row within its key."""
        ids, _ = self._ids.ensure(self._contents(slots, columns))
        self._touched_ids.add(ids, self._ids.capacity)
        return ids

    def _contents(self, slots: Ints, columns: list[pa.Array]) -> Keys:
        return Keys.of([pa.array(slots), *columns], (_SLOT, *self._form.stored_types))

    def _apply(self, batch: pa.RecordBatch, slots: Ints, ids: Ints, signs: Signs) -> None:
        """Each content's balance; one that came (again) is the newest, if any of it is left."""
        order = sort_stable(ids)
        ordered = ids.take(order)
        begins = np.ones(len(order), np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        starts = begins.nonzero()[0]
        signs = signs.take(order)
        change = np.add.reduceat(signs.astype(np.int64), starts)
        came = np.maximum.reduceat(np.where(signs > 0, order, -1), starts)
        which, at = ordered.take(starts), slots.take(order.take(starts))
        known = self._id_columns.read(which, "row")
        count = self._id_columns.read(which, "count") + change
        self._id_columns.write(which, "count", count)
        # What leaves its place: content that is gone, or has come again since.
        leaves = ((known > 0) & ((count <= 0) | (came >= 0))).nonzero()[0]
        if len(leaves):
            self._take_out(at.take(leaves), known.take(leaves) - 1)
            self._id_columns.write(which.take(leaves), "row", 0)
        enters = ((count > 0) & (came >= 0)).nonzero()[0]
        if len(enters):
            enters = enters.take(np.argsort(came.take(enters)))
            chosen = pa.array(came.take(enters))
            rows = self._rows.append(batch.select(list(self._form.stored)).take(chosen))
            self._id_columns.write(which.take(enters), "row", rows + 1)
            self._enter(at.take(enters), rows)

    def _take_out(self, slots: Ints, rows: Ints) -> None:
        """Rows go, be they shown or hidden."""
        self._rows.remove(rows)
        shown = self._columns.read(slots, "row") == rows + 1
        if shown.any():
            self._columns.write(slots.take(shown.nonzero()[0]), "row", 0)
        if not shown.all():
            hidden = (~shown).nonzero()[0]
            self._hide(slots.take(hidden), rows.take(hidden), -1)

    def _enter(self, slots: Ints, rows: Ints) -> None:
        """Rows come, in order of arrival: the last one of a key is shown."""
        before = self._columns.read(slots, "row")
        self._columns.write(slots, "row", rows + 1)
        shown = self._columns.read(slots, "row") == rows + 1
        passing = (~shown).nonzero()[0]
        if len(passing):
            self._hide(slots.take(passing), rows.take(passing), 1)
        covered = (shown & (before > 0)).nonzero()[0]
        if len(covered):
            self._hide(slots.take(covered), before.take(covered) - 1, 1)

    def _hide(self, slots: Ints, rows: Ints, sign: int) -> None:
        change = self._hidden.add if sign > 0 else self._hidden.remove
        change(slots, [pa.array(rows)], rows=rows)
        self._columns.add(slots, "hidden", sign)

    def _forget(self, slots: Ints) -> None:
        shown = self._columns.read(slots, "row")
        crowded = slots.take((self._columns.read(slots, "crowded") != 0).nonzero()[0])
        if len(crowded):
            hidden = self._hidden.entries(crowded)
            assert hidden.rows is not None
            at = self._columns.read(crowded, "row")
            held = at.nonzero()[0]
            rows = np.concatenate([at.take(held) - 1, hidden.rows])
            owners = np.concatenate([crowded.take(held), crowded.take(hidden.probe)])
            self._ids.free(self._ids.find(self._contents(owners, self._rows.take(rows).columns)))
            self._rows.remove(hidden.rows)
        self._leave(shown)
        super()._forget(slots)

    def _net(self) -> Iterator[Changes]:
        if self._as_came is not None:
            changes, gone = self._as_came
            if len(gone):
                self._index.free(gone)
            yield from split_changes(changes)
        elif self._touched.size:
            slots = self._touched.slots()
            before = np.concatenate(self._before)
            after = self._reveal(slots)
            gone = (after == 0).nonzero()[0]
            if len(gone):
                self._index.free(slots.take(gone))
            ids = self._touched_ids.slots()
            empty = (self._id_columns.read(ids, "count") <= 0).nonzero()[0]
            if len(empty):
                self._ids.free(ids.take(empty))
            yield from self._form.changes(self._index, self._rows, slots, before, after)
        self._touched_ids.clear()
        self._before = []
        self._as_came = None

    def _reveal(self, slots: Ints) -> Ints:
        """The row that each key shows now, number + 1; one that was hidden, where the shown left."""
        after = self._columns.read(slots, "row")
        bare = ((after == 0) & (self._columns.read(slots, "hidden") > 0)).nonzero()[0]
        if len(bare):
            newest = self._hidden.first(slots.take(bare), 1)
            assert newest.rows is not None
            self._hide(slots.take(bare), newest.rows, -1)
            after[bare] = newest.rows + 1
            self._columns.write(slots.take(bare), "row", newest.rows + 1)
        return after
