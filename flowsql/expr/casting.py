"""Which casts exist, how they are bound, and the kernel of each.

`can_cast` holds Flink's table of explicit casts, `can_cast_implicitly` that of casts nobody has to
write (INSERT). The kernels stand in `casts_*.py` by the kind of their result.
"""

from __future__ import annotations

from flowsql.errors import Span, SqlError
from flowsql.expr.casts_nested import nested_cast
from flowsql.expr.casts_numeric import to_boolean, to_decimal, to_float, to_integer
from flowsql.expr.casts_temporal import to_date, to_interval, to_time, to_timestamp
from flowsql.expr.casts_text import to_bytes, to_string
from flowsql.expr.nodes import Cast, Expression, Literal
from flowsql.expr.vector import EvalSettings, Kernel
from flowsql.types import (
    MAX_LENGTH,
    ArrayType,
    BigIntType,
    BinaryType,
    BitmapType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    IntType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    TimeAttribute,
    TimestampType,
    TimeType,
    VarBinaryType,
    VarCharType,
    VariantType,
    YearMonthIntervalType,
)
from flowsql.types.common import (
    common_type,
    is_approximate,
    is_binary,
    is_character,
    is_datetime,
    is_exact,
    is_integer,
    is_nested,
    is_numeric,
    is_timestamp,
    plain_type,
)

__all__ = [
    "bind_cast",
    "can_cast",
    "can_cast_implicitly",
    "cast_kernel",
    "cast_to",
    "implicit_cast",
    "same_type",
]


def same_type(a: DataType, b: DataType) -> bool:
    """Equal but for nullability and time attribute."""
    return _plain(a) == _plain(b)


def _plain(data_type: DataType) -> DataType:
    return plain_type(data_type).with_nullable(True)


def can_cast(source: DataType, target: DataType) -> bool:
    """Whether CAST(source AS target) exists in Flink."""
    if isinstance(source, NullType) or same_type(source, target):
        return True
    if isinstance(source, VariantType):
        return False  # within an array or a row there is a text of it
    match target:
        case CharType() | VarCharType():
            return True
        case BooleanType():
            return is_character(source) or is_numeric(source)
        case VarBinaryType(length=length) if isinstance(source, BitmapType):
            return length == MAX_LENGTH
        case BinaryType() | VarBinaryType():
            return is_character(source) or is_binary(source)
        case DateType():
            return is_character(source) or is_timestamp(source)
        case TimeType():
            return is_character(source) or is_timestamp(source) or isinstance(source, TimeType)
        case TimestampType() | LocalZonedTimestampType():
            return is_character(source) or is_datetime(source)
        case YearMonthIntervalType():
            return isinstance(source, YearMonthIntervalType) or is_exact(source)
        case DayTimeIntervalType():
            return isinstance(source, DayTimeIntervalType) or is_exact(source)
        case ArrayType(element=element):
            return isinstance(source, ArrayType) and can_cast(source.element, element)
        case MultisetType(element=element):
            return isinstance(source, MultisetType) and can_cast(source.element, element)
        case MapType(key=key, value=value):
            return (
                isinstance(source, MapType)
                and can_cast(source.key, key)
                and can_cast(source.value, value)
            )
        case RowType(types=types):
            return (
                isinstance(source, RowType)
                and len(source.types) == len(types)
                and all(map(can_cast, source.types, types))
            )
        case _:
            return is_numeric(target) and (
                is_numeric(source) or is_character(source) or isinstance(source, BooleanType)
            )


def can_cast_implicitly(source: DataType, target: DataType) -> bool:
    """Whether a value of `source` may be stored as `target` without a written CAST."""
    if isinstance(source, NullType):
        return target.nullable
    if same_type(source, target):
        return True
    match target:
        case VarCharType():
            return is_character(source)
        case CharType():
            return isinstance(source, CharType)
        case VarBinaryType():
            return is_binary(source)
        case BinaryType():
            return isinstance(source, BinaryType)
        case DecimalType():
            return is_numeric(source)
        case DateType():
            return isinstance(source, TimestampType)
        case TimeType():
            return isinstance(source, TimeType | TimestampType)
        case TimestampType() | LocalZonedTimestampType():
            return is_timestamp(source)
        case YearMonthIntervalType():
            return isinstance(source, YearMonthIntervalType)
        case DayTimeIntervalType():
            return isinstance(source, DayTimeIntervalType)
        case ArrayType(element=element):
            return isinstance(source, ArrayType) and can_cast_implicitly(source.element, element)
        case MultisetType(element=element):
            return isinstance(source, MultisetType) and can_cast_implicitly(source.element, element)
        case MapType(key=key, value=value):
            return (
                isinstance(source, MapType)
                and can_cast_implicitly(source.key, key)
                and can_cast_implicitly(source.value, value)
            )
        case RowType(types=types):
            return (
                isinstance(source, RowType)
                and len(source.types) == len(types)
                and all(map(can_cast_implicitly, source.types, types))
            )
        case _:
            if is_integer(target):
                return is_integer(source) and common_type((source, target)) == target.with_nullable(
                    source.nullable or target.nullable
                )
            return is_approximate(target) and is_numeric(source)


