r"""LIKE and SIMILAR TO.

Without ESCAPE no character escapes: `LIKE 'a\_b'` looks for a backslash. A literal pattern
becomes the cheapest Arrow kernel that does it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span, SqlError
from flowsql.expr.casting import cast_to
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.nodes import Call, Expression
from flowsql.expr.params import CHARACTER
from flowsql.expr.registry import Function, by_arguments, overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, arrow_function, each
from flowsql.types import BooleanType, CharType, NullType, VarCharType

__all__ = ["FUNCTIONS"]

_BOOLEAN = by_arguments(BooleanType())


# In Java `.` is no line end, and Flink takes `_` for it.
_ONE = r"[^\n\r\u0085\u2028\u2029]"
_ONE_RE2 = r"[^\n\r\x{85}\x{2028}\x{2029}]"


def _tokens(pattern: str, escape: str | None) -> list[str | None]:
    """Characters, with `%` as None and `_` as the empty string; raises Fault for a bad escape."""
    if escape is not None and len(escape) != 1:
        raise Fault(f"Invalid escape character '{escape}'")
    out: list[str | None] = []
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == escape:
            following = pattern[i + 1 : i + 2]
            if following not in ("_", "%", escape) or not following:
                raise Fault(f"Invalid escape sequence '{pattern}', {i}")
            out.append(following)
            i += 2
            continue
        out.append(None if c == "%" else "" if c == "_" else c)
        i += 1
    return out


def _regex(pattern: str, escape: str | None) -> str:
    parts = {None: ".*", "": _ONE}
    return "".join(parts.get(t, re.escape(t or "")) for t in _tokens(pattern, escape))


@lru_cache(maxsize=512)
def _compiled(pattern: str, escape: str | None) -> re.Pattern[str]:
    return re.compile(_regex(pattern, escape), re.DOTALL)


def _like(text: str, pattern: str, escape: str | None = None) -> bool:
    return _compiled(pattern, escape).fullmatch(text) is not None


def _like_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    pattern, escape = literal_text(call, 1), literal_text(call, 2)
    if pattern is None or (len(call.args) == 3 and escape is None):
        return lambda _, *values: each(_like, pa.bool_(), *values)
    try:
        tokens = _tokens(pattern, escape)
    except Fault as e:
        raise SqlError(e.message, span=call.args[-1].span or call.span) from e
    body = tokens
    leads = bool(body) and body[0] is None
    while body and body[0] is None:
        body = body[1:]
    trails = bool(body) and body[-1] is None
    while body and body[-1] is None:
        body = body[:-1]
    if not body and leads:
        return lambda _, text, *__: (
            pc.is_valid(text)
            if not text.null_count
            else pc.if_else(
                pc.is_valid(text), pa.scalar(True, pa.bool_()), pa.scalar(None, pa.bool_())
            )
        )
    if all(body):
        fixed = "".join(t or "" for t in body)
        if not leads and not trails:
            wanted = pa.scalar(fixed)
            equal = pc.get_function("equal").call
            return lambda _, text, *__: equal([text, wanted])
        name = {
            (True, True): "match_substring",
            (False, True): "starts_with",
            (True, False): "ends_with",
        }[leads, trails]
        kernel = arrow_function(name, pc.MatchSubstringOptions(fixed))
        return lambda context, text, *_: kernel(context, text)
    regex = "".join(
        "(?s:.*)" if t is None else _ONE_RE2 if t == "" else _re2_quote(t) for t in tokens
    )
    kernel = arrow_function("match_substring_regex", pc.MatchSubstringOptions(rf"\A{regex}\z"))
    return lambda context, text, *_: kernel(context, text)


def _re2_quote(char: str) -> str:
    return char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}"


_CLASSES = {
    "[:ALPHA:]": "A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:UPPER:]": "A-Z",
    "[:upper:]": "A-Z",
    "[:LOWER:]": "a-z",
    "[:lower:]": "a-z",
    "[:DIGIT:]": r"\d",
    "[:digit:]": r"\d",
    "[:SPACE:]": " ",
    "[:space:]": " ",
    "[:WHITESPACE:]": r"\s",
    "[:whitespace:]": r"\s",
    "[:ALNUM:]": "A-Za-z0-9",
    "[:alnum:]": "A-Za-z0-9",
}


@lru_cache(maxsize=512)
def _similar_pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    out: list[str] = []
    i = 0
    in_class = False
    if escape is not None and len(escape) != 1:
        raise Fault(f"Invalid escape character '{escape}'")
    while i < len(pattern):
        c = pattern[i]
        if c == escape:
            if i + 1 == len(pattern):
                raise Fault(f"Invalid escape sequence '{pattern}', {i}")
            out.append(re.escape(pattern[i + 1]))
            i += 2
            continue
        if in_class:
            named = next((k for k in _CLASSES if pattern.startswith(k, i)), None)
            if named:
                out.append(_CLASSES[named])
                i += len(named)
                continue
            in_class = c != "]"
            out.append("\\" + c if c in "\\[&~|" else c)
        elif c == "[":
            in_class = True
            out.append(c)
        elif c == "%":
            out.append(".*")
        elif c == "_":
            out.append(".")
        elif c in "|*+?(){}.":
            # The dot is any character, though the standard says itself: Flink's answer.
            out.append(c)
        else:
            out.append(re.escape(c))
        i += 1
    try:
        return re.compile("".join(out), re.DOTALL | re.ASCII)
    except re.error as e:
        raise Fault(f"pattern '{pattern}' of SIMILAR TO is not well formed") from e


def _similar(text: str, pattern: str, escape: str | None = None) -> bool:
    return _similar_pattern(pattern, escape).fullmatch(text) is not None


def _similar_make(call: Call, settings: EvalSettings) -> Kernel:
    del call, settings
    return lambda _, *values: each(_similar, pa.bool_(), *values)


def _bind(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        kinds = CharType | VarCharType | NullType
        if len(args) not in (2, 3) or not all(isinstance(a.type, kinds) for a in args):
            raise wrong_arguments(name, args, span)
        given = tuple(
            cast_to(a, VarCharType()) if isinstance(a.type, NullType) else a for a in args
        )
        return Call(type=_BOOLEAN(given), function=name, args=given, span=span)

    return bind


FUNCTIONS = (
    Function(
        "LIKE",
        "True if the text matches: % stands for any text, _ for one character.",
        (overload((CHARACTER,) * 3, _BOOLEAN, _like_make, optional=1),),
        _bind("LIKE"),
        signatures=("<STRING> LIKE <STRING> [ESCAPE <STRING>]",),
    ),
    Function(
        "SIMILAR TO",
        "True if the text matches a regular expression of SQL.",
        (overload((CHARACTER,) * 3, _BOOLEAN, _similar_make, optional=1),),
        _bind("SIMILAR TO"),
        signatures=("<STRING> SIMILAR TO <STRING> [ESCAPE <STRING>]",),
    ),
)
