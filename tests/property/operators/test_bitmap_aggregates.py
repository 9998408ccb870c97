"""BITMAP_…_AGG against Python's sets, however the changes are cut and restarted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.state.accumulators import BITMAPS
from flowsql.types import BitmapType, BooleanType, IntType, VarCharType
from tests.property.operators.changelogs import (
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
from tests.support.roaring import bitmap_bytes, bitmap_members
from tests.unit.operators.harness import normal, row_type
from tests.unit.operators.test_group_aggregate import run as group_by

ROW = row_type(k=VarCharType(), x=IntType(), b=BitmapType(), f=BooleanType())
# Few, so that they meet; at both ends, and in containers of their own.
MEMBERS = st.one_of(st.integers(0, 5), st.sampled_from([-1, -2, 65_535, 65_536, -(2**31)]))
SETS = st.one_of(
    st.frozensets(MEMBERS, max_size=6),
    st.builds(lambda a, n: frozenset(range(a, a + n)), st.integers(0, 9), st.integers(0, 9)),
)
ROWS = st.tuples(
    STRINGS,
    st.one_of(st.none(), MEMBERS),
    st.one_of(st.none(), st.builds(bitmap_bytes, SETS)),
    st.one_of(st.none(), st.booleans()),
)
CALLS = [
    f"{function} {more}{'x' if part == 'BUILD' else 'b'}{condition}"
    for function, part in BITMAPS.items()
    for more in ("", "DISTINCT ")
    for condition in ("", " IF f")
]


def value(call: str, rows: Sequence[Row]) -> Any:
    """One aggregate over the rows of a group."""
    call, _, condition = call.partition(" IF ")
    function, *rest = call.split()
    column = ROW.index(rest[-1])
    values = [r[column] for r in rows if not condition or r[ROW.index(condition)]]
    values = [v for v in values if v is not None]
    if not values:
        return None
    if "DISTINCT" in rest:
        values = list(dict.fromkeys(values))
    found: set[int]
    if BITMAPS[function] == "BUILD":
        found = {v & 0xFFFFFFFF for v in values}
    else:
        sets = [set(bitmap_members(v)) for v in values]
        found = sets[0]
        for other in sets[1:]:
            found = {"AND": found & other, "OR": found | other, "XOR": found ^ other}[
                BITMAPS[function]
            ]
    return len(found) if "CARDINALITY" in function else bitmap_bytes(found)


@st.composite
def aggregations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Keys, calls, input and a cut."""
    keys = draw(st.sampled_from([[], ["k"]]))
    calls = draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=5, unique=True))
    append = draw(st.booleans())
    items = draw(changelogs([Input(ROWS, None, append)]))
    return keys, calls, append, items, draw(cuts(len(items)))


@settings(max_examples=200, deadline=None)
@given(aggregations())
def test_any_cut_gives_the_sets_of_the_table(case: tuple[Any, ...]) -> None:
    """After every step, with NULL, empty bitmaps, DISTINCT, FILTER, and restarts; all state goes."""
    keys, calls, append, items, steps = case
    operator = group_by(ROW, keys, calls, "append" if append else "retract")
    places = [ROW.index(k) for k in keys]

    def model(part: Sequence[Item]) -> Counter[Row]:
        groups: dict[Row, list[Row]] = defaultdict(list)
        for row in table_of(part, 0):
            groups[tuple(normal(row[p]) for p in places)].append(row)
        return answer(
            [
                (*(rows[0][p] for p in places), *(value(c, rows) for c in calls))
                for rows in groups.values()
            ]
        )

    check(operator, [ROW], items, steps, model=model, append=[append])
    if not append and not table_of(items, 0):
        assert set(operator.live().values()) == {0}
