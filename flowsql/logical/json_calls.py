"""Calls of the JSON functions: their clauses as arguments that the registry knows."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.expr import (
    Expression,
    Literal,
    bind_call,
    can_cast_implicitly,
    implicit_cast,
    string_literal,
)
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import DataType, NullType, VarCharType

__all__ = ["JSON_CALLS", "bind_json"]

JSON_CALLS = frozenset({
    "JSON", "JSON_ARRAY", "JSON_EXISTS", "JSON_OBJECT", "JSON_QUERY", "JSON_VALUE",
})  # fmt: skip
"""Functions that `bind_json` binds."""

Value = Callable[[exp.Expr], Expression]


def bind_json(node: d.FunctionCall, value: Value, span: Span) -> Expression:
    """The call with its clauses; `value` binds an argument.

    Raises:
        SqlError: a clause is given twice, or does not fit.
    """
    clauses: dict[str, d.JsonClause] = {}
    for clause in node.args.get("clauses") or ():
        kind = clause.args["kind"]
        if kind in clauses:
            raise SqlError(f"{kind} is given twice", span=span_of(clause))
        clauses[kind] = clause
    args = [value(a) for a in node.arguments]
    match node.function:
        case "JSON":
            _inside_a_constructor(node, span)
        case "JSON_OBJECT":
            args.insert(0, _word(clauses, "ON NULL", "NULL", span))
        case "JSON_ARRAY":
            args.insert(0, _word(clauses, "ON NULL", "ABSENT", span))
        case "JSON_EXISTS" if clauses:
            args.append(_word(clauses, "ON ERROR", "FALSE", span))
        case "JSON_QUERY" if clauses:
            args.append(_nothing(clauses, span))
            args.append(_word(clauses, "WRAPPER", "WITHOUT", span))
            args += [_word(clauses, kind, "NULL", span) for kind in ("ON EMPTY", "ON ERROR")]
        case "JSON_VALUE" if clauses:
            nothing = _nothing(clauses, span)
            args.append(nothing)
            for kind in ("ON EMPTY", "ON ERROR"):
                args += _behaviour(clauses.get(kind), value, nothing, span)
    return bind_call(node.function, args, span)


def _inside_a_constructor(node: d.FunctionCall, span: Span) -> None:
    above = node.parent
    inside: exp.Expr = node
    while isinstance(above, exp.Paren):
        inside, above = above, above.parent
    if isinstance(above, d.FunctionCall):
        if above.function == "JSON_ARRAY":
            return
        if above.function == "JSON_OBJECT":
            place = next(i for i, a in enumerate(above.arguments) if a is inside)
            if place % 2:
                return
    raise SqlError(
        "JSON can only be a value of JSON_OBJECT or JSON_ARRAY",
        hint="Text is JSON text already; without a constructor leave JSON(…) out.",
        span=span,
    )


def _word(clauses: dict[str, d.JsonClause], kind: str, default: str, span: Span) -> Literal:
    """What a clause says, as a keyword."""
    clause = clauses.get(kind)
    if clause is None:
        return string_literal(default, span)
    return string_literal(clause.args["this"], span_of(clause))


def _nothing(clauses: dict[str, d.JsonClause], span: Span) -> Literal:
    """NULL of the type to return."""
    returning: DataType = VarCharType()
    clause = clauses.get("RETURNING")
    if clause is not None:
        returning, span = clause.args["this"].with_nullable(True), span_of(clause)
    return Literal(type=returning, value=None, span=span)


def _behaviour(
    clause: d.JsonClause | None, value: Value, nothing: Literal, span: Span
) -> list[Expression]:
    """The keyword and the default of ON EMPTY or ON ERROR."""
    said = "NULL" if clause is None else clause.args["this"]
    if clause is None or not isinstance(said, exp.Expr):
        return [string_literal(said, span), nothing]
    default = _default(clause, value(said), nothing.type, span_of(said))
    return [string_literal("DEFAULT", span), default]


def _default(
    clause: d.JsonClause, value: Expression, returning: DataType, span: Span
) -> Expression:
    if isinstance(value.type, NullType):
        raise SqlError(
            "DEFAULT NULL of JSON_VALUE has no type",
            hint=f"Write NULL {clause.args['kind']}.",
            span=span,
        )
    if not can_cast_implicitly(value.type, returning):
        raise SqlError(
            f"the default {clause.args['kind']} of JSON_VALUE is "
            f"{value.type.with_nullable(True)}, not {returning}",
            hint=f"Write CAST(… AS {returning}), or add RETURNING.",
            span=span,
        )
    return implicit_cast(value, returning, span)
