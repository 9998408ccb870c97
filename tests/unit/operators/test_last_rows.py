"""Normalise and the sink materialiser."""

from __future__ import annotations

import pytest

from flowsql.errors import DataError
from flowsql.physical.specs import Normalize, SinkMaterialize
from flowsql.types import IntType, VarCharType
from tests.unit.operators.harness import Lost, Run, changes, row_type

Row = tuple[str, int, str | None]
ROW = row_type(k=IntType(), a=VarCharType())


def test_an_upsert_becomes_an_update() -> None:
    """The docstring of `normalize`."""
    r = Run(Normalize((0,)), [ROW], ROW)
    assert r.step(changes(ROW, [("+U", 1, "a")])) == [("+", 1, "a")]
    r.restart()
    out = r.step(changes(ROW, [("+U", 1, "b"), ("+U", 1, "c")]))
    assert out == [("-", 1, "a"), ("+", 1, "c")]
    assert r.step(changes(ROW, [("+I", 1, "c")])) == []
    assert r.step(changes(ROW, [("-D", 1, None), ("-D", 2, None)])) == [("-", 1, "c")]
    assert set(r.live().values()) == {0}


def test_columns_that_were_left_out_are_filled() -> None:
    """From the row before, in this batch or in state."""
    r = Run(Normalize((0,)), [ROW], ROW)
    r.step(changes(ROW, [("+I", 1, "a"), ("+U", 1, None)], unchanged={"a": [False, True]}))
    assert r.table() == {(1, "a"): 1}
    assert r.step(changes(ROW, [("+U", 1, None)], unchanged={"a": [True]})) == []
    for rows, mask in (
        ([("+U", 2, None)], [True]),
        ([("-D", 1, None), ("+U", 1, None)], [False, True]),
    ):
        with pytest.raises(DataError, match='leaves column "a" as it was, but there is no row'):
            r.step(changes(ROW, rows, unchanged={"a": mask}))
        r = Run(Normalize((0,)), [ROW], ROW)
        r.step(changes(ROW, [("+I", 1, "a")]))


def test_all_rows_are_taken_back() -> None:
    """Those of earlier steps and of this one, but not what comes behind; one net change a key."""
    r = Run(Normalize((0,)), [ROW], ROW)
    assert r.step(Lost()) == []
    r.step(changes(ROW, [("+I", k, "a") for k in range(5)]))
    r.restart()
    r.step(changes(ROW, [("-D", 4, None)]))
    out = r.step(
        changes(ROW, [("+U", 1, "b"), ("+I", 7, "x"), ("-D", 2, None)]),
        Lost(),
        changes(ROW, [("+I", 3, "a"), ("+I", 0, "n"), ("+I", 8, "y")]),
    )
    assert sorted(out) == [
        *[("+", 0, "n"), ("+", 8, "y")],
        *[("-", 0, "a"), ("-", 1, "a"), ("-", 2, "a")],
    ]
    r.restart()
    assert r.table() == {(0, "n"): 1, (3, "a"): 1, (8, "y"): 1}
    assert sorted(r.step(Lost(), Lost())) == [("-", 0, "n"), ("-", 3, "a"), ("-", 8, "y")]
    assert set(r.live().values()) == {0}
    r.step(changes(ROW, [("+I", 3, "a")]))
    with pytest.raises(DataError, match="there is no row before it"):
        r.step(Lost(), changes(ROW, [("+U", 3, None)], unchanged={"a": [True]}))


def test_all_rows_are_taken_back_in_time() -> None:
    """Where rows carry their time, each deletion has the watermark of the moment."""
    r = Run(Normalize((0,)), [ROW], ROW)
    out = r.step(
        changes(ROW, [("+I", 1, "a"), ("+I", 2, "b")], marks=[3, 4]),
        Lost(9),
        changes(ROW, [("+I", 2, "b")], marks=[10]),
    )
    assert out == [("+", 1, "a"), ("+", 2, "b"), ("-", 1, "a"), ("-", 2, "b"), ("+", 2, "b")]
    assert [m for p in r.parts for m in p.watermarks] == [3, 4, 9, 9, 10]
    assert r.step(Lost(11)) == [("-", 2, "b")]
    assert set(r.live().values()) == {0}


def test_what_has_expired_is_not_taken_back() -> None:
    """A key whose lifetime is over is gone already."""
    r = Run(Normalize((0,), ttl=100), [ROW], ROW)
    r.step(changes(ROW, [("+I", 1, "a")]), now=0)
    r.step(changes(ROW, [("+I", 2, "b")]), now=60)
    assert r.step(Lost(), now=120) == [("-", 2, "b")]


