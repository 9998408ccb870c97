"""Calls of functions that users declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flowsql.catalog import Catalog, UserFunction
from flowsql.errors import Span, SqlError, nearest
from flowsql.expr import (
    Expression,
    all_functions,
    bind_python_call,
    is_aggregate,
    is_table_function,
)
from flowsql.sql import dialect as d

__all__ = ["bind_user_call", "functions_of", "functions_within", "is_built_in"]


@dataclass(frozen=True, slots=True)
class _Known:
    catalog: Catalog
    within: tuple[str, str] | None = None

    @property
    def home(self) -> tuple[str, str]:
        """Catalog and database of bare names."""
        return self.within or (self.catalog.current_catalog, self.catalog.current_database)


_KNOWN: ContextVar[_Known | None] = ContextVar("functions", default=None)


@contextmanager
def functions_of(catalog: Catalog) -> Iterator[None]:
    """Statements bound in the block may call what the catalog declares."""
    before = _KNOWN.set(_Known(catalog))
    try:
        yield
    finally:
        _KNOWN.reset(before)


@contextmanager
def functions_within(home: tuple[str, str] | None) -> Iterator[None]:
    """In the block, bare names are those of this catalog and database: that of a view."""
    known = _KNOWN.get()
    if known is None or home is None:
        yield
        return
    before = _KNOWN.set(_Known(known.catalog, home))
    try:
        yield
    finally:
        _KNOWN.reset(before)


def is_built_in(name: str) -> bool:
    """Whether a bare call of the name is one of a function that flowsql has itself."""
    key = name.upper()
    return (
        key in all_functions()
        or is_aggregate(key)
        or is_table_function(key)
        or key == "CURRENT_DATABASE"
    )


def bind_user_call(
    node: d.FunctionCall, bind: Callable[[], Sequence[Expression]], span: Span
) -> Expression | None:
    """The call of a declared function; None if the name means another one.

    A built-in function hides all others of its name that are called without their database.

    Raises:
        FlowSQLError: the function cannot be imported, does not take the arguments, or a name with
            a dot means nothing.
    """
    known = _KNOWN.get()
    name = node.args["this"].this
    parts = (*(p.this for p in node.args.get("qualifier") or ()), name)
    found = None if known is None else _found(known, parts, span)
    if found is not None:
        return bind_python_call(found.place, ".".join(parts), list(bind()), span)
    if known is not None and len(parts) == 1 and not is_built_in(name):
        near = nearest(name, known.catalog.functions.names(*known.home))
        if near is not None and nearest(name, [*all_functions(), near.upper()]) == near.upper():
            raise SqlError(
                f'function "{name}" does not exist', hint=f'Did you mean "{near}"?', span=span
            )
    return None


def _found(known: _Known, parts: tuple[str, ...], span: Span) -> UserFunction | None:
    functions = known.catalog.functions
    if len(parts) == 1:
        if is_built_in(parts[0]):
            return None
        system = functions.system(parts[0])
        if system is not None:
            return system
    return functions.find(known.catalog.path_within(parts, known.home, span))
