"""Windows over bounded tables without a watermark."""

from __future__ import annotations

import pytest

import flowsql

TIMES = """
CREATE VIEW t AS SELECT * FROM (VALUES
  (TIMESTAMP '2016-03-27 09:00:05.000', 1),
  (CAST(NULL AS TIMESTAMP(3)), 2),
  (TIMESTAMP '2016-03-27 09:00:32.000', 3)) AS v(ts, n)
"""


@pytest.mark.parametrize(
    "query",
    [
        (
            "SELECT CAST(window_start AS STRING), n "
            "FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))"
        ),
        (
            "SELECT CAST(TUMBLE_START(ts, INTERVAL '10' SECOND) AS STRING), SUM(n) FROM t "
            "GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)"
        ),
    ],
)
def test_a_row_without_a_time_is_in_no_window(query: str) -> None:
    """As in Flink, in batch mode."""
    with flowsql.connect({"execution.runtime-mode": "batch"}) as session:
        session.execute(TIMES)
        rows = session.execute(query).fetchall()
    assert sorted(rows) == [
        ("2016-03-27 09:00:00.000", 1),
        ("2016-03-27 09:00:30.000", 3),
    ]
