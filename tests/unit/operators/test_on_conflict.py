"""ON CONFLICT DO ERROR and DO NOTHING."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.errors import DataError
from flowsql.operators import on_conflict
from flowsql.physical.specs import OnConflict
from flowsql.types import IntType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

ROW = row_type(k=IntType(), a=VarCharType())
Row = tuple[str, int, str]


def run(*, fails: bool = False, append: bool = False, ttl: int = 0) -> Run:
    """The operator behind a query whose rows only come, or come and go."""
    mode = ChangelogMode.APPEND if append else ChangelogMode.RETRACT
    return Run(OnConflict((0,), "t", fails, mode, ttl), [ROW], ROW, mode=mode)


def test_the_first_row_stays() -> None:
    """The docstring of `on_conflict`."""
    r = run()
    assert r.step(changes(ROW, [("+", 1, "a")]), watermark=1) == [("+", 1, "a")]
    r.restart()
    assert r.step(changes(ROW, [("+", 1, "b")]), watermark=2) == []
    out = r.step(changes(ROW, [("-", 1, "a"), ("+", 1, "c")]), watermark=3)
    assert out == [("-", 1, "a"), ("+", 1, "c")]
    r.restart()
    assert r.step(changes(ROW, [("-", 1, "b"), ("-", 1, "c")]), watermark=4) == [("-", 1, "c")]
    assert set(r.live().values()) == {0}


def test_two_rows_fail() -> None:
    """The error names the key and what else there is."""
    r = run(fails=True)
    assert r.step(changes(ROW, [("+", 1, "a"), ("+", 2, "b")]), watermark=1)
    r.restart()
    assert r.step(changes(ROW, [("-", 1, "a"), ("+", 1, "c")]), watermark=2)
    with pytest.raises(DataError) as caught:
        r.step(changes(ROW, [("+", 3, "x"), ("+", 2, "c")]), watermark=3)
    assert caught.value.message == (
        'primary key constraint violation: table "t" would have two rows with k = 2'
    )
    assert caught.value.hint == (
        "ON CONFLICT DO NOTHING keeps the first of them, DO DEDUPLICATE the last."
    )


def test_rows_wait_for_the_watermark() -> None:
    """What comes and goes under one watermark never met another row; over a restart as well."""
    r = run(fails=True)
    assert r.step(changes(ROW, [("+", 1, "a")])) == []
    r.restart()
    assert r.step(changes(ROW, [("+", 1, "b")])) == []
    assert r.step(changes(ROW, [("-", 1, "a")])) == []
    r.restart()
    assert r.step(watermark=5) == [("+", 1, "b")]


def test_rows_are_judged_by_their_marks() -> None:
    """Within a step as over several; the last ones wait."""
    r = run()
    rows = [("+", 1, "a"), ("+", 1, "b"), ("-", 1, "a"), ("+", 2, "z")]
    assert r.step(changes(ROW, rows, marks=[0, 1, 2, 3]), watermark=3) == []
    assert r.step(watermark=4) == [("+", 2, "z")]
    with pytest.raises(DataError):
        run(fails=True).step(changes(ROW, rows, marks=[0, 1, 2, 3]), watermark=3)
    r = run(fails=True)
    assert r.step(changes(ROW, rows, marks=[0, 0, 0, 0]), watermark=3) == [
        ("+", 1, "b"),
        ("+", 2, "z"),
    ]


def test_rows_that_only_come_are_judged_at_once() -> None:
    """Equal ones too are two rows of one key."""
    r = run(append=True)
    assert r.step(changes(ROW, [(1, "a"), (1, "b"), (2, "c")], append=True)) == [
        ("+", 1, "a"),
        ("+", 2, "c"),
    ]
    r = run(append=True, fails=True)
    assert r.step(changes(ROW, [(1, "a"), (2, "c")], append=True))
    r.restart()
    with pytest.raises(DataError, match="two rows with k = 2"):
        r.step(changes(ROW, [(3, "a"), (2, "c")], append=True))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("append", [False, True])
def test_a_forgotten_key_is_no_conflict(append: bool, fails: bool) -> None:
    """It lives from when its row was written; what it refused meanwhile lets it live no longer."""
    r = run(append=append, fails=fails, ttl=1_000)

    def step(value: str, now: int, watermark: int) -> object:
        row = (1, value) if append else ("+", 1, value)
        r.restart()
        return r.step(changes(ROW, [row], append=append), watermark=watermark, now=now)

    assert step("a", 0, 1) == [("+", 1, "a")]
    if fails:
        with pytest.raises(DataError, match="two rows with k = 1"):
            step("b", 999, 2)
        r = run(append=append, fails=fails, ttl=1_000)
        assert step("a", 0, 1) == [("+", 1, "a")]
    else:
        assert step("b", 999, 2) == []
    assert step("c", 1_000, 3) == [("+", 1, "c")]
    r.step(watermark=4, now=5_000)
    assert set(r.live().values()) == {0}


def test_a_forgotten_row_is_not_taken_back() -> None:
    """Another row that is shown lets its key live on; rows that wait do not go."""
    r = run(ttl=1_000)
    r.step(changes(ROW, [("+", 1, "a"), ("+", 2, "x")]), watermark=1, now=0)
    update = changes(ROW, [("-", 1, "a"), ("+", 1, "b")])
    assert r.step(update, watermark=2, now=900) == [("-", 1, "a"), ("+", 1, "b")]
    assert r.step(changes(ROW, [("-", 1, "b"), ("-", 2, "x")]), now=1_800) == []
    assert r.step(watermark=3, now=1_850) == [("-", 1, "b")]
    r.step(changes(ROW, [("+", 3, "w")]), now=2_000)
    r.restart()
    assert r.step(watermark=4, now=9_000) == [("+", 3, "w")]
    r.step(now=20_000)
    assert set(r.live().values()) == {0}


class _Model:
    """One row after the other, as documented for Flink: lists of a key's rows."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.shown: dict[int, str] = {}

    def judge(self, rows: list[Row]) -> bool:
        """What came under one watermark; whether it fails."""
        for key in dict.fromkeys(k for _, k, _ in rows):
            waiting: list[tuple[str, str]] = []
            for sign, k, a in rows:
                if k != key:
                    continue
                other = ("-" if sign == "+" else "+", a)
                if other in waiting:
                    waiting.remove(other)
                else:
                    waiting.append((sign, a))
            left = [self.shown[key]] if key in self.shown else []
            for sign, a in waiting:
                if sign == "+":
                    left.append(a)
                elif a in left:
                    left.remove(a)
            if len(left) > 1 and self.fails:
                return True
            if not left:
                self.shown.pop(key, None)
            elif len(left) == 1 or key not in self.shown:
                self.shown[key] = left[0]
        return False


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("++-"),
        st.integers(0, 2),
        st.sampled_from("abc"),
        st.booleans(),  # the watermark rises before it
        st.booleans(),  # a step ends before it
    ),
    max_size=24,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.booleans(), st.booleans(), st.booleans())
