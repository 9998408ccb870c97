"""Statements about functions that users write, and functions given as objects."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowsql.catalog import Catalog, ObjectPath, UserFunction
from flowsql.errors import FlowSQLError, Span, SqlError, nearest
from flowsql.expr import keep_function, look_up, written_place
from flowsql.logical import is_built_in
from flowsql.sql import AlterFunction, CreateFunction, DropFunction

__all__ = ["add_function", "look_in", "run_on_functions"]


def run_on_functions(
    statement: CreateFunction | AlterFunction | DropFunction, catalog: Catalog
) -> None:
    """Carry the statement out.

    Raises:
        FlowSQLError: the name is taken or unknown, or the function cannot be imported.
    """
    match statement:
        case CreateFunction():
            _create(statement, catalog)
        case AlterFunction():
            _alter(statement, catalog)
        case DropFunction():
            _drop(statement, catalog)


def look_in(folders: Iterable[str]) -> None:
    """Modules of functions are found in these folders too, behind all others."""
    for folder in filter(None, map(str.strip, folders)):
        path = str(Path(folder).resolve())
        if path not in sys.path:
            sys.path.append(path)
            importlib.invalidate_caches()


def add_function(name: str, f: Callable[..., Any], catalog: Catalog) -> None:
    """A temporary function that is given as an object, under `[[catalog.]database.]name`.

    Raises:
        FlowSQLError: the name is taken, or the function does not say its types.
    """
    path = _path(tuple(name.split(".")), catalog, None)
    _refuse_taken(catalog.functions.exactly(path, temporary=True), name, None)
    if len(name.split(".")) == 1 and is_built_in(name):
        raise SqlError(
            f'function "{name}" is built in',
            hint="Give yours another name: SQL calls the built-in one.",
        )
    place = keep_function(path.name, f)
    catalog.functions.put(UserFunction(path.name, place, path))


def _create(statement: CreateFunction, catalog: Catalog) -> None:
    name, parts = str(statement.name), statement.name.parts
    span = statement.name.span
    path = None if statement.system else _path(parts, catalog, span)
    old = _known(statement, catalog, path)
    if old is not None and statement.if_not_exists:
        return
    _refuse_taken(old, name, span)
    if len(parts) == 1 and is_built_in(name):
        raise SqlError(
            f'function "{name}" is built in',
            hint="Give yours another name: SQL calls the built-in one.",
            span=span,
        )
    place = _checked_place(statement)
    catalog.functions.put(UserFunction(parts[-1], place, path, statement.temporary))


def _alter(statement: AlterFunction, catalog: Catalog) -> None:
    span = statement.name.span
    if statement.temporary:
        raise SqlError(
            "temporary functions cannot be altered",
            hint="Drop it and create it anew.",
            span=span,
        )
    path = _path(statement.name.parts, catalog, span)
    old = catalog.functions.exactly(path, temporary=False)
    if old is None:
        if statement.if_exists:
            return
        raise _unknown(statement.name.parts, catalog, path, span)
    catalog.functions.put(replace(old, place=_checked_place(statement)))


def _drop(statement: DropFunction, catalog: Catalog) -> None:
    name, span = statement.name, statement.name.span
    path = None if statement.system else _path(name.parts, catalog, span)
    old = _known(statement, catalog, path)
    above = catalog.functions.exactly(path, temporary=True) if path is not None else None
    if not statement.temporary and above is not None:
        raise SqlError(
            f'temporary function "{name}" must be dropped first',
            hint="Use DROP TEMPORARY FUNCTION.",
            span=span,
        )
    if old is not None:
        catalog.functions.forget(old)
    elif not statement.if_exists:
        raise _unknown(name.parts, catalog, path, span)


def _known(
    statement: CreateFunction | DropFunction, catalog: Catalog, path: ObjectPath | None
) -> UserFunction | None:
    """The function of the name and kind that the statement means."""
    if path is None:
        return catalog.functions.system(statement.name.parts[0])
    return catalog.functions.exactly(path, temporary=statement.temporary)


def _path(parts: tuple[str, ...], catalog: Catalog, span: Span | None) -> ObjectPath:
    path = catalog.path(parts, span)
    catalog.database((path.catalog, path.database), span)
    return ObjectPath(path.catalog, path.database, path.name.lower())


def _refuse_taken(old: UserFunction | None, name: str, span: Span | None) -> None:
    if old is None:
        return
    kind = "SYSTEM FUNCTION" if old.path is None else "FUNCTION"
    temporary = "TEMPORARY " if old.temporary else ""
    raise SqlError(
        f'function "{name}" exists already',
        hint=f"DROP {temporary}{kind} {name} removes it; IF NOT EXISTS keeps it.",
        span=span,
    )


def _checked_place(statement: CreateFunction | AlterFunction) -> str:
    """The place, where there is a function that can be imported."""
    if statement.language != "PYTHON":
        raise SqlError(
            f"functions written in {statement.language} are not supported",
            hint="flowsql runs no Java: write the function in Python, AS 'module.name' LANGUAGE "
            "PYTHON.",
            span=statement.language_span or statement.place_span,
        )
    try:
        place = written_place(statement.place)
        look_up(place)
    except FlowSQLError as error:
        error.span = error.span or statement.place_span
        raise
    return place


def _unknown(
    parts: tuple[str, ...], catalog: Catalog, path: ObjectPath | None, span: Span
) -> SqlError:
    name = ".".join(parts)
    if path is None or len(parts) == 1:
        system = catalog.functions.system(parts[-1])
        if path is not None and system is not None:
            return SqlError(
                f'function "{name}" is a temporary system function',
                hint="Use DROP TEMPORARY SYSTEM FUNCTION.",
                span=span,
            )
        if is_built_in(name):
            return SqlError(f'function "{name}" is built in and cannot be changed', span=span)
    home = (
        (path.catalog, path.database)
        if path
        else (catalog.current_catalog, catalog.current_database)
    )
    near = nearest(parts[-1], catalog.functions.names(*home))
    return SqlError(
        f'function "{name}" does not exist',
        hint=f'Did you mean "{near}"?' if near else "SHOW USER FUNCTIONS lists what was declared.",
        span=span,
    )
