"""What is measured while a job runs: durations and rates."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Any, Final

import numpy as np

__all__ = ["BUCKETS", "Durations", "Rate"]

JSON = dict[str, Any]

# Upper ends, in seconds, each included: of a step of few rows up to one that holds up everything.
BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Durations:
    """The last 512 durations, for percentiles, and how many of all fell into each bucket.

    Adding costs a few stores, so that every operator of every step can be measured.
    """

    __slots__ = ("_at", "_counts", "_sum", "_values")
    _SIZE = 512

    def __init__(self) -> None:
        self._values = [0.0] * self._SIZE
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0
        self._at = 0

    def add(self, seconds: float) -> None:
        """One more."""
        self._values[self._at % self._SIZE] = seconds
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds
        self._at += 1

    def percentiles(self) -> dict[str, float]:
        """p50 and p99 in milliseconds; empty for none."""
        if self._at == 0:
            return {}
        p50, p99 = np.percentile(self._values[: min(self._at, self._SIZE)], [50, 99])
        return {"p50": round(float(p50) * 1000, 3), "p99": round(float(p99) * 1000, 3)}

    def histogram(self) -> JSON:
        """`count`, `sum` in seconds, and `buckets`: upper end in seconds → durations up to it.

        Read from any thread: the counts are copied once, so that they never contradict each other.
        """
        *within, beyond = accumulate(self._counts)
        return {
            "count": beyond,
            "sum": round(self._sum, 6),
            "buckets": dict(zip(map(str, BUCKETS), within, strict=True)),
        }


class Rate:
    """Rows a second over the last seconds."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def update(self, at: float, total: int) -> float:
        """Note the total at a moment; the rate since about five seconds before."""
        self._seen = [*(s for s in self._seen if s[0] > at - 5.0), (at, total)]
        first_at, first = self._seen[0]
        return (total - first) / (at - first_at) if at > first_at else 0.0
