"""From what a server's type holds to what the declared type holds, for snapshot and log alike.

Both decoders end here: `natural` arrays (integers counting days or microseconds for dates and
times) become columns of the declared type. Fractions of a second that the declared type does not
have are cut off, downwards; what it cannot hold at all is an error that names column and value.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.types import DecimalType, TimestampType, TimeType, arrow_type, quote_identifier
from flowsql_connectors.postgres_cdc.types import ColumnReading, Shape

__all__ = ["conform", "refuse"]

_DAY: Final = 86_400_000_000  # microseconds


def refuse(reading: ColumnReading, value: object, because: str | None = None) -> NoReturn:
    """Raise the error of a value that the declared type cannot hold."""
    reason = because or f"which {reading.type.with_nullable(nullable=True)} cannot hold"
    name = quote_identifier(reading.name)
    raise DataError(
        f'column "{reading.name}", {reading.pg} in the server, holds {value}, {reason}',
        hint=f"Declare the column as {name} STRING, which gives the server's text, and convert it"
        " in the query; or mend the row in the server.",
    )


def conform(values: pa.Array, reading: ColumnReading) -> pa.Array:
    """The column as its declared type."""
    target = arrow_type(reading.type)
    match reading.shape:
        case Shape.TIME:
            assert isinstance(reading.type, TimeType)
            if (highest := _extreme(values, "max")) is not None and highest >= _DAY:
                refuse(reading, "24:00:00")
            unit = 10 ** (6 - min(reading.type.precision, 3))
            cut = pc.multiply(pc.divide(values, unit), unit // 1000)
            return cut.cast(pa.int32()).view(target)
        case Shape.TIMESTAMP | Shape.TIMESTAMPTZ:
            return _timestamp(values, reading, target)
        case Shape.INT2 | Shape.INT4 | Shape.INT8 | Shape.OID:
            if isinstance(reading.type, DecimalType):
                return values.cast(pa.decimal128(38, 0)).cast(target)
            return values.cast(target)
        case _:
            return values if values.type == target else values.cast(target)


def _timestamp(values: pa.Array, reading: ColumnReading, target: pa.DataType) -> pa.Array:
    precision: int = getattr(reading.type, "precision", 6)
    if precision < 6:
        unit = 10 ** (6 - precision)
        # Division cuts towards zero: before 1970 that is upwards.
        rest = pc.subtract(values, pc.multiply(pc.divide(values, unit), unit))
        below = pc.if_else(pc.less(rest, 0), pc.add(rest, unit), rest)
        values = pc.subtract(values, below)
    zone = None if isinstance(reading.type, TimestampType) else "UTC"
    stored = values.view(pa.timestamp("us", zone))
    if precision <= 6:
        return stored
    try:
        return stored.cast(target)
    except pa.ArrowInvalid:
        limit = (1 << 63) // 1000
        outside = pc.or_(pc.less(values, -limit), pc.greater_equal(values, limit))
        first = values.filter(outside)[0].as_py()
        refuse(reading, f"{first} µs since 1970")


def _extreme(values: pa.Array, which: str) -> Any:
    return pc.min_max(values)[which].as_py()
