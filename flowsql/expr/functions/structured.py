"""Objects: rows with the name of a class, made and changed field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.nodes import Call, Expression, FieldAccess, Literal
from flowsql.expr.registry import Function
from flowsql.expr.signatures import wrong_arguments
from flowsql.types import DataType, Field, NullType, StructuredType
from flowsql.types.common import is_character

__all__ = ["FUNCTIONS"]


def _text(arg: Expression) -> str | None:
    """The text of a string literal, or None where it is none."""
    if isinstance(arg, Literal) and isinstance(arg.value, str) and is_character(arg.type):
        return arg.value
    return None


def _pairs(args: Sequence[Expression], span: Span | None) -> list[tuple[str, Expression]]:
    """The names and values behind the first argument."""
    found: dict[str, Expression] = {}
    for number, (key, value) in enumerate(zip(args[1::2], args[2::2], strict=True)):
        name = _text(key)
        if name is None:
            raise SqlError(
                f"the field key at position {2 * number + 2} is no string literal, or NULL",
                span=key.span or span,
            )
        if name in found:
            raise SqlError(f'field "{name}" is given twice', span=key.span or span)
        if isinstance(value.type, NullType):
            raise SqlError(
                "NULL has no type here",
                hint="Write CAST(NULL AS INT), with the type it is to have.",
                span=value.span or span,
            )
        found[name] = value
    return list(found.items())


def _bind_of(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) < 3 or len(args) % 2 == 0:
        raise wrong_arguments("OBJECT_OF", args, span)
    name = _text(args[0])
    if name is None:
        raise SqlError(
            "the first argument of OBJECT_OF, the name of the class, is no string literal, or NULL",
            span=args[0].span or span,
        )
    pairs = _pairs(args, span)
    fields = tuple(Field(n, v.type) for n, v in pairs)
    result = StructuredType(fields, class_name=name)
    return _row(result, [v for _, v in pairs], span)


def _row(result: DataType, values: Sequence[Expression], span: Span | None) -> Expression:
    return Call(type=result, function="ROW", args=tuple(values), span=span)


def _bind_update(args: Sequence[Expression], span: Span | None) -> Expression:
    of: Any = args[0].type if args else None
    if len(args) < 3 or len(args) % 2 == 0 or not isinstance(of, StructuredType):
        raise wrong_arguments("OBJECT_UPDATE", args, span)
    values: dict[str, Expression] = {
        field.name: FieldAccess(
            type=field.type.with_nullable(field.type.nullable or of.nullable),
            arg=args[0],
            index=i,
            span=span,
        )
        for i, field in enumerate(of.fields)
    }
    fields = {field.name: field for field in of.fields}
    for number, (name, value) in enumerate(_pairs(args, span)):
        if name not in fields:
            near = nearest(name, list(fields))
            raise SqlError(
                f'object has no field "{name}"',
                hint=f'Did you mean "{near}"?' if near else None,
                span=args[2 * number + 1].span or span,
            )
        values[name] = value
        fields[name] = replace(fields[name], type=value.type)
    result = replace(of, fields=tuple(fields.values()))
    return _row(result, list(values.values()), span)


FUNCTIONS = (
    Function("OBJECT_OF", "An object of a class, from names and values.", (), _bind_of,
             signatures=("OBJECT_OF(<STRING literal>, <STRING literal>, <ANY>[, ...])",)),
    Function("OBJECT_UPDATE", "The object with new values of some fields.", (), _bind_update,
             signatures=("OBJECT_UPDATE(<STRUCTURED>, <STRING literal>, <ANY>[, ...])",)),
)  # fmt: skip
