"""Arithmetic against Python's unbounded numbers, in Flink's result types."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import DataError
from flowsql.expr import (
    Column,
    EvalSettings,
    Expression,
    StepClock,
    bind_call,
    bind_cast,
    compile_projection,
)
from flowsql.types import (
    BigIntType,
    DataType,
    DecimalType,
    DoubleType,
    Field,
    IntType,
    RowType,
    SmallIntType,
    TinyIntType,
    VarCharType,
    arrow_type,
)

BITS: dict[type[DataType], int] = {TinyIntType: 8, SmallIntType: 16, IntType: 32, BigIntType: 64}
CLOCK = StepClock(0)


def columns(*types: DataType) -> list[Column]:
    """One column a type."""
    return [Column(type=t, index=i, name=f"c{i}") for i, t in enumerate(types)]


def evaluate(expression: Expression, types: list[DataType], data: list[list[Any]]) -> list[Any]:
    """The expression over columns of the given values."""
    row = RowType(tuple(Field(f"c{i}", t) for i, t in enumerate(types)))
    arrays = [pa.array(d, arrow_type(t)) for d, t in zip(data, types, strict=True)]
    batch = pa.record_batch(arrays, names=[f.name for f in row.fields])
    return compile_projection([expression], row, EvalSettings())(batch, CLOCK)[0].to_pylist()


def wrapped(value: int, bits: int) -> int:
    """The value as a signed integer of so many bits."""
    half = 1 << bits - 1
    return (value + half) % (2 * half) - half


def cut_division(a: int, b: int) -> int:
    """Division toward zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


@st.composite
def integer_columns(draw: st.DrawFn) -> tuple[list[DataType], list[list[int | None]]]:
    """Two integer types and some rows, extremes and NULLs among them."""
    types = [draw(st.sampled_from(list(BITS)))() for _ in range(2)]
    rows = draw(st.integers(1, 12))

    def column(data_type: DataType) -> list[int | None]:
        half = 1 << BITS[type(data_type)] - 1
        value = st.integers(-half, half - 1) | st.sampled_from([-half, half - 1, 0, -1, 1])
        return draw(st.lists(st.none() | value, min_size=rows, max_size=rows))

    return types, [column(t) for t in types]


@settings(max_examples=150, deadline=None)
@given(integer_columns(), st.sampled_from("+-*/%"))
def test_integers_wrap(case: tuple[list[DataType], list[list[int | None]]], symbol: str) -> None:
    """+ - * / % are those of Python, modulo 2**n; division cuts toward zero."""
    types, data = case
    if symbol in "/%":
        data[1] = [1 if v == 0 else v for v in data[1]]
    left, right = columns(*types)
    bound = bind_call(symbol, [left, right], None)
    wide = max(types, key=lambda t: BITS[type(t)])
    result = types[1] if symbol == "%" else wide
    assert type(result) is type(bound.type)
    expected = []
    for a, b in zip(*data, strict=True):
        if a is None or b is None:
            expected.append(None)
            continue
        exact = {
            "+": a + b,
            "-": a - b,
            "*": a * b,
            "/": cut_division(a, b) if b else 0,
            "%": a - b * cut_division(a, b) if b else 0,
        }[symbol]
        expected.append(wrapped(exact, BITS[type(result)]))
    assert expected == evaluate(bound, types, data)


@pytest.mark.parametrize("symbol", ["/", "%"])
def test_integer_division_by_zero_is_an_error(symbol: str) -> None:
    """Only a row whose divisor is a zero fails; a NULL beside a zero is NULL."""
    types: list[DataType] = [IntType(), IntType()]
    bound = bind_call(symbol, columns(*types), None)
    assert evaluate(bound, types, [[None, 1], [0, None]]) == [None, None]
    with pytest.raises(DataError, match="division by zero"):
        evaluate(bound, types, [[1], [0]])


def test_double_division_by_zero_is_infinite() -> None:
    """FLOAT and DOUBLE follow IEEE."""
    types: list[DataType] = [DoubleType(), DoubleType()]
    bound = bind_call("/", columns(*types), None)
    assert [float("inf"), float("-inf"), None] == evaluate(
        bound, types, [[1.0, -1.0, None], [0.0, 0.0, 0.0]]
    )


