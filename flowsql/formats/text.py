"""Typed columns to text: the forms that csv, json and `Row.toString` have in common."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.java_floats import double_text, float_text
from flowsql.types.constants import NO_TEXT, text_constant

__all__ = [
    "by_distinct",
    "decimal_text",
    "flat_entries",
    "float_column_text",
    "group_fraction",
    "join_lists",
    "list_parts",
    "local_time_text",
    "plain_decimal_text",
    "strip_fraction",
    "timestamp_text",
]


def by_distinct(array: pa.Array, text_of: Callable[[Any], str]) -> pa.Array:
    """The text of each value, computed once for each distinct one; NULL stays NULL."""
    encoded = pc.dictionary_encode(array)
    texts = [text_of(v) for v in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def float_column_text(array: pa.Array) -> pa.Array:
    """Java's `Double.toString` or `Float.toString`."""
    wide = pa.types.is_float64(array.type)
    # By bits, so that 0.0 and -0.0 stay two values.
    bits = pc.dictionary_encode(array.view(pa.int64() if wide else pa.int32()))
    values = bits.dictionary.view(array.type).to_pylist()
    texts = [(double_text if wide else float_text)(v) for v in values]
    return pa.array(texts, pa.string()).take(bits.indices)


def decimal_text(array: pa.Array) -> pa.Array:
    """As Flink writes a DECIMAL in csv and json: no trailing zeros, `100.00` is `1E+2`."""
    text = plain_decimal_text(array)
    if array.type.scale > 0:
        text = pc.replace_substring_regex(text, r"^(.*\.[0-9]*?)0+$", r"\1")
        text = pc.replace_substring_regex(text, r"\.$", "")
    rounds = pc.match_substring_regex(text, "[1-9]0+$")
    dotless = pc.invert(pc.match_substring(text, "."))
    chosen = pc.and_(rounds, dotless)
    tiny = pc.match_substring_regex(text, r"^-?0\.000000")
    chosen = pc.or_(chosen, tiny)
    if not pc.any(chosen).as_py():
        return text
    scientific = by_distinct(
        pc.if_else(chosen, text, NO_TEXT), lambda t: str(Decimal(t).normalize()).upper()
    )
    return pc.if_else(chosen, scientific, text)


def plain_decimal_text(array: pa.Array) -> pa.Array:
    """All digits of a DECIMAL with its scale, never an exponent."""
    text = array.cast(pa.string())
    if pc.any(pc.match_substring(text, "E")).as_py():
        return by_distinct(array, lambda d: f"{d:f}")
    return text


def timestamp_text(
    array: pa.Array, separator: str, digits: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    """Date, separator, time; the fraction as `digits` leaves it of the full one."""
    naive = array.cast(pa.timestamp(array.type.unit)) if array.type.tz else array
    text = digits(naive.cast(pa.string()))
    return (
        text if separator == " " else pc.replace_substring(text, " ", separator, max_replacements=1)
    )


def strip_fraction(text: pa.Array) -> pa.Array:
    """`05.120000` becomes `05.12`, `05.000000` becomes `05`."""
    text = pc.replace_substring_regex(text, r"(\.[0-9]*?)0+$", r"\1")
    return pc.replace_substring_regex(text, r"\.$", "")


def group_fraction(text: pa.Array) -> pa.Array:
    """As Java's LocalTime: a fraction of 3, 6 or 9 digits, and no `:00` seconds without one."""
    text = pc.replace_substring_regex(text, r"(\.(?:[0-9]{3})*?)(?:000)+$", r"\1")
    text = pc.replace_substring_regex(text, r"\.$", "")
    return pc.replace_substring_regex(text, r"^(.*[0-9]{2}:[0-9]{2}):00$", r"\1")


def local_time_text(array: pa.Array, digits: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """A TIME, its fraction as `digits` leaves it of the full one."""
    return digits(array.cast(pa.string()))


def list_parts(array: pa.Array) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Offsets from 0, a NULL list being empty, and the elements of all lists."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(array) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, array.flatten()


def flat_entries(array: pa.Array) -> pa.Array:
    """A map column as lists of (key, value) structs."""
    entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    return array.cast(pa.list_(entry))


def join_lists(offsets: npt.NDArray[np.int32], texts: pa.Array, separator: str) -> pa.Array:
    """The texts of each list in one; no text may be NULL."""
    return pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets), texts), text_constant(separator)
    )


def joined_lines(lines: pa.Array) -> str:
    """All lines in one text, none behind the last; no line may be NULL."""
    ends = pa.array([0, len(lines)], pa.int32())
    text: str = pc.binary_join(pa.ListArray.from_arrays(ends, lines), text_constant("\n"))[
        0
    ].as_py()
    return text
