"""GROUP BY against aggregates computed anew from the whole table."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.types import BooleanType, DecimalType, DoubleType, IntType, VarCharType
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
from tests.unit.operators.harness import normal, row_type
from tests.unit.operators.test_group_aggregate import run as group_by

ROW = row_type(
    k=VarCharType(),
    g=DoubleType(),
    x=IntType(),
    y=DoubleType(),
    d=DecimalType(precision=38, scale=1),
    s=VarCharType(),
    f=BooleanType(),
)
DECIMALS = st.one_of(
    st.none(),
    st.sampled_from([Decimal("0.1"), Decimal("-2.5"), Decimal(10**37 - 1), Decimal(-(10**37) + 1)]),
)
ROWS = st.tuples(
    STRINGS, DOUBLES, INTS, DOUBLES, DECIMALS, STRINGS, st.one_of(st.none(), st.booleans())
)
CALLS = [
    "COUNT",
    *(f"COUNT {c}" for c in "xys"),
    *(f"COUNT DISTINCT {c}" for c in "xys"),
    *(f"{f} {c}" for f in ("SUM", "AVG") for c in "xyd"),
    *(f"{f} DISTINCT {c}" for f in ("SUM", "AVG") for c in "xd"),
    *(f"{f} {c}" for f in ("MIN", "MAX") for c in "xyds"),
    "MAX x IF f",
    "SUM x IF f",
    "COUNT IF f",
    "COUNT DISTINCT s IF f",
]


@st.composite
def aggregations(draw: st.DrawFn) -> tuple[Any, ...]:
    """Keys, calls, input and a cut."""
    keys = draw(st.sampled_from([[], ["k"], ["g"], ["k", "g"]]))
    # A row must have a column.
    fewest = 0 if keys else 1
    calls = draw(st.lists(st.sampled_from(CALLS), min_size=fewest, max_size=5, unique=True))
    append = draw(st.booleans())
    items = draw(changelogs([Input(ROWS, None, append)]))
    return keys, calls, append, items, draw(cuts(len(items)))


def value(call: str, rows: Sequence[Row], append: bool) -> Any:
    """One aggregate over rows in order of arrival, as Flink defines it."""
    call, _, condition = call.partition(" IF ")
    if condition:
        rows = [r for r in rows if r[ROW.index(condition)]]
    function, *rest = call.split()
    if not rest:
        return len(rows)
    values = [r[ROW.index(rest[-1])] for r in rows]
    values = [v for v in values if v is not None]
    if "DISTINCT" in rest:
        values = list({normal(v): v for v in values}.values())
    if function == "COUNT":
        return len(values)
    if not values:
        return None
    if function in {"MIN", "MAX"}:
        return extreme(function, values, append)
    return total(function, values)


def extreme(function: str, values: list[Any], append: bool) -> Any:
    """Java's `<` in order of arrival where rows only come, its compareTo where they also go."""
    if not append:
        return (min if function == "MIN" else max)(values, key=order)
    found = values[0]
    for v in values[1:]:
        a, b = (v, found) if function == "MIN" else (found, v)
        if isinstance(a, str):
            a, b = a.encode(), b.encode()
        if a < b:
            found = v
    return found


def order(v: Any) -> Any:
    """Floats as Java's Double.compare."""
    if isinstance(v, float):
        return (math.isnan(v), v if not math.isnan(v) else 0, math.copysign(1, v))
    return v.encode() if isinstance(v, str) else v


def total(function: str, values: list[Any]) -> Any:
    """SUM and AVG."""
    if isinstance(values[0], Decimal):
        with localcontext() as context:
            context.prec = 100
            whole = sum(values)
            limit = Decimal(10**37)
            if abs(whole) >= limit:
                return None
            if function == "SUM":
                return whole
            mean = (whole / len(values)).quantize(Decimal("0.000001"), rounding=ROUND_HALF_UP)
            return mean if abs(mean) < Decimal(10**32) else None
    whole = math.fsum(values) + 0.0 if isinstance(values[0], float) else sum(values)
    if function == "SUM":
        return whole
    if isinstance(whole, float):
        return whole / len(values)
    return abs(whole) // len(values) * (1 if whole >= 0 else -1)


@settings(max_examples=250, deadline=None)
@given(aggregations())
def test_any_cut_gives_the_aggregates_of_the_table(case: tuple[Any, ...]) -> None:
    """After every step, with NULL, NaN, DISTINCT, FILTER, and restarts."""
    keys, calls, append, items, steps = case
    operator = group_by(ROW, keys, calls, "append" if append else "retract")
    places = [ROW.index(k) for k in keys]

    def model(part: Sequence[Item]) -> Counter[Row]:
        groups: dict[Row, list[Row]] = defaultdict(list)
        first: dict[Row, Row] = {}
        for row in table_of(part, 0):
            key = tuple(normal(row[p]) for p in places)
            groups[key].append(row)
            first.setdefault(key, tuple(row[p] for p in places))
        return answer(
            [(*first[k], *(value(c, rows, append) for c in calls)) for k, rows in groups.items()]
        )

    check(operator, [ROW], items, steps, model=model, append=[append])
    if not items or (not append and not table_of(items, 0)):
        assert set(operator.live().values()) == {0}
