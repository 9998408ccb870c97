"""All accumulators of one operator: fed batch by batch, read for the groups of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.errors import DataError, InternalError
from flowsql.expr import StepClock
from flowsql.expr.nodes import LiteralValue
from flowsql.operators.aggregates import (
    arrivals,
    bitmaps,
    extremes,
    moments,
    percentiles,
    sums,
)
from flowsql.operators.aggregates.collected import collected
from flowsql.operators.aggregates.results import Result
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.aggregates.value_lists import ValueList
from flowsql.operators.lifetimes import KeyLifetimes
from flowsql.operators.sequence import accepted_counts, sort_stable
from flowsql.operators.touched import Touched
from flowsql.operators.vectors import Vector
from flowsql.state import Columns, KeyIndex, Ordered, Timers, memory
from flowsql.state.accumulators import (
    ACCUMULATORS,
    BEGUN,
    BITMAPS,
    GROUPS,
    VARIANCES,
    Accumulator,
    AccumulatorKind,
    AccumulatorPlan,
    AggregateOutput,
    DistinctSet,
)
from flowsql.state.kernels import distinct, runs
from flowsql.types import BigIntType, DataType

__all__ = ["Accumulators", "Snapshot"]

# Distinct values whose groups are read together.
_PART: Final = 1 << 16

Ints = npt.NDArray[np.int64]

_Add = Callable[[Columns, Accumulator, Batch, Selection], None]
_ADD: dict[AccumulatorKind, _Add] = {
    AccumulatorKind.COUNT: sums.add_count,
    AccumulatorKind.SUM_INTEGER: sums.add_integer,
    AccumulatorKind.SUM_FLOAT: sums.add_float,
    AccumulatorKind.SUM_DOUBLE: sums.add_float,
    AccumulatorKind.SUM_DECIMAL: sums.add_decimal,
    AccumulatorKind.EXTREME_WORD: extremes.raise_word,
    AccumulatorKind.EXTREME_VALUE: extremes.raise_value,
    AccumulatorKind.FIRST: arrivals.keep_first,
    AccumulatorKind.LAST: arrivals.keep_last,
    AccumulatorKind.BITMAP_BUILD: bitmaps.add_integers,
    AccumulatorKind.BITMAP_AND: bitmaps.add_bitmaps,
    AccumulatorKind.BITMAP_OR: bitmaps.add_bitmaps,
    AccumulatorKind.BITMAP_XOR: bitmaps.add_bitmaps,
}
# Of floats, which begin anew where the count of values comes down to zero.
_AddCounted = Callable[[Columns, Accumulator, Batch, Selection, str], None]
_ADD_COUNTED: dict[AccumulatorKind, _AddCounted] = {
    AccumulatorKind.SUM_FLOAT_RETRACT: sums.add_float_retract,
    AccumulatorKind.SUM_DOUBLE_RETRACT: sums.add_float_retract,
    AccumulatorKind.MOMENTS: moments.add_moments,
}

# Kinds whose values are no fixed columns, and are read when a snapshot is taken.
_READ = frozenset(AccumulatorKind) - {
    AccumulatorKind.COUNT,
    AccumulatorKind.SUM_INTEGER,
    AccumulatorKind.SUM_FLOAT,
    AccumulatorKind.SUM_DOUBLE,
    AccumulatorKind.SUM_FLOAT_RETRACT,
    AccumulatorKind.SUM_DOUBLE_RETRACT,
    AccumulatorKind.SUM_DECIMAL,
    AccumulatorKind.EXTREME_WORD,
    AccumulatorKind.MOMENTS,
}
_LISTS = (AccumulatorKind.LIST, AccumulatorKind.ARRIVALS)
_VALUE_COLUMNS = (AccumulatorKind.EXTREME_VALUE, AccumulatorKind.FIRST, AccumulatorKind.LAST)


_Item = tuple[int, str, tuple[LiteralValue, ...]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Accumulators of some groups as they stood at one moment.

    Attributes:
        fixed: by column of the table `ACCUMULATORS`.
        values: by number of the accumulator, function and constants: what has no fixed column.
    """

    fixed: dict[str, Vector]
    values: dict[_Item, pa.Array]

    @staticmethod
    def concat(parts: Sequence[Snapshot]) -> Snapshot:
        """The groups of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        return Snapshot(
            {name: np.concatenate([p.fixed[name] for p in parts]) for name in first.fixed},
            {name: pa.concat_arrays([p.values[name] for p in parts]) for name in first.values},
        )


class Accumulators:
    """The accumulators of an `AccumulatorPlan` over its state tables.

    Args:
        plan: what is kept.
        extra: further columns of the table that a snapshot holds.
        ttl: how long a distinct value is kept after it was last seen, in milliseconds; 0 for as
            long as its group.
    """

    def __init__(self, plan: AccumulatorPlan, extra: tuple[str, ...] = (), ttl: int = 0) -> None:
        self.plan = plan
        self._ttl = ttl
        self._fixed = (*extra, *(n for a in plan.accumulators for n, _ in a.columns))
        # What an output needs that is no fixed column, each once.
        self._read: dict[_Item, AggregateOutput] = {
            _item(o): o for o in plan.outputs if plan.accumulators[o.value].kind in _READ
        }
        self._lists = {
            a.name: ValueList(a, append=not plan.retract)
            for a in plan.accumulators
            if a.kind in _LISTS
        }
        # The column that counts an accumulator's values, which is fed before it.
        self._counts = {o.value: plan.accumulators[o.count].name for o in plan.outputs}

    def open(self, state: Mapping[str, Any]) -> None:
        """Take the tables."""
        self.columns: Columns = state[ACCUMULATORS]
        self._ordered: dict[str, Ordered] = {
            a.name: state[a.name]
            for a in self.plan.accumulators
            if a.kind in (AccumulatorKind.ORDERED, AccumulatorKind.PERCENTILE)
        }
        for values in self._lists.values():
            values.open(state)
        self._distinct = [_Distinct(d, state, self._ttl) for d in self.plan.distinct]

    def begin(self, slots: Ints, clock: StepClock) -> None:
        """Groups that have just been made."""
        if self._ttl and self._distinct:
            self.columns.vector(BEGUN)[slots] = clock.now

    def feed(self, batch: Batch, ends: Ints | None = None, clock: StepClock | None = None) -> None:
        """Add the rows of a batch; the caller marks the groups as changed.

        Args:
            batch: rows of which each finds its group.
            ends: int64[n] milliseconds, when each row's window is over; None without windows.
            clock: the step's, where values are forgotten.
        """
        fed = [d.feed(batch, ends, clock) for d in self._distinct]
        for i, a in enumerate(self.plan.accumulators):
            rows = batch
            if a.distinct is not None:
                rows, chosen = fed[a.distinct]
            else:
                chosen = batch.select(None if a.nulls else a.arg, a.filter)
            if a.kind is AccumulatorKind.ORDERED:
                self._feed_ordered(a, rows, chosen)
            elif a.kind is AccumulatorKind.PERCENTILE:
                percentiles.add_values(self._ordered[a.name], a, rows, chosen)
            elif a.kind in _LISTS:
                self._lists[a.name].feed(rows, chosen)
            elif a.kind in _ADD_COUNTED:
                _ADD_COUNTED[a.kind](self.columns, a, rows, chosen, self._counts[i])
            else:
                _ADD[a.kind](self.columns, a, rows, chosen)

    def _feed_ordered(self, what: Accumulator, batch: Batch, chosen: Selection) -> None:
        assert what.arg is not None
        assert chosen.signs is not None
        table = self._ordered[what.name]
        values = batch.array(what.arg, chosen)
        taken = chosen.signs < 0
        if not taken.any():
            table.add(chosen.slots, [values])
            return
        # Added first: a value that comes and goes within the batch is there when it goes.
        plus, minus = (~taken).nonzero()[0], taken.nonzero()[0]
        if len(plus):
            table.add(chosen.slots.take(plus), [values.take(pa.array(plus))])
        table.remove(chosen.slots.take(minus), [values.take(pa.array(minus))])

    def snapshot(self, slots: Ints) -> Snapshot:
        """The accumulators of groups, now."""
        fixed = {name: self.columns.vector(name).take(slots) for name in self._fixed}
        values = {item: self._made(output, slots) for item, output in self._read.items()}
        return Snapshot(fixed, values)

    def _made(self, output: AggregateOutput, slots: Ints) -> pa.Array:
        """The value of an aggregate that is not computed from fixed columns."""
        source = self.plan.accumulators[output.value]
        name, function = source.name, output.function
        match source.kind:
            case AccumulatorKind.ORDERED:
                table = self._ordered[name]
                return (table.max(slots) if function == "MAX" else table.min(slots))[0]
            case AccumulatorKind.PERCENTILE:
                entries = self._ordered[name].entries(slots)
                return percentiles.percentile(
                    output.constants, source, output.type, entries, len(slots)
                )
            case AccumulatorKind.ARRIVALS:
                return self._lists[name].end(slots, last=function == "LAST_VALUE")
            case AccumulatorKind.LIST:
                group, values = self._lists[name].all(slots)
                try:
                    return collected(
                        function,
                        output.constants,
                        output.type,
                        group=group,
                        values=values,
                        groups=len(slots),
                        append=not self.plan.retract,
                    )
                except DataError as error:
                    error.span = output.span
                    raise
            case _ if function in BITMAPS:
                return self._bitmaps(output, slots)
            case _:
                return self.columns.read(slots, name)

    def _bitmaps(self, output: AggregateOutput, slots: Ints) -> pa.Array:
        source = self.plan.accumulators[output.value]
        counts = self.columns.vector(self.plan.accumulators[output.count].name).take(slots)
        stored = self.columns.read(slots, source.name)
        if source.kind is AccumulatorKind.BITMAP_BUILD and BITMAPS[output.function] == "AND":
            assert source.distinct is not None
            stored = bitmaps.reached(stored, slots, counts, self._distinct[source.distinct].count)
        return bitmaps.counted(stored, counts > 0, cardinality=isinstance(output.type, BigIntType))

    def results(self, snapshot: Snapshot) -> list[Result]:
        """One column an aggregate."""
        results: list[Result] = []
        for output in self.plan.outputs:
            counter = self.plan.accumulators[output.count]
            source = self.plan.accumulators[output.value]
            counts = snapshot.fixed[counter.name]
            match output.function:
                case "COUNT" | "APPROX_COUNT_DISTINCT":
                    results.append(sums.count(counts))
                case "SUM":
                    results.append(
                        sums.summed(source, snapshot.fixed.__getitem__, counts, output.type)
                    )
                case "AVG":
                    results.append(
                        sums.average(source, snapshot.fixed.__getitem__, counts, output.type)
                    )
                case function if function in VARIANCES:
                    read = snapshot.fixed.__getitem__
                    results.append(moments.variance(function, source, read, counts, output.type))
                case "MIN" | "MAX" if source.kind is AccumulatorKind.EXTREME_WORD:
                    valid = counts > 0
                    values = extremes.extreme(source, snapshot.fixed.__getitem__)
                    results.append(Result(values, None if valid.all() else valid))
                case function if source.kind in _READ:
                    results.append(Result(snapshot.values[_item(output)], None))
                case function if function in BITMAPS:
                    # How many integers are there, which are counted.
                    valid = counts > 0
                    results.append(Result(counts, None if valid.all() else valid))
                case other:
                    raise InternalError(f'aggregate "{other}" has no value')
        return results

    def release(self) -> None:
        """End of the step: distinct values that vanished are forgotten."""
        for kept in self._distinct:
            kept.release()
        for values in self._lists.values():
            values.release()

    def expire(self, watermark: int) -> None:
        """Distinct values of windows that are over are forgotten."""
        for kept in self._distinct:
            kept.expire(watermark)

    def age(self, clock: StepClock) -> None:
        """End of the step, after `release`: some of the values that are over are forgotten."""
        for kept in self._distinct:
            kept.age(clock)


def _item(output: AggregateOutput) -> _Item:
    return (output.value, output.function, output.constants)


class _Distinct:
    """The values that each group holds, and which of a batch's rows made one appear or vanish."""

    def __init__(self, what: DistinctSet, state: Mapping[str, Any], ttl: int) -> None:
        self._what = what
        self._index: KeyIndex = state[what.name]
        self._counts: Columns | None = state.get(what.counts)
        self._timers: Timers | None = state.get(what.timers)
        self._touched = Touched()
        self._lifetimes: KeyLifetimes | None = None
        group: tuple[DataType, ...] = (BigIntType(nullable=False),)
        if ttl:
            group *= 2
            self._groups: Columns = state[ACCUMULATORS]
            self._lifetimes = KeyLifetimes(ttl)
            self._lifetimes.open(self._index, state[what.lifetimes])
        self._types = (*group, what.type)
        self._arg = None if what.nulls else what.arg
        # How many values each group has, where it may go before they do: a source that takes back
        # what it never gave leaves some behind.
        self._held: memory.Vector | None = None
        if self._counts is not None and not ttl:
            self._owners: KeyIndex = state[GROUPS]
            self._owners.on_release(self._leave)
            self._held = memory.Vector(np.int64)
            held = self._held.fit(self._owners.capacity)
            np.add.at(held, self._owner(self._index.live()), 1)

    def feed(
        self, batch: Batch, ends: Ints | None, clock: StepClock | None
    ) -> tuple[Batch, Selection]:
        """The rows by which a value appears or vanishes, and the batch that they are of."""
        chosen = batch.select(self._arg, self._what.filter)
        if self._what.members and len(chosen.slots):
            batch, ends = bitmaps.members_of(batch, self._what.arg, chosen, ends)
            chosen = batch.all
        return batch, self._feed(batch, chosen, ends, clock)

    def _feed(
        self, batch: Batch, chosen: Selection, ends: Ints | None, clock: StepClock | None
    ) -> Selection:
        if not len(chosen.slots):
            return chosen
        values = batch.array(self._what.arg, chosen)
        if self._lifetimes is not None:
            assert clock is not None
            begun = self._groups.vector(BEGUN).take(chosen.slots)
            keys = Keys.of([pa.array(chosen.slots), pa.array(begun), values], self._types)
            entries, is_new = self._lifetimes.ensure(keys, clock, self._index.free)
            self._lifetimes.write(distinct(entries), clock)
        else:
            keys = Keys.of([pa.array(chosen.slots), values], self._types)
            entries, is_new = self._index.ensure(keys)
        if self._timers is not None and ends is not None and is_new.any():
            self._timers.set(chosen.pick(ends)[is_new], entries[is_new])
        if self._counts is None:
            return chosen.narrow(is_new)
        return self._cross(chosen, entries)

    def count(self, slots: Ints, values: pa.Array) -> Ints:
        """How often each value is there in its group; below zero what was taken back too soon."""
        assert self._counts is not None
        keys = [pa.array(slots), values]
        if self._lifetimes is not None:
            keys.insert(1, pa.array(self._groups.vector(BEGUN).take(slots)))
        entries = self._index.find(Keys.of(keys, self._types))
        found = self._counts.read(np.maximum(entries, 0), "count")
        return np.where(entries < 0, 0, found)

    def _cross(self, chosen: Selection, entries: Ints) -> Selection:
        """Rows by which a value's multiplicity goes above or back to zero, in order of arrival."""
        assert self._counts is not None
        assert chosen.signs is not None
        self._touched.add(entries, self._index.capacity)
        if self._lifetimes is not None:
            # What is over cannot be taken back.
            held = self._counts.read(entries, "count")
            accepted = accepted_counts(entries, chosen.signs, held)
            if accepted is not None:
                chosen, entries = chosen.narrow(accepted), entries[accepted]
                if not len(entries):
                    return chosen
        assert chosen.signs is not None
        order = sort_stable(entries)
        starts, lengths = runs(entries.take(order))
        signs = chosen.signs.take(order).astype(np.int64)
        total = np.cumsum(signs)
        each = entries.take(order.take(starts))
        before = self._counts.read(each, "count")
        # What the running total was before the first row of each value is taken off again.
        level = total + np.repeat(before - (total - signs).take(starts), lengths)
        after = level.take(starts + lengths - 1)
        self._counts.write(each, "count", after)
        if self._held is not None:
            owners = chosen.slots.take(order.take(starts))
            held = self._held.fit(self._owners.capacity)
            np.add.at(held, owners, (after != 0).astype(np.int64) - (before != 0))
        crossing = (level > 0) != (level - signs > 0)
        rows = np.sort(order.take(crossing.nonzero()[0]))
        return Selection(
            rows if chosen.rows is None else chosen.rows.take(rows),
            chosen.slots.take(rows),
            chosen.signs.take(rows),
        )

    def release(self) -> None:
        if self._counts is None or not self._touched.size:
            return
        entries = self._touched.slots()
        gone = entries[self._counts.read(entries, "count") == 0]
        if len(gone):
            self._index.free(gone)
            if self._timers is not None:
                self._timers.clear(gone)
        self._touched.clear()

    def _owner(self, entries: Ints) -> Ints:
        """int64[n]: the group of each value."""
        parts = [
            self._index.keys(entries[at : at + _PART])[0].to_numpy()
            for at in range(0, len(entries), _PART)
        ]
        return np.concatenate(parts) if parts else entries

    def _leave(self, groups: Ints) -> None:
        """Groups are gone: so are values that were left in them."""
        assert self._held is not None
        held = self._held.fit(self._owners.capacity)
        groups = groups[held.take(groups) != 0]
        if len(groups):
            held[groups] = 0
            entries = self._index.live()
            entries = entries[np.isin(self._owner(entries), groups)]
            self._index.free(entries)
            if self._timers is not None:
                self._timers.clear(entries)

    def age(self, clock: StepClock) -> None:
        if self._lifetimes is not None:
            due = self._lifetimes.due(clock)
            if len(due):
                self._index.free(due)

    def expire(self, watermark: int) -> None:
        # What has vanished goes first, so that nothing is freed twice.
        self.release()
        if self._timers is not None:
            due = self._timers.due(watermark)
            if len(due):
                if self._held is not None:
                    held = self._held.fit(self._owners.capacity)
                    np.subtract.at(held, self._owner(due), 1)
                self._index.free(due)
