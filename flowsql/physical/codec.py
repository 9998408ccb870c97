"""Physical plans as JSON, for the manifest of a checkpoint.

A dataclass is an object whose `$` names its class; its fields follow by name, spans apart (they
point into a text that is not stored). Types stand as their SQL text where that says all. What JSON
cannot say is tagged: `{"$decimal": "1.50"}`, `{"$bytes": base64}`, `{"$double": "NaN"}`.

Reading builds values of the classes listed here and of no others: it executes nothing. A field that
is missing has its default, so that a newer flowsql reads what an older one wrote.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from flowsql.changelog import ChangelogMode
from flowsql.errors import FlowSQLError, StateError
from flowsql.expr import nodes as e
from flowsql.physical import plan as plans
from flowsql.physical import specs as p
from flowsql.physical.difference import difference
from flowsql.state import spec as s
from flowsql.types import datatypes as t
from flowsql.types import predicates as q
from flowsql.types.parser import parse_type

__all__ = ["decode", "difference", "dumps", "encode", "loads"]

_SPECS = (
    p.Collect, p.DeadLetters, p.Deduplicate, p.EndSort, p.Expand, p.Filter, p.FromChangelog,
    p.GroupAggregate, p.Join, p.JoinSide,
    p.Limit, p.Normalize, p.OnConflict, p.Project, p.Rank, p.Scan, p.SemiJoin, p.SetOperation, p.Sink,
    p.SinkMaterialize, p.Sort, p.SortKey, p.TimeSort, p.ToChangelog, p.TumbleAssign, p.Union, p.Unnest, p.Values,
    p.Watermark, p.WindowAggregate,
)  # fmt: skip
_EXPRESSIONS = (
    e.AggregateCall, e.Call, e.Case, e.Cast, e.Column, e.FieldAccess, e.Literal,
)  # fmt: skip
_STATE = (
    s.ColumnsSpec, s.KeyIndexSpec, s.OrderedSpec, s.RowListsSpec, s.RowsSpec, s.SortColumn,
    s.TimersSpec,
)  # fmt: skip
_TYPES = (
    t.ArrayType, t.BigIntType, t.BinaryType, t.BitmapType, t.BooleanType, t.CharType, t.DateType,
    t.DayTimeIntervalType, t.DecimalType, t.DoubleType, t.Field, t.FloatType, t.IntType,
    t.LocalZonedTimestampType, t.MapType, t.MultisetType, t.NullType, t.RowType, t.SmallIntType,
    t.StructuredType, t.TimeType, t.TimestampType, t.TinyIntType, t.VarBinaryType, t.VarCharType,
    t.VariantType, t.YearMonthIntervalType,
)  # fmt: skip
_PREDICATES = (q.And, q.Comparison, q.IsNull, q.OneOf, q.Or, q.ScanFilter)
_PLANS = (plans.PhysicalNode, plans.PhysicalPlan)
_CLASSES: Mapping[str, type[Any]] = {
    c.__name__: c for c in (*_SPECS, *_EXPRESSIONS, *_STATE, *_TYPES, *_PREDICATES, *_PLANS)
}
_ENUMS: Mapping[str, type[Enum]] = {
    c.__name__: c
    for c in (
        ChangelogMode, p.BadRecordPolicy, p.EmitStrategy, p.JoinKind, p.RankFunction, p.SetKind,
        p.SideLayout, q.Taken, t.TimeAttribute,
    )
}  # fmt: skip


def encode(plan: plans.PhysicalPlan) -> dict[str, Any]:
    """The plan as plain JSON."""
    encoded = _encode(plan)
    assert isinstance(encoded, dict)
    return encoded


def decode(data: Any) -> plans.PhysicalPlan:
    """The plan that `encode` gave.

    Raises:
        StateError: the data is no plan, or one that this version does not know.
    """
    try:
        plan = _decode(data)
    except (KeyError, TypeError, ValueError, InvalidOperation, FlowSQLError) as error:
        raise _unreadable(str(error)) from None
    if not isinstance(plan, plans.PhysicalPlan):
        raise _unreadable("it is no plan")
    return plan


def dumps(plan: plans.PhysicalPlan) -> str:
    """The plan as JSON text."""
    return json.dumps(encode(plan), ensure_ascii=False, allow_nan=False)


def loads(text: str) -> plans.PhysicalPlan:
    """The plan of `dumps`; raises as `decode`."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _unreadable(str(error)) from None
    return decode(data)


def _unreadable(reason: str) -> StateError:
    return StateError(
        f"cannot read the stored plan: {reason}",
        hint="It may be damaged, or written by a newer flowsql: use that version.",
    )


def _encode(value: Any) -> Any:
    match value:
        case Enum():
            return {"$enum": type(value).__name__, "name": value.name}
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"$double": str(value)}
        case Decimal():
            return {"$decimal": str(value)}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        case tuple():
            return [_encode(v) for v in value]
        case t.DataType() if not isinstance(value, t.RowType) and _says_all(value):
            return {"$type": str(value)}
        case _:
            name = type(value).__name__
            if _CLASSES.get(name) is not type(value):
                raise TypeError(f"{name} is no part of a plan")
            fields = {
                f.name: _encode(getattr(value, f.name))
                for f in dataclasses.fields(value)
                if f.name != "span"
            }
            return {"$": name, **fields}


def _says_all(data_type: t.DataType) -> bool:
    try:
        return parse_type(str(data_type)) == data_type
    except FlowSQLError:
        return False


def _decode(data: Any) -> Any:
    match data:
        case None | bool() | int() | float() | str():
            return data
        case list():
            return tuple(_decode(v) for v in data)
        case {"$double": str(text)}:
            return float(text)
        case {"$decimal": str(text)}:
            return Decimal(text)
        case {"$bytes": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"$type": str(text)}:
            return parse_type(text)
        case {"$enum": str(kind), "name": str(name)}:
            if kind not in _ENUMS:
                raise ValueError(f'"{kind}" is not known')
            return _ENUMS[kind][name]
        case {"$": str(name), **fields}:
            made = _CLASSES.get(name)
            if made is None:
                raise ValueError(f'"{name}" is not known')
            return made(**{str(k): _decode(v) for k, v in fields.items()})
        case _:
            raise ValueError("it is not of the known form")
