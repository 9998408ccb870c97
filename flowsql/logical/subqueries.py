"""Sub-queries in conditions and as values: IN, EXISTS and (SELECT …), as joins.

    WHERE a IN (SELECT x FROM s)          →  SemiJoin(semi, a = x)
    WHERE NOT EXISTS (SELECT … WHERE p)   →  SemiJoin(anti, p)
    SELECT (SELECT MAX(x) FROM s WHERE s.k = t.k)
                                          →  Join(left, t.k = s.k) with the aggregate by s.k

A sub-query that stands alone among the conditions of WHERE chooses rows; anywhere else it gives a
value, which a left join puts beside the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.expr import (
    AggregateCall,
    Column,
    Expression,
    bind_call,
    bind_case,
    boolean_literal,
    common_type,
    null_literal,
    number_literal,
    transform,
)
from flowsql.expr.nodes import Literal
from flowsql.logical.attached import Attachments
from flowsql.logical.correlation import (
    Outer,
    Pulled,
    conjunction,
    equality,
    joined,
    pull,
    reads_outer,
)
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
from flowsql.logical.plan_rows import SemiJoin, Sort, column
from flowsql.logical.refusals import not_supported
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import BigIntType, NullType

if TYPE_CHECKING:
    from flowsql.logical.queries import Names, QueryBinder

__all__ = ["Bind", "SubQueries", "chosen_by"]

Bind = Callable[[exp.Expr], Expression]

_COUNT = BigIntType(nullable=False)


@dataclass(frozen=True, slots=True)
class _Test:
    """`EXISTS (query)`, or `left IN (query)` where `left` is set; `negated` for NOT.

    Attributes:
        compare: the comparison of ANY and ALL; `=` for IN.
        every: it must hold for all rows of the query.
    """

    query: d.Query
    left: tuple[exp.Expr, ...] | None
    negated: bool
    span: Span
    compare: str = "="
    every: bool = False


def chosen_by(node: exp.Expr) -> _Test | None:
    """The test of a sub-query that `node` is as a whole, or None."""
    negated = False
    at = node
    while isinstance(at, exp.Paren | exp.Not):
        negated ^= isinstance(at, exp.Not)
        at = at.args["this"]
    if isinstance(at, exp.Exists):
        return _Test(_query(at.args["this"]), None, negated, span_of(at))
    if isinstance(at, exp.In) and at.args.get("query") is not None:
        return _Test(_query(at.args["query"]), _left(at.args["this"]), negated, span_of(at))
    if isinstance(at, d.Quantified) and at.args.get("query") is not None:
        symbol, every = at.args["op"], at.args["quantifier"] == "ALL"
        if (symbol, every) == ("<>", True):
            symbol, every, negated = "=", False, not negated
        query, left = _query(at.args["query"]), _left(at.args["this"])
        return _Test(query, left, negated, span_of(at), symbol, every)
    return None


def _query(node: exp.Expr) -> d.Query:
    while isinstance(node, exp.Subquery | exp.Paren):
        node = node.args["this"]
    assert isinstance(node, d.Query)
    return node


def _left(node: exp.Expr) -> tuple[exp.Expr, ...]:
    while isinstance(node, exp.Paren):
        node = node.args["this"]
    return tuple(node.args["expressions"]) if isinstance(node, exp.Tuple) else (node,)


class SubQueries:
    """The sub-queries of one clause.

    Args:
        queries: binds them.
        names: what table names mean, and the columns of the query around.
        beside: where their values are attached.
    """

    def __init__(self, queries: QueryBinder, names: Names, beside: Attachments) -> None:
        self._queries = queries
        self._names = names
        self.beside = beside

    def number(self, node: d.FunctionCall, bind: Bind) -> Expression | None:
        """A call with OVER cannot stand where only sub-queries may."""
        del node, bind
        return None

    # As a condition of WHERE

    def choose(self, plan: LogicalPlan, test: _Test, bind: Bind) -> LogicalPlan:
        """The rows of the plan that the test lets pass.

        Raises:
            SqlError: the sub-query is wrong, or reads the query around where it may not.
        """
        inner = self._queries.query(test.query, self._names)
        if test.left is None:
            if _always_a_row(inner):
                never = boolean_literal(False, test.span)
                return Filter(plan, never, span=test.span) if test.negated else plan
            pulled = pull(inner, test.span)
            width = len(plan.schema.fields)
            condition = conjunction(joined(pulled.conditions, width))
            return SemiJoin(plan, pulled.plan, condition, anti=test.negated, span=test.span)
        left = [bind(e) for e in test.left]
        _check_width(inner, len(left), test.span)
        if len(left) == 1 and _one_of_outer(inner):
            return self._compare(plan, test, left[0], inner)
        plan = self.beside.attach(plan)
        left = [self.beside.settle(e) for e in left]
        pulled = pull(inner, test.span)
        if pulled.grouped:
            raise not_supported(
                "IN with several aggregates that read the query around them", test.span
            )
        width = len(plan.schema.fields)
        if test.every or test.compare != "=":
            return _compared(plan, test, left, pulled)
        equal = [_equal(e, column(pulled.plan, i), width, test.span) for i, e in enumerate(left)]
        conditions = joined(pulled.conditions, width)
        if not test.negated:
            return SemiJoin(plan, pulled.plan, conjunction([*equal, *conditions]), span=test.span)
        nullable = any(e.type.nullable for e in left) or any(t.nullable for t in inner.schema.types)
        if not nullable:
            both = conjunction([*equal, *conditions])
            return SemiJoin(plan, pulled.plan, both, anti=True, span=test.span)
        if len(equal) == 1 and not conditions:
            return SemiJoin(plan, pulled.plan, equal[0], anti=True, null_aware=True, span=test.span)
        # A row passes if the comparison is FALSE, not merely unknown, for each of the others.
        alike = conjunction(equal)
        assert alike is not None
        may = bind_call("IS NOT FALSE", [alike], test.span)
        both = conjunction([may, *conditions])
        return SemiJoin(plan, pulled.plan, both, anti=True, span=test.span)

    def _compare(
        self, plan: LogicalPlan, test: _Test, left: Expression, inner: LogicalPlan
    ) -> LogicalPlan:
        """IN, ANY and ALL of a query that always has one row are a comparison with its value."""
        value = self._value(inner, test.span)
        holds = bind_call(test.compare, [_plain(left), value], test.span)
        if test.negated:
            holds = bind_call("NOT", [holds], test.span)
        plan = self.beside.attach(plan)
        return Filter(plan, self.beside.settle(holds), span=test.span)

    # As a value

    def scalar(self, node: exp.Expr) -> Expression:
        """The value of `(SELECT …)`: NULL for no row, an error at run time for more than one."""
        inner = self._queries.query(_query(node), self._names)
        _check_width(inner, 1, span_of(node))
        return self._value(inner, span_of(node))

    def _value(self, inner: LogicalPlan, span: Span) -> Expression:
        kind = without_time(inner.schema.types[0]).with_nullable(True)
        if isinstance(kind, NullType):
            raise SqlError(
                "the sub-query gives NULL, which has no type",
                hint="Write CAST(NULL AS …).",
                span=span,
            )
        if not reads_outer(inner):
            single = inner if _at_most_one(inner) else _single(inner, (), span)
            return self.beside.add(kind, span, lambda p: _beside(p, single, [], span))
        expression, core = _peeled(inner)
        if isinstance(core, Aggregate) and not core.keys:
            pulled = pull(core, span)
            counts = {i for i, c in enumerate(core.calls) if c.function == "COUNT"}

            def aggregate(plan: LogicalPlan) -> tuple[LogicalPlan, Expression]:
                width = len(plan.schema.fields)
                made, _ = _beside(plan, pulled.plan, joined(pulled.conditions, width), span)
                return made, _on_nothing(expression, made, width, counts)

            return self.beside.add(kind, span, aggregate)
        pulled = pull(inner, span)
        single, conditions = _single_by(pulled, span)
        return self.beside.add(
            kind,
            span,
            lambda p: _beside(p, single, joined(conditions, len(p.schema.fields)), span),
        )

    def exists(self, node: exp.Expr) -> Expression:
        """EXISTS as a value."""
        span = span_of(node)
        inner = self._queries.query(_query(node.args["this"]), self._names)
        if _always_a_row(inner):
            return boolean_literal(True, span)
        pulled = pull(inner, span)
        counted, conditions = _counted(pulled, span)

        def maker(plan: LogicalPlan) -> tuple[LogicalPlan, Expression]:
            on = joined(conditions, len(plan.schema.fields))
            made, count = _beside(plan, counted, on, span)
            return made, _positive(count, span)

        kind = boolean_literal(True, span).type
        return self.beside.add(kind, span, maker)

    def member(self, node: exp.In, bind: Bind) -> Expression:
        """`x IN (SELECT …)` as a value: TRUE, FALSE or NULL."""
        span = span_of(node)
        inner = self._queries.query(_query(node.args["query"]), self._names)
        left = [bind(e) for e in _left(node.args["this"])]
        _check_width(inner, len(left), span)
        if len(left) != 1:
            raise not_supported("IN (SELECT …) with several columns as a value", span)
        if reads_outer(inner):
            raise not_supported(
                "IN (SELECT …) that reads the query around it, as a value",
                span,
                "Let it stand alone among the conditions of WHERE, or use EXISTS.",
            )
        nullable = left[0].type.nullable or inner.schema.types[0].nullable
        values = Aggregate(inner, (0,), (), (inner.schema.names[0],), span=span)
        probe = bind_call("=", [left[0], column(inner, 0)], span)

        def maker(plan: LogicalPlan) -> tuple[LogicalPlan, Expression]:
            value = self.beside.settle(left[0])
            width = len(plan.schema.fields)
            plan, found = _beside(
                plan, values, [_equal(value, column(values, 0), width, span)], span
            )
            hit = bind_call("IS NOT NULL", [found], span)
            if not nullable:
                return plan, hit
            counted = _counts(inner, span)
            plan, rows = _beside(plan, counted, [], span)
            present = column(plan, len(plan.schema.fields) - 1)
            some = _positive(rows, span)
            unknown = bind_call(
                "OR",
                [
                    bind_call("IS NULL", [value], span),
                    bind_call("<", [present, rows], span),
                ],
                span,
            )
            nothing = null_literal(span)
            false = boolean_literal(False, span)
            return plan, bind_case(
                [hit, bind_call("NOT", [some], span), unknown],
                [boolean_literal(True, span), false, nothing, false],
                span,
            )

        return self.beside.add(probe.type.with_nullable(nullable), span, maker)


# Plans


def _compared(
    plan: LogicalPlan, test: _Test, left: Sequence[Expression], pulled: Pulled
) -> LogicalPlan:
    """`x < ANY (…)` and `x < ALL (…)`: a row is looked for that makes it true, or untrue."""
    if len(left) != 1:
        raise SqlError(f"{test.compare} compares one value, not {len(left)}", span=test.span)
    width = len(plan.schema.fields)
    holds = _equal(left[0], column(pulled.plan, 0), width, test.span, test.compare)
    # ANY is true if one comparison is, false if all are; ALL is true if all are, false if one is.
    if test.negated is test.every:
        found = bind_call("IS FALSE", [holds], test.span) if test.every else holds
    else:
        unlike = "IS NOT TRUE" if test.every else "IS NOT FALSE"
        found = bind_call(unlike, [holds], test.span)
    both = conjunction([found, *joined(pulled.conditions, width)])
    return SemiJoin(plan, pulled.plan, both, anti=test.negated is not test.every, span=test.span)


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


def _single_by(pulled: Pulled, span: Span) -> tuple[LogicalPlan, tuple[Expression, ...]]:
    """The one value by the columns that are compared with the row around."""
    keys, on = _keys(pulled, span)
    return _value_first(_single(keys, range(1, len(keys.schema.fields)), span), on)


def _counted(pulled: Pulled, span: Span) -> tuple[LogicalPlan, tuple[Expression, ...]]:
    """The number of rows by the columns that are compared with the row around."""
    if not pulled.conditions:
        return Aggregate(pulled.plan, (), (_count((), span),), ("count",), span=span), ()
    keys, on = _keys(pulled, span)
    width = len(keys.schema.fields)
    names = (*keys.schema.names[1:], "count")
    made = Aggregate(keys, tuple(range(1, width)), (_count((), span),), names, span=span)
    return _value_first(made, on)


def _value_first(
    made: Aggregate, on: Sequence[tuple[str, Expression]]
) -> tuple[LogicalPlan, tuple[Expression, ...]]:
    """The aggregate's value, then its keys; and what they are compared with."""
    width = len(made.schema.fields)
    order = [width - 1, *range(width - 1)]
    plan = Project(
        made, tuple(column(made, i) for i in order), tuple(made.schema.names[i] for i in order)
    )
    conditions = tuple(
        bind_call(symbol, [column(plan, i + 1), outer], outer.span)
        for i, (symbol, outer) in enumerate(on)
    )
    return plan, conditions


