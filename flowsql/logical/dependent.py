"""Sub-queries that are computed once for each distinct row around.

    SELECT (SELECT MAX(x) FROM s WHERE s.k > t.k) FROM t
      →  Join(left, t.k IS NOT DISTINCT FROM d.k)
         ├─ t
         └─ the aggregate by d.k over s JOIN d ON s.k > d.k,  d being SELECT DISTINCT k FROM t

The columns that are read of the row around come into the sub-query as a relation of their own, the
domain, and pass through all of it. It is what remains where `correlation.pull` cannot take the
conditions that read them to the top: it costs a second copy of the rows around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowsql.changelog import many_forms
from flowsql.errors import Span, SqlError
from flowsql.expr import (
    Column,
    Expression,
    Literal,
    bind_call,
    is_deterministic,
    transform,
    walk,
)
from flowsql.logical.correlation import (
    NAMES,
    Outer,
    Pulled,
    conjunction,
    equality,
    expressions_of,
    is_count,
    placed,
    pull,
    reads_outer,
    with_expressions,
)
from flowsql.logical.plan import (
    Aggregate,
    Filter,
    Join,
    JoinKind,
    LogicalPlan,
    Project,
    Union,
)
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

__all__ = ["depend", "tied"]


def tied(
    inner: LogicalPlan,
    around: LogicalPlan,
    span: Span,
    *,
    equal: bool = False,
    filled: bool = True,
) -> Pulled:
    """The sub-query without the query around, and what ties them.

    Args:
        inner: its plan.
        around: gives the rows around.
        span: of the sub-query.
        equal: every condition must be an equality.
        filled: a global aggregate must have its row even where it has no input.

    Raises:
        SqlError: it reads the query around where that is not supported.
    """
    try:
        pulled = pull(inner, span)
    except SqlError:
        return depend(inner, around, span, filled=filled)
    if equal and any(equality(c) is None for c in pulled.conditions):
        return depend(inner, around, span, filled=filled)
    return pulled


def depend(inner: LogicalPlan, around: LogicalPlan, span: Span, *, filled: bool = True) -> Pulled:
    """The sub-query for each distinct row around, tied by equality; arguments as for `tied`."""
    used = sorted({e.index for e in _outers(inner) if e.level == 1})
    if not used:
        return Pulled(_lowered(inner))
    if not _repeatable(around):
        raise not_supported(
            "a sub-query that reads the query around it below an aggregate, where that calls a "
            "function that is not deterministic",
            span,
        )
    for i in used:
        if many_forms(around.schema.types[i]):
            raise not_supported(
                "a sub-query that reads a MAP or MULTISET of the query around it by more than "
                "equality",
                span,
                "Take what is compared out of it in a sub-query of FROM.",
            )
    names = tuple(f"around{i}" for i in used)
    source = Project(around, tuple(column(around, i) for i in used), names)
    domain = Aggregate(source, tuple(range(len(used))), (), names, span=span)
    pushed = _Pushing(domain, {c: i for i, c in enumerate(used)}, span, filled=filled).push(inner)
    width = len(inner.schema.fields)
    conditions = []
    for i, at in enumerate(used):
        own = replace(column(pushed, width + i), span=span)
        outer = Outer(type=own.type, index=at, name=around.schema.names[at], span=span)
        conditions.append(_same(own, outer, span))
    return Pulled(pushed, tuple(conditions))


def _same(a: Expression, b: Expression, span: Span) -> Expression:
    plain = not a.type.nullable and not b.type.nullable
    return bind_call("=" if plain else "IS NOT DISTINCT FROM", [a, b], span)


def _outers(plan: LogicalPlan) -> list[Outer]:
    own = [e for x in expressions_of(plan) for e in walk(x) if isinstance(e, Outer)]
    return own + [e for p in plan.inputs for e in _outers(p)]


def _repeatable(plan: LogicalPlan) -> bool:
    """Whether a second copy of the plan has the same rows."""
    return all(map(is_deterministic, expressions_of(plan))) and all(map(_repeatable, plan.inputs))


def _lowered(plan: LogicalPlan) -> LogicalPlan:
    """The plan as a part of the query around: what was two levels around is one level around."""
    if not reads_outer(plan):
        return plan
    own = with_expressions(plan, lambda e: placed(e, lambda _: None))
    return own.with_inputs(tuple(map(_lowered, own.inputs)))


@dataclass(frozen=True, slots=True)
class _Pushing:
    """Takes the domain through a plan: each result has the plan's columns, then the domain's.

    Attributes:
        domain: the distinct values of what is read of the row around.
        at: position there of each column around.
        span: of the sub-query.
        filled: see `tied`.
    """

    domain: Aggregate
    at: dict[int, int]
    span: Span
    filled: bool

    def push(self, plan: LogicalPlan) -> LogicalPlan:
        """The plan for each row of the domain."""
        if not any(e.level == 1 for e in _outers(plan)):
            return Join(_lowered(plan), self.domain, JoinKind.INNER, None, span=self.span)
        match plan:
            case Filter():
                below = self.push(plan.input)
                condition = self._put(plan.condition, len(plan.schema.fields))
                return replace(plan, input=below, condition=condition)
            case Project():
                below = self.push(plan.input)
                width = len(plan.input.schema.fields)
                own = tuple(self._put(e, width) for e in plan.expressions)
                names = (*plan.names, *self.domain.names)
                return replace(
                    plan, input=below, expressions=(*own, *self._columns(below, width)), names=names
                )
            case Aggregate() if not plan.window:
                return self._aggregate(plan)
            case Join():
                return self._join(plan)
            case SemiJoin():
                return self._semi_join(plan)
            case Union():
                return replace(plan, parts=tuple(map(self.push, plan.parts)))
            case SetOperation():
                return plan.with_inputs((self.push(plan.left), self.push(plan.right)))
            case Sort() if plan.order and plan.fetch is not None:
                return self._sort(plan, plan.fetch)
            case Number() | Rank():
                return self._number(plan)
            case Expand():
                below = self.push(plan.input)
                width = len(plan.input.schema.fields)
                domain = self._columns(below, width)
                rows = tuple(
                    (*(self._put(e, width) for e in row), *domain) for row in plan.projections
                )
                names = (*plan.names, *self.domain.names)
                return replace(plan, input=below, projections=rows, names=names)
            case Unnest():
                return self._unnest(plan)
            case _:
                raise not_supported(
                    "a sub-query that reads the query around it below "
                    + (_NAMES.get(type(plan)) or NAMES[type(plan)]),
                    plan.span or self.span,
                    "Write it as a join.",
                )

    @property
    def _width(self) -> int:
        return len(self.at)

    def _columns(self, plan: LogicalPlan, first: int) -> tuple[Column, ...]:
        """The domain's columns, which begin there."""
        return tuple(column(plan, first + i) for i in range(self._width))

    def _put(self, e: Expression, first: int) -> Expression:
        """The expression with the domain's columns, from `first` on, for those around."""

        def find(outer: Outer) -> Expression | None:
            kind = self.domain.schema.types[self.at[outer.index]]
            index = first + self.at[outer.index]
            return Column(type=kind, index=index, name=outer.name, span=outer.span)

        return placed(e, find)

    def _moved(self, e: Expression, width: int, by: int) -> Expression:
        """The expression with its columns from `width` on behind `by` more."""

        def move(x: Expression) -> Expression:
            late = isinstance(x, Column) and x.index >= width
            return replace(x, index=x.index + by) if isinstance(x, Column) and late else x

        return transform(e, move)

    def _ordered(self, plan: LogicalPlan, columns: Sequence[int]) -> Project:
        """These columns of the plan."""
        return Project(
            plan,
            tuple(column(plan, i) for i in columns),
            tuple(plan.schema.names[i] for i in columns),
        )

    def _aggregate(self, plan: Aggregate) -> LogicalPlan:
        below = self.push(plan.input)
        width, count = len(plan.input.schema.fields), len(plan.keys)
        total, more = len(plan.schema.fields), self._width
        made = replace(
            plan,
            input=below,
            keys=(*plan.keys, *range(width, width + more)),
            names=(*plan.names[:count], *self.domain.names, *plan.names[count:]),
        )
        own = [*range(count), *range(count + more, total + more)]
        if count or not self.filled:
            return self._ordered(made, [*own, *range(count, count + more)])
        # Where there is no input, the aggregate of nothing: NULL, and 0 for a COUNT.
        pairs = [
            _same(column(self.domain, i), replace(column(made, i), index=more + i), self.span)
            for i in range(more)
        ]
        beside = Join(self.domain, made, JoinKind.LEFT, conjunction(pairs), span=self.span)
        values: list[Expression] = []
        for i, call in enumerate(plan.calls):
            value: Expression = column(beside, 2 * more + i)
            if is_count(call):
                zero = Literal(type=call.type, value=0)
                value = bind_call("COALESCE", [value, zero], call.span or self.span)
            values.append(value)
        return Project(
            beside,
            (*values, *self._columns(beside, 0)),
            (*plan.names, *self.domain.names),
        )

    def _join(self, plan: Join) -> LogicalPlan:
        width, total = len(plan.left.schema.fields), len(plan.schema.fields)
        more = self._width
        left = plan.kind is JoinKind.LEFT or _reads(plan.left)
        right = plan.kind is JoinKind.RIGHT or _reads(plan.right)
        if plan.kind is JoinKind.FULL:
            left = right = True
        left = left or not right
        sides = (
            self.push(plan.left) if left else _lowered(plan.left),
            self.push(plan.right) if right else _lowered(plan.right),
        )
        shift = more if left else 0
        first = width if left else total
        parts: list[Expression] = []
        if plan.condition is not None:
            parts.append(self._put(self._moved(plan.condition, width, shift), first))
        if left and right:
            for i in range(more):
                a = column(sides[0], width + i)
                b = column(sides[1], total - width + i)
                parts.append(_same(a, replace(b, index=total + more + i), self.span))
        made = replace(plan, left=sides[0], right=sides[1], condition=conjunction(parts))
        own = [*range(width), *(shift + i for i in range(width, total))]
        ordered = self._ordered(made, [*own, *range(first, first + more)])
        if not (left and right) or plan.kind in {JoinKind.INNER, JoinKind.LEFT}:
            return ordered
        second = self._columns(made, total + more)
        if plan.kind is JoinKind.FULL:
            pairs = zip(self._columns(made, width), second, strict=True)
            values = tuple(bind_call("COALESCE", list(p), self.span) for p in pairs)
        else:
            values = second
        return replace(ordered, expressions=(*ordered.expressions[:total], *values))

    def _semi_join(self, plan: SemiJoin) -> LogicalPlan:
        width, more = len(plan.left.schema.fields), self._width
        left = self.push(plan.left)
        right = self.push(plan.right) if _reads(plan.right) else _lowered(plan.right)
        parts: list[Expression] = []
        if plan.condition is not None:
            parts.append(self._put(self._moved(plan.condition, width, more), width))
        aware = plan.null_aware
        if right.schema.fields[len(plan.right.schema.fields) :]:
            if aware:
                # As in `SubQueries.choose`: the comparison must be FALSE, not merely unknown.
                parts = [bind_call("IS NOT FALSE", parts, plan.span or self.span)]
                aware = False
            start = len(plan.right.schema.fields)
            for i in range(more):
                b = column(right, start + i)
                same = replace(b, index=width + more + start + i)
                parts.append(_same(column(left, width + i), same, self.span))
        return replace(plan, left=left, right=right, condition=conjunction(parts), null_aware=aware)

    def _sort(self, plan: Sort, fetch: int) -> LogicalPlan:
        below = self.push(plan.input)
        width = len(plan.schema.fields)
        return Rank(
            below,
            tuple(range(width, width + self._width)),
            plan.order,
            RankFunction.ROW_NUMBER,
            plan.offset + 1,
            plan.offset + fetch,
            None,
            None,
            span=plan.span,
        )

    def _number(self, plan: Number | Rank) -> LogicalPlan:
        below = self.push(plan.input)
        width, more = len(plan.input.schema.fields), self._width
        made = replace(plan, input=below, partition=(*plan.partition, *range(width, width + more)))
        total = len(plan.schema.fields)
        own = [*range(width), *range(width + more, total + more)]
        return self._ordered(made, [*own, *range(width, width + more)])

    def _unnest(self, plan: Unnest) -> LogicalPlan:
        below = self.push(plan.input)
        width, more = len(plan.input.schema.fields), self._width
        condition = plan.condition
        if condition is not None:
            condition = self._put(self._moved(condition, width, more), width)
        made = replace(plan, input=below, condition=condition)
        total = len(plan.schema.fields)
        own = [*range(width), *range(width + more, total + more)]
        return self._ordered(made, [*own, *range(width, width + more)])


def _reads(plan: LogicalPlan) -> bool:
    return any(e.level == 1 for e in _outers(plan))


# What of a node is not supported, where not all of it is.
_NAMES: dict[type[LogicalPlan], str] = {
    Aggregate: "an aggregate of windows",
    Sort: "LIMIT or OFFSET without ORDER BY",
}
