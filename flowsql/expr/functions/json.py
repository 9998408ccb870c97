"""JSON: taking values out of JSON text, and asking about it.

A text is decoded once for each distinct combination of arguments: no library has Flink's JSON paths
over columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from flowsql.errors import Span, SqlError
from flowsql.expr.casting import cast_to
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.functions.temporal import keyword
from flowsql.expr.json_paths import BadPath, Missing, compile_path, is_lax
from flowsql.expr.json_text import NotJson, clean, number_text, parse, write
from flowsql.expr.nodes import Call, Expression, Literal
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
from flowsql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    IntType,
    NullType,
    VarCharType,
    VariantType,
    arrow_type,
)
from flowsql.types.common import is_character

__all__ = ["FUNCTIONS"]

_STRING = VarCharType()
_EMPTY, _ERROR = "EMPTY", "ERROR"


def _look(text: str, path: str) -> tuple[str | None, Any, bool]:
    """(EMPTY, ERROR or None, value or reason, whether the path is lax)."""
    try:
        compiled = compile_path(path)
    except BadPath as e:
        return (_EMPTY if is_lax(path) else _ERROR), str(e), False
    try:
        document = parse(text)
    except NotJson as e:
        return (_EMPTY if compiled.lax else _ERROR), f"'{text}' is not JSON: {e}", compiled.lax
    if document is None:
        return _ERROR, "the document is null", compiled.lax
    try:
        found = compiled.run(document)
    except Missing as e:
        if not compiled.lax:
            return _ERROR, str(e), False
        found = None if compiled.definite else []
    if found is None:  # a JSON null as well
        return (_EMPTY if compiled.lax else _ERROR), f"path {path} gives null", compiled.lax
    return None, found, compiled.lax


def _check_path(call: Call) -> None:
    """Refuses what a written path uses and is not supported."""
    path = literal_text(call, 1)
    if path is not None:
        try:
            compile_path(path)
        except BadPath:
            return
        except Fault as e:
            raise SqlError(e.message, hint=e.hint, span=call.args[1].span) from e


_OF_VARIANT = ("JSON_VALUE", "JSON_QUERY")


def _inputs(name: str, args: Sequence[Expression], counts: tuple[int, ...], span: Any) -> None:
    kinds = [a.type for a in args[:2]]
    if name in _OF_VARIANT and kinds and isinstance(kinds[0], VariantType):
        kinds = kinds[1:]
    texts = all(is_character(k) or isinstance(k, NullType) for k in kinds)
    if len(args) not in counts or not texts:
        raise wrong_arguments(name, args, span)


def _texts(args: Sequence[Expression]) -> list[Expression]:
    """The first two arguments as text, the others as they are."""
    cast = [cast_to(a, _STRING) if isinstance(a.type, NullType) else a for a in args[:2]]
    if isinstance(cast[0].type, VariantType):
        text = VarCharType(nullable=cast[0].type.nullable)
        cast[0] = Call(type=text, function="JSON_STRING", args=(cast[0],), span=cast[0].span)
    return [*cast, *args[2:]]


# JSON_EXISTS

_EXISTS_ON_ERROR = ("TRUE", "FALSE", "UNKNOWN", "ERROR")


def _bind_exists(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_EXISTS(json, path[, on error])."""
    _inputs("JSON_EXISTS", args, (2, 3), span)
    if len(args) == 3:
        keyword(args[2], _EXISTS_ON_ERROR, "a behaviour ON ERROR")
    _literal_path("JSON_EXISTS", args[1])
    return Call(type=BooleanType(), function="JSON_EXISTS", args=tuple(_texts(args)), span=span)


def _literal_path(name: str, path: Expression) -> None:
    if not isinstance(path, Literal):
        raise SqlError(f"the path of {name} is no literal", span=path.span)


def _exists_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    _check_path(call)
    given = literal_text(call, 2) if len(call.args) == 3 else "FALSE"
    behaviour = (given or "FALSE").upper()

    def one(text: str, path: str) -> bool | None:
        state, value, _ = _look(text, path)
        if state != _ERROR:
            return state is None
        match behaviour:
            case "ERROR":
                raise Fault(str(value))
            case "UNKNOWN":
                return None
            case _:
                return behaviour == "TRUE"

    return lambda _, text, path, *__: each(one, pa.bool_(), text, path)


# JSON_VALUE


def _returned(value: Any, returning: DataType) -> Any:
    if is_character(returning):
        if isinstance(value, bool):
            return "true" if value else "false"
        return clean(value) if isinstance(value, str) else number_text(value)
    if isinstance(returning, BooleanType) and isinstance(value, bool):
        return value
    if not isinstance(value, bool):
        if isinstance(returning, IntType) and isinstance(value, int) and abs(value) < 1 << 31:
            return value
        if isinstance(returning, DoubleType) and isinstance(value, Decimal):
            return float(value)
    raise Fault(f"JSON value {value!s} is not of type {returning.with_nullable(True)}")


