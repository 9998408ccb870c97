"""GROUP BY: the net change of each group and step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest

from flowsql.changelog import ChangelogMode
from flowsql.errors import SqlError
from flowsql.expr.nodes import AggregateCall, Column
from flowsql.physical.specs import GroupAggregate
from flowsql.state.accumulators import BITMAPS
from flowsql.types import (
    ArrayType,
    BigIntType,
    BitmapType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    MultisetType,
    RowType,
    TinyIntType,
    VarCharType,
)
from tests.unit.operators.harness import Run, changes, row_type

RESULTS: dict[str, Any] = {
    "SUM": lambda t: DecimalType(precision=38, scale=t.scale) if isinstance(t, DecimalType) else t,
    "AVG": lambda t: (
        DecimalType(precision=38, scale=max(6, t.scale)) if isinstance(t, DecimalType) else t
    ),
    "MIN": lambda t: t,
    "MAX": lambda t: t,
    "COUNT": lambda _: BigIntType(nullable=False),
    "COLLECT": MultisetType,
    "ARRAY_AGG": ArrayType,
    "PERCENTILE": lambda _: DoubleType(),
    **{f: lambda _: BigIntType() for f in BITMAPS if "CARDINALITY" in f},
    **{f: lambda _: BitmapType() for f in BITMAPS if "CARDINALITY" not in f},
}


def call(row: RowType, text: str) -> AggregateCall:
    """An aggregate from `SUM x`, `COUNT`, `COUNT DISTINCT x`, `LISTAGG s WITH -`, `MAX x IF flag`."""
    text, _, condition = text.partition(" IF ")
    text, _, constants = text.partition(" WITH ")
    function, *rest = text.split()
    distinct = "DISTINCT" in rest
    names = [r for r in rest if r != "DISTINCT"]

    def column(name: str) -> Column:
        i = row.index(name)
        return Column(type=row.fields[i].type, index=i, name=name)

    args = tuple(column(n) for n in names)
    kind: DataType = RESULTS.get(function, lambda t: t)(args[0].type if args else None)
    if function != "COUNT":
        kind = kind.with_nullable(nullable=True)
    return AggregateCall(
        function,
        args,
        distinct,
        column(condition) if condition else None,
        kind,
        (constants,) if constants else (),
    )


def run(row: RowType, keys: list[str], calls: list[str], mode: str = "retract", **more: Any) -> Run:
    """A GROUP BY."""
    aggregates = tuple(call(row, c) for c in calls)
    key = tuple(row.index(k) for k in keys)
    spec = GroupAggregate(key, aggregates, ChangelogMode(mode), **more)
    fields = [row.fields[i] for i in key]
    fields += [Field(f"a{i}", a.type) for i, a in enumerate(aggregates)]
    return Run(spec, [row], RowType(tuple(fields), nullable=False))


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Python's own decimals must not round."""
    with localcontext() as context:
        context.prec = 100
        yield


ROW = row_type(k=VarCharType(), x=IntType(), f=BooleanType())


def test_one_net_change_a_group_and_step() -> None:
    """What the module's docstring shows."""
    r = run(ROW, ["k"], ["COUNT", "SUM x"])
    assert r.step(changes(ROW, [("+", "a", 1, None), ("+", "a", 2, None)])) == [("+", "a", 2, 3)]
    out = r.step(changes(ROW, [("-", "a", 1, None), ("+", "b", 5, None)]))
    assert out == [("-", "a", 2, 3), ("+", "a", 1, 2), ("+", "b", 1, 5)]
    assert r.step(changes(ROW, [("-", "a", 2, None)])) == [("-", "a", 1, 2)]
    assert r.live()["groups"] == 1


def test_a_row_that_stays_the_same_gives_nothing() -> None:
    """A step that cancels itself, and an average that does not move."""
    r = run(ROW, ["k"], ["AVG x"])
    r.step(changes(ROW, [("+", "a", 1, None), ("+", "a", 3, None)]))
    assert r.step(changes(ROW, [("+", "a", 2, None)])) == []
    assert r.step(changes(ROW, [("+", "a", 9, None), ("-", "a", 9, None)])) == []
    assert r.step(changes(ROW, [("+", "b", 9, None), ("-", "b", 9, None)])) == []
    assert r.live()["groups"] == 1


