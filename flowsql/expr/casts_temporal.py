"""Casts to DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ and intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.casts_numeric import parsed, to_integer
from flowsql.expr.faults import Fault
from flowsql.expr.parse_text import parse_date, parse_time, parse_timestamp
from flowsql.expr.vector import EvalSettings, Kernel, Value, build, null_mask, numbers
from flowsql.expr.zones import local_from_utc, utc_from_local
from flowsql.types import (
    BigIntType,
    DataType,
    DateType,
    DayTimeIntervalType,
    IntType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
    arrow_type,
)
from flowsql.types.common import is_character

__all__ = ["in_unit", "to_date", "to_interval", "to_time", "to_timestamp", "truncate_precision"]

_DAY_MS = 86_400_000
NS_RANGE = "TIMESTAMP with more than 6 digits reaches from 1677-09-21 to 2262-04-11"


def _per_second(array: Any) -> int:
    return 1_000_000_000 if array.type.unit == "ns" else 1_000_000


def _nulls(array: Any) -> Any:
    return null_mask(array) if array.null_count else None


def to_date(source: DataType, *, safe: bool, settings: EvalSettings) -> Kernel:
    """From text, TIMESTAMP, or TIMESTAMP_LTZ by its local date."""
    if is_character(source):
        slow = parsed(parse_date, pa.int32(), safe=safe)

        def kernel(_: Any, value: Value) -> Value:
            try:
                return value.cast(pa.date32())
            except pa.ArrowInvalid:
                return slow(value).view(pa.date32())

        return kernel
    local = isinstance(source, LocalZonedTimestampType)

    def days(_: Any, value: Value) -> Value:
        if local:
            value = local_from_utc(value, settings.local_time_zone)
        # Flink cuts milliseconds toward zero, so that 1969-12-31 23:00 is on 1970-01-01.
        millis = numbers(value) // (_per_second(value) // 1000)
        whole = np.sign(millis) * (np.abs(millis) // _DAY_MS)
        return build(whole.astype(np.int32), pa.date32(), _nulls(value))

    return days


def to_time(source: DataType, target: TimeType, *, safe: bool, settings: EvalSettings) -> Kernel:
    """From text, TIME of another precision, or the time of day of a timestamp."""
    unit = 10 ** max(0, 3 - target.precision)
    arrow = pa.time32("ms")
    if is_character(source):
        run = parsed(lambda s: parse_time(s) // unit * unit, pa.int32(), safe=safe)
        return lambda _, value: run(value).view(arrow)
    local = isinstance(source, LocalZonedTimestampType)

    def kernel(_: Any, value: Value) -> Value:
        if isinstance(source, TimeType):
            if source.precision <= target.precision:
                return value
            millis = numbers(value)
        else:
            if local:
                value = local_from_utc(value, settings.local_time_zone)
            millis = numbers(value) // (_per_second(value) // 1000) % _DAY_MS
        return build((millis // unit * unit).astype(np.int32), arrow, _nulls(value))

    return kernel


def to_timestamp(
    source: DataType,
    target: TimestampType | LocalZonedTimestampType,
    *,
    safe: bool,
    settings: EvalSettings,
) -> Kernel:
    """From text, DATE, TIME or the other timestamp; digits that do not fit are cut off.

    Text and TIMESTAMP are local times where the target is TIMESTAMP_LTZ.
    """
    zoned = isinstance(target, LocalZonedTimestampType)
    plain = pa.timestamp("us" if target.precision <= 6 else "ns")
    zone = settings.local_time_zone
    if is_character(source):
        slow = parsed(parse_timestamp, pa.int64(), safe=safe)

    def kernel(_: Any, value: Value) -> Value:
        if is_character(source):
            value = _from_text(value, plain, slow, target.precision)
        elif isinstance(source, DateType):
            factor = 86400 * (1_000_000_000 if plain.unit == "ns" else 1_000_000)
            value = build(_times(numbers(value), factor), plain, _nulls(value))
        elif isinstance(source, TimeType):
            factor = 1_000_000 if plain.unit == "ns" else 1000
            value = build(_times(numbers(value), factor), plain, _nulls(value))
        if isinstance(source, LocalZonedTimestampType) and not zoned:
            value = local_from_utc(value, zone)
        elif zoned and not isinstance(source, LocalZonedTimestampType):
            value = utc_from_local(value, zone)
        value = in_unit(value, plain.unit)
        return truncate_precision(value, target.precision)

    return kernel


def _times(values: Any, factor: int) -> Any:
    wide = values.astype(np.int64)
    if len(wide) and int(np.abs(wide).max()) * factor >= 1 << 63:
        raise Fault("timestamp is out of range", hint=f"{NS_RANGE}; use TIMESTAMP(6).")
    return wide * factor


def in_unit(array: Any, unit: str) -> Any:
    """A timestamp column in µs or ns; Fault where a value does not reach into ns."""
    given = array.type
    if given.unit == unit:
        return array
    tz = given.tz
    arrow = pa.timestamp(unit, tz=tz)
    if unit == "us":
        return build(numbers(array) // 1000, arrow, _nulls(array))
    try:
        return array.cast(arrow)
    except pa.ArrowInvalid as e:
        raise Fault("timestamp is out of range", hint=f"{NS_RANGE}; use TIMESTAMP(6).") from e


def truncate_precision(array: Any, precision: int) -> Any:
    """Digits past `precision` cut off as Flink does: below milliseconds down, above towards 0."""
    scale = 9 if array.type.unit == "ns" else 6
    if precision >= scale:
        return array
    values = numbers(array)
    if precision >= 3:
        unit = 10 ** (scale - precision)
        whole = values // unit * unit
    else:
        milli = 10 ** (scale - 3)
        unit = 10 ** (3 - precision)
        millis = values // milli
        whole = np.sign(millis) * (np.abs(millis) // unit) * unit * milli
    return build(whole, array.type, _nulls(array))


_YEAR_1 = -62_135_596_800_000_000  # microseconds


def _has_year_0(array: Any) -> bool:
    """Whether a timestamp in microseconds lies before the year 1, which has no text."""
    low = pc.min(array).value if array.type.unit == "us" else None
    return low is not None and int(low) < _YEAR_1


def _from_text(array: Any, plain: Any, slow: Any, precision: int) -> Any:
    """Arrow reads the two usual forms; all other text goes to the parser."""
    lengths = pc.binary_length(array)
    usual = pc.min_max(
        pc.if_else(pc.equal(lengths, pa.scalar(10, pa.int32())), pa.scalar(19, pa.int32()), lengths)
    )
    low, high = usual["min"].as_py(), usual["max"].as_py()
    if (
        low is not None
        and low >= 19
        and high <= 26
        and not pc.any(pc.match_substring(array, "T")).as_py()
    ):
        try:
            found = array.cast(plain)
        except pa.ArrowInvalid:
            found = None
        if found is not None and not _has_year_0(found):
            return found
    nanos = slow(array)
    if plain.unit == "ns":
        return nanos.view(plain)
    del precision
    return build(numbers(nanos) // 1000, plain, _nulls(nanos))


def to_interval(
    source: DataType, target: YearMonthIntervalType | DayTimeIntervalType
) -> Kernel | None:
    """Between resolutions of one kind (the value stays), or from a whole number of units."""
    if isinstance(source, YearMonthIntervalType | DayTimeIntervalType):
        return None
    whole = IntType() if isinstance(target, YearMonthIntervalType) else BigIntType()
    if arrow_type(source) == arrow_type(whole):
        return None
    return to_integer(source, whole, safe=False)
