"""Result types of DECIMAL arithmetic, as Flink derives them.

A type that would need more than 38 digits gives up fraction digits, but keeps at least six.
"""

from __future__ import annotations

from flowsql.types.datatypes import (
    BigIntType,
    DataType,
    DecimalType,
    IntType,
    SmallIntType,
    TinyIntType,
)

__all__ = [
    "MAX_PRECISION",
    "as_decimal",
    "average_type",
    "division_type",
    "modulo_type",
    "product_type",
    "round_type",
    "sum_type",
]

MAX_PRECISION = 38
_MIN_SCALE = 6

_INTEGER_DIGITS: dict[type[DataType], int] = {
    TinyIntType: 3,
    SmallIntType: 5,
    IntType: 10,
    BigIntType: 19,
}


def as_decimal(data_type: DataType) -> DecimalType | None:
    """An exact numeric type seen as DECIMAL, or None for any other type."""
    if isinstance(data_type, DecimalType):
        return data_type
    digits = _INTEGER_DIGITS.get(type(data_type))
    return None if digits is None else DecimalType(digits, 0, nullable=data_type.nullable)


def _fitted(precision: int, scale: int) -> DecimalType:
    if precision <= MAX_PRECISION:
        return DecimalType(precision, scale)
    whole = precision - scale
    return DecimalType(MAX_PRECISION, max(MAX_PRECISION - whole, min(scale, _MIN_SCALE)))


def sum_type(a: DecimalType, b: DecimalType) -> DecimalType:
    """The type of a + b and a - b."""
    scale = max(a.scale, b.scale)
    return _fitted(max(a.precision - a.scale, b.precision - b.scale) + scale + 1, scale)


def product_type(a: DecimalType, b: DecimalType) -> DecimalType:
    """The type of a * b."""
    return _fitted(a.precision + b.precision + 1, a.scale + b.scale)


def division_type(a: DecimalType, b: DecimalType) -> DecimalType:
    """The type of a / b."""
    scale = max(6, a.scale + b.precision + 1)
    return _fitted(a.precision - a.scale + b.scale + scale, scale)


def modulo_type(a: DecimalType, b: DecimalType) -> DecimalType:
    """The type of a % b, where one of them has a fraction."""
    scale = max(a.scale, b.scale)
    return _fitted(min(a.precision - a.scale, b.precision - b.scale) + scale, scale)


def round_type(a: DecimalType, digits: int) -> DecimalType:
    """The type of ROUND(a, digits); one digit more, since 9.9 rounds to 10."""
    if digits >= a.scale:
        return DecimalType(a.precision, a.scale)
    whole = a.precision - a.scale + 1
    if digits < 0:
        return DecimalType(min(MAX_PRECISION, whole), 0)
    return DecimalType(whole + digits, digits)


def average_type(a: DecimalType) -> DecimalType:
    """The type of AVG over DECIMAL: the quotient of its sum and a count."""
    return division_type(DecimalType(MAX_PRECISION, a.scale), DecimalType(20, 0))
