"""Where clocks are put forward and back: what Flink makes of such hours."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from flowsql.expr import (
    Column,
    EvalSettings,
    Expression,
    StepClock,
    bind_call,
    compile_projection,
    string_literal,
)
from flowsql.types import Field, LocalZonedTimestampType, RowType, VarCharType

ZONE = EvalSettings("America/Los_Angeles")


def at(millis: int, name: str, unit: str) -> str:
    """FLOOR or CEIL of an instant, as text in UTC."""
    row = RowType((Field("z", LocalZonedTimestampType(3)),))
    column = Column(type=row.types[0], index=0, name="z")
    batch = pa.record_batch([pa.array([millis * 1000], pa.timestamp("us", "UTC"))], names=["z"])
    bound = bind_call(name, [column, string_literal(unit)], None)
    found = compile_projection([bound], row, ZONE)(batch, StepClock(0))[0]
    return f"{found[0].as_py():%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("millis", "name", "unit", "expected"),
    [
        (1_583_665_200_000, "FLOOR", "DAY", "2020-03-08 07:00"),
        (1_584_700_000_000, "FLOOR", "MONTH", "2020-03-01 07:00"),
        (1_583_665_200_000, "FLOOR", "HOUR", "2020-03-08 11:00"),
        (1_604_248_200_000, "FLOOR", "DAY", "2020-11-01 08:00"),
        (1_583_650_000_000, "CEIL", "MONTH", "2020-04-01 08:00"),
    ],
)
def test_rounding_keeps_the_offset_of_the_value(
    millis: int, name: str, unit: str, expected: str
) -> None:
    """Midnight is taken by the offset of the moment itself, though it had another."""
    assert expected == at(millis, name, unit)


def text_of(name: str, *args: str) -> Any:
    """A function of texts."""
    row = RowType((Field("s", VarCharType()),))
    column: Expression = Column(type=VarCharType(), index=0, name="s")
    batch = pa.record_batch([pa.array([args[0]])], names=["s"])
    bound = bind_call(name, [column, *map(string_literal, args[1:])], None)
    return compile_projection([bound], row, ZONE)(batch, StepClock(0))[0].to_pylist()[0]


def test_an_hour_that_comes_twice() -> None:
    """UNIX_TIMESTAMP and CONVERT_TZ take its second, TO_TIMESTAMP_LTZ its first."""
    twice = "2020-11-01 01:30:00"
    assert text_of("UNIX_TIMESTAMP", twice) == 1_604_223_000
    assert text_of("CONVERT_TZ", twice, "America/Los_Angeles", "UTC") == "2020-11-01 09:30:00"
    assert f"{text_of('TO_TIMESTAMP_LTZ', twice):%H:%M}" == "01:30"  # read in UTC


def test_an_hour_that_never_comes() -> None:
    """It is taken by the offset before."""
    never = "2020-03-08 02:30:00"
    assert text_of("UNIX_TIMESTAMP", never) == 1_583_663_400
    assert text_of("CONVERT_TZ", never, "America/Los_Angeles", "UTC") == "2020-03-08 10:30:00"
