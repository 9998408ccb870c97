"""JSON text as Flink reads and writes it.

Reading stops behind the first value: what follows is not looked at, but for a number or a word,
which must end there. Numbers keep their digits: a whole one is an `int`, another a `Decimal`.
Writing sorts the keys of objects by UTF-16 units and leaves out all spaces.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

__all__ = [
    "ESCAPED",
    "NotJson",
    "clean",
    "no_constant",
    "number_text",
    "parse",
    "quote",
    "sort_key",
    "write",
]


class NotJson(Exception):  # noqa: N818 - an answer, not a fault
    """The text does not begin with a JSON value."""


_BLANK = re.compile(r"[ \t\r\n]*")
_WORD_GOES_ON = re.compile(r"[\w$]")


def _reason(error: Exception) -> str:
    """What is wrong with a text, and where in it."""
    if isinstance(error, json.JSONDecodeError):
        fact = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        return f"{fact} at character {error.pos + 1}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def no_constant(word: str) -> Any:
    """Refuses NaN and the infinities, which Python's decoder takes and JSON does not know."""
    raise ValueError(f"{word} is no JSON value")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=no_constant)


def parse(text: str, decoder: json.JSONDecoder = _decoder) -> Any:
    """The first JSON value of the text.

    Args:
        text: may go on behind the value.
        decoder: makes arrays lists, objects a `dict` or `list`, strings `str`.

    Raises:
        NotJson: there is none.
    """
    start = _BLANK.match(text).end()  # type: ignore[union-attr]
    try:
        value, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as e:
        raise NotJson(_reason(e)) from e
    if end < len(text) and not isinstance(value, str | dict | list):
        behind = text[end]
        if isinstance(value, bool) or value is None:
            if _WORD_GOES_ON.match(behind):
                raise NotJson(f"unexpected '{behind}' behind a word")
        elif behind not in " \t\r\n":
            raise NotJson(f"unexpected '{behind}' behind a number")
    return value


_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPES = {code: _SHORT.get(code, f"\\u{code:04X}") for code in (*range(32), 34, 92)}
ESCAPED = frozenset(_ESCAPES)
"""The characters, all ASCII, that do not stand for themselves in a JSON string."""


def quote(text: str) -> str:
    """The text as a JSON string."""
    return '"' + text.translate(_ESCAPES) + '"'


def sort_key(name: str) -> bytes:
    """Orders names as Java does."""
    return name.encode("utf-16-be", "surrogatepass")


def number_text(number: int | Decimal) -> str:
    """A number as `BigDecimal.toString` writes it; it knows no negative zero."""
    if isinstance(number, Decimal) and not number:
        number = abs(number)
    return str(number)


def write(value: Any) -> str:
    """A parsed value as JSON text."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            names = sorted(value, key=sort_key)
            return "{" + ",".join(f"{quote(n)}:{write(value[n])}" for n in names) + "}"
        case list():
            return "[" + ",".join(map(write, value)) + "]"
        case _:
            return number_text(value)


def clean(text: str) -> str:
    """The text as UTF-8 can hold it: half a pair of surrogates is `?`, as in Java."""
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return "".join("?" if "\ud800" <= c <= "\udfff" else c for c in whole)
    return text
