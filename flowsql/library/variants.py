"""VARIANT where it meets Python: JSON text in, plain values out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flowsql.errors import DataError
from flowsql.expr.variant_binary import NotVariant, TooDeep, from_json, to_python
from flowsql.types import (
    ArrayType,
    DataType,
    MapType,
    MultisetType,
    RowType,
    VariantType,
)
from flowsql.types.common import holds_variant

__all__ = ["python_values", "variants_of_json"]


def python_values(column: pa.ChunkedArray, data_type: DataType) -> list[Any]:
    """The values as `to_pylist` gives them; those of a VARIANT as what they hold."""
    values = column.to_pylist()
    return [_python(v, data_type) for v in values] if holds_variant(data_type) else values


def _python(value: Any, data_type: DataType) -> Any:
    if value is None or not holds_variant(data_type):
        return value
    match data_type:
        case ArrayType(element=element):
            return [_python(v, element) for v in value]
        case MapType(key=key, value=item):
            return [(_python(k, key), _python(v, item)) for k, v in value]
        case MultisetType(element=element):
            return [(_python(k, element), count) for k, count in value]
        case RowType(fields=fields):
            return {f.name: _python(value[f.name], f.type) for f in fields}
        case _:
            return to_python(value)


def variants_of_json(column: pa.Array, data_type: DataType, where: str) -> pa.Array:
    """A column of JSON text as VARIANT.

    Args:
        column: texts.
        data_type: what the table declares.
        where: how messages call the column.

    Raises:
        DataError: it is no text, a text is no JSON, or VARIANT stands within another type.
    """
    if not isinstance(data_type, VariantType):
        raise DataError(
            f"{where} cannot be given as {data_type.with_nullable(True)}",
            hint="Declare STRING where VARIANT stands, and use PARSE_JSON in the query.",
        )
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(
            f"{where} is {column.type}, and a VARIANT is given as JSON text",
            hint="Give strings, such as those of json.dumps.",
        )
    encoded = column.dictionary_encode()
    return pa.array([_variant(t, where) for t in encoded.dictionary.to_pylist()], pa.binary()).take(
        encoded.indices
    )


def _variant(text: str, where: str) -> bytes:
    try:
        return from_json(text, last_wins=False)
    except NotVariant as e:
        raise DataError(f"{where} has no VARIANT in '{text}': {e}") from None
    except TooDeep:
        raise DataError(f"{where} has more than 500 arrays and objects in each other") from None
