"""Rows to csv, with the quotes that Flink's writer sets."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.formats.base64 import encode_base64
from flowsql.formats.csv_dialect import CsvDialect
from flowsql.formats.format import Encoder, FormatTable
from flowsql.formats.text import (
    decimal_text,
    float_column_text,
    join_lists,
    joined_lines,
    list_parts,
    local_time_text,
    plain_decimal_text,
    strip_fraction,
    timestamp_text,
)
from flowsql.types.constants import NO_TEXT, join_texts

__all__ = ["CsvEncoder"]

# Flink's writer quotes longer text without looking at it.
_ALWAYS_QUOTED = pa.scalar(24, pa.int32())


class CsvEncoder(Encoder):
    """Encodes one table's rows."""

    def __init__(self, table: FormatTable, dialect: CsvDialect) -> None:
        del table
        self._dialect = dialect
        # Flink's writer quotes text with any character up to the largest of the special ones.
        special = max((dialect.delimiter, dialect.quote or "\0", dialect.escape or "\0"))
        self._unsafe = f"[\\x00-\\x{ord(special):02x}]"
        self._breaking = f"[{re.escape(dialect.delimiter)}\r\n]"

    def encode(self, batch: pa.RecordBatch) -> bytes:
        cells = [self._field(column) for column in batch.columns]
        lines = join_texts(*cells, separator=self._dialect.delimiter)
        return f"{joined_lines(lines)}\n".encode() if len(batch) else b""

    def _field(self, array: pa.Array) -> pa.Array:
        text = self._text(array)
        if not _never_quoted(array.type):
            text = self._quoted(text)
        return pc.fill_null(text, self._dialect.null or "") if text.null_count else text

    def _quoted(self, text: pa.Array) -> pa.Array:
        quote, escape = self._dialect.quote, self._dialect.escape
        if quote is None:
            if pc.any(pc.match_substring_regex(text, self._breaking)).as_py():
                raise DataError(
                    "a value holds the field delimiter or a line end, and quotes are disabled",
                    hint="Leave out 'csv.disable-quote-character', or use format 'json'.",
                )
            return text
        needed = pc.or_(
            pc.greater(pc.utf8_length(text), _ALWAYS_QUOTED),
            pc.match_substring_regex(text, self._unsafe),
        )
        if not pc.any(needed).as_py():
            return text
        inner = pc.replace_substring(text, escape, escape * 2) if escape else text
        inner = pc.replace_substring(inner, quote, quote * 2)
        return pc.if_else(needed, join_texts(quote, inner, quote), text)

    def _text(self, array: pa.Array) -> pa.Array:
        kind = array.type
        if pa.types.is_floating(kind):
            return float_column_text(array)
        if pa.types.is_decimal(kind):
            return decimal_text(array) if self._dialect.scientific else plain_decimal_text(array)
        if pa.types.is_binary(kind):
            return encode_base64(array)
        if pa.types.is_timestamp(kind):
            text = timestamp_text(array, " ", strip_fraction)
            return join_texts(text, "Z") if kind.tz else text
        if pa.types.is_time(kind):
            return local_time_text(array, strip_fraction)
        if pa.types.is_list(kind):
            offsets, flat = list_parts(array)
            inner = join_lists(offsets, self._element(flat), self._dialect.element)
            return pc.if_else(array.is_valid(), inner, NO_TEXT)
        if pa.types.is_struct(kind):
            cells = [self._element(field) for field in array.flatten()]
            inner = join_texts(*cells, separator=self._dialect.element)
            return pc.if_else(array.is_valid(), inner, NO_TEXT)
        return array.cast(pa.string())

    def _element(self, array: pa.Array) -> pa.Array:
        return pc.fill_null(self._text(array), self._dialect.null or "")


def _never_quoted(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )
