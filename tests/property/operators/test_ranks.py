"""Top-N, deduplication, LIMIT and ORDER BY against sorted lists."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.physical.specs import (
    Deduplicate,
    EndSort,
    Limit,
    Rank,
    RankFunction,
    Sort,
    SortKey,
    TimeSort,
)
from flowsql.types import (
    BigIntType,
    DoubleType,
    Field,
    IntType,
    RowType,
    TimestampType,
    VarCharType,
)
from tests.property.operators.changelogs import (
    DOUBLES,
    INTS,
    STRINGS,
    Input,
    Item,
    Row,
    answer,
    changelogs,
    check,
    cuts,
    table_of,
)
from tests.unit.operators.harness import Run, changes, normal, row_type

ROW = row_type(k=VarCharType(), x=IntType(), s=VarCharType(), d=DoubleType(), n=IntType())
ROWS = st.tuples(STRINGS, INTS, STRINGS, DOUBLES, st.integers(1, 3))


def compare(order: Sequence[SortKey], a: Row, b: Row) -> int:
    """ORDER BY of two rows: −1, 0 or 1."""
    for key in order:
        x, y = a[key.column], b[key.column]
        if x is None and y is None:
            continue
        if x is None or y is None:
            return 1 if (x is None) is not key.nulls_first else -1
        p, q = place(x), place(y)
        if p != q:
            return (1 if p > q else -1) * (-1 if key.descending else 1)
    return 0


def place(value: Any) -> Any:
    """What a value is ordered by: floats as Java's Double.compare, strings by their bytes."""
    if isinstance(value, float):
        return (math.isnan(value), 0 if math.isnan(value) else value, math.copysign(1, value))
    return value.encode() if isinstance(value, str) else value


def ordered(order: Sequence[SortKey], rows: Sequence[Row]) -> list[Row]:
    """The rows in order; equal ones in order of arrival."""
    return sorted(rows, key=functools.cmp_to_key(lambda a, b: compare(order, a, b)))


def ranked(spec: Rank, rows: Sequence[Row]) -> Counter[Row]:
    """What `Rank` gives of a table."""
    out: list[Row] = []
    partitions: dict[Any, list[Row]] = {}
    for row in rows:
        partitions.setdefault(tuple(normal(row[c]) for c in spec.partition), []).append(row)
    for group in partitions.values():
        end = spec.end if spec.end_column is None else group[0][spec.end_column]
        rank = dense = 0
        previous = None
        for i, row in enumerate(ordered(spec.order, group), start=1):
            if previous is None or compare(spec.order, previous, row):
                rank, dense = i, dense + 1
            previous = row
            number = {
                RankFunction.ROW_NUMBER: i,
                RankFunction.RANK: rank,
                RankFunction.DENSE_RANK: dense,
            }[spec.function]
            if spec.start <= number and (end is None or number <= end):
                out.append((*row, number) if spec.rank_column else row)
    return answer(out)


def build(spec: Rank) -> Run:
    """The operator."""
    fields = ROW.fields
    if spec.rank_column:
        fields = (*fields, Field("rank", BigIntType(nullable=False)))
    return Run(spec, [ROW], RowType(fields, nullable=False))


@st.composite
def orders(draw: st.DrawFn, most: int = 2) -> tuple[SortKey, ...]:
    """ORDER BY over some columns."""
    # Without strings rows are kept in other ways.
    among = draw(st.sampled_from([[1, 3], [1, 3], [1, 2, 3]]))
    columns = draw(st.lists(st.sampled_from(among), max_size=most, unique=True))
    return tuple(SortKey(c, draw(st.booleans()), draw(st.booleans())) for c in columns)


@st.composite
def ranks(draw: st.DrawFn) -> tuple[Rank, list[Item], Any]:
    """A Top-N, its input and a cut."""
    order = draw(orders())
    append = draw(st.sampled_from([True, True, False]))
    variable = draw(st.integers(0, 7)) == 0
    start = 1 if variable else draw(st.sampled_from([1, 1, 1, 2]))
    end = None if variable else draw(st.sampled_from([start, 1 + start, 2 + start, 20, None]))
    function = draw(st.sampled_from([RankFunction.ROW_NUMBER] * 6 + list(RankFunction)))
    spec = Rank(
        partition=draw(st.sampled_from([(), (0,), (0,), (0, 4)])),
        order=order,
        function=function if order else RankFunction.ROW_NUMBER,
        start=start,
        end=end,
        end_column=4 if variable else None,
        rank_column=draw(st.booleans()),
        input_mode=ChangelogMode.APPEND if append else ChangelogMode.RETRACT,
    )
    rows = ROWS
    if variable:
        # The same in all rows of a partition.
        rows = ROWS.map(lambda r: (*r[:4], 2 if spec.partition == () else len(r[0] or "") % 3 + 1))
    items = draw(changelogs([Input(rows, None, append)]))
    return spec, items, draw(cuts(len(items)))


@settings(max_examples=200, deadline=None)
@given(ranks())
def test_any_cut_gives_the_first_rows_of_the_table(case: Any) -> None:
    """After every step, with NULL, NaN, long strings, ties, and restarts."""
    spec, items, steps = case
    run = build(spec)
    append = spec.input_mode is ChangelogMode.APPEND
    check(
        run,
        [ROW],
        items,
        steps,
        model=lambda part: ranked(spec, table_of(part, 0)),
        append=[append],
    )
    if not append and not table_of(items, 0):
        assert set(run.live().values()) == {0}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_cut_keeps_the_first_or_last_row_of_a_key(data: st.DataObject) -> None:
    """By time or by arrival."""
    spec = Deduplicate((0,), data.draw(st.sampled_from([None, 1])), data.draw(st.booleans()))
    items = data.draw(changelogs([Input(ROWS, None, append=True)]))
    steps = data.draw(cuts(len(items)))

    def model(part: Sequence[Item]) -> Counter[Row]:
        kept: dict[Any, Row] = {}
        for _, _, row in part:
            key = normal(row[0])
            if key not in kept:
                kept[key] = row
                continue
            order = () if spec.time is None else (SortKey(spec.time, spec.keep_last),)
            found = compare(order, row, kept[key])
            if found < 0 or (found == 0 and spec.keep_last):
                kept[key] = row
        return answer(list(kept.values()))

    mode = ChangelogMode.RETRACT
    check(Run(spec, [ROW], ROW, mode=mode), [ROW], items, steps, model=model, append=[True])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_limits_alike(data: st.DataObject) -> None:
    """Rows in order of arrival."""
    spec = Limit(data.draw(st.integers(0, 4)), data.draw(st.sampled_from([None, 0, 1, 5])))
    items = data.draw(changelogs([Input(ROWS, None, append=True)]))
    steps = data.draw(cuts(len(items)))

    def model(part: Sequence[Item]) -> Counter[Row]:
        end = None if spec.fetch is None else spec.offset + spec.fetch
        return answer([r for _, _, r in part][spec.offset : end])

    check(Run(spec, [ROW], ROW), [ROW], items, steps, model=model, append=[True])


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=12), orders(3).filter(bool), st.data())
def test_sort_gives_all_rows_in_order(
    rows: list[Row], order: tuple[SortKey, ...], data: st.DataObject
) -> None:
    """In one step of several batches; equal rows in order of arrival."""
    at = data.draw(st.integers(0, len(rows)))
    run = Run(Sort(order), [ROW], ROW)
    parts = [changes(ROW, part, append=True) for part in (rows[:at], rows[at:]) if part]
    out = [tuple(map(normal, r[1:])) for r in run.step(*parts)]
    assert out == [tuple(map(normal, r)) for r in ordered(order, rows)]


@settings(max_examples=120, deadline=None)
@given(st.booleans(), orders(3).filter(bool), st.data())
def test_any_cut_gives_the_rows_that_are_left_in_order_at_the_end(
    append: bool, order: tuple[SortKey, ...], data: st.DataObject
) -> None:
    """Nothing before it; and nothing is kept then."""
    items = data.draw(changelogs([Input(ROWS, append=append)]))
    mode = ChangelogMode.APPEND if append else ChangelogMode.RETRACT
    run = Run(EndSort(order, mode), [ROW], ROW, mode=ChangelogMode.APPEND)
    start = 0
    for end, restart, _ in data.draw(cuts(len(items))):
        rows = [(s, *r) for _, s, r in items[start:end]]
        parts = (
            [changes(ROW, [r[1:] if append else r for r in rows], append=append)] if rows else []
        )
        assert run.step(*parts, watermark=end) == []
        start = end
        if restart:
            run.restart()
    out = run.step(watermark=(1 << 63) - 1)
    assert run.table() == answer(table_of(items, 0))
    given_ = [r[1:] for r in out]
    assert all(compare(order, a, b) <= 0 for a, b in itertools.pairwise(given_))
    assert all(count == 0 for count in run.live().values())
    assert run.counters.as_dict() == {}


