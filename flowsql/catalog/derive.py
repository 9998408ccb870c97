"""Tables that are declared by others: CREATE TABLE … LIKE and … AS, and what ALTER TABLE leaves.

A table of several declarations is stated anew as one text, so that the places in its errors
belong to one script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowsql.catalog.catalog import Catalog
from flowsql.catalog.declare import (
    declare_column,
    declare_table,
    declare_view,
    distribution,
    given_options,
    watermark_clause,
)
from flowsql.catalog.objects import CatalogColumn, CatalogTable, CatalogView, ColumnKind
from flowsql.catalog.show import show_create_table, show_create_view
from flowsql.errors import FlowSQLError, Span, SqlError, nearest
from flowsql.sql import CreateTable, CreateView, TableLike, parse_statement
from flowsql.types import DataType, RowType

__all__ = ["declare_as", "declare_like", "restated", "restated_view"]

_FEATURES = (
    *("CONSTRAINTS", "DISTRIBUTION", "GENERATED", "METADATA"),
    *("OPTIONS", "PARTITIONS", "WATERMARKS"),
)


def restated(table: CatalogTable, catalog: Catalog) -> CatalogTable:
    """The same table, declared by one text.

    Raises:
        SqlError: its parts do not fit together; the error shows the text.
    """
    text = show_create_table(table, lambda _: False)
    try:
        statement = parse_statement(text)
        assert isinstance(statement, CreateTable)
        return declare_table(statement, catalog, text)
    except FlowSQLError as error:
        raise error.with_sql(text) from None


def restated_view(view: CatalogView, text: str, catalog: Catalog) -> CatalogView:
    """The same view with another text of its query; raises SqlError if that is none."""
    stated = show_create_view(replace(view, text=text))
    statement = parse_statement(stated)
    assert isinstance(statement, CreateView)
    return replace(declare_view(statement, catalog, stated), database=view.database)


def declare_like(statement: CreateTable, catalog: Catalog, script: str) -> CatalogTable:
    """The table that a CREATE TABLE … LIKE declares; nothing is added to the catalog.

    Raises:
        SqlError: there is no such table, or what both declare collides.
    """
    like = statement.like
    assert like is not None
    source = catalog.find(like.source.parts, like.source.span)
    if isinstance(source, CatalogView):
        raise SqlError(
            f'"{like.source}" is a view, and LIKE takes a table',
            hint="CREATE TABLE … AS SELECT * FROM the view makes a table of it.",
            span=like.source.span,
        )
    how = _strategies(like)
    merging = {
        ColumnKind.PHYSICAL: "INCLUDING",
        ColumnKind.COMPUTED: how["GENERATED"],
        ColumnKind.METADATA: how["METADATA"],
    }
    columns = [c for c in source.columns if merging[c.kind] != "EXCLUDING"]
    for column in statement.columns:
        added = declare_column(column, script, in_key=False)
        old = next((i for i, c in enumerate(columns) if c.name == added.name), None)
        if old is None:
            columns.append(added)
            continue
        kind = columns[old].kind
        if kind is not added.kind or merging[kind] != "OVERWRITING":
            raise _collides(f'column "{added.name}"', kind, like, column.name.span)
        columns[old] = added
    key = tuple(map(str, statement.primary_key.columns)) if statement.primary_key else ()
    key_name = statement.primary_key.name if statement.primary_key else None
    if how["CONSTRAINTS"] != "EXCLUDING" and source.primary_key:
        if statement.primary_key is not None:
            raise _exists("a primary key", "CONSTRAINTS", like, statement.primary_key.span)
        key, key_name = source.primary_key, source.key_name
    mark = watermark_clause(statement, tuple(c.name for c in columns), script)
    if how["WATERMARKS"] != "EXCLUDING" and source.watermark is not None:
        if statement.watermark is not None and how["WATERMARKS"] != "OVERWRITING":
            raise _exists("a watermark", "WATERMARKS", like, statement.watermark.span)
        mark = mark or source.watermark
    partitions = tuple(map(str, statement.partitioned_by))
    if how["PARTITIONS"] != "EXCLUDING" and source.partition_keys:
        if partitions:
            raise _exists("partitions", "PARTITIONS", like, statement.partitioned_by[0].span)
        partitions = source.partition_keys
    spread = distribution(statement.distribution, [c.name for c in columns])
    if how["DISTRIBUTION"] != "EXCLUDING" and source.distribution is not None:
        if statement.distribution is not None:
            raise _exists("a distribution", "DISTRIBUTION", like, statement.distribution.span)
        spread = source.distribution
    options = given_options(statement.options)
    if how["OPTIONS"] != "EXCLUDING":
        for option in statement.options:
            if how["OPTIONS"] == "INCLUDING" and option.key in dict(source.options):
                what = f'option "{option.key}"'
                raise _exists(what, "OPTIONS", like, option.key_span)
        options = {**dict(source.options), **options}
    return restated(
        CatalogTable(
            path=catalog.path(statement.name.parts, statement.name.span),
            columns=tuple(columns),
            options=tuple(options.items()),
            primary_key=key,
            key_name=key_name,
            watermark=mark,
            partition_keys=partitions,
            distribution=spread,
            comment=statement.comment,
            temporary=statement.temporary,
        ),
        catalog,
    )


def _strategies(like: TableLike) -> dict[str, str]:
    """What becomes of each feature of the source; Flink's defaults."""
    how = {**dict.fromkeys(_FEATURES, "INCLUDING"), "OPTIONS": "OVERWRITING"}
    for option in like.options:
        if option.what == "ALL":
            how = dict.fromkeys(_FEATURES, option.strategy)
    return how | {o.what: o.strategy for o in like.options if o.what != "ALL"}


