"""Evaluation does not depend on how rows are cut into batches, nor on what does not reach a branch."""

from __future__ import annotations

from itertools import product
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.expr import (
    Column,
    EvalSettings,
    Expression,
    StepClock,
    bind_call,
    bind_case,
    bind_cast,
    boolean_literal,
    compile_projection,
    number_literal,
    string_literal,
)
from flowsql.types import BooleanType, Field, IntType, RowType, VarCharType

ROW = RowType(
    (
        Field("a", IntType()),
        Field("b", IntType()),
        Field("p", BooleanType()),
        Field("s", VarCharType()),
    )
)
A, B, P, S = (Column(type=f.type, index=i, name=f.name) for i, f in enumerate(ROW.fields))
CLOCK = StepClock(0)
TRUTH = (True, False, None)


def run(expression: Expression, rows: list[tuple[Any, ...]]) -> list[Any]:
    """The expression over rows of (a, b, p, s)."""
    data = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    types = (pa.int32(), pa.int32(), pa.bool_(), pa.string())
    arrays = [pa.array(d, t) for d, t in zip(data, types, strict=True)]
    batch = pa.record_batch(arrays, names=list(ROW.names))
    return compile_projection([expression], ROW, EvalSettings())(batch, CLOCK)[0].to_pylist()


numbers = st.recursive(
    st.sampled_from([A, B, number_literal("3"), number_literal("0")]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-*"), inner, inner).map(lambda t: bind_call(t[0], t[1:], None)),
        st.tuples(inner, inner).map(lambda t: bind_case(
            [bind_call("<>", [t[1], number_literal("0")], None)],
            [bind_call("/", list(t), None), t[0]],
            None,
        )),
        st.tuples(inner, inner).map(lambda t: bind_call("COALESCE", list(t), None)),
        st.tuples(inner, inner).map(lambda t: bind_call("GREATEST", list(t), None)),
        inner.map(lambda e: bind_cast(
            bind_cast(e, VarCharType(), safe=False, span=None), IntType(), safe=False, span=None
        )),
    ),
    max_leaves=8,
)  # fmt: skip

conditions = st.recursive(
    st.one_of(
        st.just(P),
        st.tuples(st.sampled_from(["=", "<>", "<", ">="]), numbers, numbers).map(
            lambda t: bind_call(t[0], t[1:], None)
        ),
        numbers.map(lambda e: bind_call("IS NULL", [e], None)),
        st.just(bind_call("LIKE", [S, string_literal("a%")], None)),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: bind_call("AND", list(t), None)),
        st.tuples(inner, inner).map(lambda t: bind_call("OR", list(t), None)),
        inner.map(lambda e: bind_call("NOT", [e], None)),
    ),
    max_leaves=5,
)

small = st.none() | st.integers(-3, 3) | st.just(2147483647)
rows_of_values = st.lists(
    st.tuples(small, small, st.sampled_from(TRUTH), st.sampled_from(["ab", "b", "", None])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=120, deadline=None)
@given(st.one_of(numbers, conditions), rows_of_values, st.integers(0, 20))
def test_a_batch_may_be_cut_anywhere(
    expression: Expression, rows: list[tuple[Any, ...]], cut: int
) -> None:
    """The whole batch, its two parts and its single rows give the same."""
    whole = run(expression, rows)
    assert whole == run(expression, rows[:cut]) + run(expression, rows[cut:])
    assert whole == [v for r in rows for v in run(expression, [r])]


@settings(max_examples=100, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=3), rows_of_values)
def test_case_takes_the_first_true_branch(
    tests: list[Expression], rows: list[tuple[Any, ...]]
) -> None:
    """CASE equals choosing by hand from its conditions' values."""
    results = [number_literal(str(10 + i)) for i in range(len(tests) + 1)]
    chosen = run(bind_case(tests, results, None), rows)
    truth = [run(t, rows) for t in tests]
    expected = [
        next((10 + i for i, column in enumerate(truth) if column[k]), 10 + len(tests))
        for k in range(len(rows))
    ]
    assert expected == chosen


def test_three_valued_logic() -> None:
    """AND, OR, NOT and the tests of truth, for all of TRUE, FALSE and NULL."""

    def both(a: bool | None, b: bool | None) -> bool | None:
        return False if a is False or b is False else None if a is None or b is None else True

    def either(a: bool | None, b: bool | None) -> bool | None:
        return True if a or b else None if a is None or b is None else False

    other = Column(type=BooleanType(), index=1, name="q")
    row = RowType((Field("p", BooleanType()), Field("q", BooleanType())))
    first = Column(type=BooleanType(), index=0, name="p")
    pairs = list(product(TRUTH, TRUTH))
    batch = pa.record_batch(
        [pa.array([p for p, _ in pairs]), pa.array([q for _, q in pairs])], names=["p", "q"]
    )
    project = compile_projection(
        [
            bind_call("AND", [first, other], None),
            bind_call("OR", [first, other], None),
            bind_call("NOT", [first], None),
            bind_call("IS TRUE", [first], None),
            bind_call("IS NOT FALSE", [first], None),
            bind_call("IS UNKNOWN", [first], None),
            bind_call("IS NOT DISTINCT FROM", [first, other], None),
        ],
        row,
        EvalSettings(),
    )
    found = [column.to_pylist() for column in project(batch, CLOCK)]
    expected = [
        [both(p, q) for p, q in pairs],
        [either(p, q) for p, q in pairs],
        [None if p is None else not p for p, _ in pairs],
        [p is True for p, _ in pairs],
        [p is not False for p, _ in pairs],
        [p is None for p, _ in pairs],
        [p is q for p, q in pairs],
    ]
    assert expected == found


def test_a_lazy_operand_may_fail_where_it_is_not_reached() -> None:
    """AND, OR, COALESCE and IF guard as CASE does."""
    quotient = bind_call("/", [number_literal("6"), B], None)
    positive = bind_call(">", [quotient, number_literal("1")], None)
    zero = bind_call("=", [B, number_literal("0")], None)
    rows = [(1, 0, None, None), (None, 3, None, None), (2, 2, None, None), (None, None, None, None)]
    assert run(bind_call("OR", [zero, positive], None), rows) == [True, True, True, None]
    safe = bind_call("AND", [bind_call("NOT", [zero], None), positive], None)
    assert run(safe, rows) == [False, True, True, None]
    assert run(bind_call("COALESCE", [A, quotient], None), rows) == [1, 2, 2, None]
    assert run(bind_call("IF", [zero, number_literal("0"), quotient], None), rows) == [
        0,
        2,
        3,
        None,
    ]


def test_shared_parts_are_not_computed_for_rows_that_do_not_reach_them() -> None:
    """A quotient that two branches share fails in neither."""
    quotient = bind_call("/", [A, B], None)
    zero = bind_call("=", [B, number_literal("0")], None)
    twice = bind_case(
        [zero, bind_call(">", [quotient, number_literal("1")], None)],
        [number_literal("0"), quotient, bind_call("+", [quotient, quotient], None)],
        None,
    )
    rows = [(4, 0, None, None), (4, 2, None, None), (1, 1, None, None)]
    assert run(twice, rows) == [0, 2, 2]
    assert run(
        bind_call("AND", [boolean_literal(True), bind_call("<=", [A, B], None)], None), rows
    ) == [False, False, True]
