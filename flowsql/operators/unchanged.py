"""Columns that a source did not send (unchanged TOAST) can be kept or filled, never computed with."""

from __future__ import annotations

from collections.abc import Iterable

from flowsql.changelog import Changes
from flowsql.errors import DataError

__all__ = ["require_sent"]


def require_sent(changes: Changes, columns: Iterable[str], reader: str) -> None:
    """Every value of these columns was sent.

    Args:
        changes: rows.
        columns: names of the columns about to be read.
        reader: what reads them, for the message.

    Raises:
        DataError: where a value is missing.
    """
    for name in sorted(columns):
        mask = (changes.unchanged or {}).get(name)
        if mask is not None and mask.any():
            raise DataError(
                f'{reader} reads column "{name}", whose value the source did not send',
                detail="The source leaves out large values that an update did not change.",
                hint="Let the source send whole rows (PostgreSQL: "
                "ALTER TABLE … REPLICA IDENTITY FULL).",
            )
