"""Top-N: the rows of each partition whose rank lies in a range.

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM t)
    WHERE n <= 2
    SELECT * FROM t ORDER BY x LIMIT 10 OFFSET 5

In → out, the two smallest of the second column, with their rank, one step each:

    +I a 5, +I a 4   →  +I a 4 1, +I a 5 2
    +I a 3           →  -D a 4 1, -D a 5 2, +I a 3 1, +I a 4 2
    -D a 3           →  -D a 3 1, -D a 4 2, +I a 4 1, +I a 5 2

Requires: append or retract. Rows that are equal in the order stand in order of arrival; of equal rows
the first to arrive is taken back first.
Emits: retract; one net change a partition and step, all retractions first. With the rank a row
that moves is given again. A retraction of a row that is not there is ignored and counted
(`orphan-retractions`).
State: `partitions` (key → slot), `columns` (how many rows a partition has, where its last one stands,
its own last rank), `rows` (`row_bag.py`), `order`. Over append input ROW_NUMBER keeps no row behind the last rank. A partition is freed with its
last row.
Cost: per row one look-up of its partition and, if it is kept, one entry in order; per partition that a
step changes, twice the rows given, for RANK and DENSE_RANK twice all its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Changes, Keys
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import KeyedRowsOperator
from flowsql.operators.ranking import Given, RankedRows, Ranking, first_of_each
from flowsql.operators.row_bag import RowBag
from flowsql.operators.vectors import to_numpy
from flowsql.state import Ordered
from flowsql.state.order import OrderLayout
from flowsql.types import DataType

__all__ = ["TopNOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]
Words = npt.NDArray[np.uint64]

# Rows looked up together: more than elsewhere, since only the best of a partition are kept.
_ROWS: Final = 1 << 17


class TopNOperator(KeyedRowsOperator):
    """See the module.

    Args:
        partition: columns of the partition.
        partition_types: their types.
        stored: the columns kept beside the partition's.
        stored_types: their types.
        sort: columns of the order, all of them stored.
        ranking: which rows are given.
        end_column: input column with each partition's last rank, or None.
        append: the input takes nothing back.
        bounded: rows behind the last rank are not kept, see `state_specs`.
        with_rank: the rank is given.
        output: schema of the output: the input's columns, perhaps the rank.
        ttl: how long a partition is kept after its last change, in milliseconds; 0 for ever.
    """

    _INDEX = "partitions"
    _COLUMNS = "columns"

    def __init__(
        self,
        *,
        partition: tuple[int, ...],
        partition_types: tuple[DataType, ...],
        stored: tuple[int, ...],
        stored_types: tuple[DataType, ...],
        sort: tuple[int, ...],
        ranking: Ranking,
        end_column: int | None,
        append: bool,
        bounded: bool,
        with_rank: bool,
        output: pa.Schema,
        ttl: int = 0,
    ) -> None:
        super().__init__(_ROWS, ttl)
        self._partition = partition
        self._partition_types = partition_types
        self._stored = stored
        self._bag = RowBag("rows", stored_types, append=append)
        self._sort = sort
        self._ranking = ranking
        self._end_column = end_column
        self._append = append
        self._bounded = bounded
        self._form = RankedRows(partition, stored, with_rank=with_rank, output=output)
        # Of the running step only:
        self._before: list[Given] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._bag.open(context.state)
        self._order: Ordered = context.state["order"]
        self._layout = OrderLayout(self._order.spec.sort)
        # Words compare between batches only where no long strings are among them.
        self._bounds = self._bounded and not self._layout.texts

    # -- rows come -----------------------------------------------------------------------------

    def _ingest(self, changes: Changes) -> None:
        batch = changes.batch
        arrays = [batch.column(c) for c in self._partition]
        slots, is_new = self._find(Keys.of(arrays, self._partition_types, len(changes)))
        made = is_new.nonzero()[0]
        if len(made):
            self._begin(batch, slots, made)
        if self._append:
            self._insert(batch, slots)
        else:
            self._change(batch, slots, changes.signs)

    def _begin(self, batch: pa.RecordBatch, slots: Ints, made: Ints) -> None:
        """Partitions that are new, of the rows `made` of a batch."""
        if self._end_column is not None:
            ends = to_numpy(batch.column(self._end_column)).astype(np.int64)
            self._columns.write(slots.take(made), "end", ends.take(made))

    def _ends(self, slots: Ints) -> Ints | None:
        """int64[n]: the last rank of each partition; None where there is no last one."""
        if self._end_column is not None:
            return self._columns.read(slots, "end")
        end = self._ranking.end
        return None if end is None else np.full(len(slots), end)

    def _insert(self, batch: pa.RecordBatch, slots: Ints) -> None:
        """Append input: rows that stand behind the last rank already are left out."""
        if self._bounded:
            chosen = self._candidates(batch, slots)
            if chosen is not None:
                if not len(chosen):
                    return
                batch, slots = batch.take(pa.array(chosen)), slots.take(chosen)
        self._touch(slots)
        self._store(batch, slots)
        if self._bounded:
            self._trim(np.unique(slots))

    def _candidates(self, batch: pa.RecordBatch, slots: Ints) -> Ints | None:
        """Rows that stand before the last one kept, and among the first of the batch."""
        ends = self._ends(slots)
        assert ends is not None
        words = self._layout.encode([batch.column(c) for c in self._sort]).words
        rows: Ints | None = None
        if self._bounds:
            full = self._columns.vector("rows").take(slots) >= ends
            if full.any():
                behind = np.ones(len(slots), np.bool_)
                for i, word in reversed(list(enumerate(words))):
                    last = self._columns.vector(f"word{i}").take(slots)
                    behind = (word > last) | ((word == last) & behind)
                rows = (~(behind & full)).nonzero()[0]
                slots, ends = slots.take(rows), ends.take(rows)
                words = [w.take(rows) for w in words]
        if self._layout.texts:
            return rows
        chosen = np.sort(first_of_each(slots, words, ends))
        return chosen if rows is None else rows.take(chosen)

    def _touch(self, slots: Ints) -> None:
        """Partitions that this step is about to change: what was given of them is noted."""
        known = self._touched.size
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            held = (self._columns.vector("rows").take(fresh) > 0).nonzero()[0]
            self._before.append(self._given(fresh.take(held), held + known))
            self._columns.mark(fresh)
            self._write(fresh)

    def _given(self, slots: Ints, places: Ints) -> Given:
        """What is given of partitions as they stand now; `places` are theirs in the answer."""
        # Entries are found faster in their own order.
        order = np.argsort(slots)
        slots, places = slots.take(order), places.take(order)
        held = self._columns.read(slots, "rows")
        return self._ranking.given(self._order, slots, self._ends(slots), places, held)

    def _store(self, batch: pa.RecordBatch, slots: Ints) -> None:
        numbers = self._rows.append(batch.select(list(self._stored)))
        self._order.add(slots, self._sort_values(batch, numbers), numbers)
        self._columns.add(slots, "rows", 1)

    def _sort_values(self, batch: pa.RecordBatch, numbers: Ints) -> list[pa.Array]:
        """The order's columns of rows that are stored under these numbers."""
        del numbers
        return [batch.column(c) for c in self._sort]

    def _trim(self, slots: Ints) -> None:
        """Forget what stands behind the last rank, and note where the last row stands."""
        ends = self._ends(slots)
        assert ends is not None
        counts = self._columns.read(slots, "rows")
        over = (counts > ends).nonzero()[0]
        if len(over):
            at = slots.take(over)
            gone = self._order.places(at, ends.take(over), counts.take(over))
            assert gone.rows is not None
            self._order.remove(at.take(gone.probe), gone.values, gone.rows)
            self._rows.remove(gone.rows)
            self._columns.write(at, "rows", ends.take(over))
        if not self._bounds:
            return
        full = ((counts >= ends) & (ends > 0)).nonzero()[0]
        if len(full):
            at, last = slots.take(full), ends.take(full) - 1
            words = self._layout.encode(self._order.places(at, last, last + 1).values).words
            for i, word in enumerate(words):
                self._columns.write(at, f"word{i}", word)

    # -- rows come and go ----------------------------------------------------------------------

    def _change(self, batch: pa.RecordBatch, slots: Ints, signs: Signs) -> None:
        # Orphans' partitions too: those that are new have to be freed again.
        self._touch(slots)
        contents = batch.select(list(self._stored))
        moved = self._bag.change(slots, contents, signs)
        self.context.counters.add("orphan-retractions", moved.orphans)
        places = [self._stored.index(c) for c in self._sort]
        if len(moved.gone):
            values = self._rows.take(moved.gone)
            self._order.remove(moved.owners, [values.column(p) for p in places], moved.gone)
            self._columns.add(moved.owners, "rows", -1)
        if len(moved.came):
            index = pa.array(moved.came)
            at = slots.take(moved.came)
            self._order.add(at, [contents.column(p).take(index) for p in places], moved.rows)
            self._columns.add(at, "rows", 1)

    # -- end of the step -----------------------------------------------------------------------

    def _forget(self, slots: Ints) -> None:
        found = self._order.entries(slots)
        assert found.rows is not None
        self._bag.forget(found.rows, slots.take(found.probe))
        super()._forget(slots)

    def _net(self) -> Iterator[Changes]:
        if self._touched.size:
            slots = self._touched.slots()
            old = Given.concat(self._before)
            new = self._given(slots, np.arange(len(slots)))
            yield from self._form.changes(self._index, self._rows, slots, old, new)
            empty = (self._columns.read(slots, "rows") == 0).nonzero()[0]
            if len(empty):
                self._index.free(slots.take(empty))
        self._bag.release()
        self._before = []
