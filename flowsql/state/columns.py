"""`Columns`: accumulators by slot.

Fixed columns are NumPy vectors, zero at first; value columns are of any type, NULL at first. Both
are reset when their slot is released by its `KeyIndex` (at the end of the step that frees it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.errors import InternalError
from flowsql.state.kernels import last_of_each
from flowsql.state.key_index import KeyIndex
from flowsql.state.memory import Vector
from flowsql.state.spec import ColumnsSpec
from flowsql.state.storage import Storage, make_storage
from flowsql.state.table import DirtyMarks, Segment, Table, TableStats, batches_of
from flowsql.types import arrow_type

__all__ = ["Columns"]

Ints = npt.NDArray[np.int64]
Fixed = npt.NDArray[Any]


class Columns(Table):
    """Named columns behind the slots of one `KeyIndex`.

    `read`, `write`, `add`, `minimum` and `maximum` take live slots of that index.
    """

    def __init__(self, spec: ColumnsSpec, index: KeyIndex) -> None:
        self.name = spec.name
        self.spec = spec
        self._index = index
        self._fixed = {name: Vector(dtype) for name, dtype in spec.fixed}
        self._values: dict[str, Storage] = {
            f.name: make_storage(f.type, null_first=True) for f in spec.values
        }
        if len(self._fixed) + len(self._values) != len(spec.fixed) + len(spec.values):
            raise InternalError(f'state table "{self.name}" has two columns of one name')
        self._dirty = DirtyMarks()
        index.on_release(self._release)

    def read(self, slots: Ints, name: str) -> Any:
        """The column's value at each slot: NumPy for a fixed column, Arrow for a value column."""
        fixed = self._fixed.get(name)
        if fixed is not None:
            return fixed.fit(self._index.capacity).take(slots)
        return self._values[name].take(slots)

    def write(self, slots: Ints, name: str, values: Any) -> None:
        """Set the column at each slot; where a slot occurs twice, the last value stays.

        Args:
            slots: int64[n].
            name: the column.
            values: NumPy array or scalar for a fixed column, Arrow array for a value column.
        """
        end = self._index.capacity
        self._dirty.mark(slots, end)
        fixed = self._fixed.get(name)
        if fixed is not None:
            fixed.fit(end)[slots] = values
            return
        storage = self._values[name]
        chosen = last_of_each(slots)
        if len(chosen) < len(slots):
            slots, values = slots.take(chosen), values.take(pa.array(chosen))
        storage.drop(slots)
        storage.write(slots, values, end)

    def add(self, slots: Ints, name: str, values: Fixed | float) -> None:
        """Add to a fixed column; a slot that occurs k times gets all k values. Integers wrap."""
        self._accumulate(np.add, slots, name, values)

    def minimum(self, slots: Ints, name: str, values: Fixed | float) -> None:
        """Lower a fixed column to the smallest of its value and those given for its slot."""
        self._accumulate(np.minimum, slots, name, values)

    def maximum(self, slots: Ints, name: str, values: Fixed | float) -> None:
        """Raise a fixed column to the largest of its value and those given for its slot."""
        self._accumulate(np.maximum, slots, name, values)

    def _accumulate(
        self, operation: np.ufunc, slots: Ints, name: str, values: Fixed | float
    ) -> None:
        end = self._index.capacity
        operation.at(self._fixed[name].fit(end), slots, values)
        self._dirty.mark(slots, end)

    def vector(self, name: str) -> Fixed:
        """The whole fixed column, one element a slot up to the index's capacity, for kernels.

        Valid until the next `ensure`; a caller that writes through it calls `mark`.
        """
        end = self._index.capacity
        return self._fixed[name].fit(end)[:end]

    def mark(self, slots: Ints) -> None:
        """Slots that were written through `vector`."""
        self._dirty.mark(slots, self._index.capacity)

    def expire(self, slots: Ints) -> None:
        """Reset slots to zero and NULL while their keys stay."""
        self._release(slots)

    def _release(self, slots: Ints) -> None:
        end = self._index.capacity
        for vector in self._fixed.values():
            vector.fit(end)[slots] = 0
        for storage in self._values.values():
            storage.drop(slots)
        self._dirty.mark(slots, end)

    def end_step(self) -> None:
        """A slice of maintenance."""
        for storage in self._values.values():
            storage.maintain(self._index.capacity)

    # -- checkpoint ----------------------------------------------------------------------------

    def stats(self) -> TableStats:
        """As many rows as the index has keys."""
        size = sum(v.nbytes for v in self._fixed.values()) + self._dirty.nbytes
        size += sum(s.nbytes for s in self._values.values())
        return TableStats(len(self._index), size, 0, self._dirty.count())

    @property
    def _schema(self) -> pa.Schema:
        fields = [pa.field("$slot", pa.int64())]
        fields += [pa.field(n, pa.from_numpy_dtype(np.dtype(d))) for n, d in self.spec.fixed]
        fields += [pa.field(f.name, arrow_type(f.type)) for f in self.spec.values]
        return pa.schema(fields)

    def segments(self) -> list[Segment]:
        """Every live slot's values."""

        def columns(slots: Ints) -> list[pa.Array]:
            arrays = [pa.array(slots)]
            arrays += [pa.array(self.read(slots, n)) for n, _ in self.spec.fixed]
            return arrays + [self.read(slots, f.name) for f in self.spec.values]

        schema = self._schema
        batches = batches_of(schema, self._index.live(), columns)
        self._dirty.clear()
        return [Segment(self.name, "all", schema, batches)]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Values get back behind their slots; the index must have been restored."""
        for segment in segments:
            for batch in segment.batches:
                slots = batch.column(0).to_numpy()
                at = 1
                for name, _ in self.spec.fixed:
                    self.write(slots, name, batch.column(at).to_numpy(zero_copy_only=False))
                    at += 1
                for value in self.spec.values:
                    self.write(slots, value.name, batch.column(at))
                    at += 1
        self._dirty.clear()
