"""LIMIT, OFFSET and FETCH without ORDER BY, over rows that only come.

    SELECT * FROM t LIMIT 10 OFFSET 2

In → out: the rows that arrive as number `offset` + 1 to `offset` + `fetch`, at once.

Requires: append. Emits: append. State: `all` (one key), `count` (how many rows came, up to the last
that is given). Cost: none a row that is not given.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowsql.changelog import Changes, Keys
from flowsql.operators.base import Operator, OperatorContext
from flowsql.state import Columns, KeyIndex

__all__ = ["LimitOperator"]


class LimitOperator(Operator):
    """See the module.

    Args:
        offset: rows left out first.
        fetch: rows given then; None for all.
    """

    def __init__(self, *, offset: int, fetch: int | None) -> None:
        self._offset = offset
        self._end = None if fetch is None else offset + fetch

    def open(self, context: OperatorContext) -> None:
        super().open(context)
        self._all: KeyIndex = context.state["all"]
        self._columns: Columns = context.state["count"]

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        slots, _ = self._all.ensure(Keys.of([], (), 1))
        came = int(self._columns.read(slots, "rows")[0])
        last = self._offset if self._end is None else self._end
        if came < last:
            self._columns.write(slots, "rows", min(came + len(changes), last))
        start = max(self._offset - came, 0)
        stop = len(changes) if self._end is None else min(self._end - came, len(changes))
        if start == 0 and stop == len(changes):
            yield changes
        elif start < stop:
            yield changes.slice(start, stop - start)
