"""Rows in several groups: SELECT a, COUNT(*) FROM t GROUP BY GROUPING SETS ((a), ()).

In → out: every row gives one row for each projection, one projection after the other; kinds and
marks stay. What follows groups by the number of the projection too, so that rows of one group keep
their order.

Requires: any changelog in which all columns were sent.
Emits: what the input is. State: none. Cost: the projections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.expr import Projection
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent

__all__ = ["ExpandOperator"]


class ExpandOperator(Operator):
    """See the module.

    Args:
        projections: the compiled projections.
        output: schema of the output.
    """

    def __init__(self, *, projections: Sequence[Projection], output: pa.Schema) -> None:
        self._projections = tuple(projections)
        self._output = output

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if changes.unchanged is not None:
            require_sent(changes, changes.unchanged, "GROUPING SETS")
        for projection in self._projections:
            arrays = projection(changes.batch, self.context.clock)
            batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
            yield Changes(batch, changes.codes, None, changes.marks)
