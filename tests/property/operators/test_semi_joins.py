"""Semi and anti joins and set operations against nested loops and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.expr import Column, bind_call
from flowsql.physical.specs import JoinSide, SemiJoin, SetKind, SetOperation, SideLayout
from flowsql.types import DoubleType, IntType, VarCharType
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
from tests.property.operators.test_joins import KEYS, LAYOUTS
from tests.unit.operators.harness import Run, normal, row_type


@st.composite
def semi_joins(draw: st.DrawFn) -> tuple[Any, ...]:
    """A semi or anti join, its input and a cut."""
    key_type, key = KEYS[draw(st.sampled_from(sorted(KEYS)))]
    conditional = draw(st.booleans())
    aware = not conditional and draw(st.booleans())
    anti = aware or draw(st.booleans())
    null_safe = not aware and draw(st.booleans())
    keyless = not aware and draw(st.integers(0, 4)) == 0
    sides, inputs = [], []
    for port in (0, 1):
        layout = draw(st.sampled_from(SideLayout))
        if keyless and layout is SideLayout.KEY_IS_UNIQUE:
            layout = SideLayout.HAS_UNIQUE_KEY
        append = draw(st.booleans()) and draw(st.booleans())
        unique = LAYOUTS[layout]
        columns = draw(st.sampled_from([(0, 1, 2), (2,), (2, 1)]))
        if port and not conditional:
            columns = ()
        mode = ChangelogMode.APPEND if append else ChangelogMode.RETRACT
        sides.append(JoinSide(() if keyless else (1,), columns, layout, unique, mode))
        row = st.tuples(st.integers(0, 4), key, st.one_of(st.none(), st.integers(0, 3)))
        inputs.append(Input(row, unique or None, append))
    items = draw(changelogs(inputs))
    spec = SemiJoin(anti, sides[0], sides[1], () if keyless else (null_safe,), None, aware)
    return spec, conditional, key_type, items, draw(cuts(len(items)))


def build(spec: SemiJoin, conditional: bool, key_type: Any) -> Run:
    """The operator; the condition is `left.n < right.n`."""
    row = row_type(id=IntType(), k=key_type, n=IntType())
    if conditional:
        left, right = spec.left.columns, spec.right.columns
        places = (left.index(2), len(left) + right.index(2))
        a, b = (Column(type=IntType(), index=i, name="n") for i in places)
        condition = bind_call("<", [a, b], None)
        spec = SemiJoin(spec.anti, spec.left, spec.right, spec.null_safe, condition)
    return Run(spec, [row, row], row.select(list(spec.left.columns)))


def model(items: Sequence[Item], spec: SemiJoin, conditional: bool) -> Counter[Row]:
    """A nested loop; NOT IN as SQL defines it."""
    left, right = table_of(items, 0), table_of(items, 1)
    out = []
    for a in left:
        matched = False
        for b in right:
            same = not spec.left.keys or (
                normal(a[1]) == normal(b[1]) and (a[1] is not None or spec.null_safe[0])
            )
            if spec.null_aware and (a[1] is None or b[1] is None):
                same = True
            if conditional:
                same = same and a[2] is not None and b[2] is not None and a[2] < b[2]
            matched = matched or same
        if matched is not spec.anti:
            out.append(tuple(a[c] for c in spec.left.columns))
    return answer(out)


@settings(max_examples=200, deadline=None)
@given(semi_joins())
def test_any_cut_gives_the_semi_join_of_the_tables(case: tuple[Any, ...]) -> None:
    """After every step, with NULL, NaN, duplicates, NOT IN, and restarts."""
    spec, conditional, key_type, items, steps = case
    row = row_type(id=IntType(), k=key_type, n=IntType())
    run = build(spec, conditional, key_type)
    check(
        run,
        [row, row],
        items,
        steps,
        model=lambda part: model(part, spec, conditional),
        append=[s.mode is ChangelogMode.APPEND for s in (spec.left, spec.right)],
    )
    if not table_of(items, 0) and not table_of(items, 1):
        assert {n for t, n in run.live().items() if not t.startswith("facts")} == {0}


SET_ROW = row_type(a=VarCharType(), d=DoubleType(), i=IntType())
SET_ROWS = st.tuples(STRINGS, DOUBLES, INTS.filter(lambda v: v != 3))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_cut_gives_the_set_operation_of_the_tables(data: st.DataObject) -> None:
    """Copies as SQL counts them; NULL equals NULL."""
    kind = data.draw(st.sampled_from(SetKind))
    every = data.draw(st.booleans())
    append = [data.draw(st.booleans()) for _ in range(2)]
    items = data.draw(changelogs([Input(SET_ROWS, None, a) for a in append]))
    steps = data.draw(cuts(len(items)))
    modes = [ChangelogMode.APPEND if a else ChangelogMode.RETRACT for a in append]

    def expected(part: Sequence[Item]) -> Counter[Row]:
        left, right = answer(table_of(part, 0)), answer(table_of(part, 1))
        if every:
            return left & right if kind is SetKind.INTERSECT else left - right
        wanted = kind is SetKind.INTERSECT
        return Counter({row: 1 for row in left if (row in right) is wanted})

    run = Run(SetOperation(kind, every, modes[0], modes[1]), [SET_ROW, SET_ROW], SET_ROW)
    check(run, [SET_ROW, SET_ROW], items, steps, model=expected, append=append)
    if not table_of(items, 0) and not table_of(items, 1):
        assert set(run.live().values()) == {0}


@pytest.mark.parametrize("anti", [False, True])
def test_a_semi_join_of_append_sides_only_adds(anti: bool) -> None:
    """And an anti join takes back what has found a match."""
    side = JoinSide((1,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.APPEND)
    spec = SemiJoin(anti, side, JoinSide((1,), (), *((side.layout, (), side.mode))), (False,))
    run = build(spec, False, IntType())
    row = row_type(id=IntType(), k=IntType(), n=IntType())
    items = [(0, "+", (1, 7, 0)), (1, "+", (0, 7, 0)), (0, "+", (2, 7, 0)), (1, "+", (0, 7, 0))]
    steps = [(i, i == 2, [i]) for i in range(1, 5)]
    check(run, [row, row], items, steps, model=lambda p: model(p, spec, False), append=[True] * 2)
    expected = [("+", 1, 7), ("-", 1, 7)] if anti else [("+", 1, 7), ("+", 2, 7)]
    assert run.out == expected
