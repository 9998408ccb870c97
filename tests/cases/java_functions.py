"""The functions that Flink's tests define in Java, written again for the registry.

The records name their classes (or only call them); what they do is what their tests show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.expr.faults import Fault
from flowsql.expr.functions import catalogue
from flowsql.expr.nodes import Expression
from flowsql.expr.params import INT, MAP
from flowsql.expr.registry import Function, Param, Result, overload, strict
from flowsql.expr.vector import as_array
from flowsql.types import (
    ArrayType,
    BigIntType,
    DataType,
    DateType,
    DoubleType,
    Field,
    IntType,
    MapType,
    MultisetType,
    RowType,
    StructuredType,
    TimeType,
    VarCharType,
)

__all__ = ["defined"]

_STRING = VarCharType()
_PAIR = RowType((Field("i", IntType()), Field("s", _STRING)))
_NUMBERS = RowType((Field("i", IntType()), Field("d", DoubleType())))
_NESTED = RowType((Field("r", _NUMBERS), Field("s", _STRING)))
_POJO = "org.apache.flink.table.planner.functions.CastFunctionMiscITCase$UserPojo"
_USER = StructuredType(_PAIR.fields, class_name=_POJO)
_PERSON = StructuredType(
    (
        Field("age", IntType()),
        Field("name", _STRING),
        Field("payload", MapType(_STRING, _STRING)),
    ),
    class_name="org.apache.flink.table.planner.functions.JsonFunctionsITCase$StructuredType",
)


def _to(target: DataType) -> Param:
    """An argument of this type; rows go by the number of their fields."""
    same: Callable[[DataType], bool]
    if isinstance(target, RowType):
        width = len(target.fields)
        same = lambda t: isinstance(t, RowType) and len(t.fields) == width  # noqa: E731
    else:
        same = lambda t: isinstance(t, type(target))  # noqa: E731
    return Param(str(target), same, target, lambda t: target.with_nullable(t.nullable))


def _as_argument(args: Sequence[Expression]) -> DataType:
    return args[0].type


def _multiset(args: Sequence[Expression]) -> DataType:
    assert isinstance(args[0].type, MapType)
    return MultisetType(args[0].type.key)


def _function(
    name: str, params: Sequence[Param], result: Result | DataType, kernel: Any
) -> Function:
    given = result if callable(result) else lambda _: result
    return Function(
        name.upper(), "", (overload(params, given, strict(kernel)),), deterministic=False
    )


def _throw(_: Any, value: Any) -> Any:
    raise Fault("ThrowingFunction was called")


def _takes_row(context: Any, row: Any, number: Any) -> Any:
    row = as_array(row, context.rows)
    first, second = row.flatten()
    fields = [pa.field("i", pa.int32()), pa.field("s", pa.string())]
    return pa.StructArray.from_arrays([pc.add(first, number), second], fields=fields)


def _person(context: Any, name: Any, age: Any, payload: Any) -> Any:
    values = [as_array(v, context.rows) for v in (age, name, payload)]
    return pa.StructArray.from_arrays(values, names=["age", "name", "payload"])


def _empty(context: Any) -> Any:
    del context
    return pa.scalar([], pa.list_(pa.int32()))


def _time_sub(_: Any, left: Any, right: Any) -> Any:
    days = [np.asarray(pc.cast(v, pa.int32())).astype(np.int64) for v in (left, right)]
    return pa.array(np.abs(np.broadcast_arrays(days[0] - days[1])[0]).reshape(-1))


_FUNCTIONS = (
    _function("RowToFirstField", (_to(_PAIR),), IntType(), lambda _, r: r.flatten()[0]),
    _function("NestedRowToFirstField", (_to(_NESTED),), _NUMBERS, lambda _, r: r.flatten()[0]),
    _function("StructuredTypeConstructor", (_to(_USER),), _as_argument, lambda _, r: r),
    _function("ThrowingFunction", (INT,), IntType(nullable=False), _throw),
    _function("CreateMultiset", (MAP,), _multiset, lambda _, m: m),
    _function(
        "CreateStructuredType",
        (_to(_STRING), _to(IntType()), _to(MapType(_STRING, _STRING))),
        _PERSON,
        _person,
    ),
    _function("TakesRow", (_to(_PAIR), INT), _PAIR, _takes_row),
    _function("CreateEmptyArray", (), ArrayType(IntType()), _empty),
    _function("TIME_SUB", (_to(TimeType()), _to(TimeType())), BigIntType(), _time_sub),
    _function("DATE_SUB", (_to(DateType()), _to(DateType())), BigIntType(), _time_sub),
)


@contextmanager
def defined() -> Iterator[None]:
    """The functions exist within."""
    added = {f.name: replace(f) for f in _FUNCTIONS}
    with mock.patch.dict(catalogue._TABLE, added):
        yield
