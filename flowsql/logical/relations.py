"""What stands behind FROM: tables, views, sub-queries, joins, table functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import expressions as exp

from flowsql.catalog import CatalogTable, CatalogView
from flowsql.connector import Role
from flowsql.errors import FlowSQLError, Refusals, Span, SqlError
from flowsql.expr import Column, Expression, Literal, bind_call, is_table_function, transform
from flowsql.logical.attached import Attachments
from flowsql.logical.correlation import conjunction, is_count, joined
from flowsql.logical.dependent import depend, tied
from flowsql.logical.expressions import ExpressionBinder, looks_beside
from flowsql.logical.join_conditions import bind_on
from flowsql.logical.letters import dead_letter_table
from flowsql.logical.plan import (
    Aggregate,
    Filter,
    Join,
    JoinKind,
    LogicalPlan,
    Project,
    Scan,
    Values,
)
from flowsql.logical.plan_rows import Expand, SemiJoin, Unnest
from flowsql.logical.refusals import misplaced_hint, not_supported
from flowsql.logical.scope import Relation, Resolve, Scope
from flowsql.logical.selects import ClauseValues, filtered, parts_of
from flowsql.logical.stars import Stars
from flowsql.logical.table import BoundTable
from flowsql.logical.table_functions import bind_table_function
from flowsql.logical.unnest import bind_unnest
from flowsql.logical.user_functions import functions_within
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import RowType

if TYPE_CHECKING:
    from flowsql.logical.queries import Names, QueryBinder

__all__ = ["RelationBinder", "hint_options", "marking_hints"]

_JOINS = {
    "INNER": JoinKind.INNER,
    "LEFT": JoinKind.LEFT,
    "RIGHT": JoinKind.RIGHT,
    "FULL": JoinKind.FULL,
    "CROSS": JoinKind.INNER,
    "COMMA": JoinKind.INNER,
}


class RelationBinder:
    """Binds relations; sub-queries and views go back to the query binder."""

    def __init__(self, queries: QueryBinder) -> None:
        self._queries = queries

    def bind(
        self, node: exp.Expr, names: Names, later: Refusals | None = None
    ) -> tuple[LogicalPlan, Scope]:
        """The plan of a relation, and what its columns are called.

        Args:
            node: the relation.
            names: what table names mean.
            later: takes what is wrong with conditions of ON, to be told with the rest.

        Raises:
            SqlError, ConfigError: as `QueryBinder.query`.
        """
        match node:
            case d.TableReference():
                return self._table(node, names)
            case d.DerivedTable():
                # Without a relation in front of it LATERAL has nothing to look at.
                plan = self._queries.query(node.args["this"], names)
                return self._named(plan, (), node)
            case d.JoinRelation():
                return self._join(node, names, later)
            case d.TableFunction():
                return self._table_function(node, names)
            case d.UnnestRelation():
                return bind_unnest(
                    node,
                    self._queries.one_row,
                    nothing_around(self._queries.one_row.schema, names),
                    JoinKind.INNER,
                )
            case _:
                raise not_supported(f"this relation ({type(node).__name__})", span_of(node))

    # Tables and views

    def _table(self, node: d.TableReference, names: Names) -> tuple[LogicalPlan, Scope]:
        span = span_of(node)
        if node.args.get("period") is not None:
            raise not_supported(
                "FOR SYSTEM_TIME AS OF",
                span,
                "Leave it out to join with the rows as they are: what was joined changes with them. An "
                "Iceberg table is read as it was with /*+ OPTIONS('as-of-timestamp' = '…') */.",
            )
        parts = node.parts
        if len(parts) == 1 and parts[0] in names.ctes:
            _no_hints(node)
            cte, known = names.ctes[parts[0]]
            plan = self._queries.query(cte.args["query"], known)
            return self._named(_renamed(plan, cte), parts, node)
        found = self._queries.catalog.find(parts, _name_span(node), names.within)
        path = found.path
        full = (path.catalog, path.database, path.name)
        if isinstance(found, CatalogView):
            _no_hints(node)
            return self._named(self.view(found, names, span), full, node)
        hints = hint_options(node.args.get("hints") or ())
        with marking_hints(node.args.get("hints") or ()):
            bound = self.scan_table(found, hints, _name_span(node))
        columns = tuple(range(len(bound.columns)))
        return self._named(Scan(bound, columns, span=_name_span(node)), full, node)

    def _named(
        self, plan: LogicalPlan, path: tuple[str, ...], node: exp.Expr
    ) -> tuple[LogicalPlan, Scope]:
        """The relation under its alias, or `path` without one; hints know it so too."""
        made = _named(plan, path, node)
        self._queries.relations.add(made[0], path, node)
        return made

    def scan_table(
        self, table: CatalogTable, hints: Mapping[str, str], span: Span | None
    ) -> BoundTable:
        """The table as it is scanned, with the table that takes its bad records."""
        tables = self._queries.tables
        bound = tables.bind(table, role=Role.SCAN, hints=hints, span=span)
        if bound.bad_records != "dead-letter":
            return bound
        letters = dead_letter_table(bound, table, self._queries.catalog, tables, span)
        return replace(bound, dead_letters=letters)

    def view(
        self, view: CatalogView, names: Names, span: Span | None, stars: Stars | None = None
    ) -> LogicalPlan:
        """The view's query; its spans become `span`, the place where the view is named.

        What the stars of its own text stand for is added to `stars`.
        """
        full = str(view.path)
        if full in names.views:
            raise SqlError(f'view "{full}" reads itself', span=span)
        inner = type(names)(within=view.database, views=(*names.views, full))
        around, self._queries.stars = self._queries.stars, stars
        try:
            with functions_within(view.database):
                plan = self._queries.query(view.query, inner)
        except FlowSQLError as error:
            if error.span is None:
                raise
            if error.sql is None and error.detail is None:
                error.detail = f'View "{full}" says so.'
            raise error.with_sql(view.script).in_file(view.script, view.file) from None
        finally:
            self._queries.stars = around
        if view.columns:
            if len(view.columns) != len(plan.schema.fields):
                raise SqlError(
                    f'view "{full}" names {len(view.columns)} columns, '
                    f"its query has {len(plan.schema.fields)}",
                    hint="Give a name for each, or aliases in the query.",
                    span=span,
                )
            plan = _with_names(plan, view.columns)
        names_given = plan.schema.names
        for i, name in enumerate(names_given):
            if name in names_given[:i]:
                raise SqlError(
                    f'view "{full}" has two columns "{name}"',
                    hint="Give one of them an alias.",
                    span=span,
                )
        return _respan(plan, span)

    # TABLE(…)

    def _table_function(self, node: d.TableFunction, names: Names) -> tuple[LogicalPlan, Scope]:
        call: d.FunctionCall = node.args["this"]
        # What takes a table, not columns of the row beside it, is the same with LATERAL.
        if node.args.get("lateral") and not is_table_function(call.function):
            raise not_supported(
                "LATERAL TABLE",
                span_of(node),
                "Let a function give an ARRAY of ROWs: CROSS JOIN UNNEST(f(a)) AS u (x, y).",
            )
        plan = bind_table_function(
            call,
            lambda table: self._argument(table, names),
            streaming=self._queries.tables.settings.streaming,
        )
        return self._named(plan, (), node)

    def _argument(self, node: exp.Expr, names: Names) -> LogicalPlan:
        if isinstance(node, d.Query):
            return self._queries.query(node, names)
        return self.bind(node, names)[0]

    # Joins

    def _join(
        self, node: d.JoinRelation, names: Names, later: Refusals | None
    ) -> tuple[LogicalPlan, Scope]:
        span = span_of(node)
        kind = node.args["kind"]
        if kind not in _JOINS:
            raise not_supported(f"{kind} JOIN", span)
        beside = node.args["right"]
        if isinstance(beside, d.UnnestRelation):
            left, left_scope = self.bind(node.args["left"], names, later)
            made = bind_unnest(
                beside, left, replace(left_scope, outer=names.outer), _JOINS[kind], node
            )
            return made[0], replace(made[1], outer=None)
        if isinstance(beside, d.DerivedTable) and beside.args.get("lateral"):
            return self._lateral(node, beside, names)
        refusals = Refusals()
        with refusals.part():
            left, left_scope = self.bind(node.args["left"], names, later)
        with refusals.part():
            right, right_scope = self.bind(node.args["right"], names, later)
        refusals.check()
        for a in left_scope.relations:
            for b in right_scope.relations:
                if a.path and a.path == b.path:
                    raise SqlError(
                        f'"{a.path[-1]}" stands twice in FROM',
                        hint="Give one of them an alias.",
                        span=span_of(node.args["right"]),
                    )
        joined = Join(left, right, _JOINS[kind], None, span=span)
        scope = left_scope.beside(right_scope, joined.schema)
        width = len(left.schema.fields)
        merged = {n: _retyped(e, scope, 0) for n, e in left_scope.merged.items()}
        merged |= {
            n: _retyped(e, scope, width) for n, e in right_scope.merged.items() if n not in merged
        }
        scope = replace(scope, merged=merged)
        shared: Sequence[tuple[str, Span]] = ()
        if node.args.get("natural"):
            known = _visible(right_scope)
            shared = [(n, span) for n in _visible(left_scope) if n in known]
        elif node.args.get("using"):
            shared = [(i.this, span_of(i)) for i in node.args["using"]]
        if shared:
            return self._using(joined, scope, (left_scope, right_scope), shared)
        if node.args.get("on") is None:
            return joined, scope
        bound: LogicalPlan = joined
        with nullcontext() if later is None else later.part():
            scope_on = replace(scope, outer=names.outer)
            if looks_beside(node.args["on"]):
                sides = (
                    replace(left_scope, outer=names.outer),
                    replace(right_scope, outer=names.outer),
                )
                bound = self._on(node.args["on"], joined, scope_on, sides, names)
            else:
                on = ExpressionBinder(scope_on, "ON").condition(node.args["on"])
                bound = replace(joined, condition=on)
        return bound, scope

    def _on(
        self, on: exp.Expr, joined: Join, scope: Scope, sides: tuple[Scope, Scope], names: Names
    ) -> LogicalPlan:
        """The join under a condition with sub-queries."""

        def values(look: Resolve, beside: Attachments) -> ClauseValues:
            return ClauseValues(self._queries, replace(names, outer=look), beside)

        def choose(parts: list[exp.Expr], plan: LogicalPlan) -> LogicalPlan:
            within = values(scope.look, Attachments("sub-query"))
            made = filtered(parts, plan, ExpressionBinder(scope, "ON", beside=within), within)
            return select_first(made, len(plan.schema.fields))

        return bind_on(parts_of(on), joined, scope, sides, values=values, choose=choose)

    def _lateral(
        self, node: d.JoinRelation, beside: d.DerivedTable, names: Names
    ) -> tuple[LogicalPlan, Scope]:
        """`t, LATERAL (SELECT … WHERE s.k = t.k)`: a join by what the sub-query reads of t."""
        span = span_of(node)
        kind = _JOINS[node.args["kind"]]
        if kind not in {JoinKind.INNER, JoinKind.LEFT}:
            raise not_supported(f"{node.args['kind']} JOIN LATERAL", span)
        if node.args.get("using") or node.args.get("natural"):
            raise not_supported("USING or NATURAL with LATERAL", span)
        left, left_scope = self.bind(node.args["left"], names)
        outer = replace(left_scope, outer=names.outer).look
        inner = self._queries.query(beside.args["this"], replace(names, outer=outer))
        # As in Flink, a global aggregate without input is no partner of an inner join.
        filled = kind is JoinKind.LEFT
        pulled = tied(inner, left, span, filled=filled)
        if pulled.grouped and filled and counts(inner):
            pulled = depend(inner, left, span)
        width = len(left.schema.fields)
        own = _renamed(select_first(pulled.plan, len(inner.schema.fields)), beside)
        right, right_scope = _named(own, (), beside)
        if pulled.conditions:
            hidden = tuple(
                Column(type=f.type, index=i, name=f.name)
                for i, f in enumerate(pulled.plan.schema.fields)
            )
            names_given = (*own.schema.names, *pulled.plan.schema.names[len(own.schema.names) :])
            right = Project(pulled.plan, hidden, names_given)
        made = Join(left, right, kind, None, span=span)
        scope = left_scope.beside(replace(right_scope, row=right.schema), made.schema)
        extra = range(width + len(own.schema.fields), len(made.schema.fields))
        scope = replace(scope, hidden=scope.hidden | set(extra), merged=left_scope.merged)
        conditions = joined(pulled.conditions, width)
        if node.args.get("on") is not None:
            on = ExpressionBinder(scope, "ON").condition(node.args["on"])
            conditions += [] if _is_true(on) else [on]
        return replace(made, condition=conjunction(conditions)), scope

    def _using(
        self,
        joined: Join,
        scope: Scope,
        sides: tuple[Scope, Scope],
        shared: Sequence[tuple[str, Span]],
    ) -> tuple[LogicalPlan, Scope]:
        width = len(sides[0].row.fields)
        conditions: list[Expression] = []
        merged: dict[str, Expression] = {}
        hidden = set(scope.hidden)
        for name, span in shared:
            a = _retyped(sides[0].resolve((name,), span), scope, 0)
            b = _retyped(sides[1].resolve((name,), span), scope, width)
            conditions.append(bind_call("=", [a, b], span))
            hidden |= {e.index for e in (a, b) if isinstance(e, Column)}
            match joined.kind:
                case JoinKind.FULL:
                    merged[name] = bind_call("COALESCE", [a, b], span)
                case JoinKind.RIGHT:
                    merged[name] = b
                case _:
                    merged[name] = a
        condition = conditions[0]
        for other in conditions[1:]:
            condition = bind_call("AND", [condition, other], other.span)
        rest = {n: e for n, e in scope.merged.items() if n not in merged}
        scope = replace(scope, merged={**merged, **rest}, hidden=frozenset(hidden))
        return replace(joined, condition=condition), scope


def nothing_around(row: RowType, names: Names) -> Scope:
    """What a relation that stands alone may name: columns of the query around."""
    return Scope(row, hidden=frozenset(range(len(row.fields))), outer=names.outer)


def select_first(plan: LogicalPlan, width: int) -> LogicalPlan:
    """The first columns of a plan."""
    columns = tuple(
        Column(type=f.type, index=i, name=f.name) for i, f in enumerate(plan.schema.fields[:width])
    )
    return Project(plan, columns, plan.schema.names[:width])


def counts(plan: LogicalPlan) -> bool:
    """Whether a COUNT stands in the plan."""
    own = isinstance(plan, Aggregate) and any(map(is_count, plan.calls))
    return own or any(map(counts, plan.inputs))


def _is_true(condition: Expression) -> bool:
    return isinstance(condition, Literal) and condition.value is True


def _visible(scope: Scope) -> list[str]:
    plain = [f.name for i, f in enumerate(scope.row.fields) if i not in scope.hidden]
    return [*scope.merged, *plain]


def _retyped(expression: Expression, scope: Scope, shift: int) -> Expression:
    """The expression over the row of a join: columns moved, with their nullability there."""

    def move(e: Expression) -> Expression:
        return scope.column(e.index + shift, e.span) if isinstance(e, Column) else e

    return transform(expression, move)


def _named(plan: LogicalPlan, path: tuple[str, ...], node: exp.Expr) -> tuple[LogicalPlan, Scope]:
    """The relation under its alias, or `path` without one."""
    plan = _renamed(plan, node)
    alias = node.args.get("alias")
    if alias is not None:
        path = (alias.this,)
    width = len(plan.schema.fields)
    return plan, Scope(plan.schema, (Relation(path, 0, width),))


def _renamed(plan: LogicalPlan, node: exp.Expr) -> LogicalPlan:
    columns = node.args.get("columns")
    if not columns:
        return plan
    if len(columns) != len(plan.schema.fields):
        raise SqlError(
            f"{len(columns)} column names are given for {len(plan.schema.fields)} columns",
            span=span_of(columns[0]).to(span_of(columns[-1])),
        )
    seen: set[str] = set()
    for column in columns:
        if column.this in seen:
            raise SqlError(f'column name "{column.this}" is given twice', span=span_of(column))
        seen.add(column.this)
    return _with_names(plan, [c.this for c in columns])


def _with_names(plan: LogicalPlan, names: Sequence[str]) -> LogicalPlan:
    if isinstance(plan, Values):
        # Errors show a row's values by the names that the user gave them.
        fields = tuple(replace(f, name=n) for f, n in zip(plan.row.fields, names, strict=True))
        return replace(plan, row=RowType(fields, nullable=False))
    expressions = tuple(
        Column(type=f.type, index=i, name=f.name) for i, f in enumerate(plan.schema.fields)
    )
    return Project(plan, expressions, tuple(names))


def _name_span(node: d.TableReference) -> Span:
    parts = node.args["expressions"]
    return span_of(parts[0]).to(span_of(parts[-1]))


def _no_hints(node: d.TableReference) -> None:
    for hint in node.args.get("hints") or ():
        raise SqlError(
            f'hint "{hint.args["this"].this}" can only stand behind a table',
            span=span_of(hint),
        )


def hint_options(hints: Sequence[exp.Expr]) -> dict[str, str]:
    """The OPTIONS of hints behind a table; other hints are refused by name."""
    given: dict[str, str] = {}
    for hint in hints:
        if hint.args["this"].this.upper() != "OPTIONS":
            raise misplaced_hint(hint.args["this"].this, span_of(hint))
        given.update(dict(hint.args.get("options") or ()))
    return given


@contextmanager
def marking_hints(hints: Sequence[exp.Expr]) -> Iterator[None]:
    """An error that says which option of a hint is wrong is shown there."""
    try:
        yield
    except FlowSQLError as error:
        places = {
            key: span
            for hint in hints
            for (key, _), span in zip(hint.args["options"], hint.meta["places"], strict=True)
        }
        for part in (error, *error.more):
            if part.option in places and part.sql is None:
                part.span = places[part.option]
        raise


def _respan(plan: LogicalPlan, span: Span | None) -> LogicalPlan:
    """The plan of a view, every span the place where the view is named."""

    def mark(expression: Expression) -> Expression:
        return transform(expression, lambda e: replace(e, span=span))

    plan = plan.with_inputs(tuple(_respan(p, span) for p in plan.inputs))
    match plan:
        case Filter():
            return replace(plan, condition=mark(plan.condition), span=span)
        case Project():
            return replace(plan, expressions=tuple(map(mark, plan.expressions)), span=span)
        case Join() | SemiJoin() | Unnest() if plan.condition is not None:
            return replace(plan, condition=mark(plan.condition), span=span)
        case Expand():
            made = tuple(tuple(map(mark, p)) for p in plan.projections)
            return replace(plan, projections=made, span=span)
        case Aggregate():
            calls = tuple(replace(c, span=span) for c in plan.calls)
            return replace(plan, calls=calls, span=span)
        case _:
            return replace(plan, span=span)
