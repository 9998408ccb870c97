"""Exact sums and quotients of DECIMAL in 32-bit limbs, for whole columns at once.

A number is a list of int64 vectors, the lowest limb first; all but the highest are below 2^32 once
carried, the highest carries the sign. A stored decimal is a row of two 64-bit words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["carry", "quotient", "words_of"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_MASK = 0xFFFFFFFF
_LIMIT = 10**38
_U = np.uint64


def carry(limbs: Sequence[Ints]) -> list[Ints]:
    """The same numbers with every limb but the highest in 0 … 2^32 − 1."""
    done: list[Ints] = []
    over = np.zeros_like(limbs[0])
    for limb in limbs[:-1]:
        total = limb + over
        done.append(total & _MASK)
        over = total >> 32
    return [*done, limbs[-1] + over]


def words_of(limbs: Sequence[Ints]) -> tuple[npt.NDArray[np.int64], Bools]:
    """Stored decimals and whether each has at most 38 digits; others' words are arbitrary."""
    parts = carry(limbs)
    words = np.empty((len(parts[0]), 2), np.int64)
    top = parts[-1]
    if len(parts) == 2:
        words[:, 0] = (top << 32) | parts[0]
        words[:, 1] = top >> 32
        return words, np.ones(len(top), np.bool_)
    words[:, 0] = parts[0] | (parts[1] << 32)
    words[:, 1] = parts[2] + (top << 32)
    fits = (top >= -(1 << 31)) & (top < (1 << 31))
    return words, fits & _below_limit(words)


def _below_limit(words: npt.NDArray[np.int64]) -> Bools:
    high = words[:, 1]
    low = np.ascontiguousarray(words[:, 0]).view(np.uint64)
    top, bottom = _LIMIT >> 64, _U(_LIMIT & (2**64 - 1))
    negative_top, negative_bottom = (-_LIMIT) >> 64, _U((-_LIMIT) & (2**64 - 1))
    under = (high < top) | ((high == top) & (low < bottom))
    over = (high > negative_top) | ((high == negative_top) & (low > negative_bottom))
    return under & over


def quotient(
    words: npt.NDArray[np.int64], divisor: Ints, shift: int
) -> tuple[npt.NDArray[np.int64], Bools]:
    """`words · 10^shift / divisor`, halves rounded away from zero.

    Args:
        words: stored decimals.
        divisor: int64[n], positive.
        shift: 0 ≤ shift ≤ 9, by how many digits the result's scale is larger.

    Returns:
        Stored decimals and whether each has at most 38 digits.
    """
    if len(divisor) and int(divisor.max()) >= 1 << 31:
        return _slow_quotient(words, divisor, shift)
    negative = words[:, 1] < 0
    limbs = _magnitude(words, negative)
    if shift:
        limbs = _multiplied(limbs, 10**shift)
    by = divisor.astype(np.uint64)
    rest = np.zeros(len(by), np.uint64)
    result: list[Words] = []
    for limb in reversed(limbs):
        current = (rest << _U(32)) | limb
        result.append(current // by)
        rest = current % by
    result.reverse()
    up = (rest * _U(2) >= by).astype(np.uint64)
    for i, limb in enumerate(result):
        total = limb + up
        result[i] = total & _U(_MASK)
        up = total >> _U(32)
    fits = np.ones(len(by), np.bool_)
    for limb in result[4:]:
        fits &= limb == 0
    low = result[0] | (result[1] << _U(32))
    high = result[2] | (result[3] << _U(32))
    return _signed(low, high, negative, fits)


def _magnitude(words: npt.NDArray[np.int64], negative: Bools) -> list[Words]:
    low = np.ascontiguousarray(words[:, 0]).view(np.uint64)
    high = np.ascontiguousarray(words[:, 1]).view(np.uint64)
    low, high = _negated(low, high, negative)
    mask = _U(_MASK)
    return [low & mask, low >> _U(32), high & mask, high >> _U(32)]


def _negated(low: Words, high: Words, where: Bools) -> tuple[Words, Words]:
    flipped = ~low + _U(1)
    borrow = (low == 0).astype(np.uint64)
    return np.where(where, flipped, low), np.where(where, ~high + borrow, high)


def _multiplied(limbs: list[Words], by: int) -> list[Words]:
    done: list[Words] = []
    over = np.zeros_like(limbs[0])
    for limb in limbs:
        total = limb * _U(by) + over
        done.append(total & _U(_MASK))
        over = total >> _U(32)
    return [*done, over]


def _signed(
    low: Words, high: Words, negative: Bools, fits: Bools
) -> tuple[npt.NDArray[np.int64], Bools]:
    top, bottom = _U(_LIMIT >> 64), _U(_LIMIT & (2**64 - 1))
    fits = fits & ((high < top) | ((high == top) & (low < bottom)))
    low, high = _negated(low, high, negative)
    words = np.empty((len(low), 2), np.int64)
    words[:, 0] = low.view(np.int64)
    words[:, 1] = high.view(np.int64)
    return words, fits


def _slow_quotient(
    words: npt.NDArray[np.int64], divisor: Ints, shift: int
) -> tuple[npt.NDArray[np.int64], Bools]:
    """By Python's integers: a group of more than two thousand million rows is that rare."""
    result = np.zeros_like(words)
    fits = np.ones(len(divisor), np.bool_)
    for i, (low, high, by) in enumerate(
        zip(words[:, 0].tolist(), words[:, 1].tolist(), divisor.tolist(), strict=True)
    ):
        number = (high << 64) + (low & (2**64 - 1))
        size = (2 * abs(number) * 10**shift + by) // (2 * by)
        fits[i] = size < _LIMIT
        if fits[i]:
            signed = -size if number < 0 else size
            result[i, 0] = _wrap(signed)
            result[i, 1] = signed >> 64
    return result, fits


def _wrap(number: int) -> int:
    low = number & (2**64 - 1)
    return low - (1 << 64) if low >> 63 else low
