"""A clock that goes only when told."""

from __future__ import annotations

__all__ = ["ManualClock"]


class ManualClock:
    """Seconds, as `time.monotonic` gives them; calling it reads it."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
