"""Rows on their way to data files: gathered by partition, written in row groups, rolled by size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pyiceberg.manifest import DataFile

from flowsql_connectors.iceberg.write.arrow import FileForm
from flowsql_connectors.iceberg.write.behind import Behind
from flowsql_connectors.iceberg.write.files import FileSettings, ParquetFile
from flowsql_connectors.iceberg.write.partitions import Partition, Partitions
from flowsql_connectors.iceberg.write.target import Target

__all__ = ["AppendedRows"]

_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 64 << 20
# Of all partitions, in memory.
_MOST_BYTES: Final = 256 << 20


@dataclass(slots=True)
class _Part:
    """A partition's rows that are not yet in a complete file."""

    partition: Partition
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    file: ParquetFile | None = None


class AppendedRows:
    """Takes rows; gives complete files.

    Invariant: every row taken since the last `finish` is gathered, in an open file, or in one of
    the complete ones.
    """

    def __init__(self, target: Target, form: FileForm, settings: FileSettings) -> None:
        self._target = target
        self._form = form
        self._settings = settings
        self._schema = target.table.schema()
        self._partitions = Partitions(target.table.spec(), self._schema)
        self._parts: dict[Partition, _Part] = {}
        self._bytes = 0
        self._complete: list[DataFile] = []
        self._behind = Behind()

    def add(self, batch: pa.RecordBatch) -> None:
        """More rows, as the engine holds them."""
        stored = self._form.convert(batch)
        for partition, rows in self._partitions.split(stored):
            part = self._parts.get(partition)
            if part is None:
                part = self._parts[partition] = _Part(partition)
            chosen = stored if rows is None else stored.take(pa.array(rows))
            part.batches.append(chosen)
            part.rows += chosen.num_rows
            part.bytes += chosen.nbytes
            self._bytes += chosen.nbytes
            if part.rows >= _GROUP_ROWS or part.bytes >= _GROUP_BYTES:
                self._flush(part)
        if self._bytes >= _MOST_BYTES:
            for part in list(self._parts.values()):
                self._flush(part)

    def finish(self) -> list[DataFile]:
        """All rows so far, in complete and durable files; they stay until `taken`."""
        with self._target.telling():
            for partition, part in list(self._parts.items()):
                self._flush(part)
                self._close(part)
                del self._parts[partition]
        return list(self._complete)

    def taken(self) -> None:
        """What `finish` gave is in good hands."""
        self._complete = []

    def discard(self) -> None:
        """Let go of everything; files that are not complete stay behind."""
        for part in self._parts.values():
            if part.file is not None:
                part.file.discard()
        self._parts = {}

    def _flush(self, part: _Part) -> None:
        """What is gathered becomes a row group."""
        if not part.batches:
            return
        with self._target.telling():
            if part.file is not None and part.file.size >= self._settings.target:
                self._close(part)
            if part.file is None:
                location = self._target.location(
                    part.partition.path, self._target.names.new(".parquet")
                )
                part.file = ParquetFile(
                    self._target.table.io,
                    location,
                    self._form.schema,
                    self._settings,
                    behind=self._behind,
                )
            part.file.write(pa.concat_batches(part.batches))
            self._bytes -= part.bytes
            part.batches, part.rows, part.bytes = [], 0, 0

    def _close(self, part: _Part) -> None:
        if part.file is None:
            return
        spec_id = self._partitions.spec.spec_id
        self._complete.append(part.file.close(self._schema, spec_id, part.partition.record))
        part.file = None
