"""TUMBLE: every row learns its window.

    SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))

In → out: `+I a, 12:00:07` → `+I a, 12:00:07, 12:00:00, 12:01:00, 12:00:59.999`.

Requires: any changelog; a rowtime that is not NULL.
Emits: what the input is; `window_time` is the new time attribute. State: none.
Cost: one division a row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.errors import DataError
from flowsql.operators.base import Operator
from flowsql.operators.local_time import instants, is_utc, wall_clock
from flowsql.operators.unchanged import require_sent
from flowsql.operators.vectors import from_numpy, to_numpy

__all__ = ["TumbleAssignOperator"]

Ints = npt.NDArray[np.int64]


class TumbleAssignOperator(Operator):
    """See the module.

    Args:
        time: the rowtime column.
        size: milliseconds.
        offset: milliseconds.
        window_columns: which of `window_start`, `window_end`, `window_time` are appended.
        output: schema of the output.
        zone: the session's time zone, used where the rowtime is a TIMESTAMP_LTZ.
    """

    def __init__(
        self,
        *,
        time: int,
        size: int,
        offset: int,
        window_columns: tuple[str, ...],
        output: pa.Schema,
        zone: str,
    ) -> None:
        self._time = time
        self._size = size
        self._offset = offset
        self._window_columns = window_columns
        self._output = output
        self._zone = zone

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        batch = changes.batch
        if changes.unchanged is not None:
            require_sent(changes, (batch.schema.names[self._time],), "a window")
        times = batch.column(self._time)
        if times.null_count:
            raise DataError(
                f'the rowtime column "{batch.schema.names[self._time]}" is NULL in a row',
                hint="Filter such rows out, or give the column a value: "
                "RowTime field should not be null.",
            )
        local = times.type.tz is not None and not is_utc(self._zone)
        if local:
            times = wall_clock(times, self._zone)
        tick = 1_000_000 if times.type.unit == "ns" else 1_000
        size = self._size * tick
        start = to_numpy(times) - self._offset * tick
        start //= size
        start *= size
        start += self._offset * tick
        if tick != 1_000:
            start //= tick // 1_000
        arrays = [
            from_numpy(self._column(name, start, local), None, self._output.field(i).type)
            for i, name in enumerate(self._window_columns, start=batch.num_columns)
        ]
        yield changes.with_batch(
            pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=self._output)
        )

    def _column(self, name: str, start: Ints, local: bool) -> Ints:
        """Microseconds."""
        if name == "window_start":
            return start
        end = start + self._size * 1_000
        if name == "window_end":
            return end
        if local:
            return instants((end - 1_000) // 1_000, self._zone) * 1_000
        return end - 1_000
