"""Statements that are answered at once: DDL, USE, SHOW, DESCRIBE, SET."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace

import pyarrow as pa

from flowsql.catalog import (
    Catalog,
    CatalogTable,
    CatalogView,
    ColumnKind,
    declare_table,
    declare_view,
    show_create_table,
    show_create_view,
)
from flowsql.config.engine import is_ignored, parse_setting
from flowsql.errors import FlowSQLError, InternalError, SqlError
from flowsql.library.result import Result
from flowsql.logical import Binder
from flowsql.sql import (
    CreateTable,
    CreateView,
    Describe,
    DropTable,
    DropView,
    Option,
    Reset,
    Set,
    ShowCreate,
    ShowTables,
    Statement,
    Use,
    UseCatalog,
)
from flowsql.types import BooleanType, Field, RowType, VarCharType, arrow_schema

__all__ = ["Commands", "text_result"]


class Commands:
    """Runs such statements against a session's catalog and settings.

    Args:
        catalog: what has a name.
        config: what SET set, as text.
        notice: tells of a setting that is accepted without effect.
        given: what the session was opened with (`-D`): SET wins over it, RESET brings it back.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: MutableMapping[str, str],
        notice: Notice,
        given: Mapping[str, str],
    ) -> None:
        self._catalog = catalog
        self._config = config
        self._notice = notice
        self._given = given

    def run(self, statement: Statement, script: str, binder: Binder) -> Result:
        """The statement's answer.

        Args:
            statement: any but a query, INSERT, statement set or EXPLAIN.
            script: the text its spans point into.
            binder: binds under the present settings.

        Raises:
            FlowSQLError: the statement cannot be carried out; nothing was changed.
        """
        match statement:
            case CreateTable():
                table = declare_table(statement, self._catalog, script)
                with _marking_options(statement.options):
                    binder.tables.bind(table, span=statement.name.span)
                self._catalog.create(
                    table, if_not_exists=statement.if_not_exists, span=statement.name.span
                )
            case CreateView():
                view = declare_view(statement, self._catalog, script)
                binder.view(view)
                self._catalog.create(
                    view, if_not_exists=statement.if_not_exists, span=statement.name.span
                )
            case DropTable() | DropView():
                self._catalog.drop(
                    statement.name.parts,
                    view=isinstance(statement, DropView),
                    temporary=statement.temporary,
                    if_exists=statement.if_exists,
                    span=statement.name.span,
                )
            case Use(name=name):
                self._catalog.use_database(name.parts, name.span)
            case UseCatalog(name=name):
                self._catalog.use_catalog(str(name), name.span)
            case Set():
                return self._set(statement)
            case Reset():
                self._reset(statement)
            case ShowTables():
                return self._show_tables(statement)
            case ShowCreate():
                return self._show_create(statement, binder)
            case Describe():
                return self._describe(statement, binder)
            case _:
                raise InternalError(f"no command for {type(statement).__name__}")
        return text_result("result", ["OK"])

    def _set(self, statement: Set) -> Result:
        if statement.key is None or statement.value is None:
            return _rows(("key", "value"), [[k, v] for k, v in sorted(self._config.items())])
        try:
            parse_setting(statement.key, statement.value)
        except FlowSQLError as error:
            error.span = error.span or statement.key_span
            raise
        if is_ignored(statement.key):
            self._notice(statement.key)
        elif self._given.get(statement.key, statement.value) != statement.value:
            self._notice.overridden(statement.key, self._given[statement.key], statement.value)
        self._config[statement.key] = statement.value
        return text_result("result", ["OK"])

    def _reset(self, statement: Reset) -> None:
        if statement.key is None:
            self._config.clear()
            self._config.update(self._given)
            return
        if statement.key not in self._config:
            # A key that nobody knows is refused as in SET; one that is not set is as it was.
            try:
                parse_setting(statement.key, "")
            except FlowSQLError as error:
                if "there is no option" in error.message:
                    error.span = statement.key_span
                    raise
        self._config.pop(statement.key, None)
        if statement.key in self._given:
            self._config[statement.key] = self._given[statement.key]

    def _show_tables(self, statement: ShowTables) -> Result:
        database = statement.database
        found = self._catalog.tables(
            database.parts if database else (), database.span if database else None
        )
        views = statement.kind == "VIEWS"
        names = [f.path.name for f in found if not views or isinstance(f, CatalogView)]
        if statement.like is not None:
            pattern = _like(statement.like)
            names = [n for n in names if bool(pattern.fullmatch(n)) is not statement.negated]
        return text_result("view name" if views else "table name", names)

    def _show_create(self, statement: ShowCreate, binder: Binder) -> Result:
        found = self._catalog.find(statement.name.parts, statement.name.span)
        is_view = isinstance(found, CatalogView)
        if is_view is not (statement.kind == "VIEW"):
            actual = "VIEW" if is_view else "TABLE"
            raise SqlError(
                f'"{statement.name}" is a {actual.lower()}',
                hint=f"Use SHOW CREATE {actual}.",
                span=statement.name.span,
            )
        if isinstance(found, CatalogView):
            return text_result("result", [show_create_view(found)])
        return text_result("result", [show_create_table(found, binder.tables.secrets(found))])

    def _describe(self, statement: Describe, binder: Binder) -> Result:
        found = self._catalog.find(statement.name.parts, statement.name.span)
        if isinstance(found, CatalogView):
            fields = binder.view(found).fields
            extras = ["" for _ in fields]
            comments = ["" for _ in fields]
        else:
            fields = binder.tables.bind(found, span=statement.name.span).schema.fields
            extras = [_extras(found, i) for i in range(len(fields))]
            comments = [c.comment or "" for c in found.columns]
        key = found.primary_key if isinstance(found, CatalogTable) else ()
        marks = {}
        if isinstance(found, CatalogTable) and found.watermark is not None:
            marks = {found.watermark.column: found.watermark.text}
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
        ]
        names = ("name", "type", "null", "key", "extras", "watermark", "comment")
        if not any(comments):
            rows = [row[:-1] for row in rows]
        return _rows(names[: len(rows[0])] if rows else names, rows)


