"""Which columns of a plan say to which window a row belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowsql.expr import Column, Expression
from flowsql.logical.plan import Aggregate, Filter, LogicalPlan, Project, Tumble, Window
from flowsql.logical.plan_rows import Expand

__all__ = ["window_columns", "window_keys"]


def window_columns(plan: LogicalPlan) -> Mapping[int, Window]:
    """Output column → what it says of the row's window.

    Known from TUMBLE on, through projections, filters and windowed aggregates; a join or a union
    ends it.
    """
    match plan:
        case Tumble():
            width = len(plan.schema.fields)
            return {
                width - 3: Window.START,
                width - 2: Window.END,
                width - 1: Window.TIME,
            }
        case Filter():
            return window_columns(plan.input)
        case Project():
            below = window_columns(plan.input)
            return {
                i: below[e.index]
                for i, e in enumerate(plan.expressions)
                if isinstance(e, Column) and e.index in below
            }
        case Expand():
            below = window_columns(plan.input)
            return {
                i: below[values[0].index]
                for i, values in enumerate(zip(*plan.projections, strict=True))
                if isinstance(values[0], Column)
                and values[0].index in below
                and all(v == values[0] for v in values)
            }
        case Aggregate():
            meaning = dict(plan.window)
            return {i: meaning[k] for i, k in enumerate(plan.keys) if k in meaning}
        case _:
            return {}


def window_keys(source: LogicalPlan, keys: Sequence[Expression]) -> tuple[tuple[int, Window], ...]:
    """What the keys of a GROUP BY over `source` say of windows, by position among the keys.

    Empty unless both bounds of the window are keys: the groups are not those of windows then.
    """
    known = window_columns(source)
    found = tuple(
        (i, known[k.index])
        for i, k in enumerate(keys)
        if isinstance(k, Column) and k.index in known
    )
    meanings = {w for _, w in found}
    return found if {Window.START, Window.END} <= meanings else ()
