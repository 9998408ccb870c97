"""Conditions over a scan as predicates, the plain form in which a source is told of them.

    CAST(a AS BIGINT) BETWEEN 1 AND 5 AND NOT b = 'x'  →  a >= 1, a <= 5, b <> 'x'

What has no such form stays with the engine: functions, columns compared with columns, values that
the column's type does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Context, Decimal

from flowsql.catalog import ColumnKind
from flowsql.expr import Call, Cast, Column, Expression, Literal
from flowsql.logical import Scan
from flowsql.types import (
    MAX_LENGTH,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import is_character, is_exact, is_integer
from flowsql.types.decimals import as_decimal
from flowsql.types.predicates import And, Comparison, Constant, IsNull, OneOf, Or, Predicate

__all__ = ["predicate_of_condition"]

_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NEGATED = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_NULL_TESTS = {"IS NULL": False, "IS NOT NULL": True}
_DIGITS = Context(prec=100)


def predicate_of_condition(condition: Expression, scan: Scan) -> Predicate | None:
    """The condition as a predicate that is TRUE for the same rows; None where there is no such.

    Args:
        condition: over the output of the scan.
        scan: gives the columns' names; only physical columns can be told to a source.
    """

    def column(expression: Expression) -> tuple[str, DataType] | None:
        found = _without_widening(expression)
        if not isinstance(found, Column):
            return None
        bound = scan.table.columns[scan.columns[found.index]]
        if bound.kind is not ColumnKind.PHYSICAL:
            return None
        schema = scan.table.settings.schema
        return bound.name, schema.types[schema.index(bound.name)]

    return _convert(condition, column, negated=False)


_Columns = Callable[[Expression], tuple[str, DataType] | None]


def _convert(node: Expression, column: _Columns, *, negated: bool) -> Predicate | None:
    """The node, or what is TRUE where the node is FALSE."""
    if isinstance(node, Column):
        found = column(node)
        if found is None or not isinstance(found[1], BooleanType):
            return None
        return Comparison(*found, "=", not negated)
    if not isinstance(node, Call):
        return None
    name, args = node.function, node.args
    if name == "NOT":
        return _convert(args[0], column, negated=not negated)
    if name in {"AND", "OR"}:
        return _joined(args, column, every=(name == "AND") is not negated, negated=negated)
    if name in _NULL_TESTS:
        found = column(args[0])
        return None if found is None else IsNull(*found, _NULL_TESTS[name] is not negated)
    if name == "IS TRUE" and not negated:
        return _convert(args[0], column, negated=False)
    if name == "IN":
        return _one_of(args, column, negated=negated)
    if name in _MIRRORED and len(args) == 2:
        left, right = args
        if isinstance(left, Literal):
            name, left, right = _MIRRORED[name], right, left
        return _comparison(name, left, right, column, negated=negated)
    return None


def _joined(
    args: Sequence[Expression], column: _Columns, *, every: bool, negated: bool
) -> Predicate | None:
    parts: list[Predicate] = []
    for arg in args:
        part = _convert(arg, column, negated=negated)
        if part is None:
            return None
        # AND within AND is one AND.
        same = isinstance(part, And if every else Or)
        parts += part.parts if same and isinstance(part, And | Or) else [part]
    return And(tuple(parts)) if every else Or(tuple(parts))


def _comparison(
    name: str, left: Expression, right: Expression, column: _Columns, *, negated: bool
) -> Predicate | None:
    found = column(left)
    if found is None or not isinstance(right, Literal):
        return None
    value = _constant(right, found[1])
    # With NaN neither `<` nor `>=` holds.
    if value is None or (negated and isinstance(value, float)):
        return None
    return Comparison(*found, _NEGATED[name] if negated else name, value)


def _one_of(args: Sequence[Expression], column: _Columns, *, negated: bool) -> Predicate | None:
    found = column(args[0])
    if found is None:
        return None
    values = []
    for item in args[1:]:
        value = _constant(item, found[1]) if isinstance(item, Literal) else None
        if value is None:
            return None
        values.append(value)
    if negated:
        return And(tuple(Comparison(*found, "<>", v) for v in values))
    return OneOf(*found, tuple(values))


def _without_widening(node: Expression) -> Expression:
    """The expression below casts that keep every value, and the order of values, as they are."""
    while isinstance(node, Cast) and _widens(node.arg.type, node.type):
        node = node.arg
    return node


def _widens(have: DataType, want: DataType) -> bool:
    a, b = as_decimal(have), as_decimal(want)
    if a is not None and b is not None:
        return b.scale >= a.scale and b.precision - b.scale >= a.precision - a.scale
    match have, want:
        case (VarCharType(), VarCharType()):
            # A value may be longer than its column says, and a cast cuts it.
            return want.length == MAX_LENGTH
        case (TimestampType(precision=p), TimestampType(precision=q)) | (
            LocalZonedTimestampType(precision=p),
            LocalZonedTimestampType(precision=q),
        ):
            # Nanoseconds do not reach as far.
            return q >= p and (q <= 6) == (p <= 6)
        case _:
            return False


def _constant(literal: Literal, kind: DataType) -> Constant | None:
    """The literal as a storage value of the column's type; None where that is another value."""
    value, given = literal.value, literal.type
    if value is None or isinstance(value, bytes):
        return None
    digits = as_decimal(kind)
    if digits is not None and is_exact(given):
        number = _number(Decimal(value), digits)
        if number is None or not is_integer(kind):
            return number
        half = 1 << (arrow_type(kind).bit_width - 1)
        return int(number) if -half <= number < half else None
    if isinstance(kind, DoubleType) and isinstance(given, DoubleType):
        return value if isinstance(value, float) and math.isfinite(value) else None
    if is_character(kind) and is_character(given):
        return value
    for simple in (BooleanType, DateType, TimeType):
        if isinstance(kind, simple) and isinstance(given, simple):
            return value
    for timed in (TimestampType, LocalZonedTimestampType):
        if isinstance(kind, timed) and isinstance(given, timed):
            assert isinstance(value, int)
            if (kind.precision > 6) == (given.precision > 6):
                return value
            return value * 1000 if kind.precision > 6 else None
    return None


def _number(value: Decimal, digits: DecimalType) -> Decimal | None:
    scaled = value.quantize(Decimal(1).scaleb(-digits.scale), context=_DIGITS)
    if scaled != value or abs(scaled.scaleb(digits.scale, _DIGITS)) >= 10**digits.precision:
        return None
    return scaled
