"""From query AST to bound plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import expressions as exp

from flowsql.catalog import Catalog, CatalogView
from flowsql.errors import Span, SqlError
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
from flowsql.logical.expressions import (
    ExpressionBinder,
    aggregates_in,
    value_of,
)
from flowsql.logical.grouping import Groups
from flowsql.logical.plan import Aggregate, Filter, LogicalPlan, Project, Union, Values
from flowsql.logical.refusals import Refusals, not_supported
from flowsql.logical.relations import RelationBinder
from flowsql.logical.scope import Scope
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
    """

    ctes: Mapping[str, tuple[d.Cte, Names]] = field(default_factory=dict)
    within: tuple[str, str] | None = None
    views: tuple[str, ...] = ()


# They choose among algorithms that are not ours.
_IGNORED_HINTS = frozenset(
    {"BROADCAST", "MULTI_JOIN", "NEST_LOOP", "SHUFFLE_HASH", "SHUFFLE_MERGE"}
)

# The one row of a SELECT without FROM; a batch cannot count rows that have no column.
_ONE_ROW = Values(RowType((Field("ZERO", IntType(nullable=False)),), nullable=False), ((0,),))


class QueryBinder:
    """Binds queries against a catalog."""

    def __init__(self, catalog: Catalog, tables: Tables) -> None:
        self.catalog = catalog
        self.tables = tables
        self._relations = RelationBinder(self)
        self._evaluation = EvalSettings(tables.settings.local_time_zone)

    def query(self, node: d.Query, names: Names | None = None) -> LogicalPlan:
        """The plan of a query; its column names may repeat.

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
        plan = self._body(args["this"], names)
        if args.get("order"):
            raise not_supported("ORDER BY", _around(args["order"]))
        for clause in ("limit", "offset"):
            if args.get(clause) is not None:
                raise not_supported(clause.upper(), span_of(args[clause]))
        return plan

    def view(self, view: CatalogView) -> LogicalPlan:
        """The plan of a view's query under the view's column names; raises as `query`."""
        return self._relations.view(view, Names(), None)

    def _body(self, node: exp.Expr, names: Names) -> LogicalPlan:
        match node:
            case d.Query():
                return self.query(node, names)
            case d.Select():
                return self._select(node, names)
            case d.Values():
                return self._values(node)
            case d.SetOperation():
                return self._set_operation(node, names)
            case d.TableReference():
                return self._relations.bind(node, names)[0]
            case _:
                raise not_supported(f"this query ({type(node).__name__})", span_of(node))

    # SELECT

    def _select(self, node: d.Select, names: Names) -> LogicalPlan:
        args = node.args
        for clause, text in (("windows", "WINDOW"), ("qualify", "QUALIFY")):
            if args.get(clause):
                found = args[clause]
                span = _around(found) if isinstance(found, list) else span_of(found)
                raise not_supported(text, span)
        for hint in args.get("hints") or ():
            if hint.args["this"].this.upper() not in _IGNORED_HINTS:
                raise not_supported(f'hint "{hint.args["this"].this}"', span_of(hint))
        plan: LogicalPlan = _ONE_ROW
        scope = Scope(RowType((), nullable=False))
        if args.get("from_") is not None:
            plan, scope = self._relations.bind(args["from_"], names)
        refusals = Refusals()
        if args.get("where") is not None:
            with refusals.part():
                where = ExpressionBinder(scope, "WHERE").condition(args["where"])
                plan = Filter(plan, where, span=span_of(args["where"]))
        with refusals.part():
            plan = self._selected(node, plan, scope)
        refusals.check()
        return _distinct(plan, span_of(node)) if args.get("distinct") else plan

    def _selected(self, node: d.Select, plan: LogicalPlan, scope: Scope) -> LogicalPlan:
        args = node.args
        items = args["expressions"]
        having = args.get("having")
        grouped = (
            args.get("group") is not None
            or having is not None
            or any(aggregates_in(item) for item in items)
        )
        if grouped:
            return self._grouped(node, plan, scope)
        expressions, labels = self._items(items, ExpressionBinder(scope, "SELECT"))
        return Project(plan, tuple(expressions), tuple(labels))

    def _items(
        self, items: Sequence[exp.Expr], binder: ExpressionBinder
    ) -> tuple[list[Expression], list[str]]:
        expressions: list[Expression] = []
        labels: list[str] = []
        refusals = Refusals()
        for item in items:
            with refusals.part():
                self._item(item, binder, expressions, labels)
        refusals.check()
        return expressions, labels

    def _item(
        self,
        item: exp.Expr,
        binder: ExpressionBinder,
        expressions: list[Expression],
        labels: list[str],
    ) -> None:
        """Adds the columns of one item of SELECT."""
        if isinstance(item, exp.Star | d.StarOf):
            qualifier = item.parts if isinstance(item, d.StarOf) else ()
            found = binder.scope.star(qualifier, span_of(item))
            expressions += found
            # Columns of a star get names of their own; those that are written keep theirs.
            for e in found:
                labels.append(_unused(_star_label(e), labels))
            return
        inner, alias = item, None
        if isinstance(item, exp.Alias):
            inner, alias = item.args["this"], item.args["alias"].this
        bound = binder.bind(inner)
        if bound.span is None:
            bound = replace(bound, span=span_of(inner))
        expressions.append(bound)
        labels.append(alias or _label(inner, len(labels)))

    def _grouped(self, node: d.Select, plan: LogicalPlan, scope: Scope) -> LogicalPlan:
        group = node.args.get("group")
        keys: list[exp.Expr] = []
        if group is not None:
            if group.args.get("distinct"):
                raise not_supported("GROUP BY DISTINCT", span_of(group))
            for key in group.args["expressions"]:
                if isinstance(key, d.GroupingSet):
                    kind = key.args["kind"]
                    nested = key.args["expressions"]
                    if kind == "LIST":
                        keys += nested
                        continue
                    named = "GROUPING SETS" if kind == "SETS" else kind
                    raise not_supported(named, span_of(key))
                keys.append(key)
        groups = Groups(ExpressionBinder(scope, "GROUP BY"), keys, plan)
        for item in node.args["expressions"]:
            if isinstance(item, exp.Star | d.StarOf):
                raise SqlError(
                    "* cannot stand in a SELECT with GROUP BY or an aggregate",
                    hint="Name the columns of GROUP BY.",
                    span=span_of(item),
                )
        binder = ExpressionBinder(scope, "SELECT", groups)
        expressions, labels = self._items(node.args["expressions"], binder)
        condition = None
        having = node.args.get("having")
        if having is not None:
            condition = ExpressionBinder(scope, "HAVING", groups).condition(having)
        result: LogicalPlan = groups.plan()
        if condition is not None:
            result = Filter(result, condition, span=condition.span)
        return Project(result, tuple(expressions), tuple(labels))

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
        if kind != "UNION":
            every = " ALL" if node.args.get("all") else ""
            raise not_supported(f"{kind}{every}", span_of(node))
        sides = [node.args["left"], node.args["right"]]
        plans = [self._body(s, names) for s in sides]
        widths = [len(p.schema.fields) for p in plans]
        if widths[0] != widths[1]:
            raise SqlError(
                f"the queries of UNION have {widths[0]} and {widths[1]} columns",
                span=span_of(sides[1]),
            )
        parts: list[LogicalPlan] = []
        for plan in _aligned(plans, span_of(node)):
            # A UNION b UNION ALL c: only what is united in the same way is one union.
            flat = isinstance(plan, Union) and node.args.get("all")
            parts += plan.inputs if flat else (plan,)
        united = Union(tuple(parts), span=span_of(node))
        return united if node.args.get("all") else _distinct(united, span_of(node))


def _aligned(plans: Sequence[LogicalPlan], span: Span) -> list[LogicalPlan]:
    """The same queries with columns of the same types."""
    columns: list[list[Expression]] = [_columns(p) for p in plans]
    for i, pair in enumerate(zip(*(p.schema.types for p in plans), strict=True)):
        if len({t.with_nullable(True) for t in pair}) == 1:
            continue
        plain = [value_of(c[i]) for c in columns]
        kind = common_type([e.type for e in plain])
        if kind is None:
            name = plans[0].schema.names[i]
            kinds = " and ".join(str(t.with_nullable(True)) for t in pair)
            raise SqlError(
                f'column "{name}" of UNION has types without a common one: {kinds}',
                hint="CAST one of them.",
                span=span,
            )
        for side, value in zip(columns, plain, strict=True):
            side[i] = bind_cast(value, kind, safe=False, span=span)
    names = plans[0].schema.names
    return [
        p if tuple(c) == tuple(_columns(p)) else Project(p, tuple(c), names)
        for p, c in zip(plans, columns, strict=True)
    ]


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


def _label(node: exp.Expr, position: int) -> str:
    """The name of a column that has no alias, as Flink gives it."""
    match node:
        case d.ColumnReference():
            return node.parts[-1]
        case exp.Paren():
            return _label(node.args["this"], position)
        case _:
            return f"EXPR${position}"


def _star_label(expression: Expression) -> str:
    if isinstance(expression, Column):
        return expression.name
    children = expression.children
    return _star_label(children[0]) if children else "EXPR$0"


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names with digits behind those that came before (`a, a` → `a, a0`), as in Flink."""
    made: list[str] = []
    for name in names:
        made.append(_unused(name, made))
    return tuple(made)


def _unused(name: str, used: Sequence[str]) -> str:
    chosen, attempt = name, 0
    while chosen in used:
        chosen, attempt = f"{name}{attempt}", attempt + 1
    return chosen


def rename(plan: LogicalPlan, names: Sequence[str]) -> LogicalPlan:
    """The same rows under other column names."""
    if plan.schema.names == tuple(names):
        return plan
    if isinstance(plan, Project):
        return replace(plan, names=tuple(names))
    return Project(plan, tuple(_columns(plan)), tuple(names))


def _around(nodes: Sequence[exp.Expr]) -> Span:
    return span_of(nodes[0]).to(span_of(nodes[-1]))
