"""What operators do alike that look rows up by key.

`KeyedOperator` has one index of keys, which may be forgotten with time; `GatheringOperator` waits for
rows until it pays to look them up together; `KeyedRowsOperator` stores rows behind its slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from flowsql.changelog import Changes, Keys
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.lifetimes import KeyLifetimes
from flowsql.operators.touched import Touched
from flowsql.operators.waiting import ROWS, Waiting
from flowsql.state import Columns, KeyIndex, Rows

__all__ = ["GatheringOperator", "KeyedOperator", "KeyedRowsOperator"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class KeyedOperator(Operator):
    """An operator with one index of keys.

    Where it has a lifetime, keys are found by `_find`, every change of what is kept of one is told to
    `_write`, and a step ends with `_age`.

    Args:
        ttl: milliseconds after its last write for which a key is kept; 0 for ever.
    """

    _INDEX: ClassVar = "keys"

    def __init__(self, ttl: int = 0) -> None:
        self._lifetimes = KeyLifetimes(ttl) if ttl else None

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._index: KeyIndex = context.state[self._INDEX]
        if self._lifetimes is not None:
            self._lifetimes.open(self._index, context.state["lifetimes"])

    def _find(self, keys: Keys) -> tuple[Ints, Bools]:
        """`KeyIndex.ensure`, where a key that is over is a new one."""
        if self._lifetimes is None:
            return self._index.ensure(keys)
        return self._lifetimes.ensure(keys, self.context.clock, self._forget)

    def _write(self, slots: Ints) -> None:
        """What is kept of keys, all different, has changed."""
        if self._lifetimes is not None:
            self._lifetimes.write(slots, self.context.clock)

    def _living(self) -> Ints:
        """The slots of all keys that are not over; O(capacity)."""
        slots = self._index.live()
        if self._lifetimes is None or not len(slots):
            return slots
        return slots.take(self._lifetimes.lives(slots, self.context.clock).nonzero()[0])

    def _age(self) -> None:
        """End of the step: some of the keys that are over are forgotten."""
        if self._lifetimes is not None:
            slots = self._lifetimes.due(self.context.clock)
            if len(slots):
                self._forget(slots)

    def _forget(self, slots: Ints) -> None:
        """Let keys that are over go, and all that is kept of them; nothing is given."""
        self._index.free(slots)


class GatheringOperator(KeyedOperator):
    """Rows of the one port wait until there are enough of them to be looked up together.

    A subclass gives `_ingest`, which takes up rows, and `_net`, what the step comes to. Whatever
    else it does with what is known of its keys, as in `advance`, begins with `_gather`.

    Attributes of the running step, empty between steps: `_touched`, the slots that it changed.

    Args:
        rows: how many pay for a look-up.
        ttl: as of `KeyedOperator`.
    """

    def __init__(self, rows: int = ROWS, ttl: int = 0) -> None:
        super().__init__(ttl)
        self._waiting = Waiting(rows)
        self._touched = Touched()

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if self._waiting.add(changes):
            self._gather()
        return iter(())

    def _gather(self) -> None:
        """Take up the rows that wait."""
        changes = self._waiting.take()
        if changes is not None:
            self._ingest(changes)

    def _ingest(self, changes: Changes) -> None:
        """Take up rows, in order of arrival."""
        raise NotImplementedError

    def flush(self) -> Iterator[Changes]:
        self._gather()
        yield from self._net()
        self._touched.clear()
        self._age()

    def _net(self) -> Iterator[Changes]:
        """What the step comes to; all its rows have been taken up."""
        raise NotImplementedError


class KeyedRowsOperator(GatheringOperator):
    """Rows of a table `rows` behind the slots of the index, their numbers in its columns."""

    _COLUMNS: ClassVar = "keys_columns"

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._columns: Columns = context.state[self._COLUMNS]
        self._rows: Rows = context.state["rows"]

    def _leave(self, numbers: Ints) -> None:
        """Rows go whose numbers + 1 the columns held; 0 is none."""
        numbers = numbers.take(numbers.nonzero()[0])
        if len(numbers):
            self._rows.remove(numbers - 1)
