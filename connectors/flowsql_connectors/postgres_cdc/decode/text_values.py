r"""The server's text as typed columns.

Text is what the output functions write under `SESSION_SETTINGS`: `t`, `1e-05`, `0044-03-15 BC`,
`\x00ff`, `{1,NULL}`. Each type has a reading of the whole column by Arrow's kernels; what they do
not take (years before 1 or behind 9999, digits to round) is read value by distinct value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.types import DecimalType, arrow_type
from flowsql_connectors.postgres_cdc.decode.text_arrays import WrongDimensions, split_elements
from flowsql_connectors.postgres_cdc.decode.types import ColumnReading, Shape
from flowsql_connectors.postgres_cdc.decode.values import conform, refuse

__all__ = ["read_text"]

_WHOLE: Final = {
    Shape.INT2: pa.int16(),
    Shape.INT4: pa.int32(),
    Shape.INT8: pa.int64(),
    Shape.OID: pa.int64(),
    Shape.FLOAT4: pa.float32(),
    Shape.FLOAT8: pa.float64(),
}
_AS_SENT: Final = {Shape.CHARACTERS, Shape.UUID, Shape.JSONB, Shape.TEXT}
_WIDE: Final = Context(prec=200_000)
_DAY: Final = 86_400_000_000  # microseconds

_MOMENT = re.compile(
    r"([0-9]{4,7})-([0-9]{2})-([0-9]{2})"
    r"(?: ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?)?"
    r"(?:([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?)?( BC)?"
)
# The hexadecimal digit of each byte; what is none has a bit above.
_HEX = np.full(256, 0x80, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
# Made once: a scalar costs as much as a small column.
_TRUE, _FALSE, _MIDNIGHT, _FIRST_DAY, _BLANK, _NO_BYTES = map(
    pa.scalar, ("t", "f", "24:00:00", "1970-01-01", " ", "\\x")
)
_BACKSLASH_X: Final = 0x785C  # a backslash and an x, as two bytes in memory


def read_text(text: pa.StringArray, reading: ColumnReading) -> pa.Array:
    """The column's declared type, from the server's text of its values.

    Raises DataError for a value that the type cannot hold, and for text that the server's output
    function does not write.
    """
    if text.null_count == len(text):
        return pa.nulls(len(text), arrow_type(reading.type))
    if reading.shape in _AS_SENT:
        return text
    try:
        return conform(_natural(text, reading), reading)
    except pa.ArrowInvalid as problem:
        raise DataError(
            f'column "{reading.name}", {reading.pg} in the server, could not be read: {problem}'
        ) from problem


def _natural(text: pa.StringArray, reading: ColumnReading) -> pa.Array:
    shape = reading.shape
    match shape:
        case Shape.BOOL:
            true = pc.equal(text, _TRUE)
            if not pc.all(pc.or_(true, pc.equal(text, _FALSE))).as_py():
                raise pa.ArrowInvalid("text that is neither t nor f")
            return true
        case Shape.NUMERIC:
            return _numeric(text, reading)
        case Shape.DATE:
            try:
                return text.cast(pa.date32())
            except pa.ArrowInvalid:
                return _by_distinct(text, _day(reading), pa.int32()).view(pa.date32())
        case Shape.TIME:
            # Arrow casts text to timestamps, not to times of day.
            if pc.any(pc.equal(text, _MIDNIGHT)).as_py():
                refuse(reading, "24:00:00")
            moment = pc.binary_join_element_wise(_FIRST_DAY, text, _BLANK)
            return moment.cast(pa.timestamp("us")).view(pa.int64())
        case Shape.TIMESTAMP:
            try:
                return text.cast(pa.timestamp("us")).view(pa.int64())
            except pa.ArrowInvalid:
                return _by_distinct(text, _moment(reading), pa.int64())
        case Shape.TIMESTAMPTZ:
            try:
                return text.cast(pa.timestamp("us", "UTC")).view(pa.int64())
            except pa.ArrowInvalid:
                return _by_distinct(text, _moment(reading), pa.int64())
        case Shape.BYTEA:
            return _bytes(text)
        case Shape.ARRAY:
            return _array(text, reading)
        case _:
            return text.cast(_WHOLE[shape])


def _by_distinct(text: pa.StringArray, read: Callable[[str], Any], stored: pa.DataType) -> pa.Array:
    encoded = text.dictionary_encode()
    values = [read(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(values, stored).take(encoded.indices)


def _numeric(text: pa.StringArray, reading: ColumnReading) -> pa.Array:
    """Digits behind the scale are rounded, half away from zero, as Flink does."""
    target = reading.type
    assert isinstance(target, DecimalType)
    try:
        return text.cast(arrow_type(target))
    except pa.ArrowInvalid:
        pass
    unit = Decimal(1).scaleb(-target.scale)
    bound = Decimal(1).scaleb(target.precision - target.scale)

    def read(value: str) -> Decimal:
        if value in {"NaN", "Infinity", "-Infinity"}:
            refuse(reading, value)
        rounded = Decimal(value).quantize(unit, ROUND_HALF_UP, _WIDE)
        if abs(rounded) >= bound:
            refuse(reading, value)
        return rounded

    return _by_distinct(text, read, arrow_type(target))


def _day(reading: ColumnReading) -> Callable[[str], int]:
    def read(value: str) -> int:
        if value in {"infinity", "-infinity"}:
            refuse(reading, value)
        found = _MOMENT.fullmatch(value)
        if found is None or found[4] or found[8]:
            raise pa.ArrowInvalid(f'"{value}" is no date')
        return _days(found)

    return read


def _moment(reading: ColumnReading) -> Callable[[str], int]:
    """Microseconds since 1970."""

    def read(value: str) -> int:
        if value in {"infinity", "-infinity"}:
            refuse(reading, value)
        found = _MOMENT.fullmatch(value)
        if found is None or not found[4] or bool(found[8]) != (reading.shape is Shape.TIMESTAMPTZ):
            raise pa.ArrowInvalid(f'"{value}" is no {reading.shape.value}')
        micros = _days(found) * _DAY + _seconds(found, 4) * 1_000_000
        micros += int((found[7] or "").ljust(6, "0"))
        if found[8]:
            shift = _seconds(found, 9) * 1_000_000
            micros += -shift if found[8] == "+" else shift
        if not -(1 << 63) <= micros < 1 << 63:
            refuse(reading, value)
        return micros

    return read


def _seconds(found: re.Match[str], group: int) -> int:
    hour, minute, second = (int(found[group + i] or 0) for i in range(3))
    return (hour * 60 + minute) * 60 + second


def _days(found: re.Match[str]) -> int:
    """Days since 1970-01-01 in the Gregorian calendar, which the server extends to all years."""
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if found[12]:
        year = 1 - year
    if month <= 2:
        year -= 1
    # Years begin in March here, so that a leap day is the last day of one.
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _bytes(text: pa.StringArray) -> pa.BinaryArray:
    r"""`\x00ff` for each value."""
    # A filled copy has no bytes but those of its values, and begins at 0.
    filled = pc.fill_null(text, _NO_BYTES) if text.null_count else text
    filled = pa.concat_arrays([filled]) if filled.offset else filled
    rows = len(filled)
    offsets = np.frombuffer(filled.buffers()[1], np.int32, rows + 1)
    data = np.frombuffer(filled.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    begins = offsets - offsets[0]
    if (np.diff(begins) < 2).any() or (begins & 1).any():
        raise pa.ArrowInvalid("bytes that are not in hexadecimal")
    pairs = data.view(np.uint16)
    heads = begins[:-1] >> 1
    digits = _HEX[data].reshape(-1, 2)
    values = digits[:, 0] << 4 | digits[:, 1]
    body = np.ones(len(values), np.bool_)
    body[heads] = False
    foreign = ((digits[:, 0] | digits[:, 1]) & 0x80).astype(np.bool_)
    if (pairs[heads] != _BACKSLASH_X).any() or (foreign & body).any():
        raise pa.ArrowInvalid("bytes that are not in hexadecimal")
    ends = (begins >> 1) - np.arange(rows + 1, dtype=np.int32)
    validity = text.is_valid().buffers()[1] if text.null_count else None
    return pa.Array.from_buffers(
        pa.binary(),
        rows,
        [validity, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(values[body])],
    )


def _array(text: pa.StringArray, reading: ColumnReading) -> pa.ListArray:
    assert reading.element is not None
    # Elements that are arrays by their own type are quoted, not braced.
    nested = reading.element.shape is Shape.ARRAY and reading.element.pg is reading.pg
    try:
        offsets, elements = split_elements(text, nested=nested)
    except WrongDimensions as problem:
        refuse(reading, problem.value)
    values = read_text(elements, reading.element)
    validity = text.is_valid().buffers()[1] if text.null_count else None
    return pa.Array.from_buffers(
        arrow_type(reading.type),
        len(text),
        [validity, pa.py_buffer(offsets)],
        children=[values],
    )
