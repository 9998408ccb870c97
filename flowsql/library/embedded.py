"""Inputs that the host process hands in: `Session.from_arrow` and `Session.from_changes`.

Both are tables of the connector `embedded`, which belongs to one session and is not found through
entry points. Positions are ordinals: of a batch, or of an item. An input that can be iterated
again is replayable after a restore; an iterator that was begun is not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import DELETE, INSERT, MAX_ROWS, ChangelogMode, Changes, split_changes
from flowsql.connector import (
    JSON,
    Connector,
    ConnectorContext,
    ConnectorTable,
    Piece,
    Poll,
    Reader,
    Role,
    Source,
    Split,
)
from flowsql.errors import ConfigError, ConnectorError, DataError
from flowsql.expr.bitmaps import stored
from flowsql.expr.faults import Fault
from flowsql.formats import needs_values, wrong_nulls
from flowsql.library.variants import variants_of_json
from flowsql.types import BitmapType, LocalZonedTimestampType, RowType, TimestampType, arrow_schema
from flowsql.types.common import holds_variant

__all__ = ["Batches", "EmbeddedConnector", "EmbeddedInput", "Item", "Watermark"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Watermark:
    """An item of `from_changes`: event time has reached `timestamp` (milliseconds since 1970)."""

    timestamp: int


Item: TypeAlias = Changes | pa.RecordBatch | Watermark | None


@dataclass(frozen=True)
class EmbeddedInput:
    """One embedded table.

    Attributes:
        items: what is read, one item a step.
        mode: what the items carry.
        stepwise: items of equal ordinal, over all stepwise tables, form one step.
    """

    items: Iterable[Item]
    mode: ChangelogMode
    stepwise: bool


class EmbeddedConnector(Connector):
    """The tables of one session that live in the host process."""

    name: ClassVar[str] = "embedded"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN})
    self_contained: ClassVar[bool] = True

    def __init__(self) -> None:
        self.inputs: dict[str, EmbeddedInput] = {}

    def taken_now(self) -> EmbeddedConnector:
        """One that keeps the inputs of this moment, whatever is declared later."""
        taken = EmbeddedConnector()
        taken.inputs = dict(self.inputs)
        return taken

    def check(self, table: ConnectorTable, role: Role) -> None:
        super().check(table, role)
        self._given(table)

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        return self._given(table).mode

    def _given(self, table: ConnectorTable) -> EmbeddedInput:
        """The input of a table, whose name may have the digest of a hint behind it."""
        for name in (table.name, table.name.rpartition("#")[0]):
            if name in self.inputs:
                return self.inputs[name]
        raise ConfigError(
            f'table "{table.name}" holds no data',
            detail='A table of connector "embedded" is given its rows by the program.',
            hint="Session.from_arrow and Session.from_changes make such tables; LIKE, a catalog of "
            "files or a hand-written CREATE TABLE cannot.",
        )

    def bounded(self, table: ConnectorTable) -> bool:
        del table
        return True

    def group(self, table: ConnectorTable) -> Hashable:
        return None if self._given(table).stepwise else table.name

    def open_source(
        self, tables: Sequence[ConnectorTable], position: JSON | None, context: ConnectorContext
    ) -> Source:
        del position, context
        return _EmbeddedSource({t.name: (t, self._given(t)) for t in tables})


class _EmbeddedSource(Source):
    bounded = True
    # An iterator of the host process may wait for as long as it likes, and holds nothing of ours.
    patience = 0.1

    def __init__(self, tables: Mapping[str, tuple[ConnectorTable, EmbeddedInput]]) -> None:
        self._tables = tables

    def discover(self) -> Sequence[Split]:
        return [Split(name, (name,)) for name in self._tables]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        return _EmbeddedReader(self._tables, splits)


class _EmbeddedReader(Reader):
    """Takes one item from every open table a poll."""

    def __init__(
        self,
        tables: Mapping[str, tuple[ConnectorTable, EmbeddedInput]],
        splits: Sequence[tuple[Split, JSON | None]],
    ) -> None:
        self._tables = tables
        self._iterators: dict[str, Iterator[Item]] = {}
        self._ordinals: dict[str, int] = {}
        self.assign(splits)

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            start = _ordinal(split.id, position)
            items = self._tables[split.id][1].items
            iterator = iter(items)
            if start and iterator is items:
                raise ConnectorError(
                    f'table "{split.id}" cannot be read again from item {start}',
                    detail="Its input is an iterator, which is used up as it is read.",
                    hint="Give a list, or an object whose __iter__ starts anew.",
                )
            for _ in range(start):
                next(iterator, None)
            self._iterators[split.id] = iterator
            self._ordinals[split.id] = start

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        del max_rows, timeout
        if not self._iterators:
            return None
        pieces: list[Piece] = []
        watermarks: dict[str, int] = {}
        finished: dict[str, JSON] = {}
        stepwise = False
        for name in list(self._iterators):
            table, given = self._tables[name]
            stepwise |= given.stepwise
            try:
                item = next(self._iterators[name])
            except StopIteration:
                del self._iterators[name]
                finished[name] = {}
                continue
            except Exception as error:
                raise ConnectorError(
                    f'item {self._ordinals[name]} of table "{name}" cannot be had: '
                    f"{type(error).__name__}: {error}",
                    detail="Its iterable raised this.",
                ) from error
            self._ordinals[name] += 1
            if isinstance(item, Watermark):
                watermarks[name] = item.timestamp
            elif item is not None and not isinstance(item, Changes | pa.RecordBatch):
                raise DataError(
                    f'item {self._ordinals[name] - 1} of table "{name}" is a {type(item).__name__}',
                    hint="An item is Changes, a pyarrow.RecordBatch, a flowsql.Watermark or None.",
                )
            elif item is not None:
                changes = _conform(table, item, self._ordinals[name] - 1)
                _check_nulls(table, changes, given.mode, self._ordinals[name] - 1)
                pieces += [Piece(name, name, part) for part in split_changes(changes)]
        return Poll(tuple(pieces), finished=finished, ends_step=stepwise, watermarks=watermarks)

    def position(self, split: str) -> JSON:
        return {"format": _FORMAT, "connector": "embedded", "ordinal": self._ordinals[split]}


def _ordinal(name: str, position: JSON | None) -> int:
    if position is None:
        return 0
    if position.get("connector") != "embedded" or position.get("format") != _FORMAT:
        raise ConnectorError(f'table "{name}" cannot start at position {position}')
    return int(position["ordinal"])


def _conform(table: ConnectorTable, item: Changes | pa.RecordBatch, ordinal: int) -> Changes:
    """The item with the columns that are read, in our Arrow types; raises DataError."""
    changes = item if isinstance(item, Changes) else Changes(item)
    if changes.codes is not None:
        _check_kinds(changes.codes, table.name, ordinal)
    read: RowType = table.read_schema
    wanted = arrow_schema(read)
    columns = []
    for field in wanted:
        index = changes.batch.schema.get_field_index(field.name)
        if index < 0:
            raise DataError(
                f'item {ordinal} of table "{table.name}" has no column "{field.name}"',
                detail=f"Its columns are {', '.join(changes.batch.schema.names)}.",
            )
        column = changes.batch.column(index)
        kind = read.fields[read.index(field.name)].type
        if holds_variant(kind):
            where = f'column "{field.name}" of item {ordinal} of table "{table.name}"'
            column = variants_of_json(column, kind, where)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                raise DataError(
                    f'column "{field.name}" of item {ordinal} of table "{table.name}" '
                    f"cannot be read as {kind}: {error}"
                ) from None
        if isinstance(kind, BitmapType):
            column = _stored_bitmaps(column, field.name, table.name, ordinal)
        if isinstance(kind, TimestampType | LocalZonedTimestampType) and kind.precision <= 3:
            column = _whole_milliseconds(column)
        columns.append(column)
    return changes.with_batch(pa.RecordBatch.from_arrays(columns, schema=wanted))


def _check_nulls(
    table: ConnectorTable, changes: Changes, mode: ChangelogMode, ordinal: int
) -> None:
    """Raises DataError for a NULL in a NOT NULL column; a deletion by key needs only its key."""
    for column, field in zip(changes.batch.columns, table.read_schema.fields, strict=True):
        wrong = wrong_nulls(column, field.type) if needs_values(field.type) else None
        if wrong is None:
            continue
        if mode is ChangelogMode.UPSERT and field.name not in table.primary_key:
            wrong &= changes.signs > 0
        if changes.unchanged is not None and field.name in changes.unchanged:
            wrong &= ~changes.unchanged[field.name]
        if wrong.any():
            within = "" if not field.type.nullable else "something within "
            raise DataError(
                f'{within}column "{field.name}" of item {ordinal} of table "{table.name}" is NULL '
                f"at row {int(wrong.argmax())}, and declared NOT NULL",
                hint="Fill it, or let the schema's field be nullable.",
            )


def _stored_bitmaps(column: pa.Array, name: str, table: str, ordinal: int) -> pa.Array:
    """Bitmaps as any Roaring library writes them, in the one form that is stored."""
    try:
        return stored(column)
    except Fault as fault:
        raise DataError(
            f'column "{name}" of item {ordinal} of table "{table}": {fault.message}',
            hint=fault.hint,
        ) from None


def _check_kinds(codes: npt.NDArray[np.int8], table: str, ordinal: int) -> None:
    """Raises DataError where a row's kind is none."""
    wrong = np.flatnonzero((codes < INSERT) | (codes > DELETE))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f'item {ordinal} of table "{table}" has the kind {codes[row]} at row {row}',
            hint="Kinds are 0 (+I), 1 (-U), 2 (+U) and 3 (-D).",
        )


def _whole_milliseconds(column: pa.Array) -> pa.Array:
    """A timestamp column cut to the milliseconds that its Flink type has."""
    floored = pc.floor_temporal(column, unit="millisecond")
    return column if floored.equals(column) else floored


class Batches:
    """A table's batches, as items; can be iterated again."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(b for b in self._table.to_batches(max_chunksize=MAX_ROWS) if b.num_rows)