WINDOWED = row_type(
    window_start=TimestampType(3, nullable=False),
    window_end=TimestampType(3, nullable=False),
    k=VarCharType(),
    x=IntType(),
    n=IntType(nullable=False),
)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_cut_gives_the_first_rows_of_each_window_once(data: st.DataObject) -> None:
    """When its end is reached; later rows are late."""
    end = data.draw(st.integers(1, 3))
    last = data.draw(st.booleans())
    order = (SortKey(3, data.draw(st.booleans())),)
    ranked_rows = data.draw(st.booleans())
    fields = WINDOWED.fields
    if ranked_rows:
        fields = (*fields, Field("rank", BigIntType(nullable=False)))
    mode = ChangelogMode.APPEND
    spec = Rank(
        (0, 1, 2), order, end=end, rank_column=ranked_rows, input_mode=mode, window_end=1, last=last
    )
    run = Run(spec, [WINDOWED], RowType(fields, nullable=False), mode=mode)
    windows: dict[Any, list[Row]] = {}
    expected: list[Row] = []
    reached = late = number = 0
    for _ in range(data.draw(st.integers(1, 4))):
        batches = []
        for _ in range(data.draw(st.integers(0, 2))):
            rows = data.draw(
                st.lists(st.tuples(st.integers(0, 3), STRINGS, INTS), min_size=1, max_size=5)
            )
            made = []
            for w, k, x in rows:
                number += 1
                bounds = (EPOCH + dt.timedelta(seconds=w), EPOCH + dt.timedelta(seconds=w + 1))
                made.append((*bounds, k, x, number))
                if (w + 1) * 1_000 - 1 <= reached:
                    late += 1
                else:
                    windows.setdefault((w, k), []).append(made[-1])
            batches.append(changes(WINDOWED, made, append=True))
        rises = data.draw(st.booleans())
        if rises:
            reached += data.draw(st.sampled_from([1, 500, 999, 1_000, 1_001]))
        for w, k in sorted(windows, key=lambda key: key[0]):
            if (w + 1) * 1_000 - 1 <= reached:
                rows = windows.pop((w, k))
                found = ordered(order, rows[::-1] if last else rows)[:end]
                expected += [(*r, i) if ranked_rows else r for i, r in enumerate(found, start=1)]
        run.step(*batches, watermark=reached if rises else None)
        assert run.table() == answer(expected)
        assert all(sign == "+" for sign, *_ in run.out)
        if data.draw(st.booleans()):
            run.restart()
    assert run.counters.as_dict().get("late-rows", 0) == late
    if not windows:
        assert run.live()["rows"] == run.live()["partitions"] == 0


TIMED = row_type(ts=TimestampType(3), x=IntType(), n=IntType(nullable=False))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_cut_gives_rows_in_order_of_time(data: st.DataObject) -> None:
    """A row is late where its time, or a later one, had been given when it came."""
    run = Run(TimeSort((SortKey(0), SortKey(1))), [TIMED], TIMED, mode=ChangelogMode.APPEND)
    waiting: list[tuple[int, Row]] = []
    expected: list[Row] = []
    given_, mark, reached = -1, -1, -1
    late = number = 0
    for _ in range(data.draw(st.integers(1, 5))):
        batches = []
        for _ in range(data.draw(st.integers(0, 2))):
            rows, marks = [], []
            for _ in range(data.draw(st.integers(1, 6))):
                mark += data.draw(st.sampled_from([0, 0, 1, 2]))
                time = max(0, mark + data.draw(st.integers(-3, 3)))
                number += 1
                row = (EPOCH + dt.timedelta(milliseconds=time), data.draw(INTS), number)
                given_ = max([given_, *(t for t, _ in waiting if t <= mark)])
                if time <= given_:
                    late += 1
                else:
                    waiting.append((time, row))
                rows.append(row)
                marks.append(mark)
            batches.append(changes(TIMED, rows, append=True, marks=marks))
        rises = data.draw(st.booleans())
        if rises:
            mark = reached = max(mark, reached) + data.draw(st.sampled_from([1, 2, 1_000]))
            due = [(t, r) for t, r in waiting if t <= reached]
            waiting = [(t, r) for t, r in waiting if t > reached]
            given_ = max([given_, *(t for t, _ in due)])
            expected += ordered((SortKey(0), SortKey(1)), [r for _, r in due])
        run.step(*batches, watermark=reached if rises else None)
        assert [tuple(r[1:]) for r in run.out] == expected
        if data.draw(st.booleans()):
            run.restart()
    assert run.counters.as_dict().get("late-rows", 0) == late
    assert run.live()["rows"] == len(waiting)
