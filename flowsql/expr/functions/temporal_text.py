"""Points in time to and from text and numbers, and the clock.

The clock is the step's: one reading for all rows of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import NO_WATERMARK
from flowsql.errors import ConfigError, Span, SqlError
from flowsql.expr.casts_temporal import to_date, to_timestamp
from flowsql.expr.faults import Fault
from flowsql.expr.functions.strings import literal_text
from flowsql.expr.java_dates import (
    PatternError,
    format_local,
    format_simple,
    formatter_fields,
    parse_local,
    parse_simple,
    pattern_fields,
    simple_fields,
)
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.params import BIGINT, CHARACTER, INT, NUMERIC, TIMESTAMP
from flowsql.expr.parse_text import parse_timestamp
from flowsql.expr.registry import (
    Function,
    Maker,
    by_arguments,
    first_argument,
    forced_nullable,
    overload,
)
from flowsql.expr.resolve import resolve
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    as_array,
    build,
    each,
    null_mask,
    numbers,
    row_count,
    validity,
)
from flowsql.expr.zones import check_zone, local_from_utc, utc_from_local
from flowsql.types import (
    BigIntType,
    DataType,
    DateType,
    DecimalType,
    LocalZonedTimestampType,
    TimeAttribute,
    TimestampType,
    TimeType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import is_approximate, plain_type
from flowsql.types.constants import text_constant

__all__ = ["FUNCTIONS"]

_STRING_OR_NULL = forced_nullable(VarCharType())
_DEFAULT = "yyyy-MM-dd HH:mm:ss"
_FAILED = -(1 << 63)
_US = pa.timestamp("us")
_US_UTC = pa.timestamp("us", tz="UTC")
_LOW_MS, _HIGH_MS = -62_167_219_200_000, 253_402_300_799_999


def _nulls(array: Any) -> Any:
    return null_mask(array) if array.null_count else None


def _check_pattern(call: Call, index: int, fields: Callable[[str], object]) -> None:
    """A literal pattern is looked at when the statement is planned."""
    text = literal_text(call, index)
    if text is not None:
        try:
            fields(text)
        except PatternError as e:
            raise SqlError(str(e), span=call.args[index].span) from e


def _faulty(error: PatternError) -> Fault:
    return Fault(str(error))


def _format_column(array: Any, pattern: Value, write: Callable[..., Any] = format_local) -> Any:
    """Local times written by a pattern that is constant or a column."""
    per_second = 10**9 if array.type.unit == "ns" else 10**6
    try:
        if isinstance(pattern, pa.Scalar):
            if not pattern.is_valid:
                return pa.nulls(len(array), pa.string())
            return write(numbers(array), per_second, pattern.as_py(), _nulls(array))
        if len(array) == 1 or len(pattern.unique()) == 1:
            return _format_column(array, pattern[0], write)
        out: Any = pa.nulls(len(array), pa.string())
        for one in pattern.unique():
            if one.is_valid:
                chosen = pc.equal(pattern, one)
                out = pc.if_else(chosen, _format_column(array, one, write), out)
        return out
    except PatternError as e:
        raise _faulty(e) from e


def _date_format_make(call: Call, settings: EvalSettings) -> Kernel:
    _check_pattern(call, 1, formatter_fields)
    source = call.args[0].type
    zone = settings.local_time_zone

    def kernel(_: Any, value: Value, pattern: Value) -> Value:
        array = as_array(value, row_count((value, pattern)))
        if isinstance(source, LocalZonedTimestampType):
            array = local_from_utc(array, zone)
        return _format_column(array, pattern)

    return kernel


def _simple(text: str, pattern: str) -> int | None:
    try:
        return parse_simple(text, pattern)
    except PatternError as e:
        raise _faulty(e) from e


def _date_format_text_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    _check_pattern(call, 1, formatter_fields)

    def kernel(_: Any, value: Value, pattern: Value) -> Value:
        array = as_array(value, row_count((value, pattern)))
        millis = each(lambda s: _simple(s, _DEFAULT), pa.int64(), array)
        # The fraction is not read: Flink parses by a pattern of whole seconds.
        seconds = build(numbers(millis) // 1000 * 1_000_000, _US, _nulls(millis))
        return _format_column(seconds, pattern)

    return kernel


def _to_date_make(call: Call, settings: EvalSettings) -> Kernel:
    if len(call.args) == 1:
        return to_date(VarCharType(), safe=True, settings=settings)
    _check_pattern(call, 1, pattern_fields)

    def one(text: str, pattern: str) -> int | None:
        millis = _simple(text, pattern)
        return None if millis is None else millis // 86_400_000

    return lambda _, *values: each(one, pa.int32(), *values).view(pa.date32())


def _to_timestamp_one(text: str, pattern: str) -> int | None:
    """Microseconds; text that the pattern does not read may still be of JDBC's form."""
    try:
        nanos = parse_local(text, pattern)
    except PatternError as e:
        raise _faulty(e) from e
    if nanos is None:
        trimmed = text.strip()
        if " " not in trimmed and ":" in trimmed:
            return None
        try:
            nanos = parse_timestamp(trimmed)
        except ValueError:
            return None
    return nanos // 1_000_000 * 1000


