"""A filter by the number of a row in its partition becomes a Top-N.

    Filter(rn <= 3)  over  Number(ROW_NUMBER, partition=[a], order=[b])
    →  Rank(ROW_NUMBER, partition=[a], order=[b], 1 to 3)

The number may be compared with constants, or with a column that has one value in a partition.
"""

from __future__ import annotations

from flowsql.expr import Call, Cast, Column, Expression, Literal, columns_read
from flowsql.logical import Filter, LogicalPlan, Number, PlanSettings, Rank, Values
from flowsql.optimizer.rewrite import bottom_up, conjunction, conjuncts

__all__ = ["rank_rows"]

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INT", "BIGINT"})
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def rank_rows(plan: LogicalPlan, settings: PlanSettings) -> LogicalPlan:
    """The plan with every number that is filtered as a Top-N."""
    del settings
    return bottom_up(plan, _rank)


def _rank(node: LogicalPlan) -> LogicalPlan:
    if not isinstance(node, Filter) or not isinstance(node.input, Number):
        return node
    below = node.input
    number = len(below.schema.fields) - 1
    start, end, end_column = 1, None, None
    rest: list[Expression] = []
    for part in conjuncts(node.condition):
        bounds = _bounds(part, number)
        if bounds is not None:
            low, high = bounds
            start = max(start, low)
            end = high if end is None or (high is not None and high < end) else end
            continue
        column = _column(part, number, below.partition)
        if column is not None and end_column is None:
            end_column = column
            continue
        rest.append(part)
    if end is None and end_column is None:
        return node
    if end is not None and end < start:
        return Values(node.schema, (), span=node.span)
    if end is not None and end_column is not None:
        # One of them is enough to stop; the other is a plain condition.
        rest += [
            p for p in conjuncts(node.condition) if _column(p, number, below.partition) is not None
        ]
        end_column = None
    ranked = Rank(
        below.input,
        below.partition,
        below.order,
        below.function,
        start,
        end,
        end_column,
        below.name,
        span=below.span,
    )
    condition = conjunction(rest)
    return ranked if condition is None else Filter(ranked, condition, span=condition.span)


def _compared(part: Expression, number: int) -> tuple[str, Expression] | None:
    """The comparison of the number with another value, the number on its left."""
    if not isinstance(part, Call) or part.function not in _TURNED:
        return None
    a, b = map(_bare, part.args)
    if isinstance(a, Column) and a.index == number and number not in columns_read(b):
        return part.function, b
    if isinstance(b, Column) and b.index == number and number not in columns_read(a):
        return _TURNED[part.function], a
    return None


def _bare(expression: Expression) -> Expression:
    """A column below casts that keep its value: INT and BIGINT are compared as BIGINT."""
    while (
        isinstance(expression, Cast)
        and expression.type.root == "BIGINT"
        and expression.arg.type.root in _WHOLE
    ):
        expression = expression.arg
    return expression


def _bounds(part: Expression, number: int) -> tuple[int, int | None] | None:
    """First and last number that pass; None for another condition."""
    if isinstance(part, Call) and part.function == "BETWEEN":
        value, low, high = map(_bare, part.args)
        if isinstance(value, Column) and value.index == number:
            ends = [e.value for e in (low, high) if isinstance(e, Literal)]
            if len(ends) == 2 and all(isinstance(e, int) for e in ends):
                return int(ends[0] or 0), int(ends[1] or 0)
        return None
    found = _compared(part, number)
    if found is None:
        return None
    symbol, other = found
    limit = other.value if isinstance(other, Literal) else None
    if not isinstance(limit, int):
        return None
    match symbol:
        case "<":
            return 1, limit - 1
        case "<=":
            return 1, limit
        case ">":
            return limit + 1, None
        case ">=":
            return limit, None
        case _:
            return limit, limit


def _column(part: Expression, number: int, partition: tuple[int, ...]) -> int | None:
    """The partition's column that the number may not pass (`rn <= n`)."""
    found = _compared(part, number)
    if found is None or found[0] != "<=" or not isinstance(found[1], Column):
        return None
    return found[1].index if found[1].index in partition else None
