"""UNION ALL.

    SELECT a FROM t UNION ALL SELECT a FROM u

In → out: every row of every port, in order of arrival, under the first input's column names.

Requires: inputs of equal types. Emits: append if all inputs do, else retract. State: none.
Cost: none a row.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent

__all__ = ["UnionOperator"]


class UnionOperator(Operator):
    """See the module.

    Args:
        output: schema of the output.
    """

    def __init__(self, *, output: pa.Schema) -> None:
        self._output = output

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if changes.unchanged is not None:
            require_sent(changes, changes.unchanged, "UNION ALL")
        batch = changes.batch
        if batch.schema != self._output:
            batch = pa.RecordBatch.from_arrays(batch.columns, schema=self._output)
        yield Changes(batch, changes.codes, None, changes.marks)
