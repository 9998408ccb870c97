"""FROM_CHANGELOG: every row becomes the change that its code says.

    SELECT * FROM FROM_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op))

In → out: `+I INSERT 1 a, +I UPDATE_BEFORE 1 a, +I UPDATE_AFTER 1 b` → `+I 1 a, -U 1 a, +U 1 b`.

Requires: append. Emits: retract, or upsert by the partition's columns where the codes have no
UPDATE_BEFORE; rows in order, marks stay. A row whose code is NULL or unknown is an error, or is left
out. State: none. Cost: a look-up of each code.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import Changes
from flowsql.errors import DataError
from flowsql.operators.base import Operator

__all__ = ["FromChangelogOperator"]


class FromChangelogOperator(Operator):
    """See the module.

    Args:
        op: input column with the code.
        codes: code and kind.
        columns: input columns that are given, in order.
        skip: rows without a known code are left out.
        output: schema of the output.
    """

    def __init__(
        self,
        *,
        op: int,
        codes: tuple[tuple[str, int], ...],
        columns: tuple[int, ...],
        skip: bool,
        output: pa.Schema,
    ) -> None:
        self._op = op
        self._codes = pa.array([code for code, _ in codes], pa.string())
        self._kinds = np.array([kind for _, kind in codes], np.int8)
        self._columns = columns
        self._skip = skip
        self._output = output

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        told = changes.batch.column(self._op)
        found = pc.index_in(told, value_set=self._codes)
        batch, marks = changes.batch, changes.marks
        if found.null_count:
            known = found.is_valid().to_numpy(zero_copy_only=False)
            if not self._skip:
                raise self._unknown(told, int(np.argmin(known)))
            rows = known.nonzero()[0]
            if not len(rows):
                return
            batch = batch.take(pa.array(rows))
            marks = None if marks is None else marks.take(rows)
            found = found.drop_null()
        kinds = self._kinds.take(found.to_numpy())
        arrays = [batch.column(c) for c in self._columns]
        given = pa.RecordBatch.from_arrays(arrays, schema=self._output)
        yield Changes(given, kinds, None, marks)

    def _unknown(self, told: pa.Array, row: int) -> DataError:
        known = ", ".join(f'"{c}"' for c in self._codes.to_pylist())
        hint = "Map it with op_mapping => MAP[…], or leave such rows out with error_handling => 'SKIP'."
        code = told[row].as_py()
        if code is None:
            return DataError(
                "FROM_CHANGELOG received a NULL op code",
                detail="Every row of a changelog says which change it is.",
                hint="Leave such rows out with error_handling => 'SKIP' or a WHERE.",
            )
        return DataError(
            f'FROM_CHANGELOG received op code "{code}", which is not mapped',
            detail=f"Mapped are {known}.",
            hint=hint,
        )
