"""The rows an expression is computed on: a batch, or the rows of it that reach a branch."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flowsql.expr.settings import EvalSettings, StepClock
from flowsql.expr.vector import Value

__all__ = ["EvalSettings", "Frame", "StepClock"]


class Frame:
    """Columns, row count, clock and watermarks, with the values that sub-expressions share.

    A frame made by `select` holds the chosen rows of its parent. It filters a column when it is
    first read, and takes a shared value from the parent if that has computed it already; it never
    makes the parent compute one, since the parent's other rows may not reach the expression.
    """

    __slots__ = (
        "_batch",
        "_columns",
        "_parent",
        "_rows_of_parent",
        "clock",
        "marks",
        "rows",
        "shared",
    )

    def __init__(self, batch: Any, clock: StepClock, shared: int, marks: Any = None) -> None:
        self._batch = batch
        self._parent: Frame | None = None
        self._rows_of_parent: Any = None
        self._columns: dict[int, Any] = {}
        self.rows: int = batch.num_rows
        self.clock = clock
        self.marks = marks
        self.shared: list[Value | None] = [None] * shared

    def select(self, rows: Any) -> Frame:
        """The frame of the chosen rows (an Arrow array of row numbers)."""
        frame = Frame.__new__(Frame)
        frame._batch = self._batch  # noqa: SLF001
        frame._parent = self  # noqa: SLF001
        frame._rows_of_parent = rows  # noqa: SLF001
        frame._columns = {}  # noqa: SLF001
        frame.rows = len(rows)
        frame.clock = self.clock
        frame.marks = None if self.marks is None else self.marks[rows.to_numpy()]
        frame.shared = [None] * len(self.shared)
        return frame

    def column(self, index: int) -> Any:
        """The input column at `index`."""
        if self._parent is None:
            return self._batch.column(index)
        found = self._columns.get(index)
        if found is None:
            found = self._parent.column(index).take(self._rows_of_parent)
            self._columns[index] = found
        return found

    def recall(self, slot: int) -> Value | None:
        """The shared value of `slot`, if it is known here or in a frame above."""
        value = self.shared[slot]
        if value is None and self._parent is not None:
            value = self._parent.recall(slot)
            if value is not None:
                if not isinstance(value, pa.Scalar):
                    value = value.take(self._rows_of_parent)
                self.shared[slot] = value
        return value
