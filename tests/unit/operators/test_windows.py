"""TUMBLE, and GROUP BY over its windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowsql.changelog import NO_WATERMARK, ChangelogMode
from flowsql.errors import DataError
from flowsql.expr import EvalSettings
from flowsql.physical.specs import TumbleAssign, WindowAggregate
from flowsql.types import (
    Field,
    IntType,
    LocalZonedTimestampType,
    RowType,
    TimeAttribute,
    TimestampType,
    VarCharType,
)
from tests.unit.operators.harness import Run, changes, row_type
from tests.unit.operators.test_group_aggregate import call

TIME = TimestampType(precision=3)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
ROW = row_type(k=VarCharType(), x=IntType(), ts=TIME)
MINUTE = 60_000
END = 2**63 - 1


def at(milliseconds: int) -> datetime:
    """A TIMESTAMP(3) value."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def clock(text: str) -> datetime:
    """A time of day on the first day."""
    return datetime.fromisoformat(f"1970-01-01T{text}")


def tumble(row: RowType, size: int, offset: int = 0, zone: str = "UTC", **more: Any) -> Run:
    """TUMBLE over the last column."""
    time = len(row.fields) - 1
    attribute = row.fields[time].type
    columns = more.get("window_columns", ("window_start", "window_end", "window_time"))
    types = {"window_start": TIME, "window_end": TIME, "window_time": attribute}
    fields = (*row.fields, *(Field(c, types[c]) for c in columns))
    spec = TumbleAssign(time, size, offset, columns)
    output = RowType(fields, nullable=False)
    return Run(spec, [row], output, EvalSettings(local_time_zone=zone), ChangelogMode.APPEND)


def window(row: RowType, calls: list[str], mode: str = "append", **more: Any) -> Run:
    """GROUP BY window_start, window_end, k."""
    aggregates = tuple(call(row, c) for c in calls)
    columns = more.get("window_columns", ("window_start", "window_end"))
    spec = WindowAggregate(
        (row.index("k"),),
        aggregates,
        row.index("window_start"),
        row.index("window_end"),
        columns,
        ChangelogMode(mode),
        more.get("local_time", False),
    )
    fields = [row.fields[row.index("k")]]
    fields += [Field(f"a{i}", a.type) for i, a in enumerate(aggregates)]
    fields += [row.fields[row.index(c)] for c in columns]
    output = RowType(tuple(fields), nullable=False)
    settings = EvalSettings(local_time_zone=more.get("zone", "UTC"))
    return Run(spec, [row], output, settings, ChangelogMode.APPEND)


def test_a_row_learns_its_window() -> None:
    """Before 1970 as well, and with an offset."""
    r = tumble(ROW, MINUTE)
    r.step(changes(ROW, [("a", 1, at(7_000)), ("b", 2, at(-1))], append=True))
    assert r.out == [
        ("+", "a", 1, at(7_000), at(0), at(MINUTE), at(MINUTE - 1)),
        ("+", "b", 2, at(-1), at(-MINUTE), at(0), at(-1)),
    ]
    r = tumble(ROW, MINUTE, 10_000, window_columns=("window_end",))
    assert r.step(changes(ROW, [("a", 1, at(7_000))], append=True))[0][4:] == (at(10_000),)


def test_windows_in_local_time() -> None:
    """Bounds on the wall clock, the time attribute an instant; across a change of the clock."""
    ltz = LocalZonedTimestampType(precision=3, attribute=TimeAttribute.ROWTIME)
    row = row_type(k=VarCharType(), x=IntType(), ts=ltz)
    r = tumble(row, 24 * 60 * MINUTE, zone="Europe/Berlin")
    moment = datetime(2024, 3, 30, 23, 30, tzinfo=UTC)
    [(*_, start, end, time)] = r.step(changes(row, [("a", 1, moment)], append=True))
    assert (start, end) == (datetime(2024, 3, 31), datetime(2024, 4, 1))  # noqa: DTZ001
    assert time == datetime(2024, 3, 31, 21, 59, 59, 999_000, tzinfo=UTC)
    w = window(
        r.output,
        ["COUNT"],
        local_time=True,
        zone="Europe/Berlin",
        window_columns=("window_start", "window_time"),
    )
    fire = int(datetime(2024, 3, 31, 22, tzinfo=UTC).timestamp() * 1000)
    assert w.step(*r.parts, watermark=fire - 2) == []
    assert w.step(watermark=fire - 1) == [("+", "a", 1, start, time)]


