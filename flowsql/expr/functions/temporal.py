"""Fields of, and arithmetic with, points in time.

Flink counts in milliseconds since 1970 and cuts toward zero, so that before 1970 a time of day is
negative (`EXTRACT(SECOND FROM TIMESTAMP '1969-12-31 23:59:58.123')` is -1) and the date is the next
day. That is kept. TIMESTAMP_LTZ is taken by its local time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr.calendar import (
    add_months,
    civil_from_days,
    days_from_civil,
    iso_week,
)
from flowsql.expr.casting import cast_to
from flowsql.expr.faults import Fault
from flowsql.expr.functions.arithmetic import shift_kernel
from flowsql.expr.functions.math import CEIL_NUMBER, FLOOR_NUMBER
from flowsql.expr.literals import string_literal
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.params import ANY, DATETIME, SYMBOL
from flowsql.expr.registry import Function, by_arguments, first_argument, overload
from flowsql.expr.resolve import resolve
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    as_array,
    build,
    null_mask,
    numbers,
    row_count,
    validity,
)
from flowsql.expr.zones import local_from_utc
from flowsql.types import (
    BigIntType,
    DataType,
    DateType,
    DayTimeIntervalType,
    IntType,
    LocalZonedTimestampType,
    NullType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
    arrow_type,
)
from flowsql.types.common import is_datetime, is_integer, is_interval, is_timestamp, plain_type

__all__ = ["FUNCTIONS", "keyword"]

_DAY_MS = 86_400_000
_CLOCK = {"HOUR": 3_600_000, "MINUTE": 60_000, "SECOND": 1000, "MILLISECOND": 1}
_FINE = {"MICROSECOND": 1000, "NANOSECOND": 1_000_000}
_DATE_UNITS = (
    "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "ISODOW", "ISOYEAR", "DECADE",
    "CENTURY", "MILLENNIUM", "EPOCH",
)  # fmt: skip
_BIGINT = by_arguments(BigIntType())
_FIELDS = {
    "YEAR": "YEAR",
    "QUARTER": "QUARTER",
    "MONTH": "MONTH",
    "WEEK": "WEEK",
    "DAYOFYEAR": "DOY",
    "DAYOFMONTH": "DAY",
    "DAYOFWEEK": "DOW",
    "HOUR": "HOUR",
    "MINUTE": "MINUTE",
    "SECOND": "SECOND",
}


def keyword(arg: Expression, known: Sequence[str], what: str) -> str:
    """A keyword that stands among the arguments as a string literal.

    Raises:
        SqlError: it is not one of `known`.
    """
    if isinstance(arg, Literal) and isinstance(arg.value, str):
        word = arg.value.upper().removeprefix("SQL_TSI_")
        if word in known:
            return word
        near = nearest(word, known)
        raise SqlError(
            f'"{arg.value}" is not {what}',
            hint=f'Did you mean "{near}"?' if near else f"Use {', '.join(known)}.",
            span=arg.span,
        )
    raise SqlError(f"expected {what}", span=arg.span)


def symbol(word: str, span: Span | None = None) -> Literal:
    """A keyword as an argument."""
    return string_literal(word, span)


def _nulls(array: Any) -> Any:
    return null_mask(array) if array.null_count else None


def _cut(values: Any, unit: int) -> Any:
    """Division cutting toward zero, as Java's."""
    return np.sign(values) * (np.abs(values) // unit)


def _local(value: Any, data_type: DataType, settings: EvalSettings) -> Any:
    if isinstance(data_type, LocalZonedTimestampType):
        return local_from_utc(value, settings.local_time_zone)
    return value


def _millis(array: Any) -> Any:
    """Milliseconds since the epoch, rounded down."""
    return numbers(array) // (1_000_000 if array.type.unit == "ns" else 1000)


# EXTRACT


def _bind_extract(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 2:
        raise wrong_arguments("EXTRACT", args, span)
    unit = keyword(args[0], (*_DATE_UNITS, *_CLOCK, *_FINE), "a unit of time")
    return _extract_call(unit, args[1], span)


def _extract_call(unit: str, value: Expression, span: Span | None) -> Expression:
    data_type = value.type
    if isinstance(data_type, NullType):
        value = cast_to(value, TimestampType(3))
    elif not (is_datetime(data_type) or is_interval(data_type)):
        raise wrong_arguments(
            "EXTRACT",
            (value,),
            span,
            ("EXTRACT(<UNIT> FROM <DATETIME>)", "EXTRACT(<UNIT> FROM <INTERVAL>)"),
        )
    months = isinstance(data_type, YearMonthIntervalType)
    of_day = isinstance(data_type, DayTimeIntervalType | TimeType)
    if (
        (months and unit not in ("YEAR", "MONTH", "QUARTER", "DECADE", "CENTURY", "MILLENNIUM"))
        or (isinstance(data_type, TimeType) and unit in _DATE_UNITS)
        or (of_day and unit in _DATE_UNITS and unit not in ("DAY", "EPOCH"))
    ):
        raise SqlError(
            f'unit "{unit}" cannot be taken from {data_type.with_nullable(True)}', span=span
        )
    result = BigIntType(nullable=value.type.nullable)
    return Call(type=result, function="EXTRACT", args=(symbol(unit, span), value), span=span)


def _bind_field(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) != 1:
            raise wrong_arguments(name, args, span, (f"{name}(<DATETIME>)",))
        return _extract_call(_FIELDS[name], args[0], span)

    return bind


def _extract_make(call: Call, settings: EvalSettings) -> Kernel:
    unit = keyword(call.args[0], (*_DATE_UNITS, *_CLOCK, *_FINE), "a unit of time")
    source = call.args[1].type

    def kernel(_: Any, __: Value, value: Value) -> Value:
        array = _local(value, source, settings)
        found = _field(unit, array, source)
        return build(np.asarray(found, dtype=np.int64), pa.int64(), _nulls(array))

    return kernel


def _field(unit: str, array: Any, source: DataType) -> Any:
    if isinstance(source, YearMonthIntervalType):
        return _interval_months(unit, numbers(array).astype(np.int64))
    if isinstance(source, DateType):
        if unit in _CLOCK or unit in _FINE:
            return np.zeros(len(array), dtype=np.int64)
        days = numbers(array).astype(np.int64)
        return days * 86400 if unit == "EPOCH" else _date_field(unit, days)
    if isinstance(source, TimeType | DayTimeIntervalType):
        millis = numbers(array).astype(np.int64)
    else:
        millis = _millis(array)
        if unit in _FINE:
            per_second = 10**9 if array.type.unit == "ns" else 10**6
            fraction = numbers(array) % per_second
            factor = 1000 * _FINE[unit]
            return (
                fraction * (factor // per_second)
                if factor >= per_second
                else fraction // (per_second // factor)
            )
    if unit in _FINE:
        return np.fmod(millis, 1000) * _FINE[unit]
    if unit == "EPOCH":
        return _cut(millis, 1000)
    if unit in _CLOCK:
        size = _CLOCK[unit]
        above = {"HOUR": _DAY_MS, "MINUTE": 3_600_000, "SECOND": 60_000, "MILLISECOND": 1000}[unit]
        return _cut(np.fmod(millis, above), size)
    days = _cut(millis, _DAY_MS)
    if isinstance(source, DayTimeIntervalType):
        return days
    return _date_field(unit, days)


def _interval_months(unit: str, months: Any) -> Any:
    match unit:
        case "MONTH":
            return np.fmod(months, 12)
        case "QUARTER":
            return _cut(np.fmod(months, 12), 3) + 1
        case _:
            years = {"YEAR": 1, "DECADE": 10, "CENTURY": 100, "MILLENNIUM": 1000}[unit]
            return _cut(months, 12 * years)


def _date_field(unit: str, days: Any) -> Any:
    year, month, day = civil_from_days(days)
    match unit:
        case "YEAR":
            return year
        case "QUARTER":
            return (month + 2) // 3
        case "MONTH":
            return month
        case "DAY":
            return day
        case "DOY":
            return days - days_from_civil(year, 1, 1) + 1
        case "DOW":
            return (days + 4) % 7 + 1
        case "ISODOW":
            return (days + 3) % 7 + 1
        case "WEEK":
            return iso_week(days)[1]
        case "ISOYEAR":
            return iso_week(days)[0]
        case "DECADE":
            return _cut(year, 10)
        case "CENTURY":
            return np.where(year > 0, (year + 99) // 100, _cut(year - 99, 100))
        case "MILLENNIUM":
            return np.where(year > 0, (year + 999) // 1000, _cut(year - 999, 1000))
        case _:
            raise Fault(f"unit {unit} has no field")


# FLOOR and CEIL to a unit

_ROUNDABLE = (
    "MILLENNIUM", "CENTURY", "DECADE", "YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE",
    "SECOND", "MILLISECOND",
)  # fmt: skip


def _bind_round(name: str) -> Any:
    def bind(args: Sequence[Expression], span: Span | None) -> Expression:
        if len(args) == 1:
            return resolve(CEIL_NUMBER if name == "CEIL" else FLOOR_NUMBER, args, span, name)
        if len(args) != 2 or not is_datetime(args[0].type):
            raise wrong_arguments(name, args, span)
        unit = keyword(args[1], _ROUNDABLE, "a unit of time")
        point = args[0].type
        if isinstance(point, TimeType) and unit not in _CLOCK:
            raise SqlError(f"TIME cannot be rounded to {unit}", span=span)
        plain = first_argument(args[:1])
        if is_timestamp(plain):
            plain = plain_type(plain)
        return Call(type=plain, function=name, args=(args[0], symbol(unit, span)), span=span)

    return bind


def _round_make(name: str) -> Any:
    up = name == "CEIL"

    def make(call: Call, settings: EvalSettings) -> Kernel:
        unit = keyword(call.args[1], _ROUNDABLE, "a unit of time")
        source = call.args[0].type

        def kernel(_: Any, value: Value, __: Value) -> Value:
            array = _local(value, source, settings)
            nulls = _nulls(array)
            if isinstance(source, DateType):
                if unit in _CLOCK or (unit == "DAY" and not up):
                    return array
                moved = _round_days(unit, numbers(array).astype(np.int64), up)
                return build(moved.astype(np.int32), array.type, nulls)
            if isinstance(source, TimeType):
                size = _CLOCK[unit]
                moved = -(-numbers(array) // size) * size if up else numbers(array) // size * size
                return build(moved.astype(np.int32), array.type, nulls)
            per_ms = 1_000_000 if array.type.unit == "ns" else 1000
            moved = _round_instants(unit, numbers(array), per_ms, up)
            if isinstance(source, LocalZonedTimestampType):
                # By the offset of the value, as in Flink, though midnight may have had another.
                offset = numbers(array) - numbers(value)
                return build(moved - offset, value.type, nulls)
            return build(moved, array.type, nulls)

        return kernel

    return make


def _round_instants(unit: str, values: Any, per_ms: int, up: bool) -> Any:
    if unit in _CLOCK:
        size = _CLOCK[unit] * per_ms
        return -(-values // size) * size if up else values // size * size
    day = per_ms * _DAY_MS
    if unit == "DAY":
        return -(-values // day) * day if up else values // day * day
    days = _cut(values // per_ms, _DAY_MS)
    floor = _round_days(unit, days, up=False)
    if not up:
        return floor * day
    # A moment past the unit's first midnight goes on to the next one.
    return np.where(floor * day == values, floor, _next(unit, floor)) * day


def _next(unit: str, floor: Any) -> Any:
    if unit == "WEEK":
        return floor + 7
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "DECADE": 120, "CENTURY": 1200,
              "MILLENNIUM": 12000}[unit]  # fmt: skip
    return add_months(floor, months)


def _round_days(unit: str, days: Any, up: bool) -> Any:
    year, month, _ = civil_from_days(days)
    match unit:
        case "DAY":
            return days + 1 if up else days
        case "WEEK":
            floor = days - (days + 4) % 7
        case "MONTH":
            floor = days_from_civil(year, month, 1)
        case "QUARTER":
            floor = days_from_civil(year, (month - 1) // 3 * 3 + 1, 1)
        case "YEAR":
            floor = days_from_civil(year, 1, 1)
        case "DECADE":
            floor = days_from_civil(year // 10 * 10, 1, 1)
        case "CENTURY":
            floor = days_from_civil((year - 1) // 100 * 100 + 1, 1, 1)
        case _:
            floor = days_from_civil((year - 1) // 1000 * 1000 + 1, 1, 1)
    return np.where(floor == days, days, _next(unit, floor)) if up else floor


# TIMESTAMPADD and TIMESTAMPDIFF

_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}
_STEPS = {"WEEK": 7 * _DAY_MS, "DAY": _DAY_MS, "HOUR": 3_600_000, "MINUTE": 60_000, "SECOND": 1000,
          "MILLISECOND": 1}  # fmt: skip
_ADDABLE = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND")


def _bind_add(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 3:
        raise wrong_arguments("TIMESTAMPADD", args, span)
    unit = keyword(args[0], _ADDABLE, "a unit of time")
    count, point = args[1], args[2]
    if isinstance(point.type, NullType):
        point = cast_to(point, TimestampType(3))
    if not (is_integer(count.type) or isinstance(count.type, NullType)):
        raise wrong_arguments("TIMESTAMPADD", args, span)
    if not is_datetime(point.type):
        raise wrong_arguments("TIMESTAMPADD", args, span)
    if isinstance(point.type, DateType) and unit in _CLOCK:
        point = cast_to(point, TimestampType(6))
    plain = first_argument((point, count))
    if is_timestamp(plain):
        plain = plain_type(plain)
    given = (symbol(unit, span), cast_to(count, BigIntType()), point)
    return Call(type=plain, function="TIMESTAMPADD", args=given, span=span)


def _add_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    unit = keyword(call.args[0], _ADDABLE, "a unit of time")
    point = call.args[2].type
    months = unit in _MONTHS
    factor = _MONTHS[unit] if months else _STEPS[unit]
    interval = YearMonthIntervalType("MONTH") if months else DayTimeIntervalType("SECOND")
    shift = shift_kernel(point, interval, 1)
    arrow = pa.int64()

    def kernel(context: Any, _: Value, count: Value, start: Value) -> Value:
        rows = row_count((count, start))
        amount = as_array(count, rows)
        nulls = _nulls(amount)
        return shift(context, start, build(numbers(amount) * factor, arrow, nulls))

    return kernel


def _bind_diff(args: Sequence[Expression], span: Span | None) -> Expression:
    if len(args) != 3:
        raise wrong_arguments("TIMESTAMPDIFF", args, span)
    unit = keyword(args[0], _ADDABLE, "a unit of time")
    points = [cast_to(a, TimestampType(3)) if isinstance(a.type, NullType) else a for a in args[1:]]
    if not all(is_datetime(p.type) for p in points):
        raise wrong_arguments("TIMESTAMPDIFF", args, span)
    zoned = [isinstance(p.type, LocalZonedTimestampType) for p in points]
    if any(zoned) and not all(zoned):
        raise SqlError(
            "TIMESTAMP_LTZ can only be subtracted from TIMESTAMP_LTZ",
            hint="CAST one of them to the other's type.",
            span=span,
        )
    nullable = any(p.type.nullable for p in points)
    given = (symbol(unit, span), *points)
    return Call(type=IntType(nullable=nullable), function="TIMESTAMPDIFF", args=given, span=span)


def _diff_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    unit = keyword(call.args[0], _ADDABLE, "a unit of time")
    types = [a.type for a in call.args[1:]]

    def kernel(_: Any, __: Value, start: Value, end: Value) -> Value:
        rows = row_count((start, end))
        arrays = [as_array(v, rows) for v in (start, end)]
        a, b = (_as_millis(v, t) for v, t in zip(arrays, types, strict=True))
        if unit in _MONTHS:
            found = _cut(_months_between(b, a), _MONTHS[unit])
        else:
            found = _cut(b - a, _STEPS[unit])
        return build(found.astype(np.int32), pa.int32(), validity(*arrays))

    return kernel


def _as_millis(array: Any, data_type: DataType) -> Any:
    if isinstance(data_type, DateType):
        return numbers(array).astype(np.int64) * _DAY_MS
    if isinstance(data_type, TimeType):
        return numbers(array).astype(np.int64)
    return _millis(array)


def _months_between(later: Any, earlier: Any) -> Any:
    """Whole months from `earlier` to `later`: the month's last day counts as any later one."""
    d0, t0 = np.divmod(later, _DAY_MS)
    d1, t1 = np.divmod(earlier, _DAY_MS)
    swap = d0 < d1
    high, low = np.where(swap, d1, d0), np.where(swap, d0, d1)
    y0, m0, _ = civil_from_days(high)
    y1, m1, _ = civil_from_days(low)
    months = (y0 - y1) * 12 + (m0 - m1)
    months -= add_months(low, months) > high
    months = np.where(swap, -months, months)
    return months - ((add_months(d1, months) == d0) & (t0 < t1))


# (a - b) DAY


def _bind_between(args: Sequence[Expression], span: Span | None) -> Expression:
    """`DATETIME -`('MONTH' | 'SECOND', later, earlier)."""
    later, earlier = args[1], args[2]
    unit = keyword(args[0], ("MONTH", "SECOND"), "a unit of time")
    if not is_datetime(later.type) or type(later.type) is not type(earlier.type):
        raise wrong_arguments("-", args[1:], span, ("(<DATETIME> - <DATETIME>) <UNIT>",))
    nullable = later.type.nullable or earlier.type.nullable
    plain = (
        YearMonthIntervalType("MONTH")
        if unit == "MONTH"
        else DayTimeIntervalType("SECOND", fraction=3)
    )
    result = plain.with_nullable(nullable)
    return Call(type=result, function="DATETIME -", args=(args[0], later, earlier), span=span)


def _between_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    months = isinstance(call.type, YearMonthIntervalType)
    types = [a.type for a in call.args[1:]]
    arrow = arrow_type(call.type)

    def kernel(_: Any, __: Value, later: Value, earlier: Value) -> Value:
        rows = row_count((later, earlier))
        arrays = [as_array(v, rows) for v in (later, earlier)]
        a, b = (_as_millis(v, t) for v, t in zip(arrays, types, strict=True))
        found = _months_between(a, b) if months else a - b
        return build(found, arrow, validity(*arrays))

    return kernel


FUNCTIONS = (
    Function(
        "DATETIME -",
        "The interval between two points in time: months, or milliseconds.",
        (overload((SYMBOL, DATETIME, DATETIME), first_argument, _between_make),),
        _bind_between,
        signatures=("(<DATETIME> - <DATETIME>) <UNIT>",),
    ),
    Function(
        "EXTRACT",
        "A field of a point in time or an interval.",
        (overload((SYMBOL, ANY), _BIGINT, _extract_make),),
        _bind_extract,
        signatures=("EXTRACT(<UNIT> FROM <DATETIME>)", "EXTRACT(<UNIT> FROM <INTERVAL>)"),
    ),
    *(
        Function(
            name,
            f"EXTRACT({unit} FROM …).",
            (),
            _bind_field(name),
            signatures=(f"{name}(<DATETIME>)",),
        )
        for name, unit in _FIELDS.items()
    ),
    *(
        Function(
            name,
            f"A number rounded {way} to a whole one; a point in time to a unit.",
            (overload((DATETIME, SYMBOL), first_argument, _round_make(name)),),
            _bind_round(name),
            aliases=aliases,
            signatures=(f"{name}(<NUMERIC>)", f"{name}(<DATETIME> TO <UNIT>)"),
        )
        for name, way, aliases in (("CEIL", "up", ("CEILING",)), ("FLOOR", "down", ()))
    ),
    Function(
        "TIMESTAMPADD",
        "A point in time so many units later.",
        (overload((SYMBOL, ANY, DATETIME), first_argument, _add_make),),
        _bind_add,
        signatures=("TIMESTAMPADD(<UNIT>, <INTEGER>, <DATETIME>)",),
    ),
    Function(
        "TIMESTAMPDIFF",
        "The whole units from the first point in time to the second.",
        (overload((SYMBOL, DATETIME, DATETIME), by_arguments(IntType()), _diff_make),),
        _bind_diff,
        signatures=("TIMESTAMPDIFF(<UNIT>, <DATETIME>, <DATETIME>)",),
    ),
)
