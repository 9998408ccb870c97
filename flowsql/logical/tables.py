"""From a declaration to a table that can be read or written: columns bound, options read.

Nothing is opened and no `${NAME}` is resolved here; `connector_table` does so when the job starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlglot import expressions as exp

from flowsql.catalog import CatalogColumn, CatalogTable, ColumnKind
from flowsql.changelog import ChangelogMode
from flowsql.config import Option, OptionType, OptionValues, parse_options
from flowsql.connector import Connector, ConnectorTable, Role
from flowsql.errors import ConfigError, FlowSQLError, Refusals, Span, SqlError, nearest
from flowsql.expr import Call, Expression, Literal, can_cast, transform, walk
from flowsql.logical.expressions import ExpressionBinder, aggregates_in
from flowsql.logical.missing import look_for_missing, refuse_computed
from flowsql.logical.plan import without_time
from flowsql.logical.scope import Relation, Scope
from flowsql.logical.settings import PlanSettings
from flowsql.logical.table import BoundColumn, BoundTable, BoundWatermark
from flowsql.logical.table_options import (
    TABLE_OPTIONS,
    has_references,
    parse_unresolved,
    resolve_references,
)
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import (
    DataType,
    Field,
    LocalZonedTimestampType,
    NullType,
    RowType,
    TimeAttribute,
    TimestampType,
)

__all__ = ["Tables", "connector_table"]


@dataclass(frozen=True)
class Tables:
    """Binds declared tables.

    Attributes:
        find_connector: the connector of a name; raises ConfigError naming the nearest.
        format_options: the options of a format of a name; raises ConfigError.
        settings: the session's.
    """

    find_connector: Callable[[str], Connector]
    format_options: Callable[[str], Sequence[Option]]
    settings: PlanSettings

    def bind(
        self,
        table: CatalogTable,
        *,
        role: Role | None = None,
        hints: Mapping[str, str] | None = None,
        overwrite: bool = False,
        span: Span | None = None,
    ) -> BoundTable:
        """The table with its columns bound and its options read.

        Args:
            table: the declaration.
            role: what it is used as; its connector is asked whether it can. None: only bound, as
                for CREATE TABLE and DESCRIBE.
            hints: OPTIONS of a hint, over those of the declaration.
            overwrite: a sink takes the place of what is there; its name says so.
            span: where the statement names the table.

        Raises:
            SqlError: an expression of the declaration is wrong.
            ConfigError: an option is.
        """
        try:
            bound = self._bound(table, role, hints or {}, span)
        except FlowSQLError as error:
            raise error.in_file(table.script, table.file) from error.__cause__
        if not overwrite:
            return bound
        facts = replace(bound.settings, overwrite=True)
        return replace(bound, name=f"{bound.name}#overwrite", settings=facts)

    def _bound(
        self,
        table: CatalogTable,
        role: Role | None,
        hints: Mapping[str, str],
        span: Span | None,
    ) -> BoundTable:
        refusals = Refusals()
        with refusals.part():
            try:
                columns, watermark = self._columns(table)
            except FlowSQLError as error:
                raise error.with_sql(table.script) from None
        with refusals.part(), _marking(table, hints, span):
            chosen = self._options(table, dict(hints))
            _check_metadata(table, chosen)
        refusals.check()
        with _marking(table, hints, span):
            return self._with_options(table, columns, watermark, role, chosen)

    # Columns

    def _columns(
        self, table: CatalogTable
    ) -> tuple[tuple[BoundColumn, ...], BoundWatermark | None]:
        known = {c.name: c.type for c in table.columns if c.type is not None}
        # A computed column may read the others, but not other computed ones.
        stand_in = tuple(Field(c.name, known.get(c.name, NullType())) for c in table.columns)
        computed = frozenset(i for i, c in enumerate(table.columns) if c.type is None)
        scope = Scope(
            RowType(stand_in, nullable=False),
            (Relation((table.path.name,), 0, len(stand_in)),),
        )
        refusals = Refusals()
        found: list[BoundColumn] = []
        for declared in table.columns:
            with refusals.part():
                found.append(self._column(declared, scope, computed))
        clause = table.watermark
        if refusals and clause is not None:
            binder = ExpressionBinder(scope, "WATERMARK")
            look_for_missing([clause.expression], binder, refusals)
        refusals.check()
        columns = tuple(found)
        if clause is None:
            return columns, None
        at = [c.name for c in columns].index(clause.column)
        full = Scope(
            RowType(tuple(Field(c.name, c.type) for c in columns), nullable=False),
            scope.relations,
        )
        self._check_rowtime(columns[at], span_of(clause.expression))
        rowtime = columns[at].type
        if _is_source_watermark(clause.expression):
            expression: Expression = Literal(
                type=without_time(rowtime).with_nullable(True), value=None
            )
        else:
            expression = ExpressionBinder(full, "WATERMARK").value(clause.expression)
        if not isinstance(expression.type, TimestampType | LocalZonedTimestampType) or type(
            expression.type
        ) is not type(rowtime):
            raise SqlError(
                f'watermark of "{clause.column}" must be a {rowtime.root}, '
                f"not {expression.type.with_nullable(True)}",
                span=span_of(clause.expression),
            )
        if any(isinstance(e, Call) and e.function == "PROCTIME" for e in walk(expression)):
            raise SqlError("a watermark cannot read PROCTIME()", span=span_of(clause.expression))
        assert isinstance(rowtime, TimestampType | LocalZonedTimestampType)
        marked = replace(columns[at], type=replace(rowtime, attribute=TimeAttribute.ROWTIME))
        return (*columns[:at], marked, *columns[at + 1 :]), BoundWatermark(at, expression)

    def _column(self, column: CatalogColumn, scope: Scope, computed: frozenset[int]) -> BoundColumn:
        if column.kind is not ColumnKind.COMPUTED:
            assert column.type is not None
            return BoundColumn(
                column.name,
                column.kind,
                column.type,
                metadata_key=column.metadata_key,
                virtual=column.virtual,
            )
        assert column.expression is not None
        for call in aggregates_in(column.expression):
            raise SqlError("a computed column cannot aggregate", span=span_of(call))
        refuse_computed(column.name, column.expression, scope, computed)
        expression = ExpressionBinder(scope, "a computed column").bind(column.expression)
        if isinstance(expression.type, NullType):
            raise SqlError(
                f'computed column "{column.name}" has no type',
                hint="Write CAST(NULL AS …).",
                span=span_of(column.expression),
            )
        return BoundColumn(
            column.name, column.kind, expression.type, expression=_without_spans(expression)
        )

    @staticmethod
    def _check_rowtime(column: BoundColumn, span: Span) -> None:
        kind = column.type
        if not isinstance(kind, TimestampType | LocalZonedTimestampType) or kind.precision > 3:
            raise SqlError(
                f'watermark column "{column.name}" must be TIMESTAMP(p) or TIMESTAMP_LTZ(p) with '
                f"p from 0 to 3, not {without_time(kind).with_nullable(True)}",
                hint=f"Declare {column.name} TIMESTAMP(3), or a computed column that casts it.",
                span=span,
            )

    # Options

    def _options(self, table: CatalogTable, hints: dict[str, str]) -> _Chosen:
        """The connector and what it is told, whatever the columns are."""
        if hints.get("connector", table.connector) != table.connector:
            raise ConfigError(f'table "{table.path.name}": a hint cannot change the connector')
        return self.check_options(table.path.name, {**dict(table.options), **hints}, hints)

    def check_options(
        self, name: str, given: Mapping[str, str], hints: Mapping[str, str] | None = None
    ) -> _Chosen:
        """The connector and what it is told.

        Raises:
            ConfigError: there is no such connector, or it does not take these options.
        """
        where = f'table "{name}"'
        if "connector" not in given:
            _refuse_misspelt("connector", given, where)
            raise ConfigError(
                f"{where} has no connector",
                hint="Add WITH ('connector' = '…').",
            )
        try:
            connector = self.find_connector(given["connector"])
        except ConfigError as error:
            error.option = "connector"
            raise
        where = f'{where} (connector "{connector.name}")'
        declared = self.declared(connector, given, where)
        options = parse_unresolved(declared, given, where=where)
        return _Chosen(connector, dict(given), dict(hints or {}), where, declared, options)

    def _with_options(
        self,
        table: CatalogTable,
        columns: tuple[BoundColumn, ...],
        watermark: BoundWatermark | None,
        role: Role | None,
        chosen: _Chosen,
    ) -> BoundTable:
        connector, given, hints = chosen.connector, chosen.given, chosen.hints
        where, declared, options = chosen.where, chosen.declared, chosen.options
        name = str(table.path)
        if hints:
            digest = hashlib.sha256(json.dumps(sorted(given.items())).encode()).hexdigest()
            name = f"{name}#{digest[:8]}"
        known = connector.metadata_of(options)
        columns = tuple(_metadata(c, known, where, None) for c in columns)
        schema = RowType(
            tuple(
                Field(c.name, without_time(c.type))
                for c in columns
                if c.kind is ColumnKind.PHYSICAL
            ),
            nullable=False,
        )
        facts = ConnectorTable(
            name=name,
            schema=schema,
            options=options,
            primary_key=table.primary_key,
            partition_keys=table.partition_keys,
            columns=schema.names,
            metadata={
                c.name: c.metadata_key or c.name for c in columns if c.kind is ColumnKind.METADATA
            },
            local_time_zone=self.settings.local_time_zone,
            places=table.places.without(hints),
            declared_name=table.path.name,
        )
        names = [c.name for c in columns]
        bound = BoundTable(
            name=name,
            declared=str(table.path),
            columns=columns,
            connector=connector,
            options=tuple(given.items()),
            settings=facts,
            primary_key=tuple(names.index(k) for k in table.primary_key),
            partition_keys=table.partition_keys,
            watermark=watermark,
            identity=_identity(declared, given),
        )
        if role is None and not has_references(given):
            connector.check_columns(facts)
        if role is not None:
            _check_parallelism(options, role, where)
            connector.check(facts, role)
        if role is Role.SINK:
            return replace(bound, sink_modes=connector.sink_modes(facts))
        if role is Role.SCAN:
            return self._as_scan(bound)
        return bound

    def declared(
        self, connector: Connector, given: Mapping[str, str], where: str
    ) -> tuple[Option, ...]:
        """All options that a table of the connector may have: the engine's, its own, its format's.

        Raises:
            ConfigError: there is no such format, or none is named.
        """
        declared = (*TABLE_OPTIONS, *connector.options)
        if not connector.formats:
            return declared
        declared = tuple(o for o in declared if o.key != "format")
        named = next((o for o in connector.options if o.key == "format"), None)
        option = named or _FORMAT
        if "format" not in given:
            if option.required:
                unknown = [k for k in given if not any(o.matches(k) for o in declared)]
                _refuse_misspelt("format", unknown, where)
                raise ConfigError(f'{where} needs option "format"', hint="Such as 'csv' or 'json'.")
            return (*declared, option)
        try:
            formats = tuple(self.format_options(given["format"]))
        except ConfigError as error:
            raise ConfigError(
                f"{where}: {error.message}", hint=error.hint, option="format"
            ) from None
        own = {o.key for o in declared}
        return (*declared, option, *(o for o in formats if o.key not in own))

    def _as_scan(self, bound: BoundTable) -> BoundTable:
        options = bound.settings.options
        watermark = bound.watermark
        if watermark is not None:
            self._check_source_watermark(bound, watermark)
            idle = options["scan.watermark.idle-timeout"]
            watermark = replace(
                watermark,
                strategy=options["scan.watermark.emit.strategy"],
                idle_timeout=(self.settings.idle_timeout if idle is None else idle) or None,
                all_idle_close=options["scan.watermark.all-idle-close"] or None,
            )
        policy = options["scan.bad-record"]
        target = options["scan.dead-letter.table"]
        if policy == "dead-letter" and target is None:
            raise ConfigError(
                f"table \"{bound.name}\": 'scan.bad-record' = 'dead-letter' needs option "
                '"scan.dead-letter.table"',
                hint="Name a table with columns table_name STRING, place STRING, record BYTES, "
                "reason STRING.",
                option="scan.bad-record",
            )
        return replace(
            bound,
            watermark=watermark,
            scan_mode=self._scan_mode(bound),
            bounded=bound.connector.bounded(bound.settings),
            bad_records=policy,
        )

    @staticmethod
    def _check_source_watermark(bound: BoundTable, watermark: BoundWatermark) -> None:
        if watermark.by_source and not bound.connector.gives_watermarks:
            name = bound.columns[watermark.rowtime].name
            raise ConfigError(
                f'connector "{bound.connector.name}" has no watermark of its own for '
                "SOURCE_WATERMARK()",
                hint="Declare the watermark by an expression: WATERMARK FOR "
                f"{name} AS {name} - INTERVAL '5' SECOND.",
            )

    def _scan_mode(self, bound: BoundTable) -> ChangelogMode:
        mode = bound.connector.scan_mode(bound.settings)
        if mode is not ChangelogMode.RETRACT or not self.settings.duplicate_changes:
            return mode
        if not bound.primary_key:
            raise ConfigError(
                f'table "{bound.name}" gives changes that may come more than once, and has no '
                "PRIMARY KEY",
                detail="'table.exec.source.cdc-events-duplicate' is set.",
                hint="Declare PRIMARY KEY (…) NOT ENFORCED, by which a change is told from a new "
                "one; or RESET 'table.exec.source.cdc-events-duplicate'.",
            )
        return ChangelogMode.UPSERT

    def secrets(self, table: CatalogTable) -> Callable[[str], bool]:
        """Whether a key of the table's options is secret; for SHOW CREATE TABLE.

        A key that nobody declares is taken for one if its name says so.
        """
        given = dict(table.options)
        try:
            connector = self.find_connector(given["connector"])
            declared = self.declared(connector, given, "")
        except (KeyError, ConfigError):
            declared = ()

        def is_secret(key: str) -> bool:
            found = next((o for o in declared if o.matches(key)), None)
            if found is not None:
                return found.secret
            return any(word in key.lower() for word in ("password", "secret", "token"))

        return is_secret


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A table's connector and options; `where` is how messages call the table."""

    connector: Connector
    given: dict[str, str]
    hints: dict[str, str]
    where: str
    declared: tuple[Option, ...]
    options: OptionValues


