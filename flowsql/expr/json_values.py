"""Values as JSON text, column by column: what JSON_STRING, JSON_OBJECT and JSON_ARRAY write."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import InternalError
from flowsql.expr.faults import Fault
from flowsql.expr.json_text import ESCAPED, number_text, quote, sort_key
from flowsql.expr.lists import offsets_of
from flowsql.expr.settings import EvalSettings
from flowsql.expr.text import formatter
from flowsql.expr.vector import chars, each, mask_of, null_mask
from flowsql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    IntType,
    LocalZonedTimestampType,
    MapType,
    MultisetType,
    RowType,
    TimestampType,
    VariantType,
)
from flowsql.types.common import is_approximate, is_binary, is_character, is_integer
from flowsql.types.constants import NO_TEXT, join_texts, text_constant

__all__ = ["Writer", "json_writer", "no_json"]

Writer = Callable[[Any], Any]
"""From an array to an array of JSON texts; NULL where the value is."""


def no_json(data_type: DataType) -> DataType | None:
    """The part of a type that has no JSON form, or None."""
    match data_type:
        case ArrayType(element=element):
            return no_json(element)
        case MapType(key=key, value=value):
            return no_json(value) if is_character(key) else key
        case MultisetType(element=element):
            return None if is_character(element) else element
        case RowType(types=types):
            return next((p for p in map(no_json, types) if p is not None), None)
        case BooleanType() | DecimalType() | TimestampType() | LocalZonedTimestampType():
            return None
        case VariantType():
            return None
        case _:
            known = is_character(data_type) or is_binary(data_type) or is_integer(data_type)
            return None if known or is_approximate(data_type) else data_type


def json_writer(data_type: DataType, settings: EvalSettings) -> Writer:
    """What writes values of a type that `no_json` has nothing against."""
    match data_type:
        case BooleanType():
            return lambda array: array.cast(pa.string())
        case TimestampType():
            return _timestamp(data_type, settings, "")
        case LocalZonedTimestampType():
            # Written in UTC, whatever the session's time zone is.
            return _timestamp(data_type, EvalSettings(), "Z")
        case ArrayType(element=element):
            return _array(json_writer(element, settings))
        case MapType(value=value):
            return _map(json_writer(value, settings))
        case MultisetType():
            return _map(json_writer(IntType(), settings))
        case RowType():
            return _row(data_type, settings)
        case VariantType():
            return formatter(data_type, settings)
        case DecimalType():
            return lambda array: each(number_text, pa.string(), array)
        case _ if is_character(data_type):
            return _texts
        case _ if is_binary(data_type):
            return lambda array: each(_base64, pa.string(), array)
        case _ if is_integer(data_type):
            return lambda array: array.cast(pa.string())
        case _ if is_approximate(data_type):
            java = formatter(DoubleType(), settings)  # a FLOAT is widened first
            return lambda array: each(_approximate, pa.string(), java(array.cast(pa.float64())))
        case _:
            raise InternalError(f"no JSON of {data_type}")


def _base64(data: bytes) -> str:
    return f'"{base64.b64encode(data).decode()}"'


def _approximate(java: str) -> str:
    return number_text(Decimal(java)) if java[-1].isdigit() else f'"{java}"'


_escaped = np.zeros(256, dtype=bool)
_escaped[list(ESCAPED)] = True


def _texts(array: Any) -> Any:
    _, data = chars(array)
    if _escaped[data].any():
        return each(quote, pa.string(), array)
    return join_texts('"', array, '"')


def _timestamp(data_type: DataType, settings: EvalSettings, zone: str) -> Writer:
    """ISO 8601 with seconds, and with a fraction as long as it has to be."""
    text = formatter(data_type, settings)
    behind = f'{zone}"'
    fraction = getattr(data_type, "precision", 0) > 0

    def write(array: Any) -> Any:
        found = pc.replace_substring(text(array), " ", "T")
        if fraction:
            found = pc.utf8_rtrim(pc.utf8_rtrim(found, "0"), ".")
        return join_texts('"', found, behind)

    return write


def _lists(array: Any, flat: Any, opening: str, closing: str) -> Any:
    """The texts of each list's elements between brackets."""
    if len(array) == 0:
        return pa.array([], pa.string())
    nulls = null_mask(array)
    mask = mask_of(nulls) if nulls.any() else None
    lists = pa.ListArray.from_arrays(pa.array(offsets_of(array).astype(np.int32)), flat, mask=mask)
    return join_texts(opening, pc.binary_join(lists, text_constant(",")), closing)


def _array(element: Writer) -> Writer:
    def write(array: Any) -> Any:
        return _lists(array, element(array.values).fill_null("null"), "[", "]")

    return write


def _map(item: Writer) -> Writer:
    def write(array: Any) -> Any:
        keys = array.keys
        if keys.null_count:
            raise Fault("a key of a map is NULL, which JSON does not know")
        flat = join_texts(_texts(keys), ":", item(array.items).fill_null("null"))
        offsets = offsets_of(array)
        if len(array) and int(np.diff(offsets).max(initial=0)) > 1:
            flat = flat.take(_sorted(offsets, keys))
        return _lists(array, flat, "{", "}")

    return write


def _sorted(offsets: Any, keys: Any) -> Any:
    """Places of the entries, those of a map sorted by key."""
    owner = np.searchsorted(offsets, np.arange(len(keys)), side="right")
    _, data = chars(keys)
    if len(data) and int(data.max()) >= 0xF0:  # UTF-8 and UTF-16 order these otherwise
        keys = each(sort_key, pa.binary(), keys)
    table = pa.table([pa.array(owner), keys], names=["owner", "key"])
    return pc.sort_indices(table, sort_keys=[("owner", "ascending"), ("key", "ascending")])


def _row(data_type: RowType, settings: EvalSettings) -> Writer:
    order = sorted(range(len(data_type.fields)), key=lambda i: sort_key(data_type.names[i]))
    writers = [json_writer(data_type.types[i], settings) for i in order]
    heads = [f"{',' if n else ''}{quote(data_type.names[i])}:" for n, i in enumerate(order)]

    def write(array: Any) -> Any:
        members = array.flatten()
        parts: list[Any] = ["{"]
        for i, head, writer in zip(order, heads, writers, strict=True):
            parts += [head, writer(members[i]).fill_null("null")]
        found = join_texts(*parts, "}")
        nulls = null_mask(array)
        return pc.if_else(mask_of(nulls), NO_TEXT, found) if nulls.any() else found

    return write
