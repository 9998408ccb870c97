"""Functions that users declared: what a name in a call means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowsql.catalog.objects import ObjectPath

__all__ = ["UserFunction", "UserFunctions"]


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A declared function.

    Attributes:
        name: as SQL calls it; case does not matter.
        place: where its code is: `module.name`, or `<name>` of one that was given as an object.
        path: its full name, in lower case; None for a system function, which every database has.
        temporary: it ends with the session.
    """

    name: str
    place: str
    path: ObjectPath | None
    temporary: bool = True


class UserFunctions:
    """The functions of a session, in Flink's order: a temporary one hides a permanent one."""

    def __init__(self) -> None:
        self._system: dict[str, UserFunction] = {}
        self._temporary: dict[ObjectPath, UserFunction] = {}
        self._permanent: dict[ObjectPath, UserFunction] = {}

    def system(self, name: str) -> UserFunction | None:
        """The temporary system function of this name."""
        return self._system.get(name.lower())

    def find(self, path: ObjectPath) -> UserFunction | None:
        """The function of this full name."""
        key = _key(path)
        return self._temporary.get(key) or self._permanent.get(key)

    def exactly(self, path: ObjectPath, *, temporary: bool) -> UserFunction | None:
        """The temporary, or the permanent function of this full name."""
        return (self._temporary if temporary else self._permanent).get(_key(path))

    def put(self, function: UserFunction) -> None:
        """Keep a function, in place of one of its name and kind."""
        if function.path is None:
            self._system[function.name.lower()] = function
        else:
            kept = self._temporary if function.temporary else self._permanent
            kept[_key(function.path)] = function

    def forget(self, function: UserFunction) -> None:
        """Remove a function that is there."""
        if function.path is None:
            del self._system[function.name.lower()]
        else:
            kept = self._temporary if function.temporary else self._permanent
            del kept[_key(function.path)]

    def names(self, catalog: str, database: str) -> list[str]:
        """What can be called by a bare name in a database, sorted, in lower case."""
        paths = [*self._temporary, *self._permanent]
        here = {p.name for p in paths if (p.catalog, p.database) == (catalog, database)}
        return sorted(here | set(self._system))

    def drop_where(self, gone: Callable[[ObjectPath], bool]) -> None:
        """Remove the functions of databases that are no longer there."""
        for kept in (self._temporary, self._permanent):
            for path in [p for p in kept if gone(p)]:
                del kept[path]


def _key(path: ObjectPath) -> ObjectPath:
    return ObjectPath(path.catalog, path.database, path.name.lower())
