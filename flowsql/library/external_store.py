"""Catalogs that others keep, as one of a session: `CREATE CATALOG c WITH ('type' = 'iceberg', …)`.

What is declared in one is made there at once, and what others made is there at the next statement.
Such a catalog keeps tables of physical columns; views and functions, computed columns and watermarks
are the session's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowsql.catalog import (
    CatalogColumn,
    CatalogObject,
    CatalogTable,
    CatalogView,
    ColumnKind,
    Database,
    ObjectPath,
    Store,
    UserFunction,
)
from flowsql.connector import (
    CatalogKind,
    ExternalCatalog,
    ExternalColumn,
    ExternalDatabase,
    ExternalTable,
)
from flowsql.errors import FlowSQLError, SqlError

__all__ = ["ExternalStore"]

_OF_THE_SESSION = (
    "Declare it in another catalog: CREATE TABLE default_catalog.default_database.t"
    " (WATERMARK FOR … AS …) LIKE … adds columns and a watermark to a table that is there."
)
# Where a table stands is in its name: a copy of another one has another.
_OF_THE_NAME = ("catalog-database", "catalog-table")


class ExternalStore(Store):
    """One catalog.

    Args:
        name: in this session.
        kind: of the catalog.
        external: asked for everything.
        default: its default database.
    """

    views = False

    def __init__(
        self, name: str, kind: CatalogKind, external: ExternalCatalog, default: str
    ) -> None:
        self.default = default
        self._name = name
        self._kind = kind
        self._external = external

    def make(self) -> None:
        """The catalog and its default database, where they are missing."""
        self._external.make()
        if self.database(self.default) is None:
            self.put_database(Database(self.default))

    # Databases

    def databases(self) -> list[str]:
        return sorted(self._external.databases())

    def database(self, name: str) -> Database | None:
        found = self._external.database(name)
        if found is None:
            return None
        return Database(name, found.comment, tuple(sorted(found.properties.items())))

    def put_database(self, database: Database) -> None:
        said = ExternalDatabase(database.comment, dict(database.options))
        if self._external.database(database.name) is None:
            self._external.create_database(database.name, said)
        else:
            self._external.alter_database(database.name, said)

    def remove_database(self, name: str) -> None:
        self._external.drop_database(name)

    # Tables

    def names(self, database: str) -> list[str]:
        return sorted(self._external.tables(database))

    def get(self, path: ObjectPath) -> CatalogObject | None:
        found = self._external.table(path.database, path.name)
        if found is None:
            return None
        options = {
            **self._external.table_options(path.database, path.name),
            **found.properties,
        }
        return CatalogTable(
            path=path,
            columns=tuple(
                CatalogColumn(c.name, ColumnKind.PHYSICAL, c.type, comment=c.comment)
                for c in found.columns
            ),
            options=tuple(options.items()),
            primary_key=found.primary_key,
            partition_keys=found.partition_keys,
            comment=found.comment,
        )

    def completed(self, table: CatalogTable) -> CatalogTable:
        """With the connector's options; what the catalog cannot keep is refused."""
        kind = self._kind.name
        for column in table.columns:
            if column.kind is not ColumnKind.PHYSICAL:
                raise SqlError(
                    f'column "{column.name}" cannot be kept by catalog "{self._name}"',
                    detail=f'Tables of catalog type "{kind}" have physical columns only.',
                    hint=_OF_THE_SESSION,
                    span=column.span,
                )
        if table.watermark is not None:
            raise SqlError(
                f'a watermark cannot be kept by catalog "{self._name}"',
                detail=f'Tables of catalog type "{kind}" have physical columns only.',
                hint=_OF_THE_SESSION,
            )
        if table.distribution is not None:
            raise SqlError(
                f'DISTRIBUTED means nothing in catalog "{self._name}" of type "{kind}"',
                hint="Leave it out; PARTITIONED BY divides the table's files.",
            )
        fixed = self._external.table_options(table.path.database, table.path.name)
        given = dict(table.options)
        for key, value in given.items():
            if key in fixed and key not in _OF_THE_NAME and value != fixed[key]:
                raise SqlError(
                    f'option "{key}" of a table of catalog "{self._name}" is the catalog\'s',
                    hint="Leave it out, or declare the table in another catalog.",
                    span=table.places.spans.get(key),
                    option=key,
                )
        own = {k: v for k, v in given.items() if k not in fixed}
        for key in sorted(self._kind_options() & own.keys()):
            raise SqlError(
                f'option "{key}" of a table of catalog "{self._name}" is the catalog\'s',
                hint=f"Give it in CREATE CATALOG {self._name} WITH (…).",
                span=table.places.spans.get(key),
                option=key,
            )
        return replace(table, options=tuple({**fixed, **own}.items()))

    def put(self, added: CatalogObject) -> None:
        if isinstance(added, CatalogView):
            raise SqlError(
                f'catalog "{self._name}" of type "{self._kind.name}" keeps no views',
                hint="CREATE TEMPORARY VIEW makes one for this session.",
            )
        path = added.path
        if self._external.table(path.database, path.name) is not None:
            raise SqlError(
                f'table "{path}" is there and cannot be replaced',
                hint=f"DROP TABLE {path.name} removes it with its rows.",
            )
        self._external.create_table(path.database, path.name, self._stated(added))

    def refusals(
        self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        try:
            new = self.completed(new)
        except SqlError as error:
            # Its place is in the text of the whole table.
            raise error.with_sql(new.script) if error.span else error from None
        return self._external.refusals(self._stated(old), self._stated(new), renamed)

    def alter(self, old: CatalogTable, new: CatalogTable, renamed: Mapping[str, str]) -> None:
        path = new.path
        new = self.completed(new)
        self._external.alter_table(
            path.database, path.name, self._stated(old), self._stated(new), renamed
        )

    def rename(self, known: CatalogObject, path: ObjectPath) -> None:
        self._external.rename_table(path.database, known.path.name, path.name)

    def remove(self, path: ObjectPath) -> None:
        self._external.drop_table(path.database, path.name)

    def _kind_options(self) -> set[str]:
        return {o.key for o in self._kind.options if "#" not in o.key}

    def _stated(self, table: CatalogTable) -> ExternalTable:
        fixed = self._external.table_options(table.path.database, table.path.name)
        columns = []
        for column in table.columns:
            assert column.type is not None
            columns.append(ExternalColumn(column.name, column.type, column.comment))
        return ExternalTable(
            tuple(columns),
            table.primary_key,
            table.partition_keys,
            {k: v for k, v in table.options if k not in fixed},
            table.comment,
        )

    # Functions

    def function_names(self, database: str) -> list[str]:
        del database
        return []

    def function(self, path: ObjectPath) -> UserFunction | None:
        del path
        return None

    def put_function(self, function: UserFunction) -> None:
        del function
        raise SqlError(
            f'catalog "{self._name}" of type "{self._kind.name}" keeps no functions',
            hint="CREATE TEMPORARY FUNCTION makes one for this session.",
        )

    def remove_function(self, path: ObjectPath) -> None:
        raise AssertionError(path)
