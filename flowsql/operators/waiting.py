"""Rows that wait until there are enough of them to be looked up together."""

from __future__ import annotations

from typing import Final

from flowsql.changelog import MAX_BYTES, Changes, concat_changes

__all__ = ["ROWS", "Waiting"]

# Rows that pay for a look-up, as a rule.
ROWS: Final = 1 << 15


class Waiting:
    """Collects batches of one step; `take` gives them as one.

    Never more than the rows that pay for a look-up, nor more bytes than two batches may have: an
    Arrow string column ends at 2 GiB.

    Args:
        rows: how many pay for a look-up.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self._most = rows
        self._parts: list[Changes] = []
        self._rows = 0
        self._bytes = 0

    def add(self, changes: Changes) -> bool:
        """One more batch; whether it is time to `take`."""
        self._parts.append(changes)
        self._rows += len(changes)
        self._bytes += changes.batch.nbytes
        return self._rows >= self._most or self._bytes >= MAX_BYTES

    def take(self) -> Changes | None:
        """All rows in order, None for none; nothing waits behind."""
        parts = self._parts
        self._parts, self._rows, self._bytes = [], 0, 0
        return concat_changes(parts)
