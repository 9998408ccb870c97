"""The rows of one data file, in batches: columns by their field ids, deleted rows left out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _get_column_projection_values
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata

from flowsql.connector import ConnectorTable, Predicate, columns_of_predicate
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql.formats import check_nulls, group_runs, needs_values, wanted_groups
from flowsql.types import (
    LocalZonedTimestampType,
    RowType,
    TimestampType,
    TimeType,
    arrow_schema,
    arrow_type,
)
from flowsql_connectors.iceberg.scan.columns import HeldColumns, wanted_columns
from flowsql_connectors.iceberg.scan.deletes import Positions
from flowsql_connectors.iceberg.scan.equality import EqualDeletes
from flowsql_connectors.iceberg.storage import PARQUET

__all__ = ["FileRows", "RowForm", "gone", "reading"]

_BUFFER: Final = 1 << 20


class RowForm:
    """How the files of a table become rows of its declaration.

    Args:
        table: says which columns are read.
        metadata: of the table in its catalog.

    Attributes:
        table: as given.
    """

    def __init__(self, table: ConnectorTable, metadata: TableMetadata) -> None:
        self.table = table
        self.metadata = metadata
        self.row: RowType = table.read_schema
        self.schema = arrow_schema(self.row)
        self.projected: Schema = metadata.schema().select(*self.row.names)
        self.wanted = wanted_columns(self.projected, self.row)
        self._needed = [i for i, f in enumerate(self.row.fields) if needs_values(f.type)]

    def finish(
        self,
        batch: pa.RecordBatch,
        held: HeldColumns,
        constants: Mapping[int, object],
        path: str,
    ) -> pa.RecordBatch:
        """Rows of a file as the engine holds them.

        Args:
            batch: rows of the file.
            held: the columns of the file.
            constants: values of columns that it does not have.
            path: of the file, for people.
        """
        columns = [held.column(wanted, batch, constants) for wanted in self.wanted]
        for i in self._needed:
            check_nulls(columns[i], self.row.fields[i], path)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


class FileRows:
    """Some rows of one data file, read once from front to back.

    Args:
        form: of the table.
        io: opens the file.
        file: which.
        without: rows that are left out, sorted.
        only: the only rows that are read, sorted; instead of `without`.
        equal: leaves out more rows, by their values.
        row: the first row of the file that is read.
    """

    def __init__(
        self,
        form: RowForm,
        io: FileIO,
        file: DataFile,
        *,
        without: Positions | None = None,
        only: Positions | None = None,
        equal: EqualDeletes | None = None,
        row: int = 0,
    ) -> None:
        self._form = form
        self._path = file.file_path
        self._without = without
        self._only = only
        self._equal = equal
        self.row = row
        if file.file_format != FileFormat.PARQUET:
            raise ConnectorError(
                f'data file "{self._path}" of format {file.file_format.value} cannot be read',
                hint="Files of format Parquet are read; rewrite the table's files as Parquet.",
            )
        with reading(form.table, self._path):
            self._handle = io.new_input(self._path).open()
            try:
                self._open(file)
            except BaseException:
                self._handle.close()
                raise
        self._batches: Iterator[tuple[int, pa.RecordBatch]] | None = None
        self._rest: tuple[int, pa.RecordBatch] | None = None

    def _open(self, file: DataFile) -> None:
        form, metadata = self._form, self._form.metadata
        self._file = pq.ParquetFile(self._handle, buffer_size=_BUFFER, **PARQUET)
        held = HeldColumns(self._file.schema_arrow, metadata.name_mapping(), self._path)
        read = {x.field_id for x in form.projected.fields}
        if self._equal is not None:
            read |= self._equal.ids
        self._missing = _get_column_projection_values(
            file,
            metadata.schema() if self._equal is not None else form.projected,
            metadata.schema(),
            metadata.specs().get(file.spec_id),
            set(held.ids),
        )
        self._held = held
        # The number of rows is known only by reading some column.
        self._names = held.names(read) or self._file.schema_arrow.names[:1]
        self._groups = set(wanted_groups(self._file, list(self._comparable()), self._compared_as))

    def _comparable(self) -> Iterator[Predicate]:
        """Those that the statistics of the file can be asked about: columns read as they lie there."""
        for filtered in self._form.table.filters:
            columns = columns_of_predicate(filtered.predicate)
            if all(self._compared_as(c) is not None for c in columns):
                yield filtered.predicate

    def _compared_as(self, column: str) -> pa.DataType | None:
        kind = next((f.type for f in self._form.row.fields if f.name == column), None)
        if kind is None or isinstance(kind, TimestampType | LocalZonedTimestampType | TimeType):
            # Digits may be cut off.
            return None
        same = self._held.id_of(column) == self._form.projected.find_field(column).field_id
        return arrow_type(kind) if same else None

    def read(self, size: int) -> pa.RecordBatch | None:
        """At most `size` rows, perhaps none; None at the end. `row` is where the next begins."""
        with reading(self._form.table, self._path):
            if self._batches is None:
                self._batches = self._read(size)
            found = self._rest if self._rest is not None else next(self._batches, None)
            self._rest = None
            if found is None:
                return None
            start, batch = found
            if batch.num_rows > size:
                self._rest = (start + size, batch.slice(size))
                batch = batch.slice(0, size)
            self.row = start + batch.num_rows
            chosen = self._chosen(start, batch)
            if self._equal is not None:
                kept = self._equal.kept(chosen, self._held, self._missing)
                chosen = chosen.filter(pa.array(kept))
            if not chosen.num_rows:
                return _nothing(self._form)
            if not self._form.row.fields:
                return chosen.select([])
            return self._form.finish(chosen, self._held, self._missing, self._path)

    def _chosen(self, start: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        end = start + batch.num_rows
        if self._only is not None:
            first, last = np.searchsorted(self._only, [start, end])
            return batch.take(pa.array(self._only[first:last] - start))
        if self._without is None or not len(self._without):
            return batch
        first, last = np.searchsorted(self._without, [start, end])
        if first == last:
            return batch
        kept = np.ones(batch.num_rows, np.bool_)
        kept[self._without[first:last] - start] = False
        return batch.filter(pa.array(kept))

    def _read(self, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        for start, groups in group_runs(self._file, self.row, self._wanted):
            at = start
            for batch in self._file.iter_batches(
                size, row_groups=groups, columns=self._names, use_threads=False
            ):
                skipped = min(max(self.row - at, 0), batch.num_rows)
                if skipped < batch.num_rows:
                    yield at + skipped, batch.slice(skipped)
                at += batch.num_rows

    def _wanted(self, group: int, start: int, end: int) -> bool:
        if self._only is None:
            return group in self._groups
        first, last = np.searchsorted(self._only, [start, end])
        return bool(first < last)

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._handle.close()


@contextlib.contextmanager
def reading(table: ConnectorTable, path: str) -> Iterator[None]:
    """What goes wrong while a file is read becomes a ConnectorError that names it."""
    try:
        yield
    except FlowSQLError:
        raise
    except FileNotFoundError:
        raise gone(table, f'"{path}"') from None
    except Exception as error:
        text = str(error).partition("\n")[0].rstrip(".")
        raise ConnectorError(f'"{path}" cannot be read (table "{table.name}"): {text}') from error


def gone(table: ConnectorTable, what: str) -> ConnectorError:
    """Something that is read is not there any more."""
    return ConnectorError(
        f'{what} is gone (table "{table.name}")',
        detail="Its snapshot was expired, or its file removed, while it was read.",
        hint="Keep snapshots for as long as they are read: expire those that are older.",
    )


def _nothing(form: RowForm) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([], kind) for kind in form.schema.types], schema=form.schema
    )
