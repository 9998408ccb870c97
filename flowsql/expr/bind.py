"""Names and arguments to bound expressions."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.casting import can_cast
from flowsql.expr.elsewhere import ELSEWHERE
from flowsql.expr.functions.catalogue import all_functions, find_function, overload_of
from flowsql.expr.nodes import Call, Cast, Expression, Literal
from flowsql.expr.registry import Function
from flowsql.expr.render import render
from flowsql.expr.resolve import resolve
from flowsql.expr.settings import EvalSettings
from flowsql.types import DateType, DoubleType, NullType, VarCharType, VariantType
from flowsql.types.common import is_character, is_numeric, is_timestamp

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
        raise SqlError(f'function "{name}" does not exist', hint=_instead(name), span=span)
    try:
        bound = _bound(function, name, args, span)
    except SqlError as error:
        if error.hint is None and function.bind is not None:
            error.hint = _supported(function)
        if "does not take" in error.message:
            cast = _with_cast(function, name, args)
            if cast is None and any(isinstance(a.type, VariantType) for a in args):
                cast = _PLAIN_OF_VARIANT
            error.hint = " ".join(filter(None, (error.hint, cast)))
        raise
    if isinstance(bound, Call) and any(isinstance(a, Literal) for a in bound.args):
        # A kernel looks at its literals when it is made: a wrong pattern fails here, not later.
        overload_of(bound).make(bound, EvalSettings())
    return bound


def _bound(
    function: Function, name: str, args: Sequence[Expression], span: Span | None
) -> Expression:
    if function.bind is None:
        return resolve(function, args, span, name.upper())
    return function.bind(args, span)


_PLAIN_OF_VARIANT = (
    "Of a VARIANT, JSON_STRING(…) makes JSON text, JSON_VALUE(…, '$' RETURNING INT) a plain value, "
    "JSON_QUERY(…, '$' RETURNING ARRAY<STRING>) an array."
)


def _instead(name: str) -> str | None:
    """What to write for a function that is not known."""
    other = ELSEWHERE.get(name.upper())
    if other is not None:
        return f"Write {other}."
    from flowsql.expr.aggregates import all_aggregates  # noqa: PLC0415 - it binds by this module

    known = [
        *(n for n in all_functions() if n[0] not in _SYMBOLS),
        *(a.name for a in all_aggregates()),
    ]
    # Of so many names one is always a little like it: CONV is no COUNT. One wrong letter of three
    # or four is much of a name, yet only a slip.
    slips = [k for k in known if len(k) == len(name) < 5]
    near = nearest(name, known, cutoff=0.75) or nearest(name, slips)
    return f'Did you mean "{near}"?' if near else None


def _with_cast(function: Function, name: str, args: Sequence[Expression]) -> str | None:
    """The one cast of an argument that would make a call right."""
    numbers = [a.type for a in args if is_numeric(a.type)]
    times = [a.type for a in args if is_timestamp(a.type)]
    dates = [i for i, a in enumerate(args) if times and isinstance(a.type, DateType)]
    for i in (*dates, *(i for i in range(len(args)) if i not in dates)):
        arg = args[i]
        kind = (numbers or [DoubleType()])[0] if is_character(arg.type) else VarCharType()
        kind = (times[0] if i in dates else kind).with_nullable(True)
        if isinstance(arg.type, NullType) or not can_cast(arg.type, kind):
            continue
        cast = Cast(type=kind, arg=arg, safe=False, span=arg.span)
        try:
            _bound(function, name, [*args[:i], cast, *args[i + 1 :]], None)
        except SqlError:
            continue
        return f"Write {render(cast)}."
    return None


def _supported(function: Function) -> str:
    return "Supported: " + ", ".join(function.supported()) + "."
