"""JSON made of values: JSON_STRING, JSON_OBJECT, JSON_ARRAY, and JSON(…) within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span, SqlError
from flowsql.expr.casting import cast_to
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.functions.temporal import keyword
from flowsql.expr.json_text import NotJson, clean, parse, quote, sort_key, write
from flowsql.expr.json_values import Writer, json_writer, no_json
from flowsql.expr.literals import string_literal
from flowsql.expr.nodes import Call, Cast, Expression, Literal
from flowsql.expr.params import ANY, CHARACTER
from flowsql.expr.registry import (
    Function,
    Maker,
    by_arguments,
    forced_nullable,
    overload,
    strict,
)
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, Value, each
from flowsql.types import DataType, NullType, VarCharType
from flowsql.types.common import is_character
from flowsql.types.constants import NO_TEXT, join_texts, text_constant

__all__ = ["FUNCTIONS"]

_STRING = VarCharType()


def _json(text: str) -> str | None:
    trimmed = text.strip("".join(map(chr, range(33))))
    if not trimmed:
        return None
    try:
        return clean(write(parse(trimmed)))
    except NotJson as e:
        raise Fault(f"'{text}' is not JSON: {e}") from e


_RAW = frozenset({"JSON", "JSON_OBJECT", "JSON_ARRAY"})


def _as_value(name: str, arg: Expression, span: Span | None) -> Expression:
    """An argument that is written as JSON."""
    if isinstance(arg.type, NullType):
        return cast_to(arg, _STRING)
    part = no_json(arg.type)
    if part is not None:
        raise SqlError(
            f"{name} cannot write {part.with_nullable(True)} as JSON",
            hint="CAST it to STRING.",
            span=arg.span or span,
        )
    return arg


def _is_raw(arg: Expression) -> bool:
    """Whether the argument is JSON text already, which goes in as it is."""
    return isinstance(arg, Call) and arg.function in _RAW


_ON_NULL = ("NULL", "ABSENT")


def _bind_json_string(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 1:
        raise wrong_arguments("JSON_STRING", args, span)
    if _is_raw(args[0]):
        return args[0]
    given = _as_value("JSON_STRING", args[0], span)
    result = VarCharType(nullable=given.type.nullable)
    return Call(type=result, function="JSON_STRING", args=(given,), span=span)


def _json_string_make(call: Call, settings: EvalSettings) -> Kernel:
    writer = json_writer(call.args[0].type, settings)
    return lambda _, value: writer(value)


def _bind_object(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_OBJECT(on null, key, value, …); the keys are string literals."""
    if not args or len(args) % 2 == 0:
        raise wrong_arguments("JSON_OBJECT", args, span)
    keyword(args[0], _ON_NULL, "a behaviour ON NULL")
    values = []
    for key, value in zip(args[1::2], args[2::2], strict=True):
        if literal_key(key) is None:
            raise SqlError(
                "a key of JSON_OBJECT is no string literal",
                hint="Write JSON_OBJECT('name' VALUE x); NULL is no key.",
                span=key.span or span,
            )
        values.append(_as_value("JSON_OBJECT", value, span))
    keys = [string_literal(literal_key(k) or "", k.span) for k in args[1::2]]
    raw = string_literal("".join("r" if _is_raw(v) else "v" for v in values) or "-", span)
    pairs = [x for pair in zip(keys, values, strict=True) for x in pair]
    return Call(
        type=_STRING.with_nullable(False),
        function="JSON_OBJECT",
        args=(args[0], raw, *pairs),
        span=span,
    )


def literal_key(arg: Expression) -> str | None:
    """The text of a key, or None where it is no string literal."""
    while isinstance(arg, Cast) and is_character(arg.type):
        arg = arg.arg
    if isinstance(arg, Literal) and isinstance(arg.value, str):
        return arg.value
    return None


def _members(
    call: Call, settings: EvalSettings, at: int, step: int
) -> list[Callable[[Value], Value]]:
    """What writes each value, beginning with the argument number `at`."""
    raw = literal_text(call, 1) or ""
    writers: list[Callable[[Value], Value]] = []
    for kind, arg in zip(raw, call.args[at::step], strict=False):
        writers.append(_written(arg.type, settings, raw=kind == "r"))
    return writers


def _as_it_is(array: Any) -> Any:
    return array


