"""State that is forgotten a while after its last write (`table.exec.state.ttl`).

A key or row lives until the step whose clock has reached the time of its last write + its lifetime.
From then on it counts as gone, whether or not it has been freed: the answer depends on the clocks
of the steps, never on how much of what is over a step had time to free. A step frees a slice in
proportion to its own rows, so that what is over never makes one wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog import Keys
from flowsql.expr import StepClock
from flowsql.state import Columns, KeyIndex, Rows
from flowsql.state.ages import WRITTEN, AgeQueue
from flowsql.state.kernels import distinct
from flowsql.state.memory import Vector

__all__ = ["KeyLifetimes", "RowLifetimes"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# What a step may free at least, and how much more for each key or row that it wrote.
_SLICE: Final = 1 << 12
_PER_WRITE: Final = 2


class _Lifetimes:
    """What keys and rows have in common.

    Args:
        ttl: milliseconds, at least 1.
    """

    def __init__(self, ttl: int) -> None:
        self._ttl = ttl
        self._queue = AgeQueue(ttl)
        # Of the running step only:
        self._writes = 0

    def _allowed(self) -> int:
        """What this step may free."""
        most = _SLICE + _PER_WRITE * self._writes
        self._writes = 0
        return most

    def _last(self, clock: StepClock) -> int:
        """What was last written then or before is over."""
        return clock.now // 1_000 - self._ttl


class KeyLifetimes(_Lifetimes):
    """The lifetimes of the keys of an index; every one is written when it is made.

    State: the column `written` behind the index; the queue is made from it.
    """

    def open(self, index: KeyIndex, columns: Columns) -> None:
        """Take the tables."""
        self._index = index
        self._columns = columns
        # Which slots stand in the queue; one that was freed may still do.
        self._queued = Vector(np.uint8)
        columns.hold_beside(lambda: self._queue.nbytes + self._queued.nbytes)
        slots = index.live()
        if len(slots):
            self._queued.fit(index.capacity)[slots] = 1
            self._queue.put_each(columns.read(slots, WRITTEN), slots)

    def ensure(
        self, keys: Keys, clock: StepClock, forget: Callable[[Ints], None]
    ) -> tuple[Ints, Bools]:
        """`KeyIndex.ensure`, where a key that is over is a new one.

        Args:
            keys: what is looked for.
            clock: the step's.
            forget: lets slots go, and what is kept of them.
        """
        slots, is_new = self._index.ensure(keys)
        self.write(slots.take(is_new.nonzero()[0]), clock)
        over = self._over(slots, clock)
        if len(over):
            forget(over)
            slots, again = self._index.ensure(keys)
            self.write(slots.take(again.nonzero()[0]), clock)
            is_new |= again
        return slots, is_new

    def write(self, slots: Ints, clock: StepClock) -> None:
        """Slots, all different, are written now."""
        if not len(slots):
            return
        now = clock.now // 1_000
        self._columns.write(slots, WRITTEN, now)
        queued = self._queued.fit(self._index.capacity)
        fresh = slots.take((queued.take(slots) == 0).nonzero()[0])
        queued[fresh] = 1
        self._queue.put(now, fresh)
        self._writes += len(slots)

    def lives(self, slots: Ints, clock: StepClock) -> Bools:
        """bool[n]: slots that are not over."""
        alive: Bools = self._columns.vector(WRITTEN).take(slots) > self._last(clock)
        return alive

    def _over(self, slots: Ints, clock: StepClock) -> Ints:
        """Those of the slots, which may repeat, that are over, each once."""
        written = self._columns.vector(WRITTEN).take(slots)
        found = (written <= self._last(clock)).nonzero()[0]
        return distinct(slots.take(found)) if len(found) else found

    def due(self, clock: StepClock) -> Ints:
        """A slice of the live slots that are over; the caller frees them in this step."""
        last = self._last(clock)
        slots = self._queue.take(last, self._allowed())
        if not len(slots):
            return slots
        self._queued.data[slots] = 0
        slots = slots.take(self._index.alive(slots).nonzero()[0])
        written = self._columns.read(slots, WRITTEN)
        later = (written > last).nonzero()[0]
        if len(later):
            stay = slots.take(later)
            self._queued.data[stay] = 1
            self._queue.put_each(written.take(later), stay)
        return slots.take((written <= last).nonzero()[0])


class RowLifetimes(_Lifetimes):
    """The lifetimes of stored rows, in their mutable column `written`."""

    def open(self, rows: Rows) -> None:
        """Take the table."""
        self._rows = rows
        rows.hold_beside(lambda: self._queue.nbytes)
        numbers = rows.live()
        if len(numbers):
            self._queue.put_each(rows.read(numbers, WRITTEN), numbers)

    def begin(self, rows: Ints, clock: StepClock) -> None:
        """Rows, all different, that have just been stored."""
        now = clock.now // 1_000
        self._rows.write(rows, WRITTEN, now)
        self._queue.put(now, rows)
        self._writes += len(rows)

    def write(self, rows: Ints, clock: StepClock) -> None:
        """Rows are written again."""
        self._rows.write(rows, WRITTEN, clock.now // 1_000)
        self._writes += len(rows)

    def lives(self, rows: Ints, clock: StepClock) -> Bools:
        """bool[n]: rows that are not over."""
        alive: Bools = self._rows.read(rows, WRITTEN) > self._last(clock)
        return alive

    def due(self, clock: StepClock) -> Ints:
        """A slice of the live rows that are over; the caller removes them in this step."""
        if len(self._queue) > 2 * len(self._rows) + _SLICE:
            # Rows that were taken back or replaced wait no longer than others come.
            self._queue.keep(self._rows.alive)
        last = self._last(clock)
        rows = self._queue.take(last, self._allowed())
        if not len(rows):
            return rows
        rows = rows.take(self._rows.alive(rows).nonzero()[0])
        written = self._rows.read(rows, WRITTEN)
        later = (written > last).nonzero()[0]
        if len(later):
            self._queue.put_each(written.take(later), rows.take(later))
        return rows.take((written <= last).nonzero()[0])