@st.composite
def decimal_columns(draw: st.DrawFn) -> tuple[list[DecimalType], list[list[Decimal | None]]]:
    """Two DECIMAL types and some rows."""
    types = []
    for _ in range(2):
        precision = draw(st.integers(1, 38))
        types.append(DecimalType(precision, draw(st.integers(0, precision))))
    rows = draw(st.integers(1, 6))

    def column(data_type: DecimalType) -> list[Decimal | None]:
        top = 10**data_type.precision - 1
        small = min(top, 999)
        value = st.integers(-top, top) | st.integers(-small, small)
        whole = draw(st.lists(st.none() | value, min_size=rows, max_size=rows))
        with localcontext(Context(prec=80)):
            return [None if w is None else Decimal(w).scaleb(-data_type.scale) for w in whole]

    return types, [column(t) for t in types]


def rounded(value: Decimal, result: DecimalType) -> Decimal | None:
    """Half up to the result's scale, None where it does not fit."""
    with localcontext(Context(prec=200, rounding=ROUND_HALF_UP)):
        fitted = value.quantize(Decimal(1).scaleb(-result.scale))
        whole = Decimal(1).scaleb(result.precision - result.scale)
        return fitted if abs(fitted) < whole else None


@settings(max_examples=250, deadline=None)
@given(decimal_columns(), st.sampled_from("+-*/%"))
def test_decimals_are_exact(
    case: tuple[list[DecimalType], list[list[Decimal | None]]], symbol: str
) -> None:
    """Computed exactly (a quotient to 38 digits), rounded half up, NULL where it does not fit."""
    types, data = case
    if symbol in "/%":
        data[1] = [None if v == 0 else v for v in data[1]]
    bound = bind_call(symbol, columns(*types), None)
    result = bound.type
    assert isinstance(result, DecimalType)
    expected = []
    for a, b in zip(*data, strict=True):
        if a is None or b is None:
            expected.append(None)
            continue
        precision = 38 if symbol == "/" else 200
        with localcontext(Context(prec=precision, rounding=ROUND_HALF_UP)):
            exact = {
                "+": lambda a=a, b=b: a + b,
                "-": lambda a=a, b=b: a - b,
                "*": lambda a=a, b=b: a * b,
                "/": lambda a=a, b=b: a / b,
                "%": lambda a=a, b=b: a % b,
            }[symbol]()
        expected.append(rounded(exact, result))
    assert expected == evaluate(bound, list(types), data)


@pytest.mark.parametrize(
    ("symbol", "left", "right", "result"),
    [
        ("+", (10, 2), (38, 10), (38, 9)),
        ("*", (38, 10), (38, 10), (38, 6)),
        ("*", (10, 2), (10, 2), (21, 4)),
        ("/", (10, 2), (10, 2), (23, 13)),
        ("/", (38, 10), (10, 2), (38, 8)),
        ("/", (19, 0), (19, 0), (38, 19)),
        ("%", (10, 2), (38, 10), (18, 10)),
        ("%", (19, 0), (19, 0), (19, 0)),
    ],
)
def test_decimal_result_types(
    symbol: str, left: tuple[int, int], right: tuple[int, int], result: tuple[int, int]
) -> None:
    """Precision and scale as Flink derives them."""
    bound = bind_call(symbol, columns(DecimalType(*left), DecimalType(*right)), None)
    assert DecimalType(*result) == bound.type


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=20)
)
def test_double_text_reads_back(values: list[float | None]) -> None:
    """CAST to STRING and back gives every DOUBLE again, -0.0 included."""
    column = columns(DoubleType())[0]
    text = bind_cast(column, VarCharType(), safe=False, span=None)
    back = bind_cast(text, DoubleType(), safe=False, span=None)
    found = evaluate(back, [DoubleType()], [values])
    assert list(map(repr, values)) == list(map(repr, found))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1) | st.none(), min_size=1, max_size=20),
    st.sampled_from(list(BITS)),
)
def test_narrowing_casts_wrap(values: list[int | None], target: type[DataType]) -> None:
    """CAST from BIGINT keeps the low bits."""
    bound = bind_cast(columns(BigIntType())[0], target(), safe=False, span=None)
    expected = [None if v is None else wrapped(v, BITS[target]) for v in values]
    assert expected == evaluate(bound, [BigIntType()], [values])


@settings(max_examples=150, deadline=None)
@given(decimal_columns())
def test_decimal_casts_round_half_up(
    case: tuple[list[DecimalType], list[list[Decimal | None]]],
) -> None:
    """CAST from one DECIMAL to another."""
    (source, target), (values, _) = case
    bound = bind_cast(columns(source)[0], target, safe=False, span=None)
    expected = [None if v is None else rounded(v, target) for v in values]
    assert expected == evaluate(bound, [source], [values])
