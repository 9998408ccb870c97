"""Computed columns: SELECT a + 1, UPPER(b) FROM t.

In → out: every row gives one row, kinds and marks stay.

Requires: any changelog; a column that the source did not send may be kept but not computed with.
Emits: what the input is. State: none. Cost: the expressions.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.expr import Projection
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent

__all__ = ["ProjectOperator"]


class ProjectOperator(Operator):
    """See the module.

    Args:
        projection: the compiled expressions.
        output: schema of the output.
        kept: output column → the input column it is, where it is one as it stands.
        reads: names of the columns that other expressions read.
    """

    def __init__(
        self,
        *,
        projection: Projection,
        output: pa.Schema,
        kept: dict[str, str],
        reads: frozenset[str],
    ) -> None:
        self._projection = projection
        self._output = output
        self._kept = kept
        self._reads = reads

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        arrays = self._projection(changes.batch, self.context.clock, changes.watermarks)
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
        unchanged = None
        if changes.unchanged is not None:
            require_sent(changes, self._reads, "an expression")
            sent = changes.unchanged
            unchanged = {new: sent[old] for new, old in self._kept.items() if old in sent} or None
        yield Changes(batch, changes.codes, unchanged, changes.marks)