def _written(data_type: DataType, settings: EvalSettings, *, raw: bool) -> Callable[[Value], Value]:
    writer: Writer = _as_it_is if raw else json_writer(data_type, settings)

    def write_value(value: Value) -> Value:
        if isinstance(value, pa.Scalar):
            return writer(pa.array([value.as_py()], value.type))[0] if value.is_valid else NO_TEXT
        return writer(value)

    return write_value


def _or(value: Value, text: str) -> Value:
    """NULL as that text."""
    if isinstance(value, pa.Scalar):
        return value if value.is_valid else text_constant(text)
    return value.fill_null(text) if value.null_count else value


def _build(
    opening: str, closing: str, heads: Sequence[str], texts: Sequence[Value], absent: bool
) -> Value:
    """The members, each behind its head, between brackets; NULL is left out if `absent`."""
    if not absent:
        parts: list[Any] = [opening]
        for n, (head, text) in enumerate(zip(heads, texts, strict=True)):
            parts += [f"{',' if n else ''}{head}", _or(text, "null")]
        return join_texts(*parts, closing)
    pieces = [
        _or(join_texts(f",{head}", text), "") for head, text in zip(heads, texts, strict=True)
    ]
    inner = pc.utf8_slice_codeunits(join_texts(*pieces), 1) if pieces else ""
    return join_texts(opening, inner, closing)


def _object_make(call: Call, settings: EvalSettings) -> Kernel:
    absent = keyword(call.args[0], _ON_NULL, "a behaviour ON NULL") == "ABSENT"
    writers = _members(call, settings, 3, 2)
    keys = [str(k.value) for k in call.args[2::2] if isinstance(k, Literal)]
    names = sorted(set(keys), key=sort_key)
    heads = [f"{quote(n)}:" for n in names]

    def kernel(_: Any, __: Value, ___: Value, *pairs: Value) -> Value:
        found: dict[str, Value] = {}
        for key, value, writer in zip(keys, pairs[1::2], writers, strict=True):
            text = writer(value)
            # Of equal keys the last counts; one that is left out leaves the one before.
            found[key] = pc.coalesce(text, found[key]) if absent and key in found else text
        return _build("{", "}", heads, [found[n] for n in names], absent)

    return kernel


def _bind_json_array(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_ARRAY(on null, value, …)."""
    if not args:
        raise wrong_arguments("JSON_ARRAY", args, span)
    keyword(args[0], _ON_NULL, "a behaviour ON NULL")
    values = [_as_value("JSON_ARRAY", v, span) for v in args[1:]]
    raw = string_literal("".join("r" if _is_raw(v) else "v" for v in values) or "-", span)
    return Call(
        type=_STRING.with_nullable(False),
        function="JSON_ARRAY",
        args=(args[0], raw, *values),
        span=span,
    )


def _array_make(call: Call, settings: EvalSettings) -> Kernel:
    absent = keyword(call.args[0], _ON_NULL, "a behaviour ON NULL") == "ABSENT"
    writers = _members(call, settings, 2, 1)

    def kernel(_: Any, __: Value, ___: Value, *values: Value) -> Value:
        texts = [w(v) for w, v in zip(writers, values, strict=True)]
        return _build("[", "]", [""] * len(texts), texts, absent)

    return kernel


_TEXT_OR_NULL = forced_nullable(VarCharType())


def _built(count: int, make: Maker) -> Any:
    """On null, which values are JSON already, and none or groups of `count` arguments."""
    params = (CHARACTER, CHARACTER, *(ANY,) * count)
    return overload(params, _TEXT_OR_NULL, make, variadic=count > 0)


FUNCTIONS = (
    Function("JSON", "JSON text that JSON_OBJECT and JSON_ARRAY take as it is.",
             (overload((CHARACTER,), _TEXT_OR_NULL, strict(lambda _, text: each(_json, pa.string(), text))),)),
    Function("JSON_STRING", "A value as JSON text.",
             (overload((ANY,), by_arguments(_STRING), _json_string_make),), _bind_json_string,
             signatures=("JSON_STRING(<ANY>)",)),
    Function("JSON_OBJECT", "A JSON object of names and values.",
             (_built(0, _object_make), _built(2, _object_make)), _bind_object,
             signatures=("JSON_OBJECT([[KEY] <STRING literal> VALUE <ANY>, ...] [{NULL | ABSENT} ON NULL])",)),
    Function("JSON_ARRAY", "A JSON array of values.",
             (_built(0, _array_make), _built(1, _array_make)), _bind_json_array,
             signatures=("JSON_ARRAY([<ANY>, ...] [{NULL | ABSENT} ON NULL])",)),
)  # fmt: skip