def test_the_last_row_to_come_is_shown() -> None:
    """The docstring of `sink_materialize`."""
    r = Run(SinkMaterialize((0,)), [ROW], ROW)
    assert r.step(changes(ROW, [("+", 1, "a")])) == [("+", 1, "a")]
    assert r.step(changes(ROW, [("+", 1, "b")])) == [("-", 1, "a"), ("+", 1, "b")]
    r.restart()
    assert r.step(changes(ROW, [("-", 1, "b")])) == [("-", 1, "b"), ("+", 1, "a")]
    assert r.step(changes(ROW, [("+", 1, "b"), ("-", 1, "b")])) == []
    assert r.step(changes(ROW, [("-", 1, "z"), ("-", 1, "a")])) == [("-", 1, "a")]
    assert r.counters.as_dict() == {"orphan-retractions": 1}
    assert set(r.live().values()) == {0}


def test_a_step_that_is_net_is_passed_on() -> None:
    """Keys that come, change and go, each by rows that stand together."""
    r = Run(SinkMaterialize((0,)), [ROW], ROW)
    assert r.step(changes(ROW, [("+", 2, "b"), ("+", 1, "a")])) == [("+", 2, "b"), ("+", 1, "a")]
    step = [("-", 1, "a"), ("+", 1, "A"), ("-", 2, "b"), ("+", 3, "c")]
    assert r.step(changes(ROW, step)) == step
    r.restart()
    assert r.table() == {(1, "A"): 1, (3, "c"): 1}
    # Key 2 was forgotten, and a row that comes back is new.
    assert r.step(changes(ROW, [("+", 2, "b"), ("-", 3, "c")])) == [("+", 2, "b"), ("-", 3, "c")]
    assert r.step(changes(ROW, [("-", 1, "A"), ("-", 2, "b")])) == [("-", 1, "A"), ("-", 2, "b")]
    assert set(r.live().values()) == {0}


@pytest.mark.parametrize(
    ("step", "out"),
    [
        # Equal rows are no change.
        ([("-", 1, "a"), ("+", 1, "a"), ("+", 2, "b")], [("+", 2, "b")]),
        # Halves that stand apart are put together.
        (
            [("-", 1, "a"), ("+", 2, "b"), ("+", 1, "A")],
            [("-", 1, "a"), ("+", 1, "A"), ("+", 2, "b")],
        ),
        # What came and went is nothing.
        ([("+", 2, "b"), ("-", 2, "b"), ("-", 1, "a")], [("-", 1, "a")]),
        # Of a chain only its ends count.
        (
            [("-", 1, "a"), ("+", 1, "b"), ("-", 1, "b"), ("+", 1, "c")],
            [("-", 1, "a"), ("+", 1, "c")],
        ),
        # The retraction of another row is none.
        ([("-", 1, "z"), ("+", 2, "b")], [("+", 2, "b")]),
    ],
)
def test_a_step_that_is_not_net(step: list[Row], out: list[Row]) -> None:
    """It is netted by key."""
    r = Run(SinkMaterialize((0,)), [ROW], ROW)
    r.step(changes(ROW, [("+", 1, "a")]))
    assert sorted(r.step(changes(ROW, step))) == sorted(out)


def test_a_step_of_several_batches_is_netted() -> None:
    """What the first of them left is changed by the second."""
    r = Run(SinkMaterialize((0,)), [ROW], ROW)
    first, second = [("+", k, "a") for k in range(1 << 15)], [("-", 7, "a"), ("+", 7, "b")]
    out = r.step(changes(ROW, first), changes(ROW, second))
    assert len(out) == 1 << 15
    assert [row for row in out if row[1] == 7] == [("+", 7, "b")]


def test_wide_rows_are_given_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wide is a row, not the mean of the table: an Arrow column ends at 2 GiB."""
    monkeypatch.setattr("flowsql.operators.cutting.MAX_BYTES", 500)
    monkeypatch.setattr("flowsql.operators.waiting.MAX_BYTES", 500)
    monkeypatch.setattr("flowsql.state.blobs._MOST", 1250)
    for spec in (Normalize((0,)), SinkMaterialize((0,))):
        r = Run(spec, [ROW], ROW)
        before = [("+", k, f"{k}" * (300 if k % 7 else 5)) for k in range(30)]
        assert r.step(*(changes(ROW, [row]) for row in before)) == before
        gone = [("-", *row[1:]) for row in before]
        after = [("+", k, f"{k}!") for k in range(30)]
        both = [row for pair in zip(gone, after, strict=True) for row in pair]
        assert r.step(*(changes(ROW, [row]) for row in both)) == both
