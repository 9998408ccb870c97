"""The type that several values share: CASE, COALESCE, IN, UNION, ARRAY[…].

The rules are those of Flink's planner. Two surprises are kept: numeric types are merged from left
to right, and FLOAT does not give way to DOUBLE (`FLOAT + DOUBLE` is FLOAT, `DOUBLE + FLOAT` is
DOUBLE); CHAR of unequal lengths becomes VARCHAR.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import UnionType

from flowsql.types import datatypes as t
from flowsql.types.decimals import MAX_PRECISION, as_decimal

__all__ = [
    "common_type",
    "holds",
    "holds_variant",
    "is_approximate",
    "is_binary",
    "is_character",
    "is_datetime",
    "is_exact",
    "is_integer",
    "is_interval",
    "is_nested",
    "is_numeric",
    "is_timestamp",
    "is_unordered",
    "plain_type",
]

_INTEGERS: tuple[type[t.DataType], ...] = (
    t.TinyIntType,
    t.SmallIntType,
    t.IntType,
    t.BigIntType,
)


def is_integer(data_type: t.DataType) -> bool:
    """TINYINT, SMALLINT, INT or BIGINT."""
    return isinstance(data_type, _INTEGERS)


def is_exact(data_type: t.DataType) -> bool:
    """An integer or DECIMAL."""
    return isinstance(data_type, (*_INTEGERS, t.DecimalType))


def is_approximate(data_type: t.DataType) -> bool:
    """FLOAT or DOUBLE."""
    return isinstance(data_type, t.FloatType | t.DoubleType)


def is_numeric(data_type: t.DataType) -> bool:
    """Any number."""
    return is_exact(data_type) or is_approximate(data_type)


def is_character(data_type: t.DataType) -> bool:
    """CHAR, VARCHAR or STRING."""
    return isinstance(data_type, t.CharType | t.VarCharType)


def is_binary(data_type: t.DataType) -> bool:
    """BINARY, VARBINARY or BYTES."""
    return isinstance(data_type, t.BinaryType | t.VarBinaryType)


def is_timestamp(data_type: t.DataType) -> bool:
    """TIMESTAMP or TIMESTAMP_LTZ."""
    return isinstance(data_type, t.TimestampType | t.LocalZonedTimestampType)


def is_datetime(data_type: t.DataType) -> bool:
    """DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ."""
    return is_timestamp(data_type) or isinstance(data_type, t.DateType | t.TimeType)


def holds(data_type: t.DataType, kinds: type[t.DataType] | UnionType) -> bool:
    """Whether the type is of one of these kinds, or is made of one."""
    if isinstance(data_type, kinds):
        return True
    match data_type:
        case t.ArrayType(element=element) | t.MultisetType(element=element):
            return holds(element, kinds)
        case t.MapType(key=key, value=value):
            return holds(key, kinds) or holds(value, kinds)
        case t.RowType(fields=fields):
            return any(holds(f.type, kinds) for f in fields)
        case _:
            return False


def is_interval(data_type: t.DataType) -> bool:
    """Either kind of interval."""
    return isinstance(data_type, t.YearMonthIntervalType | t.DayTimeIntervalType)


def is_nested(data_type: t.DataType) -> bool:
    """ARRAY, MULTISET, MAP or ROW."""
    return isinstance(data_type, t.ArrayType | t.MultisetType | t.MapType | t.RowType)


def is_unordered(data_type: t.DataType) -> bool:
    """BITMAP, VARIANT: two values are the same or not, and neither is less."""
    return isinstance(data_type, t.BitmapType | t.VariantType)


def holds_variant(data_type: t.DataType) -> bool:
    """VARIANT, or a type with one within."""
    return holds(data_type, t.VariantType)


def plain_type(data_type: t.DataType) -> t.DataType:
    """The type without its time attribute."""
    if isinstance(data_type, t.TimestampType):
        return t.TimestampType(data_type.precision, nullable=data_type.nullable)
    if isinstance(data_type, t.LocalZonedTimestampType):
        return t.LocalZonedTimestampType(data_type.precision, nullable=data_type.nullable)
    return data_type


def common_type(types: Iterable[t.DataType], *, double: bool = False) -> t.DataType | None:
    """The type all of `types` can be cast to, or None where there is none.

    Nullable as soon as one of them is; untyped NULLs only add nullability. With `double`, FLOAT
    and DOUBLE merge to DOUBLE: the rule of Flink's own functions (COALESCE, GREATEST), not of SQL's.
    """
    given = list(types)
    if double and any(isinstance(x, t.DoubleType) for x in given):
        given = [
            t.DoubleType(nullable=x.nullable) if isinstance(x, t.FloatType) else x for x in given
        ]
    nullable = any(x.nullable for x in given)
    typed = [x for x in given if not isinstance(x, t.NullType)]
    if not typed:
        return t.NullType()

    found: t.DataType | None = typed[0]
    for other in typed[1:]:
        found = None if found is None else _merge(found, other)
    return None if found is None else found.with_nullable(nullable)


def _merge(a: t.DataType, b: t.DataType) -> t.DataType | None:
    if a.with_nullable(True) == b.with_nullable(True):
        return a
    if is_numeric(a) and is_numeric(b):
        return _merge_numeric(a, b)
    match a, b:
        case (t.CharType() | t.VarCharType(), t.CharType() | t.VarCharType()):
            return t.VarCharType(max(a.length, b.length))
        case (t.BinaryType() | t.VarBinaryType(), t.BinaryType() | t.VarBinaryType()):
            return t.VarBinaryType(max(a.length, b.length))
        case (t.TimeType(), t.TimeType()):
            return t.TimeType(max(a.precision, b.precision))
        case (t.TimestampType(), t.TimestampType()):
            return t.TimestampType(max(a.precision, b.precision))
        case (
            t.TimestampType() | t.LocalZonedTimestampType(),
            t.TimestampType() | t.LocalZonedTimestampType(),
        ):
            return t.LocalZonedTimestampType(max(a.precision, b.precision))
        case (t.YearMonthIntervalType(), t.YearMonthIntervalType()):
            return t.YearMonthIntervalType("MONTH")
        case (t.DayTimeIntervalType(), t.DayTimeIntervalType()):
            return t.DayTimeIntervalType("SECOND", fraction=max(a.fraction, b.fraction))
        case (t.ArrayType(), t.ArrayType()):
            element = common_type((a.element, b.element))
            return None if element is None else t.ArrayType(element)
        case (t.MultisetType(), t.MultisetType()):
            element = common_type((a.element, b.element))
            return None if element is None else t.MultisetType(element)
        case (t.MapType(), t.MapType()):
            key, value = common_type((a.key, b.key)), common_type((a.value, b.value))
            return None if key is None or value is None else t.MapType(key, value)
        case (t.StructuredType(), _) | (_, t.StructuredType()):
            return None  # only the same class has a common type
        case (t.RowType(), t.RowType()):
            return _merge_rows(a, b)
        case _:
            return None


def _merge_numeric(a: t.DataType, b: t.DataType) -> t.DataType:
    if is_approximate(a):
        return t.DoubleType() if isinstance(b, t.DecimalType) else a
    if is_approximate(b):
        return t.DoubleType() if isinstance(a, t.DecimalType) else b
    if is_integer(a) and is_integer(b):
        return max(a, b, key=lambda x: _INTEGERS.index(type(x)))
    x, y = as_decimal(a), as_decimal(b)
    assert x is not None
    assert y is not None
    whole = min(max(x.precision - x.scale, y.precision - y.scale), MAX_PRECISION)
    scale = min(max(x.scale, y.scale), MAX_PRECISION - whole)
    return t.DecimalType(whole + scale, scale)


def _merge_rows(a: t.RowType, b: t.RowType) -> t.RowType | None:
    if len(a.fields) != len(b.fields):
        return None
    fields = []
    for x, y in zip(a.fields, b.fields, strict=True):
        merged = common_type((x.type, y.type))
        if merged is None:
            return None
        fields.append(replace(x, type=merged))
    return t.RowType(tuple(fields))
