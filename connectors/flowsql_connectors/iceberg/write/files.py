"""Parquet files of a table: rows of one partition, written in row groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    StatisticsCollector,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.write.behind import Behind, Work

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
        behind: writes row groups while the caller goes on; what goes wrong there the next call
            raises.
        encoding: what else the Parquet writer is told.

    Attributes:
        location: of the file.
        rows: given so far.
        size: bytes of all rows given so far.
    """

    def __init__(
        self,
        io: FileIO,
        location: str,
        form: pa.Schema,
        settings: FileSettings,
        *,
        behind: Behind | None = None,
        **encoding: Any,
    ) -> None:
        self.location = location
        self.rows = 0
        self._behind = behind
        self._work: Work | None = None
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
        self._settle()
        return int(self._stream.tell())

    def write(self, batch: pa.RecordBatch) -> None:
        """One row group."""
        self._settle()
        if self._behind is None:
            self._encode(batch)
        else:
            self._work = self._behind.start(lambda: self._encode(batch))
        self.rows += batch.num_rows

    def _encode(self, batch: pa.RecordBatch) -> None:
        with self._whole():
            self._writer.write_batch(batch, row_group_size=max(1, batch.num_rows))

    def _settle(self) -> None:
        """What is being written is; raises what went wrong with it."""
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def close(
        self,
        schema: Schema,
        spec_id: int,
        partition: Record,
        content: DataFileContent = DataFileContent.DATA,
    ) -> DataFile:
        """The file, complete and durable, as the table is told of it."""
        self._settle()
        with self._whole():
            self._writer.close()
            size = self.size
            self._stream.close()
        found = _statistics(self._writer.writer.metadata, schema, self._settings.metrics)
        file = DataFile.from_args(
            content=content,
            file_path=self.location,
            file_format=FileFormat.PARQUET,
            partition=partition,
            file_size_in_bytes=size,
            sort_order_id=None,
            equality_ids=None,
            key_metadata=None,
            **found,
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
        if self._work is not None:
            self._work.wait()
        self._writer.is_open = False
        with contextlib.suppress(OSError):
            self._stream.close()


def _statistics(
    metadata: pq.FileMetaData, schema: Schema, metrics: Mapping[str, str]
) -> dict[str, Any]:
    """What the table is told of the file's columns."""
    plan = compute_statistics_plan(schema, dict(metrics))
    mapping = parquet_path_to_id_mapping(schema)
    try:
        return _collected(metadata, plan, mapping)
    except UnicodeEncodeError:
        # A text that is cut short is made an upper bound by the letter that follows its last one:
        # pyiceberg takes one of no text for that. Whole texts are bounds, too.
        whole = MetricsMode(MetricModeTypes.FULL)
        cut = {
            number: replace(column, mode=whole)
            if column.mode.type is MetricModeTypes.TRUNCATE
            else column
            for number, column in plan.items()
        }
        return _collected(metadata, cut, mapping)


def _collected(
    metadata: pq.FileMetaData, plan: dict[int, StatisticsCollector], mapping: dict[str, int]
) -> dict[str, Any]:
    found = data_file_statistics_from_parquet_metadata(metadata, plan, mapping)
    return found.to_serialized_dict()
