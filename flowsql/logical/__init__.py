"""Binding: from AST to plans in which every name is resolved and every type is known."""

from __future__ import annotations

from flowsql.logical.bind import Binder
from flowsql.logical.canonical import canonical, fingerprint
from flowsql.logical.inserts import partition_values
from flowsql.logical.plan import (
    Aggregate,
    Filter,
    Insert,
    Join,
    JoinKind,
    LogicalPlan,
    Project,
    Scan,
    Tumble,
    Union,
    Values,
    Window,
    call_text,
    without_time,
)
from flowsql.logical.plan_changelogs import CHANGE_NAMES, FromChangelog, ToChangelog, codes_text
from flowsql.logical.plan_rows import (
    Expand,
    Number,
    Rank,
    RankFunction,
    SemiJoin,
    SetKind,
    SetOperation,
    Sort,
    SortKey,
    Unnest,
    column,
    elements,
)
from flowsql.logical.settings import PlanSettings
from flowsql.logical.sinks import one_sink_a_table
from flowsql.logical.table import BoundColumn, BoundTable, BoundWatermark
from flowsql.logical.table_options import TABLE_OPTIONS
from flowsql.logical.tables import Tables, connector_table
from flowsql.logical.tree import tree
from flowsql.logical.user_functions import functions_of, is_built_in
from flowsql.logical.windows import window_columns

__all__ = [
    "CHANGE_NAMES",
    "TABLE_OPTIONS",
    "Aggregate",
    "Binder",
    "BoundColumn",
    "BoundTable",
    "BoundWatermark",
    "Expand",
    "Filter",
    "FromChangelog",
    "Insert",
    "Join",
    "JoinKind",
    "LogicalPlan",
    "Number",
    "PlanSettings",
    "Project",
    "Rank",
    "RankFunction",
    "Scan",
    "SemiJoin",
    "SetKind",
    "SetOperation",
    "Sort",
    "SortKey",
    "Tables",
    "ToChangelog",
    "Tumble",
    "Union",
    "Unnest",
    "Values",
    "Window",
    "call_text",
    "canonical",
    "codes_text",
    "column",
    "connector_table",
    "elements",
    "fingerprint",
    "functions_of",
    "is_built_in",
    "one_sink_a_table",
    "partition_values",
    "tree",
    "window_columns",
    "without_time",
]