def test_orphan_retractions_are_counted_and_ignored() -> None:
    """Also where the row comes later in the same batch."""
    r = run(ROW, ["k"], ["COUNT", "SUM x"])
    assert r.step(changes(ROW, [("-", "a", 1, None), ("+", "a", 1, None)])) == [("+", "a", 1, 1)]
    assert r.step(changes(ROW, [("-", "z", 1, None)])) == []
    assert r.counters.as_dict() == {"orphan-retractions": 2}
    assert r.live()["groups"] == 1


def test_nulls_are_skipped_and_group_together() -> None:
    """NULL is a key; SUM over no value is NULL, COUNT is 0."""
    r = run(ROW, ["k"], ["COUNT", "COUNT x", "SUM x", "AVG x", "MIN x", "MAX x"], "append")
    out = r.step(
        changes(ROW, [(None, None, None), (None, None, None), ("b", 7, None)], append=True)
    )
    assert sorted(out, key=str) == [
        ("+", "b", 1, 1, 7, 7, 7, 7),
        ("+", None, 2, 0, None, None, None, None),
    ]
    out = r.step(changes(ROW, [(None, 3, None)], append=True))
    assert out == [
        ("-", None, 2, 0, None, None, None, None),
        ("+", None, 3, 1, 3, 3, 3, 3),
    ]


def test_filter_takes_rows_where_it_is_true() -> None:
    """FALSE and NULL are left out."""
    r = run(ROW, [], ["COUNT IF f", "SUM x IF f", "COUNT"], "append")
    rows = [("a", 1, True), ("a", 2, False), ("a", 4, None), ("a", None, True)]
    assert r.step(changes(ROW, rows, append=True)) == [("+", 2, 1, 4)]


@pytest.mark.parametrize("mode", ["append", "retract"])
def test_distinct(mode: str) -> None:
    """A value counts once a group, and again after it was gone."""
    r = run(ROW, ["k"], ["COUNT DISTINCT x", "SUM DISTINCT x", "COUNT DISTINCT x IF f"], mode)
    out = r.step(
        changes(
            ROW,
            [("+", "a", 1, None), ("+", "a", 1, True), ("+", "a", 2, None), ("+", "a", None, True)],
        )
    )
    assert out == [("+", "a", 2, 3, 1)]
    if mode == "append":
        return
    assert r.step(changes(ROW, [("-", "a", 1, None)])) == []
    assert r.step(changes(ROW, [("-", "a", 1, True)])) == [
        ("-", "a", 2, 3, 1),
        ("+", "a", 1, 2, 0),
    ]
    r.restart()
    assert r.step(changes(ROW, [("+", "a", 1, None)]))[-1] == ("+", "a", 2, 3, 0)
    r.step(changes(ROW, [("-", "a", 1, None), ("-", "a", 2, None), ("-", "a", None, True)]))
    assert r.table() == {}
    assert r.live()["distinct_0"] == 0


def test_integers_wrap_in_the_result_type() -> None:
    """SUM(TINYINT) is a TINYINT."""
    row = row_type(x=TinyIntType(), y=BigIntType())
    r = run(row, [], ["SUM x", "SUM y", "AVG x"], "append")
    out = r.step(changes(row, [(100, 2**63 - 1), (100, 1)], append=True))
    assert out == [("+", -56, -(2**63), 100)]


def test_average_of_integers_is_truncated_towards_zero() -> None:
    """AVG(-1, -2) is -1."""
    r = run(ROW, [], ["AVG x"], "append")
    assert r.step(changes(ROW, [("a", -1, None), ("a", -2, None)], append=True)) == [("+", -1)]


