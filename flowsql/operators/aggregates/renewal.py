"""Where a group's values have all left in the midst of a batch.

What a sum of floats keeps of values that left (a rounding error, an infinity, the value distances are
taken from) must not be seen by those that come after the last one has gone; nor may it matter
whether a batch, a step or a single row ends at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowsql.operators.sequence import sort_stable
from flowsql.state import Columns
from flowsql.state.kernels import runs

__all__ = ["Renewal", "renewal"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Signs = npt.NDArray[np.int8]

# Counters a row of the batch beyond which one for every slot costs more than a sort.
_SPARSE = 4


@dataclass(frozen=True, slots=True)
class Renewal:
    """Slots that a retraction left without a value.

    Attributes:
        slots: each once; they start anew.
        rows: of the batch, ascending, without those up to a slot's last such moment.
    """

    slots: Ints
    rows: Ints


def renewal(
    columns: Columns, count: str, aside: tuple[str, ...], slots: Ints, signs: Signs
) -> Renewal | None:
    """The slots that start anew within a batch; None where there is none.

    Args:
        columns: the accumulators.
        count: the column with the number of values after the batch.
        aside: columns with numbers of values that are not summed, as NaN.
        slots: int64[n], of the rows that are summed, in order of arrival.
        signs: int8[n], +1 or −1.
    """
    n = len(slots)
    taken = signs < 0
    if not taken.any():
        return None
    counters = (columns.vector(count), *(columns.vector(name) for name in aside))
    # A slot never held less than it holds at the end without what the batch adds to it.
    end = int(slots.max()) + 1
    if end <= _SPARSE * n:
        moves = np.bincount(slots + taken * np.int64(end), minlength=2 * end)
        near = (_held(*(c[:end] for c in counters)) <= moves[:end]) & (moves[end:] > 0)
        if not near.any():
            return None
        near = near.take(slots)
    else:
        near = _held(*(c.take(slots) for c in counters)) <= n - np.count_nonzero(taken)
    rows = near.nonzero()[0]
    if not len(rows):
        return None
    rows = rows.take(sort_stable(slots.take(rows)))
    places = slots.take(rows)
    starts, lengths = runs(places)
    # What a slot holds in the end, without what came after a row, is what it held there.
    sums = np.cumsum(signs.take(rows), dtype=np.int64)
    ends = starts + lengths - 1
    final = _held(*(c.take(places.take(starts)) for c in counters)) - sums.take(ends)
    empty = ((sums == np.repeat(-final, lengths)) & taken.take(rows)).nonzero()[0]
    if not len(empty):
        return None
    run = np.repeat(np.arange(len(starts)), lengths)
    last = np.full(len(starts), -1)
    last[run.take(empty)] = empty  # of several the last one stays
    stays = np.ones(n, np.bool_)
    stays[rows[np.arange(len(rows)) <= last.take(run)]] = False
    return Renewal(places.take(starts[last >= 0]), stays.nonzero()[0])


def _held(count: Ints, *aside: Ints) -> Ints:
    """The numbers of values that are summed."""
    for other in aside:
        count = count - other
    return count
