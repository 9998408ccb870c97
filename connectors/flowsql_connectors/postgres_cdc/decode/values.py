"""From what a server's type holds to what the declared type holds, for snapshot and log alike.

Both decoders end here: `natural` arrays (integers counting days or microseconds for dates and
times) become columns of the declared type. Fractions of a second that the declared type does not
have are cut off, downwards; what it cannot hold at all is an error that names column and value.
"""

from __future__ import annotations

from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.types import (
    DecimalType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    arrow_type,
    quote_identifier,
)
from flowsql_connectors.postgres_cdc.decode.types import ColumnReading, Shape

__all__ = ["conform", "refuse"]

_DAY: Final = 86_400_000_000  # microseconds
_NANOS: Final = (1 << 63) // 1000  # microseconds that 64 bits of nanoseconds hold
_WHOLE_NUMBERS: Final = pa.decimal128(38, 0)


def refuse(reading: ColumnReading, value: str) -> NoReturn:
    """Raise the error of a value that the declared type cannot hold."""
    declared = reading.type.with_nullable(nullable=True)
    name = quote_identifier(reading.name)
    raise DataError(
        f'column "{reading.name}", {reading.pg} in the server, holds {value}, which {declared}'
        " cannot hold",
        hint=f"Declare the column as {name} STRING, which gives the server's text, and convert it"
        " in the query; or mend the row in the server.",
    )


def conform(values: pa.Array, reading: ColumnReading) -> pa.Array:
    """The column as its declared type."""
    target = arrow_type(reading.type)
    match reading.shape:
        case Shape.TIME:
            assert isinstance(reading.type, TimeType)
            highest = pc.min_max(values)["max"].as_py()
            if highest is not None and highest >= _DAY:
                refuse(reading, "24:00:00")
            micros = _cut(_micros(values), reading.type.precision)
            return _with_nulls(values, (micros // 1000).astype(np.int32), target)
        case Shape.TIMESTAMP | Shape.TIMESTAMPTZ:
            return _timestamp(values, reading, target)
        case Shape.INT2 | Shape.INT4 | Shape.INT8 | Shape.OID:
            if isinstance(reading.type, DecimalType):
                return values.cast(_WHOLE_NUMBERS).cast(target)
    return values if values.type == target else values.cast(target)


def _timestamp(values: pa.Array, reading: ColumnReading, target: pa.DataType) -> pa.Array:
    assert isinstance(reading.type, TimestampType | LocalZonedTimestampType)
    precision = reading.type.precision
    if precision < 6:
        values = _with_nulls(values, _cut(_micros(values), precision), pa.int64())
    if precision <= 6:
        return values.view(target)
    try:
        return values.view(pa.timestamp("us", target.tz)).cast(target)
    except pa.ArrowInvalid:
        # Nanoseconds of 64 bits end in 2262.
        outside = [v for v in values.drop_null().to_pylist() if abs(v) >= _NANOS]
        refuse(reading, f"{outside[0]} µs since 1970")


def _micros(values: pa.Array) -> npt.NDArray[np.int64]:
    """The integers of a column; anything where it is NULL."""
    return np.frombuffer(values.buffers()[1], np.int64, len(values), 8 * values.offset)


def _cut(micros: npt.NDArray[np.int64], digits: int) -> npt.NDArray[np.int64]:
    """Without the digits of a second behind the first ones: towards the past, before 1970 too."""
    return micros if digits >= 6 else micros - micros % (10 ** (6 - digits))


def _with_nulls(
    like: pa.Array, values: npt.NDArray[np.int64] | npt.NDArray[np.int32], kind: pa.DataType
) -> pa.Array:
    """The values, NULL where `like` is."""
    validity = like.is_valid().buffers()[1] if like.null_count else None
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(values)])
