"""PostgreSQL's binary numeric as DECIMAL columns.

A value is sent as `int16 n, int16 weight, uint16 sign, int16 scale, n × int16` digits of base
10,000, the first of which counts 10,000 ^ weight. Columns whose values have up to four such digits
are computed in 64 bits, others in three limbs of 16 decimal digits each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.types import DecimalType, arrow_type
from flowsql_connectors.postgres_cdc.decode.gather import Places, Scattered, packed

__all__ = ["NumericProblem", "decimals", "numeric_text"]

_HEADER: Final = 8  # bytes before the digits
_BASE: Final = 10_000
_LIMB: Final = 10**16
_NEGATIVE: Final = 0x4000
_SPECIAL: Final = 0xC000  # NaN and, from 14 on, the infinities
_POWERS: Final = np.array([10**i for i in range(19)], np.int64)
_LIMBS: Final = 3
_Masks = npt.NDArray[np.bool_]
_Unsigned = npt.NDArray[np.uint64]


class NumericProblem(Exception):  # noqa: N818 (caught, and told with the column's name)
    """A value that the type does not hold; `row` is its number."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row


@dataclass(frozen=True, slots=True)
class _Digits:
    """The digits of all values.

    Attributes:
        data: where they stand.
        places: of the first digit of each value.
        count: digits of each value.
        weight: power of 10,000 that the first one counts.
        most: the highest count.
    """

    data: Scattered
    places: Places
    count: Places
    weight: Places
    most: int

    def at(self, number: int) -> npt.NDArray[np.int64]:
        """The `number`th digit of each value, 0 where it has fewer."""
        here = number < self.count
        # Where there is none, the place may lie behind the end of the data.
        places = np.where(here, self.places + 2 * number, 0)
        digit = np.where(here, self.data.numbers(places, ">u2"), 0).astype(np.int64)
        if digit.max(initial=0) >= _BASE:
            raise ValueError("a numeric with a digit that is none")
        return digit


def decimals(
    data: Scattered,
    places: Places,
    lengths: npt.NDArray[np.int32],
    valid: _Masks | None,
    target: DecimalType,
) -> pa.Decimal128Array:
    """The DECIMAL column of the values at `places`.

    Digits behind the scale are rounded, half away from zero. Raises NumericProblem for NaN, an
    infinity, or more digits before the point than the type has; ValueError for foreign bytes.

    Args:
        data: where the values stand.
        places: of each value, behind its length.
        lengths: in bytes; not read where not valid.
        valid: False makes NULL; None where all are.
        target: the type.
    """
    count = data.int16(places).astype(np.intp)
    weight = data.int16(places + 2).astype(np.intp)
    sign = data.numbers(places + 4, ">u2")
    if valid is not None:
        # What stands where a NULL has nothing is the next column.
        count = np.where(valid, count, 0)
        weight = np.where(valid, weight, 0)
        sign = np.where(valid, sign, np.uint16(0))
        lengths = np.where(valid, lengths, np.int32(_HEADER))
    if (lengths != _HEADER + 2 * count).any() or (count < 0).any():
        raise ValueError("a numeric whose length is not that of its digits")
    special = sign >= _SPECIAL
    if ((sign != 0) & (sign != _NEGATIVE) & ~special).any():
        raise ValueError("a numeric with a sign that is none")
    if special.any():
        raise NumericProblem(int(special.argmax()))
    digits = _Digits(data, places + _HEADER, count, weight, int(count.max(initial=0)))
    low, high = _short(digits, target) or _long(digits, target)
    out = np.empty((len(places), 2), np.uint64)
    out[:, 0] = low
    out[:, 1] = high
    negative = sign == _NEGATIVE
    if negative.any():
        # Two's complement over both words.
        flipped = ~out[negative]
        flipped[:, 0] += 1
        flipped[:, 1] += flipped[:, 0] == 0
        out[negative] = flipped
    buffers = [packed(valid), pa.py_buffer(out)]
    return pa.Array.from_buffers(arrow_type(target), len(places), buffers)


