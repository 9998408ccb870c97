"""Lowering of joins: equality keys, layouts, stored columns; and which joins are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flowsql.changelog import ChangelogMode
from flowsql.expr import Call, Column, Expression, bind_call, columns_read, transform
from flowsql.logical import Join, LogicalPlan, SemiJoin, Window, window_columns
from flowsql.logical.refusals import not_supported
from flowsql.optimizer.rewrite import conjuncts
from flowsql.optimizer.unique_keys import equalities, side_key
from flowsql.physical import specs as p
from flowsql.physical.builder import Lowered
from flowsql.physical.determinism import require_deterministic
from flowsql.physical.keys import join_keys, side_layout
from flowsql.types import DataType, Field, RowType, TimeAttribute

if TYPE_CHECKING:
    from flowsql.physical.lower import Lowering

__all__ = ["join_side", "lower_join", "lower_side", "refuse_timed", "residual"]

_COMPARE = {"=", "<", "<=", ">", ">=", "BETWEEN"}


def lower_join(lowering: Lowering, plan: Join, needed: frozenset[int]) -> Lowered:
    """The join over its lowered sides; without an equality all rows have the one empty key.

    Raises:
        SqlError: time bounds make it a join of another kind.
    """
    width = len(plan.left.schema.fields)
    pairs, rest = equalities(plan.condition, width)
    if lowering.settings.streaming:
        refuse_timed(plan, pairs)
    read = frozenset(c for e in rest for c in columns_read(e))
    given = needed | read
    # Neither a batch nor a stored row can do without a column.
    if not pairs:
        given |= {min((c for c in given if c < width), default=0)}
        given |= {min((c for c in given if c >= width), default=width)}
    elif not given:
        given = frozenset({pairs[0][0]})
    left = lower_side(
        lowering, plan.left, [a for a, _, _ in pairs], [c for c in given if c < width]
    )
    right = lower_side(
        lowering, plan.right, [b for _, b, _ in pairs], [c - width for c in given if c >= width]
    )
    left_given = [c for c in sorted(given) if c < width]
    right_given = [c for c in sorted(given) if c >= width]
    kept = lowering.settings.kept
    sides = (
        join_side(left, [a for a, _, _ in pairs], left_given, kept(plan.ttls[0])),
        join_side(
            right,
            [b for _, b, _ in pairs],
            [c - width for c in right_given],
            kept(plan.ttls[1]),
        ),
    )
    # Two logical columns may be one physical column, which is given once.
    places = [-1] * len(plan.schema.fields)
    for c in left_given:
        places[c] = sides[0].columns.index(left.at(c))
    for c in right_given:
        places[c] = len(sides[0].columns) + sides[1].columns.index(right.at(c - width))
    fields: dict[int, Field] = {}
    for c in (*left_given, *right_given):
        fields.setdefault(places[c], plan.schema.fields[c])
    output = RowType(tuple(fields[i] for i in range(len(fields))), nullable=False)
    spec = p.Join(
        kind=p.JoinKind(plan.kind.value),
        left=sides[0],
        right=sides[1],
        null_safe=tuple(safe for _, _, safe in pairs),
        condition=residual(rest, places, output),
    )
    append = all(s.mode is ChangelogMode.APPEND for s in sides)
    if spec.condition is not None and not append:
        require_deterministic([spec.condition], ChangelogMode.RETRACT, lowering)
    if append and spec.kind is p.JoinKind.INNER:
        mode = ChangelogMode.APPEND
    elif append:
        mode = lowering.settled(ChangelogMode.RETRACT)
    else:
        mode = ChangelogMode.RETRACT
    node = lowering.builder.add(
        spec,
        (left.node, right.node),
        output,
        mode,
        join_keys(spec, left.node.upsert_keys, right.node.upsert_keys, _given(spec, left, right)),
        span=plan.span,
    )
    return Lowered(node, tuple(places))


def _given(spec: p.Join, left: Lowered, right: Lowered) -> list[DataType]:
    """The types of the output's columns as the sides give them."""
    return [
        below.node.output.types[c]
        for side, below in ((spec.left, left), (spec.right, right))
        for c in side.columns
    ]


def lower_side(
    lowering: Lowering, plan: LogicalPlan, joined: Sequence[int], given: Sequence[int]
) -> Lowered:
    """A side with what is joined, given or read, and a unique key that is worth its place."""
    key = side_key(plan, joined, given, lowering.settings)
    return lowering.lower(plan, frozenset(joined) | frozenset(given) | key)


def join_side(below: Lowered, keys: Sequence[int], given: Sequence[int], ttl: int) -> p.JoinSide:
    """What is kept of a side that is joined by `keys` and gives `given`, and for how long."""
    node = below.node
    at = tuple(below.at(k) for k in keys)
    layout, unique = side_layout(at, node.upsert_keys)
    return p.JoinSide(
        keys=at,
        columns=tuple(dict.fromkeys(below.at(c) for c in given)),
        layout=layout,
        unique_key=unique,
        mode=node.mode,
        ttl=ttl,
    )


def residual(
    rest: Sequence[Expression], places: Sequence[int], output: RowType
) -> Expression | None:
    """What a condition asks beside its equalities, over the output row."""

    def move(e: Expression) -> Expression:
        if not isinstance(e, Column):
            return e
        at = places[e.index]
        return replace(e, index=at, name=output.names[at])

    moved = [transform(e, move) for e in rest]
    if not moved:
        return None
    result = moved[0]
    for part in moved[1:]:
        result = bind_call("AND", [result, part], result.span)
    return result


def refuse_timed(plan: Join | SemiJoin, pairs: Sequence[tuple[int, int, bool]]) -> None:
    """Joins whose time bounds let Flink forget rows: a regular join would keep late ones."""
    width = len(plan.left.schema.fields)
    starts = _window_pairs(plan.left, plan.right, pairs)
    if {Window.START, Window.END} <= starts:
        raise not_supported(
            "a window join", plan.span, "Aggregate each side by window first, or join first."
        )
    timed = {
        i
        for side, shift in ((plan.left, 0), (plan.right, width))
        for i, t in enumerate(side.schema.types, start=shift)
        if getattr(t, "attribute", TimeAttribute.NONE) is not TimeAttribute.NONE
    }
    for part in conjuncts(plan.condition):
        if not isinstance(part, Call) or part.function not in _COMPARE:
            continue
        found = columns_read(part) & timed
        if any(c < width for c in found) and any(c >= width for c in found):
            raise not_supported(
                "an interval join (time bounds between both sides)",
                part.span or plan.span,
                "CAST one time column to TIMESTAMP(3) for a join that keeps every row.",
            )


def _window_pairs(
    left: LogicalPlan, right: LogicalPlan, pairs: Sequence[tuple[int, int, bool]]
) -> set[Window]:
    a, b = window_columns(left), window_columns(right)
    return {a[x] for x, y, _ in pairs if x in a and y in b and a[x] is b[y]}
