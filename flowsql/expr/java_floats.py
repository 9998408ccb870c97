"""`Double.toString` and `Float.toString` as Java 17 computes them.

Java before 19 does not always give the shortest text (2.0E23 is `1.9999999999999998E23`), and a
result must not depend on which engine made it. Where the shortest text has at most 15 digits and
the value is neither large, subnormal nor a power of two, both agree; all else takes Java's
algorithm, its overflows included: on whole columns where 64 bits suffice (`texts`), on Python's
integers where they do not.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

__all__ = ["double_text", "float_text", "texts"]

_POW5_BITS = tuple((5**i).bit_length() if i else 0 for i in range(28))
_POWERS_OF_TWO = frozenset((0.5, -0.5))


def double_text(value: float) -> str:
    """Text of a 64-bit value."""
    if value == 0 or not math.isfinite(value):
        return _special(value)
    text = repr(abs(value))
    digits, exponent = _digits_of(text)
    if len(digits) > 15 or not 1e-300 < abs(value) < 9e15 or math.frexp(value)[0] in _POWERS_OF_TWO:
        bits = struct.unpack("<q", struct.pack("<d", abs(value)))[0]
        digits, exponent = _java_digits(bits & (1 << 52) - 1, bits >> 52, 52, 1023, 53)
    return _layout(value < 0, digits, exponent)


def float_text(value: float) -> str:
    """Text of a 32-bit value (given as the Python float equal to it)."""
    if value == 0 or not math.isfinite(value):
        return _special(value)
    bits = struct.unpack("<i", struct.pack("<f", abs(value)))[0]
    digits, exponent = _java_digits((bits & (1 << 23) - 1) << 29, bits >> 23, 52, 127, 24)
    return _layout(value < 0, digits, exponent)


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    return sign + ("0.0" if value == 0 else "Infinity")


def _digits_of(text: str) -> tuple[str, int]:
    """Significant digits and the exponent of `0.d1d2… * 10**exponent`."""
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    joined = (whole + fraction).lstrip("0")
    exponent = len(whole) + int(power or 0)
    if whole.strip("0") == "":
        exponent = int(power or 0) - (len(fraction) - len(fraction.lstrip("0")))
    return joined.rstrip("0") or "0", exponent


def _layout(negative: bool, digits: str, exponent: int) -> str:
    """Java's choice between plain and scientific notation; digits are `0.d1d2… * 10**exponent`."""
    sign = "-" if negative else ""
    if 0 < exponent < 8:
        whole = digits[:exponent].ljust(exponent, "0")
        return f"{sign}{whole}.{digits[exponent:] or '0'}"
    if -3 < exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent - 1}"


def _java_digits(
    fraction: int, biased: int, shift: int, bias: int, significant: int
) -> tuple[str, int]:
    """`FloatingDecimal.dtoa`: digits and exponent of `0.d1d2… * 10**exponent`.

    `fraction` stands left-aligned to `shift` bits for both widths.
    """
    if biased == 0:
        lead = fraction.bit_length() - 1
        fraction <<= shift - lead
        binary = 1 - bias - (shift - lead)
        significant = lead + 1 if significant == 53 else lead + 1 - 29
    else:
        fraction |= 1 << shift
        binary = biased - bias
    tail = (fraction & -fraction).bit_length() - 1
    bits = shift + 1 - tail
    tiny = max(0, bits - binary - 1)
    if -21 <= binary <= 62 and tiny == 0 and bits + _POW5_BITS[0] < 64:
        insignificant = _insignificant(binary - significant - 1) if binary > significant else 0
        whole = fraction << (binary - shift) if binary >= shift else fraction >> (shift - binary)
        return _long_digits(whole, insignificant)
    return _big_digits(fraction >> tail, binary, bits, tiny, significant)


def _insignificant(power: int) -> int:
    """Decimal digits that 2**power cannot tell apart (Java's table)."""
    return len(str(1 << power)) - 1 if 1 < power < 64 else 0


