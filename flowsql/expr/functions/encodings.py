"""Hashes, hexadecimal, base 64, character sets, URLs, and tests of what a text is made of."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import pyarrow as pa

from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import per_value
from flowsql.expr.java_regex import UnsupportedPattern, compile_java
from flowsql.expr.nodes import Expression
from flowsql.expr.params import BIGINT, BOOLEAN, BYTES, CHARACTER, DOUBLE, INT
from flowsql.expr.registry import Function, by_arguments, forced_nullable, overload, strict
from flowsql.expr.vector import each
from flowsql.types import (
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    IntType,
    MapType,
    VarBinaryType,
    VarCharType,
)

__all__ = ["FUNCTIONS"]

_STRING = by_arguments(VarCharType())
_STRING_OR_NULL = forced_nullable(VarCharType())
_HASHES = ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
_SIZES = (224, 256, 384, 512)


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _hash(name: str) -> Function:
    algorithm = getattr(hashlib, name.lower())
    digits = algorithm(usedforsecurity=False).digest_size * 2

    def digest(value: str | bytes) -> str:
        return algorithm(_raw(value), usedforsecurity=False).hexdigest()

    result = by_arguments(CharType(digits))
    make = per_value(digest, pa.string())
    kinds = tuple(overload((p,), result, make) for p in (CHARACTER, BYTES))
    return Function(name, f"The {name} hash in hexadecimal digits.", kinds)


def _sha2(value: str | bytes, bits: int) -> str:
    if bits not in _SIZES:
        raise Fault(f"SHA2 has no length {bits}", hint="Use 224, 256, 384 or 512.")
    return hashlib.new(f"sha{bits}", _raw(value), usedforsecurity=False).hexdigest()


def _hex_text(value: str) -> str:
    return value.encode().hex().upper()


def _hex_number(value: int) -> str:
    return f"{value & (1 << 64) - 1:X}"


def _bin(value: int) -> str:
    return f"{value & (1 << 64) - 1:b}"


def _unhex(text: str) -> bytes | None:
    """A single digit in front gives a zero byte, as in Flink."""
    if re.fullmatch(r"[0-9A-Fa-f]*", text) is None:
        return None
    odd = len(text) % 2
    return b"\0" * odd + bytes.fromhex(text[odd:])


def _from_base64(value: str | bytes) -> str:
    try:
        return base64.b64decode(_raw(value), validate=True).decode("utf-8", "replace")
    except binascii.Error as e:
        raise Fault(f"'{value!s}' is not base 64") from e


def _to_base64(value: str | bytes) -> str:
    return base64.b64encode(_raw(value)).decode()


_CHARSETS = {
    "UTF-8": "utf-8",
    "UTF-16": "utf-16",
    "UTF-16LE": "utf-16-le",
    "UTF-16BE": "utf-16-be",
    "US-ASCII": "ascii",
    "ISO-8859-1": "latin-1",
}


def _charset(name: str) -> str:
    known = _CHARSETS.get(name.upper())
    if known is None:
        raise Fault(
            f"character set '{name}' is not supported", hint="Use " + ", ".join(_CHARSETS) + "."
        )
    return known


def _encode(text: str, charset: str) -> bytes:
    codec = _charset(charset)
    if codec == "utf-16":
        return b"\xfe\xff" + text.encode("utf-16-be")
    return text.encode(codec, "replace")


def _decode(data: bytes, charset: str) -> str:
    return data.decode(_charset(charset), "replace")


def _url_encode(text: str) -> str:
    return quote_plus(text, safe="*-._").replace("~", "%7E")


def _url_decode(text: str) -> str | None:
    """NULL where an escape is none; bytes that are no UTF-8 become U+FFFD."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return None
    return unquote_plus(text, errors="replace")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _make_utf8(data: bytes) -> str:
    return data.decode(errors="replace")


