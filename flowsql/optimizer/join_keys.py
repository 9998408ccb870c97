"""Equal expressions of both sides of a join become equal columns.

    Join(a.x + 1 = b.y)  →  Join(a.key = b.y)  over  Project(…, a.x + 1 AS key)(a), b

Both columns get one type, so that equal values are equal keys.
"""

from __future__ import annotations

from dataclasses import replace

from flowsql.expr import (
    Call,
    Column,
    Expression,
    bind_call,
    bind_cast,
    columns_read,
    common_type,
    is_deterministic,
)
from flowsql.logical import Join, LogicalPlan, PlanSettings, Project, SemiJoin, without_time
from flowsql.optimizer.rewrite import (
    bottom_up,
    columns_of,
    conjunction,
    conjuncts,
    moved,
    select,
)
from flowsql.types import arrow_type

__all__ = ["join_keys"]

_EQUAL = frozenset({"=", "IS NOT DISTINCT FROM"})


def join_keys(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with joins over columns."""
    del settings
    return bottom_up(plan, _extract)


def _extract(node: LogicalPlan) -> LogicalPlan:
    if not isinstance(node, Join | SemiJoin):
        return node
    width = len(node.left.schema.fields)
    total = width + len(node.right.schema.fields)
    lefts: list[Expression] = []
    rights: list[Expression] = []
    keys: list[tuple[str, Expression, Expression]] = []
    rest: list[Expression] = []
    for part in conjuncts(node.condition):
        pair = _pair(part, width)
        if pair is None:
            rest.append(part)
        else:
            keys.append(pair)
    if all(isinstance(a, Column) and isinstance(b, Column) for _, a, b in keys):
        return node
    shift = {i: i - width for i in range(width, total)}
    at = [
        (_place(a, lefts, width), _place(moved(b, shift), rights, total - width))
        for _, a, b in keys
    ]
    # The keys stand behind each side, so that the right side's columns move.
    grown = width + len(lefts)
    places = {i: i if i < width else i - width + grown for i in range(total)}
    made = [
        bind_call(
            symbol,
            [
                Column(type=a.type, index=i, name=_name(a, i), span=a.span),
                Column(type=b.type, index=grown + j, name=_name(b, j), span=b.span),
            ],
            a.span,
        )
        for (symbol, a, b), (i, j) in zip(keys, at, strict=True)
    ]
    joined = replace(
        node,
        left=_with(node.left, lefts),
        right=_with(node.right, rights),
        condition=conjunction([*made, *(moved(p, places) for p in rest)]),
    )
    return select(joined, [places[i] for i in range(len(node.schema.fields))])


def _pair(part: Expression, width: int) -> tuple[str, Expression, Expression] | None:
    """The two sides of an equality, the left input's first, as values of one stored type."""
    if not isinstance(part, Call) or part.function not in _EQUAL or len(part.args) != 2:
        return None
    a, b = part.args
    if not (_reads(a, width, left=True) and _reads(b, width, left=False)):
        a, b = b, a
    if not (_reads(a, width, left=True) and _reads(b, width, left=False)):
        return None
    if not (is_deterministic(a) and is_deterministic(b)):
        return None
    if arrow_type(a.type) != arrow_type(b.type):
        kind = common_type([without_time(a.type), without_time(b.type)])
        if kind is None:
            return None
        a, b = (bind_cast(e, kind, safe=False, span=e.span) for e in (a, b))
    return part.function, a, b


def _name(expression: Expression, index: int) -> str:
    return expression.name if isinstance(expression, Column) else f"key{index}"


def _reads(expression: Expression, width: int, *, left: bool) -> bool:
    read = columns_read(expression)
    return bool(read) and all((c < width) is left for c in read)


def _place(expression: Expression, added: list[Expression], width: int) -> int:
    """The position of the value beside its side's columns."""
    if isinstance(expression, Column):
        return expression.index
    if expression not in added:
        added.append(expression)
    return width + added.index(expression)


def _with(plan: LogicalPlan, added: list[Expression]) -> LogicalPlan:
    if not added:
        return plan
    width = len(plan.schema.fields)
    names = (*plan.schema.names, *(f"key{width + i}" for i in range(len(added))))
    return Project(plan, (*columns_of(plan), *added), names)