def test_a_rowtime_that_is_null_is_an_error() -> None:
    """As in Flink."""
    with pytest.raises(DataError, match='the rowtime column "ts" is NULL') as error:
        tumble(ROW, MINUTE).step(changes(ROW, [("a", 1, None)], append=True))
    assert "RowTime field should not be null" in str(error.value)


def step(r: Run, rows: list[Any], mark: int = NO_WATERMARK, watermark: int | None = None) -> Any:
    """Rows through TUMBLE and the aggregate."""
    assign = tumble(ROW, MINUTE)
    if rows:
        marks = [mark] * len(rows)
        append = not isinstance(rows[0], tuple) or rows[0][0] not in ("+", "-")
        assign.step(changes(ROW, rows, append=append, marks=marks))
    return r.step(*assign.parts, watermark=watermark)


def test_a_window_is_given_when_its_end_is_reached() -> None:
    """Ordered by end; marked with the watermark before; state is freed."""
    r = window(tumble(ROW, MINUTE).output, ["COUNT", "MAX x"])
    rows = [("a", 1, at(70_000)), ("a", 5, at(1_000)), ("b", 2, at(2_000))]
    assert step(r, rows, watermark=MINUTE - 2) == []
    r.restart()
    first = ((at(0), at(MINUTE)), (at(MINUTE), at(2 * MINUTE)))
    assert sorted(step(r, [], watermark=MINUTE - 1)) == [
        ("+", "a", 1, 5, *first[0]),
        ("+", "b", 1, 2, *first[0]),
    ]
    assert r.parts[-1].marks.watermark.tolist() == [MINUTE - 2] * 2
    assert step(r, [], watermark=END) == [("+", "a", 1, 1, *first[1])]
    assert r.parts[-1].marks.watermark.tolist() == [MINUTE - 1]
    assert r.live()["groups"] == r.live()["timers"] == 0


def test_late_rows_are_counted() -> None:
    """Late is what came after the mark reached the window's last millisecond."""
    r = window(tumble(ROW, MINUTE).output, ["COUNT"])
    step(r, [("a", 1, at(1))], MINUTE - 2)
    step(r, [("a", 1, at(1)), ("a", 1, at(MINUTE))], MINUTE - 1, MINUTE - 1)
    assert r.counters.as_dict() == {"late-rows": 1}
    step(r, [], watermark=END)
    assert [row[2] for row in r.out] == [1, 1]


def test_rows_that_were_taken_back_are_not_in_a_window() -> None:
    """A window without rows gives nothing."""
    r = window(tumble(ROW, MINUTE).output, ["COUNT", "MIN x", "COUNT DISTINCT x"], "retract")
    rows = [("+", "a", 1, at(1)), ("+", "a", 2, at(2)), ("+", "b", 1, at(1)), ("-", "z", 1, at(1))]
    step(r, rows)
    r.restart()
    step(r, [("-", "a", 1, at(1)), ("-", "b", 1, at(1))])
    assert step(r, [], watermark=END) == [("+", "a", 1, 2, 1, at(0), at(MINUTE))]
    assert r.counters.as_dict() == {"orphan-retractions": 1}
    assert r.live()["groups"] == r.live()["distinct_0"] == 0


def test_a_value_that_vanishes_in_the_step_its_window_fires() -> None:
    """Is forgotten once."""
    r = window(tumble(ROW, MINUTE).output, ["COUNT DISTINCT x"], "retract")
    rows = [("+", "a", 1, at(1)), ("+", "a", 2, at(2)), ("-", "a", 1, at(1))]
    assert step(r, rows, watermark=MINUTE - 1) == [("+", "a", 1, at(0), at(MINUTE))]
    rows = [("+", "a", 3, at(MINUTE)), ("+", "a", 4, at(MINUTE)), ("+", "b", 3, at(MINUTE))]
    assert sorted(step(r, rows, watermark=END)) == [
        ("+", "a", 2, at(MINUTE), at(2 * MINUTE)),
        ("+", "b", 1, at(MINUTE), at(2 * MINUTE)),
    ]
    assert r.live()["distinct_0"] == 0
