"""Measures of a running job, and the names under which `status` shows them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = ["Durations", "Rate"]

JSON = dict[str, Any]

# The keys of `Job.status()`, in one place: the status line, the socket and the docs show these.
NAMES: Final = {
    "job": "the job's id",
    "run": "drawn at a fresh start, kept by every resume",
    "attempt": "starts of this run, counted",
    "pid": "process that runs the job",
    "state": "created, starting, running, restarting, stopping, finished, stopped, failed",
    "error": "why the job failed or restarts",
    "ended": "when the job was over, ISO 8601 in UTC",
    "uptime_ms": "time since the start of this process's job",
    "step": "number of the last step",
    "rows_in": "rows read by this process",
    "rows_out": "rows given to sinks by this process",
    "rows_in_per_second": "over the last seconds",
    "rows_out_per_second": "over the last seconds",
    "step_ms": "p50 and p99 of a step's duration",
    "watermark": "lowest event time of the tables that have one, milliseconds since 1970",
    "watermark_lag_ms": "how far the watermark is behind the clock",
    "sources": "by source group: connector, tables, phase, rows, splits, queued bytes, position, slot, "
    "lag, consistent, progress of its snapshot, reconnecting",
    "operators": "by operator: rows in and out, p50 and p99 of its part of a step, watermark, state",
    "sinks": "by target table: rows written",
    "state_bytes": "memory held by state tables",
    "late_rows": "rows that came after their time",
    "bad_records": "records that could not be decoded",
    "orphan_retractions": "retractions of rows that state does not hold",
    "checkpoint": "the last checkpoint: number, age, duration, bytes; how many failed",
    "pending_rows": "rows held back until a snapshot is consistent",
}


class Durations:
    """The last 512 durations, for percentiles.

    Adding costs a store, so that every operator of every step can be measured.
    """

    __slots__ = ("_at", "_values")
    _SIZE = 512

    def __init__(self) -> None:
        self._values = [0.0] * self._SIZE
        self._at = 0

    def add(self, seconds: float) -> None:
        """One more."""
        self._values[self._at % self._SIZE] = seconds
        self._at += 1

    def percentiles(self) -> dict[str, float]:
        """p50 and p99 in milliseconds; empty for none."""
        if self._at == 0:
            return {}
        p50, p99 = np.percentile(self._values[: min(self._at, self._SIZE)], [50, 99])
        return {"p50": round(float(p50) * 1000, 3), "p99": round(float(p99) * 1000, 3)}


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
