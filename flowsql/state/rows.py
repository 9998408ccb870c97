"""`Rows`: rows by row number, each with a weight and mutable fixed-width columns.

Row numbers ascend in order of arrival and are never used twice, so a list of them may hold rows
that are gone. Values are stored by position (`storage.py`), positions follow the rows
(`row_map.py`): memory is proportional to the live rows, whatever came and went.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.state.kernels import distinct
from flowsql.state.memory import Vector
from flowsql.state.row_map import PAGE, RowMap
from flowsql.state.spec import RowsSpec
from flowsql.state.storage import Storage, make_storage
from flowsql.state.table import DirtyMarks, Segment, Table, TableStats, batches_of
from flowsql.types import arrow_type

__all__ = ["Rows"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Sparse frames evacuated in one step, beside those that the step itself made sparse.
_MOVES: Final = 8


class Rows(Table):
    """Stored rows.

    Contract:

    * `append` gives row numbers; `take`, `weights`, `read` … want rows that are there;
    * a removed row is dead at once (`alive`), but can be read until `end_step`;
    * a row's weight is 1 unless given; weight 0 does not remove a row, its owner does.
    """

    def __init__(self, spec: RowsSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self._columns: list[Storage] = [make_storage(f.type) for f in spec.fields]
        self._schema = pa.schema([pa.field(f.name, arrow_type(f.type)) for f in spec.fields])
        self._mutable = {name: Vector(dtype) for name, dtype in spec.mutable}
        self._weights: Vector | None = None  # weight − 1, made with the first that is not 1
        self._map = RowMap()
        self._live = Vector(np.uint8)
        self._count = 0
        self.had_removals = False  # until then, every row number is alive
        self._dying: list[Ints] = []
        self._sparse: list[int] = []
        self._dirty = DirtyMarks()

    def __len__(self) -> int:
        return self._count

    def append(self, batch: pa.RecordBatch, weights: Ints | None = None) -> Ints:
        """Store rows.

        Args:
            batch: one column for each field of the spec, in its order.
            weights: int64[n], or None: all 1.

        Returns:
            int64[n]: their row numbers, ascending.
        """
        rows, where = self._map.append(batch.num_rows)
        end = self._map.end
        for column, array in zip(self._columns, batch.columns, strict=True):
            column.write(where, array, end)
        self._begin(where, end, weights)
        return rows

    def _begin(self, where: Ints | slice, end: int, weights: Ints | None) -> None:
        live = self._live.fit(end)
        live[where] = 1
        if weights is not None and self._weights is None and bool((weights != 1).any()):
            self._weights = Vector(np.int64)
        if self._weights is not None:
            self._weights.fit(end)[where] = 0 if weights is None else weights - 1
        for vector in self._mutable.values():
            vector.fit(end)
        self._dirty.mark(where, end)
        self._count += where.stop - where.start if isinstance(where, slice) else len(where)

    def take(self, rows: Ints) -> pa.RecordBatch:
        """The stored columns of rows, in the order given."""
        at = self._map.known(rows)
        arrays = [c.take(at) for c in self._columns]
        if not arrays:
            return _no_columns(len(rows))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def column(self, rows: Ints, index: int) -> pa.Array:
        """One stored column of rows."""
        return self._columns[index].take(self._map.known(rows))

    def widths(self, rows: Ints) -> Ints | int:
        """int64[n]: bytes of each row in a batch, nested values by their mean.

        One number, which no row exceeds, where all texts are short.
        """
        at = self._map.known(rows)
        return sum((c.widths(at) for c in self._columns), 0)

    def weights(self, rows: Ints) -> Ints:
        """int64[n]."""
        if self._weights is None:
            return np.ones(len(rows), np.int64)
        return self._weights.data.take(self._map.known(rows)) + 1

    def add_weight(self, rows: Ints, delta: Ints | int) -> Ints:
        """Change weights; a row that occurs k times gets all k changes. Returns the new ones."""
        if self._weights is None:
            self._weights = Vector(np.int64)
        at = self._map.known(rows)
        data = self._weights.fit(self._map.end)
        np.add.at(data, at, delta)
        self._dirty.mark(at, self._map.end)
        return data.take(at) + 1

    def alive(self, rows: Ints) -> Bools:
        """bool[n]: false for rows that were removed, however long ago."""
        at = self._map.positions(rows)
        return (self._live.data.take(at, mode="clip") != 0) & (at >= 0)

    def remove(self, rows: Ints) -> None:
        """Rows are gone; they may be read until `end_step`. Removing twice is removing once."""
        at = self._map.positions(rows)
        at = at[at >= 0]
        at = distinct(at[self._live.data.take(at) != 0])
        if not len(at):
            return
        self._live.data[at] = 0
        self._dirty.mark(at, self._map.end)
        self._dying.append(at)
        self._count -= len(at)
        self.had_removals = True

    def expire(self, rows: Ints) -> None:
        """`remove` (state TTL)."""
        self.remove(rows)

    def read(self, rows: Ints, name: str) -> npt.NDArray[Any]:
        """A mutable column at rows."""
        return self._mutable[name].data.take(self._map.known(rows))

    def write(self, rows: Ints, name: str, values: npt.NDArray[Any] | float) -> None:
        """Set a mutable column; where a row occurs twice, the last value stays."""
        at = self._map.known(rows)
        self._mutable[name].data[at] = values
        self._dirty.mark(at, self._map.end)

    def add(self, rows: Ints, name: str, values: npt.NDArray[Any] | float) -> npt.NDArray[Any]:
        """Add to a mutable column, k times for a row that occurs k times; returns the new values."""
        at = self._map.known(rows)
        data = self._mutable[name].data
        np.add.at(data, at, values)
        self._dirty.mark(at, self._map.end)
        return data.take(at)

    def live(self) -> Ints:
        """All live row numbers, ascending; O(rows): for checkpoints and inspection."""
        positions = self._live.data[: self._map.end].nonzero()[0]
        rows = self._map.numbers(positions)
        # Where nothing ever moved the numbers are the positions, which ascend.
        return rows if rows is positions else np.sort(rows)

    # -- maintenance ---------------------------------------------------------------------------

    def end_step(self) -> None:
        """Dead rows leave; frames of which little is left are emptied."""
        allowed = _MOVES
        if self._dying or self._map.has_closed:
            dying = np.concatenate([np.zeros(0, np.int64), *self._dying])
            self._dying = []
            for column in self._columns:
                column.drop(dying)
            empty, sparse = self._map.release(dying)
            for frame in empty:
                self._reuse(frame)
            allowed += len(sparse)
            self._sparse = [f for f in dict.fromkeys(self._sparse + sparse) if f not in set(empty)]
        for column in self._columns:
            column.maintain(self._map.end)
        while self._sparse and allowed:
            self._evacuate(self._sparse.pop())
            allowed -= 1

    def _reuse(self, frame: int) -> None:
        where = self._map.reuse(frame)
        for vector in self._mutable.values():
            vector.clear(where.start, min(where.stop, vector.used))
        if self._weights is not None:
            self._weights.clear(where.start, min(where.stop, self._weights.used))

    def _evacuate(self, frame: int) -> None:
        start = frame * PAGE
        old = self._live.data[start : start + PAGE].nonzero()[0] + start
        new = self._map.evacuate(old)
        end = self._map.end
        for column in self._columns:
            values = column.take(old)
            column.drop(old)
            column.write(new, values, end)
        for vector in self._mutable.values():
            data = vector.fit(end)
            data[new] = data.take(old)
        if self._weights is not None:
            data = self._weights.fit(end)
            data[new] = data.take(old)
        live = self._live.fit(end)
        live[old] = 0
        live[new] = 1
        self._dirty.mark(new, end)
        self._reuse(frame)

    # -- checkpoint ----------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes held; no look at the rows."""
        size = self._map.nbytes + self._live.nbytes + self._dirty.nbytes
        size += sum(c.nbytes for c in self._columns)
        size += sum(v.nbytes for v in self._mutable.values())
        return size + (0 if self._weights is None else self._weights.nbytes)

    def stats(self) -> TableStats:
        """Live rows and their memory."""
        return TableStats(self._count, self.nbytes, self._map.next, self._dirty.count())

    def segments(self) -> list[Segment]:
        """All live rows with number, weight, mutable columns."""
        fields = [pa.field("$row", pa.int64()), pa.field("$weight", pa.int64())]
        fields += [
            pa.field(f"${n}", pa.from_numpy_dtype(np.dtype(d))) for n, d in self.spec.mutable
        ]
        schema = pa.schema([*fields, *self._schema])

        def columns(rows: Ints) -> list[pa.Array]:
            arrays = [pa.array(rows), pa.array(self.weights(rows))]
            arrays += [pa.array(self.read(rows, n)) for n, _ in self.spec.mutable]
            at = self._map.known(rows)
            return arrays + [c.take(at) for c in self._columns]

        batches = batches_of(schema, self.live(), columns)
        self._dirty.clear()
        return [Segment(self.name, "all", schema, batches, {"next": self._map.next})]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Rows keep their numbers."""
        self.had_removals = True
        batches = [b for s in segments for b in s.batches]
        next_row = max((int(s.meta["next"]) for s in segments), default=0)
        numbers = [b.column(0).to_numpy() for b in batches]
        pages, counts = np.unique(
            np.concatenate([np.zeros(0, np.int64), *numbers]) // PAGE, return_counts=True
        )
        self._map.restore(next_row, pages, counts)
        for batch, rows in zip(batches, numbers, strict=True):
            at = self._map.place(rows)
            end = self._map.end
            self._begin(at, end, batch.column(1).to_numpy())
            for i, (name, _) in enumerate(self.spec.mutable, start=2):
                self._mutable[name].data[at] = batch.column(i).to_numpy(zero_copy_only=False)
            for column, array in zip(
                self._columns, batch.columns[2 + len(self.spec.mutable) :], strict=True
            ):
                column.write(at, array, end)
        self._dirty.clear()


def _no_columns(rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
