"""Rows that come and go by their content: of equal ones the first to arrive is taken back first.

Serves Top-N and the aggregates that keep their values (LISTAGG, COLLECT, …). A row belongs to an owner,
the slot of a partition or group; equal rows of two owners are two rows.

State, of a bag called `x`: `x` (the rows), `x_ids` (owner and content → id), `x_ids_columns` (how many
equal rows there are), `x_copies` (each id's rows in order of arrival). Over input that only comes
there are only the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.operators.sequence import accepted_counts, sort_stable
from flowsql.operators.touched import Touched
from flowsql.operators.vectors import to_numpy
from flowsql.state import Columns, KeyIndex, Ordered, Rows
from flowsql.state.kernels import runs
from flowsql.types import BigIntType, DataType

__all__ = ["Moved", "RowBag"]

Ints = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]

_SLOT = BigIntType(nullable=False)
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a batch changed in a bag.

    Attributes:
        came: rows of the batch that are stored …
        rows: … and their numbers, ascending.
        gone: numbers of rows that left …
        owners: … and whose they were.
        orphans: retractions of rows that were not there.
    """

    came: Ints
    rows: Ints
    gone: Ints
    owners: Ints
    orphans: int


class RowBag:
    """See the module.

    Args:
        name: of its tables.
        types: of the stored columns.
        append: rows only come.
    """

    def __init__(self, name: str, types: tuple[DataType, ...], *, append: bool) -> None:
        self._name = name
        self._types = types
        self._append = append
        # Of the running step only:
        self._touched = Touched()

    def open(self, state: Mapping[str, Any]) -> None:
        """Take the tables."""
        self.rows: Rows = state[self._name]
        if not self._append:
            self._ids: KeyIndex = state[f"{self._name}_ids"]
            self._columns: Columns = state[f"{self._name}_ids_columns"]
            self._copies: Ordered = state[f"{self._name}_copies"]

    def change(self, owners: Ints, batch: pa.RecordBatch, signs: Signs | None) -> Moved:
        """Rows of a batch come and go, as if one by one.

        Args:
            owners: int64[n].
            batch: the stored columns.
            signs: +1 or −1 each; None where all come.
        """
        if self._append or batch.num_rows == 0:
            rows = self.rows.append(batch) if batch.num_rows else _NONE
            return Moved(np.arange(len(rows)), rows, _NONE, _NONE, 0)
        if signs is None:
            signs = np.ones(len(owners), np.int8)
        ids, _ = self._ids.ensure(self._keys(owners, batch))
        self._touched.add(ids, self._ids.capacity)
        accepted = accepted_counts(ids, signs, self._columns.read(ids, "count"))
        counted = np.arange(len(ids)) if accepted is None else accepted.nonzero()[0]
        orphans = len(owners) - len(counted)
        ids, signs = ids.take(counted), signs.take(counted)
        new = (signs > 0).nonzero()[0]
        gone = owners_gone = _NONE
        if len(new) < len(ids):
            distinct, which = np.unique(ids, return_inverse=True)
            held = self._columns.read(distinct, "count")
            taken = np.bincount(which[signs < 0], minlength=len(distinct))
            gone, owners_gone = self._take_back(distinct, np.minimum(held, taken))
            # Where more is taken back than was held, the first to come go as well.
            excess = np.maximum(taken - held, 0).take(which.take(new))
            if excess.any():
                new = new[_occurrence(which.take(new)) >= excess]
        self._columns.add(ids, "count", signs.astype(np.int64))
        came = counted.take(new)
        rows = _NONE
        if len(came):
            whole = len(came) == batch.num_rows
            rows = self.rows.append(batch if whole else batch.take(pa.array(came)))
            self._copies.add(ids.take(new), [], rows)
        return Moved(came, rows, gone, owners_gone, orphans)

    def _keys(self, owners: Ints, batch: pa.RecordBatch) -> Keys:
        return Keys.of([pa.array(owners), *batch.columns], (_SLOT, *self._types))

    def _take_back(self, ids: Ints, times: Ints) -> tuple[Ints, Ints]:
        """The oldest rows of each content leave: their numbers and owners."""
        some = times.nonzero()[0]
        if not len(some):
            return _NONE, _NONE
        ids = ids.take(some)
        found = self._copies.places(ids, 0, times.take(some))
        assert found.rows is not None
        ids = ids.take(found.probe)
        self._copies.remove(ids, [], found.rows)
        self.rows.remove(found.rows)
        return found.rows, to_numpy(self._ids.keys(ids)[0])

    def release(self) -> None:
        """End of the step: contents of which no row is left are forgotten."""
        if self._touched.size:
            ids = self._touched.slots()
            gone = (self._columns.read(ids, "count") == 0).nonzero()[0]
            if len(gone):
                self._ids.free(ids.take(gone))
        self._touched.clear()

    def forget(self, rows: Ints, owners: Ints) -> None:
        """Rows leave together with their owners; after `release`."""
        if not len(rows):
            return
        if not self._append:
            ids = np.unique(self._ids.find(self._keys(owners, self.rows.take(rows))))
            self._ids.free(ids[ids >= 0])
        self.rows.remove(rows)


def _occurrence(ids: Ints) -> Ints:
    """int64[n]: how often each id occurred before."""
    order = sort_stable(ids)
    starts, lengths = runs(ids.take(order))
    result = np.empty(len(ids), np.int64)
    result[order] = np.arange(len(ids)) - np.repeat(starts, lengths)
    return result
