"""The operators, one file each."""

from __future__ import annotations

from flowsql.operators.base import Counters, LinearOperator, Operator, OperatorContext
from flowsql.operators.filter import FilterOperator
from flowsql.operators.group_aggregate import GroupAggregateOperator
from flowsql.operators.join import JoinOperator
from flowsql.operators.join_side import JoinSideState, Layout
from flowsql.operators.normalize import NormalizeOperator
from flowsql.operators.project import ProjectOperator
from flowsql.operators.sink_materialize import SinkMaterializeOperator
from flowsql.operators.tumble_assign import TumbleAssignOperator
from flowsql.operators.union import UnionOperator
from flowsql.operators.window_aggregate import WindowAggregateOperator

__all__ = [
    "Counters",
    "FilterOperator",
    "GroupAggregateOperator",
    "JoinOperator",
    "JoinSideState",
    "Layout",
    "LinearOperator",
    "NormalizeOperator",
    "Operator",
    "OperatorContext",
    "ProjectOperator",
    "SinkMaterializeOperator",
    "TumbleAssignOperator",
    "UnionOperator",
    "WindowAggregateOperator",
]
