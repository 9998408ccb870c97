"""Stored times as literals."""

from __future__ import annotations

import pytest

from flowsql.types import (
    BigIntType,
    DataType,
    DateType,
    DayTimeIntervalType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    YearMonthIntervalType,
    moment_text,
)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (DateType(), -1, "DATE '1969-12-31'"),
        (TimeType(), 36_001_500, "TIME '10:00:01.5'"),
        (TimeType(), 0, "TIME '00:00:00'"),
        (TimestampType(3), 1_767_614_400_000_000, "TIMESTAMP '2026-01-05 12:00:00'"),
        (TimestampType(6), 1_000_010, "TIMESTAMP '1970-01-01 00:00:01.00001'"),
        (TimestampType(9), 1_000_000_001, "TIMESTAMP '1970-01-01 00:00:01.000000001'"),
        (LocalZonedTimestampType(3), -500_000, "TIMESTAMP_LTZ '1969-12-31 23:59:59.5 UTC'"),
        (DayTimeIntervalType(), 5_000, "INTERVAL '5' SECOND"),
        (DayTimeIntervalType(), -300_000, "INTERVAL '-5' MINUTE"),
        (DayTimeIntervalType(), 93_600_000, "INTERVAL '26' HOUR"),
        (DayTimeIntervalType(), 172_800_000, "INTERVAL '2' DAY"),
        (DayTimeIntervalType(), 100, "INTERVAL '0.1' SECOND"),
        (DayTimeIntervalType(), 86_400_001, "INTERVAL '86400.001' SECOND"),
        (DayTimeIntervalType(), 0, "INTERVAL '0' SECOND"),
        (YearMonthIntervalType(), 3, "INTERVAL '3' MONTH"),
        (YearMonthIntervalType(), 24, "INTERVAL '2' YEAR"),
        (BigIntType(), 7, None),
    ],
)
def test_stored_times_are_shown_as_literals(kind: DataType, value: int, text: str | None) -> None:
    """As somebody would write them."""
    assert moment_text(kind, value) == text