def _long_digits(value: int, insignificant: int) -> tuple[str, int]:
    if insignificant:
        unit = 10**insignificant
        value, rest = divmod(value, unit)
        if rest >= unit >> 1:
            value += 1
    text = str(value)
    return text.rstrip("0") or "0", len(text) + insignificant


def _big_digits(
    fraction: int, binary: int, bits: int, tiny: int, significant: int
) -> tuple[str, int]:
    mantissa = math.ldexp(fraction, 1 - bits)
    estimate = (mantissa - 1.5) * 0.289529654 + 0.176091259 + binary * 0.301029995663981
    power = math.floor(estimate)
    b5 = max(0, -power)
    b2 = b5 + tiny + binary
    s5 = max(0, power)
    s2 = s5 + tiny
    m5, m2 = b5, b2 - significant
    b2 -= bits - 1
    common = min(b2, s2)
    b2, s2, m2 = b2 - common, s2 - common, m2 - common
    if bits == 1:
        m2 -= 1
    if m2 < 0:
        b2, s2, m2 = b2 - m2, s2 - m2, 0
    b = fraction * 5**b5 << b2
    s = 5**s5 << s2
    m = 5**m5 << m2
    ten = s * 10
    b_bits = bits + b2 + (_POW5_BITS[b5] if b5 < len(_POW5_BITS) else b5 * 3)
    t_bits = s2 + 1 + (_POW5_BITS[s5 + 1] if s5 + 1 < len(_POW5_BITS) else (s5 + 1) * 3)
    width = 32 if b_bits < 32 and t_bits < 32 else 64 if b_bits < 64 and t_bits < 64 else 0
    digits = []
    q, b = divmod(b, s)
    b, m = b * 10, _wrap(m * 10, width)
    low, high = b < m, _reaches(b, m, ten, width)
    if q == 0 and not high:
        power -= 1
    else:
        digits.append(q)
    if power < -3 or power >= 8:
        low = high = False
    while not low and not high:
        q, b = divmod(b, s)
        b, m = b * 10, _wrap(m * 10, width)
        low, high = (b < m, _reaches(b, m, ten, width)) if m > 0 else (True, True)
        digits.append(q)
    rest = _wrap(b * 2 - ten, width)
    if high and (not low or rest > 0 or (rest == 0 and digits[-1] & 1)):
        power = _round_up(digits, power)
    text = "".join(map(str, digits)).rstrip("0")
    return text or "0", power + 1


def _wrap(value: int, width: int) -> int:
    """The value as a signed Java integer of `width` bits; 0 is unbounded."""
    if width == 0:
        return value
    half = 1 << width - 1
    return (value + half) % (half * 2) - half


def _reaches(b: int, m: int, ten: int, width: int) -> bool:
    return _wrap(b + m, width) > ten if width else b + m >= ten


def _round_up(digits: list[int], power: int) -> int:
    i = len(digits) - 1
    while digits[i] == 9:
        digits[i] = 0
        if i == 0:
            digits[0] = 1
            return power + 1
        i -= 1
    digits[i] += 1
    return power


# Columns

_POW5 = np.array([5**i for i in range(28)], dtype=np.int64)
_BITS5 = np.array(_POW5_BITS, dtype=np.int64)


def texts(values: Any) -> list[str]:
    """The text of each value of a float64 or float32 array."""
    single = values.dtype == np.float32
    scalar = float_text if single else double_text
    wide = values.astype(np.float64)
    if len(values) < 16:
        return [scalar(v) for v in wide.tolist()]
    whole, counts, powers, done = _column_digits(wide, 24 if single else 53)
    out: list[str] = []
    for value, digits, count, power, known in zip(
        wide.tolist(), whole.tolist(), counts.tolist(), powers.tolist(), done.tolist(), strict=True
    ):
        if not known:
            out.append(scalar(value))
            continue
        text = str(digits)
        exponent = power + 1 + len(text) - count
        out.append(_layout(value < 0, text.rstrip("0") or "0", exponent))
    return out


