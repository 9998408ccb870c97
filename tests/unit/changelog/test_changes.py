"""Batches are cut where their limits say, never between the halves of an update."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import MAX_BYTES, MAX_ROWS, Changes, concat_changes, split_changes

INSERT, BEFORE, AFTER, DELETE = range(4)


def rows(kinds: list[int] | None, count: int, width: int = 1) -> Changes:
    """So many rows of so many bytes each."""
    column = pa.array(["x" * width] * count)
    codes = None if kinds is None else np.array(kinds, np.int8)
    return Changes(pa.RecordBatch.from_arrays([column], ["s"]), codes)


def test_no_rows_give_no_piece() -> None:
    """A batch is never empty."""
    assert list(split_changes(rows(None, 0))) == []


@pytest.mark.parametrize("lead", [0, 1])
def test_an_update_stays_in_one_piece(lead: int) -> None:
    """Wherever the limit falls, a `-U` is not the last of its piece."""
    pairs = MAX_ROWS // 2 + 100
    kinds = [INSERT] * lead + [BEFORE, AFTER] * pairs
    whole = rows(kinds, len(kinds))
    pieces = list(split_changes(whole))
    assert len(pieces) == 2
    assert all(len(p) <= MAX_ROWS for p in pieces)
    assert all(p.codes is not None and p.codes[-1] == AFTER for p in pieces)
    together = concat_changes(pieces)
    assert together is not None
    assert together.codes is not None
    assert together.codes.tolist() == kinds


def test_wide_rows_make_short_pieces() -> None:
    """A piece keeps the limit of bytes as well."""
    width = MAX_BYTES // 10
    pieces = list(split_changes(rows([DELETE] * 25, 25, width)))
    assert sum(map(len, pieces)) == 25
    assert max(map(len, pieces)) <= 10
