"""`Timers`: one time a slot, and which are due.

A slot's time stands in a vector; the queue holds at most one entry of a slot that counts. A time
that moves later leaves the entry where it is: when that comes out, it is put in again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import NO_WATERMARK
from flowsql.state.kernels import distinct, last_of_each
from flowsql.state.key_index import KeyIndex
from flowsql.state.memory import Vector
from flowsql.state.spec import TimersSpec
from flowsql.state.table import DirtyMarks, Segment, Table, TableStats, batches_of
from flowsql.state.time_queue import TimeQueue

__all__ = ["Timers"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SCHEMA: Final = pa.schema([pa.field("$slot", pa.int64()), pa.field("time", pa.int64())])


class Timers(Table):
    """Times (int64 milliseconds) behind the slots of one `KeyIndex`; a released slot loses its."""

    def __init__(self, spec: TimersSpec, index: KeyIndex) -> None:
        self.name = spec.name
        self.spec = spec
        self._index = index
        self._time = Vector(np.int64)
        self._set = Vector(np.uint8)
        self._queued = Vector(np.int64)
        self._is_queued = Vector(np.uint8)
        self._queue = TimeQueue(self._counts)
        self._active = 0
        self._added = 0
        self._dirty = DirtyMarks()
        index.on_release(self.clear)

    def _fit(self) -> int:
        end = self._index.capacity
        for vector in (self._time, self._set, self._queued, self._is_queued):
            vector.fit(end)
        return end

    def _counts(self, times: Ints, slots: Ints) -> Bools:
        """Whether queue entries are the ones that count."""
        queued = self._is_queued.data.take(slots) != 0
        same: Bools = queued & (self._queued.data.take(slots) == times)
        return same

    def set(self, times: Ints, slots: Ints) -> None:
        """Set or move the times of slots; where a slot occurs twice, the last one stays."""
        if not len(slots):
            return
        chosen = last_of_each(slots)
        if len(chosen) < len(slots):
            times, slots = times.take(chosen), slots.take(chosen)
        end = self._fit()
        self._active += int(np.count_nonzero(self._set.data.take(slots) == 0))
        self._added += len(slots)
        self._time.data[slots] = times
        self._set.data[slots] = 1
        self._dirty.mark(slots, end)
        waits = self._is_queued.data.take(slots) != 0
        rows = (~waits | (self._queued.data.take(slots) > times)).nonzero()[0]
        self._enqueue(times.take(rows), slots.take(rows))

    def _enqueue(self, times: Ints, slots: Ints) -> None:
        self._queued.data[slots] = times
        self._is_queued.data[slots] = 1
        self._queue.put(times, slots)

    def clear(self, slots: Ints) -> None:
        """Forget the times of slots (all different)."""
        end = self._fit()
        self._active -= int(np.count_nonzero(self._set.data.take(slots)))
        self._set.data[slots] = 0
        self._is_queued.data[slots] = 0
        self._dirty.mark(slots, end)

    def expire(self, slots: Ints) -> None:
        """`clear` (state TTL)."""
        self.clear(slots)

    def read(self, slots: Ints) -> Ints:
        """int64[n]: the times of slots, `NO_WATERMARK` where none is set."""
        self._fit()
        times = self._time.data.take(slots)
        return np.where(self._set.data.take(slots) != 0, times, NO_WATERMARK)

    def due(self, t: int) -> Ints:
        """Slots whose time is up to `t`, by time, then slot; they have no time any more."""
        times, slots = self._queue.pop(t)
        if not len(slots):
            return slots
        slots = distinct(slots[self._counts(times, slots)])
        self._is_queued.data[slots] = 0
        slots = slots[self._set.data.take(slots) != 0]
        times = self._time.data.take(slots)
        later = times > t
        if later.any():
            self._enqueue(times[later], slots[later])
            slots, times = slots[~later], times[~later]
        self._set.data[slots] = 0
        self._active -= len(slots)
        self._dirty.mark(slots, self._index.capacity)
        return slots.take(np.argsort(times, kind="stable"))

    def end_step(self) -> None:
        """A slice of merging."""
        self._queue.maintain()

    # -- checkpoint ----------------------------------------------------------------------------

    def stats(self) -> TableStats:
        """Times that are set."""
        size = sum(v.nbytes for v in (self._time, self._set, self._queued, self._is_queued))
        size += self._queue.nbytes + self._dirty.nbytes
        return TableStats(self._active, size, self._added, self._dirty.count())

    def segments(self) -> list[Segment]:
        """All times that are set, by slot."""

        def columns(slots: Ints) -> list[pa.Array]:
            return [pa.array(slots), pa.array(self._time.data.take(slots))]

        slots = self._set.data[: self._set.used].nonzero()[0]
        self._dirty.clear()
        return [Segment(self.name, "all", _SCHEMA, batches_of(_SCHEMA, slots, columns))]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Times get back to their slots; the index must have been restored."""
        for segment in segments:
            for batch in segment.batches:
                self.set(batch.column(1).to_numpy(), batch.column(0).to_numpy())
        self._dirty.clear()
