"""Parquet files of a table: rows of one partition, written in row groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from flowsql.errors import ConnectorError

__all__ = ["FileSettings", "ParquetFile"]

_LEVELS: Final = {"zstd", "gzip", "brotli"}
_TARGET: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How files are written.

    Attributes:
        target: bytes after which a file is followed by another.
        codec, level: of the compression; the level may be None.
        metrics: the table's properties, which say what statistics are kept.
    """

    target: int
    codec: str
    level: int | None
    metrics: Mapping[str, str]

    @classmethod
    def of(
        cls,
        properties: Mapping[str, str],
        *,
        target: int | None,
        codec: str | None,
        level: int | None,
    ) -> FileSettings:
        """By a table's properties, unless something else is given."""
        name = (codec or properties.get("write.parquet.compression-codec", "zstd")).lower()
        chosen = level
        if chosen is None and "write.parquet.compression-level" in properties:
            chosen = int(properties["write.parquet.compression-level"])
        size = target or int(properties.get("write.target-file-size-bytes", _TARGET))
        if name == "uncompressed":
            name = "none"
        return cls(size, name, chosen if name in _LEVELS else None, dict(properties))


class ParquetFile:
    """A file being written.

    Once something went wrong with it, nobody can tell what it holds: every later call fails, and
    the rows are written anew behind a restart of the job.

    Args:
        io: opens it.
        location: of the file.
        form: of its rows.
        settings: how files are written.
        encoding: what else the Parquet writer is told.

    Attributes:
        location: of the file.
        rows: written so far.
        size: bytes written so far.
    """

    def __init__(
        self,
        io: FileIO,
        location: str,
        form: pa.Schema,
        settings: FileSettings,
        **encoding: Any,
    ) -> None:
        self.location = location
        self.rows = 0
        self._settings = settings
        self._lost = False
        self._stream: Any = io.new_output(location).create()
        self._writer = pq.ParquetWriter(
            self._stream,
            form,
            compression=settings.codec,
            compression_level=settings.level,
            store_decimal_as_integer=True,
            **encoding,
        )

    @property
    def size(self) -> int:
        return int(self._stream.tell())

    def write(self, batch: pa.RecordBatch) -> None:
        """One row group."""
        with self._whole():
            self._writer.write_batch(batch, row_group_size=max(1, batch.num_rows))
        self.rows += batch.num_rows

    def close(
        self,
        schema: Schema,
        spec_id: int,
        partition: Record,
        content: DataFileContent = DataFileContent.DATA,
    ) -> DataFile:
        """The file, complete and durable, as the table is told of it."""
        with self._whole():
            self._writer.close()
            size = self.size
            self._stream.close()
        found = data_file_statistics_from_parquet_metadata(
            parquet_metadata=self._writer.writer.metadata,
            stats_columns=compute_statistics_plan(schema, dict(self._settings.metrics)),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        file = DataFile.from_args(
            content=content,
            file_path=self.location,
            file_format=FileFormat.PARQUET,
            partition=partition,
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **found.to_serialized_dict(),
        )
        file.spec_id = spec_id
        return file

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        if self._lost:
            raise ConnectorError(
                f'"{self.location}" could not be written before, and is lost',
                hint="Make room or give the right to write; the job's restart writes its rows again.",
            )
        try:
            yield
        except BaseException:
            self._lost = True
            raise

    def discard(self) -> None:
        """Let go of the file, which stays behind unfinished."""
        self._writer.is_open = False
        with contextlib.suppress(OSError):
            self._stream.close()
