"""Which rows equality deletes take away: those whose key columns have the values of a deleted row.

NULL is a value here. A delete applies to files that are older than it, of its own partition, or of
every partition if it has none.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata

from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.scan.columns import HeldColumns, stored_columns
from flowsql_connectors.iceberg.storage import PARQUET

__all__ = ["EqualDeletes", "EqualFiles"]

_Codes = npt.NDArray[np.int64]
_KEPT_ROWS: Final = 2_000_000


class EqualFiles:
    """Reads delete files; those that were read last are kept, as one is mostly of many data files.

    Used by several threads.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, list[pa.Array]] = OrderedDict()
        self._rows = 0
        self._lock = threading.Lock()

    def read(
        self, io: FileIO, metadata: TableMetadata, file: DataFile, wanted: Schema
    ) -> list[pa.Array]:
        """The columns of its `equality_ids`, which `wanted` are; raises ConnectorError."""
        with self._lock:
            known = self._kept.get(file.file_path)
            if known is not None:
                self._kept.move_to_end(file.file_path)
                return known
        columns = _read(io, metadata, file, wanted)
        with self._lock:
            if file.file_path not in self._kept:
                self._kept[file.file_path] = columns
                self._rows += len(columns[0])
            while self._rows > _KEPT_ROWS and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._rows -= len(gone[0])
        return columns


class EqualDeletes:
    """The rows that some delete files name.

    Args:
        io: opens the files.
        source: reads them.
        metadata: of the table.
        files: delete files, all of which apply.

    Raises:
        ConnectorError: a file cannot be read, or names a column that the table has no more.
    """

    def __init__(
        self, io: FileIO, source: EqualFiles, metadata: TableMetadata, files: Iterable[DataFile]
    ) -> None:
        groups: dict[tuple[int, ...], list[DataFile]] = {}
        for file in files:
            if not file.record_count:
                continue
            groups.setdefault(tuple(sorted(file.equality_ids or ())), []).append(file)
        self._keys = [
            _Keys(io, source, metadata, ids, group) for ids, group in sorted(groups.items())
        ]
        self.ids = {at for keys in self._keys for at in keys.schema.field_ids}

    def kept(
        self, batch: pa.RecordBatch, held: HeldColumns, missing: Mapping[int, object]
    ) -> npt.NDArray[np.bool_]:
        """bool[n]: rows that stay.

        Args:
            batch: rows of a data file, with the columns of `ids` as far as the file has them.
            held: the columns of the file.
            missing: values of columns that the file does not have.
        """
        kept = np.ones(batch.num_rows, np.bool_)
        for keys in self._keys:
            columns = _columns(keys.schema, held, batch, missing)
            kept &= ~keys.holds(columns)
        return kept


class _Keys:
    """Deleted values of some columns."""

    def __init__(
        self,
        io: FileIO,
        source: EqualFiles,
        metadata: TableMetadata,
        ids: Sequence[int],
        files: Sequence[DataFile],
    ) -> None:
        # Columns may have been dropped since; files hold them nevertheless.
        schemas = (*metadata.schemas, metadata.schema())
        known = {f.field_id: f for schema in schemas for f in schema.fields}
        if not ids or any(at not in known or not known[at].field_type.is_primitive for at in ids):
            raise _unreadable(files[0], "it names a nested column, or one that nobody knows")
        fields = [known[at] for at in ids]
        # A column that takes no NULL may be missing in an older file nevertheless.
        self.schema = Schema(*(f.model_copy(update={"required": False}) for f in fields))
        parts = [source.read(io, metadata, file, self.schema) for file in files]
        columns = [
            pa.concat_arrays([part[i] for part in parts]) for i in range(len(self.schema.fields))
        ]
        self._values = [pc.unique(c) for c in columns]
        # Combinations, each as a number; that of the first n columns is built on by the next.
        self._steps: list[_Codes] = []
        codes = _codes(columns[0], self._values[0])
        for column, values in zip(columns[1:], self._values[1:], strict=True):
            codes = codes * len(values) + _codes(column, values)
            found, codes = np.unique(codes, return_inverse=True)
            self._steps.append(found)

    def holds(self, columns: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
        """bool[n]: rows with the values of a deleted one."""
        codes = _codes(columns[0], self._values[0])
        for column, values, found in zip(columns[1:], self._values[1:], self._steps, strict=True):
            more = _codes(column, values)
            both = np.where((codes < 0) | (more < 0), -1, codes * len(values) + more)
            at = np.minimum(np.searchsorted(found, both), len(found) - 1)
            codes = np.where(found[at] == both, at, -1)
        return codes >= 0


def _codes(column: pa.Array, values: pa.Array) -> _Codes:
    """Where each value stands among `values`; -1 where it does not. NULL is a value."""
    found = pc.fill_null(pc.index_in(column, value_set=values), -1)
    return found.to_numpy(zero_copy_only=False).astype(np.int64)


def _read(io: FileIO, metadata: TableMetadata, file: DataFile, wanted: Schema) -> list[pa.Array]:
    if file.file_format != FileFormat.PARQUET:
        raise _unreadable(file, f"its format is {file.file_format.value}")
    with io.new_input(file.file_path).open() as handle:
        table = pq.ParquetFile(handle, **PARQUET).read(use_threads=False)
    held = HeldColumns(table.schema, metadata.name_mapping(), file.file_path)
    if {f.field_id for f in wanted.fields} - held.ids:
        raise _unreadable(file, "it lacks columns that it names")
    batch = pa.RecordBatch.from_arrays(
        [c.combine_chunks() if c.num_chunks != 1 else c.chunk(0) for c in table.columns],
        schema=table.schema,
    )
    return _columns(wanted, held, batch, {})


def _columns(
    wanted: Schema, held: HeldColumns, batch: pa.RecordBatch, missing: Mapping[int, object]
) -> list[pa.Array]:
    return [held.column(x, batch, missing) for x in stored_columns(wanted)]


def _unreadable(file: DataFile, why: str) -> ConnectorError:
    return ConnectorError(
        f'equality deletes in "{file.file_path}" cannot be applied: {why}',
        hint="Let the engine that wrote them compact the table.",
    )
