"""The kinds of arguments that signatures are made of."""

from __future__ import annotations

from flowsql.expr.registry import Param
from flowsql.types import (
    ArrayType,
    BigIntType,
    BitmapType,
    BooleanType,
    DateType,
    DayTimeIntervalType,
    DoubleType,
    IntType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
)
from flowsql.types.common import (
    is_binary,
    is_character,
    is_datetime,
    is_exact,
    is_integer,
    is_numeric,
    is_timestamp,
)

__all__ = [
    "ANY",
    "ARRAY",
    "AS_DOUBLE",
    "BIGINT",
    "BITMAP",
    "BOOLEAN",
    "BYTES",
    "CHARACTER",
    "DATE",
    "DATETIME",
    "DAY_TIME",
    "DOUBLE",
    "EXACT",
    "INT",
    "INTEGER",
    "MAP",
    "MULTISET",
    "NUMERIC",
    "ROW",
    "SYMBOL",
    "TIME",
    "TIMESTAMP",
    "VARIANT",
    "YEAR_MONTH",
]


ANY = Param("<ANY>", lambda _: True, NullType())
CHARACTER = Param("<CHARACTER_STRING>", is_character, VarCharType())
BYTES = Param("<BINARY_STRING>", is_binary, VarBinaryType())
BITMAP = Param("<BITMAP>", lambda t: isinstance(t, BitmapType))
BOOLEAN = Param("<BOOLEAN>", lambda t: isinstance(t, BooleanType), BooleanType())
NUMERIC = Param("<NUMERIC>", is_numeric, IntType())
EXACT = Param("<EXACT_NUMERIC>", is_exact, IntType())
INTEGER = Param("<INTEGER_NUMERIC>", is_integer, IntType())
INT = Param(
    "<INTEGER>",
    lambda t: isinstance(t, TinyIntType | SmallIntType | IntType),
    IntType(),
    lambda t: IntType(nullable=t.nullable),
)
BIGINT = Param(
    "<INTEGER_NUMERIC>", is_integer, BigIntType(), lambda t: BigIntType(nullable=t.nullable)
)
AS_DOUBLE = Param("<NUMERIC>", is_numeric, DoubleType(), lambda t: DoubleType(nullable=t.nullable))
DOUBLE = Param("<DOUBLE>", lambda t: isinstance(t, DoubleType), DoubleType())
DATE = Param("<DATE>", lambda t: isinstance(t, DateType), DateType())
TIME = Param("<TIME>", lambda t: isinstance(t, TimeType), TimeType())
TIMESTAMP = Param("<TIMESTAMP>", is_timestamp, TimestampType(3))
DATETIME = Param("<DATETIME>", is_datetime, TimestampType(3))
YEAR_MONTH = Param("<INTERVAL_YEAR_MONTH>", lambda t: isinstance(t, YearMonthIntervalType))
DAY_TIME = Param("<INTERVAL_DAY_TIME>", lambda t: isinstance(t, DayTimeIntervalType))
ARRAY = Param("<ARRAY>", lambda t: isinstance(t, ArrayType))
MAP = Param("<MAP>", lambda t: isinstance(t, MapType))
MULTISET = Param("<MULTISET>", lambda t: isinstance(t, MultisetType))
VARIANT = Param("<VARIANT>", lambda t: isinstance(t, VariantType))
ROW = Param("<ROW>", lambda t: isinstance(t, RowType))
SYMBOL = Param("<SYMBOL>", is_character)
