"""Statements about catalogs, databases, modules and jobs, and those that show what there is."""

from __future__ import annotations

from dataclasses import dataclass

from flowsql.errors import Span
from flowsql.sql.statements import Name, Option, PartitionValue, Statement

__all__ = [
    "AlterCatalog",
    "AlterDatabase",
    "CheckTable",
    "CreateCatalog",
    "CreateDatabase",
    "Describe",
    "DescribeJob",
    "DescribeObject",
    "DropCatalog",
    "DropDatabase",
    "Like",
    "LoadModule",
    "OptionChange",
    "Show",
    "ShowCreate",
    "ShowPartitions",
    "StopJob",
    "UnloadModule",
    "Use",
    "UseCatalog",
    "UseModules",
]


@dataclass(frozen=True, slots=True)
class Like:
    """`[NOT] LIKE 'pattern'`, or ILIKE, where case does not matter."""

    pattern: str
    negated: bool = False
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class OptionChange:
    """`SET ('key' = 'value', …)` or `RESET ('key', …)` of an ALTER; `spans` are the keys'."""

    set: tuple[Option, ...] = ()
    reset: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCatalog(Statement):
    """`USE CATALOG name`."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Use(Statement):
    """`USE [catalog.]database`."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class UseModules(Statement):
    """`USE MODULES name, …`."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadModule(Statement):
    """`LOAD MODULE name [WITH (…)]`."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadModule(Statement):
    """`UNLOAD MODULE name`."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCatalog(Statement):
    """`CREATE CATALOG [IF NOT EXISTS] name [COMMENT '…'] WITH (…)`."""

    name: Name
    options: tuple[Option, ...] = ()
    comment: str | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCatalog(Statement):
    """`DROP CATALOG [IF EXISTS] name`."""

    name: Name
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterCatalog(Statement):
    """`ALTER CATALOG name SET (…) | RESET (…) | COMMENT '…'`."""

    name: Name
    change: OptionChange | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDatabase(Statement):
    """`CREATE DATABASE [IF NOT EXISTS] [catalog.]name [COMMENT '…'] [WITH (…)]`."""

    name: Name
    options: tuple[Option, ...] = ()
    comment: str | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropDatabase(Statement):
    """`DROP DATABASE [IF EXISTS] [catalog.]name [RESTRICT | CASCADE]`."""

    name: Name
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlterDatabase(Statement):
    """`ALTER DATABASE [catalog.]name SET (…)`."""

    name: Name
    change: OptionChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Show(Statement):
    """`SHOW kind [FROM name] [[NOT] LIKE 'pattern']`.

    `kind` is the words behind SHOW: TABLES, VIEWS, CATALOGS, DATABASES, FUNCTIONS, USER FUNCTIONS,
    COLUMNS, MODELS, MATERIALIZED TABLES, CURRENT CATALOG, CURRENT DATABASE, MODULES, FULL MODULES, JOBS, SOURCES,
    JARS.
    """

    kind: str
    name: Name | None = None
    like: Like | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPartitions(Statement):
    """`SHOW PARTITIONS table [PARTITION (column = value, …)]`."""

    name: Name
    partition: tuple[PartitionValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTable(Statement):
    """`CHECK TABLE name`."""

    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCreate(Statement):
    """`SHOW CREATE TABLE|VIEW|CATALOG|FUNCTION name`; `kind` is the word."""

    kind: str
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe(Statement):
    """`DESCRIBE [EXTENDED] name` of a table or view."""

    name: Name
    extended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeObject(Statement):
    """`DESCRIBE CATALOG|DATABASE|FUNCTION [EXTENDED] name`; `kind` is the word."""

    kind: str
    name: Name
    extended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeJob(Statement):
    """`DESCRIBE JOB 'id'`."""

    job: str
    job_span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class StopJob(Statement):
    """`STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`."""

    job: str
    job_span: Span
    savepoint: bool = False
    drain: bool = False