@contextmanager
def _marking(table: CatalogTable, hints: Mapping[str, str], span: Span | None) -> Iterator[None]:
    """Errors are shown at their option, or where the table is named."""
    try:
        yield
    except FlowSQLError as error:
        table.places.without(hints).mark(error)
        for part in (error, *error.more):
            if part.span is None and part.sql is None:
                part.span = span
        raise


def _is_source_watermark(node: exp.Expr) -> bool:
    if not isinstance(node, d.FunctionCall):
        return False
    return node.function == "SOURCE_WATERMARK" and not node.arguments and not node.args["qualifier"]


def _check_parallelism(options: OptionValues, role: Role, where: str) -> None:
    """How many readers or writers there are is decided elsewhere, but it must be a number of them."""
    key = f"{role.value}.parallelism"
    given = options.get(key)
    if given is not None and given < 1:
        raise ConfigError(
            f"{where}: invalid configured parallelism {given}",
            hint=f"Give '{key}' a number of at least 1, or leave it out.",
            option=key,
        )


def _check_metadata(table: CatalogTable, chosen: _Chosen) -> None:
    """The connector has the metadata that the table reads, of fitting types."""
    known = chosen.connector.metadata_of(chosen.options)
    refusals = Refusals()
    for c in table.columns:
        if c.kind is ColumnKind.METADATA and c.type is not None:
            column = BoundColumn(c.name, c.kind, c.type, metadata_key=c.metadata_key)
            with refusals.part():
                _metadata(column, known, chosen.where, c.span)
    wrong = refusals.first()
    if wrong is not None:
        raise wrong.with_sql(table.script) if wrong.span is not None else wrong


