"""Sub-queries that read columns of the query around them, made into joins.

A column of the query around is an `Outer` in the plan of the sub-query. `pull` takes the conditions
that read one out of the plan, up to its top, where they become the condition of a join: the
sub-query is computed once for all rows instead of once for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from flowsql.errors import Span
from flowsql.expr import (
    AggregateCall,
    Call,
    Column,
    Expression,
    bind_call,
    columns_read,
    transform,
    walk,
)
from flowsql.logical.plan import (
    Aggregate,
    Filter,
    Insert,
    Join,
    JoinKind,
    LogicalPlan,
    Project,
    Scan,
    Tumble,
    Union,
    Values,
    without_time,
)
from flowsql.logical.plan_changelogs import FromChangelog, ToChangelog
from flowsql.logical.plan_rows import (
    Expand,
    Number,
    Rank,
    RankFunction,
    SemiJoin,
    SetOperation,
    Sort,
    Unnest,
    column,
)
from flowsql.logical.refusals import not_supported

__all__ = [
    "NAMES",
    "Outer",
    "Pulled",
    "conjunction",
    "conjuncts",
    "equality",
    "expressions_of",
    "is_count",
    "joined",
    "outer_column",
    "placed",
    "pull",
    "reads_outer",
    "with_expressions",
]


@dataclass(frozen=True, slots=True)
class Outer(Expression):
    """A column of a query around, by position in its row.

    Attributes:
        name: for people.
        level: 1 for the query next around, 2 for the one around that.
    """

    index: int
    name: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Pulled:
    """A sub-query without the query around.

    Attributes:
        plan: its first columns are the sub-query's own.
        conditions: what must hold between the row around (`Outer`) and a row of `plan`.
        grouped: a global aggregate became one by the correlated columns: where it gave a row of
            NULLs and zeros for no input, there is none.
    """

    plan: LogicalPlan
    conditions: tuple[Expression, ...] = ()
    grouped: bool = False


def conjuncts(condition: Expression) -> list[Expression]:
    """The parts of a condition that all must hold."""
    if isinstance(condition, Call) and condition.function == "AND":
        return [c for part in condition.args for c in conjuncts(part)]
    return [condition]


def conjunction(parts: list[Expression]) -> Expression | None:
    """One condition that holds where all parts do; None for no parts."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else bind_call("AND", parts, parts[0].span)


def joined(parts: tuple[Expression, ...], width: int) -> list[Expression]:
    """Conditions of a `Pulled` over the row around and, from `width` on, its plan's."""

    def shift(e: Expression) -> Expression:
        return replace(e, index=e.index + width) if isinstance(e, Column) else e

    return [placed(transform(p, shift), outer_column) for p in parts]


def is_count(call: AggregateCall) -> bool:
    """Whether it gives 0 over no rows, where others give NULL."""
    return call.function in {"COUNT", "APPROX_COUNT_DISTINCT"}


def outer_column(outer: Outer) -> Column:
    """The column of the row around that it is, as that row's query sees it."""
    return Column(type=outer.type, index=outer.index, name=outer.name, span=outer.span)


def placed(expression: Expression, find: Callable[[Outer], Expression | None]) -> Expression:
    """The expression as a part of the query next around: `find` gives what is read of that."""

    def place(e: Expression) -> Expression:
        if not isinstance(e, Outer):
            return e
        return replace(e, level=e.level - 1) if e.level > 1 else find(e) or e

    return transform(expression, place)


def reads_outer(plan: LogicalPlan) -> bool:
    """Whether an expression of the plan reads a column of the query around."""
    return any(map(_outer, expressions_of(plan))) or any(map(reads_outer, plan.inputs))


def _outer(expression: Expression) -> bool:
    return any(isinstance(e, Outer) for e in walk(expression))


def expressions_of(plan: LogicalPlan) -> tuple[Expression, ...]:
    """The expressions of the node itself."""
    match plan:
        case Filter(condition=condition):
            return (condition,)
        case Project(expressions=expressions):
            return expressions
        case Expand(projections=projections):
            return tuple(e for row in projections for e in row)
        case Join() | SemiJoin() | Unnest() if plan.condition is not None:
            return (plan.condition,)
        case _:
            return ()


def with_expressions(plan: LogicalPlan, change: Callable[[Expression], Expression]) -> LogicalPlan:
    """The node with its own expressions changed."""
    match plan:
        case Project():
            return replace(plan, expressions=tuple(map(change, plan.expressions)))
        case Expand():
            rows = tuple(tuple(map(change, row)) for row in plan.projections)
            return replace(plan, projections=rows)
        case Filter():
            return replace(plan, condition=change(plan.condition))
        case Join() | SemiJoin() | Unnest() if plan.condition is not None:
            return replace(plan, condition=change(plan.condition))
        case _:
            return plan


