"""Pairs of wide rows are taken in pieces, so that no string column grows past Arrow's limit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import MAX_BYTES, MAX_ROWS
from flowsql.operators.join_pairs import pieces


def lengths(batch: pa.RecordBatch, probe: np.ndarray, stored: int) -> list[int]:
    """How many pairs each piece has; they follow one another without a gap."""
    found = list(pieces(batch, (0,), probe, stored))
    at = [min(p.stop, len(probe)) for p in found]
    assert [p.start for p in found] == [0, *at[:-1]]
    return [min(p.stop, len(probe)) - p.start for p in found]


def test_narrow_rows_are_cut_by_their_number() -> None:
    """64 k pairs at once."""
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2])], ["a"])
    probe = np.repeat([0, 1], MAX_ROWS)
    assert lengths(batch, probe, 8) == [MAX_ROWS, MAX_ROWS]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_one_wide_row_that_meets_many(kind: pa.DataType) -> None:
    """It is the row itself that counts, not the mean of its batch."""
    wide = MAX_BYTES // 4
    batch = pa.RecordBatch.from_arrays([pa.array(["x", "y" * wide, "z"]).cast(kind)], ["a"])
    got = lengths(batch.slice(1), np.repeat([0, 1], 10), 0)
    assert max(got) <= 11
    assert got[:3] == [3, 3, 3]
    assert sum(got) == 20


def test_wide_stored_rows_count_as_well() -> None:
    """A piece has at least one pair, however wide."""
    batch = pa.RecordBatch.from_arrays([pa.array([1])], ["a"])
    assert lengths(batch, np.zeros(3, np.int64), 2 * MAX_BYTES) == [1, 1, 1]
