"""What ALTER TABLE may make of a table whose rows stay as they are written.

| change | is it done |
| --- | --- |
| a new column | if it may be NULL: the rows that are there have no value for it |
| INT → BIGINT, FLOAT → DOUBLE, DECIMAL(p, s) → DECIMAL(more, s) | yes |
| any other type, or one inside ARRAY, MAP and ROW | no |
| NOT NULL is taken away | unless the column is in the PRIMARY KEY |
| NOT NULL is added | no: rows that are there may hold NULL |
| a column that divides the files is dropped | no |
| how files are divided, the format version | no |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from flowsql import types as f
from flowsql.connector import ExternalColumn, ExternalTable
from flowsql.errors import ConfigError, FlowSQLError, SqlError
from flowsql_connectors.iceberg.schema import iceberg_type, partition_columns

__all__ = ["refusals", "same_type"]

_FORMAT: Final = "format-version"
_PARTITIONING: Final = "partitioning"
_ANEW: Final = "Make another table so, and fill it: CREATE TABLE … AS SELECT."
_ROWS_STAY: Final = "Rows that are there are not written anew."


def refusals(
    old: ExternalTable, new: ExternalTable, renamed: Mapping[str, str]
) -> Iterator[tuple[str | None, FlowSQLError]]:
    """What stands in the way of making `new` of `old`, each with the new name of its column.

    Args:
        old: as it is.
        new: as it is to be.
        renamed: columns that are called otherwise now: old name → new name.
    """
    if _divided(old) != _divided(new):
        yield None, _fixed("how the files of an Iceberg table are divided", _PARTITIONING)
    if old.properties.get(_FORMAT) != new.properties.get(_FORMAT):
        yield None, _fixed("the format version of an Iceberg table", _FORMAT)
    before = {c.name: c for c in old.columns}
    former = {new_name: old_name for old_name, new_name in renamed.items()}
    kept = {former.get(c.name, c.name) for c in new.columns}
    for name in partition_columns(old.properties.get(_PARTITIONING) or ""):
        if name in before and name not in kept:
            yield (
                name,
                SqlError(f'column "{name}" divides the files of the table and cannot be dropped'),
            )
    for column in new.columns:
        was = before.get(former.get(column.name, column.name))
        try:
            found = _added(column) if was is None else _changed(was, column, new.primary_key)
        except ConfigError as error:
            found = _cannot_hold(column, error)
        if found is not None:
            yield column.name, found


def _divided(table: ExternalTable) -> tuple[object, ...]:
    return (table.partition_keys, table.properties.get(_PARTITIONING))


def _fixed(what: str, option: str) -> SqlError:
    return SqlError(f"{what} cannot be altered", detail=_ROWS_STAY, hint=_ANEW, option=option)


def _cannot_hold(column: ExternalColumn, error: ConfigError) -> SqlError:
    return SqlError(f'column "{column.name}" cannot be kept: {error.message}', hint=error.hint)


def _added(column: ExternalColumn) -> SqlError | None:
    iceberg_type(column.type)
    if column.type.nullable:
        return None
    return SqlError(
        f'new column "{column.name}" cannot be NOT NULL',
        detail="The rows that are there have no value for it.",
        hint="Leave NOT NULL out.",
    )


def _changed(
    was: ExternalColumn, column: ExternalColumn, primary_key: tuple[str, ...]
) -> SqlError | None:
    if not same_type(was.type, column.type) and not _widens(was.type, column.type):
        return SqlError(
            f'column "{column.name}" of type {was.type.with_nullable(True)} cannot become '
            f"{column.type.with_nullable(True)}",
            detail=f"{_ROWS_STAY} INT may become BIGINT, FLOAT DOUBLE, and a DECIMAL may get more "
            "digits in front of the point.",
            hint=f"ADD another column, or CAST({column.name} AS "
            f"{column.type.with_nullable(True)}) in the query.",
        )
    if was.type.nullable and not column.type.nullable:
        keyed = column.name in primary_key
        return SqlError(
            f'column "{column.name}" may hold NULL'
            + (" and cannot be in the PRIMARY KEY" if keyed else " and cannot become NOT NULL"),
            detail=_ROWS_STAY,
            hint=_ANEW,
        )
    return None


def same_type(one: f.DataType, other: f.DataType) -> bool:
    """Whether they are one type in Iceberg, NULL or not; a type that it has no other for is itself."""
    if one.with_nullable(nullable=True) == other.with_nullable(nullable=True):
        return True
    return iceberg_type(one) == iceberg_type(other)


def _widens(old: f.DataType, new: f.DataType) -> bool:
    match old, new:
        case (f.TinyIntType() | f.SmallIntType() | f.IntType(), f.BigIntType()):
            return True
        case f.FloatType(), f.DoubleType():
            return True
        case f.DecimalType(precision=p, scale=s), f.DecimalType(precision=more, scale=same):
            return more >= p and same == s
    return False
