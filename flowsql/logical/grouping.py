"""GROUP BY: keys and aggregate calls, and what SELECT and HAVING may name of them."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import expressions as exp

from flowsql.errors import SqlError
from flowsql.expr import (
    AggregateCall,
    Column,
    Expression,
    Literal,
    bind_aggregate_call,
    is_aggregate,
    render,
)
from flowsql.logical.expressions import ExpressionBinder, aggregates_in, is_aggregate_call
from flowsql.logical.plan import Aggregate, LogicalPlan, Project
from flowsql.logical.refusals import not_supported
from flowsql.logical.windows import window_keys
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import BigIntType, DataType

__all__ = ["Groups"]


class Groups:
    """Collects the keys and calls of one grouped SELECT; then `plan` makes the nodes.

    The input of the aggregate is a projection to the keys, the arguments and the filters. A key or
    call becomes a column of the aggregate's output the moment it is matched.
    """

    def __init__(self, binder: ExpressionBinder, keys: list[exp.Expr], source: LogicalPlan) -> None:
        self._binder = binder
        self._source = source
        self._columns: list[Expression] = []
        self._calls: list[AggregateCall] = []
        self._keys: list[Expression] = []
        for node in keys:
            if aggregates_in(node):
                raise SqlError("an aggregate cannot stand in GROUP BY", span=span_of(node))
            key = binder.bind(node)
            if key not in self._keys:
                self._keys.append(key)
                self._columns.append(key)
        self._windows = window_keys(source, self._keys)

    def match(self, node: exp.Expr) -> Expression | None:
        """The output column that `node` is, or None."""
        if isinstance(node, d.FunctionCall) and is_aggregate_call(node):
            return self._aggregate(node)
        if aggregates_in(node) or isinstance(node, exp.Literal | exp.Null | exp.Boolean | d.Symbol):
            return None
        if isinstance(node, exp.Star | d.StarOf | d.NamedArgument):
            return None
        bound = self._binder.bind(node)
        if bound not in self._keys or isinstance(bound, Literal):
            return None
        index = self._keys.index(bound)
        return Column(
            type=self._key_type(index), index=index, name=_name(bound), span=span_of(node)
        )

    def _key_type(self, index: int) -> DataType:
        aggregate = self._node(self._source)
        return aggregate.schema.types[index]

    def refuse(self, node: d.ColumnReference) -> SqlError:
        """The error for a column that is neither a key nor in an aggregate."""
        name = ".".join(node.parts)
        return SqlError(
            f'column "{name}" is neither in GROUP BY nor in an aggregate',
            hint=f"Add {name} to GROUP BY, or take MIN({name}) or MAX({name}).",
            span=span_of(node),
        )

    def _aggregate(self, node: d.FunctionCall) -> Column:
        span = span_of(node)
        name = node.function
        if not is_aggregate(name):
            raise not_supported(f'aggregate function "{name}"', span)
        if node.args.get("order"):
            raise not_supported(f'"{name}" with ORDER BY', span)
        distinct = bool(node.args.get("distinct"))
        given: list[Expression] = []
        for arg in node.arguments:
            if isinstance(arg, exp.Star):
                if name != "COUNT" or len(node.arguments) > 1 or distinct:
                    raise SqlError(f'"{name}" does not take *', hint="Use COUNT(*).", span=span)
                continue
            inner = aggregates_in(arg)
            if inner:
                raise SqlError(
                    f'aggregate function "{inner[0].function}" cannot stand in "{name}"',
                    hint="Aggregate in a sub-query first.",
                    span=span_of(inner[0]),
                )
            given.append(self._binder.value(arg))
        if not given and not any(isinstance(a, exp.Star) for a in node.arguments):
            raise SqlError(f'"{name}" needs an argument', span=span)
        clauses = {c.args["kind"]: c.args["this"] for c in node.args.get("clauses") or ()}
        bound = bind_aggregate_call(
            name,
            given,
            distinct=distinct,
            on_null=clauses.get("ON NULL"),
            nulls=node.args.get("nulls"),
            span=span,
        )
        kind = bound.type
        args = [self._input(a) for a in bound.args]
        filtered = None
        if node.args.get("filter") is not None:
            inner = aggregates_in(node.args["filter"])
            if inner:
                raise SqlError("an aggregate cannot stand in FILTER", span=span_of(inner[0]))
            inside = ExpressionBinder(self._binder.scope, "FILTER")
            filtered = self._input(inside.condition(node.args["filter"]))
        if isinstance(kind, BigIntType) and name in {"COUNT", "APPROX_COUNT_DISTINCT"}:
            distinct = distinct or name != "COUNT"
            # A NOT NULL argument is counted like *, unless it is the distinct values that count.
            if not distinct and not any(a.type.nullable for a in args):
                args = []
        elif (not self._keys or filtered is not None) and not bound.never_null:
            kind = kind.with_nullable(True)
        call = AggregateCall(
            function=name,
            args=tuple(args),
            # The extremes of the distinct values are the extremes.
            distinct=distinct and name not in {"MIN", "MAX"},
            filter=filtered,
            type=kind,
            constants=bound.constants,
            span=span,
        )
        if call not in self._calls:
            self._calls.append(call)
        index = len(self._keys) + self._calls.index(call)
        return Column(type=kind, index=index, name=f"agg{self._calls.index(call)}", span=span)

    def _input(self, expression: Expression) -> Column:
        if expression not in self._columns:
            self._columns.append(expression)
        index = self._columns.index(expression)
        return Column(
            type=expression.type, index=index, name=_name(expression), span=expression.span
        )

    def _node(self, source: LogicalPlan) -> Aggregate:
        below = Project(source, tuple(self._columns), tuple(map(_name, self._columns)))
        names = [_name(k) for k in self._keys]
        names += [f"agg{i}" for i in range(len(self._calls))]
        return Aggregate(
            below, tuple(range(len(self._keys))), tuple(self._calls), tuple(names), self._windows
        )

    def plan(self) -> Aggregate:
        """The aggregate over its projection; call when all of SELECT and HAVING is bound."""
        node = self._node(self._source)
        first = next((c.span for c in self._calls if c.span is not None), None)
        if first is None:
            first = next((k.span for k in self._keys if k.span is not None), None)
        return replace(node, span=first)


def _name(expression: Expression) -> str:
    return expression.name if isinstance(expression, Column) else render(expression)
