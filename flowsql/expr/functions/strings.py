"""Text: case, trimming, cutting, padding, searching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import Span, SqlError
from flowsql.expr.faults import Fault
from flowsql.expr.lists import lists_of
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.params import BIGINT, BYTES, CHARACTER, INT
from flowsql.expr.registry import (
    Function,
    Maker,
    Result,
    by_arguments,
    first_argument,
    forced_nullable,
    overload,
    strict,
)
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    arrow_function,
    build,
    chars,
    each,
    numbers,
    row_count,
)
from flowsql.types import (
    ArrayType,
    BooleanType,
    CharType,
    DataType,
    IntType,
    VarBinaryType,
    VarCharType,
)

__all__ = ["FUNCTIONS", "is_ascii", "literal_text", "per_value"]

_STRING = by_arguments(VarCharType())
_STRING_OR_NULL = forced_nullable(VarCharType())
_INT = by_arguments(IntType())
_BOOLEAN = by_arguments(BooleanType())


def per_value(function: Callable[..., Any], arrow: Any) -> Maker:
    """The maker of a kernel that runs Python once a distinct combination of arguments."""
    return strict(lambda _, *values: each(function, arrow, *values))


def literal_text(call: Call, index: int) -> str | None:
    """The text of a literal argument, or None where it is no literal, or NULL."""
    if index < len(call.args):
        arg = call.args[index]
        if isinstance(arg, Literal) and isinstance(arg.value, str):
            return arg.value
    return None


def is_ascii(array: Any) -> bool:
    """Whether every byte of a string array is below 128."""
    _, data = chars(array)
    return len(data) == 0 or int(data.max()) < 128


def _varying(args: Sequence[Expression]) -> DataType:
    """The first argument's length, but VARCHAR."""
    base = args[0].type
    nullable = any(a.type.nullable for a in args)
    length = base.length if isinstance(base, CharType | VarCharType) else 1
    return VarCharType(length, nullable=nullable)


def _varying_or_null(args: Sequence[Expression]) -> DataType:
    return _varying(args).with_nullable(True)


def _cased(ascii_name: str, slow: Callable[[str], str]) -> Maker:
    fast = pc.get_function(ascii_name).call

    def kernel(_: Any, text: Value) -> Value:
        # Java maps ß to SS and knows final sigma, as Python does and Arrow does not.
        return fast([text]) if is_ascii(text) else each(slow, pa.string(), text)

    return strict(kernel)


def _concat_type(args: Sequence[Expression]) -> DataType:
    """CHAR if all are, else VARCHAR; the lengths add up."""
    total = 0
    fixed = True
    for a in args:
        assert isinstance(a.type, CharType | VarCharType)
        fixed = fixed and isinstance(a.type, CharType)
        total += a.type.length
    nullable = any(a.type.nullable for a in args)
    longest = VarCharType().length
    if fixed and total <= longest:
        return CharType(total, nullable=nullable)
    return VarCharType(min(total, longest), nullable=nullable)


_join = pc.get_function("binary_join_element_wise").call
_EMIT_NULL = pc.JoinOptions(null_handling="emit_null")
_EMPTY = pa.scalar("")


def _concat(_: Any, *texts: Value) -> Value:
    return _join([*texts, _EMPTY], _EMIT_NULL)


def _concat_ws(_: Any, separator: Value, *texts: Value) -> Value:
    # Arrow's own way of skipping NULLs loses the rows in which all texts are NULL.
    if not isinstance(separator, pa.Scalar):
        return each(_concat_ws_one, pa.string(), separator, *texts, strict=False)
    if not separator.is_valid:
        return pa.nulls(row_count(texts), pa.string())
    parts = [_join([separator, t, _EMPTY], _EMIT_NULL) for t in texts]
    filled = [p.fill_null("") if isinstance(p, pa.Array) else _or_empty(p) for p in parts]
    return pc.utf8_slice_codeunits(_join([*filled, _EMPTY], _EMIT_NULL), len(separator.as_py()))


def _or_empty(text: Any) -> Any:
    return text if text.is_valid else _EMPTY


def _concat_ws_one(separator: str | None, *texts: str | None) -> str | None:
    return None if separator is None else separator.join(t for t in texts if t is not None)