def _keys(pulled: Pulled, span: Span) -> tuple[Project, list[tuple[str, Expression]]]:
    """The sub-query's value and then what is compared with the row around."""
    expressions: list[Expression] = [column(pulled.plan, 0)]
    on: list[tuple[str, Expression]] = []
    for condition in pulled.conditions:
        sides = equality(condition)
        if sides is None:
            raise not_supported(
                "a sub-query as a value that is tied to the query around by more than equality",
                condition.span or span,
                "Aggregate in it, or write it as a join.",
            )
        own, symbol, outer = sides
        expressions.append(own)
        on.append((symbol, outer))
    names = ("value", *(f"key{i}" for i in range(len(on))))
    return Project(pulled.plan, tuple(expressions), names, span=span), on


def _count(args: tuple[Column, ...], span: Span) -> AggregateCall:
    return AggregateCall(
        function="COUNT", args=args, distinct=False, filter=None, type=_COUNT, span=span
    )


def _counts(inner: LogicalPlan, span: Span) -> Aggregate:
    """The number of rows, and of those that are not NULL."""
    calls = (_count((), span), _count((column(inner, 0),), span))
    return Aggregate(inner, (), calls, ("rows", "present"), span=span)


# Expressions


def _positive(count: Expression, span: Span) -> Expression:
    zero = number_literal("0", span)
    return bind_call(">", [bind_call("COALESCE", [count, zero], span), zero], span)


