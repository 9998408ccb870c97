"""Sub-queries in ON: an inner join's are conditions on its pairs, an outer join's come before it.

t JOIN s ON t.k = s.k AND EXISTS (…)        →  the semi join of the pairs
t LEFT JOIN s ON t.k = s.k AND t.x IN (…)   →  t with the value of IN beside it, which the
condition reads
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.expr import Column, Expression, transform
from flowsql.logical.attached import Attachments, retyped
from flowsql.logical.correlation import conjunction
from flowsql.logical.expressions import ExpressionBinder, looks_beside
from flowsql.logical.plan import Join, JoinKind, LogicalPlan, Project
from flowsql.logical.plan_rows import column
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import Resolve, Scope
from flowsql.logical.subqueries import SubQueries
from flowsql.sql.dialect import span_of

__all__ = ["bind_on"]

_WHERE = "ON"


def bind_on(
    parts: list[exp.Expr],
    made: Join,
    scope: Scope,
    sides: tuple[Scope, Scope],
    *,
    values: Callable[[Resolve, Attachments], SubQueries],
    choose: Callable[[list[exp.Expr], LogicalPlan], LogicalPlan],
) -> LogicalPlan:
    """The join under conditions some of which look into sub-queries; its columns stay.

    Args:
        parts: the conditions, all of which must hold.
        made: the join, without a condition.
        scope: what names mean over its row.
        sides: what they mean over its inputs.
        values: gives the sub-queries for a place where names mean what is said.
        choose: the rows of a plan that pass conditions with sub-queries.

    Raises:
        SqlError: a condition is wrong, or an outer join's sub-query reads both sides.
    """
    binder = ExpressionBinder(scope, _WHERE)
    plain = [binder.condition(p) for p in parts if not looks_beside(p)]
    others = [p for p in parts if looks_beside(p)]
    if made.kind is JoinKind.INNER:
        return choose(others, replace(made, condition=conjunction(plain)))
    inputs = [made.left, made.right]
    widths = [len(p.schema.fields) for p in inputs]
    # Where the value of each condition stands: the side and its column there.
    places: list[tuple[int, int]] = []
    for part in others:
        at, bound, beside = _of_one_side(part, scope, sides, values)
        below = beside.attach(inputs[at])
        settled = retyped(beside.settle(bound), below)
        own = tuple(column(below, i) for i in range(len(inputs[at].schema.fields)))
        names = inputs[at].schema.names
        inputs[at] = Project(below, (*own, settled), (*names, f"on{len(places)}"))
        places.append((at, len(own)))
    more = len(inputs[0].schema.fields) - widths[0]

    def move(e: Expression) -> Expression:
        late = isinstance(e, Column) and e.index >= widths[0]
        return replace(e, index=e.index + more) if isinstance(e, Column) and late else e

    wide = replace(made, left=inputs[0], right=inputs[1])
    tests: list[Expression] = []
    for at, index in places:
        value = column(inputs[at], index)
        tests.append(replace(value, index=index + at * (widths[0] + more)))
    condition = conjunction([*(transform(p, move) for p in plain), *tests])
    first = widths[0] + more
    kept = [*range(widths[0]), *range(first, first + widths[1])]
    return Project(
        replace(wide, condition=condition),
        tuple(column(wide, i) for i in kept),
        made.schema.names,
    )


def _of_one_side(
    part: exp.Expr,
    scope: Scope,
    sides: tuple[Scope, Scope],
    values: Callable[[Resolve, Attachments], SubQueries],
) -> tuple[int, Expression, Attachments]:
    """The side that the condition reads, and the condition over it."""

    def bound(over: Scope) -> tuple[Expression, Attachments]:
        beside = Attachments("sub-query")
        binder = ExpressionBinder(over, _WHERE, beside=values(over.look, beside))
        return binder.condition(part), beside

    # What is wrong over both sides is wrong in the user's words.
    bound(scope)
    for at, side in enumerate(sides):
        try:
            condition, beside = bound(side)
        except SqlError:
            continue
        return at, condition, beside
    raise not_supported(
        "a condition in ON of an outer join that has a sub-query and reads both sides",
        span_of(part),
        "Put the sub-query into FROM, and join with it.",
    )
