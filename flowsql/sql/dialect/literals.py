"""Date, time and interval literals: their text checked and turned into numbers, as Flink reads it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from flowsql.errors import Span, SqlError
from flowsql.types import (
    DataType,
    DateType,
    DayTimeIntervalType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
)

__all__ = ["interval", "temporal"]

_DATE = re.compile(r"(\d{1,4})-(\d{1,2})-(\d{1,2})")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d*))?")
_TIMESTAMP = re.compile(_DATE.pattern + r"(?: " + _TIME.pattern + r")?")
_SHAPE = {
    "DATE": "yyyy-MM-dd",
    "TIME": "HH:mm:ss[.fraction]",
    "TIMESTAMP": "yyyy-MM-dd HH:mm:ss[.fraction]",
}
_EPOCH = dt.date(1970, 1, 1).toordinal()


def temporal(kind: str, text: str, span: Span) -> tuple[DataType, int]:
    """Type and value of `DATE|TIME|TIMESTAMP 'text'`, see TemporalLiteral.

    Raises:
        SqlError: The text is not of the literal's form, or no such day or time exists.
    """
    try:
        return _temporal(kind, text)
    except ValueError:
        raise SqlError(
            f"illegal {kind} literal '{text}'",
            span=span,
            hint=f"It is written '{_SHAPE[kind]}' and must exist in the calendar.",
        ) from None


def _temporal(kind: str, text: str) -> tuple[DataType, int]:
    if kind == "DATE":
        found = _matched(_DATE, text)
        return DateType(nullable=False), _days(found)
    if kind == "TIME":
        found = _matched(_TIME, text)
        digits, nanos = _nanos(found[1], found[2], found[3], (found[4] or "")[:3])
        return TimeType(digits, nullable=False), nanos
    found = _matched(_TIMESTAMP, text)
    digits, nanos = (0, 0) if found[4] is None else _nanos(found[4], found[5], found[6], found[7])
    return TimestampType(digits, nullable=False), _days(found) * 86_400_000_000_000 + nanos


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError
    return found


def _days(found: re.Match[str]) -> int:
    return dt.date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH


def _nanos(hour: str, minute: str, second: str, fraction: str | None) -> tuple[int, int]:
    fraction = (fraction or "")[:9]
    time = dt.time(int(hour), int(minute), int(second))
    seconds = (time.hour * 60 + time.minute) * 60 + time.second
    return len(fraction), seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


@dataclass(frozen=True, slots=True)
class _Unit:
    scale: int  # in months or milliseconds
    limit: int  # of a value that follows a larger unit


_MONTHS = {"YEAR": _Unit(12, 0), "MONTH": _Unit(1, 12)}
_MILLIS = {
    "DAY": _Unit(86_400_000, 0),
    "HOUR": _Unit(3_600_000, 24),
    "MINUTE": _Unit(60_000, 60),
    "SECOND": _Unit(1_000, 60),
}
_GAPS = {"DAY": " ", "HOUR": ":", "MINUTE": ":", "YEAR": "-"}


def interval(
    text: str,
    to: YearMonthIntervalType | DayTimeIntervalType,
    span: Span,
    *,
    word: str | None = None,
    negative: bool = False,
) -> int:
    """Months or milliseconds of `INTERVAL 'text' <to>`; `word` is the unit as written.

    Raises:
        SqlError: The text does not fit the units, or a field exceeds its precision.
    """
    units = _MONTHS if isinstance(to, YearMonthIntervalType) else _MILLIS
    first, _, last = to.unit.partition(" TO ")
    names = list(units)
    chosen = names[names.index(first) : names.index(last or first) + 1]
    pattern = "".join(rf"(\d+){re.escape(_GAPS[n]) if n != chosen[-1] else ''}" for n in chosen)
    pattern += r"(?:\.(\d*))?" if chosen[-1] == "SECOND" else "()"
    found = re.fullmatch(rf"([+-]?){pattern}", text.strip())
    fraction = (found and found.groups()[-1]) or ""
    too_fine = isinstance(to, DayTimeIntervalType) and len(fraction) > to.fraction
    if found is None or too_fine:
        shape = "".join(n.lower() + (_GAPS[n] if n != chosen[-1] else "") for n in chosen)
        raise SqlError(
            f"illegal interval literal '{text}' for {to.unit}",
            span=span,
            hint=f"It is written '{shape}'.",
        )
    sign, fields = found[1], found.groups()[1:-1]
    total = 0
    for i, (name, digits) in enumerate(zip(chosen, fields, strict=True)):
        value = int(digits)
        if i == 0 and len(str(value)) > to.precision:
            raise SqlError(
                f"interval field value {value:,} exceeds precision of {word or name}({to.precision}) field",
                span=span,
                hint=f"Write the precision: {word or name}({len(str(value))}).",
            )
        if i > 0 and value >= units[name].limit:
            raise SqlError(
                f"illegal interval literal '{text}' for {to.unit}",
                span=span,
                hint=f"{name} must be below {units[name].limit} behind a larger unit.",
            )
        total += value * units[name].scale
    if fraction:
        total += int(fraction[:3].ljust(3, "0"))
    return -total if negative != (sign == "-") else total
