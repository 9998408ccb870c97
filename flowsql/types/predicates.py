"""Conditions in a plain form: what a source is told of the rows that a query wants.

A predicate compares one column with constants; AND and OR join predicates. Constants are storage
values of the column's type: bool, int, float, str, `decimal.Decimal`; DATE is days, TIME
milliseconds, TIMESTAMP and TIMESTAMP_LTZ the integer of their Arrow unit (µs, or ns above
precision 6). They are never NULL, NaN or infinite, so that `predicate_json` is plain JSON.

A row passes for which the predicate is TRUE, neither FALSE nor UNKNOWN.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from flowsql.types.datatypes import DataType
from flowsql.types.moments import moment_text
from flowsql.types.parser import parse_type

__all__ = [
    "And",
    "Comparison",
    "Constant",
    "IsNull",
    "OneOf",
    "Or",
    "Predicate",
    "ScanFilter",
    "Taken",
    "ValueRange",
    "columns_of_predicate",
    "filter_texts",
    "may_hold",
    "predicate_json",
    "predicate_of",
    "predicate_text",
]

Constant: TypeAlias = bool | int | float | str | Decimal


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column operator value`; the operator is one of `= <> < <= > >=`."""

    column: str
    type: DataType
    operator: str
    value: Constant


@dataclass(frozen=True, slots=True)
class OneOf:
    """`column IN (values)`; at least one value."""

    column: str
    type: DataType
    values: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """`column IS NULL`, or `IS NOT NULL` if `negated`."""

    column: str
    type: DataType
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part holds."""

    parts: tuple[Predicate, ...]


Predicate: TypeAlias = Comparison | OneOf | IsNull | And | Or


class Taken(Enum):
    """What a source does with a predicate that it is offered.

    EXACT: only rows for which it is TRUE come, and all of them; the engine checks no more.
    COARSE: some rows may be left out for which it is not TRUE; the engine checks each that comes.
    NOT: nothing.
    """

    EXACT = "exact"
    COARSE = "coarse"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class ScanFilter:
    """A predicate that a source took.

    Attributes:
        predicate: the condition.
        taken: EXACT or COARSE.
        partitions: it reads only columns of PARTITIONED BY.
    """

    predicate: Predicate
    taken: Taken
    partitions: bool = False


@dataclass(frozen=True, slots=True)
class ValueRange:
    """What is known of a column's values in some rows: a file, a row group, a partition.

    Attributes:
        low, high: no value is below or above; None where that is not known, or there is no value.
        nulls: some value may be NULL.
        values: some value may be other than NULL.
        nan: there may be NaN, which `low` and `high` leave out.
    """

    low: Constant | None = None
    high: Constant | None = None
    nulls: bool = True
    values: bool = True
    nan: bool = False

    @staticmethod
    def point(value: Constant | None) -> ValueRange:
        """Every row has this value."""
        return ValueRange(value, value, nulls=value is None, values=value is not None)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def may_hold(predicate: Predicate, ranges: Callable[[str], ValueRange | None]) -> bool:
    """Whether some row may pass.

    Args:
        predicate: the condition.
        ranges: what is known of a column; None for nothing.

    False is certain: no row passes. True is certain as well where every column that the predicate
    reads has the same value in all rows (`ValueRange.point`).
    """
    match predicate:
        case And(parts=parts):
            return all(may_hold(p, ranges) for p in parts)
        case Or(parts=parts):
            return any(may_hold(p, ranges) for p in parts)
        case IsNull(column=column, negated=negated):
            known = ranges(column)
            return known is None or (known.values if negated else known.nulls)
        case Comparison(column=column, operator=name, value=value):
            known = ranges(column)
            return known is None or (known.values and _may_compare(name, value, known))
        case OneOf(column=column, values=values):
            known = ranges(column)
            return known is None or (
                known.values and any(_may_compare("=", v, known) for v in values)
            )


def _may_compare(name: str, value: Any, known: ValueRange) -> bool:
    low: Any = known.low
    high: Any = known.high
    above = low is None or low <= value
    below = high is None or high >= value
    match name:
        case "=":
            return above and below
        case "<>":
            # NaN is other than everything.
            return known.nan or low is None or high is None or not low == value == high
        case "<" | "<=":
            return low is None or _COMPARE[name](low, value)
        case _:
            return high is None or _COMPARE[name](high, value)


def columns_of_predicate(predicate: Predicate) -> frozenset[str]:
    """Names of the columns that it reads."""
    return frozenset(p.column for p in _leaves(predicate))


def _leaves(predicate: Predicate) -> Iterator[Comparison | OneOf | IsNull]:
    match predicate:
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from _leaves(part)
        case _:
            yield predicate


def predicate_json(predicate: Predicate) -> dict[str, Any]:
    """The predicate as plain JSON; a DECIMAL stands as text."""
    match predicate:
        case And(parts=parts):
            return {"and": [predicate_json(p) for p in parts]}
        case Or(parts=parts):
            return {"or": [predicate_json(p) for p in parts]}
        case IsNull(column=column, type=kind, negated=negated):
            return {"column": column, "type": str(kind), "null": not negated}
        case OneOf(column=column, type=kind, values=values):
            return {"column": column, "type": str(kind), "in": [_plain(v) for v in values]}
        case Comparison(column=column, type=kind, operator=name, value=value):
            return {"column": column, "type": str(kind), "op": name, "value": _plain(value)}


def predicate_of(data: dict[str, Any]) -> Predicate:
    """The predicate that `predicate_json` gave.

    Raises:
        ValueError: it is of no known form.
    """
    match data:
        case {"and": [*parts]}:
            return And(tuple(map(predicate_of, parts)))
        case {"or": [*parts]}:
            return Or(tuple(map(predicate_of, parts)))
        case {"column": str(column), "type": str(text), "null": bool(null)}:
            return IsNull(column, parse_type(text), not null)
        case {"column": str(column), "type": str(text), "in": [*values]}:
            kind = parse_type(text)
            return OneOf(column, kind, tuple(_value(v, kind) for v in values))
        case {"column": str(column), "type": str(text), "op": str(name), "value": value} if (
            name in _COMPARE
        ):
            kind = parse_type(text)
            return Comparison(column, kind, name, _value(value, kind))
        case _:
            raise ValueError(f"{data!r} is no predicate")


def _plain(value: Constant) -> bool | int | float | str:
    return str(value) if isinstance(value, Decimal) else value


def _value(value: Any, kind: DataType) -> Any:
    return Decimal(value) if kind.root == "DECIMAL" else value


def predicate_text(predicate: Predicate) -> str:
    """For people: `(dt = 'x') OR (n > 3)`."""
    match predicate:
        case And(parts=parts):
            return " AND ".join(f"({predicate_text(p)})" for p in parts)
        case Or(parts=parts):
            return " OR ".join(f"({predicate_text(p)})" for p in parts)
        case IsNull(column=column, negated=negated):
            return f"{column} IS {'NOT ' * negated}NULL"
        case OneOf(column=column, type=kind, values=values):
            return f"{column} IN ({', '.join(_shown(v, kind) for v in values)})"
        case Comparison(column=column, type=kind, operator=name, value=value):
            return f"{column} {name} {_shown(value, kind)}"


def filter_texts(filters: Iterable[ScanFilter]) -> list[str]:
    """For EXPLAIN: `partitions=[…]` and `filter=[…]`, as far as there are any."""
    told = tuple(filters)
    shown = []
    for name, partitions in (("partitions", True), ("filter", False)):
        texts = [predicate_text(f.predicate) for f in told if f.partitions is partitions]
        if texts:
            shown.append(f"{name}=[{', '.join(texts)}]")
    return shown


def _shown(value: Constant, kind: DataType) -> str:
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    moment = moment_text(kind, value) if isinstance(value, int) else None
    if moment is not None:
        return moment
    return str(value).upper() if isinstance(value, bool) else str(value)
