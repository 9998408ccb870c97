"""Functions that users declared: what a name in a call means."""

from __future__ import annotations

from collections.abc import Callable

from flowsql.catalog.objects import ObjectPath, UserFunction
from flowsql.catalog.store import Store
from flowsql.errors import InternalError

__all__ = ["UserFunctions"]


class UserFunctions:
    """The functions that a session sees, in Flink's order: a temporary one hides a permanent one.

    Args:
        store: what the catalog of a name keeps; None if there is no such catalog.
    """

    def __init__(self, store: Callable[[str], Store | None]) -> None:
        self._store = store
        self._system: dict[str, UserFunction] = {}
        self._temporary: dict[ObjectPath, UserFunction] = {}

    def system(self, name: str) -> UserFunction | None:
        """The temporary system function of this name."""
        return self._system.get(name.lower())

    def find(self, path: ObjectPath) -> UserFunction | None:
        """The function of this full name."""
        return self._temporary.get(_key(path)) or self._permanent(path)

    def exactly(self, path: ObjectPath, *, temporary: bool) -> UserFunction | None:
        """The temporary, or the permanent function of this full name."""
        return self._temporary.get(_key(path)) if temporary else self._permanent(path)

    def _permanent(self, path: ObjectPath) -> UserFunction | None:
        store = self._store(path.catalog)
        return None if store is None else store.function(_key(path))

    def put(self, function: UserFunction) -> None:
        """Keep a function, in place of one of its name and kind."""
        if function.path is None:
            self._system[function.name.lower()] = function
        elif function.temporary:
            self._temporary[_key(function.path)] = function
        else:
            self._kept_in(function.path).put_function(function)

    def forget(self, function: UserFunction) -> None:
        """Remove a function that is there."""
        if function.path is None:
            del self._system[function.name.lower()]
        elif function.temporary:
            del self._temporary[_key(function.path)]
        else:
            self._kept_in(function.path).remove_function(_key(function.path))

    def _kept_in(self, path: ObjectPath) -> Store:
        store = self._store(path.catalog)
        if store is None:
            raise InternalError(f'there is no catalog "{path.catalog}"')
        return store

    def names(self, catalog: str, database: str) -> list[str]:
        """What can be called by a bare name in a database, sorted, in lower case."""
        here = {p.name for p in self._temporary if (p.catalog, p.database) == (catalog, database)}
        store = self._store(catalog)
        kept = [] if store is None else store.function_names(database)
        return sorted({*here, *kept, *self._system})

    def drop_where(self, gone: Callable[[ObjectPath], bool]) -> None:
        """Remove the temporary functions of databases that are no longer there."""
        for path in [p for p in self._temporary if gone(p)]:
            del self._temporary[path]


def _key(path: ObjectPath) -> ObjectPath:
    return ObjectPath(path.catalog, path.database, path.name.lower())
