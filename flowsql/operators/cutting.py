"""How many rows go into one batch: an Arrow string column ends at 2 GiB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt

from flowsql.changelog import MAX_BYTES, MAX_ROWS

__all__ = ["cut"]

Ints = npt.NDArray[np.int64]


def cut(widths: Ints | int, count: int, most: int = MAX_ROWS) -> Iterator[slice]:
    """Ranges of rows, each with at most `most` rows and about `MAX_BYTES` bytes, or one row.

    Args:
        widths: int64[count] bytes, or one number that no row exceeds.
        count: how many rows there are.
        most: rows at once.
    """
    widest = widths if isinstance(widths, int) else int(widths.max(initial=0))
    size = min(most, max(1, MAX_BYTES // max(1, widest)))
    if isinstance(widths, int) or size >= min(most, count):
        for start in range(0, count, size):
            yield slice(start, start + size)
        return
    total = cast(Ints, np.cumsum(widths))
    start = 0
    while start < count:
        done = int(total[start - 1]) if start else 0
        stop = int(np.searchsorted(total, done + MAX_BYTES, side="right"))
        stop = max(start + 1, min(stop, start + most))
        yield slice(start, stop)
        start = stop
