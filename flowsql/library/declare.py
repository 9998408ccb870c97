"""Embedded tables as declarations of the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowsql.catalog import Catalog, CatalogTable, declare_table
from flowsql.errors import ConfigError, nearest
from flowsql.sql import CreateTable, parse_statement
from flowsql.types import (
    Field,
    LocalZonedTimestampType,
    RowType,
    TimestampType,
    quote_identifier,
)

__all__ = ["declare_embedded"]

_ROWTIME_PRECISION = 3


def declare_embedded(
    name: str,
    row: RowType,
    primary_key: Sequence[str],
    watermark: str | None,
    catalog: Catalog,
) -> CatalogTable:
    """The temporary table that stands for an embedded input.

    The watermark is SQL text that begins with its rowtime column, or `column AS expression`.

    Raises:
        ConfigError: the key or the watermark names an unknown column.
        SqlError: the watermark is no expression.
    """
    for column in primary_key:
        _known(column, row, "primary_key")
    column, expression = _watermark(watermark, row) if watermark is not None else ("", "")
    parts = [
        _column(field, rowtime=watermark is not None and field.name == column)
        for field in row.fields
    ]
    if primary_key:
        keys = ", ".join(map(quote_identifier, primary_key))
        parts.append(f"PRIMARY KEY ({keys}) NOT ENFORCED")
    if watermark is not None:
        parts.append(f"WATERMARK FOR {quote_identifier(column)} AS {expression}")
    body = ",\n  ".join(parts)
    text = (
        f"CREATE TEMPORARY TABLE {quote_identifier(name)} (\n  {body}\n) "
        "WITH ('connector' = 'embedded')"
    )
    statement = parse_statement(text)
    assert isinstance(statement, CreateTable)
    return declare_table(statement, catalog, text)


def _column(field: Field, *, rowtime: bool) -> str:
    """Event time has at most milliseconds in Flink; Arrow's timestamps mostly have more."""
    kind = field.type
    if (
        rowtime
        and isinstance(kind, TimestampType | LocalZonedTimestampType)
        and kind.precision > _ROWTIME_PRECISION
    ):
        kind = replace(kind, precision=_ROWTIME_PRECISION)
    return f"{quote_identifier(field.name)} {kind}"


def _watermark(text: str, row: RowType) -> tuple[str, str]:
    head, separator, expression = text.partition(" AS ")
    if separator:
        return _known(head.strip().strip("`"), row, "watermark"), expression
    word = text.strip().split()[0] if text.strip() else ""
    return _known(word.strip("`"), row, "watermark"), text


def _known(column: str, row: RowType, where: str) -> str:
    if column not in row.names:
        near = nearest(column, row.names)
        raise ConfigError(
            f'{where} names column "{column}", which does not exist',
            hint=f'Did you mean "{near}"?' if near else f"Columns: {', '.join(row.names)}.",
        )
    return column
