"""The values of each group in order of arrival, for LISTAGG, COLLECT, ARRAY_AGG and the like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.operators.aggregates.selection import Batch, Selection
from flowsql.operators.row_bag import RowBag
from flowsql.state import KeyIndex, Ordered, RowLists
from flowsql.state.accumulators import GROUPS, Accumulator
from flowsql.types import arrow_type

__all__ = ["ValueList"]

Ints = npt.NDArray[np.int64]


class ValueList:
    """The rows of one LIST or ARRIVALS accumulator.

    State: a bag of rows (`row_bag.py`), `x_lists` (group → rows), and for ARRIVALS `x_order`, the
    same in order, so that the first and last are found without a look at the others. They go with
    their group.

    Args:
        what: the accumulator.
        append: values only come.
    """

    def __init__(self, what: Accumulator, *, append: bool) -> None:
        self._what = what
        columns = (what.arg, *(c for c, _ in what.more))
        self._columns = tuple(c for c in columns if c is not None)
        types = (what.type, *(t for _, t in what.more))
        nullable = tuple(t.with_nullable(nullable=True) for t in types)
        self._bag = RowBag(what.name, nullable, append=append)

    def open(self, state: Mapping[str, Any]) -> None:
        """Take the tables."""
        self._bag.open(state)
        self._lists: RowLists = state[f"{self._what.name}_lists"]
        self._order: Ordered | None = state.get(f"{self._what.name}_order")
        groups: KeyIndex = state[GROUPS]
        groups.on_release(self._forget)
        fields = state[self._what.name].spec.fields
        self._schema = pa.schema([pa.field(f.name, arrow_type(f.type)) for f in fields])

    def feed(self, batch: Batch, chosen: Selection) -> None:
        """Values come and go; one that is taken back and not there is passed over."""
        if not len(chosen.slots):
            return
        arrays = [batch.array(c, chosen) for c in self._columns]
        values = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        moved = self._bag.change(chosen.slots, values, chosen.signs)
        if len(moved.gone) and self._order is not None:
            self._order.remove(moved.owners, [], moved.gone)
        if len(moved.came):
            slots = chosen.slots.take(moved.came)
            self._lists.add(slots, moved.rows)
            if self._order is not None:
                self._order.add(slots, [], moved.rows)

    def all(self, slots: Ints) -> tuple[Ints, list[pa.Array]]:
        """The index of each value's group in `slots`, ascending, and the stored columns."""
        probe, rows = self._lists.probe(slots)
        return probe, self._bag.rows.take(rows).columns

    def end(self, slots: Ints, *, last: bool) -> pa.Array:
        """Each group's first or last value, NULL where there is none."""
        assert self._order is not None
        found = self._order.last(slots, 1) if last else self._order.first(slots, 1)
        assert found.rows is not None
        values = self._bag.rows.column(found.rows, 0)
        if len(found.probe) == len(slots):
            return values
        at = np.full(len(slots), -1)
        at[found.probe] = np.arange(len(found.probe))
        return values.take(pa.array(at, mask=at < 0))

    def release(self) -> None:
        """End of the step."""
        self._bag.release()

    def _forget(self, slots: Ints) -> None:
        probe, rows = self._lists.probe(slots)
        self._bag.forget(rows, slots.take(probe))
        self._lists.expire(slots)
