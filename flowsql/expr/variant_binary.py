"""VARIANT values as bytes: from JSON text, to JSON text, to Python.

A value is the metadata and the value of Parquet's Variant encoding, one behind the other: the
metadata knows its own length. They are the bytes that Flink makes, so that values are equal here
where they are equal there: `1`, `1.0` and `1.00` differ, and so do objects whose keys came in
another order.

Whole numbers take the fewest of 1, 2, 4 and 8 bytes; longer ones and those with a point are
decimals with the scale as written, up to 38 digits; all others, and those with an exponent, are
doubles. JSON knows no other scalars than these, strings, `true`, `false` and `null`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, Final, TypeVar

from flowsql.errors import InternalError
from flowsql.expr.java_floats import double_text
from flowsql.expr.json_text import NotJson, clean, no_constant, parse, quote, sort_key

__all__ = ["NotVariant", "TooDeep", "from_json", "to_json", "to_python"]


_T = TypeVar("_T")


class NotVariant(Exception):  # noqa: N818 - an answer, not a fault
    """The text has no VARIANT."""


SHORT_STRING: Final = 1
OBJECT: Final = 2
ARRAY: Final = 3

_NULL, _TRUE, _FALSE = 0, 1, 2
_INTEGERS = ((1, 3), (2, 4), (4, 5), (8, 6))  # bytes, code
_DOUBLE = 7
_DECIMALS = ((9, 4, 8), (18, 8, 9), (38, 16, 10))  # digits, bytes, code
_LONG_STRING = 16

_MOST_BYTES = 1 << 24
_DEEPEST = 500
_FEW_KEYS, _FEW_BYTES = 64, 4096
_TOO_LARGE = "a VARIANT has at most 16 MiB"
_EMPTY_METADATA = bytes((1, 0, 0))


class TooDeep(Exception):  # noqa: N818 - an answer, not a fault
    """The text has more than 500 arrays and objects within each other; Flink takes 1000."""


class _Members(list[tuple[str, Any]]):
    """The members of an object as written, keys that occur twice included."""


def _number(text: str) -> Decimal | float:
    return float(text) if "e" in text or "E" in text else Decimal(text)


_decoder = json.JSONDecoder(
    parse_float=_number, parse_constant=no_constant, object_pairs_hook=_Members
)


def from_json(text: str, *, last_wins: bool) -> bytes:
    """The VARIANT of the first JSON value of `text`.

    Args:
        text: JSON.
        last_wins: a key may occur twice in an object, and its last value counts.

    Raises:
        NotVariant: the text is no JSON, a key occurs twice, or the value is too large.
        TooDeep: it cannot be said whether the text has one.
    """
    try:
        document = parse(text, _decoder)
    except NotJson as e:
        if isinstance(e.__cause__, RecursionError):
            raise TooDeep from e
        raise NotVariant(str(e)) from e
    return _Builder(last_wins).build(document)


class _Builder:
    """Writes one VARIANT; the keys of all its objects stand in one dictionary."""

    def __init__(self, last_wins: bool) -> None:
        self._last_wins = last_wins
        self._keys: dict[str, int] = {}

    def build(self, document: Any) -> bytes:
        value = self._value(document, 0)
        metadata = _metadata(tuple(self._keys)) if self._keys else _EMPTY_METADATA
        if len(value) > _MOST_BYTES or len(metadata) > _MOST_BYTES:
            raise NotVariant(_TOO_LARGE)
        return metadata + value

    def _value(self, value: Any, depth: int) -> bytes:
        # One frame a level, here and where values are read: the depth of the stack is the host's.
        kind = type(value)
        if kind is not list and kind is not _Members:
            return _SCALARS[kind](value)
        if depth == _DEEPEST:
            raise TooDeep
        if kind is list:
            parts = []
            for item in value:
                parts.append(self._value(item, depth + 1))  # noqa: PERF401 - a frame
            return _array(parts)
        keys = self._keys
        members: dict[str, bytes] = {}
        for key, item in value:
            if key in members:
                if not self._last_wins:
                    raise NotVariant(f'key "{key}" occurs twice in an object')
                del members[key]
            # A key comes before those within its value.
            if key not in keys:
                keys[key] = len(keys)
            members[key] = self._value(item, depth + 1)
        return _object(members, keys)


def _remembered(function: Callable[[tuple[str, ...]], _T]) -> Callable[[tuple[str, ...]], _T]:
    """The function over keys, computed once for those that come again and again."""
    cached = lru_cache(maxsize=256)(function)
    return lambda keys: cached(keys) if len(keys) <= _FEW_KEYS else function(keys)


@_remembered
def _metadata(keys: tuple[str, ...]) -> bytes:
    texts = [_utf8(key) for key in keys]
    ends = _ends(texts)
    width = _width(max(ends[-1], len(texts)))
    head = bytes((1 | (width - 1) << 6,)) + len(texts).to_bytes(width, "little")
    return head + _integers(ends, width) + b"".join(texts)


@_remembered
def _order(names: tuple[str, ...]) -> list[int]:
    """The places of the names as they stand in an object."""
    return sorted(range(len(names)), key=lambda i: sort_key(names[i]))


def _object(members: dict[str, bytes], keys: dict[str, int]) -> bytes:
    names, parts = tuple(members), members.values()
    ends = _ends(parts)
    order = _order(names)
    numbers = [keys[names[i]] for i in order]
    for_number, for_offset = _width(max(numbers, default=0)), _width(ends[-1])
    large = len(names) > 255
    head = OBJECT | (for_offset - 1) << 2 | (for_number - 1) << 4 | large << 6
    offsets = [ends[i] for i in order]
    offsets.append(ends[-1])
    return b"".join((
        bytes((head,)),
        len(names).to_bytes(4 if large else 1, "little"),
        _integers(numbers, for_number),
        _integers(offsets, for_offset),
        *parts,
    ))  # fmt: skip


def _width(largest: int) -> int:
    if largest >= _MOST_BYTES:
        raise NotVariant(_TOO_LARGE)
    return 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 3


def _integers(values: list[int], width: int) -> bytes:
    return bytes(values) if width == 1 else b"".join(v.to_bytes(width, "little") for v in values)


def _ends(parts: Iterable[bytes]) -> list[int]:
    """0, and where each part ends."""
    return list(accumulate(map(len, parts), initial=0))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


def _scalar(code: int, content: bytes = b"") -> bytes:
    return bytes((code << 2,)) + content


def _string(value: str) -> bytes:
    text = _utf8(value)
    if len(text) < 64:
        return bytes((SHORT_STRING | len(text) << 2,)) + text
    return _scalar(_LONG_STRING, len(text).to_bytes(4, "little") + text)


def _array(parts: list[bytes]) -> bytes:
    ends = _ends(parts)
    width = _width(ends[-1])
    large = len(parts) > 255
    head = bytes((ARRAY | (width - 1) << 2 | large << 4,))
    count = len(parts).to_bytes(4 if large else 1, "little")
    return b"".join((head, count, _integers(ends, width), *parts))


def _whole(value: int) -> bytes:
    if -128 <= value < 128:
        return bytes((12, value & 255))
    bits = (value if value >= 0 else ~value).bit_length()
    for width, code in _INTEGERS:
        if bits < 8 * width:
            return _scalar(code, value.to_bytes(width, "little", signed=True))
    return _fraction(Decimal(value))


def _fraction(value: Decimal) -> bytes:
    negative, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    precision, scale = len(digits), -exponent
    for most, width, code in _DECIMALS:
        if precision <= most and scale <= most:
            unscaled = int("".join(map(str, digits)))
            unscaled = -unscaled if negative else unscaled
            content = bytes((scale,)) + unscaled.to_bytes(width, "little", signed=True)
            return _scalar(code, content)
    return _scalar(_DOUBLE, struct.pack("<d", float(value)))


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    str: _string,
    int: _whole,
    bool: lambda value: _scalar(_TRUE if value else _FALSE),
    type(None): lambda _: _scalar(_NULL),
    Decimal: _fraction,
    float: lambda value: _scalar(_DOUBLE, struct.pack("<d", value)),
}


# Reading


def _keys_of(data: bytes) -> tuple[Sequence[str], int]:
    """The keys by number, and where the value begins."""
    width = (data[0] >> 6) + 1
    last = 1 + width + int.from_bytes(data[1 : 1 + width], "little") * width
    start = last + width + int.from_bytes(data[last : last + width], "little")
    if start == len(_EMPTY_METADATA):
        return (), start
    metadata = data[:start]
    return (_keys if start > _FEW_BYTES else _keys_again)(metadata), start


def _keys(metadata: bytes) -> list[str]:
    width = (metadata[0] >> 6) + 1
    count = int.from_bytes(metadata[1 : 1 + width], "little")
    texts = 1 + (count + 2) * width
    ends = [
        texts + int.from_bytes(metadata[at : at + width], "little")
        for at in range(1 + width, texts, width)
    ]
    return [metadata[a:b].decode() for a, b in pairwise(ends)]


_keys_again = lru_cache(maxsize=256)(_keys)


def to_json(data: bytes) -> str:
    """The value as JSON text: decimals without zeros at their ends, doubles as Java writes them."""
    keys, start = _keys_of(data)
    return _json(data, start, keys)


def _json(data: bytes, at: int, keys: Sequence[str]) -> str:
    parts = []
    match data[at] & 3:
        case 2:
            for key, place in _members(data, at, keys):
                parts.append(f"{quote(key)}:{_json(data, place, keys)}")
            return "{" + ",".join(parts) + "}"
        case 3:
            for place in _elements(data, at):
                parts.append(_json(data, place, keys))  # noqa: PERF401 - a frame
            return "[" + ",".join(parts) + "]"
        case _:
            return _scalar_json(_scalar_at(data, at))


def _scalar_json(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case float():
            return double_text(value)
        case Decimal():
            text = f"{value:f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text == "-0" else text
        case _:
            return str(value)


def to_python(data: bytes) -> Any:
    """The value of Python: None, bool, int, float, Decimal, str, list or dict."""
    keys, start = _keys_of(data)
    return _python(data, start, keys)


def _python(data: bytes, at: int, keys: Sequence[str]) -> Any:
    match data[at] & 3:
        case 2:
            members = {}
            for key, place in _members(data, at, keys):
                members[key] = _python(data, place, keys)
            return members
        case 3:
            elements = []
            for place in _elements(data, at):
                elements.append(_python(data, place, keys))  # noqa: PERF401 - a frame
            return elements
        case _:
            return _scalar_at(data, at)


def _members(data: bytes, at: int, keys: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Key and place of each member, by key."""
    head = data[at] >> 2
    width, for_number = (head & 3) + 1, (head >> 2 & 3) + 1
    size = 4 if head & 16 else 1
    count = int.from_bytes(data[at + 1 : at + 1 + size], "little")
    numbers = at + 1 + size
    offsets = numbers + count * for_number
    values = offsets + (count + 1) * width
    for i in range(count):
        n, o = numbers + i * for_number, offsets + i * width
        key = keys[int.from_bytes(data[n : n + for_number], "little")]
        yield key, values + int.from_bytes(data[o : o + width], "little")


