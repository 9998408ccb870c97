"""Rows between plain Python and Arrow, in the units that Arrow stores.

Times are integers of the stored unit (days, milliseconds, micro- or nanoseconds), DECIMAL is
`Decimal`, VARIANT its JSON text, ROW a tuple, ARRAY a tuple, MAP and MULTISET a tuple of pairs: every value is hashable,
NaN is one object, −0.0 is not 0.0, and no time zone of the process gets in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flowsql import types as t
from flowsql.errors import DataError
from flowsql.expr.variant_binary import from_json, to_json

__all__ = ["NAN", "NEGATIVE_ZERO", "batch_of", "plain_float", "rows_of", "unordered"]

NAN = float("nan")


class _NegativeZero(float):
    """−0.0 as a key of its own, as in Flink's state."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _NegativeZero)

    def __hash__(self) -> int:
        return 0x80

    def __reduce__(self) -> str:
        return "NEGATIVE_ZERO"


NEGATIVE_ZERO = _NegativeZero(-0.0)


def plain_float(value: float) -> float:
    """The one object for NaN and for −0.0, or the value itself."""
    if value != value:  # noqa: PLR0124 (NaN)
        return NAN
    return NEGATIVE_ZERO if value == 0.0 and math.copysign(1.0, value) < 0 else value


def _storage(kind: pa.DataType) -> pa.DataType:
    """Times as integers of the same width, inside nested types as well."""
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return pa.int32()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _storage(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_storage(kind.key_type), _storage(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_storage(kind.value_type))
    return kind


def _view(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.view(kind)


def _freeze(value: Any, kind: t.DataType) -> Any:
    if value is None:
        return None
    match kind:
        case t.FloatType() | t.DoubleType():
            return plain_float(value)
        case t.VariantType():
            return to_json(value)
        case t.ArrayType(element=element):
            return tuple(_freeze(v, element) for v in value)
        case t.MapType(key=key, value=item):
            return tuple((_freeze(k, key), _freeze(v, item)) for k, v in value)
        case t.MultisetType(element=element):
            return tuple((_freeze(k, element), v) for k, v in value)
        case t.RowType(fields=fields):
            return tuple(_freeze(v, f.type) for v, f in zip(value.values(), fields, strict=True))
        case _:
            return value


def rows_of(batch: pa.RecordBatch | pa.Table, kind: t.RowType) -> list[tuple[Any, ...]]:
    """The rows as tuples of plain values."""
    columns = []
    for column, field in zip(batch.columns, kind.fields, strict=True):
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else array
        stored = _view(array, _storage(array.type))
        columns.append([_freeze(v, field.type) for v in stored.to_pylist()])
    return list(zip(*columns, strict=True)) if columns else [()] * batch.num_rows


def _thaw(value: Any, kind: t.DataType) -> Any:
    if value is None:
        return None
    match kind:
        case t.VariantType():
            return from_json(value, last_wins=False)
        case t.ArrayType(element=element):
            return [_thaw(v, element) for v in value]
        case t.MapType(key=key, value=item):
            if any(k is None for k, _ in value):
                raise DataError("a key of a map is NULL", hint="NULL keys cannot be stored.")
            return [(_thaw(k, key), _thaw(v, item)) for k, v in value]
        case t.MultisetType(element=element):
            return [(_thaw(k, element), v) for k, v in value]
        case t.RowType(fields=fields):
            return {f.name: _thaw(v, f.type) for v, f in zip(value, fields, strict=True)}
        case _:
            return value


def batch_of(rows: Sequence[Sequence[Any]], kind: t.RowType) -> pa.RecordBatch:
    """The reverse of `rows_of`."""
    arrays = []
    for i, field in enumerate(kind.fields):
        stored = t.arrow_type(field.type)
        plain = pa.array([_thaw(row[i], field.type) for row in rows], _storage(stored))
        arrays.append(_view(plain, stored))
    return pa.RecordBatch.from_arrays(arrays, schema=t.arrow_schema(kind))


def unordered(value: Any, kind: t.DataType) -> Any:
    """The value with the entries of maps and multisets, which have no order, in some fixed one."""
    if value is None:
        return None
    match kind:
        case t.ArrayType(element=element):
            return tuple(unordered(v, element) for v in value)
        case t.MapType(key=key, value=item):
            entries = [(unordered(k, key), unordered(v, item)) for k, v in value]
            return tuple(sorted(entries, key=repr))
        case t.MultisetType(element=element):
            return tuple(sorted(((unordered(k, element), v) for k, v in value), key=repr))
        case t.RowType(fields=fields):
            return tuple(unordered(v, f.type) for v, f in zip(value, fields, strict=True))
        case _:
            return value
