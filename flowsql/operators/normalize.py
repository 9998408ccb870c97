"""The last row by key: turns an upsert stream into whole rows that are added and taken away.

In → out, one step each:

    +U 1 a            →  +I 1 a
    +U 1 b, +U 1 c    →  -U 1 a, +U 1 c
    -D 1 (key only)   →  -D 1 c

Requires: upsert by `keys`; `-U` counts as a deletion. A column that the source left out because it
did not change is filled from the row before; where there is none, that is an error.
Emits: retract; one net change a key and step, nothing where the row stays the same. A deletion of a
key that is not there is ignored; where the source lost all its rows, every one is taken back. Rows
that carry their time are changed one by one instead, each change with the mark of its row: whether
it is late must not depend on what else the step brings.
State: `keys` (key → slot), `keys_columns` (its row's number), `rows` (the other columns); freed with
the deletion.
Cost: per row one look-up of its key, one row stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Changes,
    Keys,
    Marks,
    in_order,
    split_changes,
)
from flowsql.errors import DataError
from flowsql.operators.cutting import cut
from flowsql.operators.gathering import KeyedRowsOperator
from flowsql.operators.sequence import sort_stable
from flowsql.state import KeyIndex, Rows
from flowsql.types import RowType, arrow_type

__all__ = ["LastRows", "NormalizeOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_EMIT = 1 << 15


class LastRows:
    """Old and new rows of keys as changes; shared by what keeps one row a key.

    Args:
        keys: the key's columns.
        stored: the columns of the table `rows`.
        row: the rows' type.
        output: schema of the output: the row, and the constants.
        constants: values of further columns, the same in all rows.
        alike: a row is given again in place of an equal one, so that what is made of it lives on.
    """

    def __init__(
        self,
        keys: tuple[int, ...],
        stored: tuple[int, ...],
        row: RowType,
        output: pa.Schema,
        constants: tuple[pa.Scalar, ...] = (),
        *,
        alike: bool = False,
    ) -> None:
        self.keys = keys
        self.key_types = tuple(row.fields[c].type for c in keys)
        self.stored = stored
        self.stored_types = tuple(row.fields[c].type for c in stored)
        # A row whose equal values can be told apart is not the same.
        self._compared = tuple(in_order(t) for t in self.stored_types)
        self.output = output
        self.width = len(row.fields)
        self.constants = constants
        self._alike = alike

    def changes(
        self,
        index: KeyIndex,
        rows: Rows,
        slots: Ints,
        before: Ints,
        after: Ints,
        *,
        marks: Marks | None = None,
    ) -> Iterator[Changes]:
        """Changes of keys in the order given, a `-U` right before its `+U`.

        Args:
            index: of the keys.
            rows: the stored rows, among them those removed in this step.
            slots: int64[n], the keys.
            before: int64[n], each key's row number + 1 before the change, 0 for none.
            after: int64[n], the same behind it.
            marks: of the n changes, or None.
        """
        moved = (before != after).nonzero()[0]
        widths = _widths(rows, before.take(moved), after.take(moved))
        for at in cut(widths, len(moved), _EMIT):
            part = moved[at]
            yield from self._part(
                index,
                rows,
                slots.take(part),
                before.take(part),
                after.take(part),
                marks=None if marks is None else marks.take(part),
            )

    def _part(
        self,
        index: KeyIndex,
        rows: Rows,
        slots: Ints,
        before: Ints,
        after: Ints,
        *,
        marks: Marks | None,
    ) -> Iterator[Changes]:
        # A key's old row, then its new one, where it has them.
        numbers = np.stack([before, after], axis=1).ravel()
        places = numbers.nonzero()[0]
        numbers = numbers.take(places) - 1
        which = places >> 1
        values = rows.take(numbers)
        kinds = None
        if before.any():
            pair = (before > 0) & (after > 0)
            kinds = ((places & 1) ^ 1).astype(np.int8) * np.int8(DELETE)
            in_pair = pair.take(which)
            kinds[in_pair] = np.where(kinds[in_pair], UPDATE_BEFORE, UPDATE_AFTER)
            same = self._same(values, in_pair.nonzero()[0])
            if same is not None:
                keep = (~same).nonzero()[0]
                which, kinds = which.take(keep), kinds.take(keep)
                values = values.take(pa.array(keep))
                if not len(keep):
                    return
        keys = index.keys(slots if kinds is None else slots.take(which))
        arrays = [
            values.column(self.stored.index(c)) if c in self.stored else keys[self.keys.index(c)]
            for c in range(self.width)
        ]
        arrays += [pa.repeat(constant, len(which)) for constant in self.constants]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.output)
        told = None if marks is None else marks.take(which)
        yield from split_changes(Changes(batch, kinds, None, told))

    def _same(self, values: pa.RecordBatch, paired: Ints) -> Bools | None:
        """bool[n]: rows of pairs that are the same; None where there are none.

        Args:
            values: stored columns of all rows.
            paired: the rows that are in a pair, first and second by turns.
        """
        if self._alike or not len(paired):
            return None
        columns = [
            column if kind is compared else column.cast(arrow_type(compared))
            for column, kind, compared in zip(
                values.columns, self.stored_types, self._compared, strict=True
            )
        ]
        keys = Keys.of(columns, self._compared, values.num_rows)
        equal = keys.equal(paired[::2], keys, paired[1::2])
        if not equal.any():
            return None
        same = np.zeros(values.num_rows, np.bool_)
        same[paired] = np.repeat(equal, 2)
        return same


def _widths(rows: Rows, before: Ints, after: Ints) -> Ints | int:
    """Bytes of the one or two rows of each change; rows are given by number + 1, where 0 is none."""
    there = np.concatenate([before, after])
    at = there.nonzero()[0]
    found = rows.widths(there.take(at) - 1)
    if isinstance(found, int):
        return 2 * found
    widths = np.zeros(len(there), np.int64)
    widths[at] = found
    return widths[: len(before)] + widths[len(before) :]


class NormalizeOperator(KeyedRowsOperator):
    """See the module.

    Args:
        keys: the key's columns.
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
        self._form = LastRows(keys, stored, row, output, alike=ttl > 0)
        # Of the running step only:
        self._before: list[Ints] = []
        # Changes of rows that carry their time, to be given at once.
        self._told: list[Changes] = []

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        super().process(port, changes)
        told, self._told = self._told, []
        return iter(told)

    def empty(self, port: int, watermark: int | None) -> Iterator[Changes]:
        """All rows are deleted."""
        del port
        self._gather()
        told, self._told = self._told, []
        yield from told
        slots = self._living()
        before = self._columns.read(slots, "row")
        held = before.nonzero()[0]
        slots, before = slots.take(held), before.take(held)
        if not len(slots):
            return
        fresh = self._touched.add(slots, self._index.capacity)
        self._write(fresh)
        if watermark is None:
            self._before.append(self._columns.read(fresh, "row"))
        after = np.zeros(len(slots), np.int64)
        self._columns.write(slots, "row", after)
        self._leave(before)
        if watermark is not None:
            marks = Marks(np.full(len(slots), watermark))
            yield from self._form.changes(
                self._index, self._rows, slots, before, after, marks=marks
            )

    def _ingest(self, changes: Changes) -> None:
        batch, form = changes.batch, self._form
        arrays = [batch.column(c) for c in form.keys]
        slots, _ = self._find(Keys.of(arrays, form.key_types, len(changes)))
        timed = changes.marks is not None and changes.marks.watermark is not None
        fresh = self._touched.add(slots, self._index.capacity)
        self._write(fresh)
        if len(fresh) and not timed:
            self._before.append(self._columns.read(fresh, "row"))
        order = sort_stable(slots)
        stays = changes.signs > 0
        if changes.unchanged is not None:
            batch = self._fill(changes, slots, order, stays)
        ordered = slots.take(order)
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = ordered[1:] != ordered[:-1]
        if timed:
            self._told += self._each(
                batch, slots, order, is_last=is_last, stays=stays, marks=changes.marks
            )
            return
        last = np.sort(order[is_last])
        where = slots.take(last)
        self._leave(self._columns.read(where, "row"))
        kept = stays.take(last).nonzero()[0]
        after = np.zeros(len(where), np.int64)
        if len(kept):
            values = batch.select(list(form.stored)).take(pa.array(last.take(kept)))
            after[kept] = self._rows.append(values) + 1
        self._columns.write(where, "row", after)

    def _each(
        self,
        batch: pa.RecordBatch,
        slots: Ints,
        order: Ints,
        *,
        is_last: Bools,
        stays: Bools,
        marks: Marks | None,
    ) -> Iterator[Changes]:
        """Every change of a batch, in the order of its rows."""
        after = np.zeros(len(slots), np.int64)
        kept = stays.nonzero()[0]
        if len(kept):
            values = batch.select(list(self._form.stored)).take(pa.array(kept))
            after[kept] = self._rows.append(values) + 1
        before = np.empty(len(slots), np.int64)
        before[order[1:]] = after.take(order[:-1])
        first = order[np.concatenate([[True], is_last[:-1]])]
        before[first] = self._columns.read(slots.take(first), "row")
        last = order[is_last]
        self._columns.write(slots.take(last), "row", after.take(last))
        self._leave(before)
        yield from self._form.changes(self._index, self._rows, slots, before, after, marks=marks)

    def _fill(self, changes: Changes, slots: Ints, order: Ints, stays: Bools) -> pa.RecordBatch:
        """The batch with every value that was not sent taken from the row before it."""
        batch = changes.batch
        columns = batch.columns
        for name, mask in (changes.unchanged or {}).items():
            missing = mask & stays
            if missing.any():
                at = batch.schema.get_field_index(name)
                origin, stored = self._origin(name, missing, slots, order, ~stays)
                values = self._rows.column(stored, self._form.stored.index(at))
                columns[at] = pa.concat_arrays([columns[at], values]).take(pa.array(origin))
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _origin(
        self, name: str, missing: Bools, slots: Ints, order: Ints, gone: Bools
    ) -> tuple[Ints, Ints]:
        """Where each row's value of a column comes from.

        Returns:
            int64[n], a row of the batch, or n + i for the i-th of the stored rows; their numbers.
        """
        n = len(order)
        ordered = slots.take(order)
        begins = np.ones(n, np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        position = np.arange(n)
        start = np.maximum.accumulate(np.where(begins, position, 0))
        # The nearest row of the key at or before this one that has the value, or ends the key.
        known = np.maximum.accumulate(np.where(missing.take(order), -1, position))
        wanted = missing.take(order).nonzero()[0]
        source = known.take(wanted)
        here = source >= start.take(wanted)
        rows = order.take(wanted)
        origin = np.arange(n)
        origin[rows[here]] = order.take(source[here])
        stored = self._columns.read(slots.take(rows[~here]), "row")
        ended = gone.take(order.take(source[here]))
        if ended.any() or not (stored > 0).all():
            raise DataError(
                f'an update leaves column "{name}" as it was, but there is no row before it',
                detail="The source leaves out large values that an update did not change.",
                hint="Start from a snapshot of the table, or let the source send whole rows "
                "(PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL).",
            )
        origin[rows[~here]] = n + np.arange(len(stored))
        return origin, stored - 1

    def _forget(self, slots: Ints) -> None:
        self._leave(self._columns.read(slots, "row"))
        super()._forget(slots)

    def _net(self) -> Iterator[Changes]:
        yield from self._told
        self._told = []
        if self._touched.size:
            slots = self._touched.slots()
            after = self._columns.read(slots, "row")
            gone = slots[after == 0]
            if len(gone):
                self._index.free(gone)
            if self._before:
                before = np.concatenate(self._before)
                yield from self._form.changes(self._index, self._rows, slots, before, after)
        self._before = []