def _elements(data: bytes, at: int) -> Iterator[int]:
    """The place of each element."""
    head = data[at] >> 2
    width = (head & 3) + 1
    size = 4 if head & 4 else 1
    count = int.from_bytes(data[at + 1 : at + 1 + size], "little")
    offsets = at + 1 + size
    values = offsets + (count + 1) * width
    for i in range(count):
        o = offsets + i * width
        yield values + int.from_bytes(data[o : o + width], "little")


def _scalar_at(data: bytes, at: int) -> Any:
    head = data[at] >> 2
    if data[at] & 3 == SHORT_STRING:
        return data[at + 1 : at + 1 + head].decode()
    match head:
        case 0:
            return None
        case 1 | 2:
            return head == _TRUE
        case 3 | 4 | 5 | 6:
            return int.from_bytes(data[at + 1 : at + 1 + (1 << head - 3)], "little", signed=True)
        case 7:
            return struct.unpack_from("<d", data, at + 1)[0]
        case 8 | 9 | 10:
            width = 4 << head - 8
            unscaled = int.from_bytes(data[at + 2 : at + 2 + width], "little", signed=True)
            digits = tuple(map(int, str(abs(unscaled))))
            return Decimal((int(unscaled < 0), digits, -data[at + 1]))
        case 16:
            size = int.from_bytes(data[at + 1 : at + 5], "little")
            return data[at + 5 : at + 5 + size].decode()
        case _:
            raise InternalError(f"no JSON has a VARIANT of kind {head}")