def _hash_code(value: str | bool | float) -> int:
    """Java's `hashCode` of a `String`, `Boolean`, `Double`, `Long` or `Integer`."""
    if isinstance(value, bool):
        return 1231 if value else 1237
    if isinstance(value, str):
        total = 0
        units = value.encode("utf-16-be")
        for i in range(0, len(units), 2):
            total = (31 * total + (units[i] << 8 | units[i + 1])) & 0xFFFFFFFF
    else:
        number = value
        if isinstance(number, float):
            (number,) = struct.unpack(">q", struct.pack(">d", number))
        bits = int(number) & (1 << 64) - 1
        total = (bits ^ bits >> 32) & 0xFFFFFFFF
    return total - (1 << 32) if total >> 31 else total


def _hash_number(value: int) -> int:
    return value


_URL = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)


def _parse_url(url: str, part: str, key: str | None = None) -> str | None:
    found = _URL.fullmatch(url)
    if found is None or not found[1]:
        return None
    scheme, authority, path, query, ref = found.groups()
    if key is not None:
        if part != "QUERY" or query is None:
            return None
        hit = re.search(rf"(?:^|&){re.escape(key)}=([^&]*)", query)
        return hit[1] if hit else None
    host = user = None
    if authority is not None:
        user, at, rest = authority.rpartition("@")
        user = user if at else None
        host = re.sub(r":\d*$", "", rest)
    match part:
        case "HOST":
            return host
        case "PATH":
            return path
        case "QUERY":
            return query
        case "REF":
            return ref
        case "PROTOCOL":
            return scheme
        case "FILE":
            return path if query is None else f"{path}?{query}"
        case "AUTHORITY":
            return authority
        case "USERINFO":
            return user
        case _:
            return None


def _inet_aton(text: str) -> int | None:
    parts = text.split(".")
    if not 1 <= len(parts) <= 4 or not all(re.fullmatch(r"[0-9]+", p, re.ASCII) for p in parts):
        return None
    numbers = [int(p) for p in parts]
    if any(n > 255 for n in numbers):
        return None
    total = 0
    for n in numbers[:-1]:
        total = total << 8 | n
    return total << 8 * (5 - len(numbers)) | numbers[-1] if len(numbers) > 1 else numbers[0]


def _inet_ntoa(value: int) -> str | None:
    if not 0 <= value <= 0xFFFFFFFF:
        return None
    return ".".join(str(value >> s & 255) for s in (24, 16, 8, 0))


def _separator(pattern: str) -> re.Pattern[str]:
    try:
        compiled = compile_java(pattern)
    except UnsupportedPattern as e:
        raise Fault(f"regular expression '{pattern}' uses {e}, which is not supported") from e
    if compiled is None or compiled.groups:
        raise Fault(f"'{pattern}' is no separator")
    return compiled


def _str_to_map(text: str, pairs: str = ",", values: str = "=") -> list[tuple[str, str | None]]:
    if not text:
        return []
    found: dict[str, str | None] = {}
    outer, inner = _separator(pairs), _separator(values)
    for pair in outer.split(text):
        parts = inner.split(pair, maxsplit=1)
        found[parts[0]] = parts[1] if len(parts) > 1 else None
    return list(found.items())


_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text) is not None


def _test(name: str, doc: str, function: Callable[[str], bool]) -> Function:
    def kernel(_: Any, text: Any) -> Any:
        return each(function, pa.bool_(), text).fill_null(False)

    return Function(
        name, doc, (overload((CHARACTER,), lambda _: BooleanType(nullable=False), strict(kernel)),)
    )


def _hash_type(args: Sequence[Expression]) -> DataType:
    return VarCharType(128, nullable=any(a.type.nullable for a in args))


def _one(  # noqa: PLR0917
    name: str, doc: str, params: Any, result: Any, function: Any, arrow: Any, **more: Any
) -> Function:
    return Function(name, doc, (overload(params, result, per_value(function, arrow), **more),))


