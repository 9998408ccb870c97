"""BITMAP_BUILD, BITMAP_AND … BITMAP_TO_STRING: functions of the type BITMAP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.expr import bitmaps
from flowsql.expr.lists import lists_of
from flowsql.expr.nodes import Call
from flowsql.expr.params import BITMAP, BYTES
from flowsql.expr.registry import Function, Maker, Param, Result, by_arguments, overload
from flowsql.expr.vector import (
    EvalSettings,
    Kernel,
    Value,
    as_array,
    each,
    mask_of,
    null_mask,
    row_count,
)
from flowsql.types import (
    ArrayType,
    BigIntType,
    BitmapType,
    IntType,
    SmallIntType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
)

__all__ = ["FUNCTIONS"]

_INTEGERS = Param(
    "ARRAY<INT>",
    lambda t: (
        isinstance(t, ArrayType) and isinstance(t.element, TinyIntType | SmallIntType | IntType)
    ),
    ArrayType(IntType()),
    lambda t: ArrayType(IntType(), nullable=t.nullable),
)
_STORED = pa.binary()


def _maker(kernel: Kernel) -> Maker:
    """The maker of a kernel that needs the library; without it the statement is refused."""

    def make(call: Call, settings: EvalSettings) -> Kernel:
        del call, settings
        bitmaps.require()
        return kernel

    return make


def _per_value(function: Callable[..., Any], arrow: Any) -> Maker:
    """Run Python once a distinct combination of bitmaps."""
    return _maker(lambda _, *values: each(function, arrow, *values))


def _build(_: Any, value: Value) -> Value:
    """One set a list; NULL elements are left out."""
    lists = as_array(value, row_count((value,)))
    found = lists_of(lists)
    if found.elements.null_count:
        found = found.where(found.elements.is_valid().to_numpy(zero_copy_only=False))
    numbers = found.elements.to_numpy(zero_copy_only=False)
    ends = np.cumsum(found.counts)
    built = [
        bitmaps.dump(bitmaps.build(numbers[end - count : end]))
        for end, count in zip(ends.tolist(), found.counts.tolist(), strict=True)
    ]
    return pa.array(built, _STORED, mask=null_mask(lists))


def _to_array(_: Any, value: Value) -> Value:
    column = as_array(value, row_count((value,)))
    found, counts = bitmaps.members(column)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)])
    mask = mask_of(null_mask(column)) if column.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.view(np.int32)), mask=mask)


def _to_text(_: Any, value: Value) -> Value:
    return bitmaps.texts(as_array(value, row_count((value,))))


def _combined(operation: str) -> Callable[[bytes, bytes], bytes]:
    return lambda left, right: bitmaps.combined(operation, (left, right))


def _function(
    name: str, doc: str, params: tuple[Param, ...], result: Result, make: Maker
) -> Function:
    return Function(name, doc, (overload(params, result, make),))


def _pair(name: str, doc: str) -> Function:
    make = _per_value(_combined(name.removeprefix("BITMAP_")), _STORED)
    return _function(name, doc, (BITMAP, BITMAP), _BITMAP, make)


_BITMAP = by_arguments(BitmapType())

FUNCTIONS = (
    _pair("BITMAP_AND", "The integers that two bitmaps have in common."),
    _pair("BITMAP_ANDNOT", "The integers of the first bitmap that are not in the second."),
    _function("BITMAP_BUILD", "The set of an array's integers; NULL elements are left out.",
              (_INTEGERS,), _BITMAP, _maker(_build)),
    _function("BITMAP_CARDINALITY", "How many integers a bitmap has.", (BITMAP,),
              by_arguments(BigIntType()), _per_value(bitmaps.cardinality, pa.int64())),
    _function("BITMAP_FROM_BYTES", "The bitmap of bytes in the portable Roaring format, 32 bits.",
              (BYTES,), _BITMAP, _per_value(bitmaps.read, _STORED)),
    _pair("BITMAP_OR", "The integers that are in at least one of two bitmaps."),
    _function("BITMAP_TO_ARRAY", "The integers of a bitmap, 0 to 2147483647 and then the negative "
              "ones, each ascending.", (BITMAP,), by_arguments(ArrayType(IntType())),
              _maker(_to_array)),
    _function("BITMAP_TO_BYTES", "A bitmap's bytes in the portable Roaring format, 32 bits.",
              (BITMAP,), by_arguments(VarBinaryType()), _maker(lambda _, value: value)),
    _function("BITMAP_TO_STRING", "The integers of a bitmap as text, without sign: {1,2,3}; "
              "cut where it is longer than 524,288 characters.", (BITMAP,),
              by_arguments(VarCharType()), _maker(_to_text)),
    _pair("BITMAP_XOR", "The integers that are in one of two bitmaps, but not in both."),
)  # fmt: skip
