"""Result types of aggregate functions."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError
from flowsql.types import BigIntType, DataType, DecimalType
from flowsql.types.common import (
    is_binary,
    is_interval,
    is_nested,
    is_numeric,
    is_timestamp,
    plain_type,
)
from flowsql.types.decimals import MAX_PRECISION, average_type

__all__ = ["bind_aggregate", "is_aggregate"]

_SIGNATURES = {
    "COUNT": "COUNT(*) or COUNT([DISTINCT] <ANY>, ...)",
    "SUM": "SUM([DISTINCT] <NUMERIC>)",
    "AVG": "AVG([DISTINCT] <NUMERIC>)",
    "MIN": "MIN([DISTINCT] <COMPARABLE_TYPE>)",
    "MAX": "MAX([DISTINCT] <COMPARABLE_TYPE>)",
}


def is_aggregate(name: str) -> bool:
    """Whether `name`, in any case, is an aggregate function that is implemented."""
    return name.upper() in _SIGNATURES


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
    wrong = SqlError(
        f'"{function}" does not take ({", ".join(map(str, args))})',
        hint=f"Supported: {_SIGNATURES[function]}.",
        span=span,
    )
    if function == "COUNT":
        return BigIntType(nullable=False)
    if len(args) != 1:
        raise wrong
    arg = args[0]
    if function in ("MIN", "MAX"):
        if is_nested(arg) or is_binary(arg):
            raise wrong
        if is_timestamp(arg):
            return plain_type(arg)
        return arg
    if function == "SUM" and is_interval(arg):
        raise wrong
    if not is_numeric(arg):
        raise wrong
    if isinstance(arg, DecimalType):
        if function == "SUM":
            return DecimalType(MAX_PRECISION, arg.scale, nullable=arg.nullable)
        return average_type(arg).with_nullable(arg.nullable)
    return arg
