"""INSERT INTO: the query's columns become the target's."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.catalog import CatalogView
from flowsql.changelog import ChangelogMode
from flowsql.connector import Role
from flowsql.errors import Refusals, Span, SqlError, nearest
from flowsql.expr import (
    Column,
    Expression,
    Literal,
    bind_cast,
    can_cast,
    can_cast_implicitly,
    fold,
    implicit_cast,
)
from flowsql.logical.expressions import ExpressionBinder, value_of
from flowsql.logical.plan import Insert, LogicalPlan, Project, without_time
from flowsql.logical.queries import QueryBinder
from flowsql.logical.relations import hint_options, marking_hints
from flowsql.logical.scope import Scope
from flowsql.logical.table import BoundColumn, BoundTable
from flowsql.sql import statements as s
from flowsql.sql.dialect import span_of
from flowsql.types import DataType, NullType, RowType

__all__ = ["bind_insert", "partition_values"]


def bind_insert(statement: s.Insert, binder: QueryBinder) -> Insert:
    """The plan of an INSERT.

    Raises:
        SqlError: columns and query do not fit in number or type, or a NOT NULL column gets none.
        ConfigError: an option of a table is wrong.
    """
    name = statement.table
    refusals = Refusals()
    with refusals.part():
        target = _target(statement, binder)
        fixed = partition_values(statement.partition, name, target)
        chosen = _chosen(statement, target, fixed)
    with refusals.part():
        query = binder.query(statement.query, outermost=True)
    refusals.check()
    stored = target.sink_columns
    fields = query.schema.fields
    if len(fields) != len(chosen):
        raise SqlError(
            f'table "{name}" takes {len(chosen)} column{"s" * (len(chosen) != 1)}, the query has '
            f"{len(fields)}",
            detail=f"Query: {_shape(query.schema)}.",
            hint=f"Table: {', '.join(_described(target, i) for i in chosen)}.",
            span=span_of(statement.query),
        )
    expressions: list[Expression] = []
    for i in stored:
        at = chosen.index(i) if i in chosen else None
        with refusals.part():
            expressions.append(
                fixed[i] if i in fixed else _given(statement, query, target.columns[i], at)
            )
    refusals.check()
    names = tuple(target.columns[i].name for i in stored)
    cast = Project(query, tuple(expressions), names)
    not_null = tuple(
        at
        for at, (i, e) in enumerate(zip(stored, expressions, strict=True))
        if not target.columns[i].type.nullable and e.type.nullable
    )
    return Insert(target, cast, not_null, statement.on_conflict, span=name.span)


def _target(statement: s.Insert, binder: QueryBinder) -> BoundTable:
    name = statement.table
    found = binder.catalog.find(name.parts, name.span)
    if isinstance(found, CatalogView):
        raise SqlError(f'"{name}" is a view and cannot be written', span=name.span)
    with marking_hints(statement.hints):
        target = binder.tables.bind(
            found,
            role=Role.SINK,
            hints=hint_options(statement.hints),
            overwrite=statement.overwrite,
            span=name.span,
        )
    if statement.overwrite:
        _check_overwrite(statement, target, streaming=binder.tables.settings.streaming)
    if statement.on_conflict is not None:
        _check_conflict(statement.on_conflict, target, name.span)
    return target


def _given(
    statement: s.Insert, query: LogicalPlan, column: BoundColumn, at: int | None
) -> Expression:
    """What a column gets: that column of the query, or NULL."""
    kind = without_time(column.type)
    if at is not None:
        span = _column_span(query, at) or span_of(statement.query)
        return _stored(query.schema, at, column.name, kind, span)
    if not kind.nullable:
        raise SqlError(
            f'column "{column.name}" of table "{statement.table}" is NOT NULL and gets no value',
            hint=f"Add {column.name} to the columns of INSERT.",
            span=statement.table.span,
        )
    return Literal(type=kind, value=None)


def _check_conflict(action: str, target: BoundTable, span: Span) -> None:
    """Only where rows of one key replace each other can they meet."""
    if not target.primary_key or target.sink_modes <= {ChangelogMode.APPEND}:
        hint = "Leave ON CONFLICT out: rows are only appended, or come without a PRIMARY KEY."
    elif action != "DEDUPLICATE" and ChangelogMode.UPSERT not in target.sink_modes:
        hint = "Leave ON CONFLICT out: it is given the old rows of updates as well."
    else:
        return
    raise SqlError(
        f'ON CONFLICT is only allowed for upsert sinks, and sink "{target.name}" is none',
        hint=hint,
        span=span,
    )


def _check_overwrite(statement: s.Insert, target: BoundTable, *, streaming: bool) -> None:
    span = statement.table.span
    if streaming and target.connector.overwrites and not target.connector.overwrites_streams:
        raise SqlError(
            "INSERT OVERWRITE is not possible in streaming mode",
            hint="SET 'execution.runtime-mode' = 'batch', or use INSERT INTO.",
            span=span,
        )
    if not target.connector.overwrites:
        raise SqlError(
            f'connector "{target.connector.name}" cannot overwrite',
            hint='Connectors "filesystem" and "iceberg" can. INSERT INTO adds rows.',
            span=span,
        )


def _stored(row: RowType, at: int, name: str, kind: DataType, span: Span) -> Expression:
    found = row.fields[at]
    value = value_of(Column(type=found.type, index=at, name=found.name, span=span))
    if isinstance(value.type, NullType):
        return Literal(type=kind.with_nullable(True), value=None, span=span)
    if not can_cast_implicitly(value.type, kind.with_nullable(True)):
        given = value.type.with_nullable(True)
        shown = "…" if found.name.startswith("EXPR$") else found.name
        hint = f"Write CAST({shown} AS {kind.with_nullable(True)})."
        raise SqlError(
            f'column "{name}" is {kind.with_nullable(True)}, the query gives {given}',
            hint=hint if can_cast(value.type, kind) else None,
            span=span,
        )
    return implicit_cast(value, kind, span)


def _chosen(statement: s.Insert, target: BoundTable, fixed: dict[int, Expression]) -> Sequence[int]:
    """Positions of the target's columns, in the order in which the query fills them."""
    stored = target.sink_columns
    if not statement.columns:
        return [i for i in stored if i not in fixed]
    names = [c.name for c in target.columns]
    chosen: list[int] = []
    for name in statement.columns:
        text = str(name)
        if text not in names:
            known = [names[i] for i in stored]
            near = nearest(text, known)
            raise SqlError(
                f'table "{statement.table}" has no column "{text}"',
                hint=f'Did you mean "{near}"?' if near else f"It has: {', '.join(known)}.",
                span=name.span,
            )
        index = names.index(text)
        if index not in stored:
            raise SqlError(f'column "{text}" is computed and cannot be written', span=name.span)
        if index in chosen or index in fixed:
            raise SqlError(f'column "{text}" is given twice', span=name.span)
        chosen.append(index)
    return chosen


