"""SHOW and DESCRIBE: what there is, in the shapes of Flink's SQL client."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import replace

from flowsql.catalog import (
    Catalog,
    CatalogTable,
    CatalogView,
    ColumnKind,
    OpenedCatalog,
    UserFunction,
    show_create_catalog,
    show_create_function,
    show_create_table,
    show_create_view,
)
from flowsql.catalog.show import HIDDEN
from flowsql.connector.plugins import find_catalog_kind
from flowsql.errors import FlowSQLError, InternalError, SqlError, nearest
from flowsql.expr import (
    all_aggregates,
    all_functions,
    all_table_functions,
    is_table_function,
    python_function,
    signatures,
)
from flowsql.library.administration import MODULE
from flowsql.library.result import Result, rows_result, text_result
from flowsql.logical import Binder, is_built_in
from flowsql.logical.table_options import has_references
from flowsql.sql import Describe, DescribeObject, Like, Name, Show, ShowCreate

__all__ = ["Listing"]

_INFO = ("info name", "info value")
_DESCRIBED = ("name", "type", "null", "key", "extras", "watermark", "comment")
_ONE_COLUMN = {
    "TABLES": "table name",
    "VIEWS": "view name",
    "MATERIALIZED TABLES": "materialized table name",
    "MODELS": "model name",
    "CATALOGS": "catalog name",
    "DATABASES": "database name",
    "FUNCTIONS": "function name",
    "USER FUNCTIONS": "function name",
    "CURRENT CATALOG": "current catalog name",
    "CURRENT DATABASE": "current database name",
    "MODULES": "module name",
    "JARS": "jars",
}


class Listing:
    """Answers one statement.

    Args:
        catalog: what has a name.
        binder: binds tables and views under the present settings.
    """

    def __init__(self, catalog: Catalog, binder: Binder) -> None:
        self._catalog = catalog
        self._binder = binder

    def run(self, statement: Show | ShowCreate | Describe | DescribeObject) -> Result:
        """The answer; raises SqlError for what is not there."""
        match statement:
            case Show(kind="COLUMNS", name=name, like=like):
                assert name is not None
                return self._describe(name, like)
            case Show(kind="FULL MODULES"):
                return rows_result(("module name", "used"), [[MODULE, True]])
            case Show(kind=kind, like=like):
                return text_result(_ONE_COLUMN[kind], _filtered(self._names(statement), like))
            case ShowCreate():
                return text_result("result", [self._create(statement)])
            case Describe(name=name):
                return self._describe(name, None)
            case DescribeObject(kind="CATALOG"):
                return self._describe_catalog(statement)
            case DescribeObject(kind="DATABASE"):
                return self._describe_database(statement)
            case DescribeObject():
                return self._describe_function(statement)

    def _names(self, statement: Show) -> list[str]:
        name = statement.name
        parts, span = (name.parts, name.span) if name is not None else ((), None)
        match statement.kind:
            case "TABLES" | "VIEWS" as kind:
                found = list(self._catalog.names(parts, span))
                return (
                    [n for n in found if self._is_view((*parts, n))] if kind == "VIEWS" else found
                )
            case "CATALOGS":
                return self._catalog.catalogs
            case "DATABASES":
                if len(parts) > 1:
                    raise SqlError(f'"{name}" has more than 1 part', span=span)
                return self._catalog.databases(parts[0] if parts else None, span)
            case "FUNCTIONS":
                if parts:
                    self._catalog.database(parts, span)
                return sorted({*_functions(), *self._user_functions(parts)})
            case "USER FUNCTIONS":
                if parts:
                    self._catalog.database(parts, span)
                return self._user_functions(parts)
            case "MODELS" | "MATERIALIZED TABLES":
                if parts:
                    self._catalog.database(parts, span)
                return []
            case "JARS":
                return []
            case "CURRENT CATALOG":
                return [self._catalog.current_catalog]
            case "CURRENT DATABASE":
                return [self._catalog.current_database]
            case "MODULES":
                return [MODULE]
            case kind:
                raise InternalError(f"no SHOW {kind}")

    def _user_functions(self, database: tuple[str, ...]) -> list[str]:
        home = (self._catalog.current_catalog, self._catalog.current_database)
        return self._catalog.functions.names(
            *(self._catalog.database_path(database) if database else home)
        )

    def _describe_function(self, statement: DescribeObject) -> Result:
        found = self._function(statement.name)
        if found is None:
            return _describe_built_in(statement, self._user_functions(()))
        rows: list[list[str | bool | None]] = [
            ["is system function", str(found.path is None).lower()],
            ["is temporary", str(found.temporary).lower()],
            ["class name", found.place],
            ["function language", "PYTHON"],
        ]
        if statement.extended:
            scalar = python_function(found.place)
            rows += [["kind", "SCALAR"], ["is deterministic", str(scalar.deterministic).lower()]]
            rows += [["signature", text] for text in signatures(found.name, found.place)]
            rows += [["description", scalar.doc]] * bool(scalar.doc)
        return rows_result(_INFO, rows)

    def _create_function(self, name: Name) -> str:
        found = self._function(name)
        if found is None:
            if len(name.parts) > 1 or not is_built_in(str(name)):
                raise _no_function(name, self._user_functions(()))
            raise SqlError(
                f'function "{name}" is built in: no statement makes it',
                hint=f"DESCRIBE FUNCTION EXTENDED {name} tells what it does.",
                span=name.span,
            )
        if found.place.startswith("<"):
            raise SqlError(
                f'function "{name}" was given as an object: no statement makes it',
                hint="The program gives it with create_temporary_function.",
                span=name.span,
            )
        return show_create_function(found)

    def _function(self, name: Name) -> UserFunction | None:
        """The declared function that a call by this name means; None if it means another one."""
        functions = self._catalog.functions
        if len(name.parts) == 1 and is_built_in(str(name)):
            return None
        system = functions.system(str(name)) if len(name.parts) == 1 else None
        return system or functions.find(self._catalog.path(name.parts, name.span))

    def _is_view(self, parts: tuple[str, ...]) -> bool:
        """False as well where it cannot be read."""
        try:
            path = self._catalog.path(parts)
            if self._catalog.temporary(path) is None and not self._keeps_views(path.catalog):
                return False
            return isinstance(self._catalog.find(parts), CatalogView)
        except FlowSQLError:
            return False

    def _keeps_views(self, catalog: str) -> bool:
        return self._catalog.opened(catalog).store.views

    def _create(self, statement: ShowCreate) -> str:
        name = statement.name
        if statement.kind == "FUNCTION":
            return self._create_function(name)
        if statement.kind == "CATALOG":
            opened = self._catalog.opened(str(name), name.span)
            return show_create_catalog(str(name), opened.comment, _without_secrets(opened))
        found = self._catalog.find(name.parts, name.span, what=statement.kind.lower())
        is_view = isinstance(found, CatalogView)
        if is_view is not (statement.kind == "VIEW"):
            actual = "VIEW" if is_view else "TABLE"
            raise SqlError(
                f'"{name}" is a {actual.lower()}', hint=f"Use SHOW CREATE {actual}.", span=name.span
            )
        if isinstance(found, CatalogView):
            return show_create_view(self._with_names(found))
        return show_create_table(found, self._binder.tables.secrets(found))

    def _with_names(self, view: CatalogView) -> CatalogView:
        """The view with names for its columns, as Flink shows it; as it is where it is broken."""
        with contextlib.suppress(FlowSQLError):
            return replace(view, columns=self._binder.view(view).names)
        return view

    def _describe(self, name: Name, like: Like | None) -> Result:
        found = self._catalog.find(name.parts, name.span)
        if isinstance(found, CatalogView):
            fields = self._binder.view(found).fields
            extras = ["" for _ in fields]
            comments = ["" for _ in fields]
        else:
            fields = self._binder.tables.bind(found, span=name.span).schema.fields
            extras = [_extras(found, i) for i in range(len(fields))]
            comments = [c.comment or "" for c in found.columns]
        key = found.primary_key if isinstance(found, CatalogTable) else ()
        marks = {}
        if isinstance(found, CatalogTable) and found.watermark is not None:
            marks = {found.watermark.column: found.watermark.text}
        shown = set(_filtered((f.name for f in fields), like))
        rows = [
            [
                field.name,
                str(replace(field.type, nullable=True)),
                field.type.nullable,
                f"PRI({', '.join(key)})" if field.name in key else None,
                extra or None,
                marks.get(field.name),
                comment or None,
            ]
            for field, extra, comment in zip(fields, extras, comments, strict=True)
            if field.name in shown
        ]
        width = len(_DESCRIBED) if any(comments) else len(_DESCRIBED) - 1
        return rows_result(_DESCRIBED[:width], [row[:width] for row in rows])

    def _describe_catalog(self, statement: DescribeObject) -> Result:
        opened = self._catalog.opened(str(statement.name), statement.name.span)
        rows: list[list[str | bool | None]] = [
            ["name", str(statement.name)],
            ["type", opened.options["type"]],
            ["comment", opened.comment or None],
        ]
        if statement.extended:
            options = sorted(_without_secrets(opened).items())
            rows += [[f"option:{k}", v] for k, v in options if k != "type"]
        return rows_result(_INFO, rows)

    def _describe_database(self, statement: DescribeObject) -> Result:
        database = self._catalog.database(statement.name.parts, statement.name.span)
        catalog, name = self._catalog.database_path(statement.name.parts)
        rows: list[list[str | bool | None]] = [["catalog", catalog], ["name", name]]
        rows += [["comment", database.comment or None]]
        if statement.extended:
            rows += [[f"option:{k}", v] for k, v in sorted(database.options)]
        return rows_result(_INFO, rows)


def _without_secrets(opened: OpenedCatalog) -> dict[str, str]:
    """The options of a catalog as they are shown; a `${NAME}` stays as it is written."""
    kind = find_catalog_kind(opened.options["type"])
    declared = () if kind is None else kind.options
    return {
        key: HIDDEN
        if any(o.matches(key) and o.secret for o in declared) and not has_references({key: text})
        else text
        for key, text in opened.options.items()
    }


def _functions() -> dict[str, str]:
    """Names of functions, operators left out, and the names that the registry knows them by."""
    scalar = {n: f.name for n, f in all_functions().items() if re.fullmatch(r"\w+", n)}
    aggregates = {f.name: f.name for f in all_aggregates()}
    return scalar | aggregates | {f.name: f.name for f in all_table_functions()}


def _no_function(name: Name, others: Iterable[str]) -> SqlError:
    near = nearest(name.parts[-1].upper(), [*_functions(), *others])
    return SqlError(
        f'function "{name}" does not exist',
        hint=f'Did you mean "{near}"?' if near else "SHOW FUNCTIONS lists all.",
        span=name.span,
    )


def _describe_built_in(statement: DescribeObject, others: Iterable[str]) -> Result:
    name = statement.name
    key = name.parts[-1].upper()
    known = _functions()
    if key not in known or len(name.parts) > 1:
        raise _no_function(name, others)
    rows: list[list[str | bool | None]] = [
        ["is system function", "true"],
        ["is temporary", "false"],
    ]
    scalar = all_functions().get(key)
    if statement.extended and scalar is not None:
        rows += [["kind", "SCALAR"], ["is deterministic", str(scalar.deterministic).lower()]]
        rows += [["signature", text] for text in scalar.supported()]
        rows += [["description", scalar.doc]]
    elif statement.extended and is_table_function(key):
        table = next(f for f in all_table_functions() if f.name == key)
        rows += [["kind", "TABLE"], ["is deterministic", "true"]]
        rows += [["signature", table.signature], ["description", table.doc]]
    elif statement.extended:
        found = next(f for f in all_aggregates() if f.name == key)
        rows += [["kind", "AGGREGATE"], ["is deterministic", "true"]]
        rows += [["signature", found.signature], ["description", found.doc]]
    return rows_result(_INFO, rows)


def _extras(table: CatalogTable, index: int) -> str:
    column = table.columns[index]
    match column.kind:
        case ColumnKind.COMPUTED:
            return f"AS {column.text}"
        case ColumnKind.METADATA:
            source = f" FROM '{column.metadata_key}'" if column.metadata_key != column.name else ""
            return f"METADATA{source}{' VIRTUAL' if column.virtual else ''}"
        case ColumnKind.PHYSICAL:
            return ""


def _filtered(names: Iterable[str], like: Like | None) -> list[str]:
    if like is None:
        return list(names)
    parts = {"%": ".*", "_": "."}
    text = "".join(parts.get(c, re.escape(c)) for c in like.pattern)
    pattern = re.compile(text, re.DOTALL | (re.IGNORECASE if like.ignore_case else re.NOFLAG))
    return [n for n in names if bool(pattern.fullmatch(n)) is not like.negated]
