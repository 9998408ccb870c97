"""Conditions of a query as the client's expressions, to leave out files in which no row fulfils them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from decimal import Context, Decimal
from typing import Any, Final

from pyiceberg import expressions as e
from pyiceberg.expressions.literals import LongLiteral
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import TruncateTransform
from pyiceberg.types import IntegerType, LongType

from flowsql.connector import And, Comparison, IsNull, OneOf, Or, Predicate
from flowsql.types import (
    DataType,
    DateType,
    DecimalType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
)

__all__ = ["file_filter"]

_MOST_VALUES: Final = 200
_MICROSECONDS: Final = 6
_INT: Final = 2**31 - 1
_LONG: Final = 2**63 - 1
_EVERY_DIGIT: Final = Context(prec=200)

# By the client's own notation; its types know another one only.
_NULL: Final[Any] = e.IsNull
_NOT_NULL: Final[Any] = e.NotNull
_OPERATORS: Final[dict[str, Any]] = {
    "=": e.EqualTo,
    "<": e.LessThan,
    "<=": e.LessThanOrEqual,
    ">": e.GreaterThan,
    ">=": e.GreaterThanOrEqual,
}


def file_filter(predicates: Iterable[Predicate], metadata: TableMetadata) -> e.BooleanExpression:
    """An expression that holds for every row for which all the predicates do, and perhaps for more.

    Args:
        predicates: of the query; what is said of columns that the table does not have is left out.
        metadata: of the table.
    """
    names = {x.name for x in metadata.schema().fields}
    found: e.BooleanExpression = e.AlwaysTrue()
    for predicate in predicates:
        found = e.And(found, _expression(predicate, names))
    for misplaced in _misplaced(metadata):
        found = e.Or(found, misplaced)
    return found


def _misplaced(metadata: TableMetadata) -> Iterator[e.BooleanExpression]:
    """The largest numbers: in their partitions are the least ones, where no condition looks for them.

    `truncate(10, x)` of -2,147,483,648 would be -2,147,483,650. This has no place in an INT, and all
    writers take it for 2,147,483,646.
    """
    widths: dict[int, int] = {}
    for spec in metadata.specs().values():
        for field in spec.fields:
            if isinstance(field.transform, TruncateTransform):
                width = max(field.transform.width, widths.get(field.source_id, 0))
                widths[field.source_id] = width
    for column in metadata.schema().fields:
        if not isinstance(column.field_type, IntegerType | LongType):
            continue
        if (width := widths.get(column.field_id, 0)) > 0:
            above, below = _OPERATORS[">"], _OPERATORS["<"]
            if isinstance(column.field_type, IntegerType):
                yield above(column.name, _INT - width)
                continue
            yield above(column.name, _LONG - width)
            # It may have been an INT before.
            yield e.And(above(column.name, _INT - width), below(column.name, _INT + width))


def _expression(predicate: Predicate, names: set[str]) -> e.BooleanExpression:
    match predicate:
        case And(parts=parts):
            found: e.BooleanExpression = e.AlwaysTrue()
            for part in parts:
                found = e.And(found, _expression(part, names))
            return found
        case Or(parts=parts):
            found = e.AlwaysFalse()
            for part in parts:
                found = e.Or(found, _expression(part, names))
            return found
        case _ if predicate.column not in names:
            return e.AlwaysTrue()
        case IsNull(column=column, negated=negated):
            return _NOT_NULL(column) if negated else _NULL(column)
        case OneOf(column=column, type=kind, values=values):
            if len(values) > _MOST_VALUES:
                return e.AlwaysTrue()
            found = e.AlwaysFalse()
            for value in values:
                found = e.Or(found, _compared(column, kind, "=", value))
            return found
        case Comparison(column=column, type=kind, operator=operator, value=value):
            return _compared(column, kind, operator, value)


def _compared(column: str, kind: DataType, operator: str, value: Any) -> e.BooleanExpression:
    unit = _unit(kind)
    if unit is None or operator == "<>":
        # Files in which nothing is other than the value are too few to look for.
        return e.AlwaysTrue()
    stored = _stored(kind, value)
    if stored is None:
        return e.AlwaysTrue()
    if unit == 1:
        return _OPERATORS[operator](column, stored)
    # Finer digits than the column is declared with are cut off when it is read.
    low, high = LongLiteral(stored.value), LongLiteral(stored.value + unit)
    from_low, below_high = _OPERATORS[">="](column, low), _OPERATORS["<"](column, high)
    match operator:
        case "=":
            return e.And(from_low, below_high)
        case "<" | "<=":
            return below_high
        case _:
            return from_low


def _unit(kind: DataType) -> int | None:
    """How many of the values in a file are read as one; None where that is not known."""
    match kind:
        case TimestampType(precision=p) | LocalZonedTimestampType(precision=p):
            return None if p > _MICROSECONDS else int(10 ** (_MICROSECONDS - p))
        case TimeType():
            return 1_000_000
    return 1


def _stored(kind: DataType, value: Any) -> Any:
    """The constant as a value of the table; None where it cannot be one."""
    match kind:
        case TimeType():
            # Whole seconds or milliseconds; the smallest that is read as it lies a second before.
            return LongLiteral(value * 1000)
        case DateType() | TimestampType() | LocalZonedTimestampType():
            return LongLiteral(value)
        case DecimalType(precision=precision, scale=scale):
            # A constant may have more digits than the context of the client's caller.
            shown = Decimal(value).quantize(Decimal(1).scaleb(-scale), context=_EVERY_DIGIT)
            fits = shown == value and len(shown.as_tuple().digits) <= precision
            return shown if fits else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
