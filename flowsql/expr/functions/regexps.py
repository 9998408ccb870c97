"""Regular expressions; Java's syntax, see `java_regex.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from flowsql.errors import Span, SqlError
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.java_regex import UnsupportedPattern, compile_java
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.params import CHARACTER, INT
from flowsql.expr.registry import Function, Maker, by_arguments, forced_nullable, overload
from flowsql.expr.resolve import resolve
from flowsql.expr.vector import EvalSettings, Kernel, each
from flowsql.types import ArrayType, BooleanType, IntType, VarCharType

__all__ = ["FUNCTIONS"]

_STRING_OR_NULL = forced_nullable(VarCharType())
_HINT = "Write the pattern with classes such as [a-z], \\d, \\w, \\s."


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return compile_java(text)
    except UnsupportedPattern as e:
        raise Fault(
            f"regular expression '{text}' uses {e}, which is not supported", hint=_HINT
        ) from e


def _checked(function: Callable[..., Any], arrow: Any) -> Maker:
    """Once a distinct value; a literal pattern is looked at when the statement is planned."""

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        fixed = literal_text(call, 1)
        if fixed is not None:
            try:
                _pattern(fixed)
            except Fault as e:
                raise SqlError(e.message, hint=e.hint, span=call.args[1].span) from e
        return lambda _, *values: each(function, arrow, *values)

    return make


def _must_compile(plain: Function) -> Function:
    """The function, refusing a written pattern that is none; one that is computed gives no match."""

    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        bound = resolve(plain, args, span)
        assert isinstance(bound, Call)
        written = literal_text(bound, 1)
        try:
            wrong = written is not None and _pattern(written) is None
        except Fault as e:
            raise SqlError(e.message, hint=e.hint, span=bound.args[1].span) from e
        if wrong:
            raise SqlError(
                f"Invalid regular expression for {plain.name}: '{written}'",
                span=bound.args[1].span,
            )
        return bound

    return replace(plain, bind=bind, signatures=plain.supported())


def _regexp(text: str, pattern: str) -> bool:
    compiled = _pattern(pattern) if pattern else None
    if pattern == "":
        return False
    return compiled is not None and compiled.search(text) is not None


def _extract(text: str, pattern: str, group: int = 0) -> str | None:
    compiled = _pattern(pattern)
    if compiled is None or group < 0 or group > compiled.groups:
        return None
    found = compiled.search(text)
    return found.group(group) if found else None


def _replace(text: str, pattern: str, new: str) -> str | None:
    compiled = _pattern(pattern)
    if compiled is None:
        return None
    return compiled.sub(lambda _: new, text)


def _count(text: str, pattern: str) -> int | None:
    compiled = _pattern(pattern)
    return None if compiled is None else sum(1 for _ in compiled.finditer(text))


def _substr(text: str, pattern: str) -> str | None:
    compiled = _pattern(pattern)
    found = compiled.search(text) if compiled else None
    return found.group() if found else None


def _instr(text: str, pattern: str) -> int | None:
    compiled = _pattern(pattern)
    if compiled is None:
        return None
    found = compiled.search(text)
    return found.start() + 1 if found else 0


def _extract_all(text: str, pattern: str, group: int = 1) -> list[str | None] | None:
    compiled = _pattern(pattern)
    if compiled is None or group < 0 or group > compiled.groups:
        return None
    return [m.group(group) for m in compiled.finditer(text)]


FUNCTIONS = (
    _must_compile(Function(
        "REGEXP", "True if a part of the text matches.",
        (overload((CHARACTER, CHARACTER), by_arguments(BooleanType()),
                  _checked(_regexp, pa.bool_())),),
    )),
    _must_compile(Function(
        "REGEXP_EXTRACT", "The first match, or a group of it.",
        (overload((CHARACTER, CHARACTER, INT), _STRING_OR_NULL, _checked(_extract, pa.string()),
                  optional=1),),
    )),
    _must_compile(Function(
        "REGEXP_REPLACE", "Text with every match replaced by a text taken literally.",
        (overload((CHARACTER,) * 3, _STRING_OR_NULL, _checked(_replace, pa.string())),),
    )),
    Function(
        "REGEXP_COUNT", "The number of matches.",
        (overload((CHARACTER, CHARACTER), forced_nullable(IntType()),
                  _checked(_count, pa.int32())),),
    ),
    Function(
        "REGEXP_SUBSTR", "The first match.",
        (overload((CHARACTER, CHARACTER), _STRING_OR_NULL, _checked(_substr, pa.string())),),
    ),
    Function(
        "REGEXP_INSTR", "Where the first match begins, from 1; 0 if nowhere.",
        (overload((CHARACTER, CHARACTER), forced_nullable(IntType()),
                  _checked(_instr, pa.int32())),),
    ),
    Function(
        "REGEXP_EXTRACT_ALL", "A group of every match.",
        (overload((CHARACTER, CHARACTER, INT), forced_nullable(ArrayType(VarCharType())),
                  _checked(_extract_all, pa.list_(pa.string())), optional=1),),
    ),
)  # fmt: skip
