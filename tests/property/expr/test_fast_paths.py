"""Whole columns give what single values give: the fast paths against the parsers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.expr.casts_numeric import to_decimal
from flowsql.expr.functions.strings import FUNCTIONS
from flowsql.expr.nodes import Call, Column, Literal
from flowsql.expr.parse_text import fit_decimal, parse_decimal
from flowsql.expr.vector import EvalSettings
from flowsql.types import DecimalType, DoubleType, IntType, VarCharType

NUMBERS = st.one_of(
    st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{0,5})?", fullmatch=True),
    st.from_regex(r"[-+. 0-9eE]{0,8}", fullmatch=True),
    st.none(),
)
TARGETS = st.builds(lambda p, s: DecimalType(p, min(s, p)), st.integers(1, 20), st.integers(0, 6))


def expected(text: str | None, target: DecimalType) -> Decimal | None:
    """TRY_CAST of one text."""
    if text is None:
        return None
    try:
        return parse_decimal(text, target.precision, target.scale)
    except ValueError:
        return None


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBERS, max_size=6), TARGETS)
def test_decimals_of_texts(texts: list[str | None], target: DecimalType) -> None:
    """TRY_CAST(STRING AS DECIMAL): a column is its texts one by one."""
    kernel = to_decimal(VarCharType(), target, safe=True)
    found = kernel(None, pa.array(texts, pa.string()))
    assert [expected(t, target) for t in texts] == found.to_pylist()


DOUBLES = st.one_of(
    st.floats(),
    st.integers(-10_000_000, 10_000_000).map(lambda n: n / 1000),
    st.none(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(DOUBLES, max_size=6), TARGETS)
def test_decimals_of_doubles(values: list[float | None], target: DecimalType) -> None:
    """TRY_CAST(DOUBLE AS DECIMAL): halves are rounded by the shortest digits."""
    kernel = to_decimal(DoubleType(), target, safe=True)
    wanted = [
        None
        if v is None or v != v or abs(v) == float("inf")  # noqa: PLR0124
        else fit_decimal(Decimal(repr(v)), target.precision, target.scale)
        for v in values
    ]
    assert wanted == kernel(None, pa.array(values, pa.float64())).to_pylist()


def split(texts: list[str | None], separator: str, index: int) -> tuple[Any, Any]:
    """SPLIT_INDEX with a literal separator and index, and with columns of them."""
    (function,) = (f for f in FUNCTIONS if f.name == "SPLIT_INDEX")
    text = Column(type=VarCharType(), index=0, name="a")
    literal = Call(
        type=VarCharType(),
        function="SPLIT_INDEX",
        args=(
            text,
            Literal(type=VarCharType(), value=separator),
            Literal(type=IntType(), value=index),
        ),
    )
    column = Call(
        type=VarCharType(),
        function="SPLIT_INDEX",
        args=(
            text,
            Column(type=VarCharType(), index=1, name="b"),
            Column(type=IntType(), index=2, name="c"),
        ),
    )
    make = function.overloads[0].make
    array = pa.array(texts, pa.string())
    rows = len(texts)
    separators, indexes = pa.array([separator] * rows), pa.array([index] * rows, pa.int32())
    fast = make(literal, EvalSettings())(None, array, separators, indexes)
    slow = make(column, EvalSettings())(None, array, separators, indexes)
    return fast.to_pylist(), slow.to_pylist()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.text("ab,", max_size=8), st.none()), min_size=1, max_size=5),
    st.sampled_from([",", ",,", "a,"]),
    st.integers(0, 4),
)
def test_parts_of_texts(texts: list[str | None], separator: str, index: int) -> None:
    """SPLIT_INDEX by Arrow is SPLIT_INDEX by Python."""
    fast, slow = split(texts, separator, index)
    assert slow == fast
