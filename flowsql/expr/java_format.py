"""`java.util.Formatter`, in English: what PRINTF writes."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from flowsql.expr.faults import Fault
from flowsql.expr.java_format_times import TIME_LETTERS, time_text

__all__ = ["Moment", "Single", "Whole", "WrongFormat", "java_format"]


class WrongFormat(Exception):  # noqa: N818 - an answer, not a fault
    """Java would throw: the format is none, or does not fit its arguments."""


class Whole(NamedTuple):
    """An integer and the bits of its type, which hexadecimal digits show."""

    value: int
    bits: int


class Single(float):
    """A FLOAT."""


class Moment(str):
    """The text of a TIMESTAMP."""

    __slots__ = ()


class _Piece(NamedTuple):
    """A conversion, or literal text where `kind` is empty."""

    text: str
    kind: str = ""
    place: int = 0  # of its argument: from 1; 0 the next one, -1 the last one again
    flags: str = ""
    width: int = 0
    precision: int = -1


_PIECE = re.compile(r"%(\d+\$|<)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([tT]?[a-zA-Z%])")
_ALL = "bBhHsScCdoxXeEfgGaAn%"
_EXACT = Context(prec=400, rounding=ROUND_HALF_UP)


@lru_cache(maxsize=256)
def _pieces(text: str) -> tuple[_Piece, ...]:
    found: list[_Piece] = []
    at = 0
    while at < len(text):
        percent = text.find("%", at)
        if percent < 0:
            found.append(_Piece(text[at:]))
            break
        if percent > at:
            found.append(_Piece(text[at:percent]))
        match = _PIECE.match(text, percent)
        if match is None:
            raise WrongFormat(f"'{text[percent : percent + 2]}' is no conversion")
        which, flags, width, precision, kind = match.groups()
        if len(kind) > 1:
            if kind[1] not in TIME_LETTERS:
                raise WrongFormat(f"unknown conversion '{kind}'")
        elif kind not in _ALL:
            raise WrongFormat(f"unknown conversion '{kind}'")
        if len(set(flags)) < len(flags) or (("-" in flags or "0" in flags) and width is None):
            raise WrongFormat(f"wrong flags '{flags}'")
        if {"-", "0"} <= set(flags) or {"+", " "} <= set(flags):
            raise WrongFormat(f"wrong flags '{flags}'")
        index = 0 if which is None else -1 if which == "<" else int(which[:-1])
        if "<" in flags:
            index, flags = -1, flags.replace("<", "")
        _check_flags(kind, flags, width, precision)
        piece = _Piece(
            "", kind, index, flags, int(width or 0), -1 if precision is None else int(precision)
        )
        found.append(piece)
        at = match.end()
    return tuple(found)


_ALLOWED = {
    "d": "-+ 0,(",
    "o": "-#0",
    "x": "-#0",
    "f": "-#+ 0,(",
    "e": "-#+ 0(",
    "g": "-+ 0,(",
    "a": "-#+ 0",
}


def _check_flags(kind: str, flags: str, width: str | None, precision: str | None) -> None:
    allowed = _ALLOWED.get(kind.lower(), "-")
    if any(f not in allowed for f in flags):
        raise WrongFormat(f"wrong flags '{flags}' for '%{kind}'")
    if precision is not None and (kind in "cCdoxXn%" or len(kind) > 1):
        raise WrongFormat(f"'%{kind}' takes no precision")
    if kind == "n" and width is not None:
        raise WrongFormat("'%n' takes no width")


def java_format(text: str, args: Sequence[Any], zone: str = "UTC") -> str:
    """The text with its conversions filled in.

    Args:
        text: the format.
        args: str, bool, float, Decimal, `Whole`, `Single`, `Moment` or None each.
        zone: of the dates and times that `%t` makes of numbers.

    Raises:
        WrongFormat: Java would throw.
        Fault: the format is right but uses what is not supported.
    """
    out = []
    ordinary = last = 0
    for piece in _pieces(text):
        match piece.kind:
            case "":
                out.append(piece.text)
                continue
            case "n":
                out.append("\n")
                continue
            case "%":
                out.append(_padded("%", piece))
                continue
        if piece.place == 0:
            ordinary += 1
            last = ordinary
        elif piece.place > 0:
            last = piece.place
        if not 1 <= last <= len(args):
            raise WrongFormat("an argument is missing")
        if len(piece.kind) > 1:
            made = _time(args[last - 1], piece, zone)
        else:
            made = _KINDS[piece.kind.lower()](args[last - 1], piece)
        out.append(made.upper() if piece.kind[0].isupper() else made)
    return "".join(out)


def _padded(text: str, piece: _Piece) -> str:
    return text.ljust(piece.width) if "-" in piece.flags else text.rjust(piece.width)


def _cut(text: str, piece: _Piece) -> str:
    return _padded(text if piece.precision < 0 else text[: piece.precision], piece)


def _string(value: Any, piece: _Piece) -> str:
    return _cut(_plain(value), piece)


def _plain(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Whole():
            return str(value.value)
        case _:
            return str(value)


def _boolean(value: Any, piece: _Piece) -> str:
    truth = value if isinstance(value, bool) else value is not None
    return _cut("true" if truth else "false", piece)


def _character(value: Any, piece: _Piece) -> str:
    if value is None:
        return _padded("null", piece)
    if not isinstance(value, Whole) or value.bits > 32 or not 0 <= value.value <= 0x10FFFF:
        raise WrongFormat("'%c' takes a code point")
    return _padded(chr(value.value), piece)


def _signed(digits: str, negative: bool, piece: _Piece) -> str:
    """Digits with grouping, sign and zeros in front."""
    if "," in piece.flags:
        whole, dot, rest = digits.partition(".")
        digits = f"{int(whole):,}{dot}{rest}"
    before = after = ""
    if negative:
        before, after = ("(", ")") if "(" in piece.flags else ("-", "")
    elif "+" in piece.flags:
        before = "+"
    elif " " in piece.flags:
        before = " "
    if "0" in piece.flags:
        digits = digits.rjust(piece.width - len(before) - len(after), "0")
    return _padded(before + digits + after, piece)


def _decimal(value: Any, piece: _Piece) -> str:
    if value is None:
        return _padded("null", piece)
    if not isinstance(value, Whole):
        raise WrongFormat("'%d' takes a whole number")
    return _signed(str(abs(value.value)), value.value < 0, piece)


def _radix(form: str, prefix: str) -> Callable[[Any, _Piece], str]:
    def write(value: Any, piece: _Piece) -> str:
        if value is None:
            return _padded("null", piece)
        if not isinstance(value, Whole):
            raise WrongFormat(f"'%{form}' takes a whole number")
        digits = format(value.value & (1 << value.bits) - 1, form)
        head = prefix if "#" in piece.flags else ""
        if "0" in piece.flags:
            digits = digits.rjust(piece.width - len(head), "0")
        return _padded(head + digits, piece)

    return write


def _special(value: float, piece: _Piece) -> str | None:
    plain = piece._replace(flags=piece.flags.replace("0", "").replace(",", ""))
    if value != value:  # noqa: PLR0124 - NaN
        return _padded("NaN", plain)
    if abs(value) == float("inf"):
        return _signed("Infinity", value < 0, plain)
    return None


def _of_numbers(write: Callable[[float, _Piece], str]) -> Callable[[Any, _Piece], str]:
    """What all that write FLOAT and DOUBLE do alike: NULL, NaN and the infinities."""

    def written(value: Any, piece: _Piece) -> str:
        if value is None:
            return _cut("null", piece)
        if not isinstance(value, float):
            raise WrongFormat(f"'%{piece.kind}' takes FLOAT or DOUBLE")
        special = _special(value, piece)
        return write(value, piece) if special is None else special

    return written


@_of_numbers
def _fixed(number: float, piece: _Piece) -> str:
    places = 6 if piece.precision < 0 else piece.precision
    exact = Decimal(repr(abs(number))).quantize(Decimal(1).scaleb(-places), context=_EXACT)
    return _signed(f"{exact:f}", str(number).startswith("-"), piece)


@_of_numbers
def _scientific(number: float, piece: _Piece) -> str:
    places = 6 if piece.precision < 0 else piece.precision
    exact = Decimal(repr(abs(number)))
    rounded = Context(prec=places + 1, rounding=ROUND_HALF_UP).plus(exact)
    exponent = rounded.adjusted() if rounded else 0
    digits = f"{rounded.scaleb(-exponent):.{places}f}"
    power = f"{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    return _signed(f"{digits}e{power}", str(number).startswith("-"), piece)


@_of_numbers
def _general(number: float, piece: _Piece) -> str:
    """As `%f` or `%e`: by the exponent of the value once it is rounded."""
    digits = 6 if piece.precision < 0 else max(piece.precision, 1)
    rounded = Context(prec=digits, rounding=ROUND_HALF_UP).plus(Decimal(repr(abs(number))))
    exponent = rounded.adjusted() if rounded else 0
    if -4 <= exponent < digits:
        places = digits - 1 - exponent
        return _signed(f"{rounded:.{places}f}", math.copysign(1, number) < 0, piece)
    piece = piece._replace(precision=digits - 1, flags=piece.flags.replace(",", ""))
    return _scientific(number, piece)


@_of_numbers
def _hexadecimal(number: float, piece: _Piece) -> str:
    digits = _hex_digits(abs(number), 13 if piece.precision < 0 else max(piece.precision, 1))
    if piece.precision < 0:
        mantissa, power = digits.split("p")
        whole, fraction = mantissa.split(".")
        digits = f"{whole}.{fraction.rstrip('0') or '0'}p{power}"
    negative = math.copysign(1, number) < 0
    sign = "-" if negative else "+" if "+" in piece.flags else " " if " " in piece.flags else ""
    if "0" in piece.flags:
        digits = digits.rjust(piece.width - len(sign) - 2, "0")
    return _padded(f"{sign}0x{digits}", piece)


def _hex_digits(number: float, places: int) -> str:
    """`1.8p3`, with so many places; rounded half to even where they are fewer than 13."""
    mantissa, _, power = number.hex()[2:].partition("p")
    if places >= 13 or not number:
        whole, _, fraction = mantissa.partition(".")
        return f"{whole}.{fraction.ljust(places, '0')}p{int(power)}"
    fraction_of, exponent = math.frexp(number)
    bits, cut = int(fraction_of * (1 << 53)), 52 - 4 * places
    kept, rest = bits >> cut, bits & ((1 << cut) - 1)
    half = 1 << (cut - 1)
    if rest > half or (rest == half and kept & 1):
        kept += 1
    if kept >> (4 * places) > 1:
        kept, exponent = kept >> 1, exponent + 1
    return f"1.{kept & ((1 << 4 * places) - 1):0{places}x}p{exponent - 1}"


def _hash(value: Any, piece: _Piece) -> str:
    return _cut("null" if value is None else f"{java_hash(value) & 0xFFFFFFFF:x}", piece)


def java_hash(value: Any) -> int:
    """`hashCode` of the object that Flink gives to the formatter."""
    match value:
        case bool():
            return 1231 if value else 1237
        case Moment():
            raise Fault("conversion '%h' of PRINTF does not take a TIMESTAMP")
        case str():
            return _murmur(value.encode())
        case Whole(number, bits):
            return _folded(number) if bits == 64 else number
        case Single():
            return int.from_bytes(struct.pack(">f", value), "big")
        case float():
            return _folded(int.from_bytes(struct.pack(">d", value), "big"))
        case _:
            sign, digits, exponent = value.as_tuple()
            whole, found = int("".join(map(str, digits))), 0
            for at in range(max(0, whole.bit_length() - 1) // 32, -1, -1):
                found = (31 * found + (whole >> 32 * at)) & 0xFFFFFFFF
            return 31 * (-found if sign else found) - exponent


def _folded(number: int) -> int:
    """The hash of 64 bits: one half on the other."""
    number &= (1 << 64) - 1
    return number ^ number >> 32


def _murmur(data: bytes) -> int:
    """Murmur3 with the seed 42, where each byte at the end counts as a word."""
    found, whole = 42, len(data) & ~3
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, whole, 4)]
    words += [b - 256 if b > 127 else b for b in data[whole:]]
    for word in words:
        mixed = (word * 0xCC9E2D51) & 0xFFFFFFFF
        mixed = ((mixed << 15 | mixed >> 17) * 0x1B873593) & 0xFFFFFFFF
        found ^= mixed
        found = ((found << 13 | found >> 19) * 5 + 0xE6546B64) & 0xFFFFFFFF
    found ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found = ((found ^ found >> shift) * factor) & 0xFFFFFFFF
    return found ^ found >> 16


def _time(value: Any, piece: _Piece, zone: str) -> str:
    if value is None:
        return _padded("null", piece)
    if not isinstance(value, Whole) or value.bits != 64:
        raise WrongFormat("'%t' takes BIGINT: milliseconds since 1970")
    return _padded(time_text(value.value, piece.kind[1], zone), piece)


_KINDS: dict[str, Callable[[Any, _Piece], str]] = {
    "b": _boolean,
    "s": _string,
    "c": _character,
    "d": _decimal,
    "o": _radix("o", "0"),
    "x": _radix("x", "0x"),
    "f": _fixed,
    "e": _scientific,
    "g": _general,
    "a": _hexadecimal,
    "h": _hash,
}
