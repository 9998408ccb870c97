"""The contract of catalogs that others keep: `CREATE CATALOG c WITH ('type' = '…')`.

A kind of catalog is found by its name through the entry points of the group `flowsql.catalogs`.
What it tells of a table is a declaration like one of CREATE TABLE: columns, a key, and the options
of the connector that reads and writes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from flowsql.config import Option, OptionValues
from flowsql.errors import FlowSQLError
from flowsql.types import DataType

__all__ = [
    "CatalogKind",
    "ExternalCatalog",
    "ExternalColumn",
    "ExternalDatabase",
    "ExternalTable",
]


@dataclass(frozen=True, slots=True)
class ExternalColumn:
    """A column; its type says whether it may be NULL."""

    name: str
    type: DataType
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table as its catalog knows it.

    Attributes:
        columns: in order.
        primary_key: names of columns.
        partition_keys: PARTITIONED BY.
        properties: what the catalog keeps beside, as text; no settings of the connection.
        comment: COMMENT.
    """

    columns: tuple[ExternalColumn, ...]
    primary_key: tuple[str, ...] = ()
    partition_keys: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ExternalDatabase:
    """A database, with what was said of it."""

    comment: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class ExternalCatalog(ABC):
    """One catalog; asked by one thread.

    Whatever is asked about a catalog that does not exist yet is answered as if it were empty.
    Every method may raise ConnectorError: it cannot be reached, or does not allow it.
    """

    @abstractmethod
    def make(self) -> None:
        """What must be there before anything can be made in it; called again it does nothing."""

    @abstractmethod
    def databases(self) -> Sequence[str]:
        """Their names, in any order."""

    @abstractmethod
    def database(self, name: str) -> ExternalDatabase | None:
        """The database of this name, or None."""

    @abstractmethod
    def create_database(self, name: str, database: ExternalDatabase) -> None:
        """Make one that is not there."""

    @abstractmethod
    def alter_database(self, name: str, database: ExternalDatabase) -> None:
        """Change what is said of one that is there."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Remove one that is there, and all in it."""

    @abstractmethod
    def tables(self, database: str) -> Sequence[str]:
        """The names of the tables of a database that is there, in any order."""

    @abstractmethod
    def table(self, database: str, name: str) -> ExternalTable | None:
        """The table of this name, or None.

        Raises:
            ConnectorError: it holds what no column of ours can hold, as well.
        """

    @abstractmethod
    def table_options(self, database: str, name: str) -> Mapping[str, str]:
        """WITH of a table of this name, there or not: `connector`, and how it finds the table.

        Values are as they were written in CREATE CATALOG, `${NAME}` included.
        """

    @abstractmethod
    def create_table(self, database: str, name: str, table: ExternalTable) -> None:
        """Make a table that is not there; its database is."""

    def refusals(
        self, old: ExternalTable, new: ExternalTable, renamed: Mapping[str, str]
    ) -> Iterable[tuple[str | None, FlowSQLError]]:
        """Why `alter_table` would not do it, as far as that is known without asking anybody.

        Args:
            old: as it is.
            new: as it is to be.
            renamed: as in `alter_table`.

        Returns:
            Each with the column that is at fault, if it is one.
        """
        del old, new, renamed
        return ()

    @abstractmethod
    def alter_table(
        self,
        database: str,
        name: str,
        old: ExternalTable,
        new: ExternalTable,
        renamed: Mapping[str, str],
    ) -> None:
        """Make the table that was `old` what `new` says; its rows stay.

        Args:
            database: that has it.
            name: of the table.
            old: as `table` gave it.
            new: as it is to be.
            renamed: columns of `old` that `new` calls by another name: old name → new name.
        """

    @abstractmethod
    def rename_table(self, database: str, name: str, new: str) -> None:
        """Give a table that is there a name that is free."""

    @abstractmethod
    def drop_table(self, database: str, name: str) -> None:
        """Remove a table that is there, with its rows."""


class CatalogKind(ABC):
    """A kind of catalog. Constructing one does no I/O and imports no client library.

    Attributes:
        name: the value of `'type' = …`.
        options: beside `type` and `default-database`.
        connector: of its tables.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    connector: ClassVar[str]

    def check(self, options: OptionValues) -> None:
        """Refuse what can be known without I/O; raises ConfigError."""
        del options

    @abstractmethod
    def open(self, name: str, options: OptionValues, written: Mapping[str, str]) -> ExternalCatalog:
        """The catalog; it need not be there, and nothing is made.

        Args:
            name: of the catalog in the session.
            options: parsed, `${…}` resolved.
            written: the same as text, `${…}` as written.

        Raises:
            ConnectorError: it cannot be reached.
        """
