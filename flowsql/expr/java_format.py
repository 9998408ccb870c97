"""`java.util.Formatter`, in English: what PRINTF writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from flowsql.expr.faults import Fault

__all__ = ["Whole", "WrongFormat", "java_format"]


class WrongFormat(Exception):  # noqa: N818 - an answer, not a fault
    """Java would throw: the format is none, or does not fit its arguments."""


class Whole(NamedTuple):
    """An integer and the bits of its type, which hexadecimal digits show."""

    value: int
    bits: int


class _Piece(NamedTuple):
    """A conversion, or literal text where `kind` is empty."""

    text: str
    kind: str = ""
    place: int = 0  # of its argument: from 1; 0 the next one, -1 the last one again
    flags: str = ""
    width: int = 0
    precision: int = -1


_PIECE = re.compile(r"%(\d+\$|<)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([tT]?[a-zA-Z%])")
_ALL = "bBsScCdoxXeEfn%"
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
        if len(kind) > 1 or kind in "hHgGaA":
            raise Fault(
                f"conversion '%{kind}' of PRINTF is not supported", hint=f"Use one of {_ALL}."
            )
        if kind not in _ALL:
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


_ALLOWED = {"d": "-+ 0,(", "o": "-#0", "x": "-#0", "f": "-#+ 0,(", "e": "-#+ 0("}


def _check_flags(kind: str, flags: str, width: str | None, precision: str | None) -> None:
    allowed = _ALLOWED.get(kind.lower(), "-")
    if any(f not in allowed for f in flags):
        raise WrongFormat(f"wrong flags '{flags}' for '%{kind}'")
    if precision is not None and kind in "cCdoxXn%":
        raise WrongFormat(f"'%{kind}' takes no precision")
    if kind == "n" and width is not None:
        raise WrongFormat("'%n' takes no width")


def java_format(text: str, args: Sequence[Any]) -> str:
    """The text with its conversions filled in.

    Args:
        text: the format.
        args: str, bool, float, Decimal, `Whole` or None each.

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
        made = _KINDS[piece.kind.lower()](args[last - 1], piece)
        out.append(made.upper() if piece.kind.isupper() else made)
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


def _approximate(value: Any, piece: _Piece) -> float | None:
    """A float to write by digits, or None where it is written already."""
    if not isinstance(value, float):
        raise WrongFormat(f"'%{piece.kind}' takes FLOAT or DOUBLE")
    return value


def _special(value: float, piece: _Piece) -> str | None:
    plain = piece._replace(flags=piece.flags.replace("0", "").replace(",", ""))
    if value != value:  # noqa: PLR0124 - NaN
        return _padded("NaN", plain)
    if abs(value) == float("inf"):
        return _signed("Infinity", value < 0, plain)
    return None


def _fixed(value: Any, piece: _Piece) -> str:
    if value is None:
        return _padded("null", piece)
    number = _approximate(value, piece)
    assert number is not None
    special = _special(number, piece)
    if special is not None:
        return special
    places = 6 if piece.precision < 0 else piece.precision
    exact = Decimal(repr(abs(number))).quantize(Decimal(1).scaleb(-places), context=_EXACT)
    return _signed(f"{exact:f}", str(number).startswith("-"), piece)


def _scientific(value: Any, piece: _Piece) -> str:
    if value is None:
        return _padded("null", piece)
    number = _approximate(value, piece)
    assert number is not None
    special = _special(number, piece)
    if special is not None:
        return special
    places = 6 if piece.precision < 0 else piece.precision
    exact = Decimal(repr(abs(number)))
    rounded = Context(prec=places + 1, rounding=ROUND_HALF_UP).plus(exact)
    exponent = rounded.adjusted() if rounded else 0
    digits = f"{rounded.scaleb(-exponent):.{places}f}"
    power = f"{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    return _signed(f"{digits}e{power}", str(number).startswith("-"), piece)


_KINDS: dict[str, Callable[[Any, _Piece], str]] = {
    "b": _boolean,
    "s": _string,
    "c": _character,
    "d": _decimal,
    "o": _radix("o", "0"),
    "x": _radix("x", "0x"),
    "f": _fixed,
    "e": _scientific,
}
