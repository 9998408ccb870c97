"""GROUP BY against aggregates computed anew from the whole table."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.state.accumulators import VARIANCES
from flowsql.types import (
    BooleanType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    VarCharType,
)
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
from tests.unit.operators.harness import changes, normal, row_type
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
    *(f"{f} {c}" for f in ("FIRST_VALUE", "LAST_VALUE", "ARRAY_AGG", "COLLECT") for c in "xys"),
    *(f"{f} {c}" for f in VARIANCES for c in ("x", "y", "DISTINCT x")),
    "FIRST_VALUE DISTINCT x",
    "LISTAGG s",
    "LISTAGG s WITH |",
    "LISTAGG DISTINCT s",
    "LISTAGG s IF f",
    "ARRAY_AGG DISTINCT x",
    "ARRAY_AGG x WITH IGNORE NULLS",
    "COLLECT DISTINCT s",
    "JSON_ARRAYAGG s WITH NULL",
    "JSON_ARRAYAGG s WITH ABSENT",
    "PERCENTILE x WITH 0.5",
    "PERCENTILE DISTINCT x WITH 0.3",
    "PERCENTILE x x WITH 0.9",
]


ORDERED = {"FIRST_VALUE", "LAST_VALUE", "ARRAY_AGG", "COLLECT", "LISTAGG", "JSON_ARRAYAGG"}


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


def listed(items: Sequence[Item], column: int, distinct: bool) -> list[Row]:
    """Rows in order of arrival; one is taken back by its value, the oldest first."""
    rows: list[Row] = []
    counts: Counter[Any] = Counter()
    for _, sign, row in items:
        key = normal(row[column])
        counts[key] += 1 if sign == "+" else -1
        if sign == "+" and (not distinct or counts[key] == 1):
            rows.append(row)
        if sign == "-" and (not distinct or counts[key] == 0):
            rows.pop([normal(r[column]) for r in rows].index(key))
    return rows


def value(call: str, items: Sequence[Item], append: bool) -> Any:
    """One aggregate over the changes of a group, as Flink defines it."""
    call, _, condition = call.partition(" IF ")
    if condition:
        items = [i for i in items if i[2][ROW.index(condition)]]
    rows = table_of(items, 0)
    if call.split()[0] in ORDERED:
        column = ROW.index(call.partition(" WITH ")[0].split()[-1])
        rows = listed(items, column, "DISTINCT" in call)
    call, _, constant = call.partition(" WITH ")
    function, *rest = call.split()
    if not rest:
        return len(rows)
    values = [r[ROW.index(rest[-1])] for r in rows]
    if function == "PERCENTILE" and len(rest) > 1 and rest[0] == "x":
        values = [v for v in values if v is not None for _ in range(v)]
    if function != "ARRAY_AGG" and constant != "NULL":
        values = [v for v in values if v is not None]
    if "DISTINCT" in rest:
        values = list({normal(v): v for v in values}.values())
    if function == "COUNT":
        return len(values)
    if function == "COLLECT":
        counts = Counter(map(normal, values))
        first = {normal(v): v for v in reversed(values)}
        entries = [(first[k], n) for k, n in counts.items()]
        return entries if append else sorted(entries, key=lambda e: order(e[0]))
    if function == "JSON_ARRAYAGG":
        return "[" + ",".join("null" if v is None else v for v in values) + "]"
    if constant == "IGNORE NULLS":
        values = [v for v in values if v is not None]
    if not values:
        return None
    if function in VARIANCES:
        return spread(function, values)
    if function in {"FIRST_VALUE", "LAST_VALUE", "ARRAY_AGG", "LISTAGG", "PERCENTILE"}:
        return picked(function, values, constant)
    if function in {"MIN", "MAX"}:
        return extreme(function, values, append)
    return total(function, values)


def picked(function: str, values: list[Any], constant: str) -> Any:
    """What is chosen from, or made of, values in order of arrival."""
    match function:
        case "ARRAY_AGG":
            return values
        case "LISTAGG":
            return (constant or ",").join(values)
        case "PERCENTILE":
            values = sorted(values)
            at = (len(values) - 1) * float(constant)
            low, high = values[math.floor(at)], values[math.ceil(at)]
            if low == high:
                return float(low)
            return (math.ceil(at) - at) * low + (at - math.floor(at)) * high
        case _:
            return values[0 if function == "FIRST_VALUE" else -1]


def spread(function: str, values: list[Any]) -> Any:
    """Variance or standard deviation, exact before it is rounded or cut off."""
    less, root = VARIANCES[function]
    n = len(values)
    if n <= less:
        return None
    floats = isinstance(values[0], float)
    if floats and not all(map(math.isfinite, values)):
        return math.nan
    exact = [Fraction(v) for v in values]
    variance = sum((v - sum(exact) / n) ** 2 for v in exact) / (n - less)
    if floats:
        return math.sqrt(float(variance)) if root else float(variance)
    return math.isqrt(int(variance)) if root else int(variance)


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
        groups: dict[Row, list[Item]] = defaultdict(list)
        for item in part:
            groups[tuple(normal(item[2][p]) for p in places)].append(item)
        out = []
        for mine in groups.values():
            rows = table_of(mine, 0)
            if rows:
                key = tuple(rows[0][p] for p in places)
                out.append((*key, *(value(c, mine, append) for c in calls)))
        return answer(out)

    check(operator, [ROW], items, steps, model=model, append=[append])
    if not items or (not append and not table_of(items, 0)):
        assert set(operator.live().values()) == {0}


RESIDUES = st.one_of(
    st.none(),
    st.sampled_from([0.1, 0.2, 0.3, 1.0, 7.5, 1e10, 1e20, 1e200, 1e308, -1e308]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
)
FLOATS_ROW = row_type(k=IntType(), y=DoubleType(), z=FloatType(), f=BooleanType())
FLOATS_ROWS = st.tuples(
    st.integers(0, 1),
    RESIDUES,
    st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.0**30, 2.0**127, math.nan])),
    st.booleans(),
)
OF_FLOATS = [
    f"{function} {rest}"
    for function in ("SUM", "AVG", "VAR_POP", "STDDEV_SAMP")
    for rest in ("y", "z", "DISTINCT y", "y IF f")
]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_sums_of_floats_do_not_know_the_cut(data: st.DataObject) -> None:
    """What is left of values that went is the same as where rows come one by one."""
    keys = data.draw(st.sampled_from([[], ["k"]]))
    items = data.draw(changelogs([Input(FLOATS_ROWS)]))
    steps = data.draw(cuts(len(items)))
    calls = ["COUNT", *OF_FLOATS]
    single = group_by(FLOATS_ROW, keys, calls)
    tables = {}
    for at, (_, sign, row) in enumerate(items, start=1):
        single.step(changes(FLOATS_ROW, [(sign, *row)]))
        tables[at] = single.table()
    cut = group_by(FLOATS_ROW, keys, calls)
    check(cut, [FLOATS_ROW], items, steps, model=lambda part: tables[len(part)], append=[False])