def pull(plan: LogicalPlan, span: Span) -> Pulled:
    """The plan without the query around, and what ties them.

    Raises:
        SqlError: it reads the query around where that is not supported.
    """
    if not reads_outer(plan):
        return Pulled(plan)
    match plan:
        case Filter():
            below = pull(plan.input, span)
            if below.grouped:
                # The missing row of a group without input might pass.
                raise _refused("HAVING", plan.span or span)
            parts = conjuncts(plan.condition)
            kept = conjunction([p for p in parts if not _outer(p)])
            own = tuple(p for p in parts if _outer(p))
            inner = below.plan if kept is None else Filter(below.plan, kept, span=plan.span)
            return Pulled(inner, (*below.conditions, *own), below.grouped)
        case Project():
            return _project(plan, span)
        case Aggregate():
            return _aggregate(plan, span)
        case Join():
            return _join(plan, span)
        case SemiJoin() if not reads_outer(plan.right) and not (
            plan.condition is not None and _outer(plan.condition)
        ):
            below = pull(plan.left, span)
            if below.grouped:
                # As for a Filter.
                raise _refused("another sub-query", plan.span or span)
            width, more = len(plan.left.schema.fields), len(below.plan.schema.fields)
            condition = plan.condition
            if condition is not None and more > width:
                condition = transform(
                    condition,
                    lambda e: (
                        replace(e, index=e.index + more - width)
                        if isinstance(e, Column) and e.index >= width
                        else e
                    ),
                )
            return replace(below, plan=replace(plan, left=below.plan, condition=condition))
        case Sort() if plan.fetch is not None:
            return _sort(plan, span)
        case _:
            raise _refused(NAMES[type(plan)], plan.span or span)


# What people call the nodes below which a column of the query around may be read.
NAMES: dict[type[LogicalPlan], str] = {
    Aggregate: "an aggregate",
    Expand: "GROUPING SETS",
    Filter: "WHERE or HAVING",
    FromChangelog: "FROM_CHANGELOG",
    Insert: "INSERT",
    Join: "a join",
    Number: "ROW_NUMBER",
    Project: "SELECT",
    Rank: "ROW_NUMBER",
    Scan: "a table",
    SemiJoin: "another sub-query",
    SetOperation: "INTERSECT or EXCEPT",
    Sort: "ORDER BY or LIMIT",
    ToChangelog: "TO_CHANGELOG",
    Tumble: "a window",
    Union: "UNION",
    Unnest: "UNNEST",
    Values: "VALUES",
}


def _refused(what: str, span: Span | None) -> Exception:
    return not_supported(
        f"a sub-query that reads the query around it below {what}",
        span,
        "Write it as a join.",
    )


def _project(plan: Project, span: Span) -> Pulled:
    below = pull(plan.input, span)
    if any(map(_outer, plan.expressions)):
        raise _refused("SELECT", plan.span or span)
    if below.grouped and any(not isinstance(e, Column) for e in plan.expressions):
        # For no input it would compute from NULLs and zeros.
        raise _refused("an expression of an aggregate", plan.span or span)
    expressions, names = list(plan.expressions), list(plan.names)

    def keep(e: Expression) -> Expression:
        if not isinstance(e, Column):
            return e
        own = column(below.plan, e.index)
        if own not in expressions:
            expressions.append(own)
            names.append(f"{own.name}{len(names)}")
        at = expressions.index(own)
        return replace(e, index=at)

    conditions = tuple(transform(c, keep) for c in below.conditions)
    made = Project(below.plan, tuple(expressions), tuple(names), span=plan.span)
    return Pulled(made, conditions, below.grouped)


