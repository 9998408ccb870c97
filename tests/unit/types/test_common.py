"""The common type of several."""

from __future__ import annotations

import pytest

from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    NullType,
    RowType,
    TimestampType,
    TinyIntType,
    VarCharType,
)
from flowsql.types.common import common_type
from flowsql.types.decimals import average_type, round_type


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((IntType(), BigIntType()), BigIntType()),
        ((TinyIntType(), DecimalType(10, 2)), DecimalType(10, 2)),
        ((DecimalType(10, 2), IntType()), DecimalType(12, 2)),
        ((DecimalType(38, 10), BigIntType()), DecimalType(38, 10)),
        ((DecimalType(2, 1), DecimalType(4, 2)), DecimalType(4, 2)),
        ((FloatType(), IntType()), FloatType()),
        ((FloatType(), DecimalType(10, 2)), DoubleType()),
        ((FloatType(), DoubleType()), FloatType()),
        ((DoubleType(), FloatType()), DoubleType()),
        ((CharType(1), CharType(3)), VarCharType(3)),
        ((CharType(3), CharType(3)), CharType(3)),
        ((CharType(3), VarCharType()), VarCharType()),
        ((TimestampType(3), TimestampType(6)), TimestampType(6)),
        ((LocalZonedTimestampType(3), TimestampType(3)), LocalZonedTimestampType(3)),
        ((IntType(nullable=False), NullType()), IntType()),
        ((NullType(), NullType()), NullType()),
        ((ArrayType(IntType()), ArrayType(BigIntType())), ArrayType(BigIntType())),
        (
            (RowType((Field("a", IntType()),)), RowType((Field("b", BigIntType()),))),
            RowType((Field("a", BigIntType()),)),
        ),
        ((IntType(), VarCharType()), None),
        ((BooleanType(), IntType()), None),
        ((DateType(), TimestampType(3)), None),
    ],
)
def test_common_types(types: tuple[DataType, ...], expected: DataType | None) -> None:
    """As Flink merges the branches of a CASE."""
    assert expected == common_type(types)


def test_not_null_only_if_all_are() -> None:
    """One nullable type makes the common type nullable."""
    sure = IntType(nullable=False)
    assert sure == common_type((sure, sure))
    assert IntType() == common_type((sure, IntType()))


def test_decimal_results() -> None:
    """ROUND may carry into one digit more; AVG keeps six digits at least."""
    assert DecimalType(10, 1) == round_type(DecimalType(10, 2), 1)
    assert DecimalType(9, 0) == round_type(DecimalType(10, 2), -1)
    assert DecimalType(38, 6) == average_type(DecimalType(10, 2))
    assert DecimalType(38, 10) == average_type(DecimalType(38, 10))