def _short(digits: _Digits, target: DecimalType) -> tuple[_Unsigned, _Unsigned] | None:
    """The magnitudes, low and high word, where 64 bits do; None where they may not."""
    if digits.most > 4 or target.scale > 18:
        return None
    count = digits.count
    total = np.zeros(len(count), np.int64)
    for k in range(digits.most):
        total = np.where(k < count, total * _BASE + digits.at(k), total)
    # The last digit counts 10,000 ^ (weight − count + 1).
    power = 4 * (digits.weight - count + 1) + target.scale
    power[count == 0] = 0
    lowest, highest = int(power.min(initial=0)), int(power.max(initial=0))
    if lowest < -18 or highest > 18:
        return None
    if highest > 0:
        up = _POWERS[np.maximum(power, 0)]
        if (total > _POWERS[18] // up).any():
            return None
        total = total * up
    if lowest < 0:
        down = _POWERS[np.maximum(-power, 0)]
        rest = total % down
        total = total // down + (2 * rest >= np.maximum(down, 2))
    if target.precision <= 18:
        over = total >= _POWERS[target.precision]
        if over.any():
            raise NumericProblem(int(over.argmax()))
    return total.view(np.uint64), np.zeros(len(count), np.uint64)


def _long(digits: _Digits, target: DecimalType) -> tuple[_Unsigned, _Unsigned]:
    """The magnitudes as 128 bits, low and high word."""
    count = digits.count
    rows = len(count)
    row = np.arange(rows)
    # In base 10,000 the fraction has so many digits, up to three decimal ones too many.
    fraction = -(-target.scale // 4)
    spare = 4 * fraction - target.scale
    limbs = np.zeros((_LIMBS, rows), np.int64)
    behind = np.zeros(rows, np.int64)  # the first digit that is cut off, for rounding
    for k in range(digits.most):
        digit = digits.at(k)
        position = digits.weight - k + fraction
        cut = position == -1
        if cut.any():
            behind[cut] = digit[cut]
        above = (position >= 4 * _LIMBS) & (digit > 0)
        if above.any():
            raise NumericProblem(int(above.argmax()))
        counted = (position >= 0) & (position < 4 * _LIMBS)
        limb, within = np.divmod(np.where(counted, position, 0), 4)
        limbs[limb, row] += np.where(counted, digit * _POWERS[4 * within], 0)
    # Rounding looks at one decimal digit behind the last one kept.
    if spare:
        rounding = limbs[0] % 10**spare >= 5 * 10 ** (spare - 1)
        limbs = _divided(limbs, 10**spare)
    else:
        rounding = behind >= _BASE // 2
    limbs[0] += rounding
    for i in range(_LIMBS - 1):
        limbs[i + 1] += limbs[i] // _LIMB
        limbs[i] %= _LIMB
    top, rest = divmod(target.precision, 16)
    over = limbs[top] >= 10**rest
    for i in range(top + 1, _LIMBS):
        over |= limbs[i] > 0
    if over.any():
        raise NumericProblem(int(over.argmax()))
    words = limbs.view(np.uint64)
    low, high = words[2], np.zeros(rows, np.uint64)
    for i in (1, 0):
        low, high = _times_limb_plus(low, high, words[i])
    return low, high


def _divided(limbs: npt.NDArray[np.int64], by: int) -> npt.NDArray[np.int64]:
    """Long division of each column of limbs by a small number."""
    out = np.empty_like(limbs)
    rest = np.zeros(limbs.shape[1], np.uint64)
    for i in reversed(range(_LIMBS)):
        # Up to 1,000 limbs: more than 63 bits, less than 64.
        whole = rest * np.uint64(_LIMB) + limbs[i].view(np.uint64)
        out[i] = (whole // np.uint64(by)).view(np.int64)
        rest = whole % np.uint64(by)
    return out


def _times_limb_plus(
    low: _Unsigned, high: _Unsigned, plus: _Unsigned
) -> tuple[_Unsigned, _Unsigned]:
    """`(high, low) × 10^16 + plus` modulo 2^128."""
    half = np.uint64(32)
    mask = np.uint64(0xFFFFFFFF)
    factor_low, factor_high = np.uint64(_LIMB & 0xFFFFFFFF), np.uint64(_LIMB >> 32)
    low_low, low_high = low & mask, low >> half
    bottom = low_low * factor_low
    middle = low_high * factor_low + (bottom >> half)
    carried = low_low * factor_high + (middle & mask)
    product_low = (carried << half) | (bottom & mask)
    product_high = low_high * factor_high + (middle >> half) + (carried >> half)
    product_high += high * np.uint64(_LIMB)
    total = product_low + plus
    return total, product_high + (total < plus)


def numeric_text(value: bytes) -> str:
    """One value as the server writes it, for a message."""
    count, weight, sign, shown = struct.unpack_from(">hhHh", value)
    if sign >= _SPECIAL:
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign, "no number")
    digits = "".join(f"{d:04d}" for d in struct.unpack_from(f">{count}h", value, _HEADER))
    point = 4 * (weight + 1)
    digits = digits.rjust(len(digits) - min(point, 0), "0").ljust(max(point, 0) + shown, "0")
    point = max(point, 0)
    whole = digits[:point].lstrip("0") or "0"
    fraction = digits[point : point + shown].ljust(shown, "0")
    return ("-" if sign == _NEGATIVE else "") + whole + ("." + fraction if shown else "")
