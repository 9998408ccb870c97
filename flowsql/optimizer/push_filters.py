"""Filters move towards the scans, and comparisons of both sides of a join into its condition.

    Filter(b.x > 1 AND a.y = 2)  over  Join(left, a.id = b.id)
    →  Filter(b.x > 1)  over  Join(left, a.id = b.id)  over  Filter(a.y = 2)(a), b

A condition moves below the side whose rows are preserved, never below the one that is padded: a
padded row must be seen first. The parts of an outer join's ON that read only the padded side move
into that side. Through an aggregate goes what reads only keys. What may fail or is not
deterministic does not pass a join, where it would meet rows that it does not meet now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowsql.expr import (
    Call,
    Column,
    Expression,
    Literal,
    columns_read,
    is_deterministic,
    walk,
)
from flowsql.logical import (
    Aggregate,
    Filter,
    Join,
    JoinKind,
    LogicalPlan,
    Number,
    PlanSettings,
    Project,
    Rank,
    SemiJoin,
    SetOperation,
    Tumble,
    Union,
    Unnest,
)
from flowsql.optimizer.infer_filters import inferred
from flowsql.optimizer.rewrite import conjunction, conjuncts, moved, substituted
from flowsql.optimizer.unique_keys import equalities

__all__ = ["push_filters"]

# What never fails, whatever the values are: it may be evaluated on rows it does not meet now.
_SAFE = frozenset({
    "=", "<>", "<", "<=", ">", ">=", "AND", "OR", "NOT", "IN", "BETWEEN", "LIKE",
    "IS NULL", "IS NOT NULL", "IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE",
    "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "+", "-", "*",
})  # fmt: skip


def push_filters(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with every condition as low as it may stand."""
    del settings
    return _push(plan, [])


def _push(plan: LogicalPlan, parts: list[Expression]) -> LogicalPlan:
    """`Filter(parts)` over `plan`, pushed down."""
    match plan:
        case Filter():
            own = list(conjuncts(plan.condition))
            return _push(plan.input, [*own, *(p for p in parts if p not in own)])
        case Project():
            free = [p for p in parts if _may_pass(p, plan)]
            stay = [p for p in parts if p not in free]
            below = _push(plan.input, [substituted(p, plan.expressions) for p in free])
            return _filtered(replace(plan, input=below), stay)
        case Union():
            return replace(plan, parts=tuple(_push(p, list(parts)) for p in plan.parts))
        case Tumble():
            width = len(plan.input.schema.fields)
            free = [p for p in parts if all(c < width for c in columns_read(p))]
            stay = [p for p in parts if p not in free]
            return _filtered(replace(plan, input=_push(plan.input, free)), stay)
        case Aggregate():
            places = dict(enumerate(plan.keys))
            # A global aggregate gives a row whatever the filter leaves of its input.
            free = [
                p
                for p in parts
                if plan.keys and columns_read(p) and columns_read(p) <= set(places) and _total(p)
            ]
            stay = [p for p in parts if p not in free]
            below = _push(plan.input, [moved(p, places) for p in free])
            return _filtered(replace(plan, input=below), stay)
        case Join():
            return _push_join(plan, parts)
        case SemiJoin():
            return _push_semi_join(plan, parts)
        case Number() | Rank():
            # What reads only the partition leaves whole partitions out.
            free = [
                p
                for p in parts
                if columns_read(p) and columns_read(p) <= set(plan.partition) and _total(p)
            ]
            stay = [p for p in parts if p not in free]
            return _filtered(replace(plan, input=_push(plan.input, free)), stay)
        case Unnest():
            width = len(plan.input.schema.fields)
            free = [p for p in parts if all(c < width for c in columns_read(p)) and _total(p)]
            stay = [p for p in parts if p not in free]
            return _filtered(replace(plan, input=_push(plan.input, free)), stay)
        case SetOperation():
            free = [p for p in parts if _total(p)]
            stay = [p for p in parts if p not in free]
            pushed = replace(
                plan, left=_push(plan.left, list(free)), right=_push(plan.right, list(free))
            )
            return _filtered(pushed, stay)
        case _:
            below = plan.with_inputs(tuple(_push(i, []) for i in plan.inputs))
            return _filtered(below, parts)


