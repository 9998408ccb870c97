"""The only place that reads time."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "monotonic"]


class Clock(Protocol):
    """What a step's one reading of the time comes from."""

    def now(self) -> int:
        """Microseconds since 1970."""


class SystemClock:
    """The machine's clock; never goes back while the process lives."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        self._last = max(self._last, time.time_ns() // 1000)
        return self._last


class ManualClock:
    """A clock that stands still until it is moved; for tests and for replaying the past."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, milliseconds: int) -> None:
        """Move on by so much."""
        self._now += milliseconds * 1000

    def set(self, microseconds: int) -> None:
        """Move to this moment, in microseconds since 1970."""
        self._now = microseconds


def monotonic() -> float:
    """Seconds on a clock that only serves to measure durations."""
    return time.monotonic()
