"""A running job in one line: redrawn in a terminal, now and then a log line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from flowsql.cli.console import Console

__all__ = ["StatusReporter", "bytes_text", "count_text", "status_line"]

JSON = dict[str, Any]

_LOG_INTERVAL = 10.0


def status_line(status: JSON) -> str:
    """`sales  running  in 1.2 M rows/s  out …` from what `Job.status()` tells."""
    parts = [
        f"{status['job']}: {status['state']}",
        f"in {count_text(status.get('rows_in', 0))} ({count_text(status.get('rows_in_per_second', 0))}/s)",
        f"out {count_text(status.get('rows_out', 0))} ({count_text(status.get('rows_out_per_second', 0))}/s)",
    ]
    if status.get("watermark") is not None:
        parts.append(f"watermark {_instant(status['watermark'])}")
        if status.get("watermark_lag_ms") is not None:
            parts.append(f"lag {_duration(status['watermark_lag_ms'])}")
    parts.append(f"state {bytes_text(status.get('state_bytes', 0))}")
    checkpoint = status.get("checkpoint") or {}
    if checkpoint.get("number") is not None:
        parts.append(
            f"checkpoint {checkpoint['number']} ({_duration(checkpoint.get('age_ms') or 0)} ago)"
        )
    parts += [
        f"{count_text(status[key])} {label}"
        for key, label in (
            ("late_rows", "late"),
            ("bad_records", "bad"),
            ("orphan_retractions", "orphans"),
            ("pending_rows", "pending"),
        )
        if status.get(key)
    ]
    if status.get("error"):
        parts.append(str(status["error"]).splitlines()[0])
    return "  ".join(parts)


class StatusReporter:
    """Shows the state of jobs while they run.

    Args:
        jobs: what `Job.status()` tells, one call a job.
        console: where to.
    """

    INTERVAL = 0.5  # seconds between two calls of `update` that make sense

    def __init__(self, jobs: Sequence[Callable[[], JSON]], console: Console) -> None:
        self._jobs = jobs
        self._console = console
        self._last = time.monotonic()

    def update(self) -> None:
        """Show the present state, if it is time to."""
        if self._console.interactive:
            self._console.show([status_line(status()) for status in self._jobs])
        elif time.monotonic() - self._last >= _LOG_INTERVAL:
            self._last = time.monotonic()
            for status in self._jobs:
                self._console.log(status_line(status()))


def count_text(number: float) -> str:
    """A number of rows, short."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            return f"{number / (1e3 if unit == 'k' else size):.1f} {unit}"
    return f"{number:.0f}"


def bytes_text(number: float) -> str:
    """A size, short."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} B"


def _duration(milliseconds: float) -> str:
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 86_400)} d"


def _instant(milliseconds: int) -> str:
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return "end" if milliseconds > 0 else "none"
    return at.strftime("%Y-%m-%d %H:%M:%S")
