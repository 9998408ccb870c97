"""From plan to operators: the only place that knows both.

A node's spec says what to compute; the operator is built from it alone, so that a stored plan gives
the same operator again. Scans, constants and sinks are no operators: the runtime drives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from flowsql.changelog import ChangelogMode
from flowsql.errors import InternalError
from flowsql.expr import EvalSettings, compile_predicate, compile_projection
from flowsql.expr.nodes import Column, columns_read
from flowsql.operators import (
    FilterOperator,
    GroupAggregateOperator,
    JoinOperator,
    JoinSideState,
    Layout,
    NormalizeOperator,
    Operator,
    ProjectOperator,
    SinkMaterializeOperator,
    TumbleAssignOperator,
    UnionOperator,
    WindowAggregateOperator,
)
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import (
    Collect,
    DeadLetters,
    Filter,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Normalize,
    Project,
    Scan,
    SideLayout,
    Sink,
    SinkMaterialize,
    TumbleAssign,
    Union,
    Values,
    WindowAggregate,
)
from flowsql.physical.state_specs import stored_columns, stored_value_columns
from flowsql.state.accumulators import accumulate_calls
from flowsql.types import DataType, RowType, arrow_schema

__all__ = ["build_operator"]

_LAYOUTS = {
    SideLayout.KEY_IS_UNIQUE: Layout.ONE_ROW,
    SideLayout.HAS_UNIQUE_KEY: Layout.UNIQUE_KEY,
    SideLayout.NO_UNIQUE_KEY: Layout.CONTENT,
}


def build_operator(
    node: PhysicalNode, inputs: Sequence[PhysicalNode], settings: EvalSettings
) -> Operator:
    """The operator of a plan's node; `open` it before use.

    Args:
        node: the node.
        inputs: the nodes it reads, one a port.
        settings: for its expressions and windows.

    Raises:
        InternalError: for a node that the runtime drives itself.
    """
    output = arrow_schema(node.output)
    match node.spec:
        case Filter() as spec:
            row = inputs[0].output
            return FilterOperator(
                predicate=compile_predicate(spec.condition, row, settings),
                reads=frozenset(row.names[i] for i in columns_read(spec.condition)),
            )
        case Project() as spec:
            return _project(spec, node.output, inputs[0].output, settings)
        case Union():
            return UnionOperator(output=output)
        case TumbleAssign() as spec:
            return TumbleAssignOperator(
                time=spec.time,
                size=spec.size,
                offset=spec.offset,
                window_columns=spec.window_columns,
                output=output,
                zone=settings.local_time_zone,
            )
        case GroupAggregate() as spec:
            row = inputs[0].output
            retract = spec.input_mode is not ChangelogMode.APPEND
            return GroupAggregateOperator(
                keys=spec.keys,
                key_types=_types(row, spec.keys),
                plan=accumulate_calls(spec.aggregates, row, retract=retract),
                output=output,
                emit_empty=spec.emit_empty and not spec.keys,
            )
        case WindowAggregate() as spec:
            row = inputs[0].output
            retract = spec.input_mode is not ChangelogMode.APPEND
            return WindowAggregateOperator(
                keys=spec.keys,
                key_types=_types(row, spec.keys),
                plan=accumulate_calls(spec.aggregates, row, retract=retract),
                window_start=spec.window_start,
                window_end=spec.window_end,
                window_columns=spec.window_columns,
                output=output,
                zone=settings.local_time_zone if spec.local_time else "UTC",
            )
        case Join() as spec:
            return _join(spec, node.output, inputs, settings)
        case Normalize() as spec:
            row = inputs[0].output
            return NormalizeOperator(
                keys=spec.keys, stored=stored_value_columns(spec.keys, row), row=row, output=output
            )
        case SinkMaterialize() as spec:
            row = inputs[0].output
            return SinkMaterializeOperator(
                keys=spec.keys, stored=stored_value_columns(spec.keys, row), row=row, output=output
            )
        case Scan() | Values() | DeadLetters() | Sink() | Collect() as driven:
            raise InternalError(f'node "{node.id}" is no operator but a {type(driven).__name__}')
        case never:
            assert_never(never)  # type: ignore[arg-type]  # Spec is open, the table is not


def _types(row: RowType, columns: tuple[int, ...]) -> tuple[DataType, ...]:
    return tuple(row.fields[c].type for c in columns)


def _project(
    spec: Project, output: RowType, row: RowType, settings: EvalSettings
) -> ProjectOperator:
    kept: dict[str, str] = {}
    reads: set[int] = set()
    for field, expression in zip(output.fields, spec.expressions, strict=True):
        if isinstance(expression, Column):
            kept[field.name] = row.names[expression.index]
        else:
            reads |= columns_read(expression)
    return ProjectOperator(
        projection=compile_projection(spec.expressions, row, settings),
        output=arrow_schema(output),
        kept=kept,
        reads=frozenset(row.names[i] for i in reads),
    )


def _join(
    spec: Join, output: RowType, inputs: Sequence[PhysicalNode], settings: EvalSettings
) -> JoinOperator:
    left, right = (
        _join_side(name, side, node.output)
        for name, side, node in zip(("left", "right"), (spec.left, spec.right), inputs, strict=True)
    )
    return JoinOperator(
        left=left,
        right=right,
        preserved=(
            spec.kind in (JoinKind.LEFT, JoinKind.FULL),
            spec.kind in (JoinKind.RIGHT, JoinKind.FULL),
        ),
        null_safe=spec.null_safe,
        key_types=_types(inputs[0].output, spec.left.keys),
        condition=(
            None if spec.condition is None else compile_predicate(spec.condition, output, settings)
        ),
        output=arrow_schema(output),
    )


def _join_side(name: str, side: JoinSide, row: RowType) -> JoinSideState:
    stored = stored_columns(side)
    ids = side.unique_key if side.layout is SideLayout.HAS_UNIQUE_KEY else stored
    return JoinSideState(
        name=name,
        keys=side.keys,
        columns=side.columns,
        stored=stored,
        layout=_LAYOUTS[side.layout],
        ids=ids,
        id_types=_types(row, ids),
        append=side.mode is ChangelogMode.APPEND,
    )
