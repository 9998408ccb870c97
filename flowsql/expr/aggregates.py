"""Aggregate functions: names, arguments and result types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from flowsql.errors import Span, SqlError
from flowsql.expr import bitmaps
from flowsql.expr.analysis import is_constant
from flowsql.expr.bind import bind_call
from flowsql.expr.casting import cast_to
from flowsql.expr.evaluate import constant_value
from flowsql.expr.literals import string_literal
from flowsql.expr.nodes import Expression, Literal, LiteralValue
from flowsql.expr.settings import EvalSettings
from flowsql.types import (
    ArrayType,
    BigIntType,
    BitmapType,
    DataType,
    DecimalType,
    DoubleType,
    IntType,
    MultisetType,
    NullType,
    SmallIntType,
    TinyIntType,
    VarCharType,
)
from flowsql.types.common import (
    is_binary,
    is_character,
    is_integer,
    is_interval,
    is_nested,
    is_numeric,
    is_timestamp,
    is_unordered,
    plain_type,
)
from flowsql.types.decimals import MAX_PRECISION, average_type

__all__ = [
    "AggregateFunction",
    "BoundAggregate",
    "all_aggregates",
    "bind_aggregate",
    "bind_aggregate_call",
    "is_aggregate",
]


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """What people are told of an aggregate function."""

    name: str
    signature: str
    doc: str


@dataclass(frozen=True, slots=True)
class BoundAggregate:
    """A call whose arguments are those that the engine computes.

    Attributes:
        args: what is read of each row.
        constants: see `AggregateCall`.
        type: the result type of a GROUP BY group; without keys or with FILTER the caller makes it
            nullable, unless `never_null`.
        never_null: the value of no rows is not NULL either.
    """

    args: tuple[Expression, ...]
    constants: tuple[LiteralValue, ...]
    type: DataType
    never_null: bool = False


def _bitmap_functions() -> tuple[AggregateFunction, ...]:
    """Each twice: the bitmap, and how many integers it has."""
    made = {
        "BUILD": "The set of the integers.",
        "AND": "The integers that all bitmaps have in common.",
        "OR": "The integers that are in at least one bitmap.",
        "XOR": "The integers that are in an odd number of bitmaps.",
    }
    functions = []
    for part, doc in made.items():
        form = "([DISTINCT] <INTEGER>)" if part == "BUILD" else "([DISTINCT] <BITMAP>)"
        for middle in ("", "CARDINALITY_"):
            name = f"BITMAP_{part}_{middle}AGG"
            text = f"{doc[:-1]}; NULL for none."
            if middle:
                text = f"How many integers `BITMAP_{part}_AGG` gives; NULL for no values."
            functions.append(AggregateFunction(name, f"{name}{form}", text))
    return tuple(functions)


_FUNCTIONS = {
    f.name: f
    for f in (
        AggregateFunction(
            "COUNT", "COUNT(*) or COUNT([DISTINCT] <ANY>)", "How many rows, or non-NULL values."
        ),
        AggregateFunction("SUM", "SUM([DISTINCT] <NUMERIC>)", "The sum."),
        AggregateFunction("AVG", "AVG([DISTINCT] <NUMERIC>)", "The mean, in the argument's type."),
        AggregateFunction("MIN", "MIN([DISTINCT] <COMPARABLE_TYPE>)", "The smallest value."),
        AggregateFunction("MAX", "MAX([DISTINCT] <COMPARABLE_TYPE>)", "The greatest value."),
        AggregateFunction(
            "LISTAGG",
            "LISTAGG([DISTINCT] <CHARACTER> [, <CHARACTER_LITERAL>])",
            "The strings in order of arrival, between them a comma or the separator.",
        ),
        AggregateFunction(
            "COLLECT",
            "COLLECT([DISTINCT] <ANY>)",
            "The non-NULL values as a MULTISET.",
        ),
        AggregateFunction(
            "ARRAY_AGG",
            "ARRAY_AGG([DISTINCT] <ANY> [{RESPECT | IGNORE} NULLS])",
            "The values in order of arrival; NULL for none.",
        ),
        AggregateFunction(
            "FIRST_VALUE", "FIRST_VALUE([DISTINCT] <ANY>)", "The first non-NULL value to arrive."
        ),
        AggregateFunction(
            "LAST_VALUE", "LAST_VALUE([DISTINCT] <ANY>)", "The last non-NULL value to arrive."
        ),
        AggregateFunction(
            "STDDEV_POP", "STDDEV_POP([DISTINCT] <NUMERIC>)", "The population's standard deviation."
        ),
        AggregateFunction(
            "STDDEV_SAMP",
            "STDDEV_SAMP([DISTINCT] <NUMERIC>)",
            "The sample's standard deviation; NULL for fewer than two values.",
        ),
        AggregateFunction("STDDEV", "STDDEV([DISTINCT] <NUMERIC>)", "As `STDDEV_SAMP`."),
        AggregateFunction("VAR_POP", "VAR_POP([DISTINCT] <NUMERIC>)", "The population's variance."),
        AggregateFunction(
            "VAR_SAMP",
            "VAR_SAMP([DISTINCT] <NUMERIC>)",
            "The sample's variance; NULL for fewer than two values.",
        ),
        AggregateFunction("VARIANCE", "VARIANCE([DISTINCT] <NUMERIC>)", "As `VAR_SAMP`."),
        AggregateFunction(
            "PERCENTILE",
            "PERCENTILE([DISTINCT] <NUMERIC>, <share from 0 to 1, or ARRAY of them> [, <INTEGER>])",
            "The value at that share of the ordered values, between two of them if need be; each "
            "counts as often as the third argument says.",
        ),
        AggregateFunction(
            "JSON_OBJECTAGG",
            "JSON_OBJECTAGG([KEY] <CHARACTER> VALUE <ANY> [{NULL | ABSENT} ON NULL])",
            "A JSON object of names and values, by name; a name may occur once.",
        ),
        AggregateFunction(
            "JSON_ARRAYAGG",
            "JSON_ARRAYAGG(<ANY> [{NULL | ABSENT} ON NULL])",
            "A JSON array of the values in order of arrival.",
        ),
        AggregateFunction(
            "SINGLE_VALUE", "SINGLE_VALUE(<ANY>)", "The only value; an error for more than one row."
        ),
        *_bitmap_functions(),
        AggregateFunction(
            "APPROX_COUNT_DISTINCT",
            "APPROX_COUNT_DISTINCT(<ANY>)",
            "How many different non-NULL values; exact here, and in batch mode only, as in Flink.",
        ),
    )
}
_SPREADS = ("STDDEV_POP", "VAR_POP", "STDDEV_SAMP", "STDDEV", "VAR_SAMP", "VARIANCE")
_JSON = VarCharType(length=2_000, nullable=False)


def all_aggregates() -> tuple[AggregateFunction, ...]:
    """Every aggregate function."""
    return tuple(_FUNCTIONS.values())


def is_aggregate(name: str) -> bool:
    """Whether `name`, in any case, is an aggregate function that is implemented."""
    return name.upper() in _FUNCTIONS


def _wrong(function: str, args: Sequence[DataType], span: Span | None) -> SqlError:
    return SqlError(
        f'"{function}" does not take ({", ".join(map(str, args))})',
        hint=f"Supported: {_FUNCTIONS[function].signature}." + _cast_hint(function, args),
        span=span,
    )


def _cast_hint(function: str, args: Sequence[DataType]) -> str:
    """What to write for text where numbers are wanted, or nothing."""
    numeric = "<NUMERIC>" in _FUNCTIONS[function].signature
    if not numeric or len(args) != 1 or not is_character(args[0]):
        return ""
    return (
        f" Text that holds numbers must be cast: {function}(CAST(… AS DOUBLE)), or BIGINT, DECIMAL."
    )


def bind_aggregate_call(
    name: str,
    args: Sequence[Expression],
    *,
    distinct: bool,
    on_null: str | None,
    nulls: str | None,
    span: Span | None,
) -> BoundAggregate:
    """A call as the engine computes it.

    Args:
        name: the function.
        args: as written.
        distinct: DISTINCT was written.
        on_null: "NULL" or "ABSENT", if ON NULL was written.
        nulls: "IGNORE" or "RESPECT", if … NULLS was written.
        span: where the call stands.

    Raises:
        SqlError: the function does not take these arguments.
    """
    function = name.upper()
    types = [a.type for a in args]
    if nulls is not None and function != "ARRAY_AGG":
        raise SqlError(
            f'"{function}" takes no {nulls} NULLS',
            hint="Only ARRAY_AGG does." if nulls == "RESPECT" else "It leaves NULLs out anyway.",
            span=span,
        )
    match function:
        case "LISTAGG" if len(args) == 2 and is_character(types[0]):
            separator = args[1]
            if not isinstance(separator, Literal) or not isinstance(separator.value, str):
                raise SqlError(
                    'the separator of "LISTAGG" must be a string literal',
                    hint="Write LISTAGG(x, ', ').",
                    span=separator.span or span,
                )
            return BoundAggregate((args[0],), (separator.value,), types[0])
        case "LISTAGG" if len(args) == 1 and is_character(types[0]):
            return BoundAggregate((args[0],), (), types[0])
        case "PERCENTILE":
            return _percentile(args, span)
        case "JSON_OBJECTAGG" if len(args) == 2 and is_character(types[0]):
            return BoundAggregate(_member(args, on_null), (), _JSON, never_null=True)
        case "JSON_ARRAYAGG" if len(args) == 1:
            constants = ("NULL",) if on_null == "NULL" else ()
            text = bind_call("JSON_STRING", [args[0]], span)
            return BoundAggregate((text,), constants, _JSON, never_null=True)
        case "ARRAY_AGG" if len(args) == 1:
            if nulls == "IGNORE" and types[0].nullable:
                return BoundAggregate((args[0],), ("IGNORE NULLS",), ArrayType(types[0]))
            return BoundAggregate((args[0],), (), ArrayType(types[0], nullable=types[0].nullable))
        case _ if function.startswith("BITMAP_"):
            return _bitmaps(function, args, span)
        case "LISTAGG" | "ARRAY_AGG" | "JSON_OBJECTAGG" | "JSON_ARRAYAGG":
            raise _wrong(function, types, span)
        case _:
            kind = bind_aggregate(function, types, distinct, span)
            return BoundAggregate(tuple(args), (), kind, never_null=function == "COLLECT")


def _member(args: Sequence[Expression], on_null: str | None) -> tuple[Expression, ...]:
    """The key, and `"key":value` as text, NULL for a member that is left out."""
    key, value = args
    span = value.span
    text = bind_call("JSON_STRING", [value], span)
    if on_null != "ABSENT" and text.type.nullable:
        text = bind_call("COALESCE", [text, string_literal("null", span)], span)
    name = bind_call("JSON_STRING", [key], key.span)
    colon = string_literal(":", span)
    member = bind_call("||", [bind_call("||", [name, colon], span), text], span)
    return key, member


def _bitmaps(function: str, args: Sequence[Expression], span: Span | None) -> BoundAggregate:
    kinds: tuple[type[DataType], ...] = (BitmapType,)
    if function.startswith("BITMAP_BUILD_"):
        kinds = (TinyIntType, SmallIntType, IntType, NullType)
    if len(args) != 1 or not isinstance(args[0].type, kinds):
        raise _wrong(function, [a.type for a in args], span)
    bitmaps.require()
    value = args[0] if kinds == (BitmapType,) else cast_to(args[0], IntType())
    kind = BigIntType() if "_CARDINALITY_" in function else BitmapType()
    return BoundAggregate((value,), (), kind)


def _percentile(args: Sequence[Expression], span: Span | None) -> BoundAggregate:
    types = [a.type for a in args]
    if len(args) not in (2, 3) or not is_numeric(types[0]):
        raise _wrong("PERCENTILE", types, span)
    if len(args) == 3 and not is_integer(types[2]):
        raise _wrong("PERCENTILE", types, span)
    share = args[1]
    value = constant_value(share, EvalSettings()).as_py() if is_constant(share) else None
    several = isinstance(share.type, ArrayType)
    shares: list[LiteralValue] = []
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, int | float | Decimal) or not 0 <= part <= 1:
            raise SqlError(
                'a share of "PERCENTILE" is no number from 0 to 1',
                detail="It is the same for all rows: a constant, or a constant ARRAY.",
                hint=f"Supported: {_FUNCTIONS['PERCENTILE'].signature}.",
                span=share.span or span,
            )
        shares.append(float(part))
    kind: DataType = ArrayType(DoubleType()) if several else DoubleType()
    return BoundAggregate((args[0], *args[2:]), tuple(shares), kind)


def bind_aggregate(
    name: str, args: Sequence[DataType], distinct: bool, span: Span | None
) -> DataType:
    """The result type of an aggregate over arguments of the given types.

    Nullable as with GROUP BY of a non-empty group: only if the argument is. Without GROUP BY or
    with FILTER the caller makes it nullable; COUNT never is.

    Raises:
        SqlError: the function does not take these arguments.
    """
    del distinct
    function = name.upper()
    if function == "COUNT":
        return BigIntType(nullable=False)
    if len(args) != 1:
        raise _wrong(function, args, span)
    arg = args[0]
    match function:
        case "APPROX_COUNT_DISTINCT":
            return BigIntType(nullable=False)
        case "COLLECT":
            return MultisetType(arg, nullable=False)
        case "FIRST_VALUE" | "LAST_VALUE":
            return plain_type(arg) if is_timestamp(arg) else arg
        case "SINGLE_VALUE":
            return (plain_type(arg) if is_timestamp(arg) else arg).with_nullable(True)
        case "MIN" | "MAX" if is_nested(arg) or is_binary(arg) or is_unordered(arg):
            raise _wrong(function, args, span)
        case "MIN" | "MAX":
            return plain_type(arg) if is_timestamp(arg) else arg
    if (function == "SUM" and is_interval(arg)) or not is_numeric(arg):
        raise _wrong(function, args, span)
    if function in _SPREADS:
        kind = average_type(arg) if isinstance(arg, DecimalType) else arg
        # One value has no sample's variance.
        return kind.with_nullable(arg.nullable or not function.endswith("_POP"))
    if isinstance(arg, DecimalType):
        if function == "SUM":
            return DecimalType(MAX_PRECISION, arg.scale, nullable=arg.nullable)
        return average_type(arg).with_nullable(arg.nullable)
    return arg
