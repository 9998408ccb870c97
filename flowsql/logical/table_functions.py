"""The table functions there are, and which are Flink's but not built yet."""

from __future__ import annotations

from flowsql.errors import SqlError, nearest
from flowsql.logical.changelogs import bind_from_changelog, bind_to_changelog
from flowsql.logical.plan import LogicalPlan
from flowsql.logical.refusals import not_supported
from flowsql.logical.table_calls import TableBinder
from flowsql.logical.tumble import bind_tumble
from flowsql.sql import dialect as d
from flowsql.sql.dialect import span_of

__all__ = ["bind_table_function"]

_BINDERS = {
    "FROM_CHANGELOG": bind_from_changelog,
    "TO_CHANGELOG": bind_to_changelog,
    "TUMBLE": bind_tumble,
}
# Functions of Flink that are not built yet, and what to do instead.
_LATER = {
    "CUMULATE": "Use TUMBLE with the size of the step, or with that of the whole window.",
    "HOP": "Put one TUMBLE(TABLE t, DESCRIPTOR(ts), size, offset) for each offset into a UNION ALL: "
    "its windows do not overlap.",
    "ML_EVALUATE": None,
    "ML_PREDICT": None,
    "SESSION": "Use TUMBLE, whose windows are of one size: "
    "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE).",
    "VECTOR_SEARCH": None,
}


def bind_table_function(
    call: d.FunctionCall, table: TableBinder, *, streaming: bool
) -> LogicalPlan:
    """The plan of `TABLE(f(…))` or `f(…)` behind FROM.

    Args:
        call: the call.
        table: binds a table argument.
        streaming: not batch mode.

    Raises:
        SqlError: there is no such function, or its arguments are wrong.
    """
    name = call.function
    binder = _BINDERS.get(name)
    if binder is not None:
        return binder(call, table, streaming=streaming)
    if name in _LATER:
        raise not_supported(f'table function "{name}"', span_of(call), _LATER[name])
    near = nearest(name, (*_BINDERS, *_LATER))
    raise SqlError(
        f'table function "{name}" does not exist',
        hint=f'Did you mean "{near}"?' if near else f"There are {', '.join(_BINDERS)}.",
        span=span_of(call),
    )
