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
from flowsql.errors import Refusals, Span, SqlError, nearest
from flowsql.sql.dialect import span_of
from flowsql.sql.statements import (
    ComputedColumn,
    CreateTable,
    CreateView,
    Distribution,
    MetadataColumn,
    Name,
    Option,
    PhysicalColumn,
    Watermark,
)
from flowsql.types import quote_identifier

__all__ = [
    "declare_column",
    "declare_table",
    "declare_view",
    "distribution",
    "given_options",
    "watermark_clause",
    "watermark_of",
]


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
        columns.append(declare_column(column, script, in_key=name in key_names))
    names = tuple(c.name for c in columns)
    refusals = Refusals()
    watermark, spread = None, None
    with refusals.part():
        _check_names(statement.partitioned_by, names, "PARTITIONED BY")
    with refusals.part():
        watermark = watermark_clause(statement, names, script)
    with refusals.part():
        spread = distribution(statement.distribution, names)
    wrong = refusals.first()
    options = given_options(statement.options)
    table = CatalogTable(
        path=catalog.path(statement.name.parts, statement.name.span),
        columns=tuple(columns),
        options=tuple(options.items()),
        primary_key=key_names,
        watermark=watermark,
        partition_keys=() if wrong else tuple(map(str, statement.partitioned_by)),
        key_name=key.name if key else None,
        distribution=spread,
        comment=statement.comment,
        temporary=statement.temporary,
        script=script,
        places=OptionPlaces(
            script, {o.key: o.key_span.to(o.value_span) for o in statement.options}
        ),
    )
    if wrong is not None:
        wrong.partly = table
        raise wrong
    return table


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


def declare_column(
    column: PhysicalColumn | ComputedColumn | MetadataColumn, script: str, *, in_key: bool
) -> CatalogColumn:
    """A column as it is written in `script`; one of the key is NOT NULL."""
    name = str(column.name)
    match column:
        case PhysicalColumn(type=data_type):
            return CatalogColumn(
                name,
                ColumnKind.PHYSICAL,
                data_type.not_null() if in_key else data_type,
                comment=column.comment,
                span=column.name.span,
            )
        case MetadataColumn(type=data_type):
            return CatalogColumn(
                name,
                ColumnKind.METADATA,
                data_type,
                metadata_key=column.key or name,
                virtual=column.virtual,
                comment=column.comment,
                span=column.name.span,
            )
        case ComputedColumn(expression=expression):
            return CatalogColumn(
                name,
                ColumnKind.COMPUTED,
                None,
                expression=expression,
                text=_cut(script, span_of(expression)),
                comment=column.comment,
                span=column.name.span,
            )


def watermark_clause(
    statement: CreateTable, names: Sequence[str], script: str
) -> WatermarkClause | None:
    """The watermark of a statement; raises SqlError if its column is not among `names`."""
    clause = statement.watermark
    return None if clause is None else watermark_of(clause, names, script)


def watermark_of(clause: Watermark, names: Sequence[str], script: str) -> WatermarkClause:
    """A watermark as it is written in `script`; raises SqlError if its column is not known."""
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


def distribution(clause: Distribution | None, names: Sequence[str]) -> str | None:
    """What stands behind DISTRIBUTED, as SQL; raises SqlError if a column is not known."""
    if clause is None:
        return None
    _check_names(clause.columns, names, "DISTRIBUTED BY")
    buckets = f"INTO {clause.buckets} BUCKETS" if clause.buckets is not None else ""
    columns = ", ".join(quote_identifier(str(c)) for c in clause.columns)
    by = f"BY {clause.kind or ''}({columns})" if columns else ""
    return f"{by} {buckets}".strip()


def given_options(options: Sequence[Option]) -> dict[str, str]:
    """The options of WITH; raises SqlError for a key that stands twice."""
    given: dict[str, str] = {}
    for option in options:
        if option.key in given:
            raise SqlError(f'option "{option.key}" is given twice', span=option.key_span)
        given[option.key] = option.value
    return given


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
