"""The `parquet` format: whole files, read by column and in batches.

A column that a file does not have is NULL, as in Flink, so that a column can be added to a table.
A file is refused that has none of the columns, that lacks a NOT NULL column, or that lacks a column
while one that is not declared has the same name but for case and underscores. Other missing columns
of the first file are told at the start, with the nearest name in the file. There are no bad records: a value that does not fit its column fails the job, whatever
`scan.bad-record` says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowsql.config import Option, OptionType
from flowsql.errors import ConfigError, ConnectorError, nearest
from flowsql.expr.zones import local_from_utc, utc_from_local
from flowsql.formats.format import BulkReader, BulkWriter, Format, FormatTable, check_storable
from flowsql.formats.parquet_groups import group_runs, wanted_groups
from flowsql.formats.rows import check_nulls, needs_values
from flowsql.types import RowType, TimestampType, arrow_schema, arrow_type
from flowsql.types.common import holds

__all__ = ["ParquetFormat"]

# Bytes of a column read at once; a column of a row group may be much larger.
_BUFFER = 1 << 20


class ParquetFormat(Format):
    """Apache Parquet."""

    name = "parquet"
    extension = "parquet"
    bulk = True
    options = (
        Option(
            "parquet.compression",
            OptionType.ENUM,
            "How written pages are compressed.",
            default="snappy",
            choices=("none", "uncompressed", "snappy", "gzip", "zstd", "lz4", "brotli"),
        ),
        Option(
            "parquet.utc-timezone",
            OptionType.BOOLEAN,
            "TIMESTAMP columns hold local times as they are; false: they hold the instants at which "
            "`table.local-time-zone` shows them.",
            default=True,
            flink_default="false",
        ),
        Option(
            "parquet.write.int64.timestamp",
            OptionType.BOOLEAN,
            "Timestamps are written as 64-bit integers with their unit, never as INT96.",
            refused=True,
        ),
        Option(
            "parquet.timestamp.time.unit",
            OptionType.STRING,
            "A TIMESTAMP(p) is written in microseconds, in nanoseconds where p is above 6.",
            refused=True,
        ),
    )

    def check(self, table: FormatTable) -> None:
        check_storable(self.name, table.schema)
        if table.options["parquet.utc-timezone"]:
            return
        for field in table.schema.fields:
            if not isinstance(field.type, TimestampType) and holds(field.type, TimestampType):
                raise ConfigError(
                    f'format "parquet" cannot shift the TIMESTAMP within column "{field.name}" to a '
                    "time zone",
                    hint="Leave 'parquet.utc-timezone' = 'false' out, or make it a column of its "
                    "own.",
                )

    def doubts(self, path: str, table: FormatTable) -> Sequence[str]:
        with contextlib.closing(_open(path)) as file:
            held = file.schema_arrow.names
        strangers = [c for c in held if c not in table.schema.names]
        told = []
        for name in table.columns:
            if name not in held:
                near = nearest(name, strangers)
                told.append(
                    f'"{path}" has no column "{name}": it is NULL there'
                    + (f'; the file has "{near}"' if near else "")
                )
        return told

    def reader(self, path: str, table: FormatTable) -> BulkReader:
        return _ParquetReader(path, table)

    def writer(self, target: BinaryIO | Any, table: FormatTable) -> BulkWriter:
        return _ParquetWriter(target, table)


def _open(path: str, unit: str = "us") -> pq.ParquetFile:
    """Times of twelve bytes (INT96), as Flink writes them, are read in `unit`."""
    try:
        # Not mapped: a file that is cut short under a map ends the process.
        return pq.ParquetFile(path, buffer_size=_BUFFER, coerce_int96_timestamp_unit=unit)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConnectorError(
            f'"{path}" cannot be read as Parquet',
            detail=_sentence(error),
            hint="Only complete files may be in the folder: write them under a name that "
            'begins with "." or "_" and rename them.',
        ) from None


class _ParquetReader(BulkReader):
    def __init__(self, path: str, table: FormatTable) -> None:
        self._schema = arrow_schema(table.read_schema)
        fine = any(_is_fine(f.type) for f in self._schema)
        self._file = _open(path, "ns" if fine else "us")
        self._path = path
        self._zone = None if table.options["parquet.utc-timezone"] else table.local_time_zone
        self._shifted = {
            f.name for f in table.read_schema.fields if isinstance(f.type, TimestampType)
        }
        self._fields = table.read_schema.fields
        self._needed = [i for i, f in enumerate(self._fields) if needs_values(f.type)]
        held = self._file.schema_arrow.names
        self._columns = [c for c in table.columns if c in held]
        _check_columns(path, table, held)
        if fine:
            _check_centuries(path, self._file, self._columns)
        self.rows = self._file.metadata.num_rows
        self._groups = wanted_groups(self._file, table.wanted, partial(self._read_as, table.schema))

    def _read_as(self, schema: RowType, column: str) -> pa.DataType | None:
        kind = schema.types[schema.index(column)]
        shifted = self._zone is not None and isinstance(kind, TimestampType)
        return None if shifted else arrow_type(kind)

    def batches(self, row: int, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        wanted = set(self._groups)
        for start, groups in group_runs(self._file, row, lambda group, *_: group in wanted):
            at = start
            found = self._file.iter_batches(
                size, row_groups=groups, columns=self._columns, use_threads=False
            )
            try:
                for batch in found:
                    skipped = min(max(row - at, 0), len(batch))
                    if skipped < len(batch):
                        yield at + skipped, self._typed(batch.slice(skipped))
                    at += len(batch)
            except (pa.ArrowInvalid, OSError) as error:
                raise ConnectorError(
                    f'"{self._path}" is damaged', detail=_sentence(error)
                ) from None

    def _typed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.schema.equals(self._schema) and self._zone is None and not self._needed:
            return batch
        columns = []
        for field in self._schema:
            if field.name not in self._columns:
                columns.append(pa.nulls(len(batch), field.type))
                continue
            column = batch.column(field.name)
            if self._zone is not None and field.name in self._shifted:
                column = local_from_utc(
                    column.cast(pa.timestamp(column.type.unit, "UTC")), self._zone
                )
            if column.type != field.type:
                column = self._cast(column, field)
            columns.append(column)
        return self._whole(columns)

    def _whole(self, columns: list[pa.Array]) -> pa.RecordBatch:
        for i in self._needed:
            check_nulls(columns[i], self._fields[i], self._path)
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _cast(self, column: pa.Array, field: pa.Field) -> pa.Array:
        try:
            if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type):
                # Finer digits than the type has are cut off.
                if not _widens(column.type, field.type):
                    column = pc.floor_temporal(column, unit=_UNITS[field.type.unit])
                return pc.cast(column, field.type)
            return pc.cast(column, field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConnectorError(
                f'column "{field.name}" of "{self._path}" cannot be read as {field.type}',
                detail=f"The file holds {column.type}. {_sentence(error)}",
                hint="Declare the column with the type that the file holds, and CAST in the query.",
            ) from None

    def close(self) -> None:
        self._file.close()


class _ParquetWriter(BulkWriter):
    def __init__(self, target: Any, table: FormatTable) -> None:
        self._schema = arrow_schema(table.schema)
        self._zone = None if table.options["parquet.utc-timezone"] else table.local_time_zone
        self._shifted = [
            i for i, f in enumerate(table.schema.fields) if isinstance(f.type, TimestampType)
        ]
        compression = table.options["parquet.compression"]
        self._writer = pq.ParquetWriter(
            target,
            self._schema,
            compression="none" if compression == "uncompressed" else compression,
            store_schema=False,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        columns = list(batch.columns)
        if self._zone is not None:
            for i in self._shifted:
                # Flink goes by `java.sql.Timestamp`: of a time that comes twice it is the second.
                instant = utc_from_local(columns[i], self._zone, later=True)
                columns[i] = instant.cast(columns[i].type)
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _check_columns(path: str, table: FormatTable, held: Sequence[str]) -> None:
    """Refuses a file that is not the table's, as far as its columns show it.

    Raises:
        ConnectorError: it has none of the declared columns, lacks one that is NOT NULL, or lacks
            one while another that is not declared is the same but for case or underscores.
    """
    declared = table.schema.names
    strangers = [c for c in held if c not in declared]
    if not set(held) & set(declared):
        near = nearest(declared[0], held)
        raise ConnectorError(
            f'"{path}" has none of the columns of the table',
            detail=f"Its columns are: {', '.join(sorted(held))}.",
            hint=f'Names are case-sensitive; did you mean "{near}"?' if near else None,
        )
    spelt = {_letters(c): c for c in strangers}
    for field in table.read_schema.fields:
        if field.name in held:
            continue
        near = spelt.get(_letters(field.name))
        if near is None and field.type.nullable:
            continue
        required = "" if field.type.nullable else ", which is declared NOT NULL"
        hint = "Declare the column without NOT NULL: it is NULL where a file lacks it."
        if near is not None:
            hint = (
                f'Names are case-sensitive; did you mean "{near}"? If "{near}" is another column, '
                "declare it as well."
            )
        raise ConnectorError(
            f'"{path}" has no column "{field.name}"{required}',
            detail=f"Its columns are: {', '.join(sorted(held))}.",
            hint=hint,
        )


def _is_fine(kind: pa.DataType) -> bool:
    """Whether something of the type has nanoseconds."""
    if pa.types.is_timestamp(kind):
        return bool(kind.unit == "ns")
    return any(_is_fine(kind.field(i).type) for i in range(kind.num_fields))


def _check_centuries(path: str, file: pq.ParquetFile, read: Sequence[str]) -> None:
    """Refuse times of twelve bytes that nanoseconds cannot hold: they would silently be others.

    Raises:
        ConnectorError: there is one.
    """
    leaves = [file.schema.column(i) for i in range(file.metadata.num_columns)]
    held = {x.path.split(".")[0] for x in leaves if x.physical_type == "INT96"}
    twelve = held.intersection(read)
    if not twelve:
        return
    with contextlib.closing(_open(path)) as coarse:
        for batch in coarse.iter_batches(columns=sorted(twelve), use_threads=False):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    pc.cast(column, _with_nanoseconds(column.type))
                except pa.ArrowInvalid:
                    raise ConnectorError(
                        f'column "{name}" of "{path}" holds a time before 1677 or after 2262',
                        hint="Declare TIMESTAMP(6) instead of TIMESTAMP(9), in every column of the "
                        "table: nanoseconds do not reach so far.",
                    ) from None


def _with_nanoseconds(kind: Any) -> pa.DataType:
    """The same type, with times as they would be read."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct([x.with_type(_with_nanoseconds(x.type)) for x in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_nanoseconds(kind.key_type), _with_nanoseconds(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_with_nanoseconds(kind.value_type))
    return cast("pa.DataType", kind)


def _letters(name: str) -> str:
    """What two spellings of one name have in common."""
    return "".join(c for c in name.casefold() if c.isalnum())


_UNITS = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}


def _widens(have: pa.DataType, want: pa.DataType) -> bool:
    units = list(_UNITS)
    return units.index(have.unit) <= units.index(want.unit)


def _sentence(error: Exception) -> str:
    text = str(error).split("\n", maxsplit=1)[0].strip()
    return text if text.endswith(".") else f"{text}."
