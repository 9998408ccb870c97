"""GROUP BY over windows that rows carry.

    SELECT window_start, window_end, k, COUNT(*)
    FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end, k

In → out: rows give nothing; when the watermark reaches a window's end − 1 ms, `+I k, n, start, end`.

Requires: rows with `window_start` and `window_end`, and the watermark before each in their marks;
a row whose window had fired by then is late: counted (`late-rows`) and left out.
Emits: append, in the order of the windows' ends, marked with the watermark before.
State: `groups` (window end, key → slot) with accumulators and timers, freed when the window fires;
`progress`, the last watermark.
Cost: per row one look-up of its key and one addition an accumulator.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import NO_WATERMARK, Changes, Keys, Marks, split_changes
from flowsql.operators.aggregates import Accumulators, Batch
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import GatheringOperator
from flowsql.operators.local_time import firing_times, instants, is_utc
from flowsql.operators.sequence import accepted_counts
from flowsql.operators.vectors import from_numpy, to_numpy
from flowsql.state import Columns, KeyIndex, Timers
from flowsql.state.accumulators import GROUPS, ROW_COUNT, AccumulatorPlan
from flowsql.types import DataType, TimestampType, arrow_type

__all__ = ["WindowAggregateOperator"]

Ints = npt.NDArray[np.int64]

_EMIT = 1 << 16
_WINDOW_TYPE = TimestampType(precision=3)
_START = "window_start"


class WindowAggregateOperator(GatheringOperator):
    """See the module.

    Args:
        keys: grouping columns of the input, the window's left out.
        key_types: their types.
        plan: the accumulators.
        window_start: column of the input.
        window_end: column of the input.
        window_columns: which of `window_start`, `window_end`, `window_time` are given.
        output: schema of the output: keys, aggregates, window columns.
        zone: the session's time zone, where windows are in local time; else "UTC".
    """

    _INDEX = GROUPS

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        key_types: tuple[DataType, ...],
        plan: AccumulatorPlan,
        window_start: int,
        window_end: int,
        window_columns: tuple[str, ...],
        output: pa.Schema,
        zone: str,
    ) -> None:
        super().__init__()
        self._keys = keys
        self._key_types = (_WINDOW_TYPE, *key_types)
        self._retract = plan.retract
        self._types = tuple(o.type for o in plan.outputs)
        self._window_start = window_start
        self._window_end = window_end
        self._window_columns = window_columns
        self._output = output
        self._zone = zone
        self._local = not is_utc(zone)
        self._accumulators = Accumulators(plan, (*((ROW_COUNT,) if plan.retract else ()), _START))

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._timers: Timers = context.state["timers"]
        self._progress: KeyIndex = context.state["progress"]
        self._progress_columns: Columns = context.state["progress_columns"]
        # Of the only key, once there is one: it is never freed.
        self._progress_slot: Ints | None = None
        self._accumulators.open(context.state)

    def _ingest(self, changes: Changes) -> None:
        ends = to_numpy(changes.batch.column(self._window_end)) // 1_000 - 1
        fires = firing_times(ends, self._zone) if self._local else ends
        marks = None if changes.marks is None else changes.marks.watermark
        late = fires <= (self._watermark() if marks is None else marks)
        if late.any():
            rows = (~late).nonzero()[0]
            self.context.counters.add("late-rows", len(fires) - len(rows))
            if not len(rows):
                return
            changes, fires = changes.take(rows), fires.take(rows)
        batch = changes.batch
        columns = (self._window_end, *self._keys)
        keys = Keys.of([batch.column(i) for i in columns], self._key_types, len(changes))
        slots, is_new = self._index.ensure(keys)
        made = is_new.nonzero()[0]
        if len(made):
            self._begin(batch, slots.take(made), fires.take(made), made)
        self._accumulators.columns.mark(self._touched.add(slots, self._index.capacity))
        signs = None
        if self._retract:
            signs = changes.signs
            counts = self._accumulators.columns.vector(ROW_COUNT)
            accepted = accepted_counts(slots, signs, counts.take(slots))
            if accepted is not None:
                rows = accepted.nonzero()[0]
                self.context.counters.add("orphan-retractions", len(slots) - len(rows))
                batch, slots, signs = batch.take(pa.array(rows)), slots[rows], signs[rows]
                fires = fires.take(rows)
            np.add.at(counts, slots, signs.astype(np.int64))
        self._accumulators.feed(Batch(batch, slots, signs), fires)

    def _begin(self, batch: pa.RecordBatch, slots: Ints, fires: Ints, rows: Ints) -> None:
        """Windows that are new."""
        starts = to_numpy(batch.column(self._window_start)).take(rows)
        self._accumulators.columns.vector(_START)[slots] = starts
        self._timers.set(fires, slots)

    def advance(self, watermark: int) -> Iterator[Changes]:
        self._gather()
        before = self._watermark()
        slots = self._timers.due(watermark)
        if len(slots):
            yield from self._fire(slots, before)
            self._index.free(slots)
        self._accumulators.expire(watermark)
        if self._progress_slot is None:
            self._progress_slot, _ = self._progress.ensure(Keys.of([], (), 1))
        self._progress_columns.write(self._progress_slot, "watermark", watermark)

    def _fire(self, slots: Ints, before: int) -> Iterator[Changes]:
        ends = to_numpy(self._index.keys(slots)[0])
        slots = slots.take(np.argsort(ends, kind="stable"))
        for start in range(0, len(slots), _EMIT):
            changes = self._window_rows(slots[start : start + _EMIT], before)
            if changes is not None:
                yield from split_changes(changes)

    def _window_rows(self, slots: Ints, before: int) -> Changes | None:
        snapshot = self._accumulators.snapshot(slots)
        if self._retract:
            counts = snapshot.fixed[ROW_COUNT]
            if not (counts > 0).all():
                slots = slots[counts > 0]
                if not len(slots):
                    return None
                snapshot = self._accumulators.snapshot(slots)
        end, *arrays = self._index.keys(slots)
        for result, data_type in zip(
            self._accumulators.results(snapshot), self._types, strict=True
        ):
            if isinstance(result.values, np.ndarray):
                arrays.append(from_numpy(result.values, result.valid, arrow_type(data_type)))
            else:
                arrays.append(result.values)
        for i, name in enumerate(self._window_columns, start=len(arrays)):
            stored = self._output.field(i).type
            arrays.append(self._window_column(name, end, snapshot.fixed[_START], stored))
        marks = Marks(np.full(len(slots), before, np.int64))
        return Changes(pa.RecordBatch.from_arrays(arrays, schema=self._output), marks=marks)

    def _window_column(
        self, name: str, end: pa.Array, start: Ints, stored: pa.DataType
    ) -> pa.Array:
        if name == "window_start":
            return from_numpy(start, None, stored)
        if name == "window_end":
            return end
        last = to_numpy(end) - 1_000
        if self._local:
            last = instants(last // 1_000, self._zone) * 1_000
        return from_numpy(last, None, stored)

    def _net(self) -> Iterator[Changes]:
        self._accumulators.release()
        return iter(())

    def _watermark(self) -> int:
        if self._progress_slot is None:
            slot = self._progress.find(Keys.of([], (), 1))
            if slot[0] < 0:
                return NO_WATERMARK
            self._progress_slot = slot
        return int(self._progress_columns.read(self._progress_slot, "watermark")[0])
