"""Where the databases and objects of one catalog are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from flowsql.catalog.objects import (
    CatalogTable,
    CatalogView,
    Database,
    ObjectPath,
    UserFunction,
)
from flowsql.errors import FlowSQLError

__all__ = ["CatalogObject", "MemoryStore", "ShadowStore", "Store"]

CatalogObject = CatalogTable | CatalogView


class Store(ABC):
    """One catalog: its databases, by name, and their permanent tables, views and functions.

    Attributes:
        default: the database that USE CATALOG makes the current one.
        views: whether it keeps views.
    """

    default: str
    views: bool = True

    @abstractmethod
    def databases(self) -> list[str]:
        """The names of all databases, sorted."""

    @abstractmethod
    def database(self, name: str) -> Database | None:
        """The database of this name."""

    @abstractmethod
    def put_database(self, database: Database) -> None:
        """Make a database, or change what is said of it."""

    @abstractmethod
    def remove_database(self, name: str) -> None:
        """Remove a database and all in it."""

    @abstractmethod
    def names(self, database: str) -> list[str]:
        """The names of the tables and views of a database that is there, sorted."""

    @abstractmethod
    def get(self, path: ObjectPath) -> CatalogObject | None:
        """The table or view of this name, or None."""

    @abstractmethod
    def put(self, added: CatalogObject) -> None:
        """Keep a table or view, in place of one of its name; its database is there."""

    @abstractmethod
    def remove(self, path: ObjectPath) -> None:
        """Forget a table or view that is there."""

    def completed(self, table: CatalogTable) -> CatalogTable:
        """The declaration of a table that is about to be made here, as the catalog means it.

        Raises:
            SqlError: it cannot keep such a table.
        """
        return table

    def refusals(
        self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        """Why `alter` would not do it, each with the column that is at fault, if it is one.

        Raises:
            SqlError: it cannot keep such a table.
        """
        del old, new, renamed
        return ()

    def alter(self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]) -> None:
        """Keep `new` in place of `old`, which is there.

        Args:
            old: as it is.
            new: of the same name.
            renamed: columns that are called otherwise now: old name → new name.
        """
        del old, renamed
        self.put(new)

    def rename(self, known: CatalogObject, path: ObjectPath) -> None:
        """Give a table or view that is there another name, which is free."""
        self.remove(known.path)
        self.put(replace(known, path=path))

    @abstractmethod
    def function_names(self, database: str) -> list[str]:
        """The names of the functions of a database, sorted, in lower case."""

    @abstractmethod
    def function(self, path: ObjectPath) -> UserFunction | None:
        """The function of this name, which is in lower case; or None."""

    @abstractmethod
    def put_function(self, function: UserFunction) -> None:
        """Keep a function, in place of one of its name; its database is there."""

    @abstractmethod
    def remove_function(self, path: ObjectPath) -> None:
        """Forget a function that is there."""


class MemoryStore(Store):
    """A catalog that lives as long as its session; `'type' = 'generic_in_memory'`."""

    def __init__(self, default: str = "default") -> None:
        self.default = default
        self._databases = {default: Database(default)}
        self._objects: dict[ObjectPath, CatalogObject] = {}
        self._functions: dict[ObjectPath, UserFunction] = {}

    def databases(self) -> list[str]:
        return sorted(self._databases)

    def database(self, name: str) -> Database | None:
        return self._databases.get(name)

    def put_database(self, database: Database) -> None:
        self._databases[database.name] = database

    def remove_database(self, name: str) -> None:
        del self._databases[name]
        self._objects = {p: o for p, o in self._objects.items() if p.database != name}
        self._functions = {p: f for p, f in self._functions.items() if p.database != name}

    def names(self, database: str) -> list[str]:
        return sorted(p.name for p in self._objects if p.database == database)

    def get(self, path: ObjectPath) -> CatalogObject | None:
        return self._objects.get(path)

    def put(self, added: CatalogObject) -> None:
        self._objects[added.path] = added

    def remove(self, path: ObjectPath) -> None:
        del self._objects[path]

    def function_names(self, database: str) -> list[str]:
        return sorted(p.name for p in self._functions if p.database == database)

    def function(self, path: ObjectPath) -> UserFunction | None:
        return self._functions.get(path)

    def put_function(self, function: UserFunction) -> None:
        assert function.path is not None
        self._functions[function.path] = function

    def remove_function(self, path: ObjectPath) -> None:
        del self._functions[path]


class ShadowStore(Store):
    """Another store as it would be after some changes, which that store does not see before `keep`.

    Args:
        under: is only read until then.
        default: its default database, there or not.
        make: makes what the other store needs to be written at all.
    """

    def __init__(self, under: Store, default: str, make: Callable[[], None]) -> None:
        self.default = default
        self.views = under.views
        self._under = under
        self._over = MemoryStore(default)
        if under.database(default) is not None:
            self._over.remove_database(default)
        # Databases and objects of the other store that are hidden.
        self._gone: set[str | tuple[str, ObjectPath]] = set()
        self._changes: list[Callable[[], None]] = [make]

    def keep(self) -> None:
        """Let the other store see the changes, in their order; what it raises ends it."""
        changes, self._changes = self._changes, []
        for change in changes:
            change()
        self._over = MemoryStore(self.default)
        self._over.remove_database(self.default)
        self._gone = set()

    def databases(self) -> list[str]:
        under = [d for d in self._under.databases() if d not in self._gone]
        return sorted({*under, *self._over.databases()})

    def database(self, name: str) -> Database | None:
        under = None if name in self._gone else self._under.database(name)
        return self._over.database(name) or under

    def put_database(self, database: Database) -> None:
        self._changes.append(partial(self._under.put_database, database))
        self._over.put_database(database)

    def remove_database(self, name: str) -> None:
        self._changes.append(partial(self._under.remove_database, name))
        self._gone.add(name)
        if self._over.database(name) is not None:
            self._over.remove_database(name)

    def names(self, database: str) -> list[str]:
        under = self._under.names(database) if self._sees(database) else []
        kept = [n for n in under if not self._hides("table", database, n)]
        return sorted({*kept, *self._over.names(database)})

    def get(self, path: ObjectPath) -> CatalogObject | None:
        found = self._over.get(path)
        if found is None and self._sees(path.database):
            hidden = ("table", path) in self._gone
            return None if hidden else self._under.get(path)
        return found

    def put(self, added: CatalogObject) -> None:
        if isinstance(added, CatalogView) and not self.views:
            # It says so now.
            self._under.put(added)
        self._changes.append(partial(self._under.put, added))
        self._over.put(added)

    def remove(self, path: ObjectPath) -> None:
        self._changes.append(partial(self._under.remove, path))
        self._gone.add(("table", path))
        if self._over.get(path) is not None:
            self._over.remove(path)

    def completed(self, table: CatalogTable) -> CatalogTable:
        return self._under.completed(table)

    def refusals(
        self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        return self._under.refusals(old, new, renamed)

    def alter(self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]) -> None:
        self._changes.append(partial(self._under.alter, old, new, renamed))
        self._over.put(new)

    def rename(self, known: CatalogObject, path: ObjectPath) -> None:
        self._changes.append(partial(self._under.rename, known, path))
        self._gone.add(("table", known.path))
        if self._over.get(known.path) is not None:
            self._over.remove(known.path)
        self._over.put(replace(known, path=path))

    def function_names(self, database: str) -> list[str]:
        under = self._under.function_names(database) if self._sees(database) else []
        kept = [n for n in under if not self._hides("function", database, n)]
        return sorted({*kept, *self._over.function_names(database)})

    def function(self, path: ObjectPath) -> UserFunction | None:
        found = self._over.function(path)
        if found is None and self._sees(path.database):
            hidden = ("function", path) in self._gone
            return None if hidden else self._under.function(path)
        return found

    def put_function(self, function: UserFunction) -> None:
        self._changes.append(partial(self._under.put_function, function))
        self._over.put_function(function)

    def remove_function(self, path: ObjectPath) -> None:
        self._changes.append(partial(self._under.remove_function, path))
        self._gone.add(("function", path))
        if self._over.function(path) is not None:
            self._over.remove_function(path)

    def _sees(self, database: str) -> bool:
        return database not in self._gone and self._under.database(database) is not None

    def _hides(self, kind: str, database: str, name: str) -> bool:
        return any(
            isinstance(g, tuple) and g[0] == kind and (g[1].database, g[1].name) == (database, name)
            for g in self._gone
        )
