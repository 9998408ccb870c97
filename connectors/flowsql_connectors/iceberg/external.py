"""`CREATE CATALOG c WITH ('type' = 'iceberg', …)`: its databases and tables, as the engine asks for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from flowsql.connector import (
    CatalogKind,
    ConnectorTable,
    ExternalCatalog,
    ExternalColumn,
    ExternalDatabase,
    ExternalTable,
    Option,
    OptionValues,
    parse_options,
)
from flowsql.errors import ConnectorError, FlowSQLError, nearest
from flowsql.types import Field, RowType
from flowsql_connectors.iceberg.address import (
    METADATA_TABLES,
    CatalogAddress,
    Identifier,
    catalog_address,
    check_catalog_options,
    metadata_name,
    namespace_of,
)
from flowsql_connectors.iceberg.catalogs import open_catalog
from flowsql_connectors.iceberg.evolution import refusals, same_type
from flowsql_connectors.iceberg.options import CATALOG_OPTIONS, MADE_WITH, OPTIONS, WRITE_OPTIONS
from flowsql_connectors.iceberg.schema import (
    check_types,
    flink_type,
    iceberg_schema,
    iceberg_type,
    partition_spec,
    partitioning_text,
)
from flowsql_connectors.iceberg.telling import needing_client, telling

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.update.schema import UpdateSchema

__all__ = ["KIND", "IcebergCatalogKind"]

_COMMENT: Final = "comment"
_FORMAT: Final = "format-version"
_PARTITIONING: Final = "partitioning"
# What is said of a table by other means.
_NO_PROPERTY: Final = frozenset({_FORMAT, _PARTITIONING, _COMMENT})
# Kinds whose namespaces have levels.
_LEVELS: Final = frozenset({"sql", "rest"})
# SQL catalogs keep it for namespaces that have nothing else.
_PLACEHOLDER: Final = "exists"


class IcebergCatalogKind(CatalogKind):
    """Catalogs of Iceberg tables."""

    name = "iceberg"
    options: ClassVar[tuple[Option, ...]] = CATALOG_OPTIONS
    connector = "iceberg"

    def check(self, options: OptionValues) -> None:
        check_catalog_options(options)

    def open(self, name: str, options: OptionValues, written: Mapping[str, str]) -> ExternalCatalog:
        catalog = _Catalog(catalog_address(options, name), written)
        with needing_client():
            import pyiceberg  # noqa: F401, PLC0415 - told first, not by what is asked first
        catalog.reach()
        return catalog


class _Catalog(ExternalCatalog):
    """One catalog.

    Args:
        address: where it is.
        written: its options as text, for the tables.
    """

    def __init__(self, address: CatalogAddress, written: Mapping[str, str]) -> None:
        self._address = address
        self._written = dict(written)

    def make(self) -> None:
        open_catalog(self._address, make=True)

    def reach(self) -> None:
        """Ask it something."""
        catalog = self._there()
        if catalog is not None:
            with telling(self._address):
                catalog.list_namespaces()

    def _there(self) -> Catalog | None:
        """The catalog, or None where its file is not made yet."""
        file = self._address.file
        return None if file is not None and not file.exists() else open_catalog(self._address)

    # Databases

    def databases(self) -> Sequence[str]:
        catalog = self._there()
        if catalog is None:
            return ()
        with telling(self._address):
            return [".".join(n) for n in self._levels(catalog, ())]

    def _levels(self, catalog: Catalog, above: Identifier) -> Iterator[Identifier]:
        """The namespaces below one, each before those below it."""
        for found in catalog.list_namespaces(above):
            yield found
            if self._address.kind in _LEVELS:
                yield from self._levels(catalog, found)

    def database(self, name: str) -> ExternalDatabase | None:
        from pyiceberg.exceptions import NoSuchNamespaceError  # noqa: PLC0415 - the client

        catalog = self._there()
        if catalog is None:
            return None
        with telling(self._address):
            try:
                found = dict(catalog.load_namespace_properties(namespace_of(name)))
            except NoSuchNamespaceError:
                return None
        found.pop(_PLACEHOLDER, None)
        return ExternalDatabase(found.pop(_COMMENT, None), found)

    def create_database(self, name: str, database: ExternalDatabase) -> None:
        catalog = open_catalog(self._address, make=True)
        with telling(self._address, catalog, namespace_of(name)):
            catalog.create_namespace(namespace_of(name), _said(database))

    def alter_database(self, name: str, database: ExternalDatabase) -> None:
        catalog = open_catalog(self._address)
        with telling(self._address, catalog, namespace_of(name)):
            old = catalog.load_namespace_properties(namespace_of(name))
            new = _said(database)
            gone = set(old) - set(new) - {_PLACEHOLDER, "location"}
            changed = {k: v for k, v in new.items() if old.get(k) != v}
            catalog.update_namespace_properties(namespace_of(name), gone, changed)

    def drop_database(self, name: str) -> None:
        catalog = open_catalog(self._address)
        with telling(self._address, catalog, namespace_of(name)):
            below = [".".join(n) for n in self._levels(catalog, namespace_of(name))]
        if below:
            raise ConnectorError(
                f'database "{name}" has others below it: {", ".join(below)}',
                hint="Drop these first.",
            )
        for table in self.tables(name):
            self.drop_table(name, table)
        with telling(self._address, catalog, namespace_of(name)):
            catalog.drop_namespace(namespace_of(name))

    # Tables

    def tables(self, database: str) -> Sequence[str]:
        catalog = self._there()
        if catalog is None:
            return ()
        with telling(self._address, catalog, namespace_of(database)):
            return [t[-1] for t in catalog.list_tables(namespace_of(database))]

    def table(self, database: str, name: str) -> ExternalTable | None:
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415

        catalog = self._there()
        if catalog is None:
            return None
        base, kind = metadata_name(name)
        identifier = (*namespace_of(database), base)
        with telling(self._address, catalog, identifier):
            try:
                table = catalog.load_table(identifier)
            except (NoSuchTableError, NoSuchNamespaceError):
                self._check_asked(catalog, identifier)
                return None
            if kind is not None:
                from flowsql_connectors.iceberg.scan.metadata import (  # noqa: PLC0415 - the client
                    described_metadata,
                )

                return described_metadata(table, kind)
        return _described(table)

    def _check_asked(self, catalog: Catalog, identifier: Identifier) -> None:
        """Refuse `t$snaps` where there is a table `t`."""
        *space, name = identifier
        base, dollar, asked = name.rpartition("$")
        if dollar and base and catalog.table_exists((*space, base)):
            near = nearest(asked, METADATA_TABLES)
            known = ", ".join(METADATA_TABLES)
            raise ConnectorError(
                f'table "{base}" has no "{name}"',
                hint=f'Did you mean "{base}${near}"?'
                if near
                else f"Behind the $ stands one of {known}.",
            )

    def table_options(self, database: str, name: str) -> Mapping[str, str]:
        return {
            "connector": IcebergCatalogKind.connector,
            "catalog-name": self._address.name,
            **self._written,
            "catalog-database": database,
            "catalog-table": name,
        }

    def create_table(self, database: str, name: str, table: ExternalTable) -> None:
        declared = self._declared(database, name, table)
        check_types(declared)
        catalog = open_catalog(self._address, make=True)
        identifier = (*namespace_of(database), name)
        properties = {**MADE_WITH, **_properties(table)}
        properties[_FORMAT] = str(declared.options[_FORMAT])
        with telling(self._address, catalog, identifier):
            schema = _commented(iceberg_schema(declared), table.columns)
            spec = partition_spec(declared, schema)
            catalog.create_table(identifier, schema, partition_spec=spec, properties=properties)

    def _declared(self, database: str, name: str, table: ExternalTable) -> ConnectorTable:
        fields = tuple(Field(c.name, c.type, c.comment) for c in table.columns)
        where = f'table "{name}"'
        given = {**self.table_options(database, name), **table.properties}
        given.pop("connector")
        for key, text in given.items():
            # The connection is settled: what the table itself says may need no environment.
            if "${" in text:
                given[key] = ""
        known = {k: v for k, v in given.items() if v}
        return ConnectorTable(
            f"{self._address.name}.{database}.{name}",
            RowType(fields, nullable=False),
            parse_options(OPTIONS, known, where=where),
            table.primary_key,
            table.partition_keys,
            declared_name=name,
        )

    def refusals(
        self, old: ExternalTable, new: ExternalTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        return refusals(old, new, renamed)

    @staticmethod
    def _check_changeable(name: str) -> None:
        base, kind = metadata_name(name)
        if kind is not None:
            raise ConnectorError(f'table "{name}" tells about table "{base}" and cannot be changed')

    def alter_table(
        self,
        database: str,
        name: str,
        old: ExternalTable,
        new: ExternalTable,
        renamed: Mapping[str, str],
    ) -> None:
        self._check_changeable(name)
        catalog = open_catalog(self._address)
        identifier = (*namespace_of(database), name)
        with telling(self._address, catalog, identifier):
            table = catalog.load_table(identifier)
            before, after = _properties(old), _properties(new)
            gone = tuple(before.keys() - after.keys())
            changed = {k: v for k, v in after.items() if before.get(k) != v}
            with table.transaction() as transaction:
                if (old.columns, old.primary_key) != (new.columns, new.primary_key):
                    with transaction.update_schema() as update:
                        _update(update, old, new, renamed)
                if gone:
                    transaction.remove_properties(*gone)
                if changed:
                    transaction.set_properties(changed)

    def rename_table(self, database: str, name: str, new: str) -> None:
        self._check_changeable(name)
        catalog = open_catalog(self._address)
        space = namespace_of(database)
        with telling(self._address, catalog, (*space, name)):
            catalog.rename_table((*space, name), (*space, new))

    def drop_table(self, database: str, name: str) -> None:
        from flowsql_connectors.iceberg.clients import purge  # noqa: PLC0415 - the client

        self._check_changeable(name)
        catalog = open_catalog(self._address)
        identifier = (*namespace_of(database), name)
        with telling(self._address, catalog, identifier):
            kept = catalog.load_table(identifier).properties.get("gc.enabled", "true") == "false"
            if kept:
                # Others may use its files.
                catalog.drop_table(identifier)
            else:
                purge(catalog, identifier)


def _said(database: ExternalDatabase) -> dict[str, str]:
    comment = {} if database.comment is None else {_COMMENT: database.comment}
    return {**database.properties, **comment}


def _properties(table: ExternalTable) -> dict[str, str]:
    comment = {} if table.comment is None else {_COMMENT: table.comment}
    kept = {k: v for k, v in table.properties.items() if k not in _NO_PROPERTY}
    return {**kept, **comment}


def _described(table: Table) -> ExternalTable:
    schema, spec = table.schema(), table.spec()
    properties = {
        k: v
        for k, v in table.properties.items()
        if any(o.matches(k) for o in WRITE_OPTIONS) and MADE_WITH.get(k) != v
    }
    if table.format_version != 2:
        properties[_FORMAT] = str(table.format_version)
    plain = all(str(p.transform) == "identity" for p in spec.fields)
    if not plain:
        properties[_PARTITIONING] = partitioning_text(spec, schema)
    key = set(schema.identifier_field_ids)
    return ExternalTable(
        tuple(
            ExternalColumn(x.name, flink_type(x.field_type, required=x.required), x.doc)
            for x in schema.fields
        ),
        tuple(x.name for x in schema.fields if x.field_id in key),
        tuple(schema.find_column_name(p.source_id) or "" for p in spec.fields) if plain else (),
        properties,
        table.properties.get(_COMMENT),
    )


def _commented(schema: Schema, columns: Iterable[ExternalColumn]) -> Schema:
    """The schema with the comments of its columns."""
    comments = {c.name: c.comment for c in columns}
    fields = [x.model_copy(update={"doc": comments.get(x.name)}) for x in schema.fields]
    return type(schema)(*fields, identifier_field_ids=schema.identifier_field_ids)


def _update(
    update: UpdateSchema, old: ExternalTable, new: ExternalTable, renamed: Mapping[str, str]
) -> None:
    """Every difference of the columns and the key."""
    before = {c.name: c for c in old.columns}
    former = {new_name: old_name for old_name, new_name in renamed.items()}
    kept = {former.get(c.name, c.name) for c in new.columns}
    for name in before:
        if name not in kept:
            update.delete_column(name)
    for column in new.columns:
        was = before.get(former.get(column.name, column.name))
        if was is None:
            update.add_column(
                column.name,
                iceberg_type(column.type),
                doc=column.comment,
                required=not column.type.nullable,
            )
            continue
        same = same_type(was.type, column.type)
        if not same or was.comment != column.comment:
            update.update_column(
                was.name,
                field_type=None if same else iceberg_type(column.type),
                doc=column.comment,
            )
        if was.type.nullable != column.type.nullable:
            update.update_column(was.name, required=not column.type.nullable)
    for name, to in renamed.items():
        update.rename_column(name, to)
    order = [former.get(c.name, c.name) for c in new.columns]
    if order != [n for n in before if n in kept] + [n for n in order if n not in before]:
        update.move_first(order[0])
        for previous, name in itertools.pairwise(order):
            update.move_after(name, previous)
    if old.primary_key != new.primary_key:
        update.set_identifier_fields(*new.primary_key)


KIND = IcebergCatalogKind()
