"""TO_CHANGELOG: every change becomes a row that says what it is.

    SELECT * FROM TO_CHANGELOG(input => TABLE t, op_mapping => MAP['INSERT', 'i', 'DELETE', 'd'])

In → out: `+I 1 a, -U 1 a, +U 1 b, -D 1 b` → `+I i 1 a, +I d 1 b`.

Requires: any changelog. Where the kinds of the input say only whether a row comes or goes (joins,
Top-N, set operations), the changes of a step are netted first, and a row of the unique key that goes
with one that comes is an update. Emits: append; marks stay where rows pass one by one.
State: none. Cost: a copy of the rows whose kind has a code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    INSERT,
    Changes,
    concat_changes,
    label,
    net,
    split_changes,
)
from flowsql.operators.base import Operator
from flowsql.operators.unchanged import require_sent
from flowsql.types import DataType

__all__ = ["ToChangelogOperator"]


class ToChangelogOperator(Operator):
    """See the module.

    Args:
        codes: the code of each kind by its number; None leaves its rows out.
        columns: input columns in the order of the output.
        at: place of the code in the output.
        nulled: output columns that a DELETE row does not have.
        net: kinds say only what comes and goes.
        key: with `net`, the unique key of the input, or None.
        types: of the input's columns.
        output: schema of the output.
    """

    def __init__(
        self,
        *,
        codes: tuple[str | None, ...],
        columns: tuple[int, ...],
        at: int,
        nulled: tuple[int, ...],
        net: bool,
        key: tuple[int, ...] | None,
        types: Sequence[DataType],
        output: pa.Schema,
    ) -> None:
        self._codes = pa.array(codes, pa.string())
        self._first = codes[INSERT]
        self._told = np.array([c is not None for c in codes])
        self._columns = columns
        self._at = at
        self._nulled = frozenset(nulled)
        self._net = net
        self._key = key
        self._types = tuple(types)
        self._output = output
        # Of the running step only:
        self._parts: list[Changes] = []

    def process(self, port: int, changes: Changes) -> Iterator[Changes]:
        del port
        if changes.unchanged is not None:
            require_sent(changes, changes.unchanged, "TO_CHANGELOG")
        if self._net:
            self._parts.append(changes)
        else:
            yield from self._rows(changes)

    def flush(self) -> Iterator[Changes]:
        changes = concat_changes(self._parts)
        self._parts = []
        netted = None if changes is None else net(changes, self._types)
        if netted is not None:
            for piece in split_changes(label(netted, self._key, self._types)):
                yield from self._rows(piece)

    def _rows(self, changes: Changes) -> Iterator[Changes]:
        kinds = changes.codes
        if kinds is None:
            if self._first is not None:
                code = pa.repeat(pa.scalar(self._first, pa.string()), len(changes))
                yield self._given(changes, code)
            return
        told = self._told.take(kinds)
        if not told.all():
            changes = changes.filter(told)
            kinds = kinds[told]
        if len(kinds):
            gone = (kinds == DELETE) if self._nulled else None
            yield self._given(changes, self._codes.take(pa.array(kinds)), gone)

    def _given(self, changes: Changes, code: pa.Array, gone: np.ndarray | None = None) -> Changes:
        arrays = [changes.batch.column(c) for c in self._columns]
        arrays.insert(self._at, code)
        if gone is not None and gone.any():
            # Taking row −1, which is none, gives NULL whatever the type.
            kept = pa.array(np.arange(len(gone)), mask=gone)
            for i in self._nulled:
                arrays[i] = arrays[i].take(kept)
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._output)
        return Changes(batch, None, None, changes.marks)
