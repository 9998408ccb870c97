"""The catalogs of a session: what a name means, and statements that change it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flowsql.catalog.functions import UserFunctions
from flowsql.catalog.objects import CatalogTable, CatalogView, Database, ObjectPath
from flowsql.catalog.store import CatalogObject, MemoryStore, ShadowStore, Store
from flowsql.errors import FlowSQLError, Span, SqlError, nearest

__all__ = ["Catalog", "OpenedCatalog"]


@dataclass(frozen=True, slots=True)
class OpenedCatalog:
    """One catalog of a session.

    Attributes:
        store: where its objects are kept.
        options: WITH, as written.
        comment: COMMENT.
    """

    store: Store
    options: Mapping[str, str]
    comment: str | None = None


class Catalog:
    """Catalogs, their databases, and what these hold; names are case-sensitive, as in Flink.

    A temporary object hides the permanent one of the same name until it is dropped.

    Attributes:
        lasting: what is declared in a catalog that lasts is kept there at once; else nothing is
            written before `keep`.
    """

    def __init__(
        self,
        catalog: str = "default_catalog",
        database: str = "default_database",
        *,
        lasting: bool = True,
    ) -> None:
        self.lasting = lasting
        self.current_catalog = catalog
        self.current_database = database
        memory = OpenedCatalog(MemoryStore(database), {"type": "generic_in_memory"})
        self._catalogs: dict[str, OpenedCatalog] = {catalog: memory}
        self._temporary: dict[ObjectPath, CatalogObject] = {}
        # Catalogs of this session that were dropped: what was declared in them is there yet.
        self._dropped: list[tuple[str, OpenedCatalog]] = []
        self.functions = UserFunctions(self._functions_of)

    # Names

    def path(self, parts: Sequence[str], span: Span | None = None) -> ObjectPath:
        """The full name that `parts` mean here.

        Raises:
            SqlError: more than three parts.
        """
        return self._path(parts, span, (self.current_catalog, self.current_database))

    def path_within(
        self, parts: Sequence[str], within: tuple[str, str], span: Span | None = None
    ) -> ObjectPath:
        """The full name that `parts` mean in a catalog and database; raises as `path`."""
        return self._path(parts, span, within)

    def _path(self, parts: Sequence[str], span: Span | None, within: tuple[str, str]) -> ObjectPath:
        match tuple(parts):
            case (name,):
                return ObjectPath(*within, name)
            case (database, name):
                return ObjectPath(within[0], database, name)
            case (catalog, database, name):
                return ObjectPath(catalog, database, name)
            case _:
                raise SqlError(
                    f'name "{".".join(parts)}" has too many parts',
                    hint="A table's name is catalog.database.table.",
                    span=span,
                )

    def find(
        self,
        parts: Sequence[str],
        span: Span | None = None,
        within: tuple[str, str] | None = None,
        what: str = "table",
    ) -> CatalogObject:
        """The table or view of this name.

        Args:
            parts: one to three names.
            span: where it is written.
            within: catalog and database of unqualified names, the current ones if None.
            what: is looked for, in the words of the error.

        Raises:
            SqlError: there is none; the hint has the nearest name.
            FlowSQLError: its catalog cannot be asked.
        """
        path = self._path(parts, span, within or (self.current_catalog, self.current_database))
        try:
            found = self.get(path)
        except FlowSQLError as error:
            error.span = error.span or span
            raise
        if found is None:
            raise self._unknown(what, path, parts, span)
        return found

    def get(self, path: ObjectPath) -> CatalogObject | None:
        """The table or view of this full name, or None."""
        return self._temporary.get(path) or self._permanent(path)

    def temporary(self, path: ObjectPath) -> CatalogObject | None:
        """The temporary table or view of this full name, or None."""
        return self._temporary.get(path)

    def _permanent(self, path: ObjectPath) -> CatalogObject | None:
        opened = self._catalogs.get(path.catalog)
        return opened.store.get(path) if opened is not None else None

    def _unknown(
        self, what: str, path: ObjectPath, parts: Sequence[str], span: Span | None
    ) -> SqlError:
        name = ".".join(parts)
        try:
            self._store(path.catalog, path.database, span)
        except SqlError as error:
            return error
        here = list(self.names((path.catalog, path.database)))
        near = nearest(path.name, here)
        if near is not None:
            hint = f'Did you mean "{near}"?'
        elif here:
            shown = sorted(here)
            more = ", …" if len(shown) > 10 else ""
            hint = f"Known here: {', '.join(shown[:10])}{more}."
        else:
            hint = f'Database "{path.database}" has no tables; CREATE TABLE makes one.'
        return SqlError(f'{what} "{name}" does not exist', hint=hint, span=span)

    def _no_catalog(self, name: str, span: Span | None) -> SqlError:
        near = nearest(name, self._catalogs)
        known = f"Catalogs: {', '.join(sorted(self._catalogs))}."
        return SqlError(
            f'catalog "{name}" does not exist',
            hint=f'Did you mean "{near}"?' if near else known,
            span=span,
        )

    def _no_database(self, catalog: str, name: str, span: Span | None) -> SqlError:
        known = self._catalogs[catalog].store.databases()
        near = nearest(name, known)
        return SqlError(
            f'database "{name}" does not exist',
            hint=f'Did you mean "{near}"?'
            if near
            else f'Databases of "{catalog}": {", ".join(known)}.',
            span=span,
        )

    def _store(self, catalog: str, database: str, span: Span | None) -> Store:
        """The store that has the database; raises SqlError if there is none."""
        store = self.opened(catalog, span).store
        if store.database(database) is None:
            raise self._no_database(catalog, database, span)
        return store

    def _functions_of(self, catalog: str) -> Store | None:
        opened = self._catalogs.get(catalog)
        return None if opened is None else opened.store

    # Catalogs

    def opened(self, name: str, span: Span | None = None) -> OpenedCatalog:
        """The catalog of this name; raises SqlError if there is none."""
        if name not in self._catalogs:
            raise self._no_catalog(name, span)
        return self._catalogs[name]

    @property
    def catalogs(self) -> list[str]:
        """The names of all catalogs, sorted."""
        return sorted(self._catalogs)

    def use_catalog(self, name: str, span: Span | None = None) -> None:
        """USE CATALOG; its default database becomes the current one."""
        self.current_database = self.opened(name, span).store.default
        self.current_catalog = name

    def add_catalog(
        self,
        name: str,
        opening: Callable[[], OpenedCatalog],
        *,
        if_not_exists: bool = False,
        span: Span | None = None,
    ) -> None:
        """CREATE CATALOG; `opening` is asked only if there is none of the name."""
        if name not in self._catalogs:
            opened = opening()
            for known, dropped in self._dropped:
                if (known, dict(dropped.options)) == (name, dict(opened.options)):
                    opened = replace(opened, store=dropped.store)
            self._catalogs[name] = opened
        elif not if_not_exists:
            raise SqlError(
                f'catalog "{name}" exists already',
                hint=f"DROP CATALOG {name} closes it; IF NOT EXISTS keeps it.",
                span=span,
            )

    def alter_catalog(self, name: str, opened: OpenedCatalog) -> None:
        """What is said of a catalog that is there becomes this."""
        self._catalogs[name] = opened

    def drop_catalog(self, name: str, *, if_exists: bool = False, span: Span | None = None) -> None:
        """DROP CATALOG: the session forgets it; what a persistent one keeps stays."""
        if name not in self._catalogs and if_exists:
            return
        self.opened(name, span)
        if name == self.current_catalog:
            raise SqlError(
                f'catalog "{name}" is the current one and cannot be dropped',
                hint="USE CATALOG chooses another one.",
                span=span,
            )
        dropped = self._catalogs.pop(name)
        if isinstance(dropped.store, ShadowStore):
            self._dropped.append((name, dropped))
        self._temporary = {p: o for p, o in self._temporary.items() if p.catalog != name}
        self.functions.drop_where(lambda p: p.catalog == name)

    def keep(self) -> None:
        """Write what was declared in catalogs that last, where that did not happen at once.

        Raises:
            ConfigError: a catalog cannot be written.
        """
        opened = [*(dropped for _, dropped in self._dropped), *self._catalogs.values()]
        for store in dict.fromkeys(o.store for o in opened):
            if isinstance(store, ShadowStore):
                store.keep()

    # Databases

    def database_path(self, parts: Sequence[str], span: Span | None = None) -> tuple[str, str]:
        """Catalog and database that one or two names mean; the catalog is there."""
        catalog, name = (self.current_catalog, *parts)[-2:]
        self.opened(catalog, span)
        return catalog, name

    def databases(self, catalog: str | None = None, span: Span | None = None) -> list[str]:
        """The databases of a catalog, of the current one if None."""
        return self.opened(catalog or self.current_catalog, span).store.databases()

    def database(self, parts: Sequence[str], span: Span | None = None) -> Database:
        """The database of this name; raises SqlError if there is none."""
        catalog, name = self.database_path(parts, span)
        found = self.opened(catalog).store.database(name)
        if found is None:
            raise self._no_database(catalog, name, span)
        return found

    def use_database(self, parts: Sequence[str], span: Span | None = None) -> None:
        """USE `[catalog.]database`."""
        catalog, name = self.database_path(parts, span)
        self._store(catalog, name, span)
        self.current_catalog, self.current_database = catalog, name

    @contextlib.contextmanager
    def at(self, catalog: str, database: str) -> Iterator[None]:
        """Within the context this is the current database; raises SqlError if there is none."""
        before = (self.current_catalog, self.current_database)
        self.use_database((catalog, database))
        try:
            yield
        finally:
            self.current_catalog, self.current_database = before

    def create_database(
        self,
        parts: Sequence[str],
        *,
        comment: str | None = None,
        options: tuple[tuple[str, str], ...] = (),
        if_not_exists: bool = False,
        span: Span | None = None,
    ) -> None:
        """CREATE DATABASE."""
        catalog, name = self.database_path(parts, span)
        store = self.opened(catalog).store
        if store.database(name) is None:
            store.put_database(Database(name, comment, options))
        elif not if_not_exists:
            raise SqlError(
                f'database "{catalog}.{name}" exists already',
                hint=f"DROP DATABASE {name} removes it; IF NOT EXISTS keeps it.",
                span=span,
            )

    def alter_database(
        self,
        parts: Sequence[str],
        change: Callable[[dict[str, str]], dict[str, str]],
        span: Span | None = None,
    ) -> None:
        """ALTER DATABASE: `change` makes the new options of the old ones."""
        database = self.database(parts, span)
        catalog, _ = self.database_path(parts, span)
        options = tuple(change(dict(database.options)).items())
        self.opened(catalog).store.put_database(replace(database, options=options))

    def drop_database(
        self,
        parts: Sequence[str],
        *,
        if_exists: bool = False,
        cascade: bool = False,
        span: Span | None = None,
    ) -> None:
        """DROP DATABASE; one that has tables only with CASCADE."""
        catalog, name = self.database_path(parts, span)
        store = self.opened(catalog).store
        if store.database(name) is None and if_exists:
            return
        self._store(catalog, name, span)
        if (catalog, name) == (self.current_catalog, self.current_database):
            raise SqlError(
                f'database "{name}" is the current one and cannot be dropped',
                hint="USE chooses another one.",
                span=span,
            )
        if name == store.default:
            raise SqlError(
                f'database "{name}" is the default of catalog "{catalog}" and cannot be dropped',
                span=span,
            )
        if not cascade and (self.names((catalog, name)) or store.function_names(name)):
            raise SqlError(
                f'database "{name}" is not empty',
                hint="DROP DATABASE … CASCADE drops its tables, views and functions as well.",
                span=span,
            )
        store.remove_database(name)
        self._temporary = {p: o for p, o in self._temporary.items() if _home(p) != (catalog, name)}
        self.functions.drop_where(lambda p: _home(p) == (catalog, name))

    # Tables and views

    def has(self, path: ObjectPath, *, temporary: bool) -> bool:
        """Whether CREATE would find a table or view of this full name and kind of life."""
        if temporary:
            return path in self._temporary
        return self._permanent(path) is not None

    def create(
        self, added: CatalogObject, *, if_not_exists: bool = False, span: Span | None = None
    ) -> bool:
        """Adds a table or view; False where IF NOT EXISTS left the old one.

        Raises:
            SqlError: the name is taken, or its database does not exist.
        """
        path = added.path
        store = self._store(path.catalog, path.database, span)
        old = self._temporary.get(path) if added.temporary else store.get(path)
        if old is not None:
            if if_not_exists:
                return False
            kind = "view" if isinstance(old, CatalogView) else "table"
            temporary = "TEMPORARY " if old.temporary else ""
            changed = isinstance(old, CatalogView) and isinstance(added, CatalogView)
            raise SqlError(
                f'{kind} "{path}" exists already',
                hint=(f"ALTER VIEW {path.name} AS … changes it; " if changed else "")
                + f"DROP {temporary}{kind.upper()} {path.name} removes it; IF NOT EXISTS keeps it.",
                span=span,
            )
        try:
            self.put(added)
        except FlowSQLError as error:
            error.span = error.span or span
            raise
        return True

    def put(self, added: CatalogObject) -> None:
        """Keeps a table or view, in place of one of its name; its database is there."""
        if added.temporary:
            self._temporary[added.path] = added
        else:
            self.opened(added.path.catalog).store.put(added)

    def completed(self, table: CatalogTable) -> CatalogTable:
        """A declaration as its catalog means it; raises SqlError if it cannot keep such a table."""
        opened = self._catalogs.get(table.path.catalog)
        return table if table.temporary or opened is None else opened.store.completed(table)

    def refusals(
        self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        """Why `alter` would not do it, each with the column at fault, if it is one; raises SqlError."""
        return self.opened(new.path.catalog).store.refusals(old, new, renamed)

    def alter(self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]) -> None:
        """Keeps the permanent table `new` in place of `old`; `renamed`: its columns' old names → new."""
        self.opened(new.path.catalog).store.alter(old, new, renamed)

    def forget(self, known: CatalogObject) -> None:
        """Removes a table or view that is there."""
        if known.temporary:
            del self._temporary[known.path]
        else:
            self.opened(known.path.catalog).store.remove(known.path)

    def rename(self, known: CatalogObject, parts: Sequence[str], span: Span | None = None) -> None:
        """Gives a table or view that is there another name, within its database."""
        path = self._path(parts, span, _home(known.path))
        kind = "view" if isinstance(known, CatalogView) else "table"
        if _home(path) != _home(known.path):
            raise SqlError(f"a {kind} cannot be moved to another database", span=span)
        if self.get(path) is not None:
            raise SqlError(f'"{path}" exists already', span=span)
        if known.temporary:
            self.forget(known)
            self.put(replace(known, path=path))
        else:
            self.opened(path.catalog).store.rename(known, path)

    def permanent(
        self, parts: Sequence[str], *, view: bool, span: Span | None = None
    ) -> CatalogObject:
        """The permanent table or view of this name, to change it.

        Raises:
            SqlError: there is none, it is of the other kind, or a temporary one hides it.
        """
        found = self.find(parts, span, what="view" if view else "table")
        self._check_kind(found, parts, view=view, verb="ALTER", span=span)
        if found.temporary:
            what = "view" if view else "table"
            raise SqlError(
                f'temporary {what} "{".".join(parts)}" cannot be altered',
                hint=f"Drop it and create it anew: DROP TEMPORARY {what.upper()}.",
                span=span,
            )
        return found

    @staticmethod
    def _check_kind(
        found: CatalogObject, parts: Sequence[str], *, view: bool, verb: str, span: Span | None
    ) -> None:
        if isinstance(found, CatalogView) is not view:
            what, other = ("view", "table") if view else ("table", "view")
            raise SqlError(
                f'"{".".join(parts)}" is a {other}, not a {what}',
                hint=f"Use {verb} {other.upper()}.",
                span=span,
            )

    def drop(
        self,
        parts: Sequence[str],
        *,
        view: bool,
        temporary: bool = False,
        if_exists: bool = False,
        span: Span | None = None,
    ) -> bool:
        """Removes a table or view; False where IF EXISTS found none.

        Raises:
            SqlError: there is none, it is of the other kind, or a temporary one hides it.
        """
        path = self.path(parts, span)
        what = "view" if view else "table"
        above = self._temporary.get(path)
        hidden = not temporary and above is not None
        try:
            found = above if temporary or hidden else self._permanent(path)
        except FlowSQLError:
            # It cannot be read, so that nobody knows which of the two it is: this mends it.
            store = self.opened(path.catalog).store
            if view and not store.views:
                raise
            store.remove(path)
            return True
        if found is None:
            if if_exists:
                return False
            raise self._unknown(f"temporary {what}" if temporary else what, path, parts, span)
        self._check_kind(found, parts, view=view, verb="DROP", span=span)
        if hidden:
            raise SqlError(
                f'temporary {what} "{".".join(parts)}" must be dropped first',
                hint=f"Use DROP TEMPORARY {what.upper()}.",
                span=span,
            )
        self.forget(found)
        return True

    def names(self, database: Sequence[str] = (), span: Span | None = None) -> tuple[str, ...]:
        """Names of the tables and views of a database, sorted, also of those that cannot be read."""
        return tuple(path.name for path in self._paths(database, span))

    def _paths(self, database: Sequence[str], span: Span | None) -> list[ObjectPath]:
        if len(database) > 2:
            raise SqlError(f'name "{".".join(database)}" has too many parts', span=span)
        catalog, name = (
            self.database_path(database, span)
            if database
            else (self.current_catalog, self.current_database)
        )
        store = self._store(catalog, name, span)
        paths = {ObjectPath(catalog, name, n) for n in store.names(name)}
        paths |= {p for p in self._temporary if _home(p) == (catalog, name)}
        return sorted(paths)


def _home(path: ObjectPath) -> tuple[str, str]:
    return path.catalog, path.database
