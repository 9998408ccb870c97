"""All accumulators of one operator: fed batch by batch, read for the groups of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.errors import InternalError
from flowsql.operators.aggregates import extremes, sums
from flowsql.operators.aggregates.results import Result
from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.sequence import sort_stable
from flowsql.operators.touched import Touched
from flowsql.operators.vectors import Vector
from flowsql.state import Columns, KeyIndex, Ordered, Timers
from flowsql.state.accumulators import (
    ACCUMULATORS,
    Accumulator,
    AccumulatorKind,
    AccumulatorPlan,
    DistinctSet,
)
from flowsql.types import BigIntType

__all__ = ["Accumulators", "Snapshot"]

Ints = npt.NDArray[np.int64]

_Add = Callable[[Columns, Accumulator, Batch, Selection], None]
_ADD: dict[AccumulatorKind, _Add] = {
    AccumulatorKind.COUNT: sums.add_count,
    AccumulatorKind.SUM_INTEGER: sums.add_integer,
    AccumulatorKind.SUM_FLOAT: sums.add_float,
    AccumulatorKind.SUM_DOUBLE: sums.add_float,
    AccumulatorKind.SUM_FLOAT_RETRACT: sums.add_float_retract,
    AccumulatorKind.SUM_DOUBLE_RETRACT: sums.add_float_retract,
    AccumulatorKind.SUM_DECIMAL: sums.add_decimal,
    AccumulatorKind.EXTREME_WORD: extremes.raise_word,
    AccumulatorKind.EXTREME_VALUE: extremes.raise_value,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Accumulators of some groups as they stood at one moment.

    Attributes:
        fixed: by column of the table `ACCUMULATORS`.
        values: by (accumulator, function): extremes that have no fixed column.
    """

    fixed: dict[str, Vector]
    values: dict[tuple[str, str], pa.Array]

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
    """

    def __init__(self, plan: AccumulatorPlan, extra: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self._fixed = (*extra, *(n for a in plan.accumulators for n, _ in a.columns))
        # What an output needs that is no fixed column, each once.
        self._read: list[tuple[Accumulator, str]] = []
        for output in plan.outputs:
            source = plan.accumulators[output.value]
            if source.kind in (AccumulatorKind.EXTREME_VALUE, AccumulatorKind.ORDERED):
                item = (source, output.function)
                if item not in self._read:
                    self._read.append(item)

    def open(self, state: Mapping[str, Any]) -> None:
        """Take the tables."""
        self.columns: Columns = state[ACCUMULATORS]
        self._ordered: dict[str, Ordered] = {
            a.name: state[a.name]
            for a in self.plan.accumulators
            if a.kind is AccumulatorKind.ORDERED
        }
        self._distinct = [_Distinct(d, state) for d in self.plan.distinct]

    def feed(self, batch: Batch, ends: Ints | None = None) -> None:
        """Add the rows of a batch; the caller marks the groups as changed.

        Args:
            batch: rows of which each finds its group.
            ends: int64[n] milliseconds, when each row's window is over; None without windows.
        """
        fed = [d.feed(batch, ends) for d in self._distinct]
        for a in self.plan.accumulators:
            chosen = batch.select(a.arg, a.filter) if a.distinct is None else fed[a.distinct]
            if a.kind is AccumulatorKind.ORDERED:
                self._feed_ordered(a, batch, chosen)
            else:
                _ADD[a.kind](self.columns, a, batch, chosen)

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
        values: dict[tuple[str, str], pa.Array] = {}
        for source, function in self._read:
            if source.kind is AccumulatorKind.EXTREME_VALUE:
                array = self.columns.read(slots, source.name)
            else:
                table = self._ordered[source.name]
                array = (table.max(slots) if function == "MAX" else table.min(slots))[0]
            values[source.name, function] = array
        return Snapshot(fixed, values)

    def results(self, snapshot: Snapshot) -> list[Result]:
        """One column an aggregate."""
        results: list[Result] = []
        for output in self.plan.outputs:
            counter = self.plan.accumulators[output.count]
            source = self.plan.accumulators[output.value]
            counts = snapshot.fixed[counter.name]
            match output.function:
                case "COUNT":
                    results.append(sums.count(counts))
                case "SUM":
                    results.append(
                        sums.summed(source, snapshot.fixed.__getitem__, counts, output.type)
                    )
                case "AVG":
                    results.append(
                        sums.average(source, snapshot.fixed.__getitem__, counts, output.type)
                    )
                case "MIN" | "MAX" if source.kind is AccumulatorKind.EXTREME_WORD:
                    valid = counts > 0
                    values = extremes.extreme(source, snapshot.fixed.__getitem__)
                    results.append(Result(values, None if valid.all() else valid))
                case "MIN" | "MAX":
                    results.append(Result(snapshot.values[source.name, output.function], None))
                case other:
                    raise InternalError(f'aggregate "{other}" has no value')
        return results

    def release(self) -> None:
        """End of the step: distinct values that vanished are forgotten."""
        for distinct in self._distinct:
            distinct.release()

    def expire(self, watermark: int) -> None:
        """Distinct values of windows that are over are forgotten."""
        for distinct in self._distinct:
            distinct.expire(watermark)


class _Distinct:
    """The values that each group holds, and which of a batch's rows made one appear or vanish."""

    def __init__(self, what: DistinctSet, state: Mapping[str, Any]) -> None:
        self._what = what
        self._index: KeyIndex = state[what.name]
        self._counts: Columns | None = state.get(what.counts)
        self._timers: Timers | None = state.get(what.timers)
        self._touched = Touched()
        self._types = (BigIntType(nullable=False), what.type)

    def feed(self, batch: Batch, ends: Ints | None) -> Selection:
        chosen = batch.select(self._what.arg, self._what.filter)
        if not len(chosen.slots):
            return chosen
        values = batch.array(self._what.arg, chosen)
        keys = Keys.of([pa.array(chosen.slots), values], self._types)
        entries, is_new = self._index.ensure(keys)
        if self._timers is not None and ends is not None and is_new.any():
            self._timers.set(chosen.pick(ends)[is_new], entries[is_new])
        if self._counts is None:
            return chosen.narrow(is_new)
        return self._cross(chosen, entries)

    def _cross(self, chosen: Selection, entries: Ints) -> Selection:
        """Rows that stand for the values whose multiplicity went above or back to zero."""
        assert self._counts is not None
        assert chosen.signs is not None
        order = sort_stable(entries)
        ordered = entries.take(order)
        first = np.ones(len(order), np.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        starts = first.nonzero()[0]
        distinct = ordered.take(starts)
        change = np.add.reduceat(chosen.signs.take(order).astype(np.int64), starts)
        before = self._counts.read(distinct, "count")
        after = before + change
        self._counts.write(distinct, "count", after)
        self._touched.add(distinct, self._index.capacity)
        crossing = (before > 0) != (after > 0)
        crossed = crossing.nonzero()[0]
        rows = order.take(starts.take(crossed))
        signs = np.where(after.take(crossed) > 0, 1, -1).astype(np.int8)
        return Selection(
            rows if chosen.rows is None else chosen.rows.take(rows),
            chosen.slots.take(rows),
            signs,
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

    def expire(self, watermark: int) -> None:
        # What has vanished goes first, so that nothing is freed twice.
        self.release()
        if self._timers is not None:
            due = self._timers.due(watermark)
            if len(due):
                self._index.free(due)