def _collides(what: str, kind: ColumnKind, like: TableLike, span: Span) -> SqlError:
    word = {ColumnKind.COMPUTED: "GENERATED", ColumnKind.METADATA: "METADATA"}.get(kind)
    if word is not None:
        return _exists(what, word, like, span)
    return SqlError(f'table "{like.source}" has {what} already', span=span)


def _exists(what: str, word: str, like: TableLike, span: Span) -> SqlError:
    over = f" or OVERWRITING {word}" if word in {"GENERATED", "METADATA", "WATERMARKS"} else ""
    over = f" or OVERWRITING {word}" if word == "OPTIONS" else over
    return SqlError(
        f'table "{like.source}" has {what} already',
        hint=f"Write LIKE {like.source} (EXCLUDING {word}){over}.",
        span=span,
    )


def declare_as(
    statement: CreateTable, schema: RowType, catalog: Catalog, script: str
) -> tuple[CatalogTable, tuple[str, ...]]:
    """The table that a CREATE TABLE … AS declares, and its columns in order of the query's.

    Declared columns come first, then those of the query that are not declared, as in Flink.

    Args:
        statement: the statement.
        schema: of its query, without time attributes.
        catalog: makes the name a full one.
        script: the text that the statement's spans point into.

    Raises:
        SqlError: a declared column that the query fills is no physical one, or the names that put
            the columns in order are not those of the query.
    """
    names = schema.names
    types: dict[str, DataType] = dict(zip(names, schema.types, strict=True))
    key = tuple(map(str, statement.primary_key.columns)) if statement.primary_key else ()
    columns = [declare_column(c, script, in_key=str(c.name) in key) for c in statement.columns]
    for column, written in zip(columns, statement.columns, strict=True):
        if column.kind is not ColumnKind.PHYSICAL and column.name in types:
            raise SqlError(
                f'column "{column.name}" is computed or metadata, and the query gives one as well',
                hint="Give the query's column another name with AS.",
                span=written.name.span,
            )
    order: Sequence[str] = names
    if statement.order:
        order = [str(n) for n in statement.order]
        for i, name in enumerate(statement.order):
            if str(name) not in types or str(name) in order[:i]:
                near = nearest(str(name), set(names) - set(order[:i]))
                raise SqlError(
                    f'the query has no column "{name}"'
                    if str(name) not in types
                    else f'column "{name}" stands twice',
                    hint=f'Did you mean "{near}"?' if near else f"It has: {', '.join(names)}.",
                    span=name.span,
                )
        if len(order) != len(names):
            missing = next(n for n in names if n not in order)
            raise SqlError(
                f'column "{missing}" of the query is missing',
                hint="Names alone only put the columns of the query in order: name all of them.",
                span=statement.order[0].span.to(statement.order[-1].span),
            )
    declared = {c.name for c in columns}
    columns += [
        CatalogColumn(n, ColumnKind.PHYSICAL, types[n].not_null() if n in key else types[n])
        for n in order
        if n not in declared
    ]
    known = tuple(c.name for c in columns)
    table = CatalogTable(
        path=catalog.path(statement.name.parts, statement.name.span),
        columns=tuple(columns),
        options=tuple(given_options(statement.options).items()),
        primary_key=key,
        key_name=statement.primary_key.name if statement.primary_key else None,
        watermark=watermark_clause(statement, known, script),
        partition_keys=tuple(map(str, statement.partitioned_by)),
        distribution=distribution(statement.distribution, known),
        comment=statement.comment,
        temporary=statement.temporary,
    )
    return restated(table, catalog), names
