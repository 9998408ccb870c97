"""DECIMAL arithmetic: exact, then rounded half up to Flink's result type, NULL on overflow.

Arrow's kernels serve where the exact result has at most 76 digits; division and remainder are
computed on int64 limbs; what fits neither takes Python's decimals, once a distinct pair.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.casts_numeric import rescale
from flowsql.expr.faults import Fault
from flowsql.expr.parse_text import fit_decimal
from flowsql.expr.vector import Kernel, Value, as_array, build, each, row_count, validity
from flowsql.types import DecimalType, arrow_type

__all__ = ["DIVISION_BY_ZERO", "decimal_kernel", "unscaled"]

DIVISION_BY_ZERO = "division by zero"
_HINT = "Guard it: CASE WHEN divisor <> 0 THEN … END."
_EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
_QUOTIENT = Context(prec=38, rounding=ROUND_HALF_UP)


def decimal_kernel(
    symbol: str, left: DecimalType, right: DecimalType, result: DecimalType
) -> Kernel:
    """The kernel of `left symbol right`, both arguments DECIMAL."""
    match symbol:
        case "+" | "-":
            digits = max(left.precision - left.scale, right.precision - right.scale)
            digits += max(left.scale, right.scale) + 1
            return _by_arrow("add" if symbol == "+" else "subtract", symbol, digits, result)
        case "*":
            return _by_arrow("multiply", "*", left.precision + right.precision + 1, result)
        case "/":
            return _division(left, right, result)
        case _:
            return _remainder(left, right, result)


def _python(symbol: str, result: DecimalType) -> Callable[[Decimal, Decimal], Decimal | None]:
    def compute(a: Decimal, b: Decimal) -> Decimal | None:
        with localcontext(_QUOTIENT if symbol == "/" else _EXACT):
            match symbol:
                case "+":
                    exact = a + b
                case "-":
                    exact = a - b
                case "*":
                    exact = a * b
                case _ if b == 0:
                    raise Fault(DIVISION_BY_ZERO, hint=_HINT)
                case "/":
                    exact = a / b
                case _:
                    exact = a % b
        return fit_decimal(exact, result.precision, result.scale)

    return compute


def _by_arrow(name: str, symbol: str, digits: int, result: DecimalType) -> Kernel:
    call = pc.get_function(name).call
    slow = _python(symbol, result)
    arrow = arrow_type(result)

    def narrow(_: Any, a: Value, b: Value) -> Value:
        return rescale(call([a, b]), result)

    def wide(_: Any, a: Value, b: Value) -> Value:
        try:
            exact = call([_widened(a, digits > 76), _widened(b, digits > 76)])
        except pa.ArrowInvalid:
            return each(slow, arrow, a, b)
        return rescale(exact, result)

    return narrow if digits <= 38 else wide


def _widened(value: Value, tight: bool) -> Value:
    """At 256 bits; `tight` claims a digit less, which Arrow checks, so that a product fits."""
    given = value.type
    precision = max(min(given.precision, 37 if tight else 38), given.scale)
    return value.cast(pa.decimal256(precision, given.scale))


def unscaled(value: Value, rows: int) -> Any:
    """The unscaled integers as int64, or None where one does not fit."""
    array = as_array(value, rows)
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array), dtype=np.int64)
    words = np.frombuffer(buffer, dtype=np.int64, count=2 * (len(array) + array.offset))
    low, high = words[2 * array.offset :: 2], words[2 * array.offset + 1 :: 2]
    if array.null_count:
        valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
        low, high = np.where(valid, low, 0), np.where(valid, high, 0)
    return low if bool((high == low >> 63).all()) else None


def _largest(values: Any) -> int:
    return max(int(values.max()), -int(values.min())) if len(values) else 0


def _division(left: DecimalType, right: DecimalType, result: DecimalType) -> Kernel:
    slow = _python("/", result)
    arrow = arrow_type(result)
    # One digit more than wanted, cut off, is enough to round half up.
    shift = result.scale + 1 + right.scale - left.scale

    def kernel(_: Any, a: Value, b: Value) -> Value:
        rows = row_count((a, b))
        x, y = unscaled(a, rows), unscaled(b, rows)
        nulls = validity(a, b)
        if y is not None:
            if ((y == 0) if nulls is None else (y == 0) & ~nulls).any():
                raise Fault(DIVISION_BY_ZERO, hint=_HINT)
            y = np.where(y == 0, 1, y)
        step = 0 if y is None else 18 - len(str(_largest(y)))
        if x is None or y is None or shift < 0 or step < 1:
            return each(slow, arrow, a, b)
        return rescale(_quotient(x, y, shift, step, result.scale + 1, nulls), result)

    return kernel


def _quotient(  # noqa: PLR0917
    x: Any, y: Any, shift: int, step: int, scale: int, nulls: Any
) -> Any:
    """X * 10**shift / y cut to a whole number, as decimal256 of `scale`: long division."""
    sign = np.sign(x) * np.sign(y)
    x, y = np.abs(x), np.abs(y)
    whole, rest = np.divmod(x, y)
    wide = pa.decimal256(57, 0)
    total = build(whole, pa.int64(), nulls).cast(pa.decimal128(19, 0)).cast(wide)
    while shift:
        digits = min(step, shift)
        part, rest = np.divmod(rest * 10**digits, y)
        factor = pa.scalar(Decimal(10) ** digits, pa.decimal256(18, 0))
        more = build(part, pa.int64(), nulls).cast(pa.decimal128(19, 0)).cast(wide)
        total = pc.add(pc.multiply(total, factor).cast(wide), more).cast(wide)
        shift -= digits
    total = pc.multiply(
        total,
        build(sign, pa.int64()).cast(pa.decimal128(19, 0)).cast(pa.decimal256(18, 0), safe=False),
    ).cast(pa.decimal256(76, 0))
    return pa.Array.from_buffers(
        pa.decimal256(76, scale), len(total), total.buffers(), total.null_count, total.offset
    )


def _remainder(left: DecimalType, right: DecimalType, result: DecimalType) -> Kernel:
    slow = _python("%", result)
    arrow = arrow_type(result)
    scale = max(left.scale, right.scale)

    def kernel(_: Any, a: Value, b: Value) -> Value:
        rows = row_count((a, b))
        x, y = unscaled(a, rows), unscaled(b, rows)
        nulls = validity(a, b)
        if x is not None and y is not None:
            up, down = 10 ** (scale - left.scale), 10 ** (scale - right.scale)
            if max(_largest(x), 1) * up < 1 << 63 and max(_largest(y), 1) * down < 1 << 63:
                if ((y == 0) if nulls is None else (y == 0) & ~nulls).any():
                    raise Fault(DIVISION_BY_ZERO, hint=_HINT)
                rest = np.fmod(x * up, np.where(y == 0, 1, y) * down)
                made = build(rest, pa.int64(), nulls).cast(pa.decimal128(19, 0))
                made = pa.Array.from_buffers(
                    pa.decimal128(38, scale), rows, made.buffers(), made.null_count
                )
                return rescale(made, result)
        return each(slow, arrow, a, b)

    return kernel
