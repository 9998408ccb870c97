"""Literals from their SQL text."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from flowsql.errors import Span, SqlError
from flowsql.expr.nodes import Literal, LiteralValue
from flowsql.expr.parse_text import parse_date, parse_time, parse_timestamp
from flowsql.types import (
    BigIntType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    IntType,
    NullType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
)
from flowsql.types.decimals import MAX_PRECISION

__all__ = [
    "boolean_literal",
    "bytes_literal",
    "date_literal",
    "interval_literal",
    "null_literal",
    "number_literal",
    "string_literal",
    "time_literal",
    "timestamp_literal",
]

_NUMBER = re.compile(r"(\d*)(?:\.(\d*))?([eE][+-]?\d+)?", re.ASCII)
_FRACTION = re.compile(r"\.(\d+)", re.ASCII)

_DAY_TIME_UNITS = ("DAY", "HOUR", "MINUTE", "SECOND")
_MILLIS = {"DAY": 86_400_000, "HOUR": 3_600_000, "MINUTE": 60_000, "SECOND": 1000}
_RANGES: dict[str, tuple[int, int]] = {"HOUR": (24, 2), "MINUTE": (60, 2), "SECOND": (60, 2)}


def _literal(data_type: DataType, value: LiteralValue, span: Span | None) -> Literal:
    return Literal(type=data_type.not_null(), value=value, span=span)


def null_literal(span: Span | None = None) -> Literal:
    """An untyped NULL."""
    return Literal(type=NullType(), value=None, span=span)


def boolean_literal(value: bool, span: Span | None = None) -> Literal:
    """TRUE or FALSE."""
    return _literal(BooleanType(), value, span)


def string_literal(value: str, span: Span | None = None) -> Literal:
    """'text': CHAR(length in UTF-16 units); the empty string is CHAR(0) as in Flink."""
    length = len(value) + (0 if value.isascii() else sum(c > "\uffff" for c in value))
    return _literal(CharType(length), value, span)


def bytes_literal(digits: str, span: Span | None = None) -> Literal:
    """x'0a1b': BINARY(length); raises SqlError unless it is pairs of hexadecimal digits."""
    try:
        value = bytes.fromhex(digits)
    except ValueError as e:
        raise SqlError(
            f"binary literal x'{digits}' is not pairs of hexadecimal digits", span=span
        ) from e
    return _literal(BinaryType(len(value)), value, span)


def number_literal(text: str, span: Span | None = None) -> Literal:
    """INT or BIGINT by size, DECIMAL with a point, DOUBLE with an exponent.

    Raises:
        SqlError: it has more than 38 digits, or is no number.
    """
    found = _NUMBER.fullmatch(text)
    if found is None or not (found[1] or found[2]):
        raise SqlError(f'"{text}" is not a number', span=span)
    whole, fraction, exponent = found[1], found[2], found[3]
    if exponent:
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise SqlError(f"number {text} is out of the range of DOUBLE", span=span)
        return _literal(DoubleType(), number, span)
    if fraction is None or fraction == "":
        value = int(whole)
        if value < 1 << 31:
            return _literal(IntType(), value, span)
        if value < 1 << 63:
            return _literal(BigIntType(), value, span)
        if value == 1 << 63:
            # Only its negative exists: -9223372036854775808.
            return _literal(DecimalType(19, 0), Decimal(value), span)
        raise SqlError(
            f"whole number {text} is out of the range of BIGINT",
            hint="Write CAST('…' AS DECIMAL(38, 0)).",
            span=span,
        )
    scale = len(fraction)
    precision = len(whole) + scale
    if precision > MAX_PRECISION and not whole.strip("0"):
        precision = scale
    if precision > MAX_PRECISION:
        raise SqlError(f"number {text} has more than {MAX_PRECISION} digits", span=span)
    return _literal(DecimalType(precision, scale), Decimal(f"{whole or 0}.{fraction}"), span)


def _parsed(parse: Callable[[str], int], text: str, span: Span | None) -> int:
    try:
        return parse(text)
    except ValueError as e:
        raise SqlError(str(e), span=span) from e


def date_literal(text: str, span: Span | None = None) -> Literal:
    """DATE '2020-01-31'."""
    if re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", text.strip(), re.ASCII) is None:
        raise SqlError(f"cannot parse '{text}' as DATE", hint="Write 'yyyy-MM-dd'.", span=span)
    return _literal(DateType(), _parsed(parse_date, text.strip(), span), span)


def time_literal(text: str, span: Span | None = None) -> Literal:
    """TIME '12:34:56.7': TIME(digits of the fraction)."""
    found = _FRACTION.search(text)
    digits = min(len(found[1]), 3) if found else 0
    return _literal(TimeType(digits), _parsed(parse_time, text, span), span)


def timestamp_literal(text: str, span: Span | None = None) -> Literal:
    """TIMESTAMP '2020-01-31 12:34:56.789': TIMESTAMP(digits of the fraction)."""
    nanos = _parsed(parse_timestamp, text.strip(), span)
    found = _FRACTION.search(text)
    digits = len(found[1]) if found else 0
    return _literal(TimestampType(digits), nanos if digits > 6 else nanos // 1000, span)


def interval_literal(text: str, unit: str, span: Span | None = None) -> Literal:
    """INTERVAL 'text' unit, where unit is `DAY`, `YEAR TO MONTH`, `DAY TO SECOND`, ….

    Flink's two interval types are INTERVAL MONTH and INTERVAL SECOND(3), whatever was written.

    Raises:
        SqlError: the text is not of that form.
    """
    parts = " ".join(unit.upper().split()).split(" TO ")
    bad = SqlError(
        f"cannot parse '{text}' as INTERVAL {unit.upper()}",
        hint="Write, for example, INTERVAL '5' MINUTE or INTERVAL '1 02:03:04.5' DAY TO SECOND.",
        span=span,
    )
    body = text.strip()
    sign = -1 if body.startswith("-") else 1
    body = body.lstrip("+-") if body[:1] in ("+", "-") else body
    first, last = parts[0], parts[-1]
    if first in ("YEAR", "MONTH", "QUARTER"):
        months = _months(body, first, last)
        if months is None:
            raise bad
        return _literal(YearMonthIntervalType("MONTH"), sign * months, span)
    if first == "WEEK" and last == "WEEK" and body.isdigit():
        millis: int | None = int(body) * 7 * _MILLIS["DAY"]
    else:
        millis = _millis(body, first, last)
    if millis is None:
        raise bad
    return _literal(DayTimeIntervalType("SECOND", fraction=3), sign * millis, span)


def _months(body: str, first: str, last: str) -> int | None:
    if first == last:
        factor = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}[first]
        return int(body) * factor if re.fullmatch(r"\d+", body, re.ASCII) else None
    found = re.fullmatch(r"(\d+)-(\d{1,2})", body, re.ASCII)
    if found is None or (first, last) != ("YEAR", "MONTH") or int(found[2]) > 11:
        return None
    return int(found[1]) * 12 + int(found[2])


def _millis(body: str, first: str, last: str) -> int | None:
    if first not in _DAY_TIME_UNITS or last not in _DAY_TIME_UNITS:
        return None
    units = _DAY_TIME_UNITS[_DAY_TIME_UNITS.index(first) : _DAY_TIME_UNITS.index(last) + 1]
    if not units:
        return None
    pattern = r"(\d+)"
    for before in units[:-1]:
        pattern += (r"\s+" if before == "DAY" else ":") + r"(\d{1,2})"
    if last == "SECOND":
        pattern += r"(?:\.(\d{1,9}))?"
    found = re.fullmatch(pattern, body, re.ASCII)
    if found is None:
        return None
    total = 0
    for i, unit in enumerate(units):
        amount = int(found[i + 1])
        if i and amount >= _RANGES[unit][0]:
            return None
        total += amount * _MILLIS[unit]
    if last == "SECOND" and found[len(units) + 1]:
        total += int(found[len(units) + 1].ljust(3, "0")[:3])
    return total
