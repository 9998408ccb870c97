"""How far the snapshot of a source group is, for people."""

from __future__ import annotations

from flowsql.connector import JSON
from flowsql.runtime.clock import monotonic

__all__ = ["SnapshotProgress", "reading_progress"]


def reading_progress(rows: int, read: int, total: int, seconds: float) -> JSON:
    """As `SnapshotProgress.status`, of a source of known size; the number of all rows is a guess.

    Args:
        rows: that the engine has.
        read: bytes that the readers have read.
        total: bytes that there are.
        seconds: since they began.
    """
    share = min(1.0, read / total) if total else 1.0
    rate = rows / seconds if seconds > 0 else 0.0
    return {
        "rows": rows,
        "total": round(rows / share) if share > 0 else None,
        "rows_per_second": round(rate, 1),
        "left_ms": round((1 - share) / share * seconds * 1000) if share > 0 else None,
    }


class SnapshotProgress:
    """Counts the rows of a snapshot; read from any thread, written by the engine's.

    Attributes:
        rows: read of the snapshot, by earlier processes too.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._here = 0
        self._began: float | None = None
        self._last = 0.0

    def begin(self) -> None:
        """Readers start on it now; a later call changes nothing."""
        if self._began is None:
            self._began = self._last = monotonic()

    def add(self, rows: int) -> None:
        """Rows of a chunk are in a step."""
        self.rows += rows
        self._here += rows
        self._last = monotonic()

    def status(self, total: int | None, *, over: bool) -> JSON:
        """Rows, about how many there are, rows a second, milliseconds left.

        Args:
            total: about how many rows there are; None where nobody knows.
            over: the last chunk is read.
        """
        began = self._began
        seconds = 0.0 if began is None else (self._last if over else monotonic()) - began
        rate = self._here / seconds if seconds > 0 else 0.0
        known = None if total is None else max(total, self.rows)
        left = None
        if over:
            known, left = self.rows, 0
        elif known is not None and rate > 0:
            left = round((known - self.rows) / rate * 1000)
        return {
            "rows": self.rows,
            "total": known,
            "rows_per_second": round(rate, 1),
            "left_ms": left,
        }
