"""Rows as Flink's `Row.toString` writes them: `+I[1, a, null, 2020-10-10T00:00:05]`."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import Changes
from flowsql.expr import bitmaps
from flowsql.expr.variant_binary import to_json
from flowsql.formats.text import (
    by_distinct,
    flat_entries,
    float_column_text,
    group_fraction,
    join_lists,
    list_parts,
    local_time_text,
    timestamp_text,
)
from flowsql.types import (
    ArrayType,
    BitmapType,
    DataType,
    IntType,
    MapType,
    MultisetType,
    RowType,
    VariantType,
)
from flowsql.types.constants import NO_TEXT, join_texts, text_constant

__all__ = ["row_text", "value_text"]

_KINDS = pa.array(["+I[", "-U[", "+U[", "-D["])


def row_text(changes: Changes, schema: RowType | None = None) -> list[str]:
    """One line a row.

    Args:
        changes: the rows.
        schema: their type; without it BITMAP and VARIANT are taken for BYTES.
    """
    types = [None] * changes.batch.num_columns if schema is None else schema.types
    cells = [_shown(value_text(c, t)) for c, t in zip(changes.batch.columns, types, strict=True)]
    kinds = _KINDS.take(pa.array(changes.codes_or_insert))
    if not cells:
        return [f"{kind}]" for kind in kinds.to_pylist()]
    inner = join_texts(*cells, separator=", ")
    return join_texts(kinds, inner, "]").to_pylist()


def _shown(text: pa.Array) -> pa.Array:
    return pc.fill_null(text, "null") if text.null_count else text


def value_text(array: pa.Array, data_type: DataType | None = None) -> pa.Array:
    """Each value as Java's `toString`; NULL stays NULL. Types are as for `row_text`."""
    kind = array.type
    if isinstance(data_type, BitmapType):
        return bitmaps.texts(array)
    if isinstance(data_type, VariantType):
        return by_distinct(array, to_json)
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_floating(kind):
        return float_column_text(array)
    if pa.types.is_binary(kind):
        return by_distinct(array, _signed_bytes)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            return timestamp_text(array, "T", group_fraction)
        text = timestamp_text(array, "T", _group_instant)
        return join_texts(text, "Z")
    if pa.types.is_time(kind):
        return local_time_text(array, group_fraction)
    if pa.types.is_map(kind):
        offsets, entries = list_parts(flat_entries(array))
        keys, values = entries.flatten()
        key, item = _parts(data_type, 2)
        pairs = join_texts(
            _shown(value_text(keys, key)), _shown(value_text(values, item)), separator="="
        )
        return _wrapped("{", join_lists(offsets, pairs, ", "), "}", array)
    if pa.types.is_list(kind):
        offsets, flat = list_parts(array)
        (element,) = _parts(data_type, 1)
        text = _shown(value_text(flat, element))
        return _wrapped("[", join_lists(offsets, text, ", "), "]", array)
    if pa.types.is_struct(kind):
        types = _parts(data_type, kind.num_fields)
        cells = [_shown(value_text(f, t)) for f, t in zip(array.flatten(), types, strict=True)]
        inner = (
            join_texts(*cells, separator=", ")
            if cells
            else pa.repeat(text_constant(""), len(array))
        )
        return _wrapped("+I[", inner, "]", array)
    return array.cast(pa.string())


def _parts(data_type: DataType | None, count: int) -> Sequence[DataType | None]:
    """The types within a nested one."""
    match data_type:
        case ArrayType(element=element):
            return (element,)
        case MapType(key=key, value=value):
            return (key, value)
        case MultisetType(element=element):
            return (element, IntType())
        case RowType(types=types):
            return types
        case _:
            return (None,) * count


def _wrapped(opening: str, inner: pa.Array, closing: str, outer: pa.Array) -> pa.Array:
    text = join_texts(opening, inner, closing)
    if outer.null_count:
        text = pc.if_else(outer.is_valid(), text, NO_TEXT)
    return text


def _signed_bytes(value: bytes) -> str:
    return "[" + ", ".join(str(b - 256 if b > 127 else b) for b in value) + "]"


def _group_instant(text: pa.Array) -> pa.Array:
    """As Java's Instant: like LocalTime, but the seconds are always written."""
    text = pc.replace_substring_regex(text, r"(\.(?:[0-9]{3})*?)(?:000)+$", r"\1")
    return pc.replace_substring_regex(text, r"\.$", "")
