"""Values that an expression takes from beside its row: sub-queries and row numbers.

While expressions are bound such a value is a `Placeholder`. When all are bound, `attach` puts the
nodes that give the values on top of the plan, as further columns, and `settle` turns the
placeholders into these columns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from flowsql.errors import Span
from flowsql.expr import Column, Expression, columns_read, transform
from flowsql.logical.plan import LogicalPlan
from flowsql.types import DataType

__all__ = ["Attachments", "Placeholder", "retyped"]

Maker = Callable[[LogicalPlan], tuple[LogicalPlan, Expression]]


@dataclass(frozen=True, slots=True)
class Placeholder(Expression):
    """A value that is attached to the row later: the `number`th of the clause's `kind`."""

    kind: str
    number: int


class Attachments:
    """The values of one kind that a clause's expressions take from beside their row."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._makers: list[Maker] = []
        self._values: list[Expression] = []
        self._known: dict[Hashable, int] = {}

    def add(
        self, kind: DataType, span: Span, maker: Maker, same: Hashable | None = None
    ) -> Placeholder:
        """A value; `maker` puts what gives it on top of a plan and says what it is there.

        The plan's columns keep their places; the value reads the new plan's columns. Values that
        are the `same` (equal, not None) are made once.
        """
        number = self._known.setdefault(same, len(self._makers)) if same else len(self._makers)
        if number == len(self._makers):
            self._makers.append(maker)
        return Placeholder(type=kind, kind=self._kind, number=number, span=span)

    def attach(self, plan: LogicalPlan) -> LogicalPlan:
        """The plan with all values beside its columns."""
        for maker in self._makers[len(self._values) :]:
            plan, value = maker(plan)
            self._values.append(value)
        return plan

    def settle(self, expression: Expression) -> Expression:
        """The expression with columns of the attached plan for its placeholders."""

        def put(e: Expression) -> Expression:
            if not isinstance(e, Placeholder) or e.kind != self._kind:
                return e
            found = self._values[e.number]
            if isinstance(found, Column):
                return replace(found, type=e.type, span=e.span)
            return replace(found, span=e.span)

        return transform(expression, put)


def retyped(expression: Expression, plan: LogicalPlan) -> Expression:
    """The expression over a plan in which a join may have ended time attributes."""
    types = plan.schema.types

    def put(e: Expression) -> Expression:
        if isinstance(e, Column) and e.type != types[e.index]:
            return replace(e, type=types[e.index])
        return e

    return transform(expression, put) if columns_read(expression) else expression
