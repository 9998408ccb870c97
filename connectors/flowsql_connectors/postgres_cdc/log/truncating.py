"""TRUNCATE: which tables of the job lose all their rows, and where in a batch of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.decode.messages import LogBatch, Truncate
from flowsql_connectors.postgres_cdc.rows import RowShape
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.snapshot.visibility import ChunkedTable

__all__ = ["emptied_at"]


class Truncated(Protocol):
    """What is known of a table of the server, see `changing.LogTable`."""

    source: ServerTable
    shapes: list[RowShape]
    chunks: ChunkedTable | None


def emptied_at(
    batch: LogBatch, tables: Mapping[int, Truncated], held: Collection[str], floor: int
) -> dict[str, list[int]]:
    """Full name of a table of the job → ordinals at which all its rows are gone, rising.

    Args:
        batch: of the log.
        tables: of the server, by oid.
        held: the tables whose rows the engine holds and can take back.
        floor: what is not above this ordinal was made before.

    Raises:
        ConnectorError: rows are gone that cannot be taken back, of a table that does not ignore it.
    """
    found: dict[str, list[int]] = {}
    for truncate in batch.truncates:
        if truncate.ordinal <= floor:
            continue
        for name, at_once in _tables_of_job(batch, truncate, tables).items():
            shape, source, why = at_once
            if why is None and name in held:
                found.setdefault(name, []).append(truncate.ordinal)
            elif shape.table.options["scan.truncate"] == "fail":
                raise _truncated(shape, source, why)
    return found


def _tables_of_job(
    batch: LogBatch, truncate: Truncate, tables: Mapping[int, Truncated]
) -> dict[str, tuple[RowShape, ServerTable, str | None]]:
    """What TRUNCATE does to tables of the job: one of its sources, and why not all rows are gone."""
    xid = int(batch.transactions.xid[truncate.transaction])
    gone: dict[str, list[tuple[RowShape, Truncated]]] = {}
    for relation in truncate.relations:
        table = tables.get(relation.oid)
        if table is None or _saw(table.chunks, xid) == "all":
            continue
        for shape in table.shapes:
            gone.setdefault(shape.table.name, []).append((shape, table))
    return {name: _whole(name, parts, tables, xid) for name, parts in gone.items()}


def _whole(
    name: str,
    parts: Sequence[tuple[RowShape, Truncated]],
    tables: Mapping[int, Truncated],
    xid: int,
) -> tuple[RowShape, ServerTable, str | None]:
    shape, table = parts[0]
    every = sum(any(s.table.name == name for s in t.shapes) for t in tables.values())
    why = None
    if len(parts) < every:
        why = f'Table "{name}" has rows of {every - len(parts)} more tables, which stay.'
    elif any(_saw(t.chunks, xid) == "some" for _, t in parts):
        why = "A part of its rows had been read before that, another part behind it."
    return shape, table.source, why


def _saw(chunks: ChunkedTable | None, xid: int) -> str:
    """Which chunks hold what the transaction did: `all`, `some` or `none`."""
    if chunks is None:
        return "none"
    every = np.arange(len(chunks.snapshots))
    new = chunks.new(every, np.full(len(every), xid, np.uint32))
    return "none" if new.all() else "some" if new.any() else "all"


def _truncated(shape: RowShape, source: ServerTable, why: str | None) -> ConnectorError:
    name = shape.table.name
    return ConnectorError(
        f'table "{source}" of the server was truncated',
        detail=why or "TRUNCATE does not tell which rows are gone.",
        hint="Begin anew with --fresh; or set 'scan.truncate' = 'ignore' for"
        f' table "{name}" to go on with the rows that were there'
        + (
            "; or declare a PRIMARY KEY and 'changelog-mode' = 'upsert', with which queries take"
            " back the rows."
            if why is None and shape.table.options["changelog-mode"] != "upsert"
            else "."
        ),
        final=True,
    )
