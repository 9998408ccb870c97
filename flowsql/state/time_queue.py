"""Times with slots, taken out in order of time.

Sorted runs, each read from its front; runs of similar length are merged, long ones a slice at a
time. Taking out costs what is taken out, whatever waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["TimeQueue"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Entries of a run merged in one call.
_SLICE: Final = 1 << 15
_MAX_SLICES: Final = 4  # in one step


@dataclass(eq=False)
class _Run:
    times: Ints
    slots: Ints
    at: int = 0  # entries before this are taken out

    def __len__(self) -> int:
        return len(self.times) - self.at


@dataclass(eq=False)
class _Merge:
    """Two neighbouring runs on their way to be one."""

    older: _Run
    newer: _Run
    i: int
    j: int
    times: list[Ints] = field(default_factory=list)
    slots: list[Ints] = field(default_factory=list)
    popped: int | None = None  # the last time taken out meanwhile


class TimeQueue:
    """A queue of (time, slot).

    Args:
        wanted: (times, slots) → bool[n], false for entries that may be forgotten when runs are
            merged; None: all are wanted.
    """

    def __init__(self, wanted: Callable[[Ints, Ints], Bools] | None = None) -> None:
        self._wanted = wanted
        self._runs: list[_Run] = []
        self._merge: _Merge | None = None
        self._new = 0  # entries put since the last `maintain`

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(r.times.nbytes + r.slots.nbytes for r in self._runs)

    def put(self, times: Ints, slots: Ints) -> None:
        """Add entries, in any order."""
        if not len(times):
            return
        self._new += len(times)
        order = np.argsort(times, kind="stable")
        self._runs.append(_Run(times.take(order), slots.take(order)))
        while len(self._runs) > 1 and self._small():
            self._join()

    def _small(self) -> bool:
        a, b = self._runs[-2], self._runs[-1]
        busy = self._merge is not None and a in (self._merge.older, self._merge.newer)
        return not busy and len(a) <= 2 * len(b) and len(a) + len(b) <= _SLICE

    def _join(self) -> None:
        newer, older = self._runs.pop(), self._runs.pop()
        self._runs.append(_merged(older, newer, self._wanted))

    def pop(self, t: int) -> tuple[Ints, Ints]:
        """Take out all entries with times up to `t`: (times, slots), by time."""
        parts = []
        for run in self._runs:
            if len(run) and run.times[run.at] <= t:
                end = int(np.searchsorted(run.times, t, side="right"))
                parts.append(_Run(run.times[run.at : end], run.slots[run.at : end]))
                run.at = end
        if self._merge is not None:
            last = self._merge.popped
            self._merge.popped = t if last is None else max(t, last)
        busy = () if self._merge is None else (self._merge.older, self._merge.newer)
        self._runs = [r for r in self._runs if len(r) or r in busy]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        times = np.concatenate([p.times for p in parts])
        slots = np.concatenate([p.slots for p in parts])
        if len(parts) == 1:
            return times, slots
        order = np.argsort(times, kind="stable")
        return times.take(order), slots.take(order)

    def maintain(self) -> None:
        """Merge long runs of similar length: some slices, more of them after many entries."""
        slices = min(_MAX_SLICES, 1 + 4 * self._new // _SLICE)
        self._new = 0
        for _ in range(slices):
            if self._merge is None:
                self._merge = self._next_merge()
            if self._merge is None:
                return
            self._slice(self._merge)

    def _next_merge(self) -> _Merge | None:
        for older, newer in zip(self._runs, self._runs[1:], strict=False):
            if len(older) <= 2 * len(newer):
                return _Merge(older, newer, older.at, newer.at)
        return None

    def _slice(self, merge: _Merge) -> None:
        a, b, i, j = merge.older, merge.newer, merge.i, merge.j
        ends = [len(a.times), len(b.times)]
        stop_a, stop_b = min(i + _SLICE, ends[0]), min(j + _SLICE, ends[1])
        # All entries up to the smaller of the two last times; none is left behind.
        if stop_a < ends[0] or stop_b < ends[1]:
            limits = []
            if stop_a < ends[0]:
                limits.append(int(a.times[stop_a - 1]))
            if stop_b < ends[1]:
                limits.append(int(b.times[stop_b - 1]))
            limit = min(limits)
            stop_a = int(np.searchsorted(a.times, limit, side="right"))
            stop_b = int(np.searchsorted(b.times, limit, side="right"))
        part = _merged(
            _Run(a.times[i:stop_a], a.slots[i:stop_a]),
            _Run(b.times[j:stop_b], b.slots[j:stop_b]),
            self._wanted,
        )
        merge.times.append(part.times)
        merge.slots.append(part.slots)
        merge.i, merge.j = stop_a, stop_b
        if stop_a == ends[0] and stop_b == ends[1]:
            run = _Run(np.concatenate(merge.times), np.concatenate(merge.slots))
            if merge.popped is not None:
                run.at = int(np.searchsorted(run.times, merge.popped, side="right"))
            place = self._runs.index(a)
            self._runs[place : place + 2] = [run]
            self._merge = None


def _merged(older: _Run, newer: _Run, wanted: Callable[[Ints, Ints], Bools] | None) -> _Run:
    times = np.concatenate([older.times[older.at :], newer.times[newer.at :]])
    slots = np.concatenate([older.slots[older.at :], newer.slots[newer.at :]])
    if wanted is not None:
        keep = wanted(times, slots).nonzero()[0]
        if len(keep) < len(times):
            times, slots = times.take(keep), slots.take(keep)
    order = np.argsort(times, kind="stable")
    return _Run(times.take(order), slots.take(order))
