"""The contract of a format: bytes ↔ rows, columnar both ways (DESIGN 9).

Two kinds. A *text* format holds records one after the other (csv, json): a decoder is given many
whole records at once, be they a block of a file or thousands of messages. A *bulk* format is a file
as a whole (parquet): it is read in batches from a row number.

A decoder never fails on data: what it cannot read comes back as a `BadRow` with its place and the
reason, and the engine's policy decides. It never makes a NULL of a value it cannot read, unless the
format's `ignore-parse-errors` asks for that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.config import Option, OptionValues
from flowsql.errors import ConfigError
from flowsql.types import BitmapType, DataType, RowType
from flowsql.types.common import holds, holds_variant
from flowsql.types.predicates import Predicate

__all__ = [
    "BadRow",
    "BulkReader",
    "BulkWriter",
    "Decoded",
    "Decoder",
    "Encoder",
    "Format",
    "FormatTable",
    "check_storable",
]


@dataclass(frozen=True, slots=True)
class FormatTable:
    """What a format is told of a table.

    Attributes:
        schema: the columns that the bytes hold, in order.
        options: the table's options, the format's among them.
        columns: names of the columns to decode, a subset in the schema's order; an encoder gets
            all.
        local_time_zone: `table.local-time-zone`.
        wanted: conditions that all wanted rows fulfil; a bulk reader may leave out others.
        metadata: column name → key of `Format.metadata`; a decoder's rows have these columns
            behind `columns`.
    """

    schema: RowType
    options: OptionValues
    columns: tuple[str, ...]
    local_time_zone: str = "UTC"
    wanted: tuple[Predicate, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def read_schema(self) -> RowType:
        """The schema of `columns`."""
        return self.schema.select([self.schema.index(c) for c in self.columns])


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that could not be decoded.

    Attributes:
        record: its number within the block, from 0.
        line: its line within the block, from 1; for messages its number, from 1.
        raw: its bytes as read.
        reason: why, lower case without a full stop.
    """

    record: int
    line: int
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a block gave.

    Attributes:
        batch: the rows, in the order of the records; may be empty.
        records: the number of records in the block, bad ones included.
        lines: the number of lines in the block.
        bad: records that gave no row.
        record_of: int64[n], non-decreasing, the record of each row; None where row i is record i.
        kinds: int8[n] of row kinds, None where all are `+I`.
    """

    batch: pa.RecordBatch
    records: int
    lines: int = 0
    bad: tuple[BadRow, ...] = ()
    record_of: npt.NDArray[np.int64] | None = None
    kinds: npt.NDArray[np.int8] | None = None


class Decoder(ABC):
    """Bytes to rows, for one table; holds no state between two calls."""

    @abstractmethod
    def split(self, data: bytes, *, last: bool) -> int:
        """The length of the whole records at the beginning of `data`.

        Args:
            data: bytes that begin where a record begins.
            last: nothing follows `data`, so that its end ends the last record as well.
        """

    @abstractmethod
    def decode(self, block: bytes) -> Decoded:
        """The rows of a block of whole records."""

    @abstractmethod
    def decode_messages(self, messages: Sequence[bytes]) -> Decoded:
        """The rows of messages, each one record."""


class Encoder(ABC):
    """Rows to bytes, for one table."""

    @abstractmethod
    def encode(self, batch: pa.RecordBatch) -> bytes:
        """The rows as records, one after the other, each ended."""

    def encode_changes(self, batch: pa.RecordBatch, kinds: npt.NDArray[np.int8] | None) -> bytes:
        """As `encode`, with what happened to each row; for formats with `changelog`.

        Args:
            batch: the rows.
            kinds: int8[n] of row kinds, None where all are `+I`.
        """
        del kinds
        return self.encode(batch)


class BulkReader(ABC):
    """One file, read in batches."""

    rows: int

    @abstractmethod
    def batches(self, row: int, size: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The wanted rows from row number `row` on, in batches of at most `size`.

        Each batch holds neighbouring rows and comes with the number of its first: numbers count
        all rows of the file, so that they mean the same whatever is wanted.
        """

    def close(self) -> None:
        """Let go of the file; may be called twice."""


class BulkWriter(ABC):
    """One file being written."""

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """More rows."""

    @abstractmethod
    def close(self) -> None:
        """Write what ends the file; it is not complete before."""


class Format(ABC):
    """A kind of bytes; constructing one does no I/O.

    Attributes:
        name: the value of `'format' = …`.
        options: its options, with their full keys.
        bulk: a file is read and written as a whole, by `reader` and `writer`; otherwise by
            `decoder` and `encoder`.
        changelog: its records say what happened to a row: `Decoded.kinds` is heeded, and
            `Encoder.encode_changes` takes every kind.
        metadata: what its records say beside the row, key → type; read only.
        extension: how its files' names end, without the dot.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    bulk: ClassVar[bool] = False
    changelog: ClassVar[bool] = False
    metadata: ClassVar[Mapping[str, DataType]] = {}
    extension: ClassVar[str]

    def check(self, table: FormatTable) -> None:
        """Refuse at planning time what the format cannot hold.

        Raises:
            ConfigError: a column's type or an option does not fit.
        """
        del table

    def decoder(self, table: FormatTable) -> Decoder:
        """A decoder for one table."""
        del table
        raise ConfigError(f'format "{self.name}" cannot be read record by record')

    def encoder(self, table: FormatTable) -> Encoder:
        """An encoder for one table."""
        del table
        raise ConfigError(f'format "{self.name}" cannot be written record by record')

    def reader(self, path: str, table: FormatTable) -> BulkReader:
        """The file at `path`.

        Raises:
            ConnectorError: it is no file of this format.
        """
        del path, table
        raise ConfigError(f'format "{self.name}" cannot be read as whole files')

    def doubts(self, path: str, table: FormatTable) -> Sequence[str]:
        """What looks wrong in the file at `path` but can be read; told the user at the start.

        Raises:
            ConnectorError: it is no file of this format.
        """
        del path, table
        return ()

    def writer(self, target: BinaryIO | Any, table: FormatTable) -> BulkWriter:
        """A writer into an open binary file."""
        del target, table
        raise ConfigError(f'format "{self.name}" cannot be written as whole files')


def check_storable(name: str, schema: RowType) -> None:
    """Refuses columns whose values no format writes or reads.

    Args:
        name: the format's.
        schema: the columns.

    Raises:
        ConfigError: a column is a VARIANT or BITMAP, or holds one.
    """
    for column in schema.fields:
        if holds(column.type, BitmapType):
            raise ConfigError(
                f'format "{name}" cannot hold column "{column.name}" of type '
                f"{column.type.with_nullable(True)}",
                hint="Declare it as BYTES: BITMAP_TO_BYTES(bitmap) is written, "
                "BITMAP_FROM_BYTES(bytes) read.",
            )
        if holds_variant(column.type):
            raise ConfigError(
                f'format "{name}" cannot hold column "{column.name}" of type '
                f"{column.type.with_nullable(True)}",
                hint="Declare the column as STRING: PARSE_JSON makes a VARIANT of it in a query, "
                "and JSON_STRING makes JSON text of a VARIANT.",
            )
