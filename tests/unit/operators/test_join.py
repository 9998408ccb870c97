"""Joins: small scripts with the exact changes, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowsql.changelog import MAX_ROWS, ChangelogMode
from flowsql.expr import Column, bind_call
from flowsql.physical.specs import Join, JoinKind, JoinSide, SemiJoin, SideLayout
from flowsql.types import Field, IntType, RowType, VarCharType
from tests.unit.operators.harness import Run, changes, row_type

LEFT = row_type(id=IntType(), k=IntType(), a=VarCharType())
RIGHT = row_type(k=IntType(), b=VarCharType())


def join(
    kind: JoinKind = JoinKind.INNER,
    left: SideLayout = SideLayout.HAS_UNIQUE_KEY,
    right: SideLayout = SideLayout.KEY_IS_UNIQUE,
    modes: str = "retract retract",
    condition: bool = False,
) -> Run:
    """`l JOIN r ON l.k = r.k`, giving `l.id, l.a, r.k, r.b`."""
    unique = {SideLayout.HAS_UNIQUE_KEY: (0,), SideLayout.NO_UNIQUE_KEY: ()}
    first, second = map(ChangelogMode, modes.split())
    sides = (
        JoinSide((1,), (0, 2), left, unique.get(left, (1,)), first),
        JoinSide((0,), (0, 1), right, unique.get(right, (0,)), second),
    )
    fields = (*LEFT.select([0, 2]).fields, Field("rk", IntType()), Field("b", VarCharType()))
    output = RowType(fields, nullable=False)
    on = None
    if condition:
        a, b = (Column(type=VarCharType(), index=output.index(c), name=c) for c in "ab")
        on = bind_call("<", [a, b], None)
    return Run(Join(kind, *sides, (False,), on), [LEFT, RIGHT], output)


def left(*rows: Any) -> tuple[int, Any]:
    """Changes of the left side."""
    return 0, changes(LEFT, rows)


def right(*rows: Any) -> tuple[int, Any]:
    """Changes of the right side."""
    return 1, changes(RIGHT, rows)


def test_a_left_join_pads_until_a_match_comes() -> None:
    """The module's docstring."""
    r = join(JoinKind.LEFT)
    assert r.step(left(("+", 1, 7, "a"))) == [("+", 1, "a", None, None)]
    r.restart()
    assert r.step(right(("+", 7, "x"))) == [("-", 1, "a", None, None), ("+", 1, "a", 7, "x")]
    assert r.step(right(("-", 7, "x"))) == [("-", 1, "a", 7, "x"), ("+", 1, "a", None, None)]
    assert r.step(left(("-", 1, 7, "a"))) == [("-", 1, "a", None, None)]
    assert set(r.live().values()) == {0}


def test_padding_is_given_once_a_step() -> None:
    """A row that finds its match in the same step is never given without."""
    for kind in (JoinKind.LEFT, JoinKind.FULL):
        r = join(kind)
        assert r.step(left(("+", 1, 7, "a")), right(("+", 7, "x"))) == [("+", 1, "a", 7, "x")]
        out = r.step(right(("-", 7, "x"), ("+", 7, "y")))
        assert out == [("-", 1, "a", 7, "x"), ("+", 1, "a", 7, "y")]


def test_a_full_join_pads_both_sides() -> None:
    """Also rows whose key is NULL."""
    r = join(JoinKind.FULL, right=SideLayout.NO_UNIQUE_KEY)
    out = r.step(
        left(("+", 1, None, "a"), ("+", 2, 5, "b")), right(("+", None, "x"), ("+", 6, "y"))
    )
    assert sorted(out, key=str) == [
        ("+", 1, "a", None, None),
        ("+", 2, "b", None, None),
        ("+", None, None, 6, "y"),
        ("+", None, None, None, "x"),
    ]
    r.step(left(("-", 1, None, "a")), right(("-", None, "x"), ("+", 5, "z"), ("-", 6, "y")))
    assert r.table() == {(2, "b", 5, "z"): 1}


def test_a_key_never_has_two_rows_on_the_way() -> None:
    """A row that moves from a match to none, and back, is taken away before it is given again."""
    r = join(JoinKind.LEFT)
    r.step(left(("+", 1, 7, "a")), right(("+", 7, "x")))
    moves = [(7, 8), (8, None), (None, 7), (7, None), (None, 8), (8, 7)]
    for old, new in moves:
        out = r.step(left(("-", 1, old, "a"), ("+", 1, new, "a")))
        assert [row[0] for row in out] == ["-", "+"] or out == []
    chain = [("-", 1, 7, "a"), ("+", 1, None, "b"), ("-", 1, None, "b"), ("+", 1, 7, "c")]
    assert r.step(left(*chain)) == [
        ("-", 1, "a", 7, "x"),
        ("+", 1, "b", None, None),
        ("-", 1, "b", None, None),
        ("+", 1, "c", 7, "x"),
    ]


def test_a_condition_is_part_of_the_match() -> None:
    """A pair for which it is not TRUE leaves the row padded."""
    r = join(JoinKind.LEFT, condition=True)
    out = r.step(left(("+", 1, 7, "m"), ("+", 2, 7, None)), right(("+", 7, "a")))
    assert out == [("+", 1, "m", None, None), ("+", 2, None, None, None)]
    out = r.step(right(("-", 7, "a"), ("+", 7, "z")))
    assert out == [("-", 1, "m", None, None), ("+", 1, "m", 7, "z")]


