"""Batches keep Arrow's limits, whatever their rows weigh."""

from __future__ import annotations

import numpy as np
import pytest

from flowsql.changelog import MAX_BYTES
from flowsql.operators.cutting import cut


@pytest.mark.parametrize(
    ("widths", "count", "most", "sizes"),
    [
        (8, 0, 4, []),
        (8, 10, 4, [4, 4, 2]),
        (0, 3, 4, [3]),
        (MAX_BYTES // 3, 7, 100, [3, 3, 1]),
        (2 * MAX_BYTES, 2, 100, [1, 1]),
        (np.array([1, 1, MAX_BYTES, 1, 1]), 5, 100, [2, 1, 2]),
        (np.array([1, 1, MAX_BYTES, 1, 1]), 5, 1, [1] * 5),
        (np.array([5 * MAX_BYTES, 5 * MAX_BYTES]), 2, 100, [1, 1]),
        (np.zeros(0, np.int64), 0, 4, []),
    ],
)
def test_rows_are_cut_by_number_and_width(
    widths: np.ndarray | int, count: int, most: int, sizes: list[int]
) -> None:
    """Ranges follow one another without a gap; one row may be wider than a batch."""
    found = [np.arange(count)[part] for part in cut(widths, count, most)]
    assert [len(f) for f in found] == sizes
    assert np.concatenate([np.zeros(0, int), *found]).tolist() == list(range(count))
