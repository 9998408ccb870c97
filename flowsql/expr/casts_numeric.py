"""Casts to BOOLEAN and numbers, with Java's wrapping and saturation.

Text takes Arrow's parser where it reads the whole column as Java would, and the parsers of
`parse_text.py` for each distinct string otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.faults import TRY_CAST, Fault
from flowsql.expr.parse_text import (
    fit_decimal,
    parse_boolean,
    parse_decimal,
    parse_double,
    parse_integer,
)
from flowsql.expr.vector import Kernel, Value, build, chars, each, null_mask, numbers
from flowsql.types import (
    BooleanType,
    DataType,
    DecimalType,
    FloatType,
    arrow_type,
)
from flowsql.types.common import is_approximate, is_character, is_integer

__all__ = ["parsed", "rescale", "to_boolean", "to_decimal", "to_float", "to_integer"]


def parsed(parse: Callable[[str], Any], arrow: Any, *, safe: bool) -> Callable[[Any], Any]:
    """`parse` over the distinct strings; what it refuses is NULL (`safe`) or a fault."""

    def one(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as e:
            if safe:
                return None
            raise Fault(str(e), hint=TRY_CAST) from e

    return lambda array: each(one, arrow, array)


def to_boolean(source: DataType, *, safe: bool) -> Kernel:
    """From text, or from a number (not zero)."""
    if is_character(source):
        run = parsed(parse_boolean, pa.bool_(), safe=safe)
        return lambda _, value: run(value)
    zero = pa.scalar(Decimal(0) if isinstance(source, DecimalType) else 0, arrow_type(source))
    return lambda _, value: pc.not_equal(value, zero)


def to_integer(source: DataType, target: DataType, *, safe: bool) -> Kernel:
    """To an integer type: integers and DECIMAL wrap, FLOAT and DOUBLE saturate as in Java."""
    arrow = arrow_type(target)
    bits = arrow.bit_width
    if is_character(source):
        slow = parsed(lambda s: parse_integer(s, bits), arrow, safe=safe)
        return lambda _, value: _fast_text(value, arrow, slow, "x")
    if isinstance(source, BooleanType):
        return lambda _, value: value.cast(arrow)
    if isinstance(source, DecimalType):
        if source.precision - source.scale <= 18:
            options = pc.CastOptions.unsafe(pa.int64())
            return lambda _, value: _wrap_to(value.cast(options=options), arrow)
        modulus, half = 1 << 64, 1 << 63

        def low_bits(value: Decimal) -> int:
            return (int(value) + half) % modulus - half

        return lambda _, value: _wrap_to(each(low_bits, pa.int64(), value), arrow)
    if is_approximate(source):
        return lambda _, value: _saturate(value, arrow)
    options = pc.CastOptions.unsafe(arrow)
    return lambda _, value: value.cast(options=options)


def _wrap_to(array: Any, arrow: Any) -> Any:
    return array if array.type == arrow else array.cast(options=pc.CastOptions.unsafe(arrow))


def _saturate(array: Any, arrow: Any) -> Any:
    """Java's `(int) x`; narrower types go through int and wrap."""
    wide = np.int64 if arrow.bit_width == 64 else np.int32
    info = np.iinfo(wide)
    values = numbers(array).astype(np.float64)
    nan = np.isnan(values)
    top = values >= float(info.max)
    bottom = values <= float(info.min)
    whole = np.where(nan | top | bottom, 0.0, values).astype(wide)
    whole[top] = info.max
    whole[bottom] = info.min
    nulls = null_mask(array) if array.null_count else None
    return _wrap_to(build(whole, pa.int64() if wide is np.int64 else pa.int32(), nulls), arrow)


def to_float(source: DataType, target: DataType, *, safe: bool) -> Kernel:
    """To FLOAT or DOUBLE."""
    arrow = arrow_type(target)
    if is_character(source):
        slow = parsed(_float32 if arrow == pa.float32() else parse_double, arrow, safe=safe)
        return lambda _, value: _fast_text(value, arrow, slow, None)
    if isinstance(source, BooleanType):
        return lambda _, value: value.cast(pa.int8()).cast(arrow)
    if isinstance(source, DecimalType):
        # Arrow multiplies by powers of ten and is off by an ulp; Java reads the exact text.
        return lambda _, value: _decimal_to_float(value, source, arrow)
    options = pc.CastOptions.unsafe(arrow)
    return lambda _, value: value.cast(options=options)


