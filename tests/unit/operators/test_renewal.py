"""Aggregates of values that all left, or came and went, within one step."""

from __future__ import annotations

import math
from typing import Any

import pytest

from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    RowType,
    VarCharType,
)
from tests.unit.operators.harness import changes, row_type
from tests.unit.operators.test_group_aggregate import run

ROW = row_type(k=IntType(), x=DoubleType(), f=BooleanType())
EMPTIED: dict[str, list[tuple[Any, ...]]] = {
    "an update of the only value": [("+", 1e10), ("-", 1e10), ("+", 1.0)],
    "what was lost beside a great value": [
        *[("+", 0.3), ("+", 1e20), ("-", 0.3), ("+", 1.0), ("-", 1e20)],
        *[("-", 1.0), ("+", 1.0)],
    ],
    "an overflow": [("+", 1e308), ("+", 1e308), ("-", 1e308), ("-", 1e308), ("+", 1.0)],
    "a square that is no number": [("+", 1e200), ("-", 1e200), ("+", 1.0)],
    "beside a NULL": [
        ("+", None),
        ("+", 1e308),
        ("+", 1e308),
        ("-", 1e308),
        ("-", 1e308),
        ("+", 1.0),
    ],
    "beside a NaN": [
        *[("+", math.nan), ("+", 1e308), ("+", 1e308), ("-", 1e308), ("-", 1e308)],
        *[("+", 1.0), ("-", math.nan)],
    ],
    "twice": [("+", 1e10), ("-", 1e10), ("+", 1e9), ("-", 1e9), ("+", 1.0)],
}


@pytest.mark.parametrize("cut", [1, 2, 3, 100])
@pytest.mark.parametrize("name", EMPTIED)
@pytest.mark.parametrize("keys", [["k"], []])
def test_nothing_stays_of_values_that_all_left(keys: list[str], name: str, cut: int) -> None:
    """However the rows are cut into steps, and beside a group that lives on."""
    calls = ["SUM x", "AVG x", "VAR_POP x", "SUM DISTINCT x", "VAR_POP DISTINCT x", "SUM x IF f"]
    rows: list[tuple[Any, ...]] = [(sign, 1, x, True) for sign, x in EMPTIED[name]]
    rows += [("+", 1, 2.0, True), ("+", 1, 4.0, True)]
    if keys:
        rows.insert(0, ("+", 2, 1e10, True))
        rows.insert(3, ("+", 2, 0.5, True))
        rows.append(("-", 2, 0.5, True))
    r = run(ROW, keys, calls)
    for start in range(0, len(rows), cut):
        r.step(changes(ROW, rows[start : start + cut]))
    last = {row[1 : 1 + len(keys)]: row[1 + len(keys) :] for row in r.out if row[0] == "+"}
    here = last.pop((1,) if keys else ())
    assert here == pytest.approx((7.0, 7 / 3, 14 / 9, 7.0, 14 / 9, 7.0), rel=1e-15)
    assert last == ({(2,): (1e10, 1e10, 0.0, 1e10, 0.0, 1e10)} if keys else {})


@pytest.mark.parametrize("groups", [3, 1000])
def test_few_rows_of_many_groups_find_the_groups_that_empty(groups: int) -> None:
    """A batch that touches a few of the slots only, some of them emptied and some not."""
    r = run(ROW, ["k"], ["SUM x", "VAR_POP x"])
    r.step(changes(ROW, [("+", k, 1e10, True) for k in range(groups)]))
    last = groups - 1
    out = r.step(
        changes(
            ROW,
            [
                *[("-", last, 1e10, True), ("+", last, 1.0, True), ("+", last, 3.0, True)],
                *[("+", 0, 1e10, True), ("-", 0, 1e10, True), ("+", 0, 1e10, True)],
            ],
        )
    )
    assert sorted(row for row in out if row[0] == "+") == [
        ("+", 0, 2e10, 0.0),
        ("+", last, 4.0, 1.0),
    ]


def test_integers_beyond_the_digits_of_a_double() -> None:
    """They become the nearest double; as Flink 2.3 says."""
    row = row_type(x=BigIntType())
    calls = ["VAR_POP x", "STDDEV_SAMP x", "VAR_POP DISTINCT x", "PERCENTILE x WITH 0.5"]
    r = run(row, [], calls)
    assert r.step(changes(row, [("+", 2**53 + 1), ("+", 2**53 + 3)]))[-1] == (
        *("+", 4, 2, 4),
        9007199254740994.0,
    )


def test_a_spread_that_is_no_number_is_an_answer() -> None:
    """Nothing is printed on the way, which the tests' settings take for an error."""
    row = row_type(x=DoubleType(), y=FloatType())
    calls = ["VAR_POP x", "VAR_POP y", "PERCENTILE x WITH 0.5"]
    r = run(row, [], calls)
    [(_, *values)] = r.step(changes(row, [("+", -1e308, 0.0), ("+", 1e308, 2.0**127)]))
    assert math.isnan(values[0]) or values[0] == math.inf
    assert values[1] == math.inf
    r = run(row, [], calls)
    [(_, *values)] = r.step(changes(row, [("+", -math.inf, 0.0), ("+", math.inf, 0.0)]))
    assert all(math.isnan(values[i]) for i in (0, 2))


NESTED = RowType((Field("a", IntType()), Field("b", VarCharType())))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (IntType(), [5, -6, 7]),
        (DoubleType(), [0.0, -0.0, math.inf]),
        (VarCharType(), ["a longer text than twelve", "b", "a longer text than that"]),
        (ArrayType(IntType()), [[2, 1], [], [1]]),
        (NESTED, [{"a": 2, "b": None}, {"a": None, "b": "x"}, {"a": 2, "b": "x"}]),
    ],
)
def test_a_multiset_is_taken_back_as_it_was_given(kind: DataType, values: list[Any]) -> None:
    """Its order follows from the content, not from what arrived when."""
    row = row_type(x=kind)
    r = run(row, [], ["COLLECT x"])
    first, second, third = values
    [given] = r.step(changes(row, [("+", first), ("+", second)]))
    assert r.step(changes(row, [("-", first), ("+", first)])) == []
    taken, both = r.step(changes(row, [("+", third)]))
    assert repr(taken[1]) == repr(given[1])
    r.step(changes(row, [("-", second), ("+", second)]))
    again = r.step(changes(row, [("-", first), ("-", third), ("+", third)]))
    assert repr(again[0][1]) == repr(both[1])
