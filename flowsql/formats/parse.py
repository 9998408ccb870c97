"""Text to typed columns, as Flink's csv and json formats read it.

Each type has a vectorised reading that holds for well-formed text; a column with anything else is
read again value by distinct value, so that exactly the cells that cannot be read are known.

Where Flink silently changes a value (text that is no boolean becomes FALSE, a DECIMAL that does not
fit becomes NULL, 30 February becomes 1 March) we call the cell unreadable instead.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.formats.base64 import decode_base64
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
    FloatType,
    IntType,
    LocalZonedTimestampType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
    YearMonthIntervalType,
    arrow_type,
)
from flowsql.types.constants import join_texts, text_constant

__all__ = ["CSV_STYLE", "Parsed", "TextStyle", "parse_text"]

_BLANKS = "".join(map(chr, range(33)))
_WIDE = Context(prec=100)
_EPOCH = dt.date(1970, 1, 1).toordinal()

_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{0,9}))?)?")
_FAST_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}%s[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?%s$"
_FAST_TIME = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?$"


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How times and numbers are written.

    Attributes:
        separator: between date and time of a timestamp.
        zone: ends a TIMESTAMP_LTZ.
        trim_decimal: blanks around a DECIMAL are allowed.
        trim_timestamp: and around a TIMESTAMP.
        short_date: months and days may have one digit.
        short_time: seconds may be left out of a TIME.
        offsets: a timestamp may end with an offset (`Z`, `+02:00`).
    """

    separator: str = " "
    zone: str = "Z"
    trim_decimal: bool = True
    trim_timestamp: bool = False
    short_date: bool = False
    short_time: bool = False
    offsets: bool = False


