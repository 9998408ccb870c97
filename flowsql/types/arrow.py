"""The one table between Flink's types and Arrow's.

| Flink | Arrow |
| --- | --- |
| BOOLEAN, TINYINT … BIGINT, FLOAT, DOUBLE | bool, int8 … int64, float32, float64 |
| DECIMAL(p, s) | decimal128(p, s) |
| CHAR, VARCHAR, STRING / BINARY, VARBINARY, BYTES | string / binary |
| BITMAP | binary, in the portable Roaring format |
| DATE, TIME | date32, time32[ms] |
| TIMESTAMP(p ≤ 6), TIMESTAMP(p > 6) | timestamp[us], timestamp[ns] |
| TIMESTAMP_LTZ | the same with tz=UTC |
| INTERVAL YEAR TO MONTH, DAY TO SECOND | int32 months, int64 milliseconds |
| ARRAY, MAP, MULTISET, ROW | list, map, map<T, int32>, struct |
| VARIANT | binary: metadata and value of Parquet's Variant encoding, one behind the other |
| NULL | null |

Arrow's fields are always nullable: NOT NULL is checked at the sinks, from our own types.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flowsql.errors import DataError
from flowsql.types import datatypes as t

__all__ = ["arrow_schema", "arrow_type", "row_type_of", "type_of"]

_SIMPLE: dict[type[t.DataType], pa.DataType] = {
    t.NullType: pa.null(),
    t.BooleanType: pa.bool_(),
    t.TinyIntType: pa.int8(),
    t.SmallIntType: pa.int16(),
    t.IntType: pa.int32(),
    t.BigIntType: pa.int64(),
    t.FloatType: pa.float32(),
    t.DoubleType: pa.float64(),
    t.CharType: pa.string(),
    t.VarCharType: pa.string(),
    t.BinaryType: pa.binary(),
    t.VarBinaryType: pa.binary(),
    t.BitmapType: pa.binary(),
    t.VariantType: pa.binary(),
    t.DateType: pa.date32(),
    t.TimeType: pa.time32("ms"),
    t.YearMonthIntervalType: pa.int32(),
    t.DayTimeIntervalType: pa.int64(),
}


def arrow_type(data_type: t.DataType) -> pa.DataType:
    """The Arrow type in which values of `data_type` are stored."""
    simple = _SIMPLE.get(type(data_type))
    if simple is not None:
        return simple
    match data_type:
        case t.DecimalType(precision=p, scale=s):
            return pa.decimal128(p, s)
        case t.TimestampType(precision=p):
            return pa.timestamp("us" if p <= 6 else "ns")
        case t.LocalZonedTimestampType(precision=p):
            return pa.timestamp("us" if p <= 6 else "ns", tz="UTC")
        case t.ArrayType(element=element):
            return pa.list_(arrow_type(element))
        case t.MultisetType(element=element):
            return pa.map_(arrow_type(element), pa.int32())
        case t.MapType(key=key, value=value):
            return pa.map_(arrow_type(key), arrow_type(value))
        case t.RowType(fields=fields):
            return pa.struct([pa.field(f.name, arrow_type(f.type)) for f in fields])
        case _:
            raise DataError(f'type "{data_type}" has no Arrow storage')


def arrow_schema(row: t.RowType) -> pa.Schema:
    """The Arrow schema of a relation."""
    return pa.schema([pa.field(f.name, arrow_type(f.type)) for f in row.fields])


def row_type_of(schema: pa.Schema) -> t.RowType:
    """Flink's row type for a foreign Arrow schema."""
    return t.RowType(
        tuple(t.Field(f.name, type_of(f.type).with_nullable(f.nullable)) for f in schema),
        nullable=False,
    )


def type_of(arrow: pa.DataType) -> t.DataType:
    """The Flink type for a foreign Arrow type; raises DataError where there is none.

    Unsigned integers widen, dictionaries and views are their values' type.
    """
    stored: Any = arrow  # its class follows from its id, which the checker cannot see
    match stored.id:
        case pa.lib.Type_NA:
            return t.NullType()
        case pa.lib.Type_BOOL:
            return t.BooleanType()
        case pa.lib.Type_INT8:
            return t.TinyIntType()
        case pa.lib.Type_INT16 | pa.lib.Type_UINT8:
            return t.SmallIntType()
        case pa.lib.Type_INT32 | pa.lib.Type_UINT16:
            return t.IntType()
        case pa.lib.Type_INT64 | pa.lib.Type_UINT32:
            return t.BigIntType()
        case pa.lib.Type_UINT64:
            return t.DecimalType(20, 0)
        case pa.lib.Type_HALF_FLOAT | pa.lib.Type_FLOAT:
            return t.FloatType()
        case pa.lib.Type_DOUBLE:
            return t.DoubleType()
        case pa.lib.Type_DECIMAL128 | pa.lib.Type_DECIMAL256:
            if stored.precision <= 38:
                return t.DecimalType(stored.precision, stored.scale)
        case pa.lib.Type_STRING | pa.lib.Type_LARGE_STRING | pa.lib.Type_STRING_VIEW:
            return t.VarCharType()
        case pa.lib.Type_BINARY | pa.lib.Type_LARGE_BINARY | pa.lib.Type_BINARY_VIEW:
            return t.VarBinaryType()
        case pa.lib.Type_FIXED_SIZE_BINARY:
            return t.BinaryType(stored.byte_width)
        case pa.lib.Type_DATE32 | pa.lib.Type_DATE64:
            return t.DateType()
        case pa.lib.Type_TIME32 | pa.lib.Type_TIME64:
            return t.TimeType(3)
        case pa.lib.Type_TIMESTAMP:
            precision = {"s": 0, "ms": 3, "us": 6, "ns": 9}[stored.unit]
            if stored.tz is None:
                return t.TimestampType(precision)
            return t.LocalZonedTimestampType(precision)
        case pa.lib.Type_DURATION:
            return t.DayTimeIntervalType()
        case pa.lib.Type_LIST | pa.lib.Type_LARGE_LIST | pa.lib.Type_FIXED_SIZE_LIST:
            return t.ArrayType(type_of(stored.value_type))
        case pa.lib.Type_MAP:
            return t.MapType(type_of(stored.key_type).not_null(), type_of(stored.item_type))
        case pa.lib.Type_STRUCT:
            return t.RowType(tuple(t.Field(f.name, type_of(f.type)) for f in stored))
        case pa.lib.Type_DICTIONARY:
            return type_of(stored.value_type)
        case _:
            pass
    raise DataError(f'Arrow type "{arrow}" has no Flink type')
