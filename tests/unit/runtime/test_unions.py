"""Whether a row is late behind a union does not depend on its own table alone, nor on the cut."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

import flowsql

SCHEMA = pa.schema([("ts", pa.timestamp("ms"))])
QUERY = """SELECT window_start, COUNT(*) AS n
    FROM TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND))
    GROUP BY window_start, window_end"""


def batch(*seconds: int) -> pa.RecordBatch:
    """Rows at so many seconds."""
    times = pa.array([s * 1000 for s in seconds], pa.timestamp("ms"))
    return pa.RecordBatch.from_arrays([times], schema=SCHEMA)


def counts(
    a: Sequence[pa.RecordBatch | None], b: Sequence[pa.RecordBatch | None], union: str
) -> list[tuple[int, int]]:
    """(second the window starts, rows) of each window."""
    with flowsql.connect() as session:
        for name, steps in (("a", a), ("b", b)):
            session.from_changes(name, SCHEMA, steps, watermark="ts - INTERVAL '0' SECOND")
        session.execute(f"CREATE VIEW u AS {union}")
        rows = session.execute(QUERY).fetchall()
    return sorted((start.hour * 3600 + start.minute * 60 + start.second, n) for start, n in rows)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([batch(1), batch(50), batch(2), None], [batch(1), None, None, batch(60)]),
        ([batch(1, 50, 2), None, None, None], [batch(1), None, None, batch(60)]),
    ],
    ids=["in steps", "at once"],
)
def test_a_row_is_late_by_the_time_of_all_inputs(
    a: list[pa.RecordBatch | None], b: list[pa.RecordBatch | None]
) -> None:
    """Table `a` has passed the first window, but the union has not."""
    union = "SELECT ts FROM a UNION ALL SELECT ts FROM b"
    assert counts(a, b, union) == [(0, 3), (50, 1), (60, 1)]


def test_a_row_is_late_once_all_inputs_have_passed() -> None:
    """Both tables have passed the window when the last row comes."""
    union = "SELECT ts FROM a UNION ALL SELECT ts FROM b"
    got = counts([batch(1), batch(50), None, batch(2)], [batch(1), None, batch(60), None], union)
    assert got == [(0, 2), (50, 1), (60, 1)]


def test_projections_and_filters_below_a_union_pass_time_on() -> None:
    """A filter that lets nothing through still lets time through."""
    union = "SELECT ts FROM a WHERE ts IS NOT NULL UNION ALL SELECT ts FROM b WHERE ts IS NULL"
    got = counts([batch(1), batch(50), None, batch(2)], [batch(1), None, batch(60), None], union)
    assert got == [(0, 1), (50, 1)]
