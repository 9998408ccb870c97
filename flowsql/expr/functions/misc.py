"""TYPEOF, UUID."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.errors import Span, SqlError
from flowsql.expr.nodes import Call, Expression, Literal
from flowsql.expr.registry import Function, overload
from flowsql.expr.signatures import wrong_arguments
from flowsql.expr.vector import EvalSettings, Kernel, Value, bytes_of
from flowsql.types import (
    BooleanType,
    CharType,
    VarCharType,
)

__all__ = ["FUNCTIONS"]


def _bind_typeof(args: Sequence[Expression], span: Span | None) -> Expression:
    literal = all(isinstance(a, Literal) and isinstance(a.type, BooleanType) for a in args[1:])
    if len(args) not in (1, 2) or not literal:
        raise wrong_arguments("TYPEOF", args, span)
    text = str(args[0].type)
    if len(args) == 2 and args[1].value is True:  # type: ignore[attr-defined]
        parts = text.split("`")  # names of fields stand between backquotes
        parts[::2] = [_in_full(p) for p in parts[::2]]
        text = "`".join(parts)
    return Literal(type=VarCharType(), value=text, span=span)


def _in_full(text: str) -> str:
    """A type's text without the short names of Flink's."""
    text = text.replace("STRING", "VARCHAR(2147483647)").replace("BYTES", "VARBINARY(2147483647)")
    return re.sub(r"TIMESTAMP_LTZ(\(\d\))", r"TIMESTAMP\1 WITH LOCAL TIME ZONE", text)


def _uuid_make(call: Call, settings: EvalSettings) -> Kernel:
    del call, settings

    def kernel(context: Any) -> Value:
        rows = context.rows
        raw = np.frombuffer(os.urandom(16 * rows), np.uint8).reshape(rows, 16).copy()
        raw[:, 6] = raw[:, 6] & 0x0F | 0x40  # version 4
        raw[:, 8] = raw[:, 8] & 0x3F | 0x80
        digits = np.frombuffer(raw.tobytes().hex().encode(), np.uint8).reshape(rows, 32)
        out = np.full((rows, 36), ord("-"), np.uint8)
        for start, at, width in ((0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)):
            out[:, at : at + width] = digits[:, start : start + width]
        return bytes_of(np.full(rows, 36), out.ravel(), pa.string())

    return kernel


def _bind_source_watermark(args: Sequence[Expression], span: Span | None) -> Expression:
    del args
    raise SqlError(
        "SOURCE_WATERMARK() declares a watermark and has no value",
        hint="Declare the watermark by an expression: WATERMARK FOR ts AS ts - INTERVAL '5' SECOND.",
        span=span,
    )


_UUID = CharType(36, nullable=False)

FUNCTIONS = (
    Function("TYPEOF", "The type of a value as text.", (), _bind_typeof,
             signatures=("TYPEOF(<ANY>)", "TYPEOF(<ANY>, <BOOLEAN literal>)")),
    Function("SOURCE_WATERMARK", "Stands in WATERMARK for the watermark of the source.", (),
             _bind_source_watermark, signatures=("SOURCE_WATERMARK()",)),
    Function("UUID", "A random UUID for each row.", (overload((), lambda _: _UUID, _uuid_make),),
             deterministic=False),
)  # fmt: skip
