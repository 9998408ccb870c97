"""Pairs of a batch's rows with stored ones: how many at once, and in which order they are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import MAX_ROWS, Changes, concat_changes, split_changes
from flowsql.operators.cutting import cut
from flowsql.operators.join_side import JoinSideState, Layout

__all__ = ["Arrived", "Merge", "pieces", "spans"]

Ints = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Arrived:
    """Rows of one port, all with a key and all counted.

    Attributes:
        port: whose they are.
        batch: the rows.
        signs: +1 or −1 each, None for an append side.
        slots: their keys' slots.
    """

    port: int
    batch: pa.RecordBatch
    signs: Signs | None
    slots: Ints


class Merge:
    """Puts a batch's rows that match nothing back in their place among its pairs.

    Args:
        arrival: place of arrival of the rows that may match, None where all may.
        loose: place of arrival of the others.
        pads: what those give; None where they give nothing.
    """

    def __init__(self, arrival: Ints | None, loose: Ints | None, pads: Changes | None) -> None:
        self._arrival = arrival
        self._loose = loose
        self._pads = pads
        self._done = 0

    def keep(self, rows: Ints) -> None:
        """Of the rows that may match only these are left."""
        if self._arrival is not None:
            self._arrival = self._arrival.take(rows)

    def mix(self, probe: Ints, pairs: Changes) -> Changes:
        """`pairs` of the rows `probe`, ascending, with the padded rows that came before them."""
        if self._pads is None or self._loose is None or self._arrival is None:
            return pairs
        arrival = self._arrival.take(probe)
        until = int(np.searchsorted(self._loose, arrival[-1]))
        if until <= self._done:
            return pairs
        loose = self._loose[self._done : until]
        whole = concat_changes([pairs, self._pads.slice(self._done, until - self._done)])
        self._done = until
        assert whole is not None
        return whole.take(np.argsort(np.concatenate([arrival, loose]), kind="stable"))

    def rest(self) -> Iterator[Changes]:
        """The padded rows that came after all pairs."""
        if self._pads is not None and self._done < len(self._pads):
            yield from split_changes(self._pads.slice(self._done, len(self._pads) - self._done))


def spans(other: JoinSideState, slots: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of a batch's rows, each with at most about 64 k pairs; one row may have more."""
    n = len(slots)
    if other.layout is Layout.ONE_ROW:
        yield 0, n
        return
    total = np.cumsum(other.counts(slots))
    if total[-1] <= MAX_ROWS:
        if total[-1] > 0:
            yield 0, n
        return
    start = 0
    while start < n:
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + MAX_ROWS, side="right")))
        yield start, stop
        start = stop


def pieces(
    batch: pa.RecordBatch, columns: tuple[int, ...], probe: Ints, stored: Ints | int
) -> Iterator[slice]:
    """Ranges of pairs whose rows, once they are taken, keep the limits of a batch.

    Args:
        batch: the rows that arrived.
        columns: those of them that are given.
        probe: for each pair the row of `batch`.
        stored: bytes of each pair's stored row, or of every one.
    """
    own = _widths(batch, columns)
    if not isinstance(own, int):
        own = own.take(probe)
    return cut(own + stored, len(probe))


def _widths(batch: pa.RecordBatch, columns: tuple[int, ...]) -> Ints | int:
    """int64[n]: bytes of each row's columns; the mean for those that are nested."""
    rows = batch.num_rows
    widths: Ints | int = 8 * len(columns)
    for column in (batch.column(c) for c in columns):
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            offsets = np.frombuffer(column.buffers()[1], np.int32)
            ends = offsets[column.offset : column.offset + rows + 1].astype(np.int64)
            widths = widths + np.diff(ends)
        elif pa.types.is_nested(column.type):
            widths = widths + column.nbytes // rows
    return widths
