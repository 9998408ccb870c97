"""Predicates: their JSON, their text, and what ranges say of them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from flowsql.types import BigIntType, BooleanType, DecimalType, DoubleType, VarCharType
from flowsql.types.predicates import (
    And,
    Comparison,
    IsNull,
    OneOf,
    Or,
    Predicate,
    ValueRange,
    columns_of_predicate,
    may_hold,
    predicate_json,
    predicate_of,
    predicate_text,
)

N, S, X = BigIntType(), VarCharType(10), DoubleType()
NAN = float("nan")
EVERY = And((
    Or((Comparison("n", N, ">=", 3), IsNull("n", N))),
    OneOf("s", S, ("a", "it's")),
    Comparison("d", DecimalType(10, 2), "<", Decimal("1.50")),
    Comparison("b", BooleanType(), "=", value=True),
    IsNull("x", X, negated=True),
))  # fmt: skip


def test_goes_through_json() -> None:
    """Types and values come back as they were."""
    assert predicate_of(json.loads(json.dumps(predicate_json(EVERY)))) == EVERY
    assert columns_of_predicate(EVERY) == {"n", "s", "d", "b", "x"}
    for wrong in ({}, {"column": "n", "type": "INT", "op": "LIKE", "value": 1}, {"and": 1}):
        with pytest.raises(ValueError, match="is no predicate"):
            predicate_of(wrong)


def test_shows_as_sql() -> None:
    """As a condition would be written."""
    assert predicate_text(EVERY) == (
        "((n >= 3) OR (n IS NULL)) AND (s IN ('a', 'it''s')) AND (d < 1.50) AND (b = TRUE) "
        "AND (x IS NOT NULL)"
    )


@pytest.mark.parametrize(
    ("predicate", "value", "holds"),
    [
        (Comparison("n", N, "=", 3), 3, True),
        (Comparison("n", N, "=", 3), 4, False),
        (Comparison("n", N, "<>", 3), 3, False),
        (Comparison("n", N, "<>", 3), 4, True),
        (Comparison("n", N, "<>", 3), None, False),
        (Comparison("n", N, "<", 3), 3, False),
        (Comparison("n", N, "<=", 3), 3, True),
        (Comparison("n", N, ">", 3), 3, False),
        (Comparison("n", N, ">=", 3), 3, True),
        (OneOf("n", N, (1, 3)), 3, True),
        (OneOf("n", N, (1, 3)), 2, False),
        (OneOf("n", N, (1, 3)), None, False),
        (IsNull("n", N), None, True),
        (IsNull("n", N), 1, False),
        (IsNull("n", N, negated=True), None, False),
        (IsNull("n", N, negated=True), 1, True),
        (Comparison("n", X, ">", 3.0), NAN, False),
        (Comparison("n", X, "<=", 3.0), NAN, False),
        (Comparison("n", X, "=", 3.0), NAN, False),
        (Comparison("n", X, "<>", 3.0), NAN, True),
        (Comparison("n", X, "<>", 3.0), 3.0, False),
    ],
)  # fmt: skip
def test_a_single_value_decides(predicate: Predicate, value: object, *, holds: bool) -> None:
    """Where all rows have one value, the answer is exact."""
    assert may_hold(predicate, {"n": ValueRange.point(value)}.get) is holds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("predicate", "may"),
    [
        (Comparison("n", N, "=", 4), False),
        (Comparison("n", N, "=", 5), True),
        (Comparison("n", N, "=", 10), False),
        (Comparison("n", N, "<", 5), False),
        (Comparison("n", N, "<=", 5), True),
        (Comparison("n", N, ">", 9), False),
        (Comparison("n", N, ">=", 9), True),
        (Comparison("n", N, "<>", 5), True),
        (OneOf("n", N, (1, 4, 10)), False),
        (OneOf("n", N, (1, 7)), True),
        (IsNull("n", N), False),
        (IsNull("n", N, negated=True), True),
        (Comparison("unknown", N, "=", 4), True),
        (And((Comparison("unknown", N, "=", 4), Comparison("n", N, "=", 4))), False),
        (Or((Comparison("unknown", N, "=", 4), Comparison("n", N, "=", 4))), True),
        (Or((Comparison("n", N, "=", 1), Comparison("n", N, "=", 4))), False),
    ],
)
def test_a_range_leaves_out_what_is_certain(predicate: Predicate, *, may: bool) -> None:
    """The range is 5 to 9 without NULLs."""
    assert may_hold(predicate, {"n": ValueRange(5, 9, nulls=False)}.get) is may


def test_what_is_not_known_may_be() -> None:
    """Without bounds anything; only NULLs fulfil no comparison; NaN is other than any bound."""
    three = Comparison("n", X, "<>", 3.0)
    assert may_hold(Comparison("n", N, "=", 3), {"n": ValueRange()}.get)
    assert not may_hold(three, {"n": ValueRange(values=False)}.get)
    assert not may_hold(three, {"n": ValueRange(3.0, 3.0)}.get)
    assert may_hold(three, {"n": ValueRange(3.0, 3.0, nan=True)}.get)
