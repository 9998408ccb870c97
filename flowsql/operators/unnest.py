"""UNNEST: a row for each element of a collection.

    SELECT id, x, n FROM t CROSS JOIN UNNEST(xs) WITH ORDINALITY AS u (x, n)
    SELECT id, k, v FROM t LEFT JOIN UNNEST(m) AS u (k, v) ON v > 1

In → out: `+I 1 [a, b]` → `+I 1 a 1`, `+I 1 b 2`; with `LEFT JOIN` also `+I 2 []` → `+I 2 NULL NULL`.

Requires: any changelog; the collection is part of a row that is taken back. Emits: the same kinds, an
element's rows in the collection's order. An element of a MULTISET stands as often as it is contained;
one that is a NULL row is left out, as in Flink. State: none. Cost: per element its columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import MAX_BYTES, MAX_ROWS, Changes, split_changes
from flowsql.expr import Predicate
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent
from flowsql.state.kernels import expand

__all__ = ["UnnestOperator"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Places:
    """Elements to be given, in order.

    Attributes:
        row: int64[n], rows of the batch, ascending.
        element: int64[n], places in the collections' values; −1 for none.
        ordinal: int64[n], places within the collection, from 1.
    """

    row: Ints
    element: Ints
    ordinal: Ints

    def take(self, chosen: Ints | slice) -> _Places:
        """Those of the elements."""
        return _Places(self.row[chosen], self.element[chosen], self.ordinal[chosen])

    def pieces(self, size: int) -> Iterator[_Places]:
        """All, at most `size` at once."""
        for at in range(0, len(self.row), size):
            yield self.take(slice(at, at + size))

    def padded(self, rows: int) -> _Places:
        """With an empty element for each of the batch's rows that has none."""
        has = np.zeros(rows, np.bool_)
        has[self.row] = True
        bare = (~has).nonzero()[0]
        if not len(bare):
            return self
        none = np.full(len(bare), -1)
        whole = _Places(
            np.concatenate([self.row, bare]),
            np.concatenate([self.element, none]),
            np.concatenate([self.ordinal, none]),
        )
        return whole.take(np.argsort(whole.row, kind="stable"))


class UnnestOperator(Operator):
    """See the module.

    Args:
        collection: input column.
        columns: input columns that are given.
        multiset: the collection is one.
        fields: the element is a ROW, whose fields are given.
        ordinality: the place of the element is given.
        outer: a row without elements is given with NULLs.
        condition: over the output row, or None.
        output: schema of the output.
    """

    def __init__(
        self,
        *,
        collection: int,
        columns: tuple[int, ...],
        multiset: bool,
        fields: bool,
        ordinality: bool,
        outer: bool,
        condition: Predicate | None,
        output: pa.Schema,
    ) -> None:
        self._collection = collection
        self._columns = columns
        self._multiset = multiset
        self._fields = fields
        self._ordinality = ordinality
        self._outer = outer
        self._condition = condition
        self._output = output

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if changes.unchanged is not None:
            read = {self._collection, *self._columns}
            names = {changes.batch.schema.names[c] for c in read}
            masks = {n: m for n, m in changes.unchanged.items() if n in names}
            require_sent(changes, masks, "UNNEST")
            changes = Changes(changes.batch, changes.codes, None, changes.marks)
        batch = changes.batch
        places = _Places(*self._places(batch.column(self._collection)))
        size = max(1, min(MAX_ROWS, MAX_BYTES // self._width(batch)))
        if self._condition is not None:
            matching = [
                self._condition(self._batch(batch, piece), self.context.clock)
                for piece in places.pieces(size)
            ]
            if matching:
                places = places.take(np.concatenate(matching).nonzero()[0])
        if self._outer:
            places = places.padded(len(changes))
        for piece in places.pieces(size):
            codes = None if changes.codes is None else changes.codes.take(piece.row)
            marks = None if changes.marks is None else changes.marks.take(piece.row)
            yield from split_changes(Changes(self._batch(batch, piece), codes, None, marks))

    def _width(self, batch: pa.RecordBatch) -> int:
        """Mean bytes of the columns given of a row, and some for the element."""
        return 64 + batch.select(list(self._columns)).nbytes // batch.num_rows

    def _places(self, array: pa.Array) -> tuple[Ints, Ints, Ints]:
        """Of each element: its row, its place in the array's values, its ordinal from 1."""
        n = len(array)
        offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + n + 1]
        starts = offsets[:-1].astype(np.int64)
        lengths = np.diff(offsets).astype(np.int64)
        if array.null_count:
            lengths[array.is_null().to_numpy(zero_copy_only=False)] = 0
        row, element = expand(starts, lengths)
        if self._multiset:
            times = array.items.take(pa.array(element)).to_numpy().astype(np.int64)
            row, element = np.repeat(row, times), np.repeat(element, times)
            lengths = np.bincount(row, minlength=n)
        first = np.cumsum(lengths) - lengths
        ordinal = np.arange(1, len(row) + 1) - first.take(row)
        if self._fields:
            values = array.keys if self._multiset else array.values
            there = values.is_valid().to_numpy(zero_copy_only=False).take(element).nonzero()[0]
            row, element, ordinal = row.take(there), element.take(there), ordinal.take(there)
        return row, element, ordinal

    def _batch(self, batch: pa.RecordBatch, places: _Places) -> pa.RecordBatch:
        """The output's columns; NULL where the element's place is −1."""
        index = pa.array(places.row)
        arrays = [batch.column(c).take(index) for c in self._columns]
        missing = places.element < 0
        mask = missing if missing.any() else None
        at = pa.array(places.element, mask=mask)
        array = batch.column(self._collection)
        arrays += [values.take(at) for values in self._values(array)]
        if self._ordinality:
            arrays.append(pa.array(places.ordinal.astype(np.int32), mask=mask))
        return pa.RecordBatch.from_arrays(arrays, schema=self._output)

    def _values(self, array: pa.Array) -> list[pa.Array]:
        """What an element gives, as columns over all elements."""
        if pa.types.is_map(array.type):
            if not self._multiset:
                return [array.keys, array.items]
            values = array.keys
        else:
            values = array.values
        return values.flatten() if self._fields else [values]
