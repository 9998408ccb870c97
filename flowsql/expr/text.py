"""The text of values: what Flink's CAST(x AS STRING) gives, a column at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.expr import bitmaps
from flowsql.expr.calendar import civil_from_days
from flowsql.expr.faults import Fault
from flowsql.expr.java_floats import texts
from flowsql.expr.variant_binary import to_json
from flowsql.expr.vector import EvalSettings, build, bytes_of, each, mask_of, null_mask, numbers
from flowsql.expr.zones import local_from_utc
from flowsql.types import (
    ArrayType,
    BitmapType,
    BooleanType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    FloatType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    TimestampType,
    TimeType,
    VariantType,
    YearMonthIntervalType,
)
from flowsql.types.common import is_binary, is_character, is_integer
from flowsql.types.constants import NO_TEXT, join_texts, text_constant

__all__ = ["formatter", "to_text"]

Formatter = Callable[[Any], Any]

_ZERO = ord("0")


def to_text(
    array: Any, data_type: DataType, settings: EvalSettings, *, printing: bool = False
) -> Any:
    """The string array of CAST(array AS STRING); NULL stays NULL.

    Args:
        array: the values.
        data_type: their type.
        settings: the time zone.
        printing: for people: bytes as `x'ff'`, within other values too, not read as UTF-8.

    Raises:
        DataError: a value has no text, such as a year past 9999.
    """
    try:
        return formatter(data_type, settings, printing=printing)(array)
    except Fault as e:
        raise DataError(e.message, hint=e.hint) from e


def formatter(data_type: DataType, settings: EvalSettings, *, printing: bool = False) -> Formatter:
    """The function from an array of `data_type` to an array of strings; see `to_text`."""
    match data_type:
        case BooleanType():
            return lambda a: pc.if_else(a, text_constant("TRUE"), text_constant("FALSE"))
        case FloatType() | DoubleType():
            return _float_text
        case DecimalType(scale=scale):
            return lambda a: _decimal_text(a, scale)
        case DateType():
            return _date_text
        case TimeType(precision=precision):
            return lambda a: each(lambda v: _time_text(v, precision), pa.string(), a.view("int32"))
        case TimestampType(precision=precision):
            return lambda a: timestamp_text(a, precision)
        case LocalZonedTimestampType(precision=precision):
            zone = settings.local_time_zone
            return lambda a: timestamp_text(local_from_utc(a, zone), precision)
        case YearMonthIntervalType():
            return lambda a: each(_months_text, pa.string(), a)
        case DayTimeIntervalType():
            return lambda a: each(_millis_text, pa.string(), a)
        case ArrayType(element=element):
            inner = formatter(element, settings, printing=printing)
            return lambda a: _list_text(a, inner)
        case MapType(key=key, value=value):
            return _map_formatter(
                formatter(key, settings, printing=printing),
                formatter(value, settings, printing=printing),
            )
        case MultisetType(element=element):
            return _map_formatter(
                formatter(element, settings, printing=printing), lambda a: a.cast(pa.string())
            )
        case RowType(types=types):
            inners = [formatter(x, settings, printing=printing) for x in types]
            return lambda a: _row_text(a, inners)
        case VariantType():
            return lambda a: each(to_json, pa.string(), a)
        case NullType():
            return lambda a: pa.nulls(len(a), pa.string())
        case BitmapType():
            return bitmaps.texts
        case _ if is_character(data_type):
            return lambda a: a
        case _ if is_binary(data_type):
            return _hex_text if printing else _utf8_text
        case _ if is_integer(data_type):
            return lambda a: a.cast(pa.string())
        case _:
            raise DataError(f'type "{data_type}" has no text')


def _float_text(array: Any) -> Any:
    found = pa.array(texts(numbers(array)), pa.string())
    if array.null_count:
        found = pc.if_else(mask_of(null_mask(array)), NO_TEXT, found)
    return found


def _utf8_text(array: Any) -> Any:
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return each(lambda v: v.decode("utf-8", errors="replace"), pa.string(), array)


def _hex_text(array: Any) -> Any:
    return each(lambda v: f"x'{v.hex()}'", pa.string(), array)


def _decimal_text(array: Any, scale: int) -> Any:
    if scale == 0:
        return array.cast(pa.string())
    # Arrow writes small values as 1E-7; the unscaled integer has no such form.
    whole = pa.Array.from_buffers(
        pa.decimal128(38, 0), len(array), array.buffers(), array.null_count, array.offset
    ).cast(pa.string())
    negative = pc.starts_with(whole, "-")
    digits = pc.ascii_lpad(pc.ascii_ltrim(whole, "-"), scale + 1, "0")
    return join_texts(
        pc.if_else(negative, text_constant("-"), text_constant("")),
        pc.utf8_slice_codeunits(digits, 0, -scale),
        ".",
        pc.utf8_slice_codeunits(digits, -scale),
    )


def _put(out: Any, start: int, width: int, values: Any) -> None:
    """Decimal digits of `values`, zero-padded, into columns of a byte matrix."""
    for k in range(width - 1, -1, -1):
        values, digit = np.divmod(values, 10)
        out[:, start + k] = digit + _ZERO


def _put_date(out: Any, days: Any, array: Any) -> None:
    year, month, day = civil_from_days(days)
    odd = (year < 0) | (year > 9999)
    if odd.any() and (odd & ~null_mask(array)).any():
        raise Fault("year is out of range", hint="Years go from 0 to 9999.")
    _put(out, 0, 4, year)
    out[:, 4] = out[:, 7] = ord("-")
    _put(out, 5, 2, month)
    _put(out, 8, 2, day)


def _strings(matrix: Any, array: Any) -> Any:
    rows, width = matrix.shape
    nulls = null_mask(array) if array.null_count else None
    return bytes_of(np.full(rows, width), matrix.ravel(), pa.string(), nulls)


def _date_text(array: Any) -> Any:
    out = np.empty((len(array), 10), dtype=np.uint8)
    _put_date(out, numbers(array), array)
    return _strings(out, array)


def timestamp_text(array: Any, precision: int) -> Any:
    """`2020-01-02 03:04:05.123`, with `precision` digits; the array holds local times."""
    scale = 9 if array.type.unit == "ns" else 6
    unit = 10**scale
    seconds, fraction = np.divmod(numbers(array), unit)
    days, of_day = np.divmod(seconds, 86400)
    out = np.empty((len(array), 19 + (precision + 1 if precision else 0)), dtype=np.uint8)
    _put_date(out, days, array)
    out[:, 10] = ord(" ")
    _put(out, 11, 2, of_day // 3600)
    out[:, 13] = out[:, 16] = ord(":")
    _put(out, 14, 2, of_day // 60 % 60)
    _put(out, 17, 2, of_day % 60)
    if precision:
        out[:, 19] = ord(".")
        _put(out, 20, precision, fraction // 10 ** (scale - precision))
    return _strings(out, array)


def _time_text(millis: int, precision: int) -> str:
    """Trailing zeros of the fraction are left out, but for one: `12:34:56.0`."""
    seconds, fraction = divmod(millis, 1000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if precision == 0:
        return text
    digits = f"{fraction:03d}"[: min(precision, 3)].rstrip("0")
    return f"{text}.{digits or '0'}"


def _months_text(months: int) -> str:
    years, rest = divmod(abs(months), 12)
    return f"{'-' if months < 0 else '+'}{years}-{rest:02d}"


def _millis_text(millis: int) -> str:
    seconds, fraction = divmod(abs(millis), 1000)
    days, of_day = divmod(seconds, 86400)
    clock = f"{of_day // 3600:02d}:{of_day // 60 % 60:02d}:{of_day % 60:02d}.{fraction:03d}"
    return f"{'-' if millis < 0 else '+'}{days} {clock}"


def _shown(texts: Any) -> Any:
    return texts.fill_null("NULL") if texts.null_count else texts


def _wrapped(opening: str, inner: Any, closing: str, outer: Any) -> Any:
    text = join_texts(opening, inner, closing)
    if outer.null_count:
        text = pc.if_else(mask_of(null_mask(outer)), NO_TEXT, text)
    return text


def _compact_lists(array: Any) -> tuple[Any, Any]:
    """Offsets from 0 (NULL lists empty) and the flat elements of a list or map array."""
    lengths = pc.list_value_length(
        array if pa.types.is_list(array.type) else array.cast(_entries(array.type))
    )
    counts = numbers(lengths.fill_null(0))
    offsets = np.zeros(len(array) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    return build(offsets, pa.int32()), array.flatten() if pa.types.is_list(
        array.type
    ) else _flat_entries(array)


def _entries(arrow: Any) -> Any:
    return pa.list_(pa.struct([pa.field("k", arrow.key_type), pa.field("v", arrow.item_type)]))


def _flat_entries(array: Any) -> Any:
    return array.cast(_entries(array.type)).flatten()


def _joined(offsets: Any, texts: Any) -> Any:
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), text_constant(", "))


def _list_text(array: Any, inner: Formatter) -> Any:
    offsets, flat = _compact_lists(array)
    return _wrapped("[", _joined(offsets, _shown(inner(flat))), "]", array)


def _map_formatter(key: Formatter, value: Formatter) -> Formatter:
    def run(array: Any) -> Any:
        offsets, entries = _compact_lists(array)
        keys, values = entries.flatten()
        pairs = join_texts(_shown(key(keys)), _shown(value(values)), separator="=")
        return _wrapped("{", _joined(offsets, pairs), "}", array)

    return run


def _row_text(array: Any, inners: list[Formatter]) -> Any:
    fields = [_shown(inner(f)) for inner, f in zip(inners, array.flatten(), strict=True)]
    if not fields:
        return _wrapped("(", pa.repeat(text_constant(""), len(array)), ")", array)
    return _wrapped("(", join_texts(*fields, separator=", "), ")", array)
