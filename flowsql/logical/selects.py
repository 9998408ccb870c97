"""SELECT: FROM, WHERE, GROUP BY, HAVING, QUALIFY and the columns, from AST to plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import expressions as exp

from flowsql.errors import Refusals, Span, SqlError
from flowsql.expr import Column, Expression, FieldAccess
from flowsql.logical.attached import Attachments, Placeholder, retyped
from flowsql.logical.correlation import conjunction
from flowsql.logical.expressions import ExpressionBinder, aggregates_in, looks_beside
from flowsql.logical.group_windows import group_window
from flowsql.logical.grouping import Groups
from flowsql.logical.grouping_sets import grouping_sets
from flowsql.logical.missing import look_for_missing
from flowsql.logical.ordering import Ordering
from flowsql.logical.plan import Filter, LogicalPlan, Project
from flowsql.logical.plan_rows import SortKey
from flowsql.logical.ranking import number
from flowsql.logical.refusals import misplaced_hint
from flowsql.logical.scope import Scope, unused
from flowsql.logical.stars import Stars, written
from flowsql.logical.state_ttl import HINT
from flowsql.logical.subqueries import SubQueries, chosen_by
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import RowType

if TYPE_CHECKING:
    from flowsql.logical.queries import Names, QueryBinder

__all__ = ["ClauseValues", "around", "bind_select", "filtered", "parts_of"]

# They choose among algorithms that are not ours.
_IGNORED_HINTS = frozenset(
    {"BROADCAST", "MULTI_JOIN", "NEST_LOOP", "SHUFFLE_HASH", "SHUFFLE_MERGE"}
)


def bind_select(
    node: d.Select,
    queries: QueryBinder,
    names: Names,
    source: tuple[LogicalPlan, Scope],
    order: Sequence[d.SortItem] = (),
) -> tuple[LogicalPlan, tuple[SortKey, ...], int]:
    """The plan of a SELECT, the keys of its ORDER BY, and how many of its columns are given.

    What ORDER BY reads beside the columns of SELECT stands behind them.

    Raises:
        SqlError: the query is wrong, or says something that is not supported yet.
    """
    for hint in node.args.get("hints") or ():
        name = hint.args["this"].this
        if name.upper() not in {HINT, *_IGNORED_HINTS}:
            raise misplaced_hint(name, span_of(hint))
    plan, scope = source
    scope = replace(scope, outer=names.outer)
    refusals = Refusals()
    if node.args.get("where") is not None:
        with refusals.part():
            plan, scope = _where(node.args["where"], plan, scope, queries, names)
    with refusals.part():
        made = _Select(node, queries, names, plan, scope).bind(order)
    refusals.check()
    return made


def _where(
    where: exp.Expr, plan: LogicalPlan, scope: Scope, queries: QueryBinder, names: Names
) -> tuple[LogicalPlan, Scope]:
    span = span_of(where)
    if not looks_beside(where):
        return Filter(plan, ExpressionBinder(scope, "WHERE").condition(where), span=span), scope
    beside = Attachments("sub-query")
    values = ClauseValues(queries, replace(names, outer=scope.look), beside)
    binder = ExpressionBinder(scope, "WHERE", beside=values)
    plan = filtered(parts_of(where), plan, binder, values)
    width = len(scope.row.fields)
    # Behind a join no column is the time of its row.
    row = RowType(plan.schema.fields[:width], nullable=False)
    return plan, replace(scope, row=row)


def filtered(
    parts: Sequence[exp.Expr], plan: LogicalPlan, binder: ExpressionBinder, values: ClauseValues
) -> LogicalPlan:
    """The rows that pass: plain conditions first, then those that look beside the row.

    Raises:
        SqlError: conditions are wrong.
    """
    refusals = Refusals()
    tests = []
    conditions: list[Expression] = []
    for part in parts:
        test = chosen_by(part)
        if test is not None:
            tests.append(test)
            continue
        with refusals.part():
            conditions.append(binder.condition(part))
    later = [c for c in conditions if _placeholders(c)]
    plan = _filter(plan, [c for c in conditions if not _placeholders(c)])
    if later and not refusals:
        plan = values.beside.attach(plan)
        plan = _filter(plan, [values.beside.settle(c) for c in later])
    for test in tests:
        with refusals.part():
            plan = values.choose(plan, test, binder.value)
    refusals.check()
    return plan


def _filter(plan: LogicalPlan, conditions: list[Expression]) -> LogicalPlan:
    condition = conjunction(conditions)
    return plan if condition is None else Filter(plan, condition, span=condition.span)


def parts_of(node: exp.Expr) -> list[exp.Expr]:
    """The conditions that all must hold."""
    found: list[exp.Expr] = []
    stack = [node]
    while stack:
        at = stack.pop()
        if isinstance(at, exp.And):
            stack += [at.args["expression"], at.args["this"]]
        elif (
            isinstance(at, exp.Paren) and looks_beside(at) and isinstance(at.args["this"], exp.And)
        ):
            stack.append(at.args["this"])
        else:
            found.append(at)
    return found


def _placeholders(expression: Expression) -> bool:
    return isinstance(expression, Placeholder) or any(map(_placeholders, expression.children))


class ClauseValues(SubQueries):
    """Sub-queries and row numbers of one clause; `overs` is None where the latter cannot stand."""

    def __init__(
        self,
        queries: QueryBinder,
        names: Names,
        beside: Attachments,
        overs: Attachments | None = None,
        windows: Sequence[exp.Alias] = (),
    ) -> None:
        super().__init__(queries, names, beside)
        self._overs = overs
        self._windows = {w.args["alias"].this: w.args["this"] for w in windows}

    def number(
        self, node: d.FunctionCall, bind: Callable[[exp.Expr], Expression]
    ) -> Expression | None:
        """`ROW_NUMBER() OVER (…)` and its kin."""
        if self._overs is None:
            return None
        return number(node, bind, self._windows, self._overs, self.beside)


@dataclass(slots=True)
class _Select:
    """What stands behind FROM and WHERE."""

    node: d.Select
    queries: QueryBinder
    names: Names
    plan: LogicalPlan
    scope: Scope

    def bind(self, order: Sequence[d.SortItem]) -> tuple[LogicalPlan, tuple[SortKey, ...], int]:
        args = self.node.args
        items = args["expressions"]
        qualify = args.get("qualify")
        grouped = (
            args.get("group") is not None
            or args.get("having") is not None
            or any(aggregates_in(item) for item in items)
            or any(aggregates_in(item) for item in order)
        )
        groups = self._known_groups(order) if grouped else None
        if groups is not None:
            for item in items:
                if isinstance(item, exp.Star | d.StarOf):
                    raise SqlError(
                        "* cannot stand in a SELECT with GROUP BY or an aggregate",
                        hint="Name the columns of GROUP BY.",
                        span=span_of(item),
                    )
        beside, overs = Attachments("sub-query"), Attachments("number")
        outer = self.scope.look if groups is None else groups.look
        values = ClauseValues(
            self.queries,
            replace(self.names, outer=outer),
            beside,
            overs,
            args.get("windows") or (),
        )
        binder = ExpressionBinder(self.scope, "SELECT", groups, values)
        refusals = Refusals()
        expressions: list[Expression] = []
        labels: list[str] = []
        with refusals.part():
            expressions, labels = _items(items, binder, self.queries.stars)
        shown: Expression | None = None
        if qualify is not None:
            with refusals.part():
                inside = ExpressionBinder(self.scope, "QUALIFY", groups, values)
                shown = inside.condition(_chosen(qualify, items))
        ordering = Ordering(expressions, labels, binder.bind, distinct=bool(args.get("distinct")))
        keys: tuple[SortKey, ...] = ()
        with refusals.part():
            if refusals:
                _look_at(order, items, binder)
            else:
                keys = ordering.keys(order)
        plan = self.plan
        if groups is not None:
            with refusals.part():
                plan = self._having(groups, values)
        refusals.check()
        plan = overs.attach(beside.attach(plan))
        settled = [retyped(overs.settle(beside.settle(e)), plan) for e in ordering.columns]
        if shown is not None:
            condition = retyped(overs.settle(beside.settle(shown)), plan)
            plan = Filter(plan, condition, span=condition.span)
        made = Project(plan, tuple(settled), tuple(ordering.labels))
        return made, keys, len(expressions)

    def _known_groups(self, order: Sequence[d.SortItem]) -> Groups:
        """The groups; raises what is wrong with them and what the other clauses name in vain."""
        refusals = Refusals()
        found: list[Groups] = []
        with refusals.part():
            found.append(self._groups())
        if not found:
            items = self.node.args["expressions"]
            having = self.node.args.get("having")
            clauses = [*items, *(_plainly_named(order, items)), *([having] if having else [])]
            look_for_missing(clauses, ExpressionBinder(self.scope, "SELECT"), refusals)
            refusals.check()
        return found[0]

    def _groups(self) -> Groups:
        group = self.node.args.get("group")
        sets: list[list[exp.Expr]] = [[]]
        span = None if group is None else span_of(group)
        if group is not None:
            sets = grouping_sets(group)
        streaming = self.queries.tables.settings.streaming
        window = group_window(sets, self.plan, self.scope, streaming=streaming)
        scope, plan = self.scope, self.plan
        if window is not None:
            scope, plan = window.scope, window.plan
        below = Attachments("input")
        values = ClauseValues(self.queries, replace(self.names, outer=scope.look), below)
        binder = ExpressionBinder(scope, "GROUP BY", beside=values)
        return Groups(
            binder,
            sets,
            plan,
            window=window,
            span=span,
            below=below,
            distinct=group is not None and bool(group.args.get("distinct")),
            repeated=not streaming,
            aliases=[
                i.args["alias"].this for i in self.node.expressions if isinstance(i, exp.Alias)
            ],
        )

    def _having(self, groups: Groups, values: ClauseValues) -> LogicalPlan:
        having = self.node.args.get("having")
        binder = ExpressionBinder(self.scope, "HAVING", groups, values)
        if having is None or not looks_beside(having):
            condition = None if having is None else binder.condition(having)
            plan: LogicalPlan = groups.plan()
            return plan if condition is None else Filter(plan, condition, span=condition.span)
        for part in parts_of(having):
            # Every aggregate must be known before the plan is made.
            test = chosen_by(part)
            for at in (part,) if test is None else test.left or ():
                for call in aggregates_in(at):
                    binder.bind(call)
        return filtered(parts_of(having), groups.plan(), binder, values)


def _look_at(
    order: Sequence[d.SortItem], items: Sequence[exp.Expr], binder: ExpressionBinder
) -> None:
    """What is wrong with ORDER BY of a SELECT whose columns are not known; they may be named.

    Raises:
        SqlError: something is.
    """
    refusals = Refusals()
    for node in _plainly_named(order, items):
        with refusals.part():
            binder.bind(node)
    refusals.check()


def _plainly_named(order: Sequence[d.SortItem], items: Sequence[exp.Expr]) -> list[exp.Expr]:
    """What ORDER BY reads that is no column of SELECT, by its name or number."""
    labels = {_written_label(item) for item in items}
    nodes = [item.args["this"] for item in order]
    return [
        n
        for n in nodes
        if not isinstance(n, exp.Literal)
        and not (isinstance(n, d.ColumnReference) and n.parts[-1] in labels)
    ]


def _written_label(item: exp.Expr) -> str:
    return item.args["alias"].this if isinstance(item, exp.Alias) else _label(item, 0)


def _chosen(condition: exp.Expr, items: Sequence[exp.Expr]) -> exp.Expr:
    """The condition of QUALIFY with items of SELECT for their aliases, which come before columns.

    Raises:
        SqlError: an alias is given twice, or no call with OVER is asked for.
    """
    aliases = [i for i in items if isinstance(i, exp.Alias)]

    def put(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, d.ColumnReference) or len(node.parts) > 1:
            return node
        found = [i.args["this"] for i in aliases if i.args["alias"].this == node.parts[0]]
        if len(found) > 1:
            raise SqlError(f'column "{node.parts[0]}" is ambiguous', span=span_of(node))
        return found[0].copy() if found else node

    def within(node: exp.Expr) -> exp.Expr:
        made = put(node)
        if made is not node or isinstance(node, d.Query):
            return made
        for key, value in list(node.args.items()):
            if isinstance(value, exp.Expr):
                node.set(key, within(value))
            elif isinstance(value, list):
                node.set(key, [within(v) if isinstance(v, exp.Expr) else v for v in value])
        return node

    made = within(condition.copy()) if aliases else condition
    if not any(call.args.get("over") for call in made.find_all(d.FunctionCall)):
        raise SqlError(
            "QUALIFY needs a function with OVER (…) in its condition",
            hint="Write a condition on plain columns behind WHERE.",
            span=span_of(condition),
        )
    return made


def _items(
    items: Sequence[exp.Expr], binder: ExpressionBinder, stars: Stars | None
) -> tuple[list[Expression], list[str]]:
    expressions: list[Expression] = []
    labels: list[str] = []
    refusals = Refusals()
    for item in items:
        with refusals.part():
            _item(item, binder, expressions, labels, stars)
    refusals.check()
    return expressions, labels


def _item(
    item: exp.Expr,
    binder: ExpressionBinder,
    expressions: list[Expression],
    labels: list[str],
    stars: Stars | None,
) -> None:
    """Adds the columns of one item of SELECT; a star says what it stands for."""
    if isinstance(item, exp.Star | d.StarOf):
        qualifier = item.parts if isinstance(item, d.StarOf) else ()
        found = binder.scope.star(qualifier, span_of(item))
        expressions += found
        first = len(labels)
        # Columns of a star get names of their own; those that are written keep theirs.
        for e in found:
            labels.append(unused(_star_label(e), labels))
        if stars is not None:
            stars[span_of(item)] = written(binder.scope, qualifier, found, labels[first:])
        return
    inner, alias = item, None
    if isinstance(item, exp.Alias):
        inner, alias = item.args["this"], item.args["alias"].this
    bound = binder.bind(inner)
    if bound.span is None:
        bound = replace(bound, span=span_of(inner))
    expressions.append(bound)
    labels.append(alias or _label(inner, len(labels)))


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
    if isinstance(expression, FieldAccess) and isinstance(expression.arg.type, RowType):
        return expression.arg.type.names[expression.index]
    children = expression.children
    return _star_label(children[0]) if children else "EXPR$0"


def around(nodes: Sequence[exp.Expr]) -> Span:
    """From the first node to the last."""
    return span_of(nodes[0]).to(span_of(nodes[-1]))
