"""Text to values, one string at a time, as Java's parsers and Flink's own read it.

These serve the casts' slow path (each distinct string once), literals and the fast path's
refusals. They raise ValueError with the reason.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext

__all__ = [
    "days_from_civil",
    "parse_boolean",
    "parse_date",
    "parse_decimal",
    "parse_double",
    "parse_integer",
    "parse_time",
    "parse_timestamp",
]

_TRUE = frozenset(("t", "true", "y", "yes", "1"))
_FALSE = frozenset(("f", "false", "n", "no", "0"))
_INTEGER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[dDfF]?)", re.ASCII
)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?: ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{1,9}))?)?",
    re.ASCII,
)
_WIDE = Context(prec=80, rounding=ROUND_HALF_UP)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_JAVA_BLANKS = "".join(map(chr, range(33)))


def parse_integer(text: str, bits: int) -> int:
    """A whole number; a fraction of digits is cut off, as in `'1.9'`."""
    found = _INTEGER.fullmatch(text.strip(" "))
    if found is None or not (found[2] or found[3] is not None):
        raise ValueError(f"cannot parse '{text}' as a whole number")
    value = int(found[2] or "0")
    if found[1] == "-":
        value = -value
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"'{text}' is out of range")
    return value


def parse_double(text: str) -> float:
    """A floating-point number in Java's syntax."""
    trimmed = text.strip(_JAVA_BLANKS)
    if _DOUBLE.fullmatch(trimmed) is None:
        raise ValueError(f"cannot parse '{text}' as a number")
    if trimmed.endswith("NaN"):
        return float("nan")
    return float(trimmed.rstrip("dDfF") if not trimmed.endswith("Infinity") else trimmed)


def parse_decimal(text: str, precision: int, scale: int) -> Decimal:
    """DECIMAL(precision, scale), rounded half up."""
    trimmed = text.strip(" ")
    if _DECIMAL.fullmatch(trimmed) is None:
        raise ValueError(f"cannot parse '{text}' as a number")
    value = fit_decimal(Decimal(trimmed), precision, scale)
    if value is None:
        raise ValueError(f"'{text}' has too many digits for DECIMAL({precision}, {scale})")
    return value


def fit_decimal(value: Decimal, precision: int, scale: int) -> Decimal | None:
    """The value rounded half up to `scale` digits, or None if it needs more than `precision`."""
    with localcontext(_WIDE):
        if value.adjusted() > precision - scale:
            return None
        try:
            fitted = value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)
        except InvalidOperation:
            return None
        return fitted if abs(fitted) < Decimal(1).scaleb(precision - scale) else None


def parse_boolean(text: str) -> bool:
    """t, true, y, yes, 1 and their opposites, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"cannot parse '{text}' as BOOLEAN")


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a proleptic Gregorian date."""
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468


def days_in_month(year: int, month: int) -> int:
    """28 to 31."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _DAYS[month - 1]


def parse_date(text: str) -> int:
    """Days since the epoch; `2020`, `2020-5` and a time after a blank are taken."""
    bad = ValueError(f"cannot parse '{text}' as DATE")
    head = text.strip(" ").split(" ")[0] if text.find(" ") > 0 else text
    parts = head.split("-", 2)
    numbers = [p.strip() for p in parts]
    if not all(re.fullmatch(r"[0-9]+", n, re.ASCII) for n in numbers):
        raise bad
    year, month, day = (*map(int, numbers), 1, 1)[:3]
    if not (0 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= days_in_month(year, month)):
        raise bad
    return days_from_civil(year, month, day)


def parse_time(text: str) -> int:
    """Milliseconds of the day; `23` and `23:45` are taken, further digits are cut off."""
    bad = ValueError(f"cannot parse '{text}' as TIME")
    found = re.fullmatch(
        r"\s*([0-9]{1,2})\s*(?::\s*([0-9]{1,2})\s*(?::\s*([0-9]{1,2})\s*(?:\.\s*([0-9]+)\s*)?)?)?",
        text,
        re.ASCII,
    )
    if found is None:
        raise bad
    hour, minute, second = (int(found[i] or 0) for i in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 59:
        raise bad
    millis = int(((found[4] or "") + "000")[:3])
    return ((hour * 60 + minute) * 60 + second) * 1000 + millis


def parse_timestamp(text: str) -> int:
    """Nanoseconds since the epoch of a local date and time.

    A day past the end of its month, up to 31, means the month's last day, as in Java.
    """
    found = _TIMESTAMP.fullmatch(text)
    bad = ValueError(f"cannot parse '{text}' as TIMESTAMP")
    if found is None:
        raise bad
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    hour, minute, second = (int(found[i] or 0) for i in (4, 5, 6))
    if not (year and 1 <= month <= 12 and 1 <= day <= 31):
        raise bad
    if not (hour < 24 and minute < 60 and second < 60):
        raise bad
    day = min(day, days_in_month(year, month))
    seconds = days_from_civil(year, month, day) * 86400 + (hour * 60 + minute) * 60 + second
    return seconds * 1_000_000_000 + int((found[7] or "").ljust(9, "0"))
