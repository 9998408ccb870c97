"""`ROW_NUMBER() OVER (PARTITION BY … ORDER BY …)`, RANK and DENSE_RANK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlglot import expressions as exp

from flowsql.errors import Refusals, SqlError, nearest
from flowsql.expr import Column, Expression
from flowsql.logical.attached import Attachments, Placeholder
from flowsql.logical.ordering import check_order, sort_key
from flowsql.logical.plan import LogicalPlan, Project
from flowsql.logical.plan_rows import Number, RankFunction, SortKey, column
from flowsql.logical.refusals import not_supported
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import BigIntType

__all__ = ["number"]


def number(
    node: d.FunctionCall,
    bind: Callable[[exp.Expr], Expression],
    windows: Mapping[str, exp.Expr],
    overs: Attachments,
    beside: Attachments,
) -> Placeholder:
    """The number of a row in its partition.

    Args:
        node: the call.
        bind: binds the expressions of its window.
        windows: those that WINDOW names.
        overs: where the number is attached.
        beside: where sub-queries of these expressions are.

    Raises:
        SqlError: it is another function, or its window is wrong.
    """
    span = span_of(node)
    try:
        function = RankFunction(node.function)
    except ValueError:
        raise not_supported(
            f'OVER with function "{node.function}"',
            span,
            "There are ROW_NUMBER() and, in batch mode, RANK() and DENSE_RANK(). For an aggregate of "
            "the whole partition, join with SELECT key, SUM(x) FROM t GROUP BY key.",
        ) from None
    if node.arguments or node.args.get("distinct") or node.args.get("filter"):
        raise SqlError(f'"{node.function}" takes no arguments', span=span)
    partition, order = _window(node.args["over"], windows)
    if not order and function is not RankFunction.ROW_NUMBER:
        raise SqlError(
            f'"{node.function}" needs ORDER BY in its window',
            hint=f"Write {node.function}() OVER (PARTITION BY … ORDER BY …).",
            span=span,
        )
    keys: list[Expression] = []
    refusals = Refusals()
    for node_of_key in (*partition, *(item.args["this"] for item in order)):
        with refusals.part():
            keys.append(bind(node_of_key))
    refusals.check()
    for key, item in zip(keys[len(partition) :], order, strict=True):
        check_order(key.type, span_of(item))

    def maker(plan: LogicalPlan) -> tuple[LogicalPlan, Expression]:
        plan, columns = _with([beside.settle(e) for e in keys], plan)
        count = len(partition)
        sort: list[SortKey] = []
        for at, item in zip(columns[count:], order, strict=True):
            if all(k.column != at for k in sort):
                sort.append(sort_key(item, at))
        unique = tuple(dict.fromkeys(columns[:count]))
        made = Number(plan, unique, tuple(sort), function, "number", span=span)
        return made, column(made, len(made.schema.fields) - 1)

    # What SELECT shows and QUALIFY asks for is one number: only then does it end a Top-N.
    ways = tuple(sort_key(item, 0) for item in order)
    same = (function, len(partition), tuple(keys), ways)
    return overs.add(BigIntType(nullable=False), span, maker, same)


def _window(
    over: exp.Expr, windows: Mapping[str, exp.Expr]
) -> tuple[Sequence[exp.Expr], Sequence[exp.Expr]]:
    """PARTITION BY and ORDER BY."""
    if isinstance(over, exp.Identifier):
        return _window(_named(over, windows), windows)
    base: tuple[Sequence[exp.Expr], Sequence[exp.Expr]] = ((), ())
    if over.args.get("this") is not None:
        base = _window(_named(over.args["this"], windows), windows)
    if over.args.get("frame") is not None:
        raise SqlError(
            "the window of a row number has no ROWS or RANGE", span=span_of(over.args["frame"])
        )
    return over.args.get("partition") or base[0], over.args.get("order") or base[1]


def _named(name: exp.Expr, windows: Mapping[str, exp.Expr]) -> exp.Expr:
    found = windows.get(name.this)
    if found is None:
        near = nearest(name.this, windows)
        raise SqlError(
            f'window "{name.this}" does not exist',
            hint=f'Did you mean "{near}"?' if near else "Declare it: WINDOW name AS (…).",
            span=span_of(name),
        )
    return found


def _with(values: Sequence[Expression], plan: LogicalPlan) -> tuple[LogicalPlan, list[int]]:
    """The plan with the values among its columns, and where they stand."""
    width = len(plan.schema.fields)
    added: list[Expression] = []
    places: list[int] = []
    for value in values:
        if isinstance(value, Column):
            places.append(value.index)
            continue
        if value not in added:
            added.append(value)
        places.append(width + added.index(value))
    if added:
        own = [column(plan, i) for i in range(width)]
        names = (*plan.schema.names, *(f"key{width + i}" for i in range(len(added))))
        plan = Project(plan, (*own, *added), names)
    return plan, places
