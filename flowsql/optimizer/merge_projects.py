"""Two projections in a row become one.

    Project(x + 1)  over  Project(a + b AS x)  →  Project((a + b) + 1)

Not where that would compute something twice, or evaluate a non-deterministic value twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from flowsql.expr import Column, Expression, Literal, is_deterministic, walk
from flowsql.logical import LogicalPlan, PlanSettings, Project
from flowsql.optimizer.rewrite import bottom_up, substituted

__all__ = ["merge_projects"]


def merge_projects(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with neighbouring projections merged."""
    del settings
    return bottom_up(plan, _merge)


def _merge(node: LogicalPlan) -> LogicalPlan:
    while isinstance(node, Project) and isinstance(node.input, Project):
        below = node.input
        uses = Counter(e.index for x in node.expressions for e in walk(x) if isinstance(e, Column))
        if any(not _may_move(e, uses[i]) for i, e in enumerate(below.expressions)):
            break
        node = replace(
            node,
            input=below.input,
            expressions=tuple(_placed(e, below) for e in node.expressions),
        )
    return node


def _placed(expression: Expression, below: Project) -> Expression:
    if isinstance(expression, Column):
        # The error of a value that is only handed on points to where it is computed.
        return below.expressions[expression.index]
    return substituted(expression, below.expressions)


def _may_move(expression: Expression, uses: int) -> bool:
    if isinstance(expression, Column | Literal):
        return True
    return uses <= 1 and is_deterministic(expression)
