"""Joins of every kind, layout and input against a nested loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import ChangelogMode
from flowsql.expr import Column, bind_call
from flowsql.physical.specs import Join, JoinKind, JoinSide, SideLayout
from flowsql.types import DoubleType, Field, IntType, RowType, VarCharType
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
from tests.unit.operators.harness import Run, normal, row_type

KEYS: dict[str, tuple[Any, Any]] = {
    "int": (IntType(), INTS),
    "string": (VarCharType(), STRINGS),
    "double": (DoubleType(), DOUBLES),
}
LAYOUTS = {
    SideLayout.KEY_IS_UNIQUE: (1,),
    SideLayout.HAS_UNIQUE_KEY: (0,),
    SideLayout.NO_UNIQUE_KEY: (),
}


@st.composite
def joins(draw: st.DrawFn) -> tuple[Any, ...]:
    """A join, its input and a cut."""
    kind = draw(st.sampled_from(JoinKind))
    key_type, key = KEYS[draw(st.sampled_from(sorted(KEYS)))]
    null_safe = draw(st.booleans())
    conditional = draw(st.booleans())
    sides, inputs = [], []
    for _ in range(2):
        layout = draw(st.sampled_from(SideLayout))
        append = draw(st.booleans()) and draw(st.booleans())
        unique = LAYOUTS[layout]
        columns = draw(st.sampled_from([(0, 1, 2), (2,), (2, 1)]))
        mode = ChangelogMode.APPEND if append else ChangelogMode.RETRACT
        sides.append(JoinSide((1,), columns, layout, unique, mode))
        row = st.tuples(st.integers(0, 4), key, st.one_of(st.none(), st.integers(0, 3)))
        if layout is SideLayout.KEY_IS_UNIQUE and not null_safe:
            # A primary key is never NULL.
            row = st.tuples(st.integers(0, 4), key.filter(lambda v: v is not None), INTS)
        inputs.append(Input(row, unique or None, append))
    items = draw(changelogs(inputs))
    return kind, key_type, null_safe, conditional, sides, items, draw(cuts(len(items)))


def model(
    items: Sequence[Item], kind: JoinKind, null_safe: bool, conditional: bool, sides: Any
) -> Counter[Row]:
    """A nested loop."""
    left, right = table_of(items, 0), table_of(items, 1)
    out: list[Row] = []
    matched_right = [False] * len(right)
    pick = [lambda r, s=s: tuple(r[c] for c in s.columns) for s in sides]
    for a in left:
        matched = False
        for i, b in enumerate(right):
            same = normal(a[1]) == normal(b[1]) and (a[1] is not None or null_safe)
            if conditional:
                same = same and a[2] is not None and b[2] is not None and a[2] < b[2]
            if same:
                out.append(pick[0](a) + pick[1](b))
                matched = matched_right[i] = True
        if not matched and kind in (JoinKind.LEFT, JoinKind.FULL):
            out.append(pick[0](a) + (None,) * len(sides[1].columns))
    if kind in (JoinKind.RIGHT, JoinKind.FULL):
        out += [
            (None,) * len(sides[0].columns) + pick[1](b)
            for b, m in zip(right, matched_right, strict=True)
            if not m
        ]
    return answer(out)


def build(
    kind: JoinKind, key_type: Any, null_safe: bool, conditional: bool, sides: Any
) -> tuple[Run, RowType]:
    """The join as an operator."""
    row = row_type(id=IntType(), k=key_type, n=IntType())
    fields = [
        Field(f"{p}_{row.names[c]}", row.types[c])
        for p, s in zip("lr", sides, strict=True)
        for c in s.columns
    ]
    output = RowType(tuple(fields), nullable=False)
    condition = None
    if conditional:
        a, b = (Column(type=IntType(), index=output.index(n), name=n) for n in ("l_n", "r_n"))
        condition = bind_call("<", [a, b], None)
    spec = Join(kind, sides[0], sides[1], (null_safe,), condition)
    return Run(spec, [row, row], output), row


@settings(max_examples=250, deadline=None)
@given(joins())
def test_any_cut_gives_the_join_of_the_tables(case: tuple[Any, ...]) -> None:
    """After every step, with NULL, NaN, duplicates, and restarts."""
    *shape, items, steps = case
    kind, _, null_safe, conditional, sides = shape
    run, row = build(*shape)
    check(
        run,
        [row, row],
        items,
        steps,
        model=lambda part: model(part, kind, null_safe, conditional, sides),
        append=[s.mode is ChangelogMode.APPEND for s in sides],
    )


@pytest.mark.parametrize("kind", list(JoinKind))
def test_all_that_leaves_is_forgotten(kind: JoinKind) -> None:
    """No state is left where no row is."""
    side = JoinSide((1,), (0, 1, 2), SideLayout.NO_UNIQUE_KEY, (), ChangelogMode.RETRACT)
    run, row = build(kind, IntType(), False, False, [side, side])
    items = [(p, "+", (i, i % 3, i)) for i in range(9) for p in (0, 1)]
    items += [(p, "-", r) for p, _, r in items]
    check(
        run,
        [row, row],
        items,
        [(7, True, [7]), (20, True, [20]), (36, False, [30, 36])],
        model=lambda part: model(part, kind, False, False, [side, side]),
        append=[False, False],
    )
    assert set(run.live().values()) == {0}
