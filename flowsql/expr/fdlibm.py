"""Inverse and hyperbolic functions as Java's `StrictMath` computes them.

Java fixes these functions to the bit: they are those of Sun's fdlibm. The C library differs in the
last digit for up to an eighth of all arguments.
"""

from __future__ import annotations

import math
import struct

__all__ = ["acos", "asin", "atan", "atan2", "cosh", "sinh"]

_ATAN_HIGH = (
    4.63647609000806093515e-01, 7.85398163397448278999e-01, 9.82793723247329054082e-01,
    1.57079632679489655800e00,
)  # fmt: skip
_ATAN_LOW = (
    2.26987774529616870924e-17, 3.06161699786838301793e-17, 1.39033110312309984516e-17,
    6.12323399573676603587e-17,
)  # fmt: skip
_AT = (
    3.33333333333329318027e-01, -1.99999999998764832476e-01, 1.42857142725034663711e-01,
    -1.11111104054623557880e-01, 9.09088713343650656196e-02, -7.69187620504482999495e-02,
    6.66107313738753120669e-02, -5.83357013379057348645e-02, 4.97687799461593236017e-02,
    -3.65315727442169155270e-02, 1.62858201153657823623e-02,
)  # fmt: skip
_P = (
    1.66666666666666657415e-01, -3.25565818622400915405e-01, 2.01212532134862925881e-01,
    -4.00555345006794114027e-02, 7.91534994289814532176e-04, 3.47933107596021167570e-05,
)  # fmt: skip
_Q = (
    -2.40339491173441421878e00, 2.02094576023350569471e00, -6.88283971605453293030e-01,
    7.70381505559019352791e-02,
)  # fmt: skip
_PI_LOW = 1.2246467991473531772e-16
_HALF_PI_HIGH = 1.57079632679489655800e00
_HALF_PI_LOW = 6.12323399573676603587e-17
_QUARTER_PI = 7.85398163397448278999e-01


def _high_part(value: float) -> float:
    """The value without the lower half of its bits."""
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return struct.unpack("<d", struct.pack("<Q", bits & ~0xFFFFFFFF))[0]


def atan(x: float) -> float:
    """The arc tangent."""
    if math.isnan(x):
        return x
    size = abs(x)
    if size >= 2.0**66:
        return math.copysign(_ATAN_HIGH[3] + _ATAN_LOW[3], x)
    if size < 0.4375:
        if size < 2.0**-29:
            return x
        part = -1
        y = x
    elif size < 0.6875:
        part, y = 0, (2.0 * size - 1.0) / (2.0 + size)
    elif size < 1.1875:
        part, y = 1, (size - 1.0) / (size + 1.0)
    elif size < 2.4375:
        part, y = 2, (size - 1.5) / (1.0 + 1.5 * size)
    else:
        part, y = 3, -1.0 / size
    z = y * y
    w = z * z
    odd = z * (_AT[0] + w * (_AT[2] + w * (_AT[4] + w * (_AT[6] + w * (_AT[8] + w * _AT[10])))))
    even = w * (_AT[1] + w * (_AT[3] + w * (_AT[5] + w * (_AT[7] + w * _AT[9]))))
    if part < 0:
        return y - y * (odd + even)
    return math.copysign(_ATAN_HIGH[part] - ((y * (odd + even) - _ATAN_LOW[part]) - y), x)


def atan2(y: float, x: float) -> float:
    """The angle of the point (x, y)."""
    if math.isnan(x) or math.isnan(y) or x == 0 or y == 0 or math.isinf(x) or math.isinf(y):
        return math.atan2(y, x)
    if x == 1.0:
        return atan(y)
    gap = math.frexp(y)[1] - math.frexp(x)[1]
    if gap > 60:
        z = _HALF_PI_HIGH + 0.5 * _PI_LOW
    elif x < 0 and gap < -60:
        z = 0.0
    else:
        z = atan(abs(y / x))
    if x > 0:
        return math.copysign(z, y)
    return math.pi - (z - _PI_LOW) if y > 0 else (z - _PI_LOW) - math.pi


def _ratio(t: float) -> float:
    p = t * (_P[0] + t * (_P[1] + t * (_P[2] + t * (_P[3] + t * (_P[4] + t * _P[5])))))
    q = 1.0 + t * (_Q[0] + t * (_Q[1] + t * (_Q[2] + t * _Q[3])))
    return p / q