def _float32(text: str) -> float:
    """FLOAT text is read at once, not by way of DOUBLE."""
    value = parse_double(text)
    trimmed = text.strip().rstrip("dDfF")
    return float(np.float32(trimmed)) if np.isfinite(value) else value


def _decimal_to_float(array: Any, source: DecimalType, arrow: Any) -> Any:
    if source.precision <= 15 and source.scale <= 22:
        # Both parts are exact doubles, so that one division rounds once.
        whole = _unscaled(array)
        exact = np.asarray(whole, dtype=np.float64) / 10.0**source.scale
        nulls = null_mask(array) if array.null_count else None
        wide = build(exact, pa.float64(), nulls)
        return wide if arrow == pa.float64() else wide.cast(arrow, safe=False)
    wide = each(float, pa.float64(), array)
    return wide if arrow == pa.float64() else wide.cast(arrow, safe=False)


def _unscaled(array: Any) -> Any:
    """The unscaled integers of a decimal128 column of at most 18 digits."""
    buffer = array.buffers()[1]
    words = np.frombuffer(buffer, dtype=np.int64, count=2 * (len(array) + array.offset))
    return words[2 * array.offset :: 2]


def to_decimal(source: DataType, target: DecimalType, *, safe: bool) -> Kernel:
    """To DECIMAL(p, s): rounded half up, NULL where the digits do not suffice."""
    arrow = arrow_type(target)
    precision, scale = target.precision, target.scale
    if is_character(source):
        slow = parsed(lambda s: parse_decimal(s, precision, scale), arrow, safe=safe)

        def from_text(_: Any, value: Value) -> Value:
            found = _fast_decimal(value, target)
            return slow(value) if found is None else found

        return from_text
    if isinstance(source, BooleanType):
        return lambda _, value: rescale(value.cast(pa.int8()).cast(pa.decimal128(3, 0)), target)
    if isinstance(source, DecimalType):
        return lambda _, value: rescale(value, target)
    if is_integer(source):
        digits = {8: 3, 16: 5, 32: 10, 64: 19}[arrow_type(source).bit_width]
        return lambda _, value: rescale(value.cast(pa.decimal128(digits, 0)), target)

    def from_float(value: float) -> Decimal | None:
        if not np.isfinite(value):
            raise Fault(f"cannot cast {value} to DECIMAL", hint=TRY_CAST)
        return fit_decimal(Decimal(repr(value)), precision, scale)

    def from_float_or_null(value: float) -> Decimal | None:
        return from_float(value) if np.isfinite(value) else None

    convert = from_float_or_null if safe else from_float
    if isinstance(source, FloatType):
        return lambda _, value: each(convert, arrow, value)

    def from_double(_: Any, value: Value) -> Value:
        fast, rest = _fast_double(value, target)
        if len(rest) == 0:
            return fast
        if len(rest) == len(value):
            return each(convert, arrow, value)
        place = np.arange(len(value))
        place[rest] = len(value) + np.arange(len(rest))
        slow = each(convert, arrow, value.take(pa.array(rest)))
        return pa.concat_arrays([fast, slow]).take(pa.array(place))

    return from_double


def _fast_double(array: Any, target: DecimalType) -> tuple[Any, Any]:
    """The decimals of doubles, and the rows where shortest digits have to decide."""
    value = numbers(array)
    nulls = null_mask(array) if array.null_count else np.zeros(len(array), dtype=bool)
    with np.errstate(all="ignore"):
        scaled = np.abs(value) * float(10**target.scale)
        whole = np.floor(scaled + 0.5)
        away = np.abs(scaled - np.floor(scaled) - 0.5)
        sure = (away > scaled * 2.0**-48 + 1e-9) & (whole < min(2.0**46, 10.0**target.precision))
    sure |= nulls
    unscaled = np.where(sure & ~nulls, whole, 0).astype(np.int64)
    return _decimals(np.where(value < 0, -unscaled, unscaled), target, nulls), np.flatnonzero(~sure)


