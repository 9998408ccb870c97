"""WHERE.

    SELECT * FROM t WHERE a > 3

In → out: `+I 1, -D 5, +I 7` → `-D 5, +I 7`.

Requires: any changelog; a column that the source did not send cannot be read.
Emits: what the input is. State: none. Cost: the condition, and a copy of the rows that pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.expr import Predicate
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent

__all__ = ["FilterOperator"]


class FilterOperator(Operator):
    """See the module.

    Args:
        predicate: the compiled condition.
        reads: names of the columns it reads.
    """

    def __init__(self, *, predicate: Predicate, reads: frozenset[str]) -> None:
        self._predicate = predicate
        self._reads = reads

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if changes.unchanged is not None:
            require_sent(changes, self._reads, "a condition")
        mask = self._predicate(changes.batch, self.context.clock, changes.watermarks)
        passing = int(np.count_nonzero(mask))
        if passing == len(mask):
            yield changes
        elif passing:
            if changes.codes is None and changes.marks is None and changes.unchanged is None:
                yield Changes(changes.batch.filter(pa.array(mask)))
            else:
                yield changes.filter(mask)
