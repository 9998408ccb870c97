"""Statements that define and fill tables, as frozen values; each knows where it stands.

`administration` and `alterations` hold the others. Queries and expressions inside are nodes of `flowsql.sql.dialect`; types are `flowsql.types`.
Adding a statement: a class here, a rule in `statements.lark`, a method in `transformer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import expressions as exp

from flowsql.errors import Span
from flowsql.sql.dialect import Query
from flowsql.types import DataType

__all__ = [
    "Column",
    "CompilePlan",
    "ComputedColumn",
    "CreateTable",
    "CreateView",
    "Distribution",
    "DropTable",
    "DropView",
    "ExecutePlan",
    "Explain",
    "Insert",
    "LikeOption",
    "MetadataColumn",
    "Name",
    "Option",
    "PartitionValue",
    "PhysicalColumn",
    "PrimaryKey",
    "QueryStatement",
    "Reset",
    "Set",
    "Statement",
    "StatementSet",
    "TableLike",
    "Watermark",
]


@dataclass(frozen=True, slots=True)
class Name:
    """`a`, `db.a` or `cat.db.a`, without quotes."""

    parts: tuple[str, ...]
    span: Span

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Base of all statements; `span` reaches from the first to the last token."""

    span: Span


@dataclass(frozen=True, slots=True)
class Option:
    """`'key' = 'value'` of WITH."""

    key: str
    value: str
    key_span: Span
    value_span: Span


@dataclass(frozen=True, slots=True)
class PhysicalColumn:
    """`name TYPE [COMMENT '…']`: stored by the connector."""

    name: Name
    type: DataType
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ComputedColumn:
    """`name AS expression [COMMENT '…']`."""

    name: Name
    expression: exp.Expr
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class MetadataColumn:
    """`name TYPE METADATA [FROM 'key'] [VIRTUAL] [COMMENT '…']`; without FROM, `key` is None."""

    name: Name
    type: DataType
    key: str | None = None
    virtual: bool = False
    comment: str | None = None


Column = PhysicalColumn | ComputedColumn | MetadataColumn


@dataclass(frozen=True, slots=True)
class PrimaryKey:
    """`[CONSTRAINT name] PRIMARY KEY (columns) NOT ENFORCED`."""

    columns: tuple[Name, ...]
    name: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Watermark:
    """`WATERMARK FOR column AS expression`; a nested column has several parts."""

    column: Name
    expression: exp.Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Distribution:
    """`DISTRIBUTED BY [HASH|RANGE](columns) [INTO n BUCKETS]`."""

    kind: str | None
    columns: tuple[Name, ...]
    buckets: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class LikeOption:
    """`INCLUDING ALL` and the like; both words in upper case."""

    strategy: str
    what: str
    span: Span


@dataclass(frozen=True, slots=True)
class TableLike:
    """`LIKE source [(options)]`."""

    source: Name
    options: tuple[LikeOption, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTable(Statement):
    """`CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (…) … [LIKE source | AS query]`.

    `order` are the columns of `CREATE TABLE t (a, b) … AS`, which only puts the query's columns in
    order; `replace` says that the table may be there.
    """

    name: Name
    columns: tuple[Column, ...]
    primary_key: PrimaryKey | None = None
    watermark: Watermark | None = None
    comment: str | None = None
    partitioned_by: tuple[Name, ...] = ()
    distribution: Distribution | None = None
    options: tuple[Option, ...] = ()
    temporary: bool = False
    if_not_exists: bool = False
    like: TableLike | None = None
    query: Query | None = None
    order: tuple[Name, ...] = ()
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateView(Statement):
    """`CREATE [OR REPLACE] [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT '…'] AS query`.

    OR REPLACE replaces nothing, as in Flink: a view that is there is an error.
    """

    name: Name
    query: Query
    columns: tuple[Name, ...] = ()
    comment: str | None = None
    temporary: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTable(Statement):
    """`DROP [TEMPORARY] TABLE [IF EXISTS] name`."""

    name: Name
    temporary: bool = False
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropView(Statement):
    """`DROP [TEMPORARY] VIEW [IF EXISTS] name`."""

    name: Name
    temporary: bool = False
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class PartitionValue:
    """`column = literal` of INSERT … PARTITION; without a value the partition is dynamic."""

    column: Name
    value: exp.Expr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert(Statement):
    """`INSERT INTO|OVERWRITE table [PARTITION (…)] [(columns)] query [ON CONFLICT DO …]`.

    `on_conflict` is ERROR, NOTHING, DEDUPLICATE or None; hints stand behind the table's name.
    """

    table: Name
    query: Query
    partition: tuple[PartitionValue, ...] = ()
    columns: tuple[Name, ...] = ()
    hints: tuple[exp.Expr, ...] = ()
    on_conflict: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSet(Statement):
    """`EXECUTE STATEMENT SET BEGIN insert; … END`: one job."""

    inserts: tuple[Insert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStatement(Statement):
    """A query by itself: its result is shown."""

    query: Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Statement):
    """`SET 'key' = 'value'`, or `SET` to list all."""

    key: str | None = None
    value: str | None = None
    key_span: Span | None = None
    value_span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Statement):
    """`RESET 'key'`, or `RESET` for all."""

    key: str | None = None
    key_span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain(Statement):
    """`EXPLAIN [CHANGELOG_MODE, …] [PLAN FOR] statement`; `details` in upper case."""

    statement: Insert | StatementSet | QueryStatement | CreateTable
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilePlan(Statement):
    """`COMPILE [AND EXECUTE] PLAN 'file' [IF NOT EXISTS] FOR statement`."""

    path: str
    path_span: Span
    statement: Insert | StatementSet
    if_not_exists: bool = False
    execute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutePlan(Statement):
    """`EXECUTE PLAN 'file'`."""

    path: str
    path_span: Span
