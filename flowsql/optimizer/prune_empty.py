"""What never has a row is not computed.

    Aggregate(keys=[], COUNT(*))  over  Filter(FALSE)  over  Scan(t)  →  Values(0)

As in Flink, a global aggregate over it gives its row, in streaming mode too, where the aggregate of
a table that is merely empty gives none.
"""

from __future__ import annotations

from flowsql.expr import Column, Literal
from flowsql.logical import (
    Aggregate,
    Filter,
    Insert,
    Join,
    JoinKind,
    LogicalPlan,
    PlanSettings,
    Project,
    SemiJoin,
    SetKind,
    SetOperation,
    Sort,
    Union,
    Values,
)
from flowsql.optimizer.rewrite import bottom_up, conjuncts

__all__ = ["prune_empty"]


def prune_empty(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan without what stands over conditions that never hold."""
    del settings
    return bottom_up(plan, _prune)


def _prune(node: LogicalPlan) -> LogicalPlan:
    empty = [_is_empty(i) for i in node.inputs]
    match node:
        case Insert():
            return node
        case Filter():
            never = any(
                isinstance(part, Literal) and part.value is not True
                for part in conjuncts(node.condition)
            )
            gone = never or empty[0]
        case Aggregate(keys=()) if empty[0]:
            row = tuple(0 if call.function == "COUNT" else None for call in node.calls)
            return Values(node.schema, (row,), span=node.span)
        case Join(kind=JoinKind.INNER):
            gone = any(empty)
        case Join(kind=JoinKind.LEFT):
            gone = empty[0]
        case Join(kind=JoinKind.RIGHT):
            gone = empty[1]
        case SemiJoin():
            if empty[1] and node.anti and not empty[0]:
                # Nothing can match: every row is given.
                return _as(node.left, node)
            gone = any(empty) if not node.anti else empty[0]
        case SetOperation(kind=SetKind.EXCEPT):
            gone = empty[0]
        case SetOperation():
            gone = any(empty)
        case Sort(fetch=0):
            gone = True
        case Join() | Union():
            gone = all(empty)
        case _:
            gone = bool(empty) and empty[0]
    return Values(node.schema, (), span=node.span) if gone else node


def _as(plan: LogicalPlan, node: LogicalPlan) -> LogicalPlan:
    """The plan's rows with the column types of the node."""
    expressions = tuple(
        Column(type=f.type, index=i, name=f.name) for i, f in enumerate(node.schema.fields)
    )
    return Project(plan, expressions, node.schema.names)


def _is_empty(plan: LogicalPlan) -> bool:
    return isinstance(plan, Values) and not plan.rows
