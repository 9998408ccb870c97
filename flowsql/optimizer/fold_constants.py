"""Constant parts of expressions are computed once, while planning.

    Filter(a > 1 + 2)  →  Filter(a > 3)

A part that fails stays: it fails only if a row reaches it. `WHERE TRUE` vanishes.
"""

from __future__ import annotations

from dataclasses import replace

from flowsql.expr import EvalSettings, Literal, fold
from flowsql.logical import Filter, Join, LogicalPlan, PlanSettings, Project, SemiJoin, Unnest
from flowsql.optimizer.rewrite import bottom_up

__all__ = ["fold_constants"]


def fold_constants(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with folded expressions."""
    evaluation = EvalSettings(settings.local_time_zone)

    def rewrite(node: LogicalPlan) -> LogicalPlan:
        match node:
            case Project():
                folded = tuple(
                    # The column's type is what was promised, a literal's may be narrower.
                    f if (f := fold(e, evaluation)).type == e.type else e
                    for e in node.expressions
                )
                return replace(node, expressions=folded)
            case Filter():
                condition = fold(node.condition, evaluation)
                if isinstance(condition, Literal) and condition.value is True:
                    return node.input
                return replace(node, condition=condition)
            case Join() | SemiJoin() | Unnest() if node.condition is not None:
                return replace(node, condition=fold(node.condition, evaluation))
            case _:
                return node

    return bottom_up(plan, rewrite)
