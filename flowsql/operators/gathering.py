"""What operators do alike that look rows up by key: gather a step's rows, then take them together.

`GatheringOperator` is for those with one index of keys, `KeyedRowsOperator` for those of them that
store rows behind its slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from flowsql.changelog import Changes
from flowsql.operators.base import Operator, OperatorContext
from flowsql.operators.touched import Touched
from flowsql.operators.waiting import ROWS, Waiting
from flowsql.state import Columns, KeyIndex, Rows

__all__ = ["GatheringOperator", "KeyedRowsOperator"]


class GatheringOperator(Operator):
    """Rows of the one port wait until there are enough of them to be looked up together.

    A subclass gives `_ingest`, which takes up rows, and `_net`, what the step comes to. Whatever
    else it does with what is known of its keys, as in `advance`, begins with `_gather`.

    Attributes of the running step, empty between steps: `_touched`, the slots that it changed.

    Args:
        rows: how many pay for a look-up.
    """

    _INDEX: ClassVar = "keys"

    def __init__(self, rows: int = ROWS) -> None:
        self._waiting = Waiting(rows)
        self._touched = Touched()

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._index: KeyIndex = context.state[self._INDEX]

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
