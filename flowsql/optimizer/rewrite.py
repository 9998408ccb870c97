"""What rules share: walking plans, moving expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from flowsql.expr import Call, Column, Expression, bind_call, transform
from flowsql.logical import LogicalPlan, Project

__all__ = [
    "bottom_up",
    "columns_of",
    "conjunction",
    "conjuncts",
    "moved",
    "select",
    "substituted",
]


def bottom_up(plan: LogicalPlan, rewrite: Callable[[LogicalPlan], LogicalPlan]) -> LogicalPlan:
    """`rewrite` applied to every node, inputs first."""
    inputs = plan.inputs
    changed = tuple(bottom_up(i, rewrite) for i in inputs)
    if any(a is not b for a, b in zip(inputs, changed, strict=True)):
        plan = plan.with_inputs(changed)
    return rewrite(plan)


def conjuncts(condition: Expression | None) -> Iterator[Expression]:
    """The parts of a condition that all must hold."""
    if isinstance(condition, Call) and condition.function == "AND":
        for part in condition.args:
            yield from conjuncts(part)
    elif condition is not None:
        yield condition


def conjunction(parts: Sequence[Expression]) -> Expression | None:
    """One condition that holds where all parts do; None for no parts."""
    result: Expression | None = None
    for part in parts:
        result = part if result is None else bind_call("AND", [result, part], result.span)
    return result


def substituted(
    expression: Expression, values: Mapping[int, Expression] | Sequence[Expression]
) -> Expression:
    """The expression with every column replaced by its value."""

    def put(e: Expression) -> Expression:
        return values[e.index] if isinstance(e, Column) else e

    return transform(expression, put)


def moved(expression: Expression, places: Mapping[int, int]) -> Expression:
    """The expression with column `c` at `places[c]`."""

    def put(e: Expression) -> Expression:
        return replace(e, index=places[e.index]) if isinstance(e, Column) else e

    return transform(expression, put)


def columns_of(plan: LogicalPlan) -> tuple[Column, ...]:
    """All columns of a plan, in order."""
    return tuple(
        Column(type=f.type, index=i, name=f.name) for i, f in enumerate(plan.schema.fields)
    )


def select(plan: LogicalPlan, columns: Sequence[int]) -> Project:
    """A projection to some columns."""
    every = columns_of(plan)
    chosen = tuple(every[c] for c in columns)
    return Project(plan, chosen, tuple(c.name for c in chosen))
