"""Names and arguments to bound expressions."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.casting import cast_to
from flowsql.expr.functions.catalogue import all_functions, find_function
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.registry import Function, Overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.types import NullType

__all__ = ["bind_call"]

_SYMBOLS = frozenset("+-*/%=<>|")


def bind_call(name: str, args: Sequence[Expression], span: Span | None) -> Expression:
    """A call of the scalar function or operator `name`, its arguments cast as it needs.

    Operators go by symbol or words (`"+"`, `"UNARY -"`, `"IS NOT NULL"`, `"BETWEEN"`, `"IN"`).
    Keywords among the arguments are string literals: `EXTRACT('YEAR', x)`, `CEIL(x, 'MONTH')`,
    `TIMESTAMPADD('DAY', n, x)`, `TIMESTAMPDIFF('DAY', a, b)`, `TRIM('BOTH', characters, text)`.

    Raises:
        SqlError: there is no such function, or it does not take these arguments.
    """
    function = find_function(name.upper())
    if function is None:
        known = [n for n in all_functions() if n[0] not in _SYMBOLS]
        near = nearest(name, known)
        raise SqlError(
            f'function "{name}" does not exist',
            hint=f'Did you mean "{near}"?' if near else None,
            span=span,
        )
    if function.bind is not None:
        try:
            return function.bind(args, span)
        except SqlError as error:
            if error.hint is None:
                error.hint = _supported(function)
            raise
    for overload in function.overloads:
        if _takes(overload, args):
            cast = tuple(_as_param(a, overload, i) for i, a in enumerate(args))
            return Call(type=overload.result(cast), function=function.name, args=cast, span=span)
    raise wrong_arguments(name.upper(), args, span, function.supported())


def _supported(function: Function) -> str:
    return "Supported: " + ", ".join(function.supported()) + "."


def _takes(overload: Overload, args: Sequence[Expression]) -> bool:
    return overload.takes(len(args)) and all(
        overload.param(i).null is not None
        if isinstance(a.type, NullType)
        else overload.param(i).accepts(a.type)
        for i, a in enumerate(args)
    )


def _as_param(arg: Expression, overload: Overload, index: int) -> Expression:
    param = overload.param(index)
    if isinstance(arg.type, NullType):
        assert param.null is not None
        return cast_to(arg, param.null)
    return arg if param.to is None else cast_to(arg, param.to(arg.type))