def _equal(
    left: Expression, right: Column, width: int, span: Span, symbol: str = "="
) -> Expression:
    placed = Column(
        type=without_time(right.type), index=right.index + width, name=right.name, span=span
    )
    left = _plain(left)
    if common_type([left.type, placed.type]) is None:
        raise SqlError(
            f"{left.type.with_nullable(True)} cannot be compared with "
            f"{placed.type.with_nullable(True)} of the sub-query",
            hint="CAST one of them.",
            span=left.span or span,
        )
    return bind_call(symbol, [left, placed], span)


def _plain(expression: Expression) -> Expression:
    return replace(expression, type=without_time(expression.type))


def _on_nothing(
    expression: Expression, plan: LogicalPlan, width: int, counts: set[int]
) -> Expression:
    """An expression over a global aggregate, whose row is missing where it has no input."""

    def put(e: Expression) -> Expression:
        if isinstance(e, Outer):
            return Column(type=e.type, index=e.index, name=e.name, span=e.span)
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


def _always_a_row(plan: LogicalPlan) -> bool:
    """Whether it has a row whatever its input, as a global aggregate has.

    EXISTS over it is TRUE from the start, also on a stream that gives no row before it has one.
    """
    match plan:
        case Aggregate():
            return not plan.keys or _always_a_row(plan.input)
        case Values():
            return bool(plan.rows)
        case Sort():
            return plan.fetch != 0 and not plan.offset and _always_a_row(plan.input)
        case Union():
            return any(map(_always_a_row, plan.parts))
        case _:
            return isinstance(plan, Project) and _always_a_row(plan.input)


def _one_of_outer(plan: LogicalPlan) -> bool:
    """Whether it is one row for each row around: a global aggregate that reads that."""
    while isinstance(plan, Project):
        plan = plan.input
    return isinstance(plan, Aggregate) and not plan.keys and reads_outer(plan)


def _check_width(plan: LogicalPlan, width: int, span: Span) -> None:
    found = len(plan.schema.fields)
    if found != width:
        plural = "" if found == 1 else "s"
        raise SqlError(
            f"the sub-query gives {found} column{plural}, not {width}",
            hint="Name what is compared in its SELECT.",
            span=span,
        )
