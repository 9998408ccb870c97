"""The watermark assigner of one scan (DESIGN 7).

Each split has a *mark*, the running maximum of the watermark expression over its rows. The table's
watermark is the minimum of the marks of its active splits, and never falls. With `on-event` each
row carries the table's watermark as it stood just before the row; with `on-periodic` all rows of a
step carry the one at which the step began.

Which rows are late therefore depends on the order in which rows came, not on where steps were cut.
Splits that are idle, or read to their end, hold nothing back. A table of which a snapshot is being
read has no watermark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog import NO_WATERMARK

__all__ = ["MAX_WATERMARK", "Assigner", "Event"]

Ints = npt.NDArray[np.int64]

MAX_WATERMARK: Final = (1 << 63) - 1


@dataclass(slots=True)
class _Split:
    mark: int = NO_WATERMARK
    snapshot: bool = False
    idle: bool = False
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a split between two rows.

    Attributes:
        split: which.
        finished: it is read to its end.
        vouched: the source itself says that event time has come so far, or None.
    """

    split: str
    finished: bool = False
    vouched: int | None = None


class Assigner:
    """Marks rows and keeps the watermark of one table.

    Args:
        periodic: `on-periodic` instead of `on-event`.
        idle_timeout: seconds after which a silent split is idle, None for never.
        all_idle_close: seconds after which an all-idle table ends its time, None for never.

    Attributes:
        watermark: of the table, milliseconds.
        idle: no split of the table holds time back.
        held: a snapshot is being read; time stands still.
    """

    def __init__(
        self,
        *,
        periodic: bool = False,
        idle_timeout: float | None = None,
        all_idle_close: float | None = None,
    ) -> None:
        self._periodic = periodic
        self._idle_timeout = idle_timeout
        self._all_idle_close = all_idle_close
        self._splits: dict[str, _Split] = {}
        self._all_idle_since: float | None = None
        self.held = False
        self.watermark = NO_WATERMARK
        self.idle = False

    def add_split(self, split: str, *, snapshot: bool, now: float) -> None:
        """A split that will be read; active until its timeout."""
        known = self._splits.setdefault(split, _Split())
        known.snapshot = snapshot
        known.seen = now
        self.idle = False
        self._all_idle_since = None

    def marks(self) -> list[tuple[str, int, bool]]:
        """Each split that has reached a time, that time, and whether it is idle; from any thread."""
        known = list(self._splits.items())
        return [(n, s.mark, s.idle) for n, s in known if NO_WATERMARK < s.mark < MAX_WATERMARK]

    def assign(
        self, runs: list[tuple[str, int] | Event], values: Callable[[], Ints], rows: int, now: float
    ) -> Ints:
        """The mark of each row, before it.

        Args:
            runs: what came, in order: (split, number of rows) and events.
            values: int64[n] milliseconds, the watermark expression; `NO_WATERMARK` for NULL.
            rows: n.
            now: seconds on the monotonic clock.
        """
        before = self.watermark
        if len(runs) == 1 and rows:
            (run,) = runs
            assert not isinstance(run, Event)
            marks = self._run(run[0], values(), now)
        else:
            marks = np.empty(rows, np.int64)
            evaluated = values() if rows else marks
            at = 0
            for run in runs:
                if isinstance(run, Event):
                    self._event(run)
                else:
                    split, length = run
                    marks[at : at + length] = self._run(split, evaluated[at : at + length], now)
                    at += length
        if self._periodic:
            marks.fill(before)
        return marks

    def _run(self, name: str, values: Ints, now: float) -> Ints:
        """Rows of one split; raises its mark and the table's watermark."""
        split = self._splits[name]
        split.seen = now
        if split.idle:
            split.idle = self.idle = False
            self._all_idle_since = None
        if split.snapshot:
            return np.full(len(values), self.watermark)
        # The mark before row i: the running maximum up to row i − 1, begun with what it was.
        running = np.empty(len(values) + 1, np.int64)
        running[0] = split.mark
        running[1:] = values
        np.maximum.accumulate(running, out=running)
        split.mark = int(running[-1])
        others = self._others(name)
        if others is None:
            return np.full(len(values), self.watermark)
        if others != MAX_WATERMARK:
            np.minimum(running, others, out=running)
        if self.watermark != NO_WATERMARK:
            np.maximum(running, self.watermark, out=running)
        self.watermark = int(running[-1])
        return running[:-1]

    def _others(self, name: str) -> int | None:
        """Lowest mark of the other active splits; None where time is held back altogether."""
        if self.held:
            return None
        lowest = MAX_WATERMARK
        for other, split in self._splits.items():
            if split.snapshot:
                return None
            if other != name and not split.idle and split.mark < lowest:
                lowest = split.mark
        return lowest

    def _event(self, event: Event) -> None:
        split = self._splits.get(event.split)
        if split is None:
            return
        if event.vouched is not None and event.vouched > split.mark:
            split.mark = event.vouched
        if event.finished:
            del self._splits[event.split]
        self.rise()

    def rise(self) -> None:
        """Let the watermark come up to what the active splits say."""
        if self.held or not self._splits:
            return
        active = [s for s in self._splits.values() if not s.idle]
        if active and not any(s.snapshot for s in self._splits.values()):
            self.watermark = max(self.watermark, min(s.mark for s in active))

    def finish(self) -> None:
        """The table is read to its end."""
        self._splits.clear()
        self.idle = False
        self.watermark = MAX_WATERMARK

    def pass_time(self, now: float) -> None:
        """Notice splits that have become idle."""
        if self._idle_timeout is None or not self._splits:
            return
        changed = False
        for split in self._splits.values():
            if not split.idle and not split.snapshot and now - split.seen >= self._idle_timeout:
                split.idle = changed = True
        if changed:
            self.rise()
            self.idle = all(s.idle for s in self._splits.values())
            if self.idle:
                self._all_idle_since = now
        since, close = self._all_idle_since, self._all_idle_close
        if since is not None and close is not None and now - since >= close:
            self.finish()

    def next_deadline(self) -> float | None:
        """When `pass_time` may change something, on the monotonic clock."""
        if self._idle_timeout is None:
            return None
        ends = [
            s.seen + self._idle_timeout
            for s in self._splits.values()
            if not s.idle and not s.snapshot
        ]
        if self._all_idle_since is not None and self._all_idle_close is not None and self._splits:
            ends.append(self._all_idle_since + self._all_idle_close)
        return min(ends, default=None)

    def snapshot(self) -> dict[str, Any]:
        """What a checkpoint keeps; idleness is not part of it."""
        marks = {name: s.mark for name, s in self._splits.items() if s.mark != NO_WATERMARK}
        return {"watermark": self.watermark, "marks": marks}

    def restore(self, stored: dict[str, Any]) -> None:
        """Go on from a checkpoint, before splits are added."""
        self.watermark = stored["watermark"]
        self._splits = {name: _Split(mark) for name, mark in stored["marks"].items()}

    def forget_unknown(self, known: set[str]) -> None:
        """After a restore: drop splits that the source no longer has."""
        for name in set(self._splits) - known:
            del self._splits[name]
