"""Top-N, deduplication, sets, semi joins, UNNEST, lists: what the modules' docstrings show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import ChangelogMode, Changes, kind_names
from flowsql.errors import DataError
from flowsql.physical.specs import (
    Deduplicate,
    JoinSide,
    Limit,
    Rank,
    SemiJoin,
    SetKind,
    SetOperation,
    SideLayout,
    SortKey,
    Unnest,
)
from flowsql.types import (
    ArrayType,
    BigIntType,
    Field,
    IntType,
    MapType,
    RowType,
    VarCharType,
    arrow_schema,
)
from tests.unit.operators.harness import Run, changes, row_type
from tests.unit.operators.test_group_aggregate import run as group_by

ROW = row_type(k=VarCharType(), x=IntType())
RANKED = RowType((*ROW.fields, Field("n", BigIntType(nullable=False))), nullable=False)
APPEND = ChangelogMode.APPEND


def push(*rows: Any, append: bool = False) -> Changes:
    """Changes of `ROW`."""
    return changes(ROW, rows, append=append)


def test_the_best_row_is_replaced_by_a_pair() -> None:
    """`best_row`: the `-U` stands right before its `+U`."""
    run = Run(Rank((0,), (SortKey(1),), end=1, input_mode=APPEND), [ROW], ROW)
    out = run.step(push(("a", 5), ("a", 4), ("b", 1), append=True))
    assert out == [("+", "a", 4), ("+", "b", 1)]
    run.restart()
    out = run.step(push(("a", 3), ("b", 2), ("a", 3), append=True))
    assert out == [("-", "a", 4), ("+", "a", 3)]
    assert kind_names(run.parts[-1]) == ["-U", "+U"]
    assert run.step(push(("a", 3), append=True)) == []


def test_rows_move_through_the_ranks() -> None:
    """`top_n`, over input that takes rows back, and `top_few`: they give the same."""
    steps = [
        ([("a", 5), ("a", 4)], [("+", "a", 4, 1), ("+", "a", 5, 2)]),
        ([("a", 3)], [("-", "a", 4, 1), ("-", "a", 5, 2), ("+", "a", 3, 1), ("+", "a", 4, 2)]),
    ]
    for mode in (APPEND, ChangelogMode.RETRACT):
        spec = Rank((0,), (SortKey(1),), end=2, rank_column=True, input_mode=mode)
        run = Run(spec, [ROW], RANKED)
        for rows, expected in steps:
            if mode is APPEND:
                assert run.step(push(*rows, append=True)) == expected
            else:
                assert run.step(push(*(("+", *r) for r in rows))) == expected
    out = run.step(push(("-", "a", 3), ("-", "a", 9)))
    assert out == [("-", "a", 3, 1), ("-", "a", 4, 2), ("+", "a", 4, 1), ("+", "a", 5, 2)]
    assert run.counters.as_dict() == {"orphan-retractions": 1}


def test_append_input_keeps_only_what_is_given() -> None:
    """Strings too, whose words do not compare between batches."""
    for column in (0, 1):
        run = Run(Rank((), (SortKey(column),), end=20, input_mode=APPEND), [ROW], ROW)
        for start in range(0, 200, 50):
            values = range(start, start + 50)
            rows = [(f"a rather long string, number {199 - i:03}", 199 - i) for i in values]
            run.step(push(*rows, append=True))
        assert run.live()["rows"] == 20
        assert {row[2] for row in run.out if row[0] == "+"} >= set(range(20))
        assert sum(run.table().values()) == 20


def test_the_first_row_to_arrive_is_given_at_once() -> None:
    """`first_row`, and LIMIT, which ends."""
    run = Run(Deduplicate((0,), None, keep_last=False), [ROW], ROW, mode=APPEND)
    assert run.step(push(("a", 1), ("b", 2), ("a", 3), append=True)) == [
        ("+", "a", 1),
        ("+", "b", 2),
    ]
    run = Run(Limit(1, 2), [ROW], ROW, mode=APPEND)
    assert run.step(push(("a", 1), ("b", 2), append=True)) == [("+", "b", 2)]
    run.restart()
    assert run.step(push(("c", 3), ("d", 4), append=True)) == [("+", "c", 3)]
    assert run.step(push(("e", 5), append=True)) == []


def test_copies_are_counted() -> None:
    """`set_operation`: EXCEPT and INTERSECT ALL."""
    modes = (ChangelogMode.RETRACT, ChangelogMode.RETRACT)
    run = Run(SetOperation(SetKind.EXCEPT, False, *modes), [ROW, ROW], ROW)
    assert run.step(push(("+", "a", 1), ("+", "a", 1))) == [("+", "a", 1)]
    assert run.step((1, push(("+", "a", 1)))) == [("-", "a", 1)]
    assert run.step((1, push(("-", "a", 1), ("-", "a", 1)))) == [("+", "a", 1)]
    assert run.counters.as_dict() == {"orphan-retractions": 1}
    run = Run(SetOperation(SetKind.INTERSECT, True, *modes), [ROW, ROW], ROW)
    twice = ("+", "a", 1)
    assert run.step(push(twice, twice), (1, push(twice, twice, twice))) == [twice, twice]
    assert run.step((1, push(("-", "a", 1), ("-", "a", 1)))) == [("-", "a", 1)]


def test_not_in_knows_null() -> None:
    """`semi_join`: nothing where the right side holds a NULL, all where it holds no row."""
    left = JoinSide((1,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.RETRACT)
    right = JoinSide((1,), (), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.RETRACT)
    run = Run(SemiJoin(True, left, right, (False,), None, null_aware=True), [ROW, ROW], ROW)
    assert run.step(push(("+", "a", 1), ("+", "b", None))) == [("+", "a", 1), ("+", "b", None)]
    assert run.step((1, push(("+", "x", 2)))) == [("-", "b", None)]
    run.restart()
    assert run.step((1, push(("+", "x", None)))) == [("-", "a", 1)]
    assert run.step((1, push(("-", "x", None)))) == [("+", "a", 1)]
    assert run.step((1, push(("-", "x", 2)))) == [("+", "b", None)]


def test_an_anti_join_takes_back_what_finds_a_match() -> None:
    """And nothing is given twice within a step."""
    left = JoinSide((0,), (0, 1), SideLayout.KEY_IS_UNIQUE, (0,), ChangelogMode.RETRACT)
    right = JoinSide((0,), (), SideLayout.KEY_IS_UNIQUE, (0,), ChangelogMode.RETRACT)
    run = Run(SemiJoin(True, left, right, (False,)), [ROW, ROW], ROW)
    assert run.step(push(("+", "a", 1)), (1, push(("+", "a", 7)))) == []
    assert run.step((1, push(("-", "a", 7), ("+", "b", 7)))) == [("+", "a", 1)]
    assert run.step(push(("-", "a", 1), ("+", "a", 2))) == [("-", "a", 1), ("+", "a", 2)]
    assert run.step(push(("-", "a", 2)), (1, push(("-", "b", 7)))) == [("-", "a", 2)]
    assert set(run.live().values()) == {0}


def test_elements_come_from_a_slice() -> None:
    """`unnest`: the batch may be a part of a longer one; kinds are the row's."""
    row = row_type(id=IntType(), m=MapType(VarCharType(), IntType()), xs=ArrayType(IntType()))
    output = row_type(id=IntType(), e=IntType(), o=IntType())
    run = Run(Unnest(2, (0,), ordinality=True, outer=True), [row], output)
    whole = changes(
        row, [("+", 1, [], [1, 2]), ("-", 2, [("a", 1)], [3, None]), ("+", 3, None, None)]
    )
    assert run.step(whole.slice(1, 2)) == [("-", 2, 3, 1), ("-", 2, None, 2), ("+", 3, None, None)]
    output = row_type(k=VarCharType(), v=IntType())
    run = Run(Unnest(1, ()), [row], output)
    assert run.step(whole.slice(1, 2)) == [("-", "a", 1)]


