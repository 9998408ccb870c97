"""From CREATE statements to declarations: what can be checked without binding an expression."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.catalog.catalog import Catalog
from flowsql.catalog.objects import (
    CatalogColumn,
    CatalogTable,
    CatalogView,
    ColumnKind,
    WatermarkClause,
)
from flowsql.config import OptionPlaces
from flowsql.errors import Span, SqlError, nearest
from flowsql.sql.dialect import span_of
from flowsql.sql.statements import (
    ComputedColumn,
    CreateTable,
    CreateView,
    MetadataColumn,
    Name,
    PhysicalColumn,
)

__all__ = ["declare_table", "declare_view"]


def declare_table(statement: CreateTable, catalog: Catalog, script: str) -> CatalogTable:
    """The table that a CREATE TABLE declares; nothing is added to the catalog.

    Args:
        statement: the statement.
        catalog: makes the name a full one.
        script: the text that the statement's spans point into.

    Raises:
        SqlError: a column twice, or a key, partition or watermark of an unknown column.
    """
    key = statement.primary_key
    key_names = tuple(str(c) for c in key.columns) if key else ()
    columns = []
    seen: set[str] = set()
    for column in statement.columns:
        name = str(column.name)
        if name in seen:
            raise SqlError(f'column "{name}" is declared twice', span=column.name.span)
        seen.add(name)
        columns.append(_column(column, script, in_key=name in key_names))
    names = tuple(c.name for c in columns)
    _check_names(statement.partitioned_by, names, "PARTITIONED BY")
    options: dict[str, str] = {}
    for option in statement.options:
        if option.key in options:
            raise SqlError(f'option "{option.key}" is given twice', span=option.key_span)
        options[option.key] = option.value
    return CatalogTable(
        path=catalog.path(statement.name.parts, statement.name.span),
        columns=tuple(columns),
        options=tuple(options.items()),
        primary_key=key_names,
        watermark=_watermark(statement, names, script),
        partition_keys=tuple(map(str, statement.partitioned_by)),
        comment=statement.comment,
        temporary=statement.temporary,
        script=script,
        places=OptionPlaces(
            script, {o.key: o.key_span.to(o.value_span) for o in statement.options}
        ),
    )


def declare_view(statement: CreateView, catalog: Catalog, script: str) -> CatalogView:
    """The view that a CREATE VIEW declares; nothing is added to the catalog."""
    names: list[str] = []
    for column in statement.columns:
        if str(column) in names:
            raise SqlError(f'column "{column}" is declared twice', span=column.span)
        names.append(str(column))
    return CatalogView(
        path=catalog.path(statement.name.parts, statement.name.span),
        query=statement.query,
        text=_cut(script, span_of(statement.query)),
        columns=tuple(names),
        database=(catalog.current_catalog, catalog.current_database),
        comment=statement.comment,
        temporary=statement.temporary,
        script=script,
    )


def _column(
    column: PhysicalColumn | ComputedColumn | MetadataColumn, script: str, *, in_key: bool
) -> CatalogColumn:
    name = str(column.name)
    match column:
        case PhysicalColumn(type=data_type):
            return CatalogColumn(
                name,
                ColumnKind.PHYSICAL,
                data_type.not_null() if in_key else data_type,
                comment=column.comment,
            )
        case MetadataColumn(type=data_type):
            return CatalogColumn(
                name,
                ColumnKind.METADATA,
                data_type,
                metadata_key=column.key or name,
                virtual=column.virtual,
                comment=column.comment,
            )
        case ComputedColumn(expression=expression):
            return CatalogColumn(
                name,
                ColumnKind.COMPUTED,
                None,
                expression=expression,
                text=_cut(script, span_of(expression)),
                comment=column.comment,
            )


def _watermark(statement: CreateTable, names: Sequence[str], script: str) -> WatermarkClause | None:
    clause = statement.watermark
    if clause is None:
        return None
    if len(clause.column.parts) > 1 and clause.column.parts[0] in names:
        raise SqlError(
            f'watermark on the nested column "{clause.column}" is not supported yet',
            hint="Declare a computed column of it and put the watermark there.",
            span=clause.column.span,
        )
    _check_names((clause.column,), names, "WATERMARK")
    return WatermarkClause(
        str(clause.column), clause.expression, _cut(script, span_of(clause.expression))
    )


def _check_names(used: Sequence[Name], known: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for name in used:
        text = str(name)
        if text not in known:
            near = nearest(text, known)
            raise SqlError(
                f'{where} names column "{text}", which is not declared',
                hint=f'Did you mean "{near}"?' if near else None,
                span=name.span,
            )
        if text in seen:
            raise SqlError(f'{where} names column "{text}" twice', span=name.span)
        seen.add(text)


def _cut(script: str, span: Span) -> str:
    return script[span.start : span.end]
