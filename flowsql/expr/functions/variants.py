"""VARIANT from JSON text, and its parts.

PARSE_JSON, TRY_PARSE_JSON; the kernels of `variant[1]` and `variant['key']`. Text is decoded once
for each distinct text: no library writes VARIANT over columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.expr.faults import Fault
from flowsql.expr.params import BOOLEAN, CHARACTER
from flowsql.expr.registry import Function, Maker, Result, forced_nullable, overload, strict
from flowsql.expr.variant_binary import NotVariant, TooDeep, from_json
from flowsql.expr.variant_columns import element_at, member_at
from flowsql.expr.vector import Value, as_array, each, numbers, row_count, validity
from flowsql.types import DataType, VariantType

__all__ = ["FUNCTIONS", "variant_element", "variant_member"]


def _parser(name: str) -> Maker:
    safe = name == "TRY_PARSE_JSON"

    def one(text: str | None, last_wins: bool | None = False) -> bytes | None:
        if text is None:
            return None
        if last_wins is None:
            raise Fault(
                f"the second argument of {name} is NULL",
                hint="It says whether a key may occur twice: TRUE or FALSE.",
            )
        try:
            return from_json(text, last_wins=last_wins)
        except NotVariant as e:
            if safe:
                return None
            raise Fault(
                f"could not parse '{text}' as JSON: {e}",
                hint="Use TRY_PARSE_JSON to get NULL instead.",
            ) from e
        except TooDeep as e:
            raise Fault("a VARIANT has at most 500 arrays and objects within each other") from e

    return strict(lambda _, *values: each(one, pa.binary(), *values, strict=False))


def variant_element(_: Any, value: Value, index: Value) -> Value:
    """`value[index]` of arrays, counted from 1."""
    rows = row_count((value, index))
    array, absent = _inputs(value, index, rows)
    places = np.broadcast_to(numbers(index), (rows,)).astype(np.int64)
    return element_at(array, places, absent)


def variant_member(_: Any, value: Value, name: Value) -> Value:
    """`value[name]` of objects."""
    rows = row_count((value, name))
    array, absent = _inputs(value, name, rows)
    return member_at(array, as_array(name, rows), absent)


def _inputs(value: Value, other: Value, rows: int) -> tuple[Any, Any]:
    absent = validity(value, other)
    return as_array(value, rows), np.zeros(rows, dtype=bool) if absent is None else absent


def _of_text(args: Sequence[Any]) -> DataType:
    return VariantType(nullable=args[0].type.nullable)


def _function(name: str, doc: str, result: Result) -> Function:
    return Function(name, doc, (overload((CHARACTER, BOOLEAN), result, _parser(name), optional=1),))


FUNCTIONS = (
    _function(
        "PARSE_JSON",
        "JSON text as a VARIANT; a key may occur twice in an object, and the last one counts, if "
        "the second argument is TRUE.",
        _of_text,
    ),
    _function(
        "TRY_PARSE_JSON",
        "As `PARSE_JSON`, but NULL for what is no JSON or has a key twice.",
        forced_nullable(VariantType()),
    ),
)
