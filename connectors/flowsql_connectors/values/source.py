"""Reads the rows of option "data"."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog import DELETE, INSERT, MAX_ROWS, UPDATE_AFTER, UPDATE_BEFORE, Changes
from flowsql.connector import JSON, ConnectorTable, Piece, Poll, Reader, Source, Split
from flowsql.errors import ConfigError, ConnectorError, nearest
from flowsql.formats import JsonColumns, RawNumber, TextStyle, needs_values, wrong_nulls
from flowsql.types import Field, arrow_schema

__all__ = ["ValuesSource", "read_rows"]

_FORMAT = 1
_KINDS = {"+I": INSERT, "-U": UPDATE_BEFORE, "+U": UPDATE_AFTER, "-D": DELETE}
_ALLOWED = {
    "i": {"+I"},
    "i,ub,ua,d": {"+I", "-U", "+U", "-D"},
    "i,ua,d": {"+I", "+U", "-D"},
}


def read_rows(table: ConnectorTable) -> Changes:
    """All rows of the table, with the columns it is to read.

    Raises:
        ConfigError: a line that is no row of the table.
    """
    rows: list[dict[str, Any]] = []
    kinds: list[int] = []
    lines: list[int] = []
    for number, line in enumerate(table.options["data"].split("\n"), 1):
        if line.strip():
            kind, row = _row(table, number, line)
            rows.append(row)
            kinds.append(kind)
            lines.append(number)
    columns = JsonColumns(TextStyle())
    arrays = []
    for field in table.read_schema.fields:
        values = [row.get(field.name) for row in rows]
        array, bad = columns.column(values, field.type)
        if bad is not None:
            wrong = int(np.flatnonzero(bad)[0])
            raise _error(
                table,
                lines[wrong],
                f'column "{field.name}": {json.dumps(values[wrong])} cannot be read as {field.type}',
            )
        _check_nulls(table, field, array, kinds, lines)
        arrays.append(array)
    schema = arrow_schema(table.read_schema)
    # The number of rows is known even where no column is read.
    arrays.append(pa.nulls(len(rows)))
    batch = pa.RecordBatch.from_arrays(arrays, names=[*schema.names, ""]).select(schema.names)
    codes = np.array(kinds, np.int8)
    return Changes(batch, codes if codes.any() else None)


def _check_nulls(
    table: ConnectorTable, field: Field, array: pa.Array, kinds: list[int], lines: list[int]
) -> None:
    """Refuses a NULL in a NOT NULL column; an upsert changelog's delete needs only its key."""
    wrong = wrong_nulls(array, field.type) if needs_values(field.type) else None
    if wrong is None:
        return
    if table.options["changelog-mode"] == "i,ua,d" and field.name not in table.primary_key:
        wrong &= np.array(kinds) != DELETE
    if wrong.any():
        within = "" if not field.type.nullable else "something within "
        key = " in the primary key" if field.name in table.primary_key else ""
        raise _error(
            table,
            lines[int(np.flatnonzero(wrong)[0])],
            f'{within}column "{field.name}" is NULL, but declared{key or " NOT NULL"}',
        )


def _row(table: ConnectorTable, number: int, line: str) -> tuple[int, dict[str, Any]]:
    try:
        value = json.loads(line, parse_float=RawNumber)
    except ValueError as error:
        raise _error(table, number, f"it is not valid JSON: {error}") from None
    names = table.schema.names
    if isinstance(value, dict):
        for member in value:
            if member not in names:
                near = nearest(member, names)
                meant = f'; did you mean "{near}"?' if near else ""
                raise _error(table, number, f'there is no column "{member}"{meant}')
        return INSERT, value
    if not isinstance(value, list):
        raise _error(table, number, "it is neither a list nor an object")
    kind = "+I"
    if len(value) == len(names) + 1 and value[0] in _KINDS:
        kind = value.pop(0)
    if len(value) != len(names):
        raise _error(table, number, f"it has {len(value)} values for {len(names)} columns")
    mode = table.options["changelog-mode"]
    if kind not in _ALLOWED[mode]:
        raise _error(table, number, f"kind {kind} does not occur in changelog mode {mode.upper()}")
    return _KINDS[kind], dict(zip(names, value, strict=True))


def _error(table: ConnectorTable, number: int, reason: str) -> ConfigError:
    return ConfigError(
        f'line {number} of option "data" of table "{table.name}" is no row of it',
        detail=f"{reason[0].upper()}{reason[1:]}{'' if reason.endswith('?') else '.'}",
        hint='Write one JSON list a line: [1, "a"] or ["+U", 1, "a"].',
        option="data",
    )


class ValuesSource(Source):
    """One split with all rows."""

    def __init__(self, table: ConnectorTable, position: JSON | None) -> None:
        self._table = table
        self._finished = position is not None and bool(position["finished"])
        self.bounded = table.options["bounded"]

    def discover(self) -> Sequence[Split]:
        return () if self._finished else (Split("data", (self._table.name,)),)

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = _ValuesReader(self._table, bounded=self.bounded)
        reader.assign(splits)
        return reader

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del split, result
        self._finished = True
        return ()

    def position(self) -> JSON:
        return {"format": _FORMAT, "connector": "values", "finished": self._finished}


class _ValuesReader(Reader):
    """Position: the number of rows read."""

    def __init__(self, table: ConnectorTable, *, bounded: bool) -> None:
        self._table = table
        self._bounded = bounded
        self._rows = read_rows(table)
        self._row = 0
        self._done = True
        self._idle = threading.Event()

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            assert split.id == "data"
            self._done = False
            if position is None:
                continue
            if (position.get("connector"), position.get("format")) != ("values", _FORMAT):
                raise ConnectorError(
                    f'the stored position of table "{self._table.name}" cannot be read',
                    detail=f"It was written by {position.get('connector')!r}, "
                    f"format {position.get('format')!r}.",
                )
            self._row = position["row"]

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        if self._done or (self._row >= len(self._rows) and not self._bounded):
            self._idle.wait(timeout)
            return None
        changes = self._rows.slice(self._row, min(max_rows, MAX_ROWS, len(self._rows) - self._row))
        self._row += len(changes)
        pieces = (Piece(self._table.name, "data", changes),) if len(changes) else ()
        if self._row < len(self._rows) or not self._bounded:
            return Poll(pieces)
        self._done = True
        return Poll(pieces, finished={"data": {}})

    def position(self, split: str) -> JSON:
        del split
        return {"format": _FORMAT, "connector": "values", "row": self._row}
