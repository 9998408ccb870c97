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
from flowsql.expr import Column, Expression, bind_call, boolean_literal, common_type
from flowsql.logical.attached import Attachments
from flowsql.logical.correlation import Pulled, conjunction, joined, reads_outer
from flowsql.logical.dependent import depend, tied
from flowsql.logical.plan import Aggregate, Filter, LogicalPlan, Project, without_time
from flowsql.logical.plan_rows import SemiJoin, column
from flowsql.logical.subquery_values import (
    always_a_row,
    comparison_beside,
    found_beside,
    value_beside,
)
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import NullType

if TYPE_CHECKING:
    from flowsql.logical.queries import Names, QueryBinder

__all__ = ["Bind", "SubQueries", "chosen_by"]

Bind = Callable[[exp.Expr], Expression]


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
            if always_a_row(inner):
                never = boolean_literal(False, test.span)
                return Filter(plan, never, span=test.span) if test.negated else plan
            pulled = tied(inner, plan, test.span)
            width = len(plan.schema.fields)
            condition = conjunction(joined(pulled.conditions, width))
            return SemiJoin(plan, pulled.plan, condition, anti=test.negated, span=test.span)
        left = [bind(e) for e in test.left]
        _check_width(inner, len(left), test.span)
        if len(left) == 1 and _one_of_outer(inner):
            return self._compare(plan, test, left[0], inner)
        plan = self.beside.attach(plan)
        left = [self.beside.settle(e) for e in left]
        pulled = tied(inner, plan, test.span)
        if pulled.grouped:
            pulled = depend(inner, plan, test.span)
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
        return self.beside.add(kind, span, lambda plan: value_beside(plan, inner, span))

    def exists(self, node: exp.Expr) -> Expression:
        """EXISTS as a value."""
        span = span_of(node)
        inner = self._queries.query(_query(node.args["this"]), self._names)
        if always_a_row(inner):
            return boolean_literal(True, span)
        kind = boolean_literal(True, span).type
        return self.beside.add(kind, span, lambda plan: found_beside(plan, inner, span))

    def member(self, node: exp.Expr, bind: Bind) -> Expression:
        """`x IN (SELECT …)`, or a comparison with ANY or ALL, as a value: TRUE, FALSE or NULL."""
        test = chosen_by(node)
        assert test is not None
        assert test.left is not None
        span = test.span
        inner = self._queries.query(test.query, self._names)
        left = [bind(e) for e in test.left]
        _check_width(inner, len(left), span)
        if test.compare != "=":
            _check_one(test, left)
        holds = [_equal(e, column(inner, i), 0, span, test.compare) for i, e in enumerate(left)]

        def maker(plan: LogicalPlan) -> tuple[LogicalPlan, Expression]:
            values = [self.beside.settle(_plain(e)) for e in left]
            return comparison_beside(plan, inner, values, test.compare, span, every=test.every)

        kind = holds[0].type.with_nullable(any(h.type.nullable for h in holds))
        found = self.beside.add(kind, span, maker)
        return bind_call("NOT", [found], span) if test.negated else found


# Plans


def _compared(
    plan: LogicalPlan, test: _Test, left: Sequence[Expression], pulled: Pulled
) -> LogicalPlan:
    """`x < ANY (…)` and `x < ALL (…)`: a row is looked for that makes it true, or untrue."""
    _check_one(test, left)
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


def _check_one(test: _Test, left: Sequence[Expression]) -> None:
    if len(left) != 1:
        raise SqlError(f"{test.compare} compares one value, not {len(left)}", span=test.span)


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
