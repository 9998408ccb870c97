"""Values as Flink's `Row.toString` writes them; written apart from the engine, to judge it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from flowsql import types as t
from tests.support.roaring import bitmap_members, bitmap_text

__all__ = ["java_double", "java_float", "row_text", "value_text"]


def java_double(value: float) -> str:
    """`Double.toString`."""
    return _java(value, repr(float(value)))


def java_float(value: float) -> str:
    """`Float.toString`."""
    return _java(value, str(np.float32(value)))


def _java(value: float, shortest: str) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(shortest).as_tuple()
    assert isinstance(exponent, int)
    figures = "".join(map(str, digits)).lstrip("0")
    minus = "-" if sign else ""
    if not figures:
        return f"{minus}0.0"
    stripped = figures.rstrip("0")
    exponent += len(figures) - len(stripped)
    figures = stripped
    point = len(figures) + exponent  # value = 0.figures × 10^point
    if -3 < point <= 7:
        if point <= 0:
            return f"{minus}0.{'0' * -point}{figures}"
        whole, rest = figures[:point].ljust(point, "0"), figures[point:]
        return f"{minus}{whole}.{rest or '0'}"
    return f"{minus}{figures[0]}.{figures[1:] or '0'}E{point - 1}"


def _date(days: int) -> str:
    return str(np.datetime64(days, "D"))


def _time(of_day: int, nanos: int) -> str:
    text = f"{of_day // 3600:02}:{of_day // 60 % 60:02}"
    if of_day % 60 or nanos:
        text += f":{of_day % 60:02}"
    return text + _fraction(nanos)


def _fraction(nanos: int) -> str:
    """Nine digits cut to three, six or nine, as java.time does."""
    if not nanos:
        return ""
    digits = f"{nanos:09}"
    for width in (3, 6):
        if digits[width:] == "0" * (9 - width):
            return f".{digits[:width]}"
    return f".{digits}"


def timestamp_text(units: int, per_second: int, *, zoned: bool) -> str:
    """`LocalDateTime.toString` or `Instant.toString` of a count of units since 1970."""
    seconds, rest = divmod(units, per_second)
    nanos = rest * (1_000_000_000 // per_second)
    days, of_day = divmod(seconds, 86_400)
    if zoned:
        clock = f"{of_day // 3600:02}:{of_day // 60 % 60:02}:{of_day % 60:02}"
        return f"{_date(days)}T{clock}{_fraction(nanos)}Z"
    return f"{_date(days)}T{_time(of_day, nanos)}"


def interval_days_text(millis: int) -> str:
    """`Duration.toString`."""
    if not millis:
        return "PT0S"
    seconds, rest = divmod(abs(millis), 1000)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    minus = "-" if millis < 0 else ""
    text = "PT"
    text += f"{minus}{hours}H" if hours else ""
    text += f"{minus}{minutes}M" if minutes else ""
    if seconds or rest:
        text += f"{minus}{seconds}{f'.{rest:03}'.rstrip('0') if rest else ''}S"
    return text


def interval_months_text(months: int) -> str:
    """`Period.toString`."""
    if not months:
        return "P0D"
    sign = -1 if months < 0 else 1
    years, rest = divmod(abs(months), 12)
    return "P" + (f"{sign * years}Y" if years else "") + (f"{sign * rest}M" if rest else "")


def value_text(value: Any, kind: t.DataType, *, null: str = "null") -> str:
    """One value: Python as `stored_rows` gives it (times are integers in Arrow's unit)."""
    if value is None:
        return null
    match kind:
        case t.BooleanType():
            return "true" if value else "false"
        case t.BitmapType():
            return bitmap_text(bitmap_members(value))
        case t.FloatType():
            return java_float(value)
        case t.DoubleType():
            return java_double(value)
        case t.DecimalType(scale=scale):
            return f"{value:.{scale}f}"
        case t.DateType():
            return _date(value)
        case t.TimeType():
            seconds, millis = divmod(value, 1000)
            return _time(seconds, millis * 1_000_000)
        case t.TimestampType(precision=p):
            return timestamp_text(value, 10**6 if p <= 6 else 10**9, zoned=False)
        case t.LocalZonedTimestampType(precision=p):
            return timestamp_text(value, 10**6 if p <= 6 else 10**9, zoned=True)
        case t.DayTimeIntervalType():
            return interval_days_text(value)
        case t.YearMonthIntervalType():
            return interval_months_text(value)
        case t.BinaryType() | t.VarBinaryType():
            return "[" + ", ".join(str(b - 256 if b > 127 else b) for b in value) + "]"
        case t.ArrayType(element=element):
            return "[" + ", ".join(value_text(v, element) for v in value) + "]"
        case t.MapType(key=key, value=item):
            return _map_text([(value_text(k, key), value_text(v, item)) for k, v in value])
        case t.MultisetType(element=element):
            return _map_text([(value_text(k, element), str(v)) for k, v in value])
        case t.RowType():
            return row_text(value, kind)
        case _:
            return str(value)


def _map_text(entries: list[tuple[str, str]]) -> str:
    # The order of a Java map's entries means nothing: both sides are sorted before they are compared.
    return "{" + ", ".join(f"{k}={v}" for k, v in sorted(entries)) + "}"


def row_text(values: tuple[Any, ...], kind: t.RowType, *, sign: str = "+I") -> str:
    """`+I[1, a, null]`."""
    cells = (value_text(v, f.type) for v, f in zip(values, kind.fields, strict=True))
    return f"{sign}[{', '.join(cells)}]"
