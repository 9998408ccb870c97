"""The rows of a batch that feed an accumulator: FILTER is TRUE and the argument is not NULL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.operators.vectors import Vector, is_true, to_numpy, valid_rows

__all__ = ["Batch", "Selection"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Selection:
    """Some rows of a batch.

    Attributes:
        rows: their numbers, None for all.
        slots: their groups, as many as rows.
        signs: +1 or −1 each, None where all are added.
    """

    rows: Ints | None
    slots: Ints
    signs: Signs | None

    def narrow(self, mask: Bools) -> Selection:
        """Those of the rows for which `mask` is true."""
        chosen = mask.nonzero()[0]
        return Selection(
            chosen if self.rows is None else self.rows.take(chosen),
            self.slots.take(chosen),
            None if self.signs is None else self.signs.take(chosen),
        )

    def pick(self, values: Vector) -> Vector:
        """The values of these rows, given those of the whole batch."""
        return values if self.rows is None else values.take(self.rows, axis=0)


class Batch:
    """A batch of rows and their groups; what several accumulators ask for is made once.

    Args:
        batch: the rows.
        slots: int64[n], the group of each.
        signs: int8[n] of +1 and −1, None where all are added.
    """

    def __init__(self, batch: pa.RecordBatch, slots: Ints, signs: Signs | None) -> None:
        self.batch = batch
        self.all = Selection(None, slots, signs)
        self._values: dict[int, Vector] = {}
        self._words: dict[int, npt.NDArray[np.uint64]] = {}
        self._selections: dict[tuple[int | None, int | None], Selection] = {(None, None): self.all}

    def values(self, column: int) -> Vector:
        """The stored values of a fixed-width column."""
        known = self._values.get(column)
        if known is None:
            known = self._values[column] = to_numpy(self.batch.column(column))
        return known

    def words(
        self, column: int, convert: Callable[[Vector], npt.NDArray[np.uint64]]
    ) -> npt.NDArray[np.uint64]:
        """The column's values as words in their order, which `convert` makes."""
        known = self._words.get(column)
        if known is None:
            known = self._words[column] = convert(self.values(column))
        return known

    def array(self, column: int, selection: Selection) -> pa.Array:
        """The column's values in the selected rows."""
        whole = self.batch.column(column)
        return whole if selection.rows is None else whole.take(pa.array(selection.rows))

    def select(self, arg: int | None, condition: int | None) -> Selection:
        """The rows where column `condition` is TRUE and column `arg` is not NULL."""
        known = self._selections.get((arg, condition))
        if known is not None:
            return known
        mask: Bools | None = None
        if condition is not None:
            mask = is_true(self.batch.column(condition))
        if arg is not None:
            valid = valid_rows(self.batch.column(arg))
            if valid is not None:
                mask = valid if mask is None else mask & valid
        chosen = self.all if mask is None or mask.all() else self.all.narrow(mask)
        self._selections[(arg, condition)] = chosen
        return chosen