def _push_join(plan: Join, parts: list[Expression]) -> LogicalPlan:
    width = len(plan.left.schema.fields)
    kept_left = plan.kind in {JoinKind.INNER, JoinKind.LEFT}
    kept_right = plan.kind in {JoinKind.INNER, JoinKind.RIGHT}
    left: list[Expression] = []
    right: list[Expression] = []
    on: list[Expression] = []
    later: list[Expression] = []
    above: list[Expression] = []
    for part in parts:
        side = _side(part, width)
        if not _total(part):
            above.append(part)
        elif side == "left" and kept_left:
            left.append(part)
        elif side == "right" and kept_right:
            right.append(part)
        elif side == "both" and plan.kind is JoinKind.INNER:
            later.append(part)
        else:
            above.append(part)
    for part in conjuncts(plan.condition):
        side = _side(part, width)
        # In ON the padded side's rows are only candidates: fewer of them change nothing else.
        if not _total(part):
            on.append(part)
        elif side == "left" and plan.kind in {JoinKind.INNER, JoinKind.RIGHT}:
            left.append(part)
        elif side == "right" and plan.kind in {JoinKind.INNER, JoinKind.LEFT}:
            right.append(part)
        else:
            on.append(part)
    shift = {i + width: i for i in range(len(plan.right.schema.fields))}
    right = [moved(p, shift) for p in right]
    condition = conjunction([*on, *later])
    pairs, _ = equalities(condition, width)
    # What only ON asks of the side that is not preserved says nothing of the other.
    more_right = (
        inferred(
            [*left, *_asked(plan.left)],
            [*right, *_asked(plan.right)],
            [(a, b) for a, b, _ in pairs],
            plan.right,
        )
        if kept_left
        else []
    )
    more_left = (
        inferred(
            [*right, *_asked(plan.right)],
            [*left, *_asked(plan.left)],
            [(b, a) for a, b, _ in pairs],
            plan.left,
        )
        if kept_right
        else []
    )
    joined = replace(
        plan,
        left=_push(plan.left, [*left, *more_left]),
        right=_push(plan.right, [*right, *more_right]),
        condition=condition,
    )
    return _filtered(joined, above)


def _push_semi_join(plan: SemiJoin, parts: list[Expression]) -> LogicalPlan:
    """What stands above reads the left side; in the condition the right side's rows are candidates."""
    width = len(plan.left.schema.fields)
    left = [p for p in parts if _total(p)]
    above = [p for p in parts if not _total(p)]
    right: list[Expression] = []
    on: list[Expression] = []
    for part in () if plan.null_aware else conjuncts(plan.condition):
        side = _side(part, width)
        if side == "right" and _total(part):
            right.append(part)
        elif side == "left" and _total(part) and not plan.anti:
            left.append(part)
        else:
            on.append(part)
    shift = {i + width: i for i in range(len(plan.right.schema.fields))}
    right = [moved(p, shift) for p in right]
    condition = plan.condition if plan.null_aware else conjunction(on)
    more_left: list[Expression] = []
    more_right: list[Expression] = []
    # NOT IN asks whether there is any row, and any NULL.
    if not plan.null_aware:
        pairs, _ = equalities(condition, width)
        lefts, rights = [*left, *_asked(plan.left)], [*right, *_asked(plan.right)]
        more_right = inferred(lefts, rights, [(a, b) for a, b, _ in pairs], plan.right)
        if not plan.anti:
            more_left = inferred(rights, lefts, [(b, a) for a, b, _ in pairs], plan.left)
    joined = replace(
        plan,
        left=_push(plan.left, [*left, *more_left]),
        right=_push(plan.right, [*right, *more_right]),
        condition=condition,
    )
    return _filtered(joined, above)


def _asked(plan: LogicalPlan) -> list[Expression]:
    """What a plan asks of its rows before all else."""
    found = conjuncts(plan.condition) if isinstance(plan, Filter) else ()
    return [p for p in found if _total(p)]


def _side(part: Expression, width: int) -> str:
    read = columns_read(part)
    if not read:
        return "none"
    if all(c < width for c in read):
        return "left"
    return "right" if all(c >= width for c in read) else "both"


def _total(part: Expression) -> bool:
    """Whether it gives the same on every row and never fails."""
    return is_deterministic(part) and all(
        isinstance(e, Column | Literal) or (isinstance(e, Call) and e.function in _SAFE)
        for e in walk(part)
    )


def _may_pass(part: Expression, plan: Project) -> bool:
    """Whether the condition may be computed from the projection's input.

    Only columns and cheap values: else they would be computed twice.
    """
    return all(isinstance(plan.expressions[c], Column | Literal) for c in columns_read(part))


def _filtered(plan: LogicalPlan, parts: Sequence[Expression]) -> LogicalPlan:
    condition = conjunction(parts)
    if condition is None:
        return plan
    return Filter(plan, condition, span=condition.span)