# Trimming


def _trim_make(side: str) -> Maker:
    """TRIM kernels for (text) and (text, characters)."""
    name = {"BOTH": "utf8_trim", "LEADING": "utf8_ltrim", "TRAILING": "utf8_rtrim"}[side]
    python = {"BOTH": str.strip, "LEADING": str.lstrip, "TRAILING": str.rstrip}[side]

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        if len(call.args) == 1:
            return arrow_function(name, pc.TrimOptions(" "))
        fixed = literal_text(call, 1)
        if fixed:
            kernel = arrow_function(name, pc.TrimOptions(fixed))
            return lambda context, text, _: kernel(context, text)
        return lambda _, text, characters: each(python, pa.string(), text, characters)

    return make


def _bind_trim(args: Sequence[Expression], span: Span | None) -> Expression:
    """TRIM(text) or TRIM('BOTH' | 'LEADING' | 'TRAILING', characters, text)."""
    side, text, characters = "BOTH", None, None
    if len(args) == 1:
        text = args[0]
    elif len(args) == 3 and isinstance(args[0], Literal):
        side, characters, text = str(args[0].value).upper(), args[1], args[2]
    name = {"BOTH": "BTRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(side)
    ok = text is not None and isinstance(text.type, CharType | VarCharType)
    if characters is not None:
        ok = ok and isinstance(characters.type, CharType | VarCharType)
    if not ok or name is None or text is None:
        types = ", ".join(str(a.type) for a in args)
        raise SqlError(f'"TRIM" does not take ({types})', span=span)
    given = (text,) if characters is None else (text, characters)
    return Call(type=_varying(given), function=name, args=given, span=span)


# Cutting


def substring(text: str, start: int, length: int | None = None) -> str | None:
    """Flink's SUBSTRING: from 1, from the end if negative, NULL for a negative length."""
    if length is not None and length < 0:
        return None
    if start > 0:
        begin = start - 1
    elif start < 0:
        begin = len(text) + start
        if begin < 0:
            return ""
    else:
        begin = 0
    return text[begin:] if length is None else text[begin : begin + length]


def _literal_number(call: Call, index: int) -> int | None:
    if index < len(call.args):
        arg = call.args[index]
        if isinstance(arg, Literal) and isinstance(arg.value, int):
            return arg.value
    return None


def _substring_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    start = _literal_number(call, 1)
    length = _literal_number(call, 2)
    plain = start is not None and start >= 0
    if plain and (len(call.args) == 2 or (length is not None and length >= 0)):
        assert start is not None
        begin = max(start - 1, 0)
        stop = None if length is None else begin + length
        kernel = arrow_function("utf8_slice_codeunits", pc.SliceOptions(begin, stop))
        return lambda context, text, *_: kernel(context, text)
    return lambda _, *values: each(substring, pa.string(), *values)


def _left(text: str, count: int) -> str:
    return text[: max(count, 0)]


def _right(text: str, count: int) -> str:
    return text[len(text) - count :] if 0 < count < len(text) else text if count > 0 else ""


def _cut_make(slow: Callable[[str, int], str], *, left: bool) -> Maker:
    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        count = _literal_number(call, 1)
        if count is not None and count > 0:
            options = pc.SliceOptions(0, count) if left else pc.SliceOptions(-count)
            kernel = arrow_function("utf8_slice_codeunits", options)
            return lambda context, text, _: kernel(context, text)
        return lambda _, text, n: each(slow, pa.string(), text, n)

    return make


# Java counts in UTF-16 units where Flink goes through java.lang.String.


def _units(text: str) -> str:
    """The text with characters above U+FFFF as pairs of surrogates."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return text
    raw = text.encode("utf-16-le")
    return "".join(chr(int.from_bytes(raw[i : i + 2], "little")) for i in range(0, len(raw), 2))


def _from_units(text: str) -> str:
    if text.isascii():
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\ufffd", "?") if "\ufffd" not in text else whole


def _pad(text: str, length: int, pad: str) -> tuple[str, str] | None:
    """The padding and the text, cut to `length`; None where Flink gives NULL."""
    if length < 0 or not pad:
        return None
    base, filler = _units(text), _units(pad)
    missing = length - len(base)
    if missing <= 0:
        return "", base[:length]
    return (filler * (missing // len(filler) + 1))[:missing], base


def _lpad(text: str, length: int, pad: str) -> str | None:
    parts = _pad(text, length, pad)
    return None if parts is None else _from_units(parts[0] + parts[1])


def _rpad(text: str, length: int, pad: str) -> str | None:
    parts = _pad(text, length, pad)
    return None if parts is None else _from_units(parts[1] + parts[0])


def _replace_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    old, new = literal_text(call, 1), literal_text(call, 2)
    if old and new is not None:
        options = pc.ReplaceSubstringOptions(old, new)
        kernel = arrow_function("replace_substring", options)
        return lambda context, text, *_: kernel(context, text)
    return lambda _, *values: each(_replace, pa.string(), *values)


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else _from_units(_units(text).replace("", new))


def _overlay(text: str, new: str, start: int, length: int | None = None) -> str:
    text, new = _units(text), _units(new)
    count = len(new) if length is None else length
    if start <= 0 or start > len(text):
        return _from_units(text)
    rest = start - 1 + count
    tail = text[rest:] if count >= 0 and rest <= len(text) else ""
    return _from_units(text[: start - 1] + new + tail)


def _overlay_type(args: Sequence[Expression]) -> DataType:
    joined = _concat_type(args[:2])
    assert isinstance(joined, CharType | VarCharType)
    return VarCharType(joined.length, nullable=any(a.type.nullable for a in args))


# Searching


def _locate(needle: str, text: str, start: int = 1) -> int:
    if not needle:
        return 1
    return text.find(needle, max(start - 1, 0)) + 1


def _instr(text: str, needle: str, start: int = 1, count: int = 1) -> int:
    """From a negative `start` the text is searched backwards, counted from its end."""
    if count < 1:
        raise Fault("INSTR counts occurrences from 1")
    if start < 0:
        back = _instr(text[::-1], needle[::-1], -start, count) if needle else -start
        return len(text) - back - len(needle) + 2 if back else 0
    if not needle:
        return 1
    if start == 0:
        return 0
    at = start - 2
    for _ in range(count):
        at = text.find(needle, at + 1)
        if at < 0:
            return 0
    return at + 1


def _find_make(slow: Callable[..., int], needle_at: int) -> Maker:
    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        needle = literal_text(call, needle_at)
        if needle and len(call.args) == 2:
            options = pc.MatchSubstringOptions(needle)
            find = pc.get_function("find_substring").call
            one = pa.scalar(1, pa.int32())

            def kernel(_: Any, *values: Value) -> Value:
                text = values[1 - needle_at]
                if not is_ascii(text):
                    return each(slow, pa.int32(), *values)
                return pc.add(find([text], options), one)

            return kernel
        return lambda _, *values: each(slow, pa.int32(), *values)

    return make


def _split_index(text: str, separator: str | int, index: int) -> str | None:
    if index < 0:
        return None
    if isinstance(separator, int):
        if not 0 < separator < 256:
            return None
        separator = chr(separator)
    if text == "":
        return None
    parts = text.split(separator) if separator else text.split()
    return parts[index] if index < len(parts) else None


def _split_index_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    separator, index = literal_text(call, 1), _literal_number(call, 2)
    if separator and index is not None and index >= 0:
        options = pc.SplitPatternOptions(separator, max_splits=index + 1)
        split = pc.get_function("split_pattern").call

        def kernel(_: Any, text: Value, *__: Value) -> Value:
            parts = split([text], options)
            lists = lists_of(parts)
            ends = np.cumsum(lists.counts)
            # Empty text has one empty part for Arrow, and none for Flink.
            there = (lists.counts > index) & (numbers(pc.binary_length(text)) > 0)
            place = np.where(there, ends - lists.counts + index, 0)
            return lists.elements.take(build(place, pa.int64(), ~there))

        return kernel
    return lambda _, *values: each(_split_index, pa.string(), *values)


def _initcap(text: str) -> str:
    out = []
    start = True
    for c in text:
        letter = ("a" <= c <= "z") or ("A" <= c <= "Z")
        if letter:
            out.append(c.upper() if start else c.lower())
            start = False
        else:
            out.append(c)
            start = not "0" <= c <= "9"
    return "".join(out)


def _ascii(text: str) -> int:
    if not text:
        return 0
    first = text.encode()[0]
    return first - 256 if first > 127 else first


def _chr(code: int) -> str:
    if code < 0:
        return ""
    return chr(code & 0xFF)


def _translate(text: str | None, old: str | None, new: str | None) -> str | None:
    if text is None or not old:
        return text
    table: dict[int, str | None] = {}
    filler = new or ""
    for i, c in enumerate(old):
        table.setdefault(ord(c), filler[i] if i < len(filler) else None)
    return text.translate(table)


def _translate_type(args: Sequence[Expression]) -> DataType:
    return VarCharType(nullable=args[0].type.nullable)


def _elt(index: int, *texts: Any) -> Any:
    return texts[index - 1] if index is not None and 1 <= index <= len(texts) else None


def _widest(args: Sequence[Expression]) -> DataType:
    """The widest of the texts, nullable: an index may be out of range."""
    lengths = [a.type for a in args[1:] if isinstance(a.type, CharType | VarCharType)]
    longest = max(x.length for x in lengths)
    if all(isinstance(x, CharType) and x.length == longest for x in lengths):
        return CharType(longest)
    return VarCharType(longest)


def _elt_kernel(arrow: Any) -> Maker:
    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        index = _literal_number(call, 0)
        if index is not None and index < 0:
            raise SqlError(
                f"Index must be an integer starting from '0', but was '{index}'.",
                span=call.args[0].span,
            )
        return lambda _, *values: each(_elt, arrow, *values, strict=False)

    return make


def _starts(name: str) -> Maker:
    slow = str.startswith if name == "starts_with" else str.endswith

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del settings
        fixed = literal_text(call, 1)
        if fixed is not None:
            kernel = arrow_function(name, pc.MatchSubstringOptions(fixed))
            return lambda context, text, _: kernel(context, text)
        return lambda _, text, part: each(slow, pa.bool_(), text, part)

    return make


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _plain(name: str, doc: str, params: Any, result: Result, make: Maker, **more: Any) -> Function:
    options = {k: more.pop(k) for k in ("optional", "variadic", "total") if k in more}
    return Function(name, doc, (overload(params, result, make, **options),), **more)


def _length(_: Any, text: Value) -> Value:
    return pc.utf8_length(text)


def _repeat(text: str, count: int) -> str:
    return text * count


FUNCTIONS = (
    _plain("UPPER", "The text in upper case.", (CHARACTER,), first_argument,
           _cased("ascii_upper", str.upper)),
    _plain("LOWER", "The text in lower case.", (CHARACTER,), first_argument,
           _cased("ascii_lower", str.lower)),
    _plain("INITCAP", "Words with a capital first letter.", (CHARACTER,), first_argument,
           per_value(_initcap, pa.string())),
    _plain("CHAR_LENGTH", "The number of characters.", (CHARACTER,), _INT, strict(_length),
           aliases=("CHARACTER_LENGTH",), total=True),
    _plain("||", "Texts joined; NULL if one is.", (CHARACTER, CHARACTER), _concat_type,
           strict(_concat), variadic=True, signatures=("<STRING> || <STRING>",)),
    _plain("CONCAT", "Texts joined; NULL if one is.", (CHARACTER,), _STRING, strict(_concat),
           variadic=True),
    _plain("CONCAT_WS", "Texts joined by a separator; NULLs are left out.",
           (CHARACTER, CHARACTER), _STRING, strict(_concat_ws), variadic=True),
    Function("TRIM", "Text without blanks, or the given characters, at its ends.", (), _bind_trim,
             signatures=("TRIM([BOTH | LEADING | TRAILING] [<STRING>] FROM <STRING>)",)),
    *(
        _plain(name, f"Text without blanks, or the given characters, at its {where}.",
               (CHARACTER, CHARACTER), _STRING if side == "BOTH" else _varying, _trim_make(side),
               optional=1)
        for name, where, side in (("BTRIM", "ends", "BOTH"), ("LTRIM", "start", "LEADING"),
                                  ("RTRIM", "end", "TRAILING"))
    ),
    _plain("SUBSTRING", "A part of the text; positions count from 1, or from the end if negative.",
           (CHARACTER, INT, INT), _varying_or_null, _substring_make, optional=1,
           aliases=("SUBSTR",)),
    _plain("LEFT", "The first characters.", (CHARACTER, INT), _varying_or_null,
           _cut_make(_left, left=True)),
    _plain("RIGHT", "The last characters.", (CHARACTER, INT), _varying_or_null,
           _cut_make(_right, left=False)),
    _plain("LPAD", "Text filled up, or cut, to a length; filled at its start.",
           (CHARACTER, INT, CHARACTER), _STRING, per_value(_lpad, pa.string())),
    _plain("RPAD", "Text filled up, or cut, to a length; filled at its end.",
           (CHARACTER, INT, CHARACTER), _STRING, per_value(_rpad, pa.string())),
    _plain("REPEAT", "The text so many times.", (CHARACTER, INT), _STRING,
           per_value(_repeat, pa.string())),
    _plain("REVERSE", "The text backwards.", (CHARACTER,), _STRING_OR_NULL,
           strict(arrow_function("utf8_reverse"))),
    _plain("REPLACE", "Text with each occurrence of a part replaced.",
           (CHARACTER, CHARACTER, CHARACTER), _STRING, _replace_make),
    _plain("OVERLAY", "Text with a part put over it, from a position, over a length.",
           (CHARACTER, CHARACTER, BIGINT, BIGINT), _overlay_type,
           per_value(_overlay, pa.string()), optional=1),
    _plain("POSITION", "Where the first text stands in the second, from 1; 0 if nowhere.",
           (CHARACTER, CHARACTER, INT), _INT, _find_make(_locate, 0), optional=1),
    _plain("LOCATE", "Where the first text stands in the second, searched from a position.",
           (CHARACTER, CHARACTER, INT), _INT, _find_make(_locate, 0), optional=1),
    _plain("INSTR", "Where the second text stands in the first, from 1; 0 if nowhere.",
           (CHARACTER, CHARACTER, INT, INT), _INT, _find_make(_instr, 1), optional=2),
    Function(
        "SPLIT_INDEX",
        "The part at an index, from 0, of text split at a separator.",
        tuple(
            overload((CHARACTER, p, INT), _STRING_OR_NULL, _split_index_make)
            for p in (CHARACTER, INT)
        ),
    ),
    _plain("ASCII", "The number of the first character.", (CHARACTER,), _INT,
           per_value(_ascii, pa.int32())),
    _plain("CHR", "The character of a number.", (BIGINT,), _STRING_OR_NULL, per_value(_chr, pa.string())),
    _plain("TRANSLATE", "Text with characters replaced one for one.",
           (CHARACTER, CHARACTER, CHARACTER), _translate_type,
           strict(lambda _, *v: each(_translate, pa.string(), *v, strict=False)),
           aliases=("TRANSLATE3",)),
    Function(
        "ELT",
        "The text at an index, from 1.",
        (
            overload((BIGINT, CHARACTER), _widest, _elt_kernel(pa.string()),
                     variadic=True),
            overload((BIGINT, BYTES), forced_nullable(VarBinaryType()), _elt_kernel(pa.binary()),
                     variadic=True),
        ),
    ),
    *(
        Function(
            name,
            f"True if the first {what} with the second.",
            (
                overload((CHARACTER, CHARACTER), _BOOLEAN, _starts(arrow)),
                overload((BYTES, BYTES), _BOOLEAN, per_value(slow, pa.bool_())),
            ),
        )
        for name, what, arrow, slow in (
            ("STARTSWITH", "begins", "starts_with", bytes.startswith),
            ("ENDSWITH", "ends", "ends_with", bytes.endswith),
        )
    ),
    _plain("SPLIT", "The parts of text split at a separator.", (CHARACTER, CHARACTER),
           by_arguments(ArrayType(VarCharType())), per_value(_split, pa.list_(pa.string()))),
)  # fmt: skip
