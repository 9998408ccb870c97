"""The catalogs of a session, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from flowsql.catalog.objects import CatalogTable, CatalogView, ObjectPath
from flowsql.errors import Span, SqlError, nearest

__all__ = ["Catalog"]

_Object = CatalogTable | CatalogView


class Catalog:
    """Catalogs, their databases, and what these hold; names are case-sensitive, as in Flink.

    A temporary object hides the permanent one of the same name until it is dropped.
    """

    def __init__(
        self, catalog: str = "default_catalog", database: str = "default_database"
    ) -> None:
        self.current_catalog = catalog
        self.current_database = database
        self._databases: dict[str, list[str]] = {catalog: [database]}
        self._permanent: dict[ObjectPath, _Object] = {}
        self._temporary: dict[ObjectPath, _Object] = {}

    # Names

    def path(self, parts: Sequence[str], span: Span | None = None) -> ObjectPath:
        """The full name that `parts` mean here.

        Raises:
            SqlError: more than three parts.
        """
        return self._path(parts, span, (self.current_catalog, self.current_database))

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
    ) -> _Object:
        """The table or view of this name.

        Args:
            parts: one to three names.
            span: where it is written.
            within: catalog and database of unqualified names, the current ones if None.

        Raises:
            SqlError: there is none; the hint has the nearest name.
        """
        path = self._path(parts, span, within or (self.current_catalog, self.current_database))
        found = self.get(path)
        if found is None:
            raise self._unknown("table", path, parts, span)
        return found

    def get(self, path: ObjectPath) -> _Object | None:
        """The table or view of this full name, or None."""
        return self._temporary.get(path) or self._permanent.get(path)

    def _unknown(
        self, what: str, path: ObjectPath, parts: Sequence[str], span: Span | None
    ) -> SqlError:
        name = ".".join(parts)
        if path.catalog not in self._databases:
            return self._no_catalog(path.catalog, span)
        if path.database not in self._databases[path.catalog]:
            return self._no_database(path.catalog, path.database, span)
        here = [p.name for p in self._all() if (p.catalog, p.database) == _home(path)]
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
        return SqlError(
            f'catalog "{name}" does not exist',
            hint=f"Catalogs: {', '.join(self._databases)}.",
            span=span,
        )

    def _no_database(self, catalog: str, name: str, span: Span | None) -> SqlError:
        return SqlError(
            f'database "{name}" does not exist',
            hint=f'Databases of "{catalog}": {", ".join(self._databases[catalog])}.',
            span=span,
        )

    def _all(self) -> dict[ObjectPath, _Object]:
        return {**self._permanent, **self._temporary}

    # Statements

    def use_catalog(self, name: str, span: Span | None = None) -> None:
        """USE CATALOG; its first database becomes the current one."""
        if name not in self._databases:
            raise self._no_catalog(name, span)
        self.current_catalog = name
        self.current_database = self._databases[name][0]

    def use_database(self, parts: Sequence[str], span: Span | None = None) -> None:
        """USE `[catalog.]database`."""
        catalog, name = (self.current_catalog, *parts)[-2:]
        if len(parts) > 2 or catalog not in self._databases:
            raise self._no_catalog(".".join(parts[:-1]), span)
        if name not in self._databases[catalog]:
            raise self._no_database(catalog, name, span)
        self.current_catalog, self.current_database = catalog, name

    def create(
        self, added: _Object, *, if_not_exists: bool = False, span: Span | None = None
    ) -> bool:
        """Adds a table or view; False where IF NOT EXISTS left the old one.

        Raises:
            SqlError: the name is taken, or its database does not exist.
        """
        path = added.path
        if path.catalog not in self._databases:
            raise self._no_catalog(path.catalog, span)
        if path.database not in self._databases[path.catalog]:
            raise self._no_database(path.catalog, path.database, span)
        objects = self._temporary if added.temporary else self._permanent
        if path in objects:
            if if_not_exists:
                return False
            old = objects[path]
            kind = "view" if isinstance(old, CatalogView) else "table"
            temporary = "TEMPORARY " if old.temporary else ""
            raise SqlError(
                f'{kind} "{path}" exists already',
                hint=f"DROP {temporary}{kind.upper()} {path.name} removes it; "
                "IF NOT EXISTS keeps it.",
                span=span,
            )
        objects[path] = added
        return True

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
        objects = self._temporary if temporary else self._permanent
        hidden = not temporary and path in self._temporary
        found = self._temporary[path] if hidden else objects.get(path)
        if found is None:
            if if_exists:
                return False
            raise self._unknown(f"temporary {what}" if temporary else what, path, parts, span)
        is_view = isinstance(found, CatalogView)
        if is_view is not view:
            other = "view" if is_view else "table"
            raise SqlError(
                f'"{".".join(parts)}" is a {other}, not a {what}',
                hint=f"Use DROP {other.upper()}.",
                span=span,
            )
        if hidden:
            raise SqlError(
                f'temporary {what} "{".".join(parts)}" must be dropped first',
                hint=f"Use DROP TEMPORARY {what.upper()}.",
                span=span,
            )
        del objects[path]
        return True

    def tables(self, database: Sequence[str] = (), span: Span | None = None) -> tuple[_Object, ...]:
        """Tables and views of a database (the current one if not given), by name."""
        if len(database) > 2:
            raise SqlError(f'name "{".".join(database)}" has too many parts', span=span)
        catalog = database[0] if len(database) == 2 else self.current_catalog
        name = database[-1] if database else self.current_database
        if catalog not in self._databases:
            raise self._no_catalog(catalog, span)
        if name not in self._databases[catalog]:
            raise self._no_database(catalog, name, span)
        home = (catalog, name)
        return tuple(found for path, found in sorted(self._all().items()) if _home(path) == home)


def _home(path: ObjectPath) -> tuple[str, str]:
    return path.catalog, path.database
