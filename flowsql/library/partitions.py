"""SHOW PARTITIONS: asks the connector of a table what is there."""

from __future__ import annotations

from dataclasses import replace

from flowsql.catalog import Catalog, CatalogView
from flowsql.connector import Comparison, IsNull, Predicate, ScanFilter, Taken
from flowsql.errors import FlowSQLError, SqlError
from flowsql.expr import Expression, Literal
from flowsql.library.result import Result, text_result
from flowsql.logical import Binder, connector_table, partition_values
from flowsql.sql import Name, ShowPartitions
from flowsql.types import DataType

__all__ = ["show_partitions"]


def show_partitions(statement: ShowPartitions, catalog: Catalog, binder: Binder) -> Result:
    """The names of a table's partitions, as they stand in paths.

    Raises:
        SqlError: there is no such table, it is not partitioned, or a value does not fit its column.
        FlowSQLError: the connector cannot tell.
    """
    name = statement.name
    found = catalog.find(name.parts, name.span)
    if isinstance(found, CatalogView) or (statement.partition and not found.partition_keys):
        raise _not_partitioned(name)
    bound = binder.tables.bind(found, span=name.span)
    wanted = []
    for at, value in partition_values(statement.partition, name, bound).items():
        column = bound.columns[at]
        predicate = _equal(column.name, column.type, value)
        wanted.append(ScanFilter(predicate, Taken.EXACT, partitions=True))
    table = replace(connector_table(bound, binder.tables), filters=tuple(wanted))
    try:
        partitions = bound.connector.partitions(table)
    except FlowSQLError as error:
        error.span = error.span or name.span
        raise
    if partitions is None and not found.partition_keys:
        raise _not_partitioned(name)
    if partitions is None:
        raise SqlError(
            f'connector "{bound.connector.name}" cannot tell the partitions of "{name}"',
            span=name.span,
        )
    return text_result("partition name", partitions)


def _not_partitioned(name: Name) -> SqlError:
    return SqlError(
        f'"{name}" is not partitioned',
        hint="A table is by PARTITIONED BY (…) behind its columns.",
        span=name.span,
    )


def _equal(column: str, kind: DataType, value: Expression) -> Predicate:
    assert isinstance(value, Literal)
    if value.value is None:
        return IsNull(column, kind)
    if isinstance(value.value, bytes):
        raise SqlError(
            f'partitions cannot be chosen by "{column}" of type {kind.with_nullable(True)}',
            span=value.span,
        )
    return Comparison(column, kind, "=", value.value)
