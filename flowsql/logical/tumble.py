"""`TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE [, offset])`, by position or by name."""

from __future__ import annotations

from sqlglot import expressions as exp

from flowsql.errors import Span, SqlError
from flowsql.expr import Column, Expression, Literal, bind_call
from flowsql.logical.expressions import ExpressionBinder
from flowsql.logical.plan import Filter, LogicalPlan, Tumble, Window
from flowsql.logical.plan_rows import column
from flowsql.logical.refusals import not_supported
from flowsql.logical.scope import Scope
from flowsql.logical.table_calls import (
    TableBinder,
    column_named,
    input_table,
    named_arguments,
    one_column,
)
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of
from flowsql.types import (
    DataType,
    DayTimeIntervalType,
    LocalZonedTimestampType,
    RowType,
    TimeAttribute,
    TimestampType,
)

__all__ = ["bind_tumble", "tumble_by"]

_NAMES = ("DATA", "TIMECOL", "SIZE", "OFFSET")


def bind_tumble(call: d.FunctionCall, table: TableBinder, *, streaming: bool) -> Tumble:
    """The window assignment of a TUMBLE call.

    Args:
        call: the call.
        table: binds the table argument.
        streaming: whether the time column must have a watermark.

    Raises:
        SqlError: an argument is missing, unknown or of the wrong kind.
    """
    span = span_of(call)
    given = named_arguments(call, _NAMES, _USAGE)
    for name in _NAMES[:3]:
        if name not in given:
            raise SqlError(f'TUMBLE needs argument "{name}"', hint=_USAGE, span=span)
    source = input_table(given["DATA"], "TUMBLE", "DATA", table, _USAGE)
    if source.partition or source.order:
        raise not_supported("PARTITION BY or ORDER BY of TUMBLE", source.span)
    plan = source.plan
    taken = [w.value for w in Window if w.value in plan.schema.names]
    if taken:
        raise SqlError(
            f'the table of TUMBLE has a column "{taken[0]}" already',
            hint=f"Give it another name in a sub-query: SELECT {taken[0]} AS …",
            span=source.span,
        )
    time = _time_column(given["TIMECOL"], plan.schema, streaming=streaming)
    size = _interval(given["SIZE"], "size")
    if size <= 0:
        raise SqlError("the size of TUMBLE must be positive", span=span_of(given["SIZE"]))
    offset = _interval(given["OFFSET"], "offset") if "OFFSET" in given else 0
    if abs(offset) >= size:
        raise SqlError(
            "the offset of TUMBLE must be smaller than its size", span=span_of(given["OFFSET"])
        )
    return Tumble(_timed(plan, time, span, streaming=streaming), time, size, offset, span=span)


def tumble_by(
    plan: LogicalPlan,
    time: Expression,
    size: exp.Expr,
    *,
    span: Span | None,
    at: Span | None,
    streaming: bool,
) -> Tumble:
    """The window assignment of TUMBLE in GROUP BY.

    Args:
        plan: the input.
        time: its time column.
        size: the length of a window, as written.
        span: of the call.
        at: of the time column.
        streaming: whether the time column must have a watermark.

    Raises:
        SqlError: an argument is of the wrong kind.
    """
    if not isinstance(time, Column):
        raise SqlError("the time of TUMBLE must be a column", hint=_GROUPED, span=at)
    _require_time(time.type, time.name, at, streaming=streaming)
    length = _interval(size, "size")
    if length <= 0:
        raise SqlError("the size of TUMBLE must be positive", span=span_of(size))
    timed = _timed(plan, time.index, span, streaming=streaming)
    return Tumble(timed, time.index, length, span=span)


def _timed(plan: LogicalPlan, time: int, span: Span | None, *, streaming: bool) -> LogicalPlan:
    """The rows that have a time: others are in no window, and end a job on a stream before."""
    if streaming or not plan.schema.types[time].nullable:
        return plan
    return Filter(plan, bind_call("IS NOT NULL", [column(plan, time)], span), span=span)


_GROUPED = "Write GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)."
_USAGE = "Write TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)."


def _time_column(node: exp.Expr, row: RowType, *, streaming: bool) -> int:
    name = one_column(node, "the time column of TUMBLE", _USAGE)
    span = span_of(name)
    index = column_named(name.this, row, "TUMBLE", span)
    _require_time(row.types[index], name.this, span, streaming=streaming)
    return index


def _require_time(kind: DataType, name: str, span: Span | None, *, streaming: bool) -> None:
    if not isinstance(kind, TimestampType | LocalZonedTimestampType):
        raise SqlError(
            f'TUMBLE needs a time attribute, but "{name}" is {kind}',
            hint="Name a TIMESTAMP(3) or TIMESTAMP_LTZ(3) column that has a watermark.",
            span=span,
        )
    if kind.attribute is TimeAttribute.PROCTIME:
        raise not_supported("TUMBLE over processing time", span)
    if streaming and kind.attribute is not TimeAttribute.ROWTIME:
        raise _no_watermark(name, span)


def _no_watermark(name: str, span: Span | None) -> SqlError:
    return SqlError(
        f'TUMBLE needs a time attribute, but "{name}" has no watermark',
        detail="A time attribute is also lost behind an expression, a GROUP BY and a join.",
        hint=f"Declare WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND in its CREATE TABLE.",
        span=span,
    )


def _interval(node: exp.Expr, what: str) -> int:
    value = ExpressionBinder(Scope(RowType((), nullable=False)), "TUMBLE").bind(node)
    if not isinstance(value, Literal) or not isinstance(value.type, DayTimeIntervalType):
        raise SqlError(
            f"the {what} of TUMBLE must be an interval of days to seconds",
            hint=_USAGE,
            span=span_of(node),
        )
    assert isinstance(value.value, int)
    return value.value