def bind_cast(
    arg: Expression,
    data_type: DataType,
    *,
    safe: bool,
    implicit: bool = False,
    span: Span | None,
) -> Expression:
    """CAST, TRY_CAST (`safe`) or a cast that nobody wrote (`implicit`).

    The result is nullable if the argument is, for TRY_CAST always.

    Raises:
        SqlError: Flink has no such cast.
    """
    source = arg.type
    target = _plain(data_type).with_nullable(source.nullable or safe)
    if isinstance(source, NullType):
        return Literal(type=target.with_nullable(True), value=None, span=span)
    allowed = can_cast_implicitly if implicit else can_cast
    if not allowed(source, data_type):
        raise SqlError(
            f'cannot cast "{_plain(source)}" to "{_plain(data_type)}"'
            + (" implicitly" if implicit else ""),
            hint=_cure(source, data_type, implicit),
            span=span,
        )
    if same_type(source, target) and source.nullable == target.nullable:
        if source == target:
            return arg
        attribute = getattr(source, "attribute", TimeAttribute.NONE)
        if attribute is TimeAttribute.NONE:
            return arg
    return Cast(type=target, arg=arg, safe=safe, span=span or arg.span)


def _cure(source: DataType, target: DataType, implicit: bool) -> str | None:
    if implicit and can_cast(source, target):
        return f"Write CAST(… AS {_plain(target)})."
    if isinstance(source, VariantType):
        if isinstance(target, BooleanType | DoubleType | IntType):
            return f"Write JSON_VALUE(…, '$' RETURNING {_plain(target)})."
        if is_numeric(target) or is_datetime(target) or is_binary(target):
            return f"Write CAST(JSON_VALUE(…, '$') AS {_plain(target)})."
        return "Use JSON_STRING for its JSON text, JSON_VALUE(…, '$') for the text of a scalar."
    if isinstance(target, VariantType):
        return "PARSE_JSON makes it of JSON text; JSON_STRING makes that of any value."
    if isinstance(target, BitmapType):
        return "Use BITMAP_BUILD(array of INT), or BITMAP_FROM_BYTES(bytes)."
    if isinstance(source, BitmapType):
        return "A BITMAP can be cast to STRING and BYTES; BITMAP_TO_ARRAY gives its integers."
    if is_numeric(source) and is_timestamp(target):
        if isinstance(target, LocalZonedTimestampType):
            return "Use TO_TIMESTAMP_LTZ(numeric, precision) instead."
        return "Use TO_TIMESTAMP(FROM_UNIXTIME(numeric)) instead; the number is in seconds."
    if is_timestamp(source) and is_numeric(target):
        return "Use UNIX_TIMESTAMP(CAST(timestamp AS STRING)) instead."
    return None


def cast_to(arg: Expression, data_type: DataType, *, safe: bool = False) -> Expression:
    """The argument as `data_type`, for binding a function: never refused, nullability kept."""
    if isinstance(arg.type, NullType):
        return Literal(type=data_type.with_nullable(True), value=None, span=arg.span)
    target = data_type.with_nullable(arg.type.nullable or safe)
    if same_type(arg.type, target):
        return arg
    widened = _widened_literal(arg, target)
    if widened is not None:
        return widened
    return Cast(type=target, arg=arg, safe=safe, span=arg.span)


def _widened_literal(arg: Expression, target: DataType) -> Literal | None:
    """An integer or string literal of the wanted type, where its value stays as it is."""
    if not isinstance(arg, Literal) or arg.value is None:
        return None
    value = arg.value
    if isinstance(value, int) and not isinstance(value, bool) and is_integer(arg.type):
        if isinstance(target, BigIntType) or (
            isinstance(target, IntType) and -(1 << 31) <= value < 1 << 31
        ):
            return Literal(type=target, value=value, span=arg.span)
        if is_approximate(target):
            return Literal(type=target, value=float(value), span=arg.span)
    if isinstance(value, str) and isinstance(target, VarCharType) and len(value) <= target.length:
        return Literal(type=target, value=value, span=arg.span)
    return None


def implicit_cast(arg: Expression, data_type: DataType, span: Span | None) -> Expression:
    """The value as it is stored in a column of `data_type`; raises SqlError where it cannot be."""
    return bind_cast(arg, data_type, safe=False, implicit=True, span=span)


def cast_kernel(
    arg: Expression, target: DataType, *, safe: bool, settings: EvalSettings
) -> Kernel | None:
    """The kernel of a cast, or None where the stored value stays as it is."""
    return kernel_between(arg.type, target, safe=safe, settings=settings)


def kernel_between(
    source: DataType,
    target: DataType,
    *,
    safe: bool,
    settings: EvalSettings,
) -> Kernel | None:
    """`cast_kernel` by types."""
    if same_type(source, target):
        return None
    match target:
        case CharType() | VarCharType():
            return to_string(source, target, settings, safe=safe)
        case VarBinaryType() if isinstance(source, BitmapType):
            return None  # stored as these bytes
        case BinaryType() | VarBinaryType():
            return to_bytes(source, target)
        case BooleanType():
            return to_boolean(source, safe=safe)
        case DecimalType():
            return to_decimal(source, target, safe=safe)
        case DateType():
            return to_date(source, safe=safe, settings=settings)
        case TimeType():
            return to_time(source, target, safe=safe, settings=settings)
        case TimestampType() | LocalZonedTimestampType():
            return to_timestamp(source, target, safe=safe, settings=settings)
        case YearMonthIntervalType() | DayTimeIntervalType():
            return to_interval(source, target)
        case _ if is_nested(target):

            def inner(a: DataType, b: DataType) -> Kernel | None:
                return kernel_between(a, b, safe=safe, settings=settings)

            return nested_cast(source, target, inner, safe=safe)
        case _ if is_integer(target):
            return to_integer(source, target, safe=safe)
        case _:
            return to_float(source, target, safe=safe)
