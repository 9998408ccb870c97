"""PRINTF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from flowsql.errors import Span, SqlError
from flowsql.expr.java_format import Moment, Single, Whole, WrongFormat, java_format
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.params import ANY, CHARACTER
from flowsql.expr.registry import Function, forced_nullable, overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.text import formatter
from flowsql.expr.vector import EvalSettings, Kernel, Value, each
from flowsql.types import (
    BigIntType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    NullType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarCharType,
)
from flowsql.types.common import is_character

__all__ = ["FUNCTIONS"]

_BITS = {TinyIntType: 8, SmallIntType: 16, IntType: 32, BigIntType: 64, DateType: 32, TimeType: 32}
_FORMS = ("PRINTF(<CHARACTER_STRING>, <ANY>...)",)


def _bind(args: Sequence[Expression], span: Span | None) -> Expression:
    if not args or not (is_character(args[0].type) or isinstance(args[0].type, NullType)):
        raise wrong_arguments("PRINTF", args, span, _FORMS)
    for arg in args[1:]:
        if not isinstance(arg.type, NullType) and _prepared(arg.type) is None:
            raise SqlError(
                f"PRINTF cannot write {arg.type.with_nullable(True)}",
                hint="CAST it to STRING.",
                span=arg.span or span,
            )
    return Call(type=VarCharType(), function="PRINTF", args=tuple(args), span=span)


Prepare = Callable[[Any], Any]


def _prepared(data_type: DataType) -> tuple[Prepare, Prepare] | None:
    """How a column is stored for it, and what is made of each value; None refuses the type."""
    bits = _BITS.get(type(data_type))
    match data_type:
        case DateType() | TimeType():
            # Flink gives the formatter its own numbers: days, or milliseconds of the day.
            return (lambda a: a.view(pa.int32())), (lambda v: Whole(v, 32))
        case _ if bits is not None:
            return (lambda a: a), (lambda v: Whole(v, bits))
        case DoubleType():
            return (lambda a: a), float
        case TimestampType() | LocalZonedTimestampType():
            text = formatter(data_type, EvalSettings())
            return text, _iso
        case BooleanType() | DecimalType():
            return (lambda a: a), (lambda v: v)
        case FloatType():
            return (lambda a: a), Single
        case _:
            return ((lambda a: a), (lambda v: v)) if is_character(data_type) else None


def _iso(text: str) -> Moment:
    """A timestamp as `LocalDateTime.toString` writes it."""
    day, _, time = text.partition(" ")
    time = time.rstrip("0").rstrip(".") if "." in time else time
    return Moment(f"{day}T{time.removesuffix(':00') if time.count(':') == 2 else time}")


def _make(call: Call, settings: EvalSettings) -> Kernel:
    zone = settings.local_time_zone
    known = [_prepared(a.type) or ((lambda a: a), (lambda v: v)) for a in call.args[1:]]

    def one(text: str | None, *values: Any) -> str | None:
        if text is None:
            return None
        given = [None if v is None else make(v) for v, (_, make) in zip(values, known, strict=True)]
        try:
            return java_format(text, given, zone)
        except WrongFormat:
            return None

    def kernel(_: Any, text: Value, *values: Value) -> Value:
        stored = [_column(v, store) for v, (store, _make_value) in zip(values, known, strict=True)]
        return each(one, pa.string(), text, *stored, strict=False)

    return kernel


def _column(value: Value, store: Prepare) -> Value:
    if isinstance(value, pa.Scalar):
        return store(pa.array([value.as_py()], value.type))[0] if value.is_valid else value
    return store(value)


FUNCTIONS = (
    Function("PRINTF", "Text made by a format, as Java's `Formatter` does; NULL where it does not fit.",
             (overload((CHARACTER, ANY), forced_nullable(VarCharType()), _make, optional=1,
                       variadic=True),),
             _bind, signatures=_FORMS),
)  # fmt: skip
