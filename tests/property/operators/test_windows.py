"""TUMBLE and GROUP BY over windows against a loop over rows, one watermark after the other."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import NO_WATERMARK
from flowsql.types import IntType, TimestampType
from tests.property.operators.changelogs import Row, cuts
from tests.unit.operators.harness import changes, normal, row_type
from tests.unit.operators.test_windows import at, tumble, window

ROW = row_type(k=IntType(), x=IntType(), ts=TimestampType(precision=3))
SIZE = 10


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_cut_gives_the_same_windows_and_the_same_late_rows(data: st.DataObject) -> None:
    """A row is judged by the watermark before it, wherever steps are cut."""
    rows = data.draw(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.integers(0, 2)), st.integers(0, 9), st.integers(-25, 60)
            ),
            min_size=1,
            max_size=25,
        )
    )
    delay = data.draw(st.integers(0, 8))
    marks: list[int] = []
    mark = NO_WATERMARK
    for *_, t in rows:
        marks.append(mark)
        mark = max(mark, t - delay)
    windows: dict[Any, list[int]] = {}
    late = 0
    for (k, x, t), before in zip(rows, marks, strict=True):
        start = t // SIZE * SIZE
        if start + SIZE - 1 <= before:
            late += 1
        else:
            windows.setdefault((start, k), []).append(x)
    expected: Counter[Row] = Counter()
    for (start, k), values in windows.items():
        row = (
            k,
            len(values),
            sum(values),
            len(set(values)),
            max(values),
            at(start),
            at(start + SIZE),
        )
        expected[tuple(normal(v) for v in row)] += 1

    assign = tumble(ROW, SIZE)
    operator = window(assign.output, ["COUNT", "SUM x", "COUNT DISTINCT x", "MAX x"])
    start = 0
    for end, restart, inner in data.draw(cuts(len(rows))):
        parts = []
        for stop in inner:
            part = [(k, x, at(t)) for k, x, t in rows[start:stop]]
            batch = changes(ROW, part, append=True, marks=marks[start:stop])
            assign.step(batch)
            parts.append(assign.parts[-1])
            start = stop
        reached = marks[end] if end < len(marks) else mark
        moved = reached if data.draw(st.booleans()) or end == len(rows) else None
        operator.step(*parts, watermark=moved)
        if restart:
            operator.restart()
    operator.step(watermark=2**63 - 1)
    assert operator.table() == expected
    assert operator.counters.as_dict().get("late-rows", 0) == late
    live = operator.live()
    live.pop("progress"), live.pop("progress_columns")
    assert set(live.values()) == {0}


def test_times_are_milliseconds_since_1970() -> None:
    """What `at` means."""
    assert at(1) == datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(
        milliseconds=1
    )