def _column_digits(values: Any, significant: int) -> tuple[Any, Any, Any, Any]:
    """Digits as whole numbers, their counts, the power of the first, and where they are right.

    This is `_big_digits` on int64 arrays, for the values that it computes in 64 bits.
    """
    least = 1e-300 if significant == 53 else 2e-38
    done = np.isfinite(values) & (np.abs(values) > least)
    safe = np.where(done, np.abs(values), 1.5)
    bits = safe.view(np.int64)
    binary = (bits >> 52) - 1023
    fraction = bits & (1 << 52) - 1 | 1 << 52
    tail = np.frexp((fraction & -fraction).astype(np.float64))[1] - 1
    length = 53 - tail
    tiny = np.maximum(0, length - binary - 1)
    integers = (tiny == 0) & (binary <= significant)
    mantissa = (fraction & (1 << 52) - 1 | 1023 << 52).view(np.float64)
    power = np.floor(
        (mantissa - 1.5) * 0.289529654 + 0.176091259 + binary * 0.301029995663981
    ).astype(np.int64)
    b5, s5 = np.maximum(0, -power), np.maximum(0, power)
    b2, s2 = b5 + tiny + binary, s5 + tiny
    m2 = b2 - significant
    b2 = b2 - (length - 1)
    common = np.minimum(b2, s2)
    b2, s2, m2 = b2 - common, s2 - common, m2 - common - (length == 1)
    lift = np.maximum(0, -m2)
    b2, s2, m2 = b2 + lift, s2 + lift, m2 + lift
    top = len(_POW5_BITS) - 1
    b_bits = length + b2 + np.where(b5 <= top, _BITS5[np.minimum(b5, top)], b5 * 3)
    t_bits = s2 + 1 + np.where(s5 < top, _BITS5[np.minimum(s5 + 1, top)], s5 * 3 + 3)
    fits = (b_bits < 64) & (t_bits < 64) & ~((b_bits < 32) & (t_bits < 32)) & (tiny > 0)
    done &= fits | integers
    rows = np.flatnonzero(done & ~integers)
    digits = np.where(done & integers, safe, 0).astype(np.int64)
    counts = np.zeros(len(values), dtype=np.int64)
    whole = done & integers
    counts[whole] = np.floor(np.log10(np.maximum(digits[whole], 1))).astype(np.int64) + 1
    power = np.where(whole, counts - 1, power)
    if len(rows):
        b = (fraction[rows] >> tail[rows]) * _POW5[b5[rows]] << b2[rows]
        s = _POW5[s5[rows]] << s2[rows]
        m = _POW5[b5[rows]] << m2[rows]
        digits[rows], counts[rows], power[rows] = _develop(b, s, m, power[rows])
    return digits, counts, power, done


def _develop(b: Any, s: Any, m: Any, power: Any) -> tuple[Any, Any, Any]:
    """The digits of b / s, as many as tell it from its neighbours at distance m."""
    ten = s * 10
    q, b = np.divmod(b, s)
    b, m = b * 10, m * 10
    low, high = b < m, b + m > ten
    skip = (q == 0) & ~high
    power = power - skip
    digits, counts = q.copy(), (~skip).astype(np.int64)
    scientific = (power < -3) | (power >= 8)
    low, high = low & ~scientific, high & ~scientific
    active = np.flatnonzero(~(low | high))
    while len(active):
        q, rest = np.divmod(b[active], s[active])
        rest *= 10
        near = m[active] * 10
        b[active], m[active] = rest, near
        over = near <= 0
        low[active] = over | (rest < near)
        high[active] = over | (rest + near > ten[active])
        digits[active] = digits[active] * 10 + q
        counts[active] += 1
        active = active[~(low[active] | high[active])]
    left = (b << 1) - ten
    up = high & (~low | (left > 0) | ((left == 0) & (digits & 1 == 1)))
    return digits + up, counts, power
