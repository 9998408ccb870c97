"""Dates, times and intervals, as they are stored, as the literals that SQL has for them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from flowsql.types.datatypes import (
    DataType,
    DateType,
    DayTimeIntervalType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
)

__all__ = ["moment_text"]

_MICROSECONDS = 6
_UNITS = (("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1_000))


def moment_text(kind: DataType, value: int) -> str | None:
    """`TIMESTAMP '2026-01-05 12:00:00'`, `INTERVAL '5' SECOND`; None for other types.

    TIMESTAMP_LTZ, of which SQL has no literal, is shown in UTC.

    Args:
        kind: of the value.
        value: as it is stored: days, ms of the day, µs (ns above precision 6), ms or months.
    """
    match kind:
        case DateType():
            return f"DATE '{np.datetime64(value, 'D')}'"
        case TimeType():
            return f"TIME '{_text(value, 'ms').partition(' ')[2]}'"
        case TimestampType(precision=precision):
            return f"TIMESTAMP '{_text(value, _unit(precision))}'"
        case LocalZonedTimestampType(precision=precision):
            return f"TIMESTAMP_LTZ '{_text(value, _unit(precision))} UTC'"
        case DayTimeIntervalType():
            return _interval(value)
        case YearMonthIntervalType():
            whole = value % 12 == 0
            return f"INTERVAL '{value // 12 if whole else value}' {'YEAR' if whole else 'MONTH'}"
    return None


_Unit = Literal["ms", "us", "ns"]


def _unit(precision: int) -> _Unit:
    return "us" if precision <= _MICROSECONDS else "ns"


def _text(value: int, unit: _Unit) -> str:
    """Without zeros at the end of a fraction."""
    text = str(np.datetime64(value, unit)).replace("T", " ")
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _interval(milliseconds: int) -> str:
    """In the largest unit of which it is a whole number; seconds may have a fraction."""
    for name, size in _UNITS:
        if milliseconds and milliseconds % size == 0:
            return f"INTERVAL '{milliseconds // size}' {name}"
    seconds = f"{milliseconds / 1000:.3f}".rstrip("0").removesuffix(".")
    return f"INTERVAL '{seconds}' SECOND"
