"""The one table of all scalar functions and operators."""

from __future__ import annotations

from collections.abc import Iterable

from flowsql.errors import InternalError
from flowsql.expr.functions import (
    arithmetic,
    arrays,
    bitmaps,
    collections,
    comparison,
    conditional,
    encodings,
    json,
    json_build,
    like,
    logic,
    math,
    misc,
    printf,
    regexps,
    strings,
    structured,
    temporal,
    temporal_text,
    variants,
)
from flowsql.expr.nodes import Call
from flowsql.expr.python_calls import python_function, python_overload
from flowsql.expr.python_functions import PREFIX
from flowsql.expr.registry import Function, Overload

__all__ = ["all_functions", "find_function", "overload_of"]

_FAMILIES = (
    arithmetic,
    arrays,
    bitmaps,
    collections,
    comparison,
    conditional,
    encodings,
    json,
    json_build,
    like,
    logic,
    math,
    misc,
    printf,
    regexps,
    strings,
    structured,
    temporal,
    temporal_text,
    variants,
)


def _table(families: Iterable[object]) -> dict[str, Function]:
    table: dict[str, Function] = {}
    for family in families:
        for function in family.FUNCTIONS:  # type: ignore[attr-defined]
            for name in (function.name, *function.aliases):
                if name in table:
                    raise InternalError(f'function "{name}" is defined twice')
                table[name] = function
    return table


_TABLE = _table(_FAMILIES)


def find_function(name: str) -> Function | None:
    """The function of that name in upper case, or at the place behind `PREFIX`; or None."""
    if name.startswith(PREFIX):
        return python_function(name.removeprefix(PREFIX))
    return _TABLE.get(name)


def all_functions() -> dict[str, Function]:
    """Every name, aliases included, with its function."""
    return dict(_TABLE)


def overload_of(call: Call) -> Overload:
    """The overload that a bound call runs."""
    if call.function.startswith(PREFIX):
        return python_overload(call)
    function = _TABLE.get(call.function)
    if function is None:
        raise InternalError(f'function "{call.function}" is not in the catalogue')
    for overload in function.overloads:
        if overload.takes(len(call.args)) and all(
            overload.param(i).accepts(a.type) for i, a in enumerate(call.args)
        ):
            return overload
    raise InternalError(f'no overload of "{call.function}" takes the arguments it was bound to')
