"""Embedded tables: what a program gives, and their declarations in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from flowsql.catalog import Catalog, CatalogTable, declare_table
from flowsql.changelog import ChangelogMode
from flowsql.errors import ConfigError, nearest
from flowsql.library.embedded import Batches, EmbeddedInput, Item
from flowsql.sql import CreateTable, parse_statement
from flowsql.types import (
    BitmapType,
    Field,
    LocalZonedTimestampType,
    RowType,
    TimestampType,
    quote_identifier,
    row_type_of,
)
from flowsql.types.common import holds, is_nested

__all__ = ["changes_given", "declare_embedded", "rows_given"]

_ROWTIME_PRECISION = 3


def rows_given(name: str, data: Any) -> tuple[RowType, EmbeddedInput]:
    """The columns of Arrow data, or of what exports itself as an Arrow stream, and its rows.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    elif not isinstance(data, pa.Table):
        if not hasattr(data, "__arrow_c_stream__"):
            raise ConfigError(
                f'table "{name}" cannot be made of a {type(data).__name__}',
                hint="Give a pyarrow Table, RecordBatch or RecordBatchReader, or what exports "
                "itself as an Arrow stream.",
            )
        data = pa.RecordBatchReader.from_stream(data).read_all()
    given = EmbeddedInput(Batches(data), ChangelogMode.APPEND, stepwise=False)
    return row_type_of(data.schema), given


def changes_given(
    name: str,
    schema: pa.Schema | RowType,
    steps: Iterable[Item],
    mode: ChangelogMode | str | None,
    *,
    keyed: bool,
) -> tuple[RowType, EmbeddedInput]:
    """The columns and the changes of a table whose every item is one step.

    Raises:
        ConfigError: the schema or the mode is none, or upserts come without a key.
    """
    if not isinstance(schema, pa.Schema | RowType):
        raise ConfigError(
            f'table "{name}": the schema is a {type(schema).__name__}',
            hint="Give a pyarrow Schema: pa.schema([('id', pa.int64()), ('name', pa.string())]).",
        )
    form = _mode(steps, mode)
    if form is ChangelogMode.UPSERT and not keyed:
        raise ConfigError(
            f'table "{name}": upserts need a key', hint="Name its columns: primary_key=['id']."
        )
    row = schema if isinstance(schema, RowType) else row_type_of(schema)
    for field in row.fields:
        if is_nested(field.type) and holds(field.type, BitmapType):
            raise ConfigError(
                f'column "{field.name}" of table "{name}" cannot be of type {field.type}',
                hint="Give bitmaps as a column of their own, or as BYTES within others.",
            )
    return row, EmbeddedInput(steps, form, stepwise=True)


def _mode(steps: Iterable[Any], mode: ChangelogMode | str | None) -> ChangelogMode:
    if mode is None:
        plain = isinstance(steps, Sequence) and all(
            getattr(item, "codes", None) is None for item in steps
        )
        return ChangelogMode.APPEND if plain else ChangelogMode.RETRACT
    try:
        return ChangelogMode(mode)
    except ValueError:
        raise ConfigError(
            f'mode cannot be "{mode}"', hint="It is append, retract or upsert."
        ) from None


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
