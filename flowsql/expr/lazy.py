"""CASE, COALESCE, AND and OR: a branch is computed only on the rows that reach it.

Branches that cannot fail and cost little (`total`: columns, constants, comparisons, integer sums)
are computed on all rows and merged: three kernels instead of filter, compute, scatter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.frame import Frame
from flowsql.expr.vector import Value, as_array, build, mask_of, null_mask, true_mask

__all__ = ["Branch", "Run", "conjunction", "first_not_null", "searched_case"]

Run = Callable[[Frame], Value]

_EAGER_BRANCHES = 8

_if_else = pc.get_function("if_else").call
_and = pc.get_function("and_kleene").call
_or = pc.get_function("or_kleene").call
_fill_null = pc.get_function("coalesce").call


class Branch:
    """A compiled operand: how to compute it, and whether any row may be given to it."""

    __slots__ = ("run", "total")

    def __init__(self, run: Run, total: bool) -> None:
        self.run = run
        self.total = total


def searched_case(conditions: Sequence[Branch], results: Sequence[Branch], arrow: Any) -> Run:
    """CASE WHEN conditions[i] THEN results[i] … ELSE results[-1] END of type `arrow`."""
    count = len(conditions)
    if count <= _EAGER_BRANCHES and all(b.total for b in (*conditions, *results)):
        eager = not pa.types.is_nested(arrow)
        if eager:
            return _eager_case(conditions, results)

    def run(frame: Frame) -> Value:
        return _scatter(frame, _case_pieces(frame, conditions, results), arrow)

    return run


def _eager_case(conditions: Sequence[Branch], results: Sequence[Branch]) -> Run:
    pairs = [(c.run, r.run) for c, r in zip(conditions, results[:-1], strict=True)][::-1]
    otherwise = results[-1].run
    false = pa.scalar(False, pa.bool_())

    def run(frame: Frame) -> Value:
        value = otherwise(frame)
        for condition, result in pairs:
            chosen = condition(frame)
            if isinstance(chosen, pa.Scalar):
                value = result(frame) if chosen.as_py() else value
                continue
            if chosen.null_count:
                chosen = _fill_null([chosen, false])
            value = _if_else([chosen, result(frame), value])
        return value

    return run


def _case_pieces(
    frame: Frame, conditions: Sequence[Branch], results: Sequence[Branch]
) -> list[tuple[Any, Value]]:
    """The computed branches as (row numbers | None for all, value)."""
    pieces: list[tuple[Any, Value]] = []
    pending: Any = None
    left = frame
    for condition, result in zip(conditions, results[:-1], strict=True):
        chosen = condition.run(left)
        if isinstance(chosen, pa.Scalar):
            if chosen.as_py():
                pieces.append((pending, result.run(left)))
                return pieces
            continue
        mask = true_mask(chosen, left.rows)
        hits = int(np.count_nonzero(mask))
        if hits == 0:
            continue
        if hits == left.rows:
            pieces.append((pending, result.run(left)))
            return pieces
        own = np.flatnonzero(mask)
        rest = np.flatnonzero(~mask)
        rows = own if pending is None else pending[own]
        pieces.append((rows, result.run(left.select(pa.array(own)))))
        pending = rest if pending is None else pending[rest]
        left = left.select(pa.array(rest))
    pieces.append((pending, results[-1].run(left)))
    return pieces


def _scatter(frame: Frame, pieces: list[tuple[Any, Value]], arrow: Any) -> Value:
    """One column of the pieces, each at its rows."""
    if len(pieces) == 1 and pieces[0][0] is None:
        return pieces[0][1]
    place = np.empty(frame.rows, dtype=np.int64)
    arrays = []
    start = 0
    for rows, value in pieces:
        place[rows] = np.arange(start, start + len(rows))
        start += len(rows)
        arrays.append(as_array(value, len(rows)))
    joined = pa.concat_arrays([a if a.type == arrow else a.cast(arrow) for a in arrays])
    return joined.take(pa.array(place))


def first_not_null(operands: Sequence[Branch], arrow: Any) -> Run:
    """COALESCE."""
    if len(operands) <= _EAGER_BRANCHES and all(b.total for b in operands):
        runs = [b.run for b in operands]
        return lambda frame: _fill_null([run(frame) for run in runs])

    def run(frame: Frame) -> Value:
        pieces: list[tuple[Any, Value]] = []
        pending: Any = None
        left = frame
        for operand in operands[:-1]:
            value = operand.run(left)
            if isinstance(value, pa.Scalar):
                if value.is_valid:
                    pieces.append((pending, value))
                    return _scatter(frame, pieces, arrow)
                continue
            if value.null_count == 0:
                pieces.append((pending, value))
                return _scatter(frame, pieces, arrow)
            if value.null_count == left.rows:
                continue
            nulls = null_mask(value)
            own, rest = np.flatnonzero(~nulls), np.flatnonzero(nulls)
            pieces.append((own if pending is None else pending[own], value.take(pa.array(own))))
            pending = rest if pending is None else pending[rest]
            left = left.select(pa.array(rest))
        pieces.append((pending, operands[-1].run(left)))
        return _scatter(frame, pieces, arrow)

    return run


def conjunction(operands: Sequence[Branch], *, every: bool) -> Run:
    """AND (`every`) or OR of the operands, three-valued, from left to right.

    An operand is not computed for rows that those before it have decided.
    """
    merge = _and if every else _or
    if all(b.total for b in operands[1:]):
        runs = [b.run for b in operands]

        def eager(frame: Frame) -> Value:
            value = runs[0](frame)
            for other in runs[1:]:
                value = merge([value, other(frame)])
            return value

        return eager

    def run(frame: Frame) -> Value:
        value = operands[0].run(frame)
        for operand in operands[1:]:
            if isinstance(value, pa.Scalar):
                if value.is_valid and value.as_py() is not every:
                    return value
                value = merge([value, operand.run(frame)])
                continue
            open_rows = ~_decided(value, every)
            count = int(np.count_nonzero(open_rows))
            if count == 0:
                return value
            if operand.total or count == frame.rows:
                value = merge([value, operand.run(frame)])
                continue
            rows = np.flatnonzero(open_rows)
            part = operand.run(frame.select(pa.array(rows)))
            value = merge([value, _spread(part, rows, frame.rows, every)])
        return value

    return run


def _decided(value: Any, every: bool) -> Any:
    """Rows whose result no further operand can change: FALSE in AND, TRUE in OR."""
    if every:
        return true_mask(pc.invert(value), len(value))
    return true_mask(value, len(value))


def _spread(part: Value, rows: Any, count: int, fill: bool) -> Any:
    """The part's values at their rows, and the neutral `fill` elsewhere."""
    array = as_array(part, len(rows))
    truth = np.full(count, fill)
    nulls = np.zeros(count, dtype=bool)
    truth[rows] = true_mask(array, len(rows))
    nulls[rows] = null_mask(array)
    return build(truth, pa.bool_(), nulls) if nulls.any() else mask_of(truth)