def _to_timestamp_make(call: Call, settings: EvalSettings) -> Kernel:
    if len(call.args) == 1:
        return to_timestamp(VarCharType(), TimestampType(3), safe=True, settings=settings)
    _check_pattern(call, 1, formatter_fields)
    return lambda _, *values: each(_to_timestamp_one, pa.int64(), *values).view(_US)


# TO_TIMESTAMP_LTZ


def _ltz_type(args: Sequence[Expression]) -> DataType:
    precision = 3
    if len(args) > 1 and isinstance(args[1], Literal) and isinstance(args[1].value, int):
        precision = max(3, args[1].value)
    if not 0 <= precision <= 9:
        raise SqlError(
            f"precision {precision} is not between 0 and 9", span=args[1].span or args[0].span
        )
    return LocalZonedTimestampType(precision)


def _ltz_number_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    source = call.args[0].type
    assert isinstance(call.type, LocalZonedTimestampType)
    nanos = call.type.precision > 6
    arrow = pa.timestamp("ns" if nanos else "us", tz="UTC")

    def kernel(_: Any, value: Value, precision: Value | None = None) -> Value:
        rows = row_count((value,) if precision is None else (value, precision))
        array = as_array(value, rows)
        scale = 3 if precision is None else _one_number(precision)
        if scale is None:
            return pa.nulls(rows, arrow)
        if isinstance(source, DecimalType):
            array = array.cast(pa.int64(), safe=False)
        nulls = null_mask(array)
        raw = numbers(array)
        if is_approximate(source):
            micros, bad = _from_float(raw.astype(np.float64), scale)
        else:
            micros, bad = _from_integer(raw.astype(np.int64), scale, nanos=nanos)
        return build(micros, arrow, nulls | bad)

    return kernel


def _one_number(value: Value) -> int | None:
    if isinstance(value, pa.Scalar):
        return value.as_py()
    kinds = value.unique().to_pylist()
    if len(kinds) > 1:
        raise Fault("the precision of TO_TIMESTAMP_LTZ must be the same for all rows")
    return kinds[0] if kinds else None


