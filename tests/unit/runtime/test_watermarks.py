"""The watermark assigner against a model that takes one row at a time."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import NO_WATERMARK
from flowsql.runtime.watermarks import MAX_WATERMARK, Assigner, Event

SPLITS = ("a", "b", "c")


def assigner(**options: object) -> Assigner:
    """Over three active splits."""
    made = Assigner(**options)
    for split in SPLITS:
        made.add_split(split, snapshot=False, now=0.0)
    return made


def feed(made: Assigner, runs: list[tuple[str, list[int]] | Event], now: float = 0.0) -> list[int]:
    """The marks of the rows of `runs`."""
    values = [v for run in runs if not isinstance(run, Event) for v in run[1]]
    lengths = [r if isinstance(r, Event) else (r[0], len(r[1])) for r in runs]
    marks = made.assign(lengths, lambda: np.array(values, np.int64), len(values), now)
    return marks.tolist()


class Model:
    """One row at a time."""

    def __init__(self) -> None:
        self.marks = dict.fromkeys(SPLITS, NO_WATERMARK)
        self.watermark = NO_WATERMARK

    def row(self, split: str, value: int) -> int:
        before = self.watermark
        self.marks[split] = max(self.marks[split], value)
        self.watermark = max(before, min(self.marks.values()))
        return before

    def finish(self, split: str) -> None:
        if split in self.marks:
            del self.marks[split]
            if self.marks:
                self.watermark = max(self.watermark, min(self.marks.values()))


runs = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(SPLITS),
            st.lists(st.one_of(st.integers(0, 50), st.just(NO_WATERMARK)), min_size=1, max_size=6),
        ),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(runs, st.lists(st.integers(0, 12), max_size=4))
def test_marks_are_the_watermark_before_each_row(
    given_runs: list[tuple[str, list[int]]], cuts: list[int]
) -> None:
    """Wherever the step is cut, each row has the mark that a row-by-row reading gives it."""
    model = Model()
    expected = [model.row(split, v) for split, values in given_runs for v in values]
    made = assigner()
    actual = []
    edges = sorted({0, len(given_runs), *(c for c in cuts if c < len(given_runs))})
    for start, end in itertools.pairwise(edges):
        actual += feed(made, list(given_runs[start:end]))
    assert expected == actual
    assert made.watermark == model.watermark


@settings(max_examples=60, deadline=None)
@given(runs, st.permutations(SPLITS))
def test_finished_splits_hold_nothing_back(
    given_runs: list[tuple[str, list[int]]], order: list[str]
) -> None:
    """Between rows, splits end one after the other."""
    model, made = Model(), assigner()
    third = max(1, len(given_runs) // 3)
    events: list[tuple[str, list[int]] | Event] = []
    expected: list[int] = []
    for i, (split, values) in enumerate(given_runs):
        if i % third == third - 1 and len(model.marks) > 1:
            ended = next(s for s in order if s in model.marks)
            model.finish(ended)
            events.append(Event(ended, finished=True))
        if split in model.marks:
            events.append((split, values))
            expected += [model.row(split, v) for v in values]
    assert feed(made, events) == expected
    assert made.watermark == model.watermark


def test_snapshots_have_no_watermark() -> None:
    """Neither while a chunk is unread nor while the group is inconsistent."""
    made = Assigner()
    made.add_split("chunk", snapshot=True, now=0.0)
    made.add_split("log", snapshot=False, now=0.0)
    made.held = True
    assert feed(made, [("chunk", [5, 6]), ("log", [50])]) == [NO_WATERMARK] * 3
    feed(made, [Event("chunk", finished=True)])
    assert made.watermark == NO_WATERMARK
    made.held = False
    made.rise()
    assert made.watermark == 50


def test_idle_splits_are_left_out_until_they_speak() -> None:
    """A silent split holds time back for its timeout, not longer."""
    made = assigner(idle_timeout=10.0)
    feed(made, [("a", [100]), ("b", [200])], now=5.0)
    assert made.watermark == NO_WATERMARK
    assert made.next_deadline() == 10.0
    made.pass_time(10.0)
    assert (made.watermark, made.idle) == (100, False)
    feed(made, [("c", [150])], now=11.0)
    feed(made, [("a", [300]), ("b", [300])], now=11.0)
    assert made.watermark == 150
    made.pass_time(30.0)
    assert (made.watermark, made.idle) == (150, True)


def test_an_all_idle_table_waits_or_closes() -> None:
    """Off by default, as in Flink."""
    waits, closes = assigner(idle_timeout=1.0), assigner(idle_timeout=1.0, all_idle_close=5.0)
    for made in (waits, closes):
        feed(made, [(s, [7]) for s in SPLITS])
        made.pass_time(2.0)
        assert (made.idle, made.watermark) == (True, 7)
        made.pass_time(7.0)
    assert waits.watermark == 7
    assert closes.watermark == MAX_WATERMARK
    assert closes.next_deadline() is None


def test_periodic_marks_are_those_of_the_step_before() -> None:
    """`on-periodic` raises the mark at the end of steps."""
    made = assigner(periodic=True)
    assert feed(made, [(s, [5, 9]) for s in SPLITS]) == [NO_WATERMARK] * 6
    assert feed(made, [("a", [1, 20])]) == [9, 9]


def test_a_source_may_vouch() -> None:
    """What the source says raises a mark and never lowers it."""
    made = assigner()
    feed(made, [Event(s, vouched=40) for s in SPLITS])
    assert made.watermark == 40
    feed(made, [Event(s, vouched=30) for s in SPLITS])
    assert feed(made, [("a", [41])]) == [40]


def test_restored_marks_go_on() -> None:
    """A checkpoint keeps marks, not idleness."""
    made = assigner(idle_timeout=1.0)
    feed(made, [("a", [5]), ("b", [6]), ("c", [7])])
    made.pass_time(2.0)
    again = Assigner(idle_timeout=1.0)
    again.restore(made.snapshot())
    again.forget_unknown({"a", "b"})
    again.add_split("a", snapshot=False, now=0.0)
    again.add_split("b", snapshot=False, now=0.0)
    assert (again.watermark, again.idle) == (5, False)
    assert feed(again, [("a", [9])]) == [5]
    assert again.watermark == 6
