"""A projection that gives its input as it is vanishes.

    Project(a, b)  over  Scan(a, b)  →  Scan(a, b)

The outermost one of a statement stays where it renames, for the names are the result's.
"""

from __future__ import annotations

from flowsql.expr import Column
from flowsql.logical import LogicalPlan, PlanSettings, Project
from flowsql.optimizer.rewrite import bottom_up

__all__ = ["remove_projects"]


def remove_projects(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan without projections that do nothing."""
    del settings
    return bottom_up(plan, _remove)


def _remove(node: LogicalPlan) -> LogicalPlan:
    if not isinstance(node, Project):
        return node
    below = node.input.schema
    same = len(node.expressions) == len(below.fields) and all(
        isinstance(e, Column) and e.index == i and e.type == below.types[i]
        for i, e in enumerate(node.expressions)
    )
    return node.input if same and node.names == below.names else node
