"""One row a primary key of the sink, where several rows of the query have it.

    INSERT INTO t … ON CONFLICT DO ERROR | DO NOTHING

In → out, key is the first column, while the watermark rises after each line:

    +I 1 a           →  +I 1 a
    +I 1 b           →                an error, or nothing
    -U 1 a, +U 1 c   →  -U 1 a, +U 1 c
    -D 1 c           →  -D 1 c        b does not come back: it was never written

Requires: append or retract. Emits: what the input is, with one row a key.
Rows that only come are judged at once. Others are judged when the watermark rises, those together that
came under one watermark, as in Flink: a row that was added and taken away meanwhile never met another.
Rows without marks, which come from operators that give a step's net change, are judged at the first
rise after they came. Where several rows are left of a key that has one already, that one stays, even
if it was taken back itself.
A key lives, where there is a lifetime, from when the row that it shows was written: as in Flink the
next one is its first. What waits for the watermark is not forgotten.
State: `keys`, where rows only come; else also `keys_columns` and `rows` (the row that is shown), freed
with it, and `pending` (what waits for the watermark, with its sign and mark).
Cost: per row one look-up of its key; where rows of a key met each other, one pass over the rows of
such keys for each watermark under which some of them came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import NO_WATERMARK, Changes, Keys, concat_changes
from flowsql.changelog.hashing import sort_small
from flowsql.errors import DataError
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import KeyedOperator
from flowsql.operators.normalize import LastRows
from flowsql.operators.sequence import sort_stable
from flowsql.state import Columns, Rows
from flowsql.types import BigIntType, RowType

__all__ = ["OnConflictOperator", "SoleRowOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

_SLOT = BigIntType(nullable=False)
# Up to so many watermarks of a key are settled one by one.
_FEW = 4


def _violation(table: str, names: tuple[str, ...], key: list[pa.Array], at: int) -> DataError:
    values = (column[at].as_py() for column in key)
    shown = ", ".join(
        f"{n} = {'NULL' if v is None else v}" for n, v in zip(names, values, strict=True)
    )
    return DataError(
        f'primary key constraint violation: table "{table}" would have two rows with {shown}',
        hint="ON CONFLICT DO NOTHING keeps the first of them, DO DEDUPLICATE the last.",
    )


class SoleRowOperator(KeyedOperator):
    """DO ERROR over rows that only come: a second row of a key fails.

    Args:
        keys: the key's columns.
        row: the input's type.
        table: the sink's name.
        ttl: how long a key is kept, in milliseconds; 0 for ever.
    """

    def __init__(self, *, keys: tuple[int, ...], row: RowType, table: str, ttl: int = 0) -> None:
        super().__init__(ttl)
        self._keys = keys
        self._types = tuple(row.fields[c].type for c in keys)
        self._names = tuple(row.names[c] for c in keys)
        self._table = table

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        arrays = [changes.batch.column(c) for c in self._keys]
        _, is_new = self._find(Keys.of(arrays, self._types, len(changes)))
        if not is_new.all():
            raise _violation(self._table, self._names, arrays, int(np.argmin(is_new)))
        yield changes

    def flush(self) -> Iterator[Changes]:
        self._age()
        return iter(())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to be judged, in order of arrival.

    Attributes:
        batch: all their columns.
        signs: 1 or −1.
        marks: the watermark under which each came, not falling.
    """

    batch: pa.RecordBatch
    signs: Signs
    marks: Ints

    def take(self, rows: Ints) -> _Rows:
        taken = self.batch.take(pa.array(rows))
        return _Rows(taken, self.signs.take(rows), self.marks.take(rows))


