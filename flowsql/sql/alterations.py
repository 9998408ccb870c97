"""ALTER TABLE and ALTER VIEW: what is changed."""

from __future__ import annotations

from dataclasses import dataclass

from flowsql.errors import Span
from flowsql.sql.administration import OptionChange
from flowsql.sql.dialect import Query
from flowsql.sql.statements import Column, Distribution, Name, PrimaryKey, Statement, Watermark

__all__ = [
    "AddParts",
    "AlterTable",
    "AlterView",
    "Alteration",
    "DropColumns",
    "DropPart",
    "ModifyParts",
    "PlacedColumn",
    "RenameColumn",
    "RenameTable",
    "SchemaPart",
]


@dataclass(frozen=True, slots=True)
class PlacedColumn:
    """A column, the key declared with it, and `FIRST` or `AFTER column`.

    With neither it comes last, or stays in its place where it is modified.
    """

    column: Column
    key: PrimaryKey | None = None
    first: bool = False
    after: Name | None = None


SchemaPart = PlacedColumn | PrimaryKey | Watermark | Distribution


@dataclass(frozen=True, slots=True)
class AddParts:
    """`ADD part` or `ADD (part, …)`."""

    parts: tuple[SchemaPart, ...]


@dataclass(frozen=True, slots=True)
class ModifyParts:
    """`MODIFY part` or `MODIFY (part, …)`."""

    parts: tuple[SchemaPart, ...]


@dataclass(frozen=True, slots=True)
class DropColumns:
    """`DROP column` or `DROP (column, …)`."""

    columns: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class DropPart:
    """`DROP PRIMARY KEY | CONSTRAINT name | WATERMARK | DISTRIBUTION`; `kind` is the word.

    `kind` is KEY, CONSTRAINT, WATERMARK or DISTRIBUTION; `name` is the constraint's.
    """

    kind: str
    name: Name | None
    span: Span


@dataclass(frozen=True, slots=True)
class RenameColumn:
    """`RENAME old TO new`."""

    old: Name
    new: Name


@dataclass(frozen=True, slots=True)
class RenameTable:
    """`RENAME TO new`."""

    new: Name


Alteration = (
    AddParts | ModifyParts | DropColumns | DropPart | RenameColumn | RenameTable | OptionChange
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterTable(Statement):
    """`ALTER TABLE [IF EXISTS] name alteration`."""

    name: Name
    alteration: Alteration
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterView(Statement):
    """`ALTER VIEW [IF EXISTS] name RENAME TO new | AS query`; one of `rename`, `query` is set."""

    name: Name
    rename: RenameTable | None = None
    query: Query | None = None
    if_exists: bool = False
