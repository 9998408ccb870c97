"""Statements that are answered at once: DDL, USE, SHOW, DESCRIBE, SET."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import TypeVar

from flowsql.catalog import (
    Catalog,
    CatalogTable,
    CatalogView,
    altered,
    declare_as,
    declare_like,
    declare_table,
    declare_view,
    given_options,
    named_columns,
    restated_view,
    shown_as_typed,
)
from flowsql.config.engine import is_ignored, parse_setting
from flowsql.errors import FlowSQLError, Refusals, Span, SqlError
from flowsql.library.administration import run_on_catalogs
from flowsql.library.functions import run_on_functions
from flowsql.library.listing import Listing
from flowsql.library.partitions import show_partitions
from flowsql.library.result import Result, rows_result, text_result
from flowsql.logical import Binder, without_time
from flowsql.sql import (
    AlterFunction,
    AlterTable,
    AlterView,
    CreateFunction,
    CreateTable,
    CreateView,
    Describe,
    DescribeObject,
    DropFunction,
    DropTable,
    DropView,
    Insert,
    Name,
    Option,
    OptionChange,
    RenameColumn,
    RenameTable,
    Reset,
    Set,
    Show,
    ShowCreate,
    ShowPartitions,
    Statement,
)
from flowsql.types import Field, NullType, RowType

__all__ = ["Commands", "Notice"]

Made = TypeVar("Made")


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
                self._create_table(statement, script, binder)
            case CreateView():
                view = declare_view(statement, self._catalog, script)
                try:
                    view = self._with_its_columns(view, binder)
                except SqlError as error:
                    error.span = error.span or statement.name.span
                    raise
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
            case AlterTable():
                self._alter_table(statement, script, binder)
            case AlterView():
                self._alter_view(statement, script, binder)
            case Set():
                return self._set(statement)
            case Reset():
                self._reset(statement)
            case CreateFunction() | AlterFunction() | DropFunction():
                run_on_functions(statement, self._catalog)
            case Show() | ShowCreate() | Describe() | DescribeObject():
                return Listing(self._catalog, binder).run(statement)
            case ShowPartitions():
                return show_partitions(statement, self._catalog, binder)
            case _:
                run_on_catalogs(statement, self._catalog)
        return text_result("result", ["OK"])

    # Tables and views

    def _create_table(self, statement: CreateTable, script: str, binder: Binder) -> None:
        make = declare_table if statement.like is None else declare_like
        with shown_as_typed(statement, script), _marking_options(statement.options):
            table = self._catalog.completed(make(statement, self._catalog, script))
            if statement.if_not_exists and self._catalog.has(table.path, temporary=table.temporary):
                return
            binder.tables.bind(table, span=statement.name.span)
        self._catalog.create(table, if_not_exists=statement.if_not_exists, span=statement.name.span)

    def looked_through(
        self, error: FlowSQLError, script: str, binder: Callable[[], Binder]
    ) -> FlowSQLError:
        """With what else is wrong in a CREATE TABLE of which a part is; any other error as it is.

        Args:
            error: of a statement in `script`.
            script: the text.
            binder: makes one under the present settings.
        """
        known, error.partly = error.partly, None
        if known is None or error.sql is not None:
            return error
        refusals = Refusals()
        refusals.add(error)
        if isinstance(known, CreateTable) and not (known.like or known.query):
            if any(isinstance(getattr(c, "type", None), NullType) for c in known.columns):
                # Without all types only the options can be looked at.
                name, given = known.name, given_options(known.options)
                with refusals.part(), _marking_options(known.options, name.span):
                    binder().tables.check_options(name.parts[-1], given)
            else:
                try:
                    known = self._catalog.completed(declare_table(known, self._catalog, script))
                except SqlError as further:
                    known = further.partly
                    refusals.add(further)
        if isinstance(known, CatalogTable):
            with refusals.part():
                binder().tables.bind(known)
        return refusals.first() or error

    def create_as(
        self,
        statement: CreateTable,
        script: str,
        binder: Binder,
        plan: Callable[[Insert], Made],
    ) -> Made | None:
        """CREATE TABLE … AS: makes the table and gives what `plan` makes of the INSERT that fills it.

        The table is taken back where the plan fails. None: IF NOT EXISTS found one.

        Args:
            statement: with a query.
            script: the text its spans point into.
            binder: binds under the present settings.
            plan: called while the table is there.
        """
        name = statement.name
        table, insert = self._table_as(statement, script, binder)
        old = self._catalog.get(table.path)
        if old is not None and old.temporary is not table.temporary:
            old = None
        if old is not None and not statement.replace and statement.if_not_exists:
            return None
        if statement.replace and isinstance(old, CatalogView):
            raise SqlError(
                f'"{name}" is a view, not a table', hint="Use DROP VIEW.", span=name.span
            )
        if statement.replace and old is not None:
            self._catalog.put(table)
        else:
            self._catalog.create(table, span=name.span)
        try:
            return plan(insert)
        except BaseException:
            self._catalog.forget(table)
            if old is not None:
                self._catalog.put(old)
            raise

    def explain_as(
        self,
        statement: CreateTable,
        script: str,
        binder: Binder,
        plan: Callable[[Insert], Made],
    ) -> Made:
        """What `plan` makes of the INSERT of a CREATE TABLE … AS, of which no table is left."""
        table, insert = self._table_as(statement, script, binder)
        hidden = self._catalog.temporary(table.path)
        self._catalog.put(replace(table, temporary=True))
        try:
            return plan(insert)
        finally:
            self._catalog.forget(replace(table, temporary=True))
            if hidden is not None:
                self._catalog.put(hidden)

    def _table_as(
        self, statement: CreateTable, script: str, binder: Binder
    ) -> tuple[CatalogTable, Insert]:
        assert statement.query is not None
        name = statement.name
        schema = _plain(binder.query(statement.query).schema, statement)
        with shown_as_typed(statement, script), _marking_options(statement.options):
            table, columns = declare_as(statement, schema, self._catalog, script)
            table = self._catalog.completed(table)
            binder.tables.bind(table, span=name.span)
        insert = Insert(
            table=name,
            query=statement.query,
            columns=tuple(Name((c,), name.span) for c in columns),
            span=statement.span,
        )
        return table, insert

    def _alter_table(self, statement: AlterTable, script: str, binder: Binder) -> None:
        name = statement.name
        if statement.if_exists and self._catalog.get(self._catalog.path(name.parts)) is None:
            return
        table = self._catalog.permanent(name.parts, view=False, span=name.span)
        assert isinstance(table, CatalogTable)
        change = statement.alteration
        if isinstance(change, RenameTable):
            self._catalog.rename(table, change.new.parts, change.new.span)
            return
        given = change.set if isinstance(change, OptionChange) else ()
        with shown_as_typed(statement, script), _marking_options(given):
            changed = replace(altered(table, change, self._catalog, script), file=None)
            binder.tables.bind(changed, span=name.span)
            renamed = {str(change.old): str(change.new)} if isinstance(change, RenameColumn) else {}
            refusals, places = Refusals(), named_columns(change)
            for column, error in self._catalog.refusals(table, changed, renamed):
                error.span = error.span or places.get(column or "", name.span)
                refusals.add(error)
            refusals.check()
        self._catalog.alter(table, changed, renamed)

    def _alter_view(self, statement: AlterView, script: str, binder: Binder) -> None:
        name = statement.name
        if statement.if_exists and self._catalog.get(self._catalog.path(name.parts)) is None:
            return
        view = self._catalog.permanent(name.parts, view=True, span=name.span)
        assert isinstance(view, CatalogView)
        if statement.rename is not None:
            self._catalog.rename(view, statement.rename.new.parts, statement.rename.new.span)
            return
        assert statement.query is not None
        made = CreateView(
            name=name, query=statement.query, comment=view.comment, span=statement.span
        )
        changed = self._with_its_columns(declare_view(made, self._catalog, script), binder)
        self._catalog.put(changed)
        try:
            binder.view(changed)
        except FlowSQLError:
            # Another view that it reads may read it.
            self._catalog.put(view)
            raise

    def _with_its_columns(self, view: CatalogView, binder: Binder) -> CatalogView:
        """The view, checked, with the columns that each `*` of it stands for now."""
        text = binder.written_out(view)
        if text == view.text:
            return view
        made = restated_view(view, text, self._catalog)
        with contextlib.suppress(SqlError):
            if binder.view(made) == binder.view(view):
                return made
        # A column of a sub-query without alias may have no name of its own.
        return view

    # Settings

    def _set(self, statement: Set) -> Result:
        if statement.key is None or statement.value is None:
            return rows_result(("key", "value"), [[k, v] for k, v in sorted(self._config.items())])
        try:
            parse_setting(statement.key, statement.value)
        except FlowSQLError as error:
            known = f'there is no option "{statement.key}"' not in error.message
            error.span = error.span or (statement.value_span if known else statement.key_span)
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
def _marking_options(options: Sequence[Option], otherwise: Span | None = None) -> Iterator[None]:
    """An error that says which option is wrong is shown there, not at the table's name."""
    try:
        yield
    except FlowSQLError as error:
        places = {o.key: o.key_span.to(o.value_span) for o in options}
        for part in (error, *error.more):
            if part.option in places:
                # Of a table that was stated anew the error shows that text.
                part.sql, part.span = None, places[part.option]
            part.span = part.span or otherwise
        raise


def _plain(schema: RowType, statement: CreateTable) -> RowType:
    """The columns as a table has them: without time attributes, each with a type."""
    for field in schema.fields:
        if isinstance(field.type, NullType):
            raise SqlError(
                f'column "{field.name}" of the query has no type',
                hint="Write CAST(NULL AS …).",
                span=statement.name.span,
            )
    return RowType(
        tuple(Field(f.name, without_time(f.type)) for f in schema.fields), nullable=False
    )