def _aggregate(plan: Aggregate, span: Span) -> Pulled:
    """The columns that are compared with the row around become keys of the groups."""
    below = pull(plan.input, span)
    sides = [equality(c) for c in below.conditions]
    if below.grouped or any(s is None for s in sides) or plan.window:
        raise _refused("an aggregate", plan.span or span)
    width = len(below.plan.schema.fields)
    inner = [s[0] for s in sides if s is not None]
    expressions = [column(below.plan, i) for i in range(width)]
    source = Project(
        below.plan,
        (*expressions, *inner),
        (*below.plan.schema.names, *(f"key{i}" for i in range(len(inner)))),
    )
    keys = (*plan.keys, *(width + i for i in range(len(inner))))
    count = len(plan.keys)
    made = replace(
        plan,
        input=source,
        keys=keys,
        names=(*plan.names[:count], *source.names[width:], *plan.names[count:]),
    )
    # The own columns first, then the new keys.
    total = len(plan.schema.fields)
    order = [*range(count), *range(count + len(inner), total + len(inner))]
    order += range(count, count + len(inner))
    ordered = Project(
        made,
        tuple(column(made, i) for i in order),
        tuple(made.schema.names[i] for i in order),
        span=plan.span,
    )
    conditions = []
    for i, found in enumerate(sides):
        assert found is not None
        value, symbol, outer = found
        key = replace(column(ordered, total + i), span=value.span)
        conditions.append(bind_call(symbol, [key, outer], value.span))
    return Pulled(ordered, tuple(conditions), grouped=not plan.keys)


def equality(condition: Expression) -> tuple[Expression, str, Expression] | None:
    """The own value, the comparison and the value around, of an equality; None for others."""
    if not isinstance(condition, Call) or condition.function not in {"=", "IS NOT DISTINCT FROM"}:
        return None
    a, b = condition.args
    if _outer(a):
        a, b = b, a
    if _outer(a) or columns_read(b) or not columns_read(a):
        return None
    return replace(a, type=without_time(a.type)), condition.function, b


def _sort(plan: Sort, span: Span) -> Pulled:
    """The first rows for each row around are the first by the columns that are compared with it."""
    below = pull(plan.input, span)
    sides = [equality(c) for c in below.conditions]
    if below.grouped or not plan.order or any(s is None for s in sides):
        raise _refused("ORDER BY or LIMIT", plan.span or span)
    width = len(below.plan.schema.fields)
    own = [column(below.plan, i) for i in range(width)]
    inner = [s[0] for s in sides if s is not None]
    names = (*below.plan.schema.names, *(f"key{i}" for i in range(len(inner))))
    source = Project(below.plan, (*own, *inner), names)
    assert plan.fetch is not None
    ranked = Rank(
        source,
        tuple(range(width, width + len(inner))),
        plan.order,
        RankFunction.ROW_NUMBER,
        plan.offset + 1,
        plan.offset + plan.fetch,
        None,
        None,
        span=plan.span,
    )
    conditions = []
    for i, found in enumerate(sides):
        assert found is not None
        value, symbol, outer = found
        key = replace(column(ranked, width + i), span=value.span)
        conditions.append(bind_call(symbol, [key, outer], value.span))
    return Pulled(ranked, tuple(conditions))


def _join(plan: Join, span: Span) -> Pulled:
    if plan.kind is not JoinKind.INNER and (
        reads_outer(plan.right)
        or plan.kind is not JoinKind.LEFT
        or (plan.condition is not None and _outer(plan.condition))
    ):
        raise _refused("an outer join", plan.span or span)
    left, right = pull(plan.left, span), pull(plan.right, span)
    if left.grouped or right.grouped:
        raise _refused("a join of an aggregate", plan.span or span)
    width, total = len(plan.left.schema.fields), len(plan.schema.fields)
    left_width = len(left.plan.schema.fields)
    own = range(total - width)

    def place(e: Expression) -> Expression:
        """A column of the join as it was → of the join of the pulled sides."""
        if not isinstance(e, Column):
            return e
        return e if e.index < width else replace(e, index=e.index - width + left_width)

    def shift(e: Expression) -> Expression:
        return replace(e, index=e.index + left_width) if isinstance(e, Column) else e

    parts = [] if plan.condition is None else conjuncts(plan.condition)
    kept = conjunction([transform(p, place) for p in parts if not _outer(p)])
    conditions = [
        *left.conditions,
        *(transform(c, shift) for c in right.conditions),
        *(transform(p, place) for p in parts if _outer(p)),
    ]
    made = replace(plan, left=left.plan, right=right.plan, condition=kept)
    # The own columns first.
    order = [*range(width), *(left_width + i for i in own)]
    order += [i for i in range(len(made.schema.fields)) if i not in order]
    places = {c: i for i, c in enumerate(order)}
    ordered = Project(
        made, tuple(column(made, i) for i in order), tuple(made.schema.names[i] for i in order)
    )
    moved = tuple(
        transform(c, lambda e: replace(e, index=places[e.index]) if isinstance(e, Column) else e)
        for c in conditions
    )
    return Pulled(ordered, moved)
