"""What all kinds of state table have in common: size, checkpoint segments, expiry, dirty marks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.errors import StateError
from flowsql.state.memory import Vector

__all__ = ["DirtyMarks", "Segment", "Table", "TableStats", "batches_of"]

Ints = npt.NDArray[np.int64]

_BATCH = 1 << 16


@dataclass(frozen=True, slots=True)
class TableStats:
    """Size of one table.

    Attributes:
        rows: keys, rows, pairs, entries or timers that are live.
        bytes: memory held for them.
        added: how many were ever added since the process started (for the growth of the table).
        dirty: how many were changed since the last checkpoint.
    """

    rows: int
    bytes: int
    added: int = 0
    dirty: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a table as a checkpoint writes it: one Arrow file.

    Attributes:
        table: the table's name, unique within its operator.
        part: which of the table's pieces; unique within the table.
        schema: the file's schema.
        batches: its record batches, safe to be written by another thread while the job goes on.
        meta: plain JSON, what a restore needs beside the rows.
    """

    table: str
    part: str
    schema: pa.Schema
    batches: list[pa.RecordBatch]
    meta: dict[str, Any] = field(default_factory=dict)


class Table(ABC):
    """A state table of one operator.

    Lifecycle: made from its spec, `restore`d at most once and before anything else, then used.
    Between two `end_step` calls belongs one step. `segments` may be asked for at a step's end only.
    """

    name: str
    _beside: tuple[Callable[[], int], ...] = ()

    def hold_beside(self, nbytes: Callable[[], int]) -> None:
        """Count what an operator holds in memory to find again what this table keeps.

        Args:
            nbytes: how much that is now; may be asked by another thread.
        """
        self._beside = (*self._beside, nbytes)

    @property
    def beside(self) -> int:
        """Bytes held for this table outside it."""
        return sum(nbytes() for nbytes in self._beside)

    @abstractmethod
    def stats(self) -> TableStats:
        """Rows, bytes and growth; cheap enough to be asked for every second."""

    @abstractmethod
    def segments(self) -> list[Segment]:
        """What a checkpoint writes; clears the dirty marks."""

    @abstractmethod
    def restore(self, segments: Sequence[Segment]) -> None:
        """Fill this new table from the segments of one checkpoint."""

    def end_step(self) -> None:
        """The step's flush is over: free what it let go, do a slice of maintenance (≤ 20 ms)."""


class DirtyMarks:
    """Which slots or rows were changed since the last checkpoint: one byte each."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks = Vector(np.uint8)

    def mark(self, where: Ints | slice, end: int) -> None:
        """Mark positions, all below `end`."""
        self._marks.fit(end)[where] = 1

    def positions(self) -> Ints:
        """The marked positions."""
        return np.flatnonzero(self._marks.data[: self._marks.used])

    def count(self) -> int:
        """How many are marked."""
        return int(np.count_nonzero(self._marks.data[: self._marks.used]))

    def clear(self) -> None:
        """Nothing is marked."""
        self._marks.clear(0, self._marks.used)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._marks.nbytes


def batches_of(schema: pa.Schema, positions: Ints, columns: Any) -> list[pa.RecordBatch]:
    """Record batches of at most 64 k rows, fewer where their texts would not fit into a column.

    Args:
        schema: theirs.
        positions: what to write, in order.
        columns: positions → the arrays of one batch.
    """

    def batches(part: Ints) -> Iterator[pa.RecordBatch]:
        try:
            made = pa.RecordBatch.from_arrays(columns(part), schema=schema)
        except (StateError, pa.ArrowInvalid):
            half = len(part) // 2
            if not half:
                raise
            yield from batches(part[:half])
            yield from batches(part[half:])
        else:
            yield made

    parts = (positions[at : at + _BATCH] for at in range(0, len(positions), _BATCH))
    return [batch for part in parts for batch in batches(part)]
