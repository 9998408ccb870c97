"""Values of sub-queries, put beside the row by left joins.

    (SELECT MAX(x) FROM s WHERE s.k = t.k)   →  Join(left, t.k = s.k) with the aggregate by s.k
    EXISTS (SELECT … WHERE s.k = t.k)        →  the count by s.k, and whether it is positive
    x IN (SELECT y …), x < ALL (SELECT y …)  →  whether there is a row that decides it, and one
                                                that leaves it unknown

Every function takes the plan that gives the rows, and gives one with more columns behind its own,
and the value over these.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.errors import Span, SqlError
from flowsql.expr import (
    AggregateCall,
    Column,
    Expression,
    bind_call,
    bind_case,
    boolean_literal,
    columns_read,
    null_literal,
    number_literal,
    transform,
)
from flowsql.expr.nodes import Literal
from flowsql.logical.correlation import (
    Outer,
    Pulled,
    conjunction,
    equality,
    is_count,
    joined,
    outer_column,
    placed,
    pull,
    reads_outer,
)
from flowsql.logical.dependent import depend, tied
from flowsql.logical.plan import (
    Aggregate,
    Filter,
    Join,
    JoinKind,
    LogicalPlan,
    Project,
    Union,
    Values,
    without_time,
)
from flowsql.logical.plan_rows import Sort, column
from flowsql.logical.scope import around
from flowsql.types import BigIntType, RowType

__all__ = ["always_a_row", "comparison_beside", "found_beside", "value_beside"]

_COUNT = BigIntType(nullable=False)


def value_beside(
    plan: LogicalPlan, inner: LogicalPlan, span: Span
) -> tuple[LogicalPlan, Expression]:
    """`(SELECT …)`: NULL where it has no row.

    Raises:
        SqlError: it reads the query around where that is not supported.
    """
    expression, core = _peeled(inner)
    if isinstance(core, Values) and len(core.rows) == 1 and not columns_read(expression):
        return plan, placed(expression, outer_column)
    if not reads_outer(inner):
        return _beside(plan, inner if _at_most_one(inner) else _single(inner, (), span), [], span)
    width = len(plan.schema.fields)
    if isinstance(core, Aggregate) and not core.keys:
        try:
            pulled = pull(core, span)
        except SqlError:
            pass
        else:
            made, _ = _beside(plan, pulled.plan, joined(pulled.conditions, width), span)
            counts = {i for i, c in enumerate(core.calls) if is_count(c)}
            return made, _on_nothing(expression, made, width, counts)
    if _at_most_one(inner):
        pulled = depend(inner, plan, span)
        return _beside(plan, pulled.plan, joined(pulled.conditions, width), span)
    keys, on = _keys(tied(inner, plan, span, equal=True), span)
    single = _single(keys, range(1, len(keys.schema.fields)), span)
    made, conditions = _calls_first(single, on)
    return _beside(plan, made, joined(conditions, width), span)


def found_beside(
    plan: LogicalPlan, inner: LogicalPlan, span: Span
) -> tuple[LogicalPlan, Expression]:
    """EXISTS (inner): TRUE or FALSE; raises as `value_beside`."""
    pulled = tied(inner, plan, span, equal=True)
    counted, conditions = _counted(pulled, (_count((), span),), span)
    plan, count = _beside(plan, counted, joined(conditions, len(plan.schema.fields)), span)
    return plan, _positive(count, span)


def comparison_beside(
    plan: LogicalPlan,
    inner: LogicalPlan,
    left: Sequence[Expression],
    compare: str,
    span: Span,
    *,
    every: bool,
) -> tuple[LogicalPlan, Expression]:
    """`left compare ANY (inner)`, or ALL: TRUE, FALSE, or NULL where a NULL leaves it open.

    Args:
        plan: gives the rows.
        inner: has a column for each of `left`.
        left: values over the plan.
        compare: `=` where there are several.
        span: of the comparison.
        every: ALL.

    Raises:
        SqlError: as `value_beside`.
    """
    own = [_plain_column(inner, i) for i in range(len(left))]
    pairs = zip((around(e, span) for e in left), own, strict=True)
    holds = conjunction([bind_call(compare, list(p), span) for p in pairs])
    assert holds is not None
    decides = bind_call("IS FALSE", [holds], span) if every else holds
    plan, hit = found_beside(plan, Filter(inner, decides, span=span), span)
    if not holds.type.nullable:
        return plan, bind_call("NOT", [hit], span) if every else hit
    if len(left) > 1 or isinstance(own[0].type, RowType):
        open_ = Filter(inner, bind_call("IS NULL", [holds], span), span=span)
        plan, unknown = found_beside(plan, open_, span)
    else:
        plan, unknown = _null_beside(plan, inner, left[0], span)
    yes, no = (boolean_literal(value, span) for value in (not every, every))
    return plan, bind_case([hit, unknown], [yes, null_literal(span), no], span)


def _null_beside(
    plan: LogicalPlan, inner: LogicalPlan, left: Expression, span: Span
) -> tuple[LogicalPlan, Expression]:
    """Whether a comparison of `left` with one of the sub-query's values is unknown."""
    pulled = tied(inner, plan, span, equal=True)
    calls = (_count((), span), _count((_plain_column(pulled.plan, 0),), span))
    counted, conditions = _counted(pulled, calls, span)
    plan, rows = _beside(plan, counted, joined(conditions, len(plan.schema.fields)), span)
    present = column(plan, rows.index + 1)
    absent = [bind_call("IS NULL", [left], span), bind_call("<", [present, rows], span)]
    return plan, bind_call("AND", [_positive(rows, span), bind_call("OR", absent, span)], span)


