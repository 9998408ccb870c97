"""Names and arguments to bound expressions."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.functions.catalogue import all_functions, find_function, overload_of
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.registry import Function
from flowsql.expr.resolve import resolve
from flowsql.expr.settings import EvalSettings

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
    if function.bind is None:
        bound = resolve(function, args, span, name.upper())
    else:
        try:
            bound = function.bind(args, span)
        except SqlError as error:
            if error.hint is None:
                error.hint = _supported(function)
            raise
    if isinstance(bound, Call) and any(isinstance(a, Literal) for a in bound.args):
        # A kernel looks at its literals when it is made: a wrong pattern fails here, not later.
        overload_of(bound).make(bound, EvalSettings())
    return bound


def _supported(function: Function) -> str:
    return "Supported: " + ", ".join(function.supported()) + "."