def _metadata(
    column: BoundColumn, known: Mapping[str, DataType], where: str, span: Span | None
) -> BoundColumn:
    if column.kind is not ColumnKind.METADATA:
        return column
    key = column.metadata_key or column.name
    if key not in known:
        near = nearest(key, known)
        hint = f'Did you mean "{near}"?' if near else None
        if hint is None and known:
            hint = f"It has: {', '.join(sorted(known))}."
        raise ConfigError(f'{where} has no metadata "{key}"', hint=hint, span=span)
    given = known[key]
    if not can_cast(given, column.type):
        raise ConfigError(
            f'{where}: metadata "{key}" is {given} and cannot be read as {column.type}',
            span=span,
        )
    return replace(column, metadata_type=given)


_FORMAT = Option(
    "format", OptionType.STRING, "How rows are written as bytes.", required=True, identifying=True
)


def _identity(declared: Sequence[Option], given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    chosen = [
        (key, text)
        for key, text in sorted(given.items())
        if any(o.matches(key) and o.identifying and not o.secret for o in declared)
    ]
    return (("connector", given["connector"]), *chosen)


def _without_spans(expression: Expression) -> Expression:
    """Spans of a declaration point into another text than the statement that reads it."""
    return transform(expression, lambda e: replace(e, span=None))


def _refuse_misspelt(wanted: str, given: Iterable[str], where: str) -> None:
    """One of the keys may be meant for the one that is missing."""
    near = nearest(wanted, given)
    if near is not None:
        raise ConfigError(
            f'{where} has no option "{near}"', hint=f'Did you mean "{wanted}"?', option=near
        )


def connector_table(
    table: BoundTable,
    tables: Tables,
    *,
    columns: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ConnectorTable:
    """What the connector is told when it opens: every `${NAME}` resolved.

    Args:
        table: the table.
        tables: knows the options that are declared.
        columns: names of the physical and metadata columns a scan reads; None: all, as a sink.
        environment: instead of the process's.

    Raises:
        ConfigError: a variable is not set, or its text is no value of the option.
    """
    where = f'table "{table.name}" (connector "{table.connector.name}")'
    given = resolve_references(dict(table.options), where=where, environment=environment)
    declared = tables.declared(table.connector, given, where)
    facts = table.settings
    kinds = {c.name: c for c in table.columns}
    if columns is None:
        read: Sequence[str] = [table.columns[i].name for i in table.sink_columns]
    else:
        read = columns
    return replace(
        facts,
        options=parse_options(declared, given, where=where),
        columns=tuple(c for c in read if kinds[c].kind is ColumnKind.PHYSICAL),
        metadata={
            c: kinds[c].metadata_key or c for c in read if kinds[c].kind is ColumnKind.METADATA
        },
    )