def _from_integer(values: Any, scale: int, *, nanos: bool) -> tuple[Any, Any]:
    """Storage values, and which are out of the years 0 to 9999 (or of what ns reach)."""
    unit = 9 if nanos else 6
    low, high = _LOW_MS, _HIGH_MS
    if scale <= 3:
        factor = 10 ** (3 - scale)
        bad = (values < -(-low // factor)) | (values > high // factor)
    else:
        factor = 10 ** (scale - 3)
        bad = (values // factor < low) | (values // factor > high)
    if nanos:
        limit = (1 << 63) // 10 ** (unit - min(scale, unit))
        bad |= np.abs(values) >= limit
    safe = np.where(bad, 0, values)
    if scale <= unit:
        return safe * 10 ** (unit - scale), bad
    return safe // 10 ** (scale - unit), bad


def _from_float(values: Any, scale: int) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        micros = values * 10.0 ** (6 - scale)
    bad = ~np.isfinite(micros) | (micros < _LOW_MS * 1000.0) | (micros > _HIGH_MS * 1000.0 + 999)
    return np.where(bad, 0.0, micros).astype(np.int64), bad


def _ltz_text_make(call: Call, settings: EvalSettings) -> Kernel:
    _check_pattern(call, 1, formatter_fields)
    del settings
    parse = to_timestamp(VarCharType(), TimestampType(3), safe=True, settings=_UTC)

    def kernel(context: Any, text: Value, pattern: Any = None, zone: Any = None) -> Value:
        rows = row_count([v for v in (text, pattern, zone) if v is not None])
        if pattern is None:
            local = parse(context, as_array(text, rows))
        else:
            local = as_array(each(_to_timestamp_one, pa.int64(), text, pattern), rows).view(_US)
        if zone is None:
            return local.view(_US_UTC)
        zones = as_array(zone, rows)
        out = pa.nulls(rows, _US_UTC)
        for one in zones.unique():
            if one.is_valid:
                out = pc.if_else(pc.equal(zones, one), _from_zone(local, one.as_py()), out)
        return out

    return kernel


_UTC = EvalSettings("UTC")


def _from_zone(local: Any, zone: str) -> Any:
    try:
        return utc_from_local(local, zone)
    except ConfigError as e:
        raise Fault(e.message, hint=e.hint) from e


# Unix time


def _from_unixtime_make(call: Call, settings: EvalSettings) -> Kernel:
    _check_pattern(call, 1, simple_fields)
    zone = settings.local_time_zone

    def kernel(_: Any, seconds: Value, pattern: Value | None = None) -> Value:
        rows = row_count((seconds,) if pattern is None else (seconds, pattern))
        array = as_array(seconds, rows)
        raw = numbers(array).astype(np.int64)
        if len(raw) and int(np.abs(raw).max()) >= 1 << 43:
            raise Fault("the number of seconds is out of range")
        instants = build(raw * 1_000_000, _US_UTC, _nulls(array))
        local = local_from_utc(instants, zone)
        given = text_constant(_DEFAULT) if pattern is None else pattern
        return _format_column(local, given, format_simple)

    return kernel


def _unix_timestamp_make(call: Call, settings: EvalSettings) -> Kernel:
    zone = settings.local_time_zone
    if not call.args:
        return lambda context: pa.scalar(context.clock.now // 1_000_000, pa.int64())
    _check_pattern(call, 1, pattern_fields)

    def kernel(_: Any, text: Value, pattern: Value | None = None) -> Value:
        given = (text, text_constant(_DEFAULT)) if pattern is None else (text, pattern)
        millis = each(_simple, pa.int64(), *given)
        failed = null_mask(millis)
        local = build(numbers(millis) * 1000, _US, failed)
        seconds = numbers(utc_from_local(local, zone, later=True)) // 1_000_000
        rows = row_count(given)
        nulls = validity(*(as_array(v, rows) for v in given))
        return build(np.where(failed, _FAILED, seconds), pa.int64(), nulls)

    return kernel


def _convert_tz_make(call: Call, settings: EvalSettings) -> Kernel:
    del call, settings

    def kernel(_: Any, text: Value, source: Value, target: Value) -> Value:
        return each(_convert_one, pa.string(), text, source, target)

    return kernel


# Java's short names that are none of IANA's.
_SHORT_ZONES = {
    "ACT": "Australia/Darwin", "AET": "Australia/Sydney", "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo", "AST": "America/Anchorage", "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka", "CAT": "Africa/Harare", "CNT": "America/St_Johns",
    "CST": "America/Chicago", "CTT": "Asia/Shanghai", "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris", "IET": "America/Indiana/Indianapolis", "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo", "MIT": "Pacific/Apia", "NET": "Asia/Yerevan", "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi", "PNT": "America/Phoenix", "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles", "SST": "Pacific/Guadalcanal", "VST": "Asia/Ho_Chi_Minh",
}  # fmt: skip


@lru_cache(maxsize=64)
def _known_zone(zone: str) -> str:
    """The zone as Java's `TimeZone.getTimeZone` takes it: what it does not know is UTC."""
    zone = _SHORT_ZONES.get(zone, zone)
    try:
        check_zone(zone)
    except ConfigError:
        return "UTC"
    return zone


def _convert_one(text: str, source: str, target: str) -> str | None:
    millis = _simple(text, _DEFAULT)
    if millis is None:
        return None
    local = pa.array([millis * 1000], _US)
    instant = utc_from_local(local, _known_zone(source), later=True)
    moved = local_from_utc(instant, _known_zone(target))
    return format_local(numbers(moved), 10**6, _DEFAULT)[0].as_py()


# The clock


def _now(data_type: DataType) -> Maker:
    """The step's clock as a constant of the step, to the millisecond."""

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del call
        zone = settings.local_time_zone

        def kernel(context: Any) -> Value:
            instant = pa.array([context.clock.now // 1000 * 1000], pa.int64()).view(_US_UTC)
            if isinstance(data_type, LocalZonedTimestampType):
                return instant[0]
            local = local_from_utc(instant, zone)
            if isinstance(data_type, TimestampType):
                return local[0]
            days, of_day = np.divmod(numbers(local), 86_400_000_000)
            if isinstance(data_type, DateType):
                return pa.scalar(int(days[0]), pa.date32())
            return pa.scalar(int(of_day[0]) // 1000, pa.time32("ms"))

        return kernel

    return make


def _bind_watermark(args: Sequence[Expression], span: Span | None) -> Expression:
    form = ("CURRENT_WATERMARK(<ROWTIME>)",)
    rowtime = args[0].type if len(args) == 1 else None
    if getattr(rowtime, "attribute", None) is not TimeAttribute.ROWTIME:
        raise wrong_arguments("CURRENT_WATERMARK", args, span, form)
    assert isinstance(rowtime, TimestampType | LocalZonedTimestampType)
    result = plain_type(rowtime).with_nullable(True)
    return Call(type=result, function="CURRENT_WATERMARK", args=tuple(args), span=span)


def _watermark_make(call: Call, settings: EvalSettings) -> Kernel:
    del settings
    arrow = arrow_type(call.type)

    def kernel(context: Any, rowtime: Value) -> Value:
        del rowtime
        if context.marks is None:
            return pa.nulls(context.rows, arrow)
        none = context.marks == NO_WATERMARK
        return build(np.where(none, 0, context.marks) * 1000, arrow, none)

    return kernel


def _clock(name: str, doc: str, data_type: DataType, *aliases: str) -> Function:
    fixed = data_type.not_null()
    return Function(
        name,
        doc,
        (overload((), lambda _: fixed, _now(data_type)),),
        deterministic=False,
        aliases=aliases,
    )


_LTZ = LocalZonedTimestampType(3)
_PROCTIME = LocalZonedTimestampType(3, TimeAttribute.PROCTIME)

# Another name, since the one without arguments reads the clock and this is deterministic.
_UNIX_TIMESTAMP_OF = Function(
    "UNIX_TIMESTAMP_OF",
    "Seconds since 1970 of a text in the session's time zone.",
    (
        overload(
            (CHARACTER, CHARACTER), by_arguments(BigIntType()), _unix_timestamp_make, optional=1
        ),
    ),
)


def _bind_unix_timestamp(args: Sequence[Expression], span: Span | None) -> Expression:
    if args:
        return resolve(_UNIX_TIMESTAMP_OF, args, span, "UNIX_TIMESTAMP")
    result = BigIntType(nullable=False)
    return Call(type=result, function="UNIX_TIMESTAMP", args=(), span=span)


FUNCTIONS = (
    Function(
        "DATE_FORMAT",
        "A point in time as text by a pattern.",
        (
            overload((TIMESTAMP, CHARACTER), _STRING_OR_NULL, _date_format_make),
            overload((CHARACTER, CHARACTER), _STRING_OR_NULL, _date_format_text_make),
        ),
    ),
    Function(
        "TO_DATE",
        "The date of a text, by a pattern; NULL if it is none.",
        (overload((CHARACTER, CHARACTER), forced_nullable(DateType()), _to_date_make, optional=1),),
    ),
    Function(
        "TO_TIMESTAMP",
        "The local time of a text, by a pattern; NULL if it is none.",
        (
            overload(
                (CHARACTER, CHARACTER),
                forced_nullable(TimestampType(3)),
                _to_timestamp_make,
                optional=1,
            ),
        ),
    ),
    Function(
        "TO_TIMESTAMP_LTZ",
        "The instant of a number of units since 1970, or of a text in a time zone.",
        (
            overload((NUMERIC, INT), _ltz_type, _ltz_number_make, optional=1),
            overload((CHARACTER,) * 3, forced_nullable(_LTZ), _ltz_text_make, optional=2),
        ),
    ),
    Function(
        "FROM_UNIXTIME",
        "Seconds since 1970 as text in the session's time zone.",
        (overload((BIGINT, CHARACTER), _STRING_OR_NULL, _from_unixtime_make, optional=1),),
    ),
    Function(
        "UNIX_TIMESTAMP",
        "Seconds since 1970: of the clock, or of a text in the session's time zone.",
        (overload((), by_arguments(BigIntType()), _unix_timestamp_make),),
        _bind_unix_timestamp,
        deterministic=False,
        signatures=("UNIX_TIMESTAMP()", "UNIX_TIMESTAMP(<STRING>[, <STRING>])"),
    ),
    _UNIX_TIMESTAMP_OF,
    Function(
        "CONVERT_TZ",
        "A local time of one zone as that of another.",
        (overload((CHARACTER,) * 3, _STRING_OR_NULL, _convert_tz_make),),
    ),
    Function(
        "CURRENT_WATERMARK",
        "The watermark before the row, NULL where there is none yet.",
        (overload((TIMESTAMP,), first_argument, _watermark_make),),
        _bind_watermark,
        deterministic=False,
        signatures=("CURRENT_WATERMARK(<ROWTIME>)",),
    ),
    _clock("CURRENT_TIMESTAMP", "The step's time.", _LTZ, "NOW", "CURRENT_ROW_TIMESTAMP"),
    _clock("PROCTIME", "The step's time, as a time attribute.", _PROCTIME),
    _clock("LOCALTIMESTAMP", "The step's local time.", TimestampType(3)),
    _clock("CURRENT_DATE", "The step's local date.", DateType()),
    _clock("LOCALTIME", "The step's local time of day.", TimeType(0), "CURRENT_TIME"),
)
