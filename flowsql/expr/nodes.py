"""Bound expressions: typed, resolved, without a trace of the parser.

`logical/` makes them through `bind_call` and `bind_cast`, rules rewrite them, `evaluate.py`
compiles them, `physical/` stores them in the manifest and hashes them into operators' ids.
Aggregate calls are no expressions: they stand in the plan node that computes them.

Values of a `Literal` are storage values, so that `pa.scalar(value, arrow_type(type))` is the
constant: bool, int, float, str, bytes, `decimal.Decimal`; DATE is days, TIME milliseconds,
TIMESTAMP and TIMESTAMP_LTZ the integer of their Arrow unit (µs, or ns above precision 6),
intervals months or milliseconds; None is NULL. Nested values are `Call`s of a constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from flowsql.errors import Span
from flowsql.types import DataType

__all__ = [
    "AggregateCall",
    "Call",
    "Case",
    "Cast",
    "Column",
    "Expression",
    "FieldAccess",
    "Literal",
    "LiteralValue",
    "columns_read",
    "transform",
    "walk",
]

LiteralValue = bool | int | float | str | bytes | Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Base of all: every expression knows its type.

    Attributes:
        type: the result type with its nullability.
        span: where it stands in the SQL; no part of equality.
    """

    type: DataType
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def children(self) -> tuple[Expression, ...]:
        """The expressions directly below."""
        return ()

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        """The same node over other children, given in the order of `children`."""
        del children
        return self


@dataclass(frozen=True, slots=True)
class Column(Expression):
    """A column of the input row, by position; `name` is for people."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A constant."""

    value: LiteralValue


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A scalar function or operator of the registry, with arguments already cast.

    `function` is the registry's name in upper case: `"+"`, `"AND"`, `"IS NULL"`, `"UPPER"`.
    """

    function: str
    args: tuple[Expression, ...]

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.args

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return replace(self, args=children)


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """CAST, or TRY_CAST (`safe`: NULL instead of an error)."""

    arg: Expression
    safe: bool = False

    @property
    def children(self) -> tuple[Expression, ...]:
        return (self.arg,)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return replace(self, arg=children[0])


@dataclass(frozen=True, slots=True)
class Case(Expression):
    """Searched CASE; a branch is evaluated only on the rows that reach it.

    Attributes:
        conditions: BOOLEAN each; the first that is TRUE chooses.
        results: one a condition, then the ELSE; all of the node's type.
    """

    conditions: tuple[Expression, ...]
    results: tuple[Expression, ...]

    @property
    def children(self) -> tuple[Expression, ...]:
        return self.conditions + self.results

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        n = len(self.conditions)
        return replace(self, conditions=children[:n], results=children[n:])


@dataclass(frozen=True, slots=True)
class FieldAccess(Expression):
    """A member of a ROW, by position."""

    arg: Expression
    index: int

    @property
    def children(self) -> tuple[Expression, ...]:
        return (self.arg,)

    def with_children(self, children: tuple[Expression, ...]) -> Expression:
        return replace(self, arg=children[0])


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate of an aggregating plan node.

    Attributes:
        function: the registry's name, upper case: `"COUNT"`, `"SUM"`, …; COUNT(*) has no args.
        args: columns of the node's input (the planner projects expressions below it). Values of
            JSON_ARRAYAGG are JSON texts; JSON_OBJECTAGG has the key and the text of its member.
        distinct: DISTINCT was written.
        filter: the BOOLEAN column of FILTER (WHERE …), or None.
        type: the result type.
        constants: arguments and clauses that are no columns: LISTAGG's separator, PERCENTILE's
            percentages, `"NULL"` ON NULL of JSON_ARRAYAGG, `"IGNORE NULLS"` of ARRAY_AGG.
    """

    function: str
    args: tuple[Column, ...]
    distinct: bool
    filter: Column | None
    type: DataType
    constants: tuple[LiteralValue, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all below it, parents first."""
    yield expression
    for child in expression.children:
        yield from walk(child)


def transform(expression: Expression, rewrite: Callable[[Expression], Expression]) -> Expression:
    """`rewrite` applied to every node, children first."""
    children = expression.children
    if children:
        changed = tuple(transform(c, rewrite) for c in children)
        if changed != children:
            expression = expression.with_children(changed)
    return rewrite(expression)


def columns_read(expression: Expression) -> frozenset[int]:
    """Positions of the input columns that the expression reads."""
    return frozenset(e.index for e in walk(expression) if isinstance(e, Column))
