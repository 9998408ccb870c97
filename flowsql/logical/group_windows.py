"""`GROUP BY TUMBLE(ts, INTERVAL '5' SECOND)`, Flink's older way to group by windows.

It means the same as TUMBLE as a table function with `window_start` and `window_end` as keys, and is
bound to that; `TUMBLE_START`, `TUMBLE_END` and `TUMBLE_ROWTIME` of the same arguments are the window's
columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.expr import Column, Expression
from flowsql.logical.expressions import ExpressionBinder
from flowsql.logical.plan import LogicalPlan, Tumble, Window
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import Scope
from flowsql.logical.tumble import tumble_by
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of

__all__ = ["GroupWindow", "group_window"]

_COLUMNS = {
    "TUMBLE_START": Window.START,
    "TUMBLE_END": Window.END,
    "TUMBLE_ROWTIME": Window.TIME,
}


@dataclass(frozen=True, slots=True)
class GroupWindow:
    """A window function of GROUP BY.

    Attributes:
        call: as written.
        plan: the input with its windows.
        scope: what expressions over it may name: the input's columns.
    """

    call: d.FunctionCall
    plan: Tumble
    scope: Scope

    def keys(self) -> list[Expression]:
        """The window's columns, by which rows are grouped."""
        return [self._column(w, span_of(self.call)) for w in Window]

    def look(self, node: d.FunctionCall) -> Expression | None:
        """The key that TUMBLE_START and its kin mean; None for any other call.

        Raises:
            SqlError: it asks for another window.
        """
        window = _COLUMNS.get(node.function)
        if window is None:
            return None
        if node.arguments != self.call.arguments:
            raise SqlError(
                f'"{node.function}" asks for a window that is not in GROUP BY',
                hint=f"Give it the arguments of {self.call.function} in GROUP BY.",
                span=span_of(node),
            )
        return self._column(window, span_of(node))

    def _column(self, window: Window, span: Span | None) -> Column:
        at = len(self.plan.input.schema.fields) + list(Window).index(window)
        found = self.plan.schema.fields[at]
        return Column(type=found.type, index=at, name=found.name, span=span)


def group_window(
    sets: Sequence[Sequence[exp.Expr]], plan: LogicalPlan, scope: Scope, *, streaming: bool
) -> GroupWindow | None:
    """The window function among the keys of GROUP BY, or None.

    Args:
        sets: the keys, by grouping set.
        plan: the input.
        scope: its columns.
        streaming: whether the time column must have a watermark.

    Raises:
        SqlError: it is not supported, or its arguments are wrong.
    """
    calls = [
        node
        for nodes in sets
        for node in nodes
        if isinstance(node, d.FunctionCall) and node.function == "TUMBLE"
    ]
    if not calls:
        return None
    span = span_of(calls[0])
    if len(sets) > 1 or len(calls) > 1:
        raise not_supported('more than one grouping set or window with "TUMBLE"', span)
    taken = [w.value for w in Window if w.value in plan.schema.names]
    if taken:
        raise SqlError(
            f'the input of TUMBLE has a column "{taken[0]}" already',
            hint=f"Give it another name in a sub-query: SELECT {taken[0]} AS …",
            span=span,
        )
    if len(calls[0].arguments) != 2:
        raise SqlError(
            '"TUMBLE" in GROUP BY takes a time column and a size',
            hint="Write GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE).",
            span=span,
        )
    column, size = calls[0].arguments
    time = ExpressionBinder(scope, "GROUP BY").bind(column)
    made = tumble_by(plan, time, size, span=span, at=span_of(column), streaming=streaming)
    width = len(plan.schema.fields)
    hidden = scope.hidden | {width + i for i in range(len(Window))}
    return GroupWindow(calls[0], made, replace(scope, row=made.schema, hidden=hidden))
