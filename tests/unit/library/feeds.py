"""Batches and changes of two BIGINT columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

import flowsql

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.int64())])


def rows(*pairs: tuple[int, int]) -> pa.RecordBatch:
    """Rows of (k, v)."""
    columns = [pa.array([p[i] for p in pairs], pa.int64()) for i in (0, 1)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def changes(*given: tuple[str, int, int]) -> flowsql.Changes:
    """Rows with their kinds."""
    codes = ["+I", "-U", "+U", "-D"]
    kinds = pa.array([codes.index(kind) for kind, _, _ in given], pa.int8())
    return flowsql.Changes(rows(*((k, v) for _, k, v in given)), kinds)


def shown(result: flowsql.Result) -> list[tuple[int | None, list[tuple[str, tuple[object, ...]]]]]:
    """Step and rows of every batch of changes."""
    return [(c.step, list(_lines(c))) for c in result.changes()]


def _lines(given: flowsql.Changes) -> Iterator[tuple[str, tuple[object, ...]]]:
    kinds: Iterable[int] = [0] * len(given) if given.kinds is None else given.kinds.to_pylist()
    columns = [column.to_pylist() for column in given.batch.columns]
    for kind, row in zip(kinds, zip(*columns, strict=True), strict=True):
        yield ["+I", "-U", "+U", "-D"][kind], row