def test_any_rows_in_any_steps(
    events: list[tuple[str, int, str, bool, bool]], fails: bool, restarts: bool, together: bool
) -> None:
    """As row after row, wherever steps are cut, also where watermarks are settled together."""
    with pytest.MonkeyPatch.context() as patch:
        if together:
            patch.setattr(on_conflict, "_FEW", -1)
        _check_any_rows(events, fails=fails, restarts=restarts)


def _check_any_rows(
    events: list[tuple[str, int, str, bool, bool]], *, fails: bool, restarts: bool
) -> None:
    model, r = _Model(fails=fails), run(fails=fails)
    live: Counter[tuple[int, str]] = Counter()
    mark = reached = 0
    buckets: dict[int, list[Row]] = {}
    steps: list[list[tuple[Row, int]]] = [[]]
    for sign, k, a, rises, ends in events:
        if sign == "-" and not live[k, a]:
            continue
        live[k, a] += 1 if sign == "+" else -1
        mark += rises
        if ends:
            steps.append([])
        buckets.setdefault(mark, []).append((sign, k, a))
        steps[-1].append(((sign, k, a), mark))
    failed = any(model.judge(rows) for _, rows in sorted(buckets.items()))
    try:
        for step in steps:
            last = step[-1][1] if step else reached
            parts = [changes(ROW, [r for r, _ in step], marks=[m for _, m in step])] if step else []
            r.step(*parts, watermark=last if last > reached else None)
            reached = last
            if restarts:
                r.restart()
        r.step(watermark=reached + 1)
    except DataError:
        assert failed
        return
    assert not failed
    assert r.table() == Counter((k, a) for k, a in model.shown.items())
    assert r.live()["keys"] == len(model.shown)
    assert r.live()["pending"] == 0


def test_a_key_that_is_replaced_under_many_watermarks_costs_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the rows of keys with a conflict are looked at watermark by watermark."""
    looked: list[int] = []
    turn = on_conflict.OnConflictOperator._turn

    def counted(self: Any, due: Any, rows: Any, *others: Any) -> None:
        looked.append(len(rows))
        turn(self, due, rows, *others)

    monkeypatch.setattr(on_conflict.OnConflictOperator, "_turn", counted)
    r = run(fails=False)
    rows, marks = [("+", 1, "0"), ("+", 2, "a"), ("+", 2, "b")], [0, 0, 0]
    for i in range(1, 500):
        rows += [("-", 1, f"{i - 1}"), ("+", 1, f"{i}"), ("-", 3, "x"), ("+", 3, "x")]
        marks += [i] * 4
    assert sorted(r.step(changes(ROW, rows, marks=marks), watermark=1_000)) == [
        ("+", 1, "499"),
        ("+", 2, "a"),
    ]
    assert looked == [2]