class Notice:
    """Tells of settings that Flink knows and that have no effect here, each once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, key: str) -> None:
        """Note a key."""
        if key not in self._told:
            self._told.add(key)
            self._tell(f'option "{key}" tunes what is not needed here and has no effect')

    def overridden(self, key: str, given: str, value: str) -> None:
        """SET changes what the session was opened with."""
        self._tell(f'option "{key}" is "{value}" by SET, no longer "{given}" as given at the start')


@contextlib.contextmanager
def _marking_options(options: Sequence[Option]) -> Iterator[None]:
    """An error that says which option is wrong is shown there, not at the table's name."""
    try:
        yield
    except FlowSQLError as error:
        for option in options:
            if option.key == error.option:
                error.span = option.key_span.to(option.value_span)
        raise


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


def _like(pattern: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in pattern), re.DOTALL)


def text_result(column: str, values: Sequence[str]) -> Result:
    """One STRING column, known at once."""
    return _rows((column,), [[v] for v in values])


def _rows(names: Sequence[str], rows: Sequence[Sequence[str | bool | None]]) -> Result:
    fields = tuple(
        Field(n, BooleanType() if rows and isinstance(rows[0][i], bool) else VarCharType())
        for i, n in enumerate(names)
    )
    schema = RowType(fields, nullable=False)
    arrow = arrow_schema(schema)
    columns = [pa.array([row[i] for row in rows], f.type) for i, f in enumerate(arrow)]
    if not rows:
        return Result(schema)
    return Result(schema, (pa.RecordBatch.from_arrays(columns, schema=arrow),))
