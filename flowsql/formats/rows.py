"""Puts the readable rows of a block and its bad records together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.formats.format import BadRow, Decoded
from flowsql.types import Field

__all__ = ["BadCells", "assemble"]

_SHOWN = 60


class BadCells:
    """The first unreadable cell of each row."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.reasons: dict[int, str] = {}

    def add(
        self, field: Field, bad: npt.NDArray[np.bool_] | None, shown: Callable[[int], str]
    ) -> None:
        """Unreadable cells of a column; `shown` gives the text of a row's cell."""
        if bad is None:
            return
        for row in np.flatnonzero(bad).tolist():
            if row not in self.reasons:
                text = shown(row)
                if len(text) > _SHOWN:
                    text = text[:_SHOWN] + "…"
                nature = field.type.with_nullable(nullable=True)
                self.reasons[row] = f'column "{field.name}": "{text}" cannot be read as {nature}'


def assemble(
    batch: pa.RecordBatch,
    record_of: npt.NDArray[np.int64],
    cells: BadCells,
    bad: Sequence[BadRow],
    place: Callable[[int], tuple[int, bytes]],
    *,
    records: int,
    lines: int,
    ignore_errors: bool,
) -> Decoded:
    """What a decoder returns.

    Args:
        batch: rows that could be taken apart, unreadable cells being NULL.
        record_of: int64[n], the record of each row.
        cells: their unreadable cells.
        bad: records that could not be taken apart.
        place: record → its line and bytes.
        records: how many records the block has.
        lines: how many lines the block has.
        ignore_errors: unreadable cells stay NULL, records that cannot be taken apart vanish.
    """
    if ignore_errors:
        return Decoded(batch, records, lines, (), record_of)
    failed = {int(record_of[row]): why for row, why in cells.reasons.items()}
    every = list(bad) + [BadRow(n, *place(n), why) for n, why in failed.items()]
    every.sort(key=lambda b: b.record)
    if failed:
        # A record may give several rows; it is good or bad as a whole.
        keep = ~np.isin(record_of, np.fromiter(failed, np.int64))
        batch, record_of = batch.filter(pa.array(keep)), record_of[keep]
    return Decoded(batch, records, lines, tuple(every), record_of)
