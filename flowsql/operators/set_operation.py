"""INTERSECT [ALL] and EXCEPT [ALL].

    SELECT a FROM t INTERSECT SELECT a FROM u
    SELECT a FROM t EXCEPT ALL SELECT a FROM u

In → out, for EXCEPT, one step each:

    left +I 1, left +I 1   →  +I 1
    right +I 1             →  -D 1
    right -D 1             →  +I 1

Requires: two inputs of equal types, append or retract. NULL equals NULL.
Emits: one net change a row and step, as often as its number of copies changed: with l and r equal
rows on the sides there are min(l, r) of INTERSECT ALL, max(l − r, 0) of EXCEPT ALL, and without ALL
one where that row belongs to the answer. Append for an INTERSECT of append inputs, else retract. A
retraction of a row that is not there is ignored and counted (`orphan-retractions`).
State: `rows` (whole row → slot), `counts` (how many on either side); freed with the last copy.
Cost: per row one look-up of its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import DELETE, Changes, Keys, split_changes
from flowsql.operators.base import OperatorContext
from flowsql.operators.gathering import KeyedOperator
from flowsql.operators.sequence import accepted_counts
from flowsql.operators.touched import Touched
from flowsql.operators.waiting import Waiting
from flowsql.state import Columns
from flowsql.types import DataType

__all__ = ["SetOperationOperator", "copies"]

Ints = npt.NDArray[np.int64]

_SIDES: Final = ("left", "right")

# Rows given in one batch.
_EMIT: Final = 1 << 15


class SetOperationOperator(KeyedOperator):
    """See the module.

    Args:
        copies: how often a row is given that is there so often on the left and on the right.
        types: of the columns, which are the same on both sides.
        output: schema of the output.
        ttl: how long a row is kept after its last change, in milliseconds; 0 for ever.
    """

    _INDEX = "rows"

    def __init__(
        self,
        *,
        copies: Callable[[Ints, Ints], Ints],
        types: tuple[DataType, ...],
        output: pa.Schema,
        ttl: int = 0,
    ) -> None:
        super().__init__(ttl)
        self._copies = copies
        self._types = types
        self._output = output
        # Of the running step only:
        self._waiting = (Waiting(), Waiting())
        self._touched = Touched()
        self._before: list[Ints] = []

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._counts: Columns = context.state["counts"]

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        if self._waiting[port].add(changes):
            self._ingest(port)
        return iter(())

    def _ingest(self, port: int) -> None:
        changes = self._waiting[port].take()
        if changes is None:
            return
        keys = Keys.of(changes.batch.columns, self._types, len(changes))
        slots, _ = self._find(keys)
        fresh = self._touched.add(slots, self._index.capacity)
        if len(fresh):
            self._before.append(self._given(fresh))
            self._counts.mark(fresh)
            self._write(fresh)
        counts = self._counts.vector(_SIDES[port])
        if changes.codes is None:
            np.add.at(counts, slots, 1)
            return
        signs = changes.signs
        accepted = accepted_counts(slots, signs, counts.take(slots))
        if accepted is not None:
            chosen = accepted.nonzero()[0]
            self.context.counters.add("orphan-retractions", len(slots) - len(chosen))
            slots, signs = slots.take(chosen), signs.take(chosen)
        np.add.at(counts, slots, signs.astype(np.int64))

    def _given(self, slots: Ints) -> Ints:
        left, right = (self._counts.vector(side).take(slots) for side in _SIDES)
        return self._copies(left, right)

    def flush(self) -> Iterator[Changes]:
        for port in (0, 1):
            self._ingest(port)
        if self._touched.size:
            yield from self._net()
        self._touched.clear()
        self._before = []
        self._age()

    def _net(self) -> Iterator[Changes]:
        slots = self._touched.slots()
        change = self._given(slots) - np.concatenate(self._before)
        left, right = (self._counts.vector(side).take(slots) for side in _SIDES)
        gone = ((left == 0) & (right == 0)).nonzero()[0]
        if len(gone):
            self._index.free(slots.take(gone))
        for retract in (True, False):
            moved = (change < 0 if retract else change > 0).nonzero()[0]
            yield from self._emit(slots.take(moved), np.abs(change.take(moved)), retract)

    def _emit(self, slots: Ints, times: Ints, retract: bool) -> Iterator[Changes]:
        """Rows, each so many times."""
        for start, stop in _spans(times):
            part = np.repeat(slots[start:stop], times[start:stop])
            for at in range(0, len(part), _EMIT):
                piece = part[at : at + _EMIT]
                arrays = self._index.keys(piece)
                kinds = np.full(len(piece), DELETE, np.int8) if retract else None
                batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
                yield from split_changes(Changes(batch, kinds))


def _spans(times: Ints) -> Iterator[tuple[int, int]]:
    """Ranges that are written out together, each of about `_EMIT` copies or one row."""
    if not len(times):
        return
    total = np.cumsum(times)
    start = 0
    while start < len(times):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _EMIT, side="right")))
        yield start, stop
        start = stop


def _intersect(left: Ints, right: Ints) -> Ints:
    return ((left > 0) & (right > 0)).astype(np.int64)


def _except(left: Ints, right: Ints) -> Ints:
    return ((left > 0) & (right == 0)).astype(np.int64)


def _intersect_all(left: Ints, right: Ints) -> Ints:
    return np.minimum(left, right)


def _except_all(left: Ints, right: Ints) -> Ints:
    return np.maximum(left - right, 0)


def copies(kind: str, *, every: bool) -> Callable[[Ints, Ints], Ints]:
    """How many copies `intersect` or `except` gives; `every` for ALL."""
    if kind == "intersect":
        return _intersect_all if every else _intersect
    return _except_all if every else _except
