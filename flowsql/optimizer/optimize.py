"""The rules, in order.

A rule takes a plan and gives one with the same rows and the same schema. Most hold for a single
plan; sharing scans and what is pushed into them look at all statements of a job at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowsql.logical import LogicalPlan, PlanSettings
from flowsql.optimizer.fold_constants import fold_constants
from flowsql.optimizer.join_keys import join_keys
from flowsql.optimizer.merge_projects import merge_projects
from flowsql.optimizer.prune_columns import prune_columns
from flowsql.optimizer.prune_empty import prune_empty
from flowsql.optimizer.push_filters import push_filters
from flowsql.optimizer.push_filters_into_scans import push_filters_into_scans
from flowsql.optimizer.push_partitions_into_scans import push_partitions_into_scans
from flowsql.optimizer.rank_rows import rank_rows
from flowsql.optimizer.remove_projects import remove_projects
from flowsql.optimizer.share_scans import share_scans

__all__ = ["RULES", "Rule", "optimize"]

Rule = Callable[[LogicalPlan, PlanSettings], LogicalPlan]

RULES: tuple[Rule, ...] = (
    fold_constants,
    merge_projects,
    push_filters,
    rank_rows,
    prune_empty,
    merge_projects,
    join_keys,
    prune_columns,
    merge_projects,
    remove_projects,
)

# Behind `share_scans`, which puts projections above scans.
_TIDY: tuple[Rule, ...] = (merge_projects, push_filters, merge_projects, remove_projects)


def optimize(statements: Sequence[LogicalPlan], settings: PlanSettings) -> list[LogicalPlan]:
    """The statements of a job after all rules."""
    plans = list(statements)
    for rule in RULES:
        plans = [rule(p, settings) for p in plans]
    plans = share_scans(plans)
    for rule in _TIDY:
        plans = [rule(p, settings) for p in plans]
    plans = push_partitions_into_scans(plans, settings)
    plans = push_filters_into_scans(plans, settings)
    return [remove_projects(merge_projects(p, settings), settings) for p in plans]
