"""Rows to json, one object a line, as Flink's writer spells them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.formats.base64 import encode_base64
from flowsql.formats.format import Encoder, FormatTable
from flowsql.formats.text import (
    by_distinct,
    decimal_text,
    flat_entries,
    float_column_text,
    join_lists,
    joined_lines,
    list_parts,
    local_time_text,
    plain_decimal_text,
    strip_fraction,
    timestamp_text,
)
from flowsql.types.constants import NO_TEXT, join_texts, text_constant

__all__ = ["JsonEncoder"]


class JsonEncoder(Encoder):
    """Encodes one table's rows."""

    def __init__(
        self, table: FormatTable, *, separator: str, plain_decimals: bool, skip_nulls: bool
    ) -> None:
        del table
        self._separator = separator
        self._plain_decimals = plain_decimals
        self._skip_nulls = skip_nulls

    def encode(self, batch: pa.RecordBatch) -> bytes:
        if not len(batch):
            return b""
        lines = self.objects(batch)
        return f"{joined_lines(lines)}\n".encode()

    def objects(self, batch: pa.RecordBatch) -> pa.Array:
        """The text of each row's object."""
        return self._object(batch.schema.names, batch.columns, len(batch))

    def _object(self, names: list[str], columns: list[pa.Array], rows: int) -> pa.Array:
        if not names:
            return pa.repeat(text_constant("{}"), rows)
        members = []
        for name, column in zip(names, columns, strict=True):
            text = self._text(column)
            if text.null_count and not self._skip_nulls:
                text = pc.fill_null(text, "null")
            prefix = f",{json.dumps(name, ensure_ascii=False)}:"
            members.append(pc.fill_null(join_texts(prefix, text), ""))
        inner = pc.utf8_slice_codeunits(join_texts(*members), 1)
        return join_texts("{", inner, "}")

    def _shown(self, array: pa.Array) -> pa.Array:
        return pc.fill_null(self._text(array), "null")

    def _text(self, array: pa.Array) -> pa.Array:
        """JSON text of each value; NULL stays NULL."""
        kind = array.type
        if pa.types.is_string(kind):
            return _quoted(array)
        if pa.types.is_floating(kind):
            text = float_column_text(array)
            odd = pc.invert(pc.is_finite(array))
            if pc.any(odd).as_py():
                text = pc.if_else(odd, join_texts('"', text, '"'), text)
            return text
        if pa.types.is_decimal(kind):
            return plain_decimal_text(array) if self._plain_decimals else decimal_text(array)
        if pa.types.is_map(kind):
            offsets, entries = list_parts(flat_entries(array))
            keys, values = entries.flatten()
            pairs = join_texts(_quoted(keys), self._shown(values), separator=":")
            return _wrapped("{", join_lists(offsets, pairs, ","), "}", array)
        if pa.types.is_list(kind):
            offsets, flat = list_parts(array)
            return _wrapped("[", join_lists(offsets, self._shown(flat), ","), "]", array)
        if pa.types.is_struct(kind):
            names = [field.name for field in kind]
            text = self._object(names, array.flatten(), len(array))
            return pc.if_else(array.is_valid(), text, NO_TEXT) if array.null_count else text
        if pa.types.is_binary(kind):
            return _plainly_quoted(encode_base64(array))
        if pa.types.is_timestamp(kind):
            text = timestamp_text(array, self._separator, strip_fraction)
            return join_texts('"', text, 'Z"' if kind.tz else '"')
        if pa.types.is_time(kind):
            return _plainly_quoted(local_time_text(array, strip_fraction))
        if pa.types.is_date(kind):
            return _plainly_quoted(array.cast(pa.string()))
        return array.cast(pa.string())


def _plainly_quoted(text: pa.Array) -> pa.Array:
    return join_texts('"', text, '"')


def _quoted(text: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(text, r'[\\"\x00-\x1f]')
    plain = _plainly_quoted(text)
    if not pc.any(special).as_py():
        return plain
    escaped = by_distinct(
        pc.if_else(special, text, NO_TEXT), lambda t: json.dumps(t, ensure_ascii=False)
    )
    return pc.if_else(special, escaped, plain)


def _wrapped(opening: str, inner: pa.Array, closing: str, outer: pa.Array) -> pa.Array:
    text = join_texts(opening, inner, closing)
    return pc.if_else(outer.is_valid(), text, NO_TEXT) if outer.null_count else text
