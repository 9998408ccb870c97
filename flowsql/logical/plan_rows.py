"""Plan nodes that choose, order or multiply the rows of their input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from flowsql.expr import Column, Expression, render
from flowsql.logical.plan import Binary, LogicalPlan, Unary, ttl_text, without_time
from flowsql.types import (
    ArrayType,
    BigIntType,
    DataType,
    Field,
    IntType,
    MapType,
    MultisetType,
    RowType,
)

__all__ = [
    "Expand",
    "Number",
    "Rank",
    "RankFunction",
    "SemiJoin",
    "SetKind",
    "SetOperation",
    "Sort",
    "SortKey",
    "Unnest",
    "column",
    "elements",
]


@dataclass(frozen=True, slots=True)
class SemiJoin(Binary):
    """Rows of the left side that have a match, or have none (`anti`): IN, EXISTS and their NOT.

    Attributes:
        condition: over the left columns, then the right ones; None: any row is a match.
        null_aware: `left NOT IN (right)`, the condition being that one equality, with NULL as SQL
            has it.
        ttls: as of `Join`.
    """

    condition: Expression | None
    anti: bool = False
    null_aware: bool = False
    ttls: tuple[int | None, int | None] = (None, None)

    def _fields(self) -> tuple[Field, ...]:
        return tuple(replace(f, type=without_time(f.type)) for f in self.left.schema.fields)

    def __str__(self) -> str:
        on = "TRUE" if self.condition is None else render(self.condition)
        kind = "not in" if self.null_aware else "anti" if self.anti else "semi"
        return f"SemiJoin({kind}, {on}{ttl_text(*self.ttls)})"


class SetKind(Enum):
    """How two inputs are compared, row by row; NULL equals NULL."""

    INTERSECT = "intersect"
    EXCEPT = "except"


@dataclass(frozen=True, slots=True)
class SetOperation(Binary):
    """INTERSECT [ALL] and EXCEPT [ALL] of inputs with equal types; the names are the left one's."""

    kind: SetKind
    all: bool

    def _fields(self) -> tuple[Field, ...]:
        sides = zip(self.left.schema.fields, self.right.schema.fields, strict=True)
        return tuple(
            Field(a.name, without_time(a.type).with_nullable(a.type.nullable or b.type.nullable))
            for a, b in sides
        )

    def __str__(self) -> str:
        every = ", all" if self.all else ""
        return f"SetOperation({self.kind.value}{every})"


@dataclass(frozen=True, slots=True)
class SortKey:
    """One column of ORDER BY."""

    column: int
    descending: bool = False
    nulls_first: bool = True

    def text(self, names: Sequence[str]) -> str:
        """As SQL; NULLS is said where it is not the default."""
        nulls = (
            ""
            if self.nulls_first is not self.descending
            else (" NULLS FIRST" if self.nulls_first else " NULLS LAST")
        )
        return f"{names[self.column]}{' DESC' if self.descending else ''}{nulls}"


@dataclass(frozen=True, slots=True)
class Sort(Unary):
    """ORDER BY, OFFSET and LIMIT; `order` may be empty.

    Attributes:
        offset: rows left out first.
        fetch: how many follow; None for all.
    """

    order: tuple[SortKey, ...]
    offset: int = 0
    fetch: int | None = None

    def _fields(self) -> tuple[Field, ...]:
        # As in Flink, rows that are chosen by others carry no time attribute.
        return tuple(replace(f, type=without_time(f.type)) for f in self.input.schema.fields)

    def __str__(self) -> str:
        names = self.schema.names
        parts = [f"order=[{', '.join(k.text(names) for k in self.order)}]"] if self.order else []
        parts += [f"offset={self.offset}"] if self.offset else []
        parts += [f"fetch={self.fetch}"] if self.fetch is not None else []
        return f"Sort({', '.join(parts)})"


class RankFunction(Enum):
    """How the rows of a partition are numbered; ROW_NUMBER numbers equal ones as they came."""

    ROW_NUMBER = "ROW_NUMBER"
    RANK = "RANK"
    DENSE_RANK = "DENSE_RANK"


