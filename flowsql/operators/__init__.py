"""The operators, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsql.lazy import lazily
from flowsql.operators.base import Counters, LinearOperator, Operator, OperatorContext

if TYPE_CHECKING:
    from flowsql.operators.best_row import BestRowOperator
    from flowsql.operators.end_sort import EndSortOperator
    from flowsql.operators.expand import ExpandOperator
    from flowsql.operators.filter import FilterOperator
    from flowsql.operators.first_row import FirstRowOperator
    from flowsql.operators.from_changelog import FromChangelogOperator
    from flowsql.operators.group_aggregate import GroupAggregateOperator
    from flowsql.operators.join import JoinOperator
    from flowsql.operators.join_side import JoinSideState, Layout
    from flowsql.operators.limit import LimitOperator
    from flowsql.operators.normalize import NormalizeOperator
    from flowsql.operators.on_conflict import OnConflictOperator, SoleRowOperator
    from flowsql.operators.project import ProjectOperator
    from flowsql.operators.ranking import Ranking
    from flowsql.operators.semi_join import SemiJoinOperator
    from flowsql.operators.set_operation import SetOperationOperator, copies
    from flowsql.operators.sink_materialize import SinkMaterializeOperator
    from flowsql.operators.sort import SortOperator
    from flowsql.operators.time_sort import TimeSortOperator
    from flowsql.operators.to_changelog import ToChangelogOperator
    from flowsql.operators.top_few import TopFewOperator
    from flowsql.operators.top_n import TopNOperator
    from flowsql.operators.tumble_assign import TumbleAssignOperator
    from flowsql.operators.union import UnionOperator
    from flowsql.operators.unnest import UnnestOperator
    from flowsql.operators.window_aggregate import WindowAggregateOperator
    from flowsql.operators.window_top_n import WindowTopNOperator

__all__ = [
    "BestRowOperator",
    "Counters",
    "EndSortOperator",
    "ExpandOperator",
    "FilterOperator",
    "FirstRowOperator",
    "FromChangelogOperator",
    "GroupAggregateOperator",
    "JoinOperator",
    "JoinSideState",
    "Layout",
    "LimitOperator",
    "LinearOperator",
    "NormalizeOperator",
    "OnConflictOperator",
    "Operator",
    "OperatorContext",
    "ProjectOperator",
    "Ranking",
    "SemiJoinOperator",
    "SetOperationOperator",
    "SinkMaterializeOperator",
    "SoleRowOperator",
    "SortOperator",
    "TimeSortOperator",
    "ToChangelogOperator",
    "TopFewOperator",
    "TopNOperator",
    "TumbleAssignOperator",
    "UnionOperator",
    "UnnestOperator",
    "WindowAggregateOperator",
    "WindowTopNOperator",
    "copies",
]

__getattr__ = lazily(
    __name__,
    {
        "BestRowOperator": "flowsql.operators.best_row",
        "EndSortOperator": "flowsql.operators.end_sort",
        "ExpandOperator": "flowsql.operators.expand",
        "FilterOperator": "flowsql.operators.filter",
        "FirstRowOperator": "flowsql.operators.first_row",
        "FromChangelogOperator": "flowsql.operators.from_changelog",
        "GroupAggregateOperator": "flowsql.operators.group_aggregate",
        "JoinOperator": "flowsql.operators.join",
        "JoinSideState": "flowsql.operators.join_side",
        "Layout": "flowsql.operators.join_side",
        "LimitOperator": "flowsql.operators.limit",
        "NormalizeOperator": "flowsql.operators.normalize",
        "OnConflictOperator": "flowsql.operators.on_conflict",
        "ProjectOperator": "flowsql.operators.project",
        "Ranking": "flowsql.operators.ranking",
        "SemiJoinOperator": "flowsql.operators.semi_join",
        "SetOperationOperator": "flowsql.operators.set_operation",
        "SinkMaterializeOperator": "flowsql.operators.sink_materialize",
        "SoleRowOperator": "flowsql.operators.on_conflict",
        "SortOperator": "flowsql.operators.sort",
        "TimeSortOperator": "flowsql.operators.time_sort",
        "ToChangelogOperator": "flowsql.operators.to_changelog",
        "TopFewOperator": "flowsql.operators.top_few",
        "TopNOperator": "flowsql.operators.top_n",
        "TumbleAssignOperator": "flowsql.operators.tumble_assign",
        "UnionOperator": "flowsql.operators.union",
        "UnnestOperator": "flowsql.operators.unnest",
        "WindowAggregateOperator": "flowsql.operators.window_aggregate",
        "WindowTopNOperator": "flowsql.operators.window_top_n",
        "copies": "flowsql.operators.set_operation",
    },
)