def asin(x: float) -> float:
    """The arc sine; NaN outside of -1 to 1."""
    size = abs(x)
    if not size <= 1:
        return math.nan
    if size == 1:
        return x * _HALF_PI_HIGH + x * _HALF_PI_LOW
    if size < 0.5:
        return x if size < 2.0**-27 else x + x * _ratio(x * x)
    t = (1.0 - size) * 0.5
    r = _ratio(t)
    s = math.sqrt(t)
    if size >= 0.974999904632568359375:
        found = _HALF_PI_HIGH - (2.0 * (s + s * r) - _HALF_PI_LOW)
    else:
        w = _high_part(s)
        c = (t - w * w) / (s + w)
        found = _QUARTER_PI - ((2.0 * s * r - (_HALF_PI_LOW - 2.0 * c)) - (_QUARTER_PI - 2.0 * w))
    return math.copysign(found, x)


def acos(x: float) -> float:
    """The arc cosine; NaN outside of -1 to 1."""
    size = abs(x)
    if not size <= 1:
        return math.nan
    if size == 1:
        return 0.0 if x > 0 else math.pi + 2.0 * _HALF_PI_LOW
    if size < 0.5:
        if size <= 2.0**-57:
            return _HALF_PI_HIGH + _HALF_PI_LOW
        return _HALF_PI_HIGH - (x - (_HALF_PI_LOW - x * _ratio(x * x)))
    z = (1.0 - size) * 0.5
    s = math.sqrt(z)
    r = _ratio(z)
    if x < 0:
        return math.pi - 2.0 * (s + (r * s - _HALF_PI_LOW))
    df = _high_part(s)
    return 2.0 * (df + (r * s + (z - df * df) / (s + df)))


_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_INV_LN2 = 1.44269504088896338700e00
_E = (
    1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05,
    -1.65339022054652515390e-06, 4.13813679705723846039e-08,
)  # fmt: skip
_M = (
    -3.33333333333331316428e-02, 1.58730158725481460165e-03, -7.93650757867487942473e-05,
    4.00821782732936239552e-06, -2.01099218183624371326e-07,
)  # fmt: skip


def _reduced(x: float) -> tuple[int, float, float]:
    """k, high and low with x = k ln 2 + high - low, for x > 0."""
    if x <= 0.5 * math.log(2):
        return 0, x, 0.0
    k = 1 if x < 1.5 * math.log(2) else int(_INV_LN2 * x + 0.5)
    return k, x - k * _LN2_HIGH, k * _LN2_LOW


def _exp(x: float) -> float:
    """e**x for 0 < x < 709.78."""
    if x < 2.0**-28:
        return 1.0 + x
    k, high, low = _reduced(x)
    x = high - low
    t = x * x
    c = x - t * (_E[0] + t * (_E[1] + t * (_E[2] + t * (_E[3] + t * _E[4]))))
    if k == 0:
        return 1.0 - ((x * c) / (c - 2.0) - x)
    return math.ldexp(1.0 - ((low - (x * c) / (2.0 - c)) - high), k)


def _expm1(x: float) -> float:
    """e**x - 1 for 0 < x < 22."""
    if x < 2.0**-54:
        return x
    k, high, low = _reduced(x)
    x = high - low
    c = (high - x) - low
    half = 0.5 * x
    square = x * half
    r = 1.0 + square * (
        _M[0] + square * (_M[1] + square * (_M[2] + square * (_M[3] + square * _M[4])))
    )
    t = 3.0 - r * half
    e = square * ((r - t) / (6.0 - x * t))
    if k == 0:
        return x - (x * e - square)
    e = (x * (e - c) - c) - square
    if k == 1:
        return -2.0 * (e - (x + 0.5)) if x < -0.25 else 1.0 + 2.0 * (x - e)
    if k < 20:
        return math.ldexp((1.0 - 2.0**-k) - (e - x), k)
    return math.ldexp(x - (e + 2.0**-k) + 1.0, k)


def sinh(x: float) -> float:
    """The hyperbolic sine."""
    size = abs(x)
    if not math.isfinite(x) or size < 2.0**-28:
        return x
    half = math.copysign(0.5, x)
    if size >= 22:
        return _large(size) * half * 2.0
    t = _expm1(size)
    return half * (2.0 * t - t * t / (t + 1.0)) if size < 1 else half * (t + t / (t + 1.0))


def cosh(x: float) -> float:
    """The hyperbolic cosine."""
    size = abs(x)
    if not math.isfinite(x):
        return size
    if size < 0.34657359027997264:
        t = _expm1(size)
        w = 1.0 + t
        return w if size < 2.0**-55 else 1.0 + t * t / (w + w)
    if size < 22:
        t = _exp(size)
        return 0.5 * t + 0.5 / t
    return _large(size)


def _large(size: float) -> float:
    """e**size / 2, which may be finite where e**size is not."""
    if size < 709.78:
        return 0.5 * _exp(size)
    if size > 710.4758600739439:
        return math.inf
    w = _exp(0.5 * size)
    return 0.5 * w * w
