"""From plan to operators: the only place that knows both.

A node's spec says what to compute; the operator is built from it alone, so that a stored plan gives
the same operator again. Scans, constants and sinks are no operators: the runtime drives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import pyarrow as pa

from flowsql import operators
from flowsql.changelog import ChangelogMode
from flowsql.errors import InternalError
from flowsql.expr import EvalSettings, compile_predicate, compile_projection
from flowsql.expr.nodes import Column, columns_read
from flowsql.physical import PhysicalNode
from flowsql.physical.specs import (
    Collect,
    DeadLetters,
    Deduplicate,
    EndSort,
    Expand,
    Filter,
    FromChangelog,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Limit,
    Normalize,
    OnConflict,
    Project,
    Rank,
    RankFunction,
    Scan,
    SemiJoin,
    SetOperation,
    SideLayout,
    Sink,
    SinkMaterialize,
    Sort,
    SortKey,
    TimeSort,
    ToChangelog,
    TumbleAssign,
    Union,
    Unnest,
    Values,
    WindowAggregate,
)
from flowsql.physical.state_specs import (
    keeps_best_row,
    keeps_few,
    keeps_range,
    rank_columns,
    sort_columns,
    stored_columns,
    stored_value_columns,
    time_order,
)
from flowsql.state.accumulators import accumulate_calls
from flowsql.types import ArrayType, DataType, Field, MultisetType, RowType, arrow_schema

__all__ = ["build_operator"]

_LAYOUTS = {
    SideLayout.KEY_IS_UNIQUE: "ONE_ROW",
    SideLayout.HAS_UNIQUE_KEY: "UNIQUE_KEY",
    SideLayout.NO_UNIQUE_KEY: "CONTENT",
}


def build_operator(
    node: PhysicalNode, inputs: Sequence[PhysicalNode], settings: EvalSettings
) -> operators.Operator:
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
            return operators.FilterOperator(
                predicate=compile_predicate(spec.condition, row, settings),
                reads=frozenset(row.names[i] for i in columns_read(spec.condition)),
            )
        case Project() as spec:
            return _project(spec, node.output, inputs[0].output, settings)
        case Expand() as spec:
            row = inputs[0].output
            return operators.ExpandOperator(
                projections=[compile_projection(v, row, settings) for v in spec.projections],
                output=output,
            )
        case Union():
            return operators.UnionOperator(output=output)
        case TumbleAssign() as spec:
            return operators.TumbleAssignOperator(
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
            return operators.GroupAggregateOperator(
                keys=spec.keys,
                key_types=_types(row, spec.keys),
                plan=accumulate_calls(spec.aggregates, row, retract=retract),
                output=output,
                emit_empty=spec.emit_empty and not spec.keys,
                ttl=spec.ttl,
            )
        case WindowAggregate() as spec:
            row = inputs[0].output
            retract = spec.input_mode is not ChangelogMode.APPEND
            return operators.WindowAggregateOperator(
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
        case SemiJoin() as spec:
            return _semi_join(spec, output, inputs, settings)
        case SetOperation() as spec:
            return operators.SetOperationOperator(
                copies=operators.copies(spec.kind.value, every=spec.all),
                types=inputs[0].output.types,
                output=output,
                ttl=spec.ttl,
            )
        case Rank() as spec:
            return _rank(spec, inputs[0].output, output, settings)
        case Deduplicate() as spec:
            row = inputs[0].output
            if spec.time is None and not spec.keep_last:
                types = _types(row, spec.keys)
                return operators.FirstRowOperator(keys=spec.keys, key_types=types, ttl=spec.ttl)
            order = time_order(spec)
            return _best_row(spec.keys, order, row, output, last=spec.keep_last, ttl=spec.ttl)
        case Limit() as spec:
            return operators.LimitOperator(offset=spec.offset, fetch=spec.fetch)
        case Sort() as spec:
            return operators.SortOperator(
                columns=tuple(k.column for k in spec.order),
                order=sort_columns(spec.order, inputs[0].output),
            )
        case EndSort() as spec:
            row = inputs[0].output
            return operators.EndSortOperator(
                columns=tuple(k.column for k in spec.order),
                order=sort_columns(spec.order, row),
                types=row.types,
                append=spec.input_mode is ChangelogMode.APPEND,
                output=output,
            )
        case TimeSort() as spec:
            return operators.TimeSortOperator(
                columns=tuple(k.column for k in spec.order), output=output
            )
        case Unnest() as spec:
            return _unnest(spec, node.output, inputs[0].output, settings)
        case ToChangelog() as spec:
            return operators.ToChangelogOperator(
                codes=spec.codes,
                columns=spec.columns,
                at=spec.at,
                nulled=spec.nulled,
                net=spec.net,
                key=spec.key,
                types=inputs[0].output.types,
                output=output,
            )
        case FromChangelog() as spec:
            return operators.FromChangelogOperator(
                op=spec.op, codes=spec.codes, columns=spec.columns, skip=spec.skip, output=output
            )
        case Normalize() | SinkMaterialize() as spec:
            row = inputs[0].output
            last_rows = isinstance(spec, Normalize)
            make = operators.NormalizeOperator if last_rows else operators.SinkMaterializeOperator
            return make(
                keys=spec.keys,
                stored=stored_value_columns(spec.keys, row),
                row=row,
                output=output,
                ttl=spec.ttl,
            )
        case OnConflict() as spec:
            return _on_conflict(spec, inputs[0].output, output)
        case Scan() | Values() | DeadLetters() | Sink() | Collect() as driven:
            raise InternalError(f'node "{node.id}" is no operator but a {type(driven).__name__}')
        case never:
            assert_never(never)  # type: ignore[arg-type]  # Spec is open, the table is not


def _on_conflict(spec: OnConflict, row: RowType, output: pa.Schema) -> operators.Operator:
    if spec.input_mode is ChangelogMode.APPEND and not spec.fails:
        types = _types(row, spec.keys)
        return operators.FirstRowOperator(keys=spec.keys, key_types=types, ttl=spec.ttl)
    if spec.input_mode is ChangelogMode.APPEND:
        return operators.SoleRowOperator(keys=spec.keys, row=row, table=spec.table, ttl=spec.ttl)
    return operators.OnConflictOperator(
        keys=spec.keys,
        stored=stored_value_columns(spec.keys, row),
        row=row,
        output=output,
        table=spec.table,
        fails=spec.fails,
        ttl=spec.ttl,
    )


def _types(row: RowType, columns: tuple[int, ...]) -> tuple[DataType, ...]:
    return tuple(row.fields[c].type for c in columns)


def _project(
    spec: Project, output: RowType, row: RowType, settings: EvalSettings
) -> operators.ProjectOperator:
    kept: dict[str, str] = {}
    reads: set[int] = set()
    for field, expression in zip(output.fields, spec.expressions, strict=True):
        if isinstance(expression, Column):
            kept[field.name] = row.names[expression.index]
        else:
            reads |= columns_read(expression)
    return operators.ProjectOperator(
        projection=compile_projection(spec.expressions, row, settings),
        output=arrow_schema(output),
        kept=kept,
        reads=frozenset(row.names[i] for i in reads),
    )


def _join(
    spec: Join, output: RowType, inputs: Sequence[PhysicalNode], settings: EvalSettings
) -> operators.JoinOperator:
    left, right = (
        _join_side(name, side, node.output)
        for name, side, node in zip(("left", "right"), (spec.left, spec.right), inputs, strict=True)
    )
    return operators.JoinOperator(
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


def _semi_join(
    spec: SemiJoin, output: pa.Schema, inputs: Sequence[PhysicalNode], settings: EvalSettings
) -> operators.SemiJoinOperator:
    left, right = (node.output for node in inputs)
    # Both sides may have a column of one name.
    pair = RowType(
        tuple(
            Field(f"{i}", row.fields[c].type)
            for i, (row, c) in enumerate(
                [(left, c) for c in spec.left.columns] + [(right, c) for c in spec.right.columns]
            )
        ),
        nullable=False,
    )
    return operators.SemiJoinOperator(
        anti=spec.anti,
        left=_join_side("left", spec.left, left),
        right=_join_side("right", spec.right, right) if spec.keeps_right else None,
        right_keys=spec.right.keys,
        null_safe=spec.null_safe,
        null_aware=spec.null_aware,
        key_types=_types(left, spec.left.keys),
        condition=(
            None if spec.condition is None else compile_predicate(spec.condition, pair, settings)
        ),
        pair=arrow_schema(pair),
        output=output,
    )


def _rank(
    spec: Rank, row: RowType, output: pa.Schema, settings: EvalSettings
) -> operators.Operator:
    if keeps_best_row(spec, row):
        return _best_row(spec.partition, spec.order, row, output, last=False, ttl=spec.ttl)
    sort = sort_columns(spec.order, row)
    if keeps_few(spec, row) and spec.end is not None:
        columns = (k.column for k in spec.order)
        return operators.TopFewOperator(
            partition=spec.partition,
            partition_types=_types(row, spec.partition),
            stored=stored_value_columns(spec.partition, row),
            order=tuple(zip(columns, sort, strict=True)),
            start=spec.start,
            end=spec.end,
            with_rank=spec.rank_column,
            output=output,
            ttl=spec.ttl,
        )
    stored = rank_columns(spec, row)
    ties = None
    if spec.function is not RankFunction.ROW_NUMBER:
        ties = tuple(s.type for s in sort)
    options: dict[str, Any] = {
        "partition": spec.partition,
        "partition_types": _types(row, spec.partition),
        "stored": stored,
        "stored_types": _types(row, stored),
        "sort": tuple(k.column for k in spec.order),
        "ranking": operators.Ranking(
            ties=ties,
            dense=spec.function is RankFunction.DENSE_RANK,
            start=spec.start,
            end=spec.end,
            ranked=spec.rank_column,
        ),
        "end_column": spec.end_column,
        "append": spec.input_mode is ChangelogMode.APPEND,
        "bounded": keeps_range(spec),
        "with_rank": spec.rank_column,
        "output": output,
        "ttl": spec.ttl,
    }
    if spec.window_end is None:
        return operators.TopNOperator(**options)
    return operators.WindowTopNOperator(
        window_end=spec.window_end,
        zone=settings.local_time_zone if spec.local_time else "UTC",
        last=spec.last,
        **options,
    )


def _best_row(
    keys: tuple[int, ...],
    order: tuple[SortKey, ...],
    row: RowType,
    output: pa.Schema,
    *,
    last: bool,
    ttl: int,
) -> operators.BestRowOperator:
    columns = (k.column for k in order)
    return operators.BestRowOperator(
        keys=keys,
        stored=stored_value_columns(keys, row),
        row=row,
        order=tuple(zip(columns, sort_columns(order, row), strict=True)),
        last=last,
        output=output,
        ttl=ttl,
    )


def _unnest(
    spec: Unnest, output: RowType, row: RowType, settings: EvalSettings
) -> operators.UnnestOperator:
    kind = row.fields[spec.collection].type
    element = kind.element if isinstance(kind, ArrayType | MultisetType) else None
    return operators.UnnestOperator(
        collection=spec.collection,
        columns=spec.columns,
        multiset=isinstance(kind, MultisetType),
        fields=isinstance(element, RowType),
        ordinality=spec.ordinality,
        outer=spec.outer,
        condition=(
            None if spec.condition is None else compile_predicate(spec.condition, output, settings)
        ),
        output=arrow_schema(output),
    )


def _join_side(name: str, side: JoinSide, row: RowType) -> operators.JoinSideState:
    stored = stored_columns(side, row)
    ids = side.unique_key if side.layout is SideLayout.HAS_UNIQUE_KEY else stored
    return operators.JoinSideState(
        name=name,
        keys=side.keys,
        columns=side.columns,
        stored=stored,
        layout=operators.Layout[_LAYOUTS[side.layout]],
        ids=ids,
        id_types=_types(row, ids),
        append=side.mode is ChangelogMode.APPEND,
        ttl=side.ttl,
    )