def partition_values(
    parts: Sequence[s.PartitionValue], name: s.Name, target: BoundTable
) -> dict[int, Expression]:
    """Position of a column → its value in `PARTITION (column = value, …)`, of the column's type.

    Raises:
        SqlError: a column is none of the table's partition columns or is given twice, or a value
            is none of the column's type.
    """
    names = [c.name for c in target.columns]
    fixed: dict[int, Expression] = {}
    empty = ExpressionBinder(Scope(RowType((), nullable=False)), "PARTITION")
    for part in parts:
        text = str(part.column)
        if text not in target.partition_keys:
            raise SqlError(
                f'"{text}" is no partition column of table "{name}"',
                hint=f"Its partition columns: {', '.join(target.partition_keys)}."
                if target.partition_keys
                else "It is not partitioned.",
                span=part.column.span,
            )
        if names.index(text) in fixed:
            raise SqlError(f'column "{text}" is given twice', span=part.column.span)
        if part.value is not None:
            at = names.index(text)
            fixed[at] = _partition_value(empty.value(part.value), target.columns[at])
    return fixed


def _partition_value(value: Expression, column: BoundColumn) -> Expression:
    """The value as the column's type: text is read as one, as in the names of folders."""
    kind = without_time(column.type).with_nullable(True)
    made = fold(bind_cast(value, kind, safe=False, span=value.span))
    if not isinstance(made, Literal):
        raise SqlError(
            f'the value of partition column "{column.name}" cannot be read as {kind}',
            hint="Give a constant, such as '2020-01-31' for a DATE.",
            span=value.span,
        )
    return made


def _column_span(query: LogicalPlan, at: int) -> Span | None:
    return query.expressions[at].span if isinstance(query, Project) else None


def _shape(row: RowType) -> str:
    return ", ".join(f"{f.name} {f.type.with_nullable(True)}" for f in row.fields)


def _described(target: BoundTable, index: int) -> str:
    column = target.columns[index]
    return f"{column.name} {without_time(column.type).with_nullable(True)}"