def test_an_empty_step_gives_nothing() -> None:
    """Every operator may be flushed without rows."""
    side = JoinSide((0,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.RETRACT)
    for spec in (
        Rank((0,), (SortKey(1),), end=1, input_mode=APPEND),
        Rank((0,), (SortKey(1),), end=3, input_mode=APPEND),
        Rank((0,), (SortKey(1),), end=3),
        Deduplicate((0,), 1, keep_last=True),
        SemiJoin(False, side, side, (False,)),
        SetOperation(SetKind.EXCEPT, True, APPEND, APPEND),
    ):
        run = Run(spec, [ROW, ROW], ROW)
        assert run.step() == []
        run.restart()
        assert run.step() == []


def test_a_sub_query_with_two_rows_is_an_error() -> None:
    """At the end of the step: two rows of which one leaves are one."""
    run = group_by(ROW, [], ["SINGLE_VALUE x"])
    assert run.step(push(("+", "a", 1))) == [("+", 1)]
    assert run.step(push(("+", "a", 2), ("-", "a", 1))) == [("-", 1), ("+", 2)]
    with pytest.raises(DataError, match="gives more than one row") as caught:
        run.step(push(("+", "a", 2)))
    assert "IN or EXISTS" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", '"a":1'), ("a", '"a":2')], 'two values for the key "a"'),
        ([(None, '"a":1')], 'a key of "JSON_OBJECTAGG" is NULL'),
    ],
)
def test_a_json_object_has_each_key_once(rows: list[Any], message: str) -> None:
    """And no NULL for a key; members stand by key."""
    row = row_type(k=VarCharType(), member=VarCharType())
    good = group_by(row, [], ["JSON_OBJECTAGG k member"], "append")
    members = [("b", '"b":1'), ("a", '"a":null'), ("ab", None)]
    assert good.step(changes(row, members, append=True)) == [("+", '{"a":null,"b":1}')]
    bad = group_by(row, [], ["JSON_OBJECTAGG k member"], "append")
    with pytest.raises(DataError, match=message):
        bad.step(changes(row, rows, append=True))


