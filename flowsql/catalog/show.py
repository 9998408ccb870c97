"""Declarations as SQL text that declares them again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from flowsql.catalog.objects import (
    CatalogColumn,
    CatalogTable,
    CatalogView,
    ColumnKind,
    Database,
    UserFunction,
)
from flowsql.types import quote_identifier

__all__ = [
    "show_create_catalog",
    "show_create_database",
    "show_create_function",
    "show_create_table",
    "show_create_view",
]

HIDDEN = "******"


def show_create_table(
    table: CatalogTable, is_secret: Callable[[str], bool], *, name: str | None = None
) -> str:
    """SHOW CREATE TABLE.

    Args:
        table: the declaration.
        is_secret: whether an option key is secret; its literal is hidden, a `${NAME}` is shown.
        name: instead of the full one, as SQL text.
    """
    parts = [_column(c) for c in table.columns]
    if table.watermark is not None:
        column = quote_identifier(table.watermark.column)
        parts.append(f"WATERMARK FOR {column} AS {table.watermark.text}")
    if table.primary_key:
        named = f"CONSTRAINT {quote_identifier(table.key_name)} " if table.key_name else ""
        parts.append(f"{named}PRIMARY KEY ({_names(table.primary_key)}) NOT ENFORCED")
    temporary = "TEMPORARY " if table.temporary else ""
    body = ",\n".join(f"  {p}" for p in parts)
    lines = [f"CREATE {temporary}TABLE {name or table.path.quoted} (\n{body}\n)"]
    if table.comment is not None:
        lines.append(f"COMMENT {_string(table.comment)}")
    if table.distribution is not None:
        lines.append(f"DISTRIBUTED {table.distribution}")
    if table.partition_keys:
        lines.append(f"PARTITIONED BY ({_names(table.partition_keys)})")
    if table.options:
        lines.append(_with((k, _shown(k, v, is_secret)) for k, v in table.options))
    return "\n".join(lines)


def show_create_view(view: CatalogView, *, name: str | None = None) -> str:
    """SHOW CREATE VIEW; `name` is used instead of the full one."""
    temporary = "TEMPORARY " if view.temporary else ""
    named = ",\n".join(f"  {quote_identifier(c)}" for c in view.columns)
    columns = f" (\n{named}\n)" if view.columns else ""
    comment = f"\nCOMMENT {_string(view.comment)}" if view.comment is not None else ""
    return f"CREATE {temporary}VIEW {name or view.path.quoted}{columns}{comment}\nAS {view.text}"


def show_create_function(function: UserFunction, *, name: str | None = None) -> str:
    """SHOW CREATE FUNCTION; `name` is used instead of the full one."""
    if function.path is None:
        kind, full = "TEMPORARY SYSTEM ", quote_identifier(function.name)
    else:
        kind, full = "TEMPORARY " if function.temporary else "", function.path.quoted
    place = _string(function.place)
    return f"CREATE {kind}FUNCTION {name or full}\nAS {place} LANGUAGE PYTHON"


def show_create_catalog(name: str, comment: str | None, options: Mapping[str, str]) -> str:
    """SHOW CREATE CATALOG; options in order of their keys, as in Flink."""
    lines = [f"CREATE CATALOG {quote_identifier(name)}"]
    if comment:
        lines.append(f"COMMENT {_string(comment)}")
    return "\n".join([*lines, _with(sorted(options.items()))])


def show_create_database(database: Database) -> str:
    """The statement that makes the database."""
    lines = [f"CREATE DATABASE {quote_identifier(database.name)}"]
    if database.comment:
        lines.append(f"COMMENT {_string(database.comment)}")
    if database.options:
        lines.append(_with(database.options))
    return "\n".join(lines)


def _with(options: Iterable[tuple[str, str]]) -> str:
    body = ",\n".join(f"  {_string(k)} = {_string(v)}" for k, v in options)
    return f"WITH (\n{body}\n)"


def _column(column: CatalogColumn) -> str:
    text = quote_identifier(column.name)
    match column.kind:
        case ColumnKind.COMPUTED:
            text += f" AS {column.text}"
        case ColumnKind.METADATA:
            text += f" {column.type} METADATA"
            if column.metadata_key != column.name:
                text += f" FROM {_string(column.metadata_key or '')}"
            if column.virtual:
                text += " VIRTUAL"
        case ColumnKind.PHYSICAL:
            text += f" {column.type}"
    if column.comment is not None:
        text += f" COMMENT {_string(column.comment)}"
    return text


def _shown(key: str, value: str, is_secret: Callable[[str], bool]) -> str:
    reference = re.fullmatch(r"\$\{\w+\}", value)
    return HIDDEN if is_secret(key) and not reference else value


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(quote_identifier, names))


def _string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
