"""Casts to CHAR, VARCHAR, BINARY and VARBINARY: text, cut to the length, CHAR and BINARY padded."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.text import formatter
from flowsql.expr.vector import EvalSettings, Kernel, Value, each
from flowsql.types import (
    MAX_LENGTH,
    BinaryType,
    CharType,
    DataType,
    VarBinaryType,
    VarCharType,
)
from flowsql.types.common import is_binary, is_character

__all__ = ["to_bytes", "to_string"]


def to_string(
    source: DataType, target: CharType | VarCharType, settings: EvalSettings, *, safe: bool
) -> Kernel | None:
    """To CHAR(n) or VARCHAR(n).

    A stored CHAR value that is too short stays so, as in Flink.
    """
    pad_target = target.length if isinstance(target, CharType) else 0
    known = source.length if is_character(source) else MAX_LENGTH + 1  # type: ignore[attr-defined]
    cut = target.length if target.length < known and target.length != MAX_LENGTH else None
    text = None if is_character(source) else formatter(source, settings)
    if safe and is_binary(source):
        text = _utf8_or_null
    if text is None and cut is None and not pad_target:
        return None

    def kernel(context: Any, value: Value) -> Value:
        del context
        if text is not None:
            value = text(value)
        if cut is not None:
            value = pc.utf8_slice_codeunits(value, 0, cut)
        if pad_target:
            value = pc.utf8_rpad(value, pad_target, " ")
        return value

    return kernel


def _utf8_or_null(array: Any) -> Any:
    """Bytes that are no UTF-8 become NULL; without TRY_CAST they become U+FFFD."""

    def decoded(value: bytes) -> str | None:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None

    return each(decoded, pa.string(), array)


def to_bytes(source: DataType, target: BinaryType | VarBinaryType) -> Kernel | None:
    """To BINARY(n) or VARBINARY(n); text gives its UTF-8 bytes."""
    pad_target = target.length if isinstance(target, BinaryType) else 0
    known = source.length if is_binary(source) else MAX_LENGTH + 1  # type: ignore[attr-defined]
    cut = target.length if target.length < known and target.length != MAX_LENGTH else None

    def kernel(context: Any, value: Value) -> Value:
        del context
        if value.type != pa.binary():
            value = value.cast(pa.binary())
        if cut is not None:
            value = pc.binary_slice(value, 0, cut)
        if pad_target:
            value = each(lambda v: v.ljust(pad_target, b"\0"), pa.binary(), value)
        return value

    if is_binary(source) and cut is None and not pad_target:
        return None
    return kernel