class OnConflictOperator(KeyedOperator):
    """See the module.

    Args:
        keys: the sink key's columns.
        stored: the columns kept beside the key.
        row: the input's type.
        output: schema of the output, which has the input's columns.
        table: the sink's name.
        fails: DO ERROR; else DO NOTHING.
        ttl: how long a key is kept after its row was last given, in milliseconds; 0 for ever.
    """

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        stored: tuple[int, ...],
        row: RowType,
        output: pa.Schema,
        table: str,
        fails: bool,
        ttl: int = 0,
    ) -> None:
        super().__init__(ttl)
        self._form = LastRows(keys, stored, row, output)
        self._names = tuple(row.names[c] for c in keys)
        self._table = table
        self._fails = fails
        # Of the running step only:
        self._came: list[Changes] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._columns: Columns = context.state["keys_columns"]
        self._rows: Rows = context.state["rows"]
        self._pending: Rows = context.state["pending"]

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        self._came.append(changes)
        return iter(())

    def advance(self, watermark: int) -> Iterator[Changes]:
        due = self._waiting()
        if due is None:
            return
        later = (due.marks >= watermark).nonzero()[0]
        if len(later):
            self._keep(due.take(later))
            due = due.take((due.marks < watermark).nonzero()[0])
        if len(due.marks):
            yield from self._judge(due)

    def flush(self) -> Iterator[Changes]:
        came = self._take_came()
        if came is not None:
            self._keep(came)
        self._age()
        return iter(())

    def _forget(self, slots: Ints) -> None:
        rows = self._columns.read(slots, "row")
        self._rows.remove(rows.take(rows.nonzero()[0]) - 1)
        super()._forget(slots)

    def _take_came(self) -> _Rows | None:
        changes = concat_changes(self._came)
        self._came = []
        if changes is None:
            return None
        marks = changes.watermarks
        if marks is None:
            marks = np.full(len(changes), NO_WATERMARK)
        batch = pa.RecordBatch.from_arrays(changes.batch.columns, schema=self._form.output)
        return _Rows(batch, changes.signs, np.maximum.accumulate(marks))

    def _keep(self, rows: _Rows) -> None:
        numbers = self._pending.append(rows.batch)
        self._pending.write(numbers, "sign", rows.signs)
        self._pending.write(numbers, "mark", rows.marks)

    def _waiting(self) -> _Rows | None:
        """What was kept before, and what came in this step."""
        came = self._take_came()
        if not len(self._pending):
            return came
        numbers = self._pending.live()
        kept = self._pending.take(numbers)
        signs = self._pending.read(numbers, "sign").astype(np.int8)
        marks = self._pending.read(numbers, "mark").astype(np.int64)
        self._pending.remove(numbers)
        columns = kept.columns
        if came is not None:
            signs = np.concatenate([signs, came.signs])
            marks = np.concatenate([marks, came.marks])
            columns = [
                pa.concat_arrays([a, b]) for a, b in zip(columns, came.batch.columns, strict=True)
            ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._form.output)
        return _Rows(batch, signs, np.maximum.accumulate(marks))

    def _judge(self, due: _Rows) -> Iterator[Changes]:
        form, batch = self._form, due.batch
        keys = Keys.of([batch.column(c) for c in form.keys], form.key_types)
        slots, _ = self._find(keys)
        # Keys by number within this call; the rows they show stand behind those that came.
        order, ordered = sort_small(slots)
        begins = np.ones(len(order), np.bool_)
        begins[1:] = ordered[1:] != ordered[:-1]
        touched = ordered[begins]
        number = np.empty(len(order), np.int64)
        number[order] = np.cumsum(begins) - 1
        before = self._columns.read(touched, "row")
        held = before.nonzero()[0]
        content = self._contents(batch, number, held, before)
        shown = np.full(len(touched), -1)
        shown[held] = content[len(order) :]
        after = self._settle(due, number, content[: len(order)], shown)
        yield from self._show(batch, touched, before, after)

    def _contents(self, batch: pa.RecordBatch, number: Ints, held: Ints, before: Ints) -> Ints:
        """Equal rows of a key have the same number."""
        values = batch.select(list(self._form.stored)).columns
        owners = number
        if len(held):
            known = self._rows.take(before.take(held) - 1).columns
            values = [pa.concat_arrays([a, b]) for a, b in zip(values, known, strict=True)]
            owners = np.concatenate([number, held])
        types = (_SLOT, *self._form.stored_types)
        ids, _ = Keys.of([pa.array(owners), *values], types).group()
        return ids

    def _settle(self, due: _Rows, number: Ints, content: Ints, shown: Ints) -> Ints:
        """The row that each key is left with: its position, −1 for none, −2 for the one shown.

        Keys are settled together: where there are many watermarks first those whose rows only
        replace each other, then the others, each by what came under its first watermark, then
        under its second, and so on.
        """
        after = np.where(shown >= 0, -2, -1)
        now = shown.copy()
        order = sort_stable(number)
        key, mark = number.take(order), due.marks.take(order)
        starts = np.ones(len(order), np.bool_)
        starts[1:] = key[1:] != key[:-1]
        turns = starts.copy()
        turns[1:] |= mark[1:] != mark[:-1]
        turn = np.cumsum(turns) - 1
        first = turn[starts]
        rank = turn - np.repeat(first, np.diff(np.append(starts.nonzero()[0], len(order))))
        if len(rank) and rank.max() > _FEW:
            bad = self._replaced(due, (order, turn), number, content, (shown, after))
            bad = bad.take(key)
            order, rank = order[bad], rank[bad]
        by_rank = sort_stable(rank)
        ends = np.searchsorted(rank.take(by_rank), np.arange(rank.max(initial=0) + 2))
        for low, high in pairwise(ends):
            rows = np.sort(order.take(by_rank[low:high]))
            self._turn(due, rows, number, content, (now, after))
        return after

    def _replaced(
        self,
        due: _Rows,
        turns: tuple[Ints, Ints],
        number: Ints,
        content: Ints,
        state: tuple[Ints, Ints],
    ) -> Bools:
        """Settle keys whose rows only replace each other, all their watermarks at once.

        Under each watermark such a key loses the row that it shows, or gains one where it shows
        none, or both.

        Args:
            due: all rows.
            turns: the rows by key and watermark, in order of arrival; and for each of them, in that
                order, a number of its key and watermark, ascending.
            number: each row's key.
            content: what each row says.
            state: by key the content that it shows, or −1, and what `_settle` gives; that is changed
                here.

        Returns:
            bool[keys], those that are left to be settled turn by turn.
        """
        (order, turn), (shown, after) = turns, state
        what = content.take(order)
        alike = sort_stable(turn * (int(what.max()) + 1) + what)
        turn, kinds, rows = turn.take(alike), what.take(alike), order.take(alike)
        begins = np.ones(len(alike), np.bool_)
        begins[1:] = (turn[1:] != turn[:-1]) | (kinds[1:] != kinds[:-1])
        starts = begins.nonzero()[0]
        signs = due.signs.take(rows).astype(np.int64)
        net = np.add.reduceat(signs, starts)
        # Of additions that others cancel the first go.
        last = np.maximum.reduceat(np.where(signs > 0, rows, -1), starts)
        # What is left of each turn: first what is taken away, then what is added.
        left = net.nonzero()[0]
        left = left.take(sort_stable(turn.take(starts.take(left)) * 2 + (net.take(left) > 0)))
        net, last, at = net.take(left), last.take(left), starts.take(left)
        kinds, keys = kinds.take(at), number.take(rows.take(at))
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        held = np.empty(len(keys), np.int64)
        held[1:] = np.where(net[:-1] > 0, kinds[:-1], -1)
        held[first] = shown.take(keys[first])
        good = np.where(net > 0, (net == 1) & (held < 0), (net == -1) & (held == kinds))
        bad = np.zeros(len(shown), np.bool_)
        bad[keys[~good]] = True
        ends = np.append(first[1:], True).nonzero()[0] if len(keys) else first.nonzero()[0]
        ends = ends[~bad.take(keys.take(ends))]
        after[keys.take(ends)] = np.where(net.take(ends) > 0, last.take(ends), -1)
        return bad

    def _turn(
        self, due: _Rows, rows: Ints, number: Ints, content: Ints, state: tuple[Ints, Ints]
    ) -> None:
        """What came under one watermark of each key.

        Args:
            due: all rows …
            rows: … and which of them are meant.
            number: each row's key.
            content: what each row says.
            state: by key the content that it shows, or −1, and what `_settle` gives; changed here.
        """
        now, after = state
        what = content.take(rows)
        order = sort_stable(what)
        kinds = what.take(order)
        begins = np.ones(len(order), np.bool_)
        begins[1:] = kinds[1:] != kinds[:-1]
        starts = begins.nonzero()[0]
        signs = due.signs.take(rows.take(order)).astype(np.int64)
        net = np.add.reduceat(signs, starts)
        coming = np.add.reduceat((signs > 0).astype(np.int64), starts)
        # Additions and retractions of equal rows cancel each other; of additions the first go.
        added = (signs > 0).astype(np.int64)
        group = np.cumsum(begins) - 1
        nth = np.cumsum(added) - np.repeat(
            np.cumsum(coming) - coming, np.diff([*starts, len(order)])
        )
        is_first = (added > 0) & (nth == (coming - net + 1).take(group)) & (net.take(group) > 0)
        kind, keys = kinds.take(starts), number.take(rows.take(order.take(starts)))
        gone = (net < 0) & (kind == now.take(keys))
        touched = np.unique(keys)
        place = np.searchsorted(touched, keys)
        stays = now.take(touched) >= 0
        stays[place[gone]] = False
        left = np.bincount(place, np.maximum(net, 0), len(touched)).astype(np.int64) + stays
        # The first row that is left of those that came, by key.
        candidates = rows.take(order.take(is_first.nonzero()[0]))
        earliest = np.full(len(touched), len(due.marks))
        np.minimum.at(earliest, np.searchsorted(touched, number.take(candidates)), candidates)
        if self._fails and (left > 1).any():
            raise self._conflict(due, touched[(left > 1).argmax()], number)
        empty = left == 0
        now[touched[empty]] = after[touched[empty]] = -1
        fresh = ((left == 1) & ~stays) | ((left > 1) & (now.take(touched) < 0))
        chosen = earliest[fresh]
        now[touched[fresh]] = content.take(chosen)
        after[touched[fresh]] = chosen

    def _conflict(self, due: _Rows, key: int, number: Ints) -> DataError:
        row = int((number == key).argmax())
        columns = [due.batch.column(c) for c in self._form.keys]
        return _violation(self._table, self._names, columns, row)

    def _show(
        self, batch: pa.RecordBatch, slots: Ints, before: Ints, after: Ints
    ) -> Iterator[Changes]:
        numbers = np.where(after == -2, before, 0)
        fresh = (after >= 0).nonzero()[0]
        gone = before[(after != -2) & (before > 0)]
        if len(gone):
            self._rows.remove(gone - 1)
        if len(fresh):
            values = batch.select(list(self._form.stored)).take(pa.array(after.take(fresh)))
            numbers[fresh] = self._rows.append(values) + 1
            self._write(slots.take(fresh))
        self._columns.write(slots, "row", numbers)
        yield from self._form.changes(self._index, self._rows, slots, before, numbers)
        empty = (numbers == 0).nonzero()[0]
        if len(empty):
            self._index.free(slots.take(empty))
