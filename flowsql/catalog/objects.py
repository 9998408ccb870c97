"""Tables and views as they were declared: nothing here is bound, parsed or resolved.

Options are the text of the DDL, `${NAME}` included; expressions are nodes of the parser beside
their text. `logical/tables.py` turns a declaration into something a plan can read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sqlglot import expressions as exp

from flowsql.config import OptionPlaces
from flowsql.errors import Span
from flowsql.sql.dialect import Query
from flowsql.types import DataType, quote_identifier

__all__ = [
    "CatalogColumn",
    "CatalogTable",
    "CatalogView",
    "ColumnKind",
    "Database",
    "ObjectPath",
    "UserFunction",
    "WatermarkClause",
]


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """The full name of a table or view."""

    catalog: str
    database: str
    name: str

    def __str__(self) -> str:
        return f"{self.catalog}.{self.database}.{self.name}"

    @property
    def quoted(self) -> str:
        """The name as SQL text."""
        return ".".join(map(quote_identifier, (self.catalog, self.database, self.name)))


@dataclass(frozen=True, slots=True)
class Database:
    """A database, with what was said of it."""

    name: str
    comment: str | None = None
    options: tuple[tuple[str, str], ...] = ()


class ColumnKind(Enum):
    """Where a column's values come from."""

    PHYSICAL = "physical"
    METADATA = "metadata"
    COMPUTED = "computed"


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """One column of a table.

    Attributes:
        name: as written.
        kind: where its values come from.
        type: the declared type; None for a computed column, whose type is its expression's.
        expression: of a computed column.
        text: the expression as written.
        metadata_key: the connector's key of a metadata column; the column's name if not said.
        virtual: a metadata column that a sink does not take.
        comment: COMMENT.
        span: of its name.
    """

    name: str
    kind: ColumnKind
    type: DataType | None
    expression: exp.Expr | None = field(default=None, compare=False)
    text: str | None = None
    metadata_key: str | None = None
    virtual: bool = False
    comment: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class WatermarkClause:
    """`WATERMARK FOR column AS text`."""

    column: str
    expression: exp.Expr = field(compare=False)
    text: str


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A declared table.

    Attributes:
        path: full name.
        columns: in order of the DDL.
        options: WITH, in order, values as written.
        primary_key: names, in order; those columns are NOT NULL.
        watermark: its event time, or None.
        partition_keys: PARTITIONED BY.
        key_name: CONSTRAINT of the primary key.
        distribution: what stands behind DISTRIBUTED; nothing is spread by it here.
        comment: COMMENT.
        temporary: shadows a permanent object of the same name.
        script: the text that the spans of `columns` and `watermark` point into.
        places: where the options stand in it.
        file: that the text is, or None.
    """

    path: ObjectPath
    columns: tuple[CatalogColumn, ...]
    options: tuple[tuple[str, str], ...] = ()
    primary_key: tuple[str, ...] = ()
    watermark: WatermarkClause | None = None
    partition_keys: tuple[str, ...] = ()
    key_name: str | None = None
    distribution: str | None = None
    comment: str | None = None
    temporary: bool = False
    script: str = field(default="", compare=False, repr=False)
    places: OptionPlaces = field(default_factory=OptionPlaces, compare=False, repr=False)
    file: str | None = field(default=None, compare=False, repr=False)

    @property
    def connector(self) -> str | None:
        """The value of `'connector'`, or None."""
        return dict(self.options).get("connector")


@dataclass(frozen=True, slots=True)
class CatalogView:
    """A named query.

    Attributes:
        path: full name.
        query: its AST.
        text: the query as written.
        columns: names given to its columns, or empty.
        database: catalog and database in which its names are looked up.
        comment: COMMENT.
        temporary: shadows a permanent object of the same name.
        script: the text that the spans of `query` point into.
        file: that the text is, or None.
    """

    path: ObjectPath
    query: Query = field(compare=False)
    text: str
    columns: tuple[str, ...] = ()
    database: tuple[str, str] = ("", "")
    comment: str | None = None
    temporary: bool = False
    script: str = field(default="", compare=False, repr=False)
    file: str | None = field(default=None, compare=False, repr=False)


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
