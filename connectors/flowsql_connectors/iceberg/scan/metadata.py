"""Tables about a table: `` SELECT * FROM lake.shop.`orders$snapshots` ``; imports the client.

The rows are what pyiceberg's `table.inspect` gives, of the table as it is when they are read. Times
that the catalog notes are TIMESTAMP_LTZ, as in Flink; every column may be NULL.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table
from pyiceberg.types import (
    FixedType,
    IcebergType,
    ListType,
    MapType,
    NestedField,
    StructType,
    UUIDType,
)

from flowsql.changelog import Changes
from flowsql.connector import (
    JSON,
    ConnectorTable,
    ExternalColumn,
    ExternalTable,
    Piece,
    Poll,
    Reader,
    Source,
    Split,
)
from flowsql.errors import ConnectorError, nearest
from flowsql.types import DataType, LocalZonedTimestampType, arrow_type, type_of
from flowsql_connectors.iceberg.address import catalog_address, metadata_name, table_identifier
from flowsql_connectors.iceberg.catalogs import open_catalog
from flowsql_connectors.iceberg.scan.options import OF_A_SNAPSHOT
from flowsql_connectors.iceberg.scan.plan import chosen_snapshot
from flowsql_connectors.iceberg.telling import telling

__all__ = ["MetadataSource", "check_metadata_table", "described_metadata"]

_FORMAT: Final = 1
_SPLIT: Final = "metadata"
_MOST_ROWS: Final = 65_536


def described_metadata(table: Table, kind: str) -> ExternalTable:
    """The columns of the table that tells `kind` of another.

    Args:
        table: the other one.
        kind: one of `address.METADATA_TABLES`.
    """
    schema = _schema(_tellable(table), kind)
    return ExternalTable(tuple(ExternalColumn(n, t) for n, t in schema.items()))


def check_metadata_table(declared: ConnectorTable) -> None:
    """Refuse what does not fit the table that is there; raises ConnectorError."""
    base, kind = _loaded(declared)
    with _telling(declared):
        known = _schema(base, kind)
    for column in declared.schema.fields:
        if column.name not in known:
            near = nearest(column.name, known)
            raise ConnectorError(
                f'table "{declared.name}" has no column "{column.name}" in its catalog',
                hint=(f'Did you mean "{near}"? ' if near else "")
                + f"Its columns: {', '.join(known)}.",
            )
        if column.type.with_nullable(nullable=True) != known[column.name]:
            raise ConnectorError(
                f'column "{column.name}" of table "{declared.name}" is declared as '
                f"{column.type.with_nullable(nullable=True)}, and is {known[column.name]}",
                hint=f"Declare it as {known[column.name]}.",
            )


class MetadataSource(Source):
    """Its rows, once."""

    bounded = True

    def __init__(self, declared: ConnectorTable, position: JSON | None) -> None:
        check_metadata_table(declared)
        self._declared = declared
        self._over = position is not None and bool(position["over"])
        self._discovered = False

    def discover(self) -> Sequence[Split]:
        if self._over or self._discovered:
            return ()
        self._discovered = True
        return [Split(_SPLIT, (self._declared.name,))]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        del splits
        return _Reader(self._declared)

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del split, result
        self._over = True
        return ()

    def position(self) -> JSON:
        return {"format": _FORMAT, "connector": "iceberg", "over": self._over}


class _Reader(Reader):
    """Gives all rows at once: what is read later may differ. Position: none but the beginning."""

    def __init__(self, declared: ConnectorTable) -> None:
        self._declared = declared
        self._over = False

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        del splits

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        del max_rows, timeout
        if self._over:
            return None
        self._over = True
        rows = _rows(self._declared)
        name = self._declared.name
        pieces = [
            Piece(name, _SPLIT, Changes(batch))
            for batch in rows.to_batches(_MOST_ROWS)
            if len(batch)
        ]
        return Poll(tuple(pieces), finished={_SPLIT: {}})

    def position(self, split: str) -> JSON:
        del split
        return {"format": _FORMAT, "connector": "iceberg"}

    def close(self) -> None:
        """There is nothing open."""


def _telling(declared: ConnectorTable) -> Any:
    return telling(catalog_address(declared.options), None, table_identifier(declared))


def _loaded(declared: ConnectorTable) -> tuple[Table, str]:
    """The table that is told of, and what of it."""
    *space, name = table_identifier(declared)
    base, kind = metadata_name(name)
    assert kind is not None
    address = catalog_address(declared.options)
    catalog = open_catalog(address)
    with telling(address, catalog, (*space, base)):
        return _tellable(catalog.load_table((*space, base))), kind


def _rows(declared: ConnectorTable) -> pa.Table:
    base, kind = _loaded(declared)
    with _telling(declared):
        told = _told(base, kind, declared)
        columns = [
            _as(told[f.name], arrow_type(f.type))
            if f.name in told.column_names
            else pa.nulls(len(told), arrow_type(f.type))
            for f in declared.read_schema.fields
        ]
    return pa.table(columns, names=list(declared.read_schema.names))


def _told(table: Table, kind: str, declared: ConnectorTable) -> pa.Table:
    if kind not in OF_A_SNAPSHOT:
        return getattr(table.inspect, kind)()
    snapshot = chosen_snapshot(table, declared)
    if snapshot is None:
        return _without_rows(table).inspect.files().slice(0, 0)
    return getattr(table.inspect, kind)(snapshot)


def _schema(table: Table, kind: str) -> dict[str, DataType]:
    """The columns, which are those that a table without snapshots tells: no file is read for it."""
    if kind == "partitions":
        return _partition_columns(table)
    schema = getattr(_without_rows(table).inspect, kind)().schema
    return {field.name: _column_type(field.type) for field in schema}


def _without_rows(table: Table) -> Table:
    return _with(
        table,
        snapshots=[],
        snapshot_log=[],
        metadata_log=[],
        refs={},
        current_snapshot_id=None,
    )


def _tellable(table: Table) -> Table:
    """The table with bytes for UUIDs: Arrow makes no rows of UUIDs in a struct, where bounds stand."""
    schemas = [
        s.model_copy(update={"fields": tuple(map(_bytes_for_uuid, s.fields))})
        for s in table.metadata.schemas
    ]
    return _with(table, schemas=schemas)


def _bytes_for_uuid(field: NestedField) -> NestedField:
    return field.model_copy(update={"field_type": _type_without_uuid(field.field_type)})


def _type_without_uuid(kind: IcebergType) -> IcebergType:
    match kind:
        case UUIDType():
            return FixedType(16)
        case StructType(fields=fields):
            return StructType(*map(_bytes_for_uuid, fields))
        case ListType():
            element = _type_without_uuid(kind.element_type)
            return ListType(kind.element_id, element, kind.element_required)
        case MapType():
            key, value = map(_type_without_uuid, (kind.key_type, kind.value_type))
            return MapType(kind.key_id, key, kind.value_id, value, kind.value_required)
    return kind


def _with(table: Table, **changed: Any) -> Table:
    copied = copy.copy(table)
    copied.metadata = table.metadata.model_copy(update=changed)
    return copied


_COUNTS: Final = {
    "record_count": pa.int64(),
    "file_count": pa.int32(),
    "total_data_file_size_in_bytes": pa.int64(),
    "position_delete_record_count": pa.int64(),
    "position_delete_file_count": pa.int32(),
    "equality_delete_record_count": pa.int64(),
    "equality_delete_file_count": pa.int32(),
    "last_updated_at": pa.timestamp("ms"),
    "last_updated_snapshot_id": pa.int64(),
}


def _partition_columns(table: Table) -> dict[str, DataType]:
    """Of all ways in which the table was ever divided; the client tells those of one snapshot."""
    columns: dict[str, pa.DataType] = {}
    divided = table.metadata.specs_struct()
    if divided.fields:
        columns = {"partition": schema_to_pyarrow(divided), "spec_id": pa.int32()}
    return {n: _column_type(t) for n, t in {**columns, **_COUNTS}.items()}


def _column_type(kind: pa.DataType) -> DataType:
    if pa.types.is_timestamp(kind):
        return LocalZonedTimestampType(precision=6)
    return type_of(_stored(kind))


def _stored(kind: Any) -> pa.DataType:
    """The type without dictionaries."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _as(values: Any, kind: Any) -> Any:
    """The values as our columns hold them; fields of a struct by name, and NULL where there is none."""
    if isinstance(values, pa.ChunkedArray):
        return pa.chunked_array([_as(chunk, kind) for chunk in values.chunks], kind)
    if values.null_count == len(values):
        return pa.nulls(len(values), kind)
    if pa.types.is_struct(kind):
        there = {f.name: values.field(at) for at, f in enumerate(values.type)}
        fields = [
            _as(there[f.name], f.type) if f.name in there else pa.nulls(len(values), f.type)
            for f in kind
        ]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=values.is_null())
    if pa.types.is_timestamp(kind) and kind.tz is not None and values.type.tz is None:
        # As the catalog notes them: in UTC.
        values = values.cast(pa.timestamp(kind.unit)).cast(kind)
    # TIME has milliseconds here.
    return values.cast(kind, safe=not pa.types.is_time(kind))
