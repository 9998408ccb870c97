"""What a batch's retractions mean, taken one after the other.

A row that state does not hold cannot be taken back; whether it holds one depends on the rows before
it in the same batch. These functions answer as if rows came one by one, for the whole batch.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.changelog.hashing import sort_small

__all__ = ["accepted_counts", "accepted_presence", "sort_stable"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

_FEW: Final = 256


def sort_stable(values: Ints) -> Ints:
    """Indices that sort non-negative `values`, ties in order."""
    if len(values) <= _FEW or int(values.max()) >= 1 << 31:
        return np.argsort(values, kind="stable")
    return sort_small(values)[0]


def accepted_counts(places: Ints, signs: Signs, start: Ints) -> Bools | None:
    """Rows that count, where each place holds a number of equal rows.

    Args:
        places: int64[n], what each row adds to or takes from.
        signs: int8[n], +1 or −1.
        start: int64[n], how many the row's place held before the batch.

    Returns:
        bool[n], false for a retraction that finds nothing; None where all rows count.
    """
    taken = signs < 0
    if not taken.any():
        return None
    # A place that held more than the batch takes from it needs no look at the order.
    if int(start.min()) >= int(np.count_nonzero(taken)):
        return None
    order = sort_stable(places)
    sums, first = _running_sums(places[order], signs[order])
    level = sums + start[order]
    # How far below zero the count has been by now, which is the number of retractions ignored.
    debt = np.maximum(_running_maximum(-level, first), 0)
    before = np.empty_like(debt)
    before[1:] = debt[:-1]
    before[first] = 0
    ignored = order[debt > before]
    if not len(ignored):
        return None
    accepted = np.ones(len(places), np.bool_)
    accepted[ignored] = False
    return accepted


def accepted_presence(places: Ints, signs: Signs, start: Bools) -> Bools | None:
    """Rows that count, where each place holds one row or none and an insert replaces it.

    Args:
        places: int64[n].
        signs: int8[n].
        start: bool[n], whether the row's place held a row before the batch.

    Returns:
        bool[n], false for a retraction that finds nothing; None where all rows count.
    """
    taken = signs < 0
    if not taken.any():
        return None
    order = sort_stable(places)
    sorted_places = places[order]
    live = np.empty(len(places), np.bool_)
    live[1:] = ~taken[order[:-1]]
    first = np.ones(len(places), np.bool_)
    first[1:] = sorted_places[1:] != sorted_places[:-1]
    live[first] = start[order[first]]
    ignored = order[taken[order] & ~live]
    if not len(ignored):
        return None
    accepted = np.ones(len(places), np.bool_)
    accepted[ignored] = False
    return accepted


def _running_sums(places: Ints, signs: Signs) -> tuple[Ints, Bools]:
    """Sums within equal sorted places, and where each place begins."""
    first = np.ones(len(places), np.bool_)
    first[1:] = places[1:] != places[:-1]
    sums = np.cumsum(signs, dtype=np.int64)
    starts = first.nonzero()[0]
    offset = sums[starts] - signs[starts]
    return sums - np.repeat(offset, np.diff(np.append(starts, len(places)))), first


def _running_maximum(values: Ints, first: Bools) -> Ints:
    """Running maximum that begins anew where `first` is true."""
    # Each segment is lifted above all values of those before it.
    segment = np.cumsum(first)
    low, high = int(values.min()), int(values.max())
    lift = segment * (high - low + 1)
    return np.maximum.accumulate(values + lift) - lift
