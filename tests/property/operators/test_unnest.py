"""UNNEST against loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.expr import Column, Literal, bind_call
from flowsql.physical.specs import Unnest
from flowsql.types import (
    ArrayType,
    DataType,
    Field,
    IntType,
    MapType,
    MultisetType,
    RowType,
    VarCharType,
)
from tests.property.operators.changelogs import STRINGS, Input, Row, changelogs, cuts
from tests.unit.operators.harness import Run, changes, row_type

MEMBERS = RowType((Field("p", IntType()), Field("q", VarCharType())))
INTS = st.one_of(st.none(), st.integers(-3, 3))
KINDS: dict[str, tuple[DataType, Any, list[DataType]]] = {
    "array": (ArrayType(IntType()), st.lists(INTS, max_size=3), [IntType()]),
    "rows": (
        ArrayType(MEMBERS),
        st.lists(
            st.one_of(st.none(), st.fixed_dictionaries({"p": INTS, "q": STRINGS})), max_size=3
        ),
        [IntType(), VarCharType()],
    ),
    "map": (
        MapType(VarCharType(), IntType()),
        st.dictionaries(STRINGS.filter(lambda s: s is not None), INTS, max_size=3).map(
            lambda d: list(d.items())
        ),
        [VarCharType(), IntType()],
    ),
    "multiset": (
        MultisetType(IntType(nullable=False)),
        st.dictionaries(st.integers(0, 4), st.integers(1, 3), max_size=3).map(
            lambda d: list(d.items())
        ),
        [IntType()],
    ),
}


def elements(kind: str, value: Any) -> list[Row]:
    """What one collection gives, with ordinals."""
    if kind == "multiset":
        value = [k for k, n in value or () for _ in range(n)]
    rows = []
    for i, v in enumerate(value or (), start=1):
        if kind == "rows":
            if v is not None:
                rows.append((v["p"], v["q"], i))
        else:
            rows.append((*v, i) if kind == "map" else (v, i))
    return rows


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_element_is_given_in_its_place(data: st.DataObject) -> None:
    """In order, with kinds, under LEFT JOIN and a condition, from slices."""
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    collection, values, types = KINDS[kind]
    ordinality, outer, conditional = (data.draw(st.booleans()) for _ in range(3))
    row = row_type(id=IntType(), c=collection)
    columns = data.draw(st.sampled_from([(0,), (0, 1), ()]))
    if not columns and outer:
        columns = (0,)
    fields = [row.fields[c] for c in columns]
    fields += [Field(f"e{i}", t) for i, t in enumerate(types)]
    if ordinality:
        fields.append(Field("o", IntType()))
    output = RowType(tuple(fields), nullable=False)
    condition = None
    wanted = len(columns) + (types[0] != IntType())
    if conditional:
        operands = [
            Column(type=IntType(), index=wanted, name="e"),
            Literal(type=IntType(nullable=False), value=0),
        ]
        condition = bind_call(">", operands, None)
    spec = Unnest(1, columns, ordinality, outer, condition)
    items = data.draw(
        changelogs([Input(st.tuples(st.integers(0, 3), st.one_of(st.none(), values)))])
    )
    run = Run(spec, [row], output)
    expected = []
    for _, sign, r in items:
        kept = tuple(r[c] for c in columns)
        found = [kept + (e if ordinality else e[:-1]) for e in elements(kind, r[1])]
        if conditional:
            found = [f for f in found if f[wanted] is not None and f[wanted] > 0]
        if not found and outer:
            found = [kept + (None,) * (len(fields) - len(kept))]
        expected += [(sign, *f) for f in found]
    whole = changes(row, [(s, *r) for _, s, r in items])
    out = []
    start = 0
    for end, _, _ in data.draw(cuts(len(items))):
        out += run.step(whole.slice(start, end - start))
        start = end
    assert out == expected


@pytest.mark.parametrize("outer", [False, True])
def test_a_long_collection_is_given_in_pieces(outer: bool) -> None:
    """Each within the limits of a batch, a wide row repeated."""
    row = row_type(a=VarCharType(), c=ArrayType(IntType()))
    output = row_type(a=VarCharType(), e=IntType())
    run = Run(Unnest(1, (0,), False, outer), [row], output)
    rows: Sequence[Row] = [("x" * 100_000, list(range(2_000))), ("y", []), ("z", [7])]
    run.step(changes(row, rows, append=True))
    assert max(p.batch.nbytes for p in run.parts) <= 64 << 20
    given = [v for p in run.parts for v in p.batch.column(1).to_pylist()]
    assert given == [*range(2_000), *([None] if outer else []), 7]
