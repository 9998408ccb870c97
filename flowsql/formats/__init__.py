"""Formats: bytes ↔ rows, columnar both ways; `csv`, `json` and `parquet` are built in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowsql.formats.format import (
    BadRow,
    BulkReader,
    BulkWriter,
    Decoded,
    Decoder,
    Encoder,
    Format,
    FormatTable,
)
from flowsql.formats.registry import FORMAT_OPTION, find_format, format_names
from flowsql.lazy import lazily

if TYPE_CHECKING:
    from flowsql.formats.json_values import JsonColumns, RawNumber
    from flowsql.formats.parse import CSV_STYLE, Parsed, TextStyle, parse_text
    from flowsql.formats.rendering import row_text, value_text
    from flowsql.formats.rows import check_nulls, needs_values, wrong_nulls

__all__ = [
    "CSV_STYLE",
    "FORMAT_OPTION",
    "BadRow",
    "BulkReader",
    "BulkWriter",
    "Decoded",
    "Decoder",
    "Encoder",
    "Format",
    "FormatTable",
    "JsonColumns",
    "Parsed",
    "RawNumber",
    "TextStyle",
    "check_nulls",
    "find_format",
    "format_names",
    "group_runs",
    "needs_values",
    "parse_text",
    "row_text",
    "value_text",
    "wanted_groups",
    "wrong_nulls",
]

__getattr__ = lazily(
    __name__,
    {
        "CSV_STYLE": "flowsql.formats.parse",
        "JsonColumns": "flowsql.formats.json_values",
        "Parsed": "flowsql.formats.parse",
        "RawNumber": "flowsql.formats.json_values",
        "TextStyle": "flowsql.formats.parse",
        "check_nulls": "flowsql.formats.rows",
        "group_runs": "flowsql.formats.parquet_groups",
        "needs_values": "flowsql.formats.rows",
        "parse_text": "flowsql.formats.parse",
        "row_text": "flowsql.formats.rendering",
        "value_text": "flowsql.formats.rendering",
        "wanted_groups": "flowsql.formats.parquet_groups",
        "wrong_nulls": "flowsql.formats.rows",
    },
)
