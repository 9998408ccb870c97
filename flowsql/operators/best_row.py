"""The first row of each key in an order: Top-1, and deduplication, of rows that only come.

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM t)
    WHERE n = 1

In → out, order is the second column, ascending, one step each:

    +I a 5, +I a 4, +I b 1   →  +I a 4, +I b 1
    +I a 3, +I b 2           →  -U a 4, +U a 3

Requires: append; sort columns of fixed width.
Emits: retract; one net change a key and step, the `-U` right before its `+U`; nothing where the row
stays the same. Of rows that are equal in the order the first to arrive stays or, as deduplication
to the last row wants it, the last. The rank, if it is given, is 1.
State: `keys` (partition → slot), `keys_columns` (its row's number, and its place in the order as
words that compare as the rows do), `rows` (the other columns). Nothing is freed: a row that
was the best stays so until a better one comes.
Cost: per row one look-up of its key and one comparison; per key whose best row changed in the step
one row stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Changes, Keys
from flowsql.operators.gathering import KeyedRowsOperator
from flowsql.operators.normalize import LastRows
from flowsql.operators.ranking import first_of_each
from flowsql.state import SortColumn
from flowsql.state.order import OrderLayout
from flowsql.types import RowType

__all__ = ["BestRowOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

# Rows looked up together: more than elsewhere, since of a key's rows one is stored.
_ROWS: Final = 1 << 17


class BestRowOperator(KeyedRowsOperator):
    """See the module.

    Args:
        keys: the partition's columns.
        stored: the columns kept beside the key.
        row: the input's type.
        order: columns of the order, and how each is ordered.
        last: of equal rows the last to arrive is kept, not the first.
        output: schema of the output: the input's columns, perhaps the rank.
        ttl: how long a key is kept after its last change, in milliseconds; 0 for ever.
    """

    def __init__(
        self,
        *,
        keys: tuple[int, ...],
        stored: tuple[int, ...],
        row: RowType,
        order: tuple[tuple[int, SortColumn], ...],
        last: bool,
        output: pa.Schema,
        ttl: int = 0,
    ) -> None:
        super().__init__(_ROWS, ttl)
        rank = (pa.scalar(1, pa.int64()),) if len(output) > len(row.fields) else ()
        self._form = LastRows(keys, stored, row, output, rank, alike=ttl > 0)
        self._sort = tuple(c for c, _ in order)
        self._layout = OrderLayout([s for _, s in order])
        self._last = last
        # Of the running step only:
        self._before: list[Ints] = []

    def _ingest(self, changes: Changes) -> None:
        batch, form = changes.batch, self._form
        arrays = [batch.column(c) for c in form.keys]
        slots, _ = self._find(Keys.of(arrays, form.key_types, len(changes)))
        words = self._layout.encode([batch.column(c) for c in self._sort]).words
        known = self._columns.vector("row").take(slots)
        better = self._better(words, slots, known)
        if better is not None:
            rows = better.nonzero()[0]
            if not len(rows):
                return
            slots, words = slots.take(rows), [w.take(rows) for w in words]
            chosen = _best_of_each(slots, words, last=self._last)
            self._keep(
                batch, rows.take(chosen), slots.take(chosen), [w.take(chosen) for w in words]
            )
            return
        chosen = _best_of_each(slots, words, last=self._last)
        self._keep(batch, chosen, slots.take(chosen), [w.take(chosen) for w in words])

    def _better(self, words: list[Words], slots: Ints, known: Ints) -> Bools | None:
        """bool[n]: rows that stand before their key's best one; None for all."""
        if not known.any():
            return None
        # Words compare from the last to the first: an earlier one decides where it differs.
        wins = np.full(len(slots), self._last)
        for i, word in reversed(list(enumerate(words))):
            best = self._columns.vector(f"word{i}").take(slots)
            wins = (word < best) | ((word == best) & wins)
        wins |= known == 0
        return wins

    def _keep(self, batch: pa.RecordBatch, rows: Ints, slots: Ints, words: list[Words]) -> None:
        """These rows of a batch, one a key, are the best now."""
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            self._before.append(self._columns.read(fresh, "row"))
        self._write(slots)
        self._leave(self._columns.read(slots, "row"))
        values = batch.select(list(self._form.stored)).take(pa.array(rows))
        self._columns.write(slots, "row", self._rows.append(values) + 1)
        for i, word in enumerate(words):
            self._columns.write(slots, f"word{i}", word)

    def _forget(self, slots: Ints) -> None:
        self._leave(self._columns.read(slots, "row"))
        super()._forget(slots)

    def _net(self) -> Iterator[Changes]:
        if not self._touched.size:
            return
        slots = self._touched.slots()
        before = np.concatenate(self._before)
        after = self._columns.read(slots, "row")
        yield from self._form.changes(self._index, self._rows, slots, before, after)
        self._before = []


def _best_of_each(slots: Ints, words: list[Words], *, last: bool) -> Ints:
    """The best row of each slot, in order of arrival."""
    if not last:
        return np.sort(first_of_each(slots, words, 1))
    # Of equal rows the last to arrive: the same, seen from behind.
    backwards = first_of_each(slots[::-1], [w[::-1] for w in words], 1)
    return np.sort(len(slots) - 1 - backwards)
