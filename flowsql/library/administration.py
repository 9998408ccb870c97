"""Statements about catalogs, databases and modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flowsql.catalog import Catalog, OpenedCatalog, changed_options
from flowsql.errors import ConfigError, FlowSQLError, InternalError, SqlError, nearest
from flowsql.library.file_catalog import open_store
from flowsql.sql import (
    AlterCatalog,
    AlterDatabase,
    CreateCatalog,
    CreateDatabase,
    DropCatalog,
    DropDatabase,
    LoadModule,
    Name,
    Option,
    Statement,
    UnloadModule,
    Use,
    UseCatalog,
    UseModules,
)

__all__ = ["MODULE", "run_on_catalogs"]

MODULE = "core"


def run_on_catalogs(statement: Statement, catalog: Catalog) -> None:
    """Carry the statement out; raises FlowSQLError if that is not possible."""
    match statement:
        case Use(name=name):
            catalog.use_database(name.parts, name.span)
        case UseCatalog(name=name):
            catalog.use_catalog(str(name), name.span)
        case CreateCatalog(name=name):
            catalog.add_catalog(
                str(name),
                lambda: _opened(statement, lasting=catalog.lasting),
                if_not_exists=statement.if_not_exists,
                span=name.span,
            )
        case DropCatalog(name=name):
            catalog.drop_catalog(str(name), if_exists=statement.if_exists, span=name.span)
        case AlterCatalog():
            _alter_catalog(statement, catalog)
        case CreateDatabase(name=name):
            catalog.create_database(
                name.parts,
                comment=statement.comment,
                options=tuple((o.key, o.value) for o in statement.options),
                if_not_exists=statement.if_not_exists,
                span=name.span,
            )
        case DropDatabase(name=name):
            catalog.drop_database(
                name.parts,
                if_exists=statement.if_exists,
                cascade=statement.cascade,
                span=name.span,
            )
        case AlterDatabase(name=name, change=change):
            catalog.alter_database(name.parts, lambda o: changed_options(o, change), name.span)
        case LoadModule(name=name):
            _check_module(name)
            raise SqlError(f'module "{MODULE}" is loaded already', span=name.span)
        case UnloadModule(name=name):
            _check_module(name)
            raise SqlError(
                f'module "{MODULE}" cannot be unloaded',
                detail="All built-in functions belong to it.",
                span=name.span,
            )
        case UseModules(names=names):
            for name in names:
                _check_module(name)
        case _:
            raise InternalError(f"no command for {type(statement).__name__}")


def _opened(statement: CreateCatalog, *, lasting: bool) -> OpenedCatalog:
    given = {o.key: o.value for o in statement.options}
    try:
        store = open_store(str(statement.name), given, lasting=lasting)
    except FlowSQLError as error:
        raise _marked(error, statement.options, statement.name) from None
    return OpenedCatalog(store, given, statement.comment)


def _alter_catalog(statement: AlterCatalog, catalog: Catalog) -> None:
    name, change = statement.name, statement.change
    known = catalog.opened(str(name), name.span)
    if change is None:
        catalog.alter_catalog(str(name), replace(known, comment=statement.comment))
        return
    fixed = {"type", "path"}
    given = [
        *((o.key, o.key_span) for o in change.set),
        *zip(change.reset, change.spans, strict=True),
    ]
    for key, span in given:
        if key in fixed:
            raise SqlError(
                f'option "{key}" of a catalog cannot be changed',
                hint="Drop the catalog and create it anew; a file catalog keeps its files.",
                span=span,
            )
    options: Mapping[str, str] = changed_options(dict(known.options), change)
    default = options.get("default-database", "default")
    if known.store.database(default) is None:
        raise SqlError(
            f'catalog "{name}" has no database "{default}"',
            hint="CREATE DATABASE makes one.",
            span=name.span,
        )
    known.store.default = default
    catalog.alter_catalog(str(name), replace(known, options=options))


def _marked(error: FlowSQLError, options: tuple[Option, ...], name: Name) -> FlowSQLError:
    """The error, with the place of the option that it is about."""
    places = {o.key: o.key_span.to(o.value_span) for o in options}
    for part in (error, *error.more):
        part.span = places.get(part.option or "") or part.span or name.span
    return error


def _check_module(name: Name) -> None:
    if str(name) != MODULE:
        near = nearest(str(name), (MODULE,))
        raise ConfigError(
            f'module "{name}" does not exist',
            hint=f'Did you mean "{near}"?' if near else f'The only module is "{MODULE}".',
            span=name.span,
        )
