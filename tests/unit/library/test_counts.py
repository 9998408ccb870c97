"""Counts of sub-queries that have no rows."""

from __future__ import annotations

import pyarrow as pa
import pytest

import flowsql


@pytest.mark.parametrize("compare", ["=", "<"])
@pytest.mark.parametrize("count", ["COUNT(x)", "APPROX_COUNT_DISTINCT(x)"])
def test_nothing_is_counted_as_zero(count: str, compare: str) -> None:
    """Whether the sub-query is computed by key or for each row around."""
    with flowsql.connect({"execution.runtime-mode": "batch"}) as session:
        session.from_arrow("t", pa.table({"k": [1, 2, None]}))
        session.from_arrow("s", pa.table({"k": [1, 1], "x": [5, 6]}))
        inner = f"SELECT {count} FROM s WHERE s.k {compare} t.k"
        value = session.execute(f"SELECT k, ({inner}) FROM t").fetchall()
        beside = session.execute(
            f"SELECT k, n FROM t LEFT JOIN LATERAL ({inner}) AS q (n) ON TRUE"
        ).fetchall()
    expected = {1: 2, 2: 0, None: 0} if compare == "=" else {1: 0, 2: 2, None: 0}
    assert dict(value) == dict(beside) == expected
