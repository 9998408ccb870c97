"""From query AST to bound plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import expressions as exp

from flowsql.catalog import Catalog, CatalogView
from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import (
    Column,
    EvalSettings,
    Expression,
    Literal,
    bind_cast,
    common_type,
    fold,
    is_constant,
)
from flowsql.expr.nodes import LiteralValue
from flowsql.logical.expressions import ExpressionBinder, value_of
from flowsql.logical.ordering import Ordering
from flowsql.logical.plan import Aggregate, LogicalPlan, Project, Union, Values
from flowsql.logical.plan_rows import SetKind, SetOperation, Sort, SortKey
from flowsql.logical.refusals import not_supported
from flowsql.logical.relations import RelationBinder
from flowsql.logical.scope import Resolve, Scope, unused
from flowsql.logical.selects import around, bind_select
from flowsql.logical.stars import Stars
from flowsql.logical.state_ttl import Relations, keep_state
from flowsql.logical.tables import Tables
from flowsql.logical.windows import window_keys
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import Field, IntType, NullType, RowType

__all__ = ["Names", "QueryBinder", "rename", "unique_names"]


@dataclass(frozen=True)
class Names:
    """What table names mean at a place of a query.

    Attributes:
        ctes: names of WITH; each with the names that were known where it stands.
        within: catalog and database of unqualified names; None for the current ones.
        views: full names of the views that are being expanded.
        outer: what a name means in the query around a sub-query; None in any other query.
    """

    ctes: Mapping[str, tuple[d.Cte, Names]] = field(default_factory=dict)
    within: tuple[str, str] | None = None
    views: tuple[str, ...] = ()
    outer: Resolve | None = None


# The one row of a SELECT without FROM; a batch cannot count rows that have no column.
_ONE_ROW = Values(RowType((Field("ZERO", IntType(nullable=False)),), nullable=False), ((0,),))


class QueryBinder:
    """Binds queries against a catalog."""

    def __init__(self, catalog: Catalog, tables: Tables) -> None:
        self.catalog = catalog
        self.tables = tables
        self.relations = Relations()
        # Set while the query of a view is bound whose stars are to be written out.
        self.stars: Stars | None = None
        self._relations = RelationBinder(self)
        self._evaluation = EvalSettings(tables.settings.local_time_zone)

    def query(
        self, node: d.Query, names: Names | None = None, *, outermost: bool = False
    ) -> LogicalPlan:
        """The plan of a query; its column names may repeat.

        The order of a query inside another one means nothing, unless LIMIT or OFFSET takes a part.

        Raises:
            SqlError: the query is wrong, or says something that is not supported yet.
            ConfigError: a table of it has a wrong option.
        """
        args = node.args
        names = names or Names()
        if args.get("recursive"):
            raise not_supported("WITH RECURSIVE", span_of(node))
        for cte in args.get("ctes") or ():
            name = cte.args["this"].this
            names = replace(names, ctes={**names.ctes, name: (cte, names)})
        body, order = args["this"], args.get("order") or ()
        if isinstance(body, d.Select):
            plan, keys, width = self._select(body, names, order)
        else:
            plan = self._body(body, names)
            width = len(plan.schema.fields)
            keys = Ordering(_columns(plan), plan.schema.names, None).keys(order)
        offset = _number(args.get("offset"))
        fetch = _number(args.get("limit"))
        parts = [*order, *(args[k] for k in ("limit", "offset") if args.get(k) is not None)]
        if fetch is not None or offset or (keys and outermost):
            plan = Sort(plan, keys, offset or 0, fetch, span=around(parts))
        if width == len(plan.schema.fields):
            return plan
        return Project(plan, tuple(_columns(plan)[:width]), plan.schema.names[:width])

    def _select(
        self, node: d.Select, names: Names, order: Sequence[d.SortItem] = ()
    ) -> tuple[LogicalPlan, tuple[SortKey, ...], int]:
        refusals = Refusals()
        source = self._source(node, names, refusals)
        with refusals.part():
            plan, keys, width = bind_select(node, self, names, source, order)
        refusals.check()
        if node.args.get("distinct"):
            plan = _distinct(plan, span_of(node))
        return keep_state(plan, node.args.get("hints") or (), self.relations), keys, width

    def _source(
        self, node: d.Select, names: Names, refusals: Refusals
    ) -> tuple[LogicalPlan, Scope]:
        """What stands behind FROM; conditions of ON that are wrong are added to the refusals."""
        if node.args.get("from_") is None:
            return _ONE_ROW, Scope(RowType((), nullable=False))
        found: list[tuple[LogicalPlan, Scope]] = []
        with refusals.part():
            found.append(self._relations.bind(node.args["from_"], names, refusals))
        if not found:
            refusals.check()
        return found[0]

    @property
    def one_row(self) -> LogicalPlan:
        """The one row of what has no FROM."""
        return _ONE_ROW

    def view(self, view: CatalogView, stars: Stars | None = None) -> LogicalPlan:
        """The plan of a view's query under the view's column names; raises as `query`.

        What the stars of its own text stand for is added to `stars`.
        """
        return self._relations.view(view, Names(), None, stars)

    def _body(self, node: exp.Expr, names: Names) -> LogicalPlan:
        match node:
            case d.Query():
                return self.query(node, names)
            case d.Select():
                return self._select(node, names)[0]
            case d.Values():
                return self._values(node)
            case d.SetOperation():
                return self._set_operation(node, names)
            case d.TableReference():
                return self._relations.bind(node, names)[0]
            case _:
                raise not_supported(f"this query ({type(node).__name__})", span_of(node))

    # VALUES and set operations

    def _values(self, node: d.Values) -> LogicalPlan:
        binder = ExpressionBinder(Scope(RowType((), nullable=False)), "VALUES")
        rows: list[list[Expression]] = []
        for row in node.args["expressions"]:
            rows.append([binder.value(e) for e in row.args["expressions"]])
            if len(rows[-1]) != len(rows[0]):
                raise SqlError(
                    f"this row has {len(rows[-1])} values, the first has {len(rows[0])}",
                    span=span_of(row),
                )
        width = len(rows[0])
        labels = tuple(f"EXPR${i}" for i in range(width))
        for i in range(width):
            kind = common_type([r[i].type for r in rows])
            if kind is None:
                kinds = ", ".join(sorted({str(r[i].type.with_nullable(True)) for r in rows}))
                raise SqlError(
                    f"the values of column {i + 1} have no common type: {kinds}",
                    hint="CAST them to one type.",
                    span=next(r[i].span for r in rows),
                )
            for r in rows:
                if not isinstance(kind, NullType):
                    r[i] = bind_cast(r[i], kind, safe=False, span=r[i].span)
        fields = tuple(
            Field(label, rows[0][i].type.with_nullable(any(r[i].type.nullable for r in rows)))
            for i, label in enumerate(labels)
        )
        folded = [[fold(e, self._evaluation) for e in r] for r in rows]
        constants = _constants(folded)
        if constants is not None:
            return Values(RowType(fields, nullable=False), constants, span=span_of(node))
        parts = tuple(Project(_ONE_ROW, tuple(r), labels) for r in rows)
        return parts[0] if len(parts) == 1 else Union(parts, span=span_of(node))

    def _set_operation(self, node: d.SetOperation, names: Names) -> LogicalPlan:
        kind = node.args["kind"]
        sides = [node.args["left"], node.args["right"]]
        plans: list[LogicalPlan] = []
        refusals = Refusals()
        for side in sides:
            with refusals.part():
                plans.append(self._body(side, names))
        refusals.check()
        widths = [len(p.schema.fields) for p in plans]
        if widths[0] != widths[1]:
            raise SqlError(
                f"the queries of {kind} have {widths[0]} and {widths[1]} columns",
                span=span_of(sides[1]),
            )
        aligned = _aligned(plans, span_of(node), kind)
        if kind != "UNION":
            every = bool(node.args.get("all"))
            return SetOperation(
                aligned[0], aligned[1], SetKind(kind.lower()), every, span=span_of(node)
            )
        parts: list[LogicalPlan] = []
        for plan in aligned:
            # A UNION b UNION ALL c: only what is united in the same way is one union.
            flat = isinstance(plan, Union) and node.args.get("all")
            parts += plan.inputs if flat else (plan,)
        united = Union(tuple(parts), span=span_of(node))
        return united if node.args.get("all") else _distinct(united, span_of(node))


def _aligned(plans: Sequence[LogicalPlan], span: Span, kind: str) -> list[LogicalPlan]:
    """The same queries with columns of the same types."""
    columns: list[list[Expression]] = [_columns(p) for p in plans]
    for i, pair in enumerate(zip(*(p.schema.types for p in plans), strict=True)):
        if len({t.with_nullable(True) for t in pair}) == 1:
            continue
        plain = [value_of(c[i]) for c in columns]
        common = common_type([e.type for e in plain])
        if common is None:
            name = plans[0].schema.names[i]
            kinds = " and ".join(str(t.with_nullable(True)) for t in pair)
            raise SqlError(
                f'column "{name}" of {kind} has types without a common one: {kinds}',
                hint="CAST one of them.",
                span=span,
            )
        for side, value in zip(columns, plain, strict=True):
            side[i] = bind_cast(value, common, safe=False, span=span)
    names = plans[0].schema.names
    return [
        p if tuple(c) == tuple(_columns(p)) else Project(p, tuple(c), names)
        for p, c in zip(plans, columns, strict=True)
    ]


def _number(node: exp.Expr | None) -> int | None:
    return None if node is None else int(node.this)


def _columns(plan: LogicalPlan) -> list[Expression]:
    return [Column(type=f.type, index=i, name=f.name) for i, f in enumerate(plan.schema.fields)]


def _distinct(plan: LogicalPlan, span: Span) -> Aggregate:
    keys = tuple(range(len(plan.schema.fields)))
    windows = window_keys(plan, _columns(plan))
    return Aggregate(plan, keys, (), plan.schema.names, windows, span=span)


def _constants(
    rows: Sequence[Sequence[Expression]],
) -> tuple[tuple[LiteralValue, ...], ...] | None:
    """The rows' values, or None where one is not known before the job runs."""
    values = []
    for row in rows:
        found = []
        for e in row:
            if not isinstance(e, Literal) or not is_constant(e):
                return None
            found.append(e.value)
        values.append(tuple(found))
    return tuple(values)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names with digits behind those that came before (`a, a` → `a, a0`), as in Flink."""
    made: list[str] = []
    for name in names:
        made.append(unused(name, made))
    return tuple(made)


def rename(plan: LogicalPlan, names: Sequence[str]) -> LogicalPlan:
    """The same rows under other column names."""
    if plan.schema.names == tuple(names):
        return plan
    if isinstance(plan, Project):
        return replace(plan, names=tuple(names))
    return Project(plan, tuple(_columns(plan)), tuple(names))
