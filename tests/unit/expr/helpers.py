"""Expressions from Python values, and their values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from flowsql.expr import (
    Column,
    EvalSettings,
    Expression,
    Literal,
    StepClock,
    bind_call,
    bind_cast,
    boolean_literal,
    compile_projection,
    null_literal,
    number_literal,
    string_literal,
    to_text,
)
from flowsql.types import DataType, DoubleType, Field, RowType, VarCharType, arrow_type

CLOCK = StepClock(1_600_000_000_123_456)  # 2020-09-13 12:26:40.123456 UTC


def literal(value: Any) -> Expression:
    """The SQL literal of a Python value; expressions pass through."""
    match value:
        case Expression():
            return value
        case None:
            return null_literal()
        case bool():
            return boolean_literal(value)
        case int():
            bound = number_literal(str(abs(value)))
            return bound if value >= 0 else bind_call("UNARY -", [bound], None)
        case float():
            return Literal(type=DoubleType(nullable=False), value=value)
        case _:
            return string_literal(value)


def call(name: str, *args: Any) -> Expression:
    """A bound call."""
    return bind_call(name, [literal(a) for a in args], None)


def cast(value: Any, data_type: DataType, *, safe: bool = False) -> Expression:
    """CAST(value AS data_type)."""
    return bind_cast(literal(value), data_type, safe=safe, span=None)


def null(data_type: DataType) -> Expression:
    """A typed NULL."""
    return Literal(type=data_type, value=None)


def over(function: Any, data_type: DataType, values: list[Any], zone: str = "UTC") -> list[Any]:
    """`function(column)` over a column of storage values."""
    column = Column(type=data_type, index=0, name="c")
    row = RowType((Field("c", data_type),))
    arrow = arrow_type(data_type)
    array = pa.array(values, pa.int64()).view(arrow) if pa.types.is_timestamp(arrow) else (
        pa.array(values, arrow)
    )  # fmt: skip
    batch = pa.record_batch([array], names=["c"])
    return compile_projection([function(column)], row, EvalSettings(zone))(batch, CLOCK)[
        0
    ].to_pylist()


def value(expression: Expression, zone: str = "UTC") -> Any:
    """The value of a constant expression, computed by the kernel of a column as well."""
    batch = pa.record_batch([pa.array([0, 0, 0])], names=["n"])
    row = RowType((Field("n", VarCharType()),))
    found = compile_projection([expression], row, EvalSettings(zone))(batch, CLOCK)[0]
    return found.to_pylist()[0]


def text(expression: Expression, zone: str = "UTC") -> str | None:
    """The value as CAST(… AS STRING) shows it."""
    batch = pa.record_batch([pa.array([0])], names=["n"])
    row = RowType((Field("n", VarCharType()),))
    settings = EvalSettings(zone)
    found = compile_projection([expression], row, settings)(batch, CLOCK)[0]
    return to_text(found, expression.type, settings).to_pylist()[0]
