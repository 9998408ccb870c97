"""Formats: bytes ↔ rows, columnar both ways; `csv`, `json` and `parquet` are built in."""

from __future__ import annotations

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
from flowsql.formats.json_values import JsonColumns, RawNumber
from flowsql.formats.parse import CSV_STYLE, Parsed, TextStyle, parse_text
from flowsql.formats.registry import FORMAT_OPTION, find_format, format_names
from flowsql.formats.row_text import row_text, value_text
from flowsql.formats.rows import needs_values, wrong_nulls

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
    "find_format",
    "format_names",
    "needs_values",
    "parse_text",
    "row_text",
    "value_text",
    "wrong_nulls",
]
