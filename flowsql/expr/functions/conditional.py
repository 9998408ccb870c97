"""CASE and what is short for it: COALESCE, IFNULL, IF, NULLIF; GREATEST and LEAST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc

from flowsql.errors import InternalError, Span, SqlError
from flowsql.expr.casting import cast_to
from flowsql.expr.functions.comparison import bind_comparison
from flowsql.expr.nodes import Call, Case, Expression, Literal
from flowsql.expr.params import ANY
from flowsql.expr.registry import Function, Maker, first_argument, overload, strict
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, Value
from flowsql.types import BooleanType, DataType, NullType
from flowsql.types.common import common_type, is_nested, is_unordered

__all__ = ["FUNCTIONS", "bind_case"]


def bind_case(
    conditions: Sequence[Expression], results: Sequence[Expression], span: Span | None
) -> Expression:
    """Searched CASE; one result a condition and, if there is an ELSE, one more.

    Raises:
        SqlError: a condition is not BOOLEAN, or the results have no common type.
    """
    tested = []
    for c in conditions:
        if not isinstance(c.type, BooleanType | NullType):
            raise SqlError(
                f'condition has type "{c.type.with_nullable(True)}", not BOOLEAN',
                span=c.span or span,
            )
        tested.append(cast_to(c, BooleanType()) if isinstance(c.type, NullType) else c)
    branches = list(results)
    if len(branches) == len(tested):
        branches.append(Literal(type=NullType(), value=None, span=span))
    merged = common_type([r.type for r in branches])
    if merged is None:
        types = ", ".join(sorted({str(r.type.with_nullable(True)) for r in branches}))
        raise SqlError(
            f"the results of CASE have no common type: {types}",
            hint="CAST them to one type.",
            span=span,
        )
    return Case(
        type=merged,
        conditions=tuple(tested),
        results=tuple(cast_to(r, merged) for r in branches),
        span=span,
    )


def _bind_coalesce(name: str, fixed: int | None) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        merged = common_type([a.type for a in args], double=True) if args else None
        if merged is None or isinstance(merged, NullType) or fixed not in (None, len(args)):
            raise wrong_arguments(name, args, span)
        nullable = all(a.type.nullable for a in args)
        if len(args) == 1 or not args[0].type.nullable:
            return cast_to(args[0], merged.with_nullable(nullable))
        return Call(
            type=merged.with_nullable(nullable),
            function="COALESCE",
            args=tuple(cast_to(a, merged) for a in args),
            span=span,
        )

    return bind


def _bind_if(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 3 or not isinstance(args[0].type, BooleanType):
        raise wrong_arguments("IF", args, span)
    if common_type([a.type for a in args[1:]]) is None:
        raise wrong_arguments("IF", args, span)
    case = bind_case(args[:1], args[1:], span)
    # Flink's IF is nullable if its condition is.
    return replace(case, type=case.type.with_nullable(any(a.type.nullable for a in args)))


def _bind_nullif(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 2:
        raise wrong_arguments("NULLIF", args, span)
    value, other = args
    same = bind_comparison("=", value, other, span)
    nothing = Literal(type=value.type.with_nullable(True), value=None, span=span)
    return Case(
        type=value.type.with_nullable(True), conditions=(same,), results=(nothing, value), span=span
    )


def _lazy(call: Call, settings: EvalSettings) -> Kernel:
    del settings

    def kernel(*_: Any) -> Any:
        raise InternalError(f'"{call.function}" is evaluated by branches')

    return kernel


def _no_order(data_type: DataType) -> bool:
    return is_nested(data_type) or is_unordered(data_type)


def _bind_extreme(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        merged = common_type([a.type for a in args], double=True) if args else None
        if merged is None or isinstance(merged, NullType) or _no_order(merged):
            raise wrong_arguments(name, args, span)
        return Call(
            type=merged, function=name, args=tuple(cast_to(a, merged) for a in args), span=span
        )

    return bind


def _extreme(greatest: bool) -> Maker:
    better = pc.get_function("greater" if greatest else "less").call

    def kernel(_: Any, *values: Value) -> Value:
        best = values[0]
        for other in values[1:]:
            # NULL among the arguments makes the result NULL, as if_else does with a NULL test.
            best = pc.if_else(better([other, best]), other, best)
        return best

    return strict(kernel)


_COMMON = ("COALESCE(<COMMON>, <COMMON>...)",)

FUNCTIONS = (
    Function(
        "COALESCE",
        "The first argument that is not NULL; later ones are not computed.",
        (overload((ANY,), first_argument, _lazy, variadic=True),),
        _bind_coalesce("COALESCE", None),
        signatures=_COMMON,
    ),
    Function(
        "IFNULL",
        "The second argument where the first is NULL.",
        (),
        _bind_coalesce("IFNULL", 2),
        signatures=("IFNULL(input <COMMON>, null_replacement <COMMON>)",),
    ),
    Function(
        "IF",
        "The second argument where the condition holds, else the third.",
        (),
        _bind_if,
        signatures=("IF(<BOOLEAN>, <COMMON>, <COMMON>)",),
    ),
    Function(
        "NULLIF",
        "NULL where both arguments are equal, else the first.",
        (),
        _bind_nullif,
        signatures=("NULLIF(<COMPARABLE_TYPE>, <COMPARABLE_TYPE>)",),
    ),
    *(
        Function(
            name,
            f"The {word} argument, NULL if one is NULL.",
            (overload((ANY,), first_argument, _extreme(name == "GREATEST"), variadic=True),),
            _bind_extreme(name),
            signatures=(f"{name}(<COMPARABLE>...)",),
        )
        for name, word in (("GREATEST", "greatest"), ("LEAST", "least"))
    ),
)