_BEHAVIOURS = ("NULL", "ERROR", "DEFAULT")


def _bind_value(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_VALUE(json, path[, returning, on empty, its default, on error, its default]).

    `returning` is a NULL literal of the type, the behaviours are keywords, a default is any
    expression and counts where its keyword is DEFAULT.
    """
    _inputs("JSON_VALUE", args, (2, 7), span)
    returning: DataType = _STRING
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
    return Call(type=returning, function="JSON_VALUE", args=tuple(_texts(args)), span=span)


def _value_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    _check_path(call)
    returning = call.type
    arrow = arrow_type(returning)
    behaviour = {_EMPTY: "NULL", _ERROR: "NULL"}
    if len(call.args) == 7:
        behaviour[_EMPTY] = keyword(call.args[3], _BEHAVIOURS, "a behaviour ON EMPTY")
        behaviour[_ERROR] = keyword(call.args[5], _BEHAVIOURS, "a behaviour ON ERROR")

    def one(text: str | None, path: str | None, empty: Any = None, error: Any = None) -> Any:
        if text is None or path is None:
            return None
        state, value, lax = _look(text, path)
        if state is None:
            if not isinstance(value, dict | list):
                return _returned(value, returning)
            state = _EMPTY if lax else _ERROR
            value = f"path {path} gives no scalar value"
        match behaviour[state]:
            case "ERROR":
                what = "an empty result of JSON_VALUE" if state == _EMPTY else str(value)
                raise Fault(what)
            case "DEFAULT":
                return empty if state == _EMPTY else error
            case _:
                return None

    def kernel(_: Any, text: Value, path: Value, *rest: Value) -> Value:
        defaults = (rest[2], rest[4]) if rest else ()
        return each(one, arrow, text, path, *defaults, strict=False)

    return kernel


# JSON_QUERY

_QUERY_BEHAVIOURS = ("NULL", "ERROR", "EMPTY ARRAY", "EMPTY OBJECT")
_WRAPPERS = ("WITHOUT", "CONDITIONAL", "UNCONDITIONAL")


def _bind_query(args: Sequence[Expression], span: Span | None) -> Expression:
    """JSON_QUERY(json, path[, returning, wrapper, on empty, on error])."""
    _inputs("JSON_QUERY", args, (2, 6), span)
    returning: DataType = _STRING
    if len(args) == 6:
        returning = args[2].type.with_nullable(True)
        keyword(args[3], _WRAPPERS, "a wrapper")
        where = args[2].span or span
        if isinstance(returning, ArrayType) and not isinstance(returning.element, VarCharType):
            raise SqlError(
                f"unsupported array element type '{returning.element}' for RETURNING ARRAY "
                "in JSON_QUERY",
                hint="Return ARRAY<STRING>, and CAST it.",
                span=where,
            )
        if not isinstance(returning, ArrayType | VarCharType):
            raise SqlError(
                f"JSON_QUERY cannot return {returning}",
                hint="Return STRING or ARRAY<STRING>.",
                span=where,
            )
        for arg, when in ((args[4], "empty"), (args[5], "error")):
            word = keyword(arg, _QUERY_BEHAVIOURS, f"a behaviour ON {when.upper()}")
            if word == "EMPTY OBJECT" and isinstance(returning, ArrayType):
                raise SqlError(
                    f"illegal on {when} behavior 'EMPTY OBJECT' for return type {returning}",
                    hint=f"Write EMPTY ARRAY ON {when.upper()}.",
                    span=arg.span or span,
                )
    return Call(type=returning, function="JSON_QUERY", args=tuple(_texts(args)), span=span)


def _query_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    _check_path(call)
    wrapper, behaviour = "WITHOUT", {_EMPTY: "NULL", _ERROR: "NULL"}
    if len(call.args) == 6:
        wrapper = keyword(call.args[3], _WRAPPERS, "a wrapper")
        behaviour[_EMPTY] = keyword(call.args[4], _QUERY_BEHAVIOURS, "a behaviour ON EMPTY")
        behaviour[_ERROR] = keyword(call.args[5], _QUERY_BEHAVIOURS, "a behaviour ON ERROR")
    array = isinstance(call.type, ArrayType)

    def one(text: str, path: str) -> Any:
        state, value, lax = _look(text, path)
        if state is None:
            if wrapper == "UNCONDITIONAL" or (
                wrapper == "CONDITIONAL" and not isinstance(value, list)
            ):
                value = [value]
            if not isinstance(value, dict | list):
                state = _EMPTY if lax else _ERROR
                value = f"path {path} gives no array or object"
            elif not array:
                return clean(write(value))
            elif isinstance(value, list):
                return [None if v is None else _element(v) for v in value]
            else:
                state, value = _ERROR, f"path {path} gives no array"
        match behaviour[state]:
            case "ERROR":
                raise Fault("an empty result of JSON_QUERY" if state == _EMPTY else str(value))
            case "EMPTY ARRAY":
                return [] if array else "[]"
            case "EMPTY OBJECT":
                return "{}"
            case _:
                return None

    arrow = arrow_type(call.type)
    return lambda _, text, path, *__: each(one, arrow, text, path)


def _element(value: Any) -> str:
    return clean(write(value)) if isinstance(value, dict | list) else str(_returned(value, _STRING))


# IS JSON


def _never_null(args: Sequence[Expression]) -> DataType:
    """NULL is no JSON."""
    del args
    return BooleanType(nullable=False)


def _is_json(kinds: tuple[type, ...] | None, *, scalar: bool = False) -> Maker:
    def one(text: str) -> bool:
        try:
            value = parse(text)
        except NotJson:
            return False
        if scalar:
            return not isinstance(value, dict | list)
        return kinds is None or isinstance(value, kinds)

    return strict(lambda _, text: each(one, pa.bool_(), text).fill_null(False))


# JSON_QUOTE, JSON_UNQUOTE

_QUOTED = {
    ord(a): b
    for a, b in (
        ('"', '\\"'), ("\\", "\\\\"), ("/", "\\/"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"),
        ("\r", "\\r"), ("\t", "\\t"),
    )
}  # fmt: skip


def _json_quote(text: str) -> str:
    return f'"{_not_ascii(text.translate(_QUOTED))}"'


def _not_ascii(text: str) -> str:
    if text.isascii():
        return text
    return "".join(c if c < "\x80" else _unicode(ord(c)) for c in text)


def _unicode(code: int) -> str:
    """One character; of a pair of surrogates Java writes the whole, and then the second half."""
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{code:04x}\\u{0xDC00 | code & 0x3FF:04x}"


_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|(.|$))', re.DOTALL)
_UNQUOTED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _WrongEscape(Exception):  # noqa: N818 - an answer, not a fault
    pass


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    if found[2]:
        return _UNQUOTED.get(found[2], found[2])
    if found[3] == "":  # a backslash at the very end stands for itself
        return "\\"
    raise _WrongEscape


def _json_unquote(text: str) -> str:
    try:
        parse(text)
    except NotJson:
        return text
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        found = _ESCAPE.sub(_unescape, text[1:-1])
    except _WrongEscape:
        return text
    return clean(found)


_TEXT = by_arguments(VarCharType())
_TEXT_OR_NULL = forced_nullable(VarCharType())


def _each(function: Callable[[str], str | None]) -> Maker:
    return strict(lambda _, text: each(function, pa.string(), text))


def _nested(count: int, make: Maker, *, variadic: bool = False) -> Any:
    """An overload whose arguments `bind` has looked at."""
    params = (CHARACTER, CHARACTER, *(ANY,) * (count - 2))
    return overload(params, _TEXT_OR_NULL, make, variadic=variadic)


_KINDS = (("", None), (" VALUE", None), (" OBJECT", (dict,)), (" ARRAY", (list,)))

FUNCTIONS = (
    Function("JSON_EXISTS", "Whether a path leads to something in a JSON text.",
             (_nested(2, _exists_make), _nested(3, _exists_make)), _bind_exists,
             signatures=("JSON_EXISTS(<STRING>, <STRING> [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])",)),
    Function("JSON_VALUE", "A scalar of a JSON text, by a path.",
             (_nested(2, _value_make), _nested(7, _value_make)), _bind_value,
             signatures=("JSON_VALUE(<STRING>, <STRING> [RETURNING <TYPE>] [… ON EMPTY] [… ON ERROR])",)),
    Function("JSON_QUERY", "An array or object of a JSON text, by a path.",
             (_nested(2, _query_make), _nested(6, _query_make)), _bind_query,
             signatures=("JSON_QUERY(<STRING>, <STRING> [RETURNING <TYPE>] [… WRAPPER] [… ON EMPTY] [… ON ERROR])",)),
    *(Function(f"IS JSON{words}", f"Whether a text is JSON{words and ' of this kind'}.",
               (overload((CHARACTER,), _never_null, _is_json(kinds)),),
               signatures=(f"<CHARACTER_STRING> IS JSON{words}",))
      for words, kinds in _KINDS),
    Function("IS JSON SCALAR", "Whether a text is JSON of this kind.",
             (overload((CHARACTER,), _never_null, _is_json(None, scalar=True)),),
             signatures=("<CHARACTER_STRING> IS JSON SCALAR",)),
    Function("JSON_QUOTE", "The text as a JSON string, special characters escaped.",
             (overload((CHARACTER,), _TEXT, _each(_json_quote)),)),
    Function("JSON_UNQUOTE", "The text of a JSON string; other text stays as it is.",
             (overload((CHARACTER,), _TEXT, _each(_json_unquote)),)),
)  # fmt: skip