@pytest.mark.parametrize("mode", ["append", "retract"])
@pytest.mark.parametrize("precision", [10, 18, 19, 38])
def test_decimals_are_exact(mode: str, precision: int) -> None:
    """Sums carry over limbs, averages are rounded half up."""
    row = row_type(x=DecimalType(precision=precision, scale=2))
    big = Decimal(10**precision - 1).scaleb(-2)
    r = run(row, [], ["SUM x", "AVG x", "MAX x", "MIN x"], mode)
    out = r.step(
        changes(row, [("+", Decimal("-0.01")), ("+", Decimal("0.02")), ("+", Decimal("0.00"))])
    )
    assert out == [("+", Decimal("0.01"), Decimal("0.003333"), Decimal("0.02"), Decimal("-0.01"))]
    out = r.step(changes(row, [("+", -big)]))
    assert out[-1][1] == Decimal("0.01") - big
    total = sum((Decimal("0.01"), -big))
    assert out[-1][2] == (total / 4).quantize(Decimal("0.000001"), rounding="ROUND_HALF_UP") or (
        precision == 38 and out[-1][2] is None
    )


def test_a_decimal_sum_with_39_digits_is_null_until_it_fits_again() -> None:
    """Exact inside, NULL outside."""
    row = row_type(x=DecimalType(precision=38, scale=0))
    big = Decimal(10**38 - 1)
    r = run(row, [], ["SUM x"])
    assert r.step(changes(row, [("+", big)])) == [("+", big)]
    assert r.step(changes(row, [("+", Decimal(1))])) == [("-", big), ("+", None)]
    assert r.step(changes(row, [("-", Decimal(1))])) == [("-", None), ("+", big)]
    assert r.step(changes(row, [("-", big), ("+", -big)]))[-1] == ("+", -big)


def test_nan_and_infinity_can_be_taken_back() -> None:
    """Counted aside, so that the finite sum stays."""
    row = row_type(x=DoubleType(), y=FloatType())
    r = run(row, [], ["SUM x", "AVG x", "SUM y"])
    inf = math.inf
    assert r.step(changes(row, [("+", 1.5, 1.5), ("+", inf, -inf)]))[-1] == ("+", inf, inf, -inf)
    out = r.step(changes(row, [("+", -inf, 2.0)]))
    assert math.isnan(out[-1][1])
    assert out[-1][3] == -inf
    assert r.step(changes(row, [("+", math.nan, 0.0)])) == []
    out = r.step(changes(row, [("-", math.nan, 0.0), ("-", inf, -inf), ("-", -inf, 2.0)]))
    assert out[-1] == ("+", 1.5, 1.5, 1.5)


def test_a_sum_of_negative_zeros_is_zero() -> None:
    """As in Flink, where a sum begins with 0.0."""
    row = row_type(x=DoubleType())
    r = run(row, [], ["SUM x"], "append")
    [(_, total)] = r.step(changes(row, [(-0.0,)], append=True))
    assert math.copysign(1, total) == 1


@pytest.mark.parametrize("mode", ["append", "retract"])
def test_a_sum_may_become_infinite(mode: str) -> None:
    """An answer like any other: nothing is printed on the way."""
    row = row_type(x=DoubleType())
    r = run(row, [], ["SUM x"], mode)
    rows = [(1e308,), (1e308,)]
    given = rows if mode == "append" else [("+", *x) for x in rows]
    assert r.step(changes(row, given, append=mode == "append"))[-1] == ("+", math.inf)


def test_the_first_nan_and_the_first_zero_stay() -> None:
    """Where rows only come, floats are compared by `<`; recorded from Flink 2.3."""
    row = row_type(k=VarCharType(), x=DoubleType(), y=FloatType())
    r = run(row, ["k"], ["MIN x", "MAX x", "MIN y", "MAX y"], "append")
    nan = math.nan
    came = {"a": [1.0, nan, 0.5], "b": [nan, 1.0, 2.0], "c": [0.0, -0.0], "d": [-0.0, 0.0]}
    for i in range(3):
        rows = [(k, v[i], v[i]) for k, v in came.items() if i < len(v)]
        r.step(changes(row, rows, append=True))
        r.restart()
    last = {o[1]: tuple(map(repr, o[2:])) for o in r.out if o[0] == "+"}
    assert last == {
        "a": ("0.5", "1.0") * 2,
        "b": ("nan", "nan") * 2,
        "c": ("0.0", "0.0") * 2,
        "d": ("-0.0", "-0.0") * 2,
    }


