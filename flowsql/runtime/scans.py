"""Scans: rows of one table on their way from the sources into the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import (
    MAX_BYTES,
    MAX_ROWS,
    NO_WATERMARK,
    Changes,
    Marks,
    concat_changes,
    split_changes,
)
from flowsql.errors import DataError
from flowsql.expr import EvalSettings, StepClock, compile_projection
from flowsql.physical.specs import EmitStrategy, Scan
from flowsql.runtime.clock import monotonic
from flowsql.runtime.nodes import EntryNode
from flowsql.runtime.watermarks import Assigner, Event
from flowsql.types import RowType, arrow_schema

__all__ = ["ScanNode"]

Ints = npt.NDArray[np.int64]


class ScanNode(EntryNode):
    """One table's rows: small pieces are joined, computed columns added, rows marked.

    Args:
        node_id: of the physical node.
        title: for people.
        scan: the spec.
        read: the row that the connector gives.
        output: the row that readers get.
        settings: for computed columns.
        idle_timeout: `table.exec.source.idle-timeout`, milliseconds; the scan's own wins.

    Attributes:
        table: its name.
        bad_records: what happens to records that cannot be read.
        timed: it has a WATERMARK.
        assigner: keeps its event time.
    """

    def __init__(
        self,
        node_id: str,
        title: str,
        scan: Scan,
        *,
        read: RowType,
        output: RowType,
        settings: EvalSettings,
        idle_timeout: int | None = None,
    ) -> None:
        super().__init__(node_id, title)
        self.table = scan.table
        self.bad_records = scan.bad_records
        self._project: Callable[[Any, StepClock], list[Any]] | None = None
        self._schema = arrow_schema(output)
        if scan.projection is not None:
            self._project = compile_projection(scan.projection, read, settings)
        mark = scan.watermark
        if mark is not None:
            idle_timeout = mark.idle_timeout if mark.idle_timeout is not None else idle_timeout
            close = mark.all_idle_close
            self.assigner = Assigner(
                periodic=mark.strategy is EmitStrategy.ON_PERIODIC,
                idle_timeout=None if idle_timeout is None else idle_timeout / 1000,
                all_idle_close=None if close is None else close / 1000,
            )
            self._rowtime = mark.rowtime
            self._expression = compile_projection([mark.expression], output, settings)
        else:
            self.assigner = Assigner()
        self.timed = mark is not None
        self._clock = StepClock(0)
        self._parts: list[Changes] = []
        self._runs: list[tuple[str, int] | Event] = []
        self._rows = 0
        self._bytes = 0

    def begin(self, clock: StepClock) -> None:
        self._clock = clock

    def add(self, split: str, changes: Changes) -> None:
        """Rows of a split, in order of arrival."""
        rows = changes.batch.num_rows
        if rows == 0:
            return
        self.rows_in += rows
        size = changes.batch.nbytes
        if rows > MAX_ROWS or size > MAX_BYTES:
            for part in split_changes(changes):
                self._take(split, part, part.batch.num_rows, part.batch.nbytes)
        else:
            self._take(split, changes, rows, size)

    def _take(self, split: str, changes: Changes, rows: int, size: int) -> None:
        if self._rows + rows > MAX_ROWS or self._bytes + size > MAX_BYTES:
            self.release()
        self._parts.append(changes)
        self._rows += rows
        self._bytes += size
        runs = self._runs
        if runs and isinstance(runs[-1], tuple) and runs[-1][0] == split:
            runs[-1] = (split, runs[-1][1] + rows)
        else:
            runs.append((split, rows))

    def happen(self, event: Event) -> None:
        """Something between two rows."""
        self._runs.append(event)

    def lose_rows(self) -> None:
        """Every row of the table until here is gone; its readers take back what they hold."""
        self.release()
        watermark = max(self.watermark, self.assigner.watermark) if self.timed else None
        for reader, port in self.readers:
            reader.empty(port, watermark)

    def release(self) -> None:
        """Push what was collected through the plan."""
        if not self._runs:
            return
        parts, runs = self._parts, self._runs
        self._parts, self._runs, self._rows, self._bytes = [], [], 0, 0
        changes = concat_changes(parts)
        if changes is None:
            self.assigner.assign(runs, _no_values, 0, monotonic())
            return
        if self._project is not None:
            columns = self._project(changes.batch, self._clock)
            changes = changes.with_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        batch = changes.batch
        rows = batch.num_rows
        if self.timed:
            marks = self.assigner.assign(runs, lambda: self._times(batch), rows, monotonic())
            changes = Changes(batch, changes.codes, changes.unchanged, Marks(marks))
        else:
            for run in runs:
                if isinstance(run, Event):
                    self.assigner.assign([run], _no_values, 0, 0.0)
        self.forward(changes)

    def time_now(self) -> int | None:
        return None if self.assigner.idle else max(self.watermark, self.assigner.watermark)

    def settle(self, clock: StepClock) -> None:
        del clock
        self.watermark = max(self.watermark, self.assigner.watermark)
        self.idle = self.assigner.idle

    def _times(self, batch: pa.RecordBatch) -> Ints:
        """int64[n] milliseconds of the watermark expression."""
        if batch.column(self._rowtime).null_count:
            raise DataError(
                f'rowtime column "{batch.schema.names[self._rowtime]}" of table "{self.table}" '
                "is NULL",
                detail="RowTime field should not be null, please convert it to a non-null long "
                "value.",
                hint="Give such rows a time with COALESCE in a computed column, and declare the "
                "watermark for that column.",
            )
        times = self._expression(batch, self._clock)[0]
        stored = times.type
        integers = times.cast(pa.int64())
        if integers.null_count:
            nulls = integers.is_null().to_numpy(zero_copy_only=False)
            values = pc.fill_null(integers, 0).to_numpy(zero_copy_only=False)
        else:
            nulls = None
            values = integers.to_numpy(zero_copy_only=False)
        per_ms = {"s": None, "ms": 1, "us": 1000, "ns": 1_000_000}[stored.unit]
        values = values * 1000 if per_ms is None else values // per_ms if per_ms > 1 else values
        if nulls is not None:
            values = np.where(nulls, NO_WATERMARK, values)
        return values


def _no_values() -> Ints:
    return np.empty(0, np.int64)