@dataclass(frozen=True, slots=True)
class Number(Unary):
    """`ROW_NUMBER() OVER (PARTITION BY … ORDER BY …)`: the input's columns, then the number.

    Where a condition chooses by the number, the rule `rank_rows` makes a `Rank` of it.
    """

    partition: tuple[int, ...]
    order: tuple[SortKey, ...]
    function: RankFunction
    name: str

    def _fields(self) -> tuple[Field, ...]:
        given = (replace(f, type=without_time(f.type)) for f in self.input.schema.fields)
        return (*given, Field(self.name, BigIntType(nullable=False)))

    def __str__(self) -> str:
        return f"Number({_ranking(self.function, self.input, self.partition, self.order)})"


@dataclass(frozen=True, slots=True)
class Rank(Unary):
    """Top-N: the rows whose number in their partition is from `start` to `end`.

    Attributes:
        end: None where `end_column` says it.
        end_column: column of the input, the same in all rows of a partition.
        name: of the column with the number, behind the input's; None: it is not given.
    """

    partition: tuple[int, ...]
    order: tuple[SortKey, ...]
    function: RankFunction
    start: int
    end: int | None
    end_column: int | None
    name: str | None

    def _fields(self) -> tuple[Field, ...]:
        # As in Flink, the rows of a Top-N carry no time attribute.
        given = tuple(replace(f, type=without_time(f.type)) for f in self.input.schema.fields)
        return (
            given
            if self.name is None
            else (
                *given,
                Field(self.name, BigIntType(nullable=False)),
            )
        )

    def __str__(self) -> str:
        names = self.input.schema.names
        end = self.end if self.end_column is None else names[self.end_column]
        ranking = _ranking(self.function, self.input, self.partition, self.order)
        return f"Rank({ranking}, {self.start} to {end})"


def _ranking(
    function: RankFunction,
    plan: LogicalPlan,
    partition: Sequence[int],
    order: Sequence[SortKey],
) -> str:
    names = plan.schema.names
    keys = ", ".join(names[c] for c in partition)
    return (
        f"{function.value}, partition=[{keys}], order=[{', '.join(k.text(names) for k in order)}]"
    )


@dataclass(frozen=True, slots=True)
class Expand(Unary):
    """Every row once for each projection: GROUPING SETS.

    Attributes:
        projections: of equal types but for NULL.
        names: of the columns.
    """

    projections: tuple[tuple[Expression, ...], ...]
    names: tuple[str, ...]

    def _fields(self) -> tuple[Field, ...]:
        return tuple(
            Field(name, values[0].type.with_nullable(any(v.type.nullable for v in values)))
            for name, values in zip(self.names, zip(*self.projections, strict=True), strict=True)
        )

    def __str__(self) -> str:
        shown = "; ".join(", ".join(map(render, p)) for p in self.projections)
        return f"Expand({shown})"


@dataclass(frozen=True, slots=True)
class Unnest(Unary):
    """Every row once for each element of a collection: its columns, then the element's.

    Attributes:
        collection: column of the input.
        names: of the element's columns and the ordinal.
        ordinality: the element's number is the last column.
        outer: a row without elements is given with NULLs.
        condition: over the node's columns; an element counts only where it is TRUE.
    """

    collection: int
    names: tuple[str, ...]
    ordinality: bool = False
    outer: bool = False
    condition: Expression | None = None

    def _fields(self) -> tuple[Field, ...]:
        kinds = [t for _, t in elements(self.input.schema.types[self.collection])]
        if self.ordinality:
            kinds.append(IntType(nullable=False))
        made = [
            Field(n, t.with_nullable(True) if self.outer else t)
            for n, t in zip(self.names, kinds, strict=True)
        ]
        return (*self.input.schema.fields, *made)

    def __str__(self) -> str:
        parts = [self.input.schema.names[self.collection], f"as=[{', '.join(self.names)}]"]
        parts += ["outer"] if self.outer else []
        parts += [render(self.condition)] if self.condition is not None else []
        return f"Unnest({', '.join(parts)})"


def elements(collection: DataType) -> list[tuple[str, DataType]]:
    """Names and types of the columns that an element gives; empty for what is no collection."""
    match collection:
        case MapType(key=key, value=value):
            return [("f0", key), ("f1", value)]
        case ArrayType(element=RowType() as row) | MultisetType(element=RowType() as row):
            return [(f.name, f.type.with_nullable(f.type.nullable)) for f in row.fields]
        case ArrayType(element=element) | MultisetType(element=element):
            return [("f0", element)]
        case _:
            return []


def column(plan: LogicalPlan, index: int) -> Column:
    """A column of a plan, as a value of the next node."""
    found = plan.schema.fields[index]
    return Column(type=found.type, index=index, name=found.name)