def test_extremes_of_strings_and_floats() -> None:
    """Bytes decide; a NaN that comes later is none."""
    row = row_type(s=VarCharType(), x=DoubleType())
    r = run(row, [], ["MIN s", "MAX s", "MIN x", "MAX x"], "append")
    r.step(changes(row, [("b", 1.0), (None, None), ("a", -2.5)], append=True))
    assert r.out[-1] == ("+", "a", "b", -2.5, 1.0)
    r.restart()
    r.step(changes(row, [("ä", math.nan), ("B", -0.0)], append=True))
    assert r.out[-1] == ("+", "B", "ä", -2.5, 1.0)


def test_extremes_over_updates() -> None:
    """The next one is seen when the extreme is taken back."""
    r = run(ROW, ["k"], ["MIN x", "MAX x", "MIN x IF f"])
    r.step(changes(ROW, [("+", "a", 1, True), ("+", "a", 1, None), ("+", "a", 5, None)]))
    assert r.out[-1] == ("+", "a", 1, 5, 1)
    r.restart()
    r.step(changes(ROW, [("-", "a", 5, None)]))
    assert r.out[-1] == ("+", "a", 1, 1, 1)
    r.step(changes(ROW, [("-", "a", 1, True)]))
    assert r.out[-1] == ("+", "a", 1, 1, None)
    r.step(changes(ROW, [("-", "a", 1, None)]))
    assert r.table() == {}


def test_the_global_group_comes_with_its_first_row() -> None:
    """And over no rows only where the mode is batch."""
    r = run(ROW, [], ["COUNT", "SUM x"])
    assert r.step() == []
    assert r.step(changes(ROW, [("+", "a", 1, None)])) == [("+", 1, 1)]
    assert r.step(changes(ROW, [("-", "a", 1, None)])) == [("-", 1, 1)]
    r = run(ROW, [], ["COUNT", "SUM x"], emit_empty=True)
    assert r.step() == [("+", 0, None)]
    r.restart()
    assert r.step() == []
    assert r.step(changes(ROW, [("+", "a", 1, None)])) == [("-", 0, None), ("+", 1, 1)]
    assert r.step(changes(ROW, [("-", "a", 1, None)])) == [("-", 1, 1), ("+", 0, None)]


def test_distinct_rows_need_no_aggregate() -> None:
    """SELECT DISTINCT."""
    r = run(ROW, ["k", "x"], [])
    rows = [("+", "a", 1, None), ("+", "a", 1, True), ("+", "a", 2, None)]
    assert r.step(changes(ROW, rows)) == [("+", "a", 1), ("+", "a", 2)]
    assert r.step(changes(ROW, [("-", "a", 1, None)])) == []
    assert r.step(changes(ROW, [("-", "a", 1, True)])) == [("-", "a", 1)]


def test_negative_zero_and_nan_as_keys() -> None:
    """All NaN are one key, the two zeros are two."""
    row = row_type(k=DoubleType())
    r = run(row, ["k"], ["COUNT"], "append")
    out = r.step(changes(row, [(math.nan,), (-0.0,), (0.0,), (float("-nan"),)], append=True))
    assert sorted(n for *_, n in out) == [1, 1, 2]


def test_unsupported_aggregates_are_refused_by_name() -> None:
    """With what is supported."""
    row = row_type(x=VarCharType())
    column = Column(type=VarCharType(), index=0, name="x")
    for function, message in (
        ("MEDIAN", 'aggregate function "MEDIAN" is not supported yet'),
        ("SUM", '"SUM" cannot be computed over type "STRING"'),
    ):
        bad = AggregateCall(function, (column,), distinct=False, filter=None, type=VarCharType())
        spec = GroupAggregate((), (bad,), ChangelogMode.APPEND)
        with pytest.raises(SqlError, match=message):
            Run(spec, [row], row)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_row_taken_back_that_never_came_harms_no_other_group(*, restarted: bool) -> None:
    """Distinct values that it leaves behind go with their group, not to the next in its slot."""
    r = run(ROW, ["k"], ["COUNT DISTINCT x"])
    r.step(changes(ROW, [("+", "a", 3, None), ("+", "b", 3, None)]))
    if restarted:
        r.restart()
    assert r.step(changes(ROW, [("-", "a", 1, None)])) == [("-", "a", 1)]
    assert r.live()["distinct_0"] == 1
    for key in "cdefgh":
        assert r.step(changes(ROW, [("+", key, 3, None)])) == [("+", key, 1)]
