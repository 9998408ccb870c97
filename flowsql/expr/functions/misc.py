"""TYPEOF, UUID, JSON_VALUE."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.errors import Span, SqlError
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.functions.temporal import keyword
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.params import ANY, CHARACTER
from flowsql.expr.registry import Function, forced_nullable, overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, Value, bytes_of, each
from flowsql.types import (
    BooleanType,
    CharType,
    DataType,
    DoubleType,
    IntType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import is_character

__all__ = ["FUNCTIONS"]


def _bind_typeof(args: Sequence[Expression], span: Span | None) -> Expression:
    # The second argument asks for the serializable text, which is ours always.
    literal = all(isinstance(a, Literal) and isinstance(a.type, BooleanType) for a in args[1:])
    if len(args) not in (1, 2) or not literal:
        raise wrong_arguments("TYPEOF", args, span)
    return Literal(type=VarCharType(), value=str(args[0].type), span=span)


def _uuid_make(call: Call, settings: EvalSettings) -> Kernel:
    del call, settings

    def kernel(context: Any) -> Value:
        rows = context.rows
        raw = np.frombuffer(os.urandom(16 * rows), np.uint8).reshape(rows, 16).copy()
        raw[:, 6] = raw[:, 6] & 0x0F | 0x40  # version 4
        raw[:, 8] = raw[:, 8] & 0x3F | 0x80
        digits = np.frombuffer(raw.tobytes().hex().encode(), np.uint8).reshape(rows, 32)
        out = np.full((rows, 36), ord("-"), np.uint8)
        for start, at, width in ((0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)):
            out[:, at : at + width] = digits[:, start : start + width]
        return bytes_of(np.full(rows, 36), out.ravel(), pa.string())

    return kernel


# JSON_VALUE


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[\s*(\d+)\s*\]|\[\s*['\"]([^'\"]*)['\"]\s*\]")


class _Missing(Exception):  # noqa: N818 - a path without a value
    pass


@lru_cache(maxsize=256)
def _path(text: str) -> tuple[bool, tuple[str | int, ...]]:
    """(lax?, steps) of a JSON path of names and indexes."""
    body = text.strip()
    mode = re.match(r"(lax|strict)\s+", body, re.IGNORECASE)
    lax = mode is not None and mode[1].lower() == "lax"
    if mode:
        body = body[mode.end() :]
    body = body.removeprefix("$") if body.startswith("$") else "." + body
    steps: list[str | int] = []
    at = 0
    while at < len(body):
        found = _STEP.match(body, at)
        if found is None:
            raise Fault(
                f"JSON path '{text}' is not supported",
                hint="Use names and indexes such as '$.a.b[0]'.",
            )
        name, index, quoted = found.groups()
        steps.append(int(index) if index is not None else name if name is not None else quoted)
        at = found.end()
    return lax, tuple(steps)


def _walk(document: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                raise _Missing
        elif not isinstance(document, dict) or step not in document:
            raise _Missing
        document = document[step]
    return document


def _value(text: str, path: str) -> tuple[str, Any]:
    """("value" | "empty" | "error", value)."""
    lax, steps = _path(path)
    try:
        document = json.loads(text, parse_int=_Number, parse_float=_Number)
    except ValueError:
        return "error", f"'{text}' is not JSON"
    try:
        found = _walk(document, steps)
    except _Missing:
        return ("empty" if lax else "error"), f"no result for path {path}"
    if found is None:
        return "empty", None
    if isinstance(found, dict | list):
        return ("empty" if lax else "error"), f"path {path} gives no scalar"
    return "value", found


def _returned(value: Any, returning: DataType) -> Any:
    if isinstance(returning, VarCharType | CharType):
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if isinstance(returning, BooleanType) and isinstance(value, bool):
        return value
    if isinstance(value, _Number):
        whole = re.fullmatch(r"-?\d+", value) is not None
        if isinstance(returning, IntType) and whole and -(1 << 31) <= int(value) < 1 << 31:
            return int(value)
        if isinstance(returning, DoubleType) and not whole:
            return float(value)
    raise Fault(f"JSON value {value!s} is not of type {returning.with_nullable(True)}")


_BEHAVIOURS = ("NULL", "ERROR", "DEFAULT")


def _bind_json_value(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_VALUE(json, path[, returning, on empty, its default, on error, its default]).

    `returning` is a NULL literal of the type, the behaviours are keywords, a default is any
    expression and counts where its keyword is DEFAULT.
    """
    if len(args) not in (2, 7) or not all(is_character(a.type) for a in args[:2]):
        raise wrong_arguments("JSON_VALUE", args, span)
    returning: DataType = VarCharType()
    if len(args) == 7:
        returning = args[2].type.with_nullable(True)
        keyword(args[3], _BEHAVIOURS, "a behaviour ON EMPTY")
        keyword(args[5], _BEHAVIOURS, "a behaviour ON ERROR")
        if not isinstance(returning, VarCharType | BooleanType | IntType | DoubleType):
            raise SqlError(
                f"JSON_VALUE cannot return {returning}",
                hint="Return STRING, BOOLEAN, INTEGER or DOUBLE, and CAST it.",
                span=args[2].span or span,
            )
    return Call(type=returning, function="JSON_VALUE", args=tuple(args), span=span)


def _json_value_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    path = literal_text(call, 1)
    if path is not None:
        try:
            _path(path)
        except Fault as e:
            raise SqlError(e.message, hint=e.hint, span=call.args[1].span) from e
    returning = call.type
    arrow = arrow_type(returning)
    behaviour = {"empty": "NULL", "error": "NULL"}
    if len(call.args) == 7:
        behaviour["empty"] = keyword(call.args[3], _BEHAVIOURS, "a behaviour ON EMPTY")
        behaviour["error"] = keyword(call.args[5], _BEHAVIOURS, "a behaviour ON ERROR")

    def one(text: str | None, path: str | None, empty: Any = None, error: Any = None) -> Any:
        if text is None or path is None:
            return None
        kind, value = _value(text, path)
        if kind == "value":
            return _returned(value, returning)
        match behaviour[kind]:
            case "ERROR":
                raise Fault(str(value) if value else f"no result for path {path}")
            case "DEFAULT":
                return empty if kind == "empty" else error
            case _:
                return None

    def kernel(_: Any, text: Value, path: Value, *rest: Value) -> Value:
        defaults = (rest[2], rest[4]) if rest else ()
        return each(one, arrow, text, path, *defaults, strict=False)

    return kernel


_UUID = CharType(36, nullable=False)

FUNCTIONS = (
    Function("TYPEOF", "The type of a value as text.", (), _bind_typeof,
             signatures=("TYPEOF(<ANY>)", "TYPEOF(<ANY>, <BOOLEAN literal>)")),
    Function("UUID", "A random UUID for each row.", (overload((), lambda _: _UUID, _uuid_make),),
             deterministic=False),
    Function("JSON_VALUE", "A scalar of a JSON text, by a path.",
             (overload((CHARACTER, CHARACTER), forced_nullable(VarCharType()), _json_value_make),
              overload((CHARACTER, CHARACTER, ANY, ANY, ANY, ANY, ANY),
                       forced_nullable(VarCharType()), _json_value_make)),
             _bind_json_value,
             signatures=("JSON_VALUE(<STRING>, <STRING> [RETURNING <TYPE>] [… ON EMPTY] [… ON ERROR])",)),
)  # fmt: skip