CSV_STYLE = TextStyle(trim_decimal=False, trim_timestamp=True, short_date=True, short_time=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A typed column.

    Attributes:
        values: NULL where the text is NULL or unreadable.
        bad: bool[n], true where the text is unreadable; None where all could be read.
    """

    values: pa.Array
    bad: npt.NDArray[np.bool_] | None = None


def parse_text(text: pa.Array, data_type: DataType, style: TextStyle) -> Parsed:
    """The values of a string column as values of an atomic `data_type`."""
    if isinstance(data_type, VarCharType | CharType):
        return Parsed(text)
    if text.null_count == len(text):
        return Parsed(pa.nulls(len(text), arrow_type(data_type)))
    if isinstance(data_type, BinaryType | VarBinaryType):
        return Parsed(*decode_base64(text))
    try:
        fast = _fast(text, data_type, style)
    except pa.ArrowInvalid:
        fast = None
    if fast is not None:
        return Parsed(fast)
    return _by_distinct(text, data_type, style)


def _fast(text: pa.Array, data_type: DataType, style: TextStyle) -> pa.Array | None:
    """The whole column at once; None or ArrowInvalid where it needs a closer look."""
    target = arrow_type(data_type)
    match data_type:
        case BooleanType():
            true, false = (pc.equal(text, text_constant(t)) for t in ("true", "false"))
            return true if pc.all(pc.or_(true, false)).as_py() else None
        case TinyIntType() | SmallIntType() | IntType() | BigIntType():
            # Arrow's cast takes hexadecimal digits, which Flink refuses.
            if pc.any(pc.match_substring_regex(text, "[xX]")).as_py():
                return None
            return pc.cast(text, target)
        case FloatType() | DoubleType():
            if pc.any(pc.match_substring_regex(text, "[A-DF-Za-df-z]")).as_py():
                return None
            values = pc.cast(text, target)
            return None if pc.any(pc.is_inf(values)).as_py() else values
        case DecimalType():
            if pc.any(pc.match_substring_regex(text, "[^0-9.+-]")).as_py():
                return None
            return pc.cast(text, target)
        case DateType():
            return pc.cast(text, target)
        case TimeType(precision=precision):
            if not _all_match(text, _FAST_TIME):
                return None
            # Arrow casts text to timestamps, not to times of day.
            moment = join_texts("1970-01-01", text, separator=" ").cast(pa.timestamp("ns"))
            return _time(moment.view(pa.int64()), precision)
        case TimestampType(precision=p):
            if p > 6 or not _all_match(text, _FAST_TIMESTAMP % (style.separator, "")):
                return None
            return pc.cast(text, target)
        case LocalZonedTimestampType(precision=p):
            if p > 6 or not _all_match(text, _FAST_TIMESTAMP % (style.separator, style.zone)):
                return None
            naive = pc.utf8_slice_codeunits(text, 0, -1)
            return pc.cast(naive, pa.timestamp("us")).cast(target)
        case _:
            return None


def holds_decimals(array: pa.Array) -> bool:
    """Whether every DECIMAL in a column has as many digits as its type; Arrow's readers let others in."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _all_match(text: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py())


def _time(nanos: pa.Array, precision: int) -> pa.Array:
    unit = 10 ** (9 - min(precision, 3))
    divisor, factor = (pa.scalar(n, pa.int64()) for n in (unit, unit // 1_000_000))
    cut = pc.multiply(pc.divide(nanos, divisor), factor)
    return cut.cast(pa.int32()).view(pa.time32("ms"))


def _by_distinct(text: pa.Array, data_type: DataType, style: TextStyle) -> Parsed:
    encoded = pc.dictionary_encode(text)
    read = _reader(data_type, style)
    values: list[Any] = []
    failed = np.zeros(len(encoded.dictionary) + 1, np.bool_)
    for i, item in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(read(item))
        except (ValueError, InvalidOperation, OverflowError):
            values.append(None)
            failed[i] = True
    target = arrow_type(data_type)
    storage = _storage(target)
    column = pa.array(values, storage).take(encoded.indices)
    if storage is not target:
        column = column.view(target)
    if not failed.any():
        return Parsed(column)
    return Parsed(column, failed[pc.fill_null(encoded.indices, len(failed) - 1).to_numpy()])


def _storage(target: pa.DataType) -> pa.DataType:
    """The integer type in which a time is counted, or the type itself."""
    if pa.types.is_timestamp(target):
        return pa.int64()
    if pa.types.is_date32(target) or pa.types.is_time32(target):
        return pa.int32()
    return target


def _reader(data_type: DataType, style: TextStyle) -> Callable[[str], Any]:
    """A function from one text to the value as `_storage` counts it; ValueError where it cannot."""
    match data_type:
        case BooleanType():
            return _read_boolean
        case TinyIntType():
            return _read_int(8)
        case SmallIntType():
            return _read_int(16)
        case IntType() | YearMonthIntervalType():
            return _read_int(32)
        case BigIntType() | DayTimeIntervalType():
            return _read_int(64)
        case FloatType():
            return _read_single
        case DoubleType():
            return _read_float
        case DecimalType(precision=p, scale=s):
            return lambda text: _read_decimal(text, p, s, trim=style.trim_decimal)
        case DateType():
            return lambda text: _read_date(text, short=style.short_date)
        case TimeType(precision=p):
            return lambda text: _read_time(text, p, short=style.short_time)
        case TimestampType(precision=p):
            return lambda text: _read_timestamp(text, p, style, zoned=False)
        case LocalZonedTimestampType(precision=p):
            return lambda text: _read_timestamp(text, p, style, zoned=True)
        case _:
            raise ValueError(f"type {data_type} has no text")


def _read_boolean(text: str) -> bool:
    folded = text.strip(_BLANKS).lower()
    if folded not in {"true", "false"}:
        raise ValueError(text)
    return folded == "true"


def _read_int(bits: int) -> Callable[[str], int]:
    bound = 1 << (bits - 1)

    def read(text: str) -> int:
        digits = text.strip(_BLANKS)
        if not _INT.fullmatch(digits):
            raise ValueError(text)
        value = int(digits)
        if not -bound <= value < bound:
            raise ValueError(text)
        return value

    return read


def _read_float(text: str) -> float:
    number = text.strip(_BLANKS)
    if not _FLOAT.fullmatch(number):
        raise ValueError(text)
    return float(number if number[-1] not in "fFdD" else number[:-1])


def _read_single(text: str) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(_read_float(text)))


def _read_decimal(text: str, precision: int, scale: int, *, trim: bool) -> Decimal:
    number = text.strip(_BLANKS) if trim else text
    if not _DECIMAL.fullmatch(number):
        raise ValueError(text)
    value = Decimal(number).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _WIDE)
    if abs(value) >= Decimal(1).scaleb(precision - scale):
        raise ValueError(text)
    return value


def _read_date(text: str, *, short: bool) -> int:
    found = _DATE.fullmatch(text)
    if not found or (not short and len(text) != len("2020-01-01")):
        raise ValueError(text)
    return dt.date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH


def _nanos_of_day(text: str, *, short: bool) -> int:
    found = _TIME.fullmatch(text)
    if not found or (found[3] is None and not short):
        raise ValueError(text)
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(text)
    return ((hour * 60 + minute) * 60 + second) * 10**9 + int((found[4] or "").ljust(9, "0"))


def _read_time(text: str, precision: int, *, short: bool) -> int:
    unit = 10 ** (9 - min(precision, 3))
    return _nanos_of_day(text, short=short) // unit * (unit // 10**6)


def _read_timestamp(text: str, precision: int, style: TextStyle, *, zoned: bool) -> int:
    shift = 0
    if style.trim_timestamp and not zoned:
        text = text.strip(_BLANKS)
    if zoned or style.offsets:
        text, shift = _offset(text, style, required=zoned and not style.offsets)
    day, separator, time = text[:10], text[10:11], text[11:]
    if separator != style.separator:
        raise ValueError(text)
    nanos = _read_date(day, short=False) * 86_400 * 10**9 + _nanos_of_day(time, short=False)
    nanos -= shift
    value = nanos // 1000 if precision <= 6 else nanos
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(text)
    return value


def _offset(text: str, style: TextStyle, *, required: bool) -> tuple[str, int]:
    """The text without its offset, and the offset in nanoseconds."""
    if text.endswith("Z"):
        return text[:-1], 0
    found = re.fullmatch(r"(.*)([+-])([0-9]{2}):([0-9]{2})", text) if style.offsets else None
    if found:
        seconds = int(found[3]) * 3600 + int(found[4]) * 60
        return found[1], (seconds if found[2] == "+" else -seconds) * 10**9
    if required:
        raise ValueError(text)
    return text, 0