def _fast_text(array: Any, arrow: Any, slow: Callable[[Any], Any], hexadecimal: str | None) -> Any:
    """Arrow's parser if it takes every string and reads none otherwise than Java would."""
    try:
        found = array.cast(arrow)
    except pa.ArrowInvalid:
        return slow(array)
    if hexadecimal is not None:
        if pc.any(pc.match_substring(array, hexadecimal, ignore_case=True)).as_py():
            return slow(array)
    elif pc.any(pc.invert(pc.is_finite(found))).as_py():
        return slow(array)
    return found


_PLAIN = np.zeros(256, dtype=bool)
_PLAIN[np.frombuffer(b"0123456789.-", dtype=np.uint8)] = True
_POWERS = 10 ** np.arange(19, dtype=np.int64)


def _fast_decimal(array: Any, target: DecimalType) -> Any | None:
    """The decimals of texts such as `-12.50` that fit 18 digits; None if any is otherwise."""
    _, data = chars(array)
    if not _PLAIN[data].all():
        return None
    dot = pc.find_substring(array, pattern=".")
    try:
        digits = pc.replace_substring(array, ".", "", max_replacements=1).cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    place, length = numbers(dot), numbers(pc.binary_length(array))
    behind = np.where(place < 0, 0, length - place - 1)
    nulls = null_mask(array) if array.null_count else None
    shift = target.scale - behind
    value = numbers(digits)
    if nulls is not None:
        shift, length, behind = (np.where(nulls, 0, x) for x in (shift, length, behind))
        value = np.where(nulls, 0, value)
    if len(value) and (int((length - behind).max()) + target.scale > 18 or int(length.max()) > 18):
        return None
    result = value * _POWERS[np.maximum(shift, 0)]
    if len(shift) and int(shift.min()) < 0:  # rounded half up, away from zero
        unit = _POWERS[np.maximum(-shift, 0)]
        result = np.sign(result) * ((np.abs(result) + unit // 2) // unit)
    if len(result) and int(np.abs(result).max()) >= 10**target.precision:
        return None
    return _decimals(result, target, nulls)


def _decimals(unscaled: Any, target: DecimalType, nulls: Any = None) -> Any:
    """The decimal column of int64 unscaled values."""
    words = np.empty((len(unscaled), 2), dtype=np.int64)
    words[:, 0], words[:, 1] = unscaled, unscaled >> 63
    plain = build(unscaled, pa.int64(), nulls)
    buffers = [plain.buffers()[0], pa.py_buffer(words)]
    return pa.Array.from_buffers(arrow_type(target), len(unscaled), buffers, plain.null_count)


def rescale(array: Any, target: DecimalType) -> Any:
    """A decimal column as DECIMAL(p, s): rounded half up, NULL on overflow.

    The column may be decimal128 or decimal256 of any precision.
    """
    arrow = arrow_type(target)
    given = array.type
    if given == arrow:
        return array
    precision, scale = given.precision, given.scale
    drops = scale > target.scale
    whole = target.precision - target.scale
    overflows = precision - scale + drops > whole  # rounding may carry into one digit more
    if not drops and not overflows:
        return array.cast(arrow)
    narrow = precision + max(0, target.scale - scale) < 38
    limit = 38 if narrow else 76
    wide = pa.decimal128(limit, scale) if narrow else pa.decimal256(limit, scale)
    array = array.cast(wide)
    if drops:
        array = pc.round(array, target.scale, "half_towards_infinity")
    if overflows and whole + 1 + scale <= limit:
        fits = pc.less(pc.abs(array), pa.scalar(Decimal(1).scaleb(whole), wide))
        if pc.all(fits).as_py() is False:
            array = pc.if_else(fits, array, pa.scalar(None, wide))
    return array.cast(arrow, safe=False)
