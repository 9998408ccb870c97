"""Bound expressions: their functions, types, casts and evaluation."""

from __future__ import annotations

from flowsql.expr.aggregates import (
    AggregateFunction,
    BoundAggregate,
    all_aggregates,
    bind_aggregate,
    bind_aggregate_call,
    is_aggregate,
)
from flowsql.expr.analysis import is_constant, is_deterministic
from flowsql.expr.bind import bind_call
from flowsql.expr.casting import bind_cast, can_cast, can_cast_implicitly, implicit_cast
from flowsql.expr.evaluate import (
    Predicate,
    Projection,
    compile_predicate,
    compile_projection,
)
from flowsql.expr.folding import fold
from flowsql.expr.functions.catalogue import all_functions
from flowsql.expr.functions.conditional import bind_case
from flowsql.expr.literals import (
    boolean_literal,
    bytes_literal,
    date_literal,
    interval_literal,
    null_literal,
    number_literal,
    string_literal,
    time_literal,
    timestamp_literal,
)
from flowsql.expr.nodes import (
    AggregateCall,
    Call,
    Case,
    Cast,
    Column,
    Expression,
    FieldAccess,
    Literal,
    columns_read,
    transform,
    walk,
)
from flowsql.expr.python_calls import bind_python_call, python_function, signatures
from flowsql.expr.python_functions import PythonFunction, keep_function, look_up, written_place
from flowsql.expr.render import render
from flowsql.expr.settings import EvalSettings, StepClock
from flowsql.expr.table_functions import TableFunction, all_table_functions, is_table_function
from flowsql.expr.text import to_text
from flowsql.expr.zones import check_zone
from flowsql.types.common import common_type

__all__ = [
    "AggregateCall",
    "AggregateFunction",
    "BoundAggregate",
    "Call",
    "Case",
    "Cast",
    "Column",
    "EvalSettings",
    "Expression",
    "FieldAccess",
    "Literal",
    "Predicate",
    "Projection",
    "PythonFunction",
    "StepClock",
    "TableFunction",
    "all_aggregates",
    "all_functions",
    "all_table_functions",
    "bind_aggregate",
    "bind_aggregate_call",
    "bind_call",
    "bind_case",
    "bind_cast",
    "bind_python_call",
    "boolean_literal",
    "bytes_literal",
    "can_cast",
    "can_cast_implicitly",
    "check_zone",
    "columns_read",
    "common_type",
    "compile_predicate",
    "compile_projection",
    "date_literal",
    "fold",
    "implicit_cast",
    "interval_literal",
    "is_aggregate",
    "is_constant",
    "is_deterministic",
    "is_table_function",
    "keep_function",
    "look_up",
    "null_literal",
    "number_literal",
    "python_function",
    "render",
    "signatures",
    "string_literal",
    "time_literal",
    "timestamp_literal",
    "to_text",
    "transform",
    "walk",
    "written_place",
]