def test_equal_rows_count() -> None:
    """Without a unique key a row has a weight."""
    r = join(left=SideLayout.NO_UNIQUE_KEY, right=SideLayout.NO_UNIQUE_KEY)
    twice = ("+", 1, 7, "a")
    r.step(left(twice, twice), right(("+", 7, "x"), ("+", 7, "x")))
    assert r.table() == {(1, "a", 7, "x"): 4}
    assert r.live()["left_rows"] == r.live()["right_rows"] == 1
    r.restart()
    r.step(left(("-", 1, 7, "a")))
    assert r.table() == {(1, "a", 7, "x"): 2}
    r.step(right(("-", 7, "x"), ("-", 7, "x"), ("-", 7, "x")))
    assert r.table() == {}
    assert r.counters.as_dict() == {"orphan-retractions": 1}


@pytest.mark.parametrize("layout", list(SideLayout))
def test_orphan_retractions_give_nothing(layout: SideLayout) -> None:
    """Counted, in each layout."""
    r = join(left=layout, right=layout)
    assert r.step(left(("-", 1, 7, "a")), right(("-", 7, "x"), ("+", 7, "x"))) == []
    assert r.step(left(("+", 1, 7, "a"))) == [("+", 1, "a", 7, "x")]
    assert r.counters.as_dict() == {"orphan-retractions": 2}
    r.step(left(("-", 1, 7, "a")), right(("-", 7, "x")))
    assert set(r.live().values()) == {0}


def test_a_second_row_of_a_unique_key_replaces_the_first() -> None:
    """What was joined with the first stays, as in Flink."""
    r = join(modes="append append")
    r.step(left(("+", 1, 7, "a")), right(("+", 7, "x"), ("+", 7, "y")))
    assert r.out == [("+", 1, "a", 7, "x"), ("+", 1, "a", 7, "y")]
    assert r.step(left(("+", 2, 7, "b"))) == [("+", 2, "b", 7, "y")]


def test_a_hot_key_is_given_in_pieces() -> None:
    """Each within the limits of a batch."""
    r = join(left=SideLayout.NO_UNIQUE_KEY, modes="append append")
    n = MAX_ROWS + 10
    rows = [(i, 7, "a") for i in range(n)]
    batches = [
        (0, changes(LEFT, rows[at : at + 20_000], append=True)) for at in range(0, n, 20_000)
    ]
    r.step(*batches, right(("+", 7, "x")))
    assert [len(p) for p in r.parts] == [MAX_ROWS, 10]
    assert np.array([p.batch.column(0).to_numpy().sum() for p in r.parts]).sum() == n * (n - 1) // 2
    r = join(right=SideLayout.NO_UNIQUE_KEY, modes="append append")
    many = [("+", 7, "x")] * 400
    r.step(right(*many), (0, changes(LEFT, rows[:500], append=True)))
    assert max(len(p) for p in r.parts) <= MAX_ROWS
    assert sum(len(p) for p in r.parts) == 400 * 500


def test_a_long_output_keeps_the_limits_of_a_batch() -> None:
    """Pieces of 64 MiB at most, whatever the width of a row."""
    r = join(left=SideLayout.NO_UNIQUE_KEY, modes="append append")
    wide = "x" * (1 << 20)
    rows = [(i, 7, "a") for i in range(130)]
    r.step((0, changes(LEFT, rows, append=True)), right(("+", 7, wide)))
    assert [len(p) for p in r.parts] == [63, 63, 4]


def test_a_null_that_was_never_there_is_an_orphan_of_not_in() -> None:
    """Nor does a key that was never there count for the right side's rows."""
    row = row_type(k=IntType())
    side = JoinSide((0,), (0,), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.RETRACT)
    spec = SemiJoin(True, side, replace(side, columns=()), (False,), None, True)
    r = Run(spec, [row, row], row)
    orphans = changes(row, [("-", None), ("-", 9), ("-", None)])
    assert r.step((0, changes(row, [("+", 1), ("+", None)])), (1, orphans)) == [
        ("+", 1),
        ("+", None),
    ]
    assert r.counters.as_dict() == {"orphan-retractions": 3}
    assert r.step((1, changes(row, [("+", 8)]))) == [("-", None)]
    assert r.step((1, changes(row, [("+", None)]))) == [("-", 1)]
    assert r.step((1, changes(row, [("-", None), ("-", 8)]))) == [("+", 1), ("+", None)]


@pytest.mark.parametrize("kind", [JoinKind.INNER, JoinKind.LEFT])
@pytest.mark.parametrize("condition", [False, True])
def test_many_equal_and_wide_rows_are_given_in_parts(
    monkeypatch: pytest.MonkeyPatch, kind: JoinKind, condition: bool
) -> None:
    """Equal rows are stored once and given as often as they came, within a batch's limits."""
    monkeypatch.setattr("flowsql.operators.cutting.MAX_BYTES", 500)
    monkeypatch.setattr("flowsql.state.blobs._MOST", 1250)
    none = SideLayout.NO_UNIQUE_KEY
    r = join(kind, none, none, condition=condition)
    texts = [letter * 300 for letter in "uvwxyz"] * 4 + ["y"]
    r.step(*(right(("+", 7, text)) for text in texts))
    r.step(left(*[("+", 1, 7, "a")] * 3, ("+", None, 7, "b"), ("+", 2, None, "c")))
    pairs = {(1, "a", 7, text): 3 * texts.count(text) for text in texts}
    pairs |= {(None, "b", 7, text): texts.count(text) for text in texts}
    alone = {(2, "c", None, None): 1} if kind is JoinKind.LEFT else {}
    assert r.table() == {**pairs, **alone}
    r.step(*(right(("-", 7, text)) for text in texts))
    bare = {(1, "a", None, None): 3, (None, "b", None, None): 1}
    assert r.table() == ({**bare, **alone} if kind is JoinKind.LEFT else {})