def _plain_column(plan: LogicalPlan, index: int) -> Column:
    found = plan.schema.fields[index]
    return Column(type=without_time(found.type), index=index, name=found.name)


# Plans


def _beside(
    plan: LogicalPlan, other: LogicalPlan, on: Sequence[Expression], span: Span
) -> tuple[LogicalPlan, Column]:
    """The plan with the other's columns, NULL where it has no row; and the first of them."""
    made = Join(plan, other, JoinKind.LEFT, conjunction(list(on)), span=span)
    return made, column(made, len(plan.schema.fields))


def _single(plan: LogicalPlan, keys: Sequence[int], span: Span) -> Aggregate:
    """The one value of the first column, by key."""
    value = column(plan, 0)
    call = AggregateCall(
        function="SINGLE_VALUE",
        args=(value,),
        distinct=False,
        filter=None,
        type=without_time(value.type).with_nullable(True),
        span=span,
    )
    names = (*(plan.schema.names[k] for k in keys), "value")
    return Aggregate(plan, tuple(keys), (call,), names, span=span)


def _counted(
    pulled: Pulled, calls: tuple[AggregateCall, ...], span: Span
) -> tuple[LogicalPlan, tuple[Expression, ...]]:
    """Counts by the columns that are compared with the row around."""
    names = tuple(f"count{i}" for i in range(len(calls)))
    if not pulled.conditions:
        return Aggregate(pulled.plan, (), calls, names, span=span), ()
    keys, on = _keys(pulled, span)
    positions = tuple(range(1, len(keys.schema.fields)))
    return _calls_first(
        Aggregate(keys, positions, calls, (*keys.schema.names[1:], *names), span=span), on
    )


def _calls_first(
    made: Aggregate, on: Sequence[tuple[str, Expression]]
) -> tuple[LogicalPlan, tuple[Expression, ...]]:
    """The aggregate's values, then its keys; and what they are compared with."""
    width, count = len(made.schema.fields), len(made.calls)
    order = [*range(width - count, width), *range(width - count)]
    plan = Project(
        made, tuple(column(made, i) for i in order), tuple(made.schema.names[i] for i in order)
    )
    conditions = tuple(
        bind_call(symbol, [column(plan, count + i), outer], outer.span)
        for i, (symbol, outer) in enumerate(on)
    )
    return plan, conditions


def _keys(pulled: Pulled, span: Span) -> tuple[Project, list[tuple[str, Expression]]]:
    """The sub-query's first value and then what is compared with the row around."""
    expressions: list[Expression] = [column(pulled.plan, 0)]
    on: list[tuple[str, Expression]] = []
    for condition in pulled.conditions:
        sides = equality(condition)
        assert sides is not None
        own, symbol, outer = sides
        expressions.append(own)
        on.append((symbol, outer))
    names = ("value", *(f"key{i}" for i in range(len(on))))
    return Project(pulled.plan, tuple(expressions), names, span=span), on


def _count(args: tuple[Column, ...], span: Span) -> AggregateCall:
    return AggregateCall(
        function="COUNT", args=args, distinct=False, filter=None, type=_COUNT, span=span
    )


# Expressions


def _positive(count: Expression, span: Span) -> Expression:
    zero = number_literal("0", span)
    return bind_call(">", [bind_call("COALESCE", [count, zero], span), zero], span)


def _on_nothing(
    expression: Expression, plan: LogicalPlan, width: int, counts: set[int]
) -> Expression:
    """An expression over a global aggregate, whose row is missing where it has no input."""

    def put(e: Expression) -> Expression:
        if isinstance(e, Outer):
            return placed(e, outer_column)
        if not isinstance(e, Column):
            return e
        value = column(plan, width + e.index)
        if e.index not in counts:
            return value
        return bind_call("COALESCE", [value, Literal(type=_COUNT, value=0)], e.span)

    return transform(expression, put)


# What is known of a sub-query


def _peeled(plan: LogicalPlan) -> tuple[Expression, LogicalPlan]:
    """The one column of a plan as an expression over what stands below its projections."""
    expression: Expression = column(plan, 0)
    while isinstance(plan, Project):
        below = plan.expressions
        expression = transform(
            expression,
            lambda e: below[e.index] if isinstance(e, Column) else e,  # noqa: B023
        )
        plan = plan.input
    return expression, plan


def _at_most_one(plan: LogicalPlan) -> bool:
    match plan:
        case Aggregate(keys=()):
            return True
        case Values():
            return len(plan.rows) <= 1
        case Sort():
            return (plan.fetch is not None and plan.fetch <= 1) or _at_most_one(plan.input)
        case Project():
            return _at_most_one(plan.input)
        case _:
            return isinstance(plan, Filter) and _at_most_one(plan.input)


def always_a_row(plan: LogicalPlan) -> bool:
    """Whether it has a row whatever its input, as a global aggregate has.

    EXISTS over it is TRUE from the start, also on a stream that gives no row before it has one.
    """
    match plan:
        case Aggregate():
            return not plan.keys or always_a_row(plan.input)
        case Values():
            return bool(plan.rows)
        case Sort():
            return plan.fetch != 0 and not plan.offset and always_a_row(plan.input)
        case Union():
            return any(map(always_a_row, plan.parts))
        case _:
            return isinstance(plan, Project) and always_a_row(plan.input)
