"""Top-N and deduplication of each window, given once.

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY x) AS n
    FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) WHERE n <= 3

In → out: nothing until the watermark reaches a window's end − 1 ms; then its first rows, in order.

Requires: append; rows that carry their window, whose bounds are part of the partition.
Emits: append. A row whose window had been given by then is late: counted (`late-rows`) and left out. Of
rows that are equal in the order the first to arrive stands first or, as deduplication to the last row
wants it, the last.
State: as `top_n.py`, and `timers` (when a partition's window is over), `progress` (the last watermark).
Cost: as `top_n.py`; a window that is over costs the rows it kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import NO_WATERMARK, Changes, Keys, Marks
from flowsql.operators.base import OperatorContext
from flowsql.operators.local_time import firing_times, is_utc
from flowsql.operators.top_n import TopNOperator
from flowsql.operators.vectors import to_numpy
from flowsql.state import Columns, KeyIndex, Timers

__all__ = ["WindowTopNOperator"]

Ints = npt.NDArray[np.int64]


class WindowTopNOperator(TopNOperator):
    """See the module.

    Args:
        window_end: input column, part of the partition.
        zone: whose wall clock the windows' bounds are; "UTC" for none.
        last: of equal rows the last to arrive stands first: the order ends with the row's number,
            descending.
        options: as of `TopNOperator`.
    """

    def __init__(self, *, window_end: int, zone: str, last: bool, **options: Any) -> None:
        super().__init__(**options)
        self._window_end = window_end
        self._zone = zone
        self._local = not is_utc(zone)
        self._last = last

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._timers: Timers = context.state["timers"]
        self._progress: KeyIndex = context.state["progress"]
        self._progress_columns: Columns = context.state["progress_columns"]

    def _fires(self, ends: pa.Array) -> Ints:
        """The watermark at which each window is given."""
        last = to_numpy(ends) // 1_000 - 1
        return firing_times(last, self._zone) if self._local else last

    def _ingest(self, changes: Changes) -> None:
        fires = self._fires(changes.batch.column(self._window_end))
        marks = None if changes.marks is None else changes.marks.watermark
        late = fires <= (self._watermark() if marks is None else marks)
        if late.any():
            rows = (~late).nonzero()[0]
            self.context.counters.add("late-rows", len(fires) - len(rows))
            if not len(rows):
                return
            changes = changes.take(rows)
        super()._ingest(changes)

    def _begin(self, batch: pa.RecordBatch, slots: Ints, made: Ints) -> None:
        super()._begin(batch, slots, made)
        ends = batch.column(self._window_end).take(pa.array(made))
        self._timers.set(self._fires(ends), slots.take(made))

    def _touch(self, slots: Ints) -> None:
        # Nothing has been given of a window that is open.
        self._columns.mark(self._touched.add(slots, self._index.capacity))

    def _sort_values(self, batch: pa.RecordBatch, numbers: Ints) -> list[pa.Array]:
        values = super()._sort_values(batch, numbers)
        return [*values, pa.array(numbers)] if self._last else values

    def advance(self, watermark: int) -> Iterator[Changes]:
        self._gather()
        before = self._watermark()
        slots = self._timers.due(watermark)
        if len(slots):
            at = self._partition.index(self._window_end)
            ends = to_numpy(self._index.keys(slots)[at])
            slots = slots.take(np.argsort(ends, kind="stable"))
            held = self._columns.read(slots, "rows")
            given = self._ranking.given(
                self._order, slots, self._ends(slots), np.arange(len(slots)), held
            )
            for part in self._form.give(self._index, self._rows, slots, given, retract=False):
                marks = Marks(np.full(len(part), before, np.int64))
                yield Changes(part.batch, marks=marks)
            kept = self._order.entries(slots).rows
            assert kept is not None
            self._rows.remove(kept)
            self._index.free(slots)
        slot, _ = self._progress.ensure(Keys.of([], (), 1))
        self._progress_columns.write(slot, "watermark", watermark)

    def _net(self) -> Iterator[Changes]:
        return iter(())

    def _watermark(self) -> int:
        slot = self._progress.find(Keys.of([], (), 1))
        if slot[0] < 0:
            return NO_WATERMARK
        return int(self._progress_columns.read(slot, "watermark")[0])