def test_values_of_a_group_are_found_by_a_checkpoint() -> None:
    """Lists, first and last values, percentiles and variances go on after a restart."""
    row = row_type(k=VarCharType(), x=IntType(), s=VarCharType())
    calls = ["LISTAGG s", "FIRST_VALUE x", "LAST_VALUE s", "PERCENTILE x WITH 0.5", "VAR_POP x"]
    for mode in ("append", "retract"):
        run = group_by(row, ["k"], calls, mode)
        for i, text in enumerate(["p", "q", "r"]):
            values = ("a", 3 * i, text)
            if mode == "append":
                run.step(changes(row, [values], append=True))
            else:
                run.step(changes(row, [("+", *values)]))
            run.restart()
        assert run.table() == {("a", "p,q,r", 0, "r", ("float", "3.0"), 6): 1}
    run.step(changes(row, [("-", "a", 0, "p")]))
    assert run.table() == {("a", "q,r", 3, "r", ("float", "4.5"), 2): 1}


def test_a_hot_group_is_cut_into_batches() -> None:
    """Many copies of a row are given in pieces."""
    modes = (APPEND, APPEND)
    run = Run(SetOperation(SetKind.INTERSECT, True, *modes), [ROW, ROW], ROW)
    schema = arrow_schema(ROW)
    n = 50_000
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["a"] * n), pa.array(np.zeros(n, np.int32))], schema=schema
    )
    run.step(Changes(batch), Changes(batch), (1, Changes(batch)), (1, Changes(batch)))
    assert sum(len(p) for p in run.parts) == 2 * n
    assert max(len(p) for p in run.parts) <= 1 << 15


def test_a_value_that_comes_again_stands_last() -> None:
    """Distinct values are listed by their last first arrival, also within one batch."""
    run = group_by(ROW, [], ["LISTAGG DISTINCT k", "FIRST_VALUE DISTINCT k"])
    out = run.step(push(("+", "x", 1), ("-", "x", 1), ("+", "y", 1), ("+", "x", 1), ("+", "y", 1)))
    assert out == [("+", "y,x", "y")]
    assert run.step(push(("-", "y", 1))) == []
    assert run.step(push(("-", "y", 1))) == [("-", "y,x", "y"), ("+", "x", "x")]