FUNCTIONS = (
    *(_hash(n) for n in _HASHES),
    Function(
        "SHA2",
        "The SHA-2 hash of the given length in hexadecimal digits.",
        tuple(
            overload((p, INT), _hash_type, per_value(_sha2, pa.string()))
            for p in (CHARACTER, BYTES)
        ),
    ),
    Function(
        "HEX",
        "Hexadecimal digits of a number or of text in UTF-8.",
        (
            overload((CHARACTER,), _STRING, per_value(_hex_text, pa.string())),
            overload((BIGINT,), _STRING, per_value(_hex_number, pa.string())),
        ),
    ),
    _one("BIN", "Binary digits of a number.", (BIGINT,), _STRING, _bin, pa.string()),
    _one("UNHEX", "The bytes of hexadecimal digits.", (CHARACTER,),
         forced_nullable(VarBinaryType()), _unhex, pa.binary()),
    Function(
        "FROM_BASE64",
        "The text of base 64 digits.",
        tuple(
            overload((p,), _STRING, per_value(_from_base64, pa.string())) for p in (CHARACTER, BYTES)
        ),
    ),
    Function(
        "TO_BASE64",
        "Base 64 digits of a text.",
        tuple(
            overload((p,), _STRING, per_value(_to_base64, pa.string())) for p in (CHARACTER, BYTES)
        ),
    ),
    _one("ENCODE", "The bytes of text in a character set.", (CHARACTER, CHARACTER),
         by_arguments(VarBinaryType()), _encode, pa.binary()),
    _one("DECODE", "The text of bytes in a character set.", (BYTES, CHARACTER), _STRING, _decode,
         pa.string()),
    _one("URL_ENCODE", "Text as a part of a URL.", (CHARACTER,), _STRING_OR_NULL, _url_encode,
         pa.string()),
    _one("URL_DECODE", "The text of a part of a URL.", (CHARACTER,), _STRING_OR_NULL, _url_decode,
         pa.string()),
    _one("IS_VALID_UTF8", "Whether bytes are UTF-8.", (BYTES,), by_arguments(BooleanType()),
         _is_utf8, pa.bool_()),
    _one("MAKE_VALID_UTF8", "The text of bytes; what is no UTF-8 becomes U+FFFD.", (BYTES,),
         _STRING, _make_utf8, pa.string()),
    Function(
        "HASH_CODE",
        "A value's hash in 32 bits, as Java computes it.",
        tuple(
            overload((param,), by_arguments(IntType()), per_value(function, pa.int32()))
            for param, function in (
                (CHARACTER, _hash_code), (INT, _hash_number), (BIGINT, _hash_code),
                (DOUBLE, _hash_code), (BOOLEAN, _hash_code),
            )
        ),
    ),
    _one("PARSE_URL", "A part of a URL, or the value of a key of its query.",
         (CHARACTER, CHARACTER, CHARACTER), _STRING_OR_NULL, _parse_url, pa.string(), optional=1),
    _one("INET_ATON", "The number of an IPv4 address.", (CHARACTER,),
         forced_nullable(BigIntType()), _inet_aton, pa.int64()),
    _one("INET_NTOA", "The IPv4 address of a number.", (BIGINT,), _STRING_OR_NULL, _inet_ntoa,
         pa.string()),
    Function(
        "STR_TO_MAP",
        "The map of a text of pairs; separators are regular expressions.",
        tuple(
            overload((CHARACTER,) * n, forced_nullable(MapType(VarCharType(), VarCharType())),
                     per_value(_str_to_map, pa.map_(pa.string(), pa.string())))
            for n in (1, 3)
        ),
    ),
    _test("IS_ALPHA", "True if the text is all letters.", lambda t: t != "" and t.isalpha()),
    _test("IS_DIGIT", "True if the text is all digits.", lambda t: t != "" and t.isdecimal()),
    _test("IS_DECIMAL", "True if the text is a decimal number.", _is_decimal),
)  # fmt: skip
