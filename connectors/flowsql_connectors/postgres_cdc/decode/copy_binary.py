"""Rows of `COPY (SELECT …) TO STDOUT (FORMAT binary)` as columns.

A message is a row: `int16` number of fields, then for each an `int32` length (−1 for NULL) and its
bytes. A batch of messages is joined, and all rows are walked together, column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.errors import DataError, InternalError
from flowsql.types import DecimalType, arrow_type
from flowsql_connectors.postgres_cdc.decode.gather import (
    LARGEST,
    Places,
    Scattered,
    packed,
    strings_of,
)
from flowsql_connectors.postgres_cdc.decode.numerics import NumericProblem, decimals, numeric_text
from flowsql_connectors.postgres_cdc.decode.text_values import read_text
from flowsql_connectors.postgres_cdc.decode.types import ColumnReading, Shape
from flowsql_connectors.postgres_cdc.decode.values import conform, refuse
from flowsql_connectors.postgres_cdc.decode.wire import UNIX_TO_2000

__all__ = ["CopyDecoder"]

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00"
_HEADER: Final = len(_SIGNATURE) + 8
_TRAILER: Final = b"\xff\xff"

_DAYS_TO_2000: Final = 10_957
_INT32: Final = np.iinfo(np.int32)
_INT64: Final = np.iinfo(np.int64)

_Mask = npt.NDArray[np.bool_]

# Fixed-width values that need no second look: their width and the Arrow type of their bytes.
_FIXED: Final[dict[Shape, tuple[int, str, pa.DataType]]] = {
    Shape.INT2: (2, ">i2", pa.int16()),
    Shape.INT4: (4, ">i4", pa.int32()),
    Shape.INT8: (8, ">i8", pa.int64()),
    Shape.OID: (4, ">u4", pa.uint32()),
    Shape.FLOAT4: (4, ">f4", pa.float32()),
    Shape.FLOAT8: (8, ">f8", pa.float64()),
    Shape.TIME: (8, ">i8", pa.int64()),
}
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
# Places of a uuid's hexadecimal digits among the hyphens of its text.
_DIGITS = np.array([i for i in range(36) if i not in {8, 13, 18, 23}])


class CopyDecoder:
    """Decodes the messages of one COPY, batch by batch.

    Args:
        columns: of the SELECT, in order.

    Attributes:
        finished: whether the end of the data has been seen.
    """

    def __init__(self, columns: Sequence[ColumnReading]) -> None:
        self.columns = tuple(columns)
        self.schema = pa.schema([pa.field(c.name, arrow_type(c.type)) for c in self.columns])
        self.finished = False
        self._begun = False

    def decode(self, messages: Sequence[bytes | memoryview]) -> pa.RecordBatch:
        """The rows of the next messages, which the caller keeps below 2 GiB; none for none.

        Raises DataError where a value does not fit its declared type, or the bytes are no rows.
        """
        rows = self._rows(messages)
        if not rows:
            return _empty(self.schema)
        sizes = np.fromiter(map(len, rows), np.intp, len(rows))
        ends = np.cumsum(sizes)
        if ends[-1] > LARGEST:
            raise InternalError("a batch of rows to decode has more than 2 GiB")
        data = Scattered(rows)
        try:
            fields = _fields(data, ends - sizes, ends, self.columns)
        except IndexError:
            # A length led out of the data.
            raise _cut_off() from None
        return pa.RecordBatch.from_arrays(list(map(_decoded, fields)), schema=self.schema)

    def _rows(self, messages: Sequence[bytes | memoryview]) -> Sequence[bytes | memoryview]:
        """The messages without header and trailer."""
        if not messages:
            return messages
        rows: Sequence[bytes | memoryview] = messages
        if not self._begun:
            first = bytes(messages[0])
            if len(first) < _HEADER or not first.startswith(_SIGNATURE):
                raise DataError("what the server sent does not begin as a binary COPY")
            extension = int.from_bytes(first[_HEADER - 4 : _HEADER], "big")
            if first[len(_SIGNATURE) : _HEADER - 4] != bytes(4):
                raise DataError("the server sent a binary COPY with flags that are not known")
            self._begun = True
            rest = first[_HEADER + extension :]
            rows = [rest, *messages[1:]] if rest else messages[1:]
        if rows and self.finished:
            raise DataError("the server sent rows behind the end of a binary COPY")
        if rows and bytes(rows[-1][:2]) == _TRAILER:
            self.finished = True
            rows = rows[:-1]
        return rows


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


@dataclass(frozen=True, slots=True)
class _Field:
    """One column as it was sent.

    Attributes:
        data: the batch's bytes.
        places: where each value begins.
        lengths: of each value, 0 for NULL.
        valid: False for NULL; None where nothing is NULL.
        column: how it is read.
    """

    data: Scattered
    places: Places
    lengths: npt.NDArray[np.int32]
    valid: _Mask | None
    column: ColumnReading

    def slices(self, skip: int = 0) -> pa.BinaryArray:
        """The bytes of each value but the first `skip`, which all have."""
        begins = self.places + skip
        ends = self.places + self.lengths
        if skip and self.valid is not None:
            ends = np.maximum(begins, ends)
        return self.data.slices(begins, ends, self.valid)

    def checked(self, width: int) -> None:
        """Raise ValueError unless every value has `width` bytes."""
        right = self.lengths == width
        if self.valid is not None:
            right |= ~self.valid
        if not right.all():
            raise ValueError(f"values that do not have {width} bytes")

    def array(self, values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
        """The values as an Arrow array, NULL where this is."""
        buffers = [packed(self.valid), pa.py_buffer(values)]
        return pa.Array.from_buffers(kind, len(self.places), buffers)


def _fields(
    data: Scattered, starts: Places, ends: Places, columns: Sequence[ColumnReading]
) -> list[_Field]:
    """Where all fields stand; every row ends where its message does."""
    if (data.int16(starts) != len(columns)).any():
        raise DataError(f"the server sent rows that have not the {len(columns)} fields asked for")
    fields = []
    at = starts + 2
    for column in columns:
        lengths = data.int32(at)
        places = at + 4
        lowest = int(lengths.min())
        if lowest < -1:
            raise _cut_off()
        valid = None
        if lowest < 0:
            valid = lengths >= 0
            lengths = np.where(valid, lengths, np.int32(0))
        at = places + lengths
        fields.append(_Field(data, places, lengths, valid, column))
    if (at != ends).any():
        raise _cut_off()
    return fields


def _cut_off() -> DataError:
    return DataError(
        "the server sent rows whose fields are not as long as they say",
        hint="Check that nothing between server and client changes the stream.",
    )


def _decoded(field: _Field) -> pa.Array:
    column = field.column
    decode = _BINARY[column.shape] if column.binary else _text
    try:
        return decode(field)
    except (ValueError, pa.ArrowInvalid) as problem:
        raise DataError(
            f'column "{column.name}", {column.pg} in the server, could not be read: {problem}'
        ) from problem


def _fixed(field: _Field) -> pa.Array:
    width, form, kind = _FIXED[field.column.shape]
    field.checked(width)
    return conform(field.array(field.data.numbers(field.places, form), kind), field.column)


def _bool(field: _Field) -> pa.Array:
    field.checked(1)
    values = np.packbits(field.data.octets[field.places] != 0, bitorder="little")
    return field.array(values, pa.bool_())


def _date(field: _Field) -> pa.Array:
    field.checked(4)
    days = field.data.int32(field.places)
    if field.valid is not None:
        days = np.where(field.valid, days, np.int32(0))
    highest = int(days.max())
    _no_infinity(int(days.min()), highest, _INT32, field.column)
    if highest > _INT32.max - _DAYS_TO_2000:
        refuse(field.column, f"day {highest} behind 2000-01-01")
    return field.array(days + np.int32(_DAYS_TO_2000), pa.date32())


def _timestamp(field: _Field) -> pa.Array:
    field.checked(8)
    micros = field.data.int64(field.places)
    if field.valid is not None:
        micros = np.where(field.valid, micros, 0)
    highest = int(micros.max())
    _no_infinity(int(micros.min()), highest, _INT64, field.column)
    if highest > _INT64.max - UNIX_TO_2000:
        refuse(field.column, f"{highest} µs behind 2000-01-01")
    return conform(field.array(micros + UNIX_TO_2000, pa.int64()), field.column)


def _no_infinity(lowest: int, highest: int, limits: np.iinfo[Any], column: ColumnReading) -> None:
    if highest == limits.max:
        refuse(column, "infinity")
    if lowest == limits.min:
        refuse(column, "-infinity")


def _numeric(field: _Field) -> pa.Array:
    assert isinstance(field.column.type, DecimalType)
    try:
        return decimals(field.data, field.places, field.lengths, field.valid, field.column.type)
    except NumericProblem as problem:
        start = int(field.places[problem.row])
        value = field.data.piece(start, start + int(field.lengths[problem.row]))
        refuse(field.column, numeric_text(value))


def _characters(field: _Field) -> pa.Array:
    return strings_of(field.slices())


def _text(field: _Field) -> pa.Array:
    return read_text(strings_of(field.slices()), field.column)


def _bytea(field: _Field) -> pa.Array:
    return field.slices()


def _jsonb(field: _Field) -> pa.Array:
    first = field.places if field.valid is None else field.places[field.valid]
    if (field.data.octets[first] != 1).any():
        raise ValueError("a form of jsonb that is not known")
    return strings_of(field.slices(skip=1))


def _uuid(field: _Field) -> pa.Array:
    field.checked(16)
    places = field.places if field.valid is None else field.places[field.valid]
    text = np.full((len(places), 36), ord("-"), np.uint8)
    text[:, _DIGITS] = _HEX[field.data.blocks(places, 16)].reshape(len(places), 32)
    offsets = np.zeros(len(field.places) + 1, np.int32)
    np.cumsum(np.where(field.lengths > 0, 36, 0), out=offsets[1:])
    buffers = [packed(field.valid), pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), len(field.places), buffers)


# What is sent in binary; everything else is text.
_BINARY: Final[dict[Shape, Callable[[_Field], pa.Array]]] = {
    **dict.fromkeys(_FIXED, _fixed),
    Shape.BOOL: _bool,
    Shape.DATE: _date,
    Shape.TIMESTAMP: _timestamp,
    Shape.TIMESTAMPTZ: _timestamp,
    Shape.NUMERIC: _numeric,
    Shape.CHARACTERS: _characters,
    Shape.BYTEA: _bytea,
    Shape.JSONB: _jsonb,
    Shape.UUID: _uuid,
}
