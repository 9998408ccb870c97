"""Literals: their types by what is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from flowsql.errors import SqlError
from flowsql.expr import (
    bytes_literal,
    date_literal,
    fold,
    interval_literal,
    number_literal,
    string_literal,
    time_literal,
    timestamp_literal,
)
from flowsql.expr.nodes import Call, Literal
from tests.unit.expr.helpers import call


@pytest.mark.parametrize(
    ("literal", "data_type", "value"),
    [
        (number_literal("2147483647"), "INT NOT NULL", 2147483647),
        (number_literal("2147483648"), "BIGINT NOT NULL", 2147483648),
        (number_literal("1.50"), "DECIMAL(3, 2) NOT NULL", Decimal("1.50")),
        (number_literal("00.50"), "DECIMAL(4, 2) NOT NULL", Decimal("0.50")),
        (number_literal(".5"), "DECIMAL(1, 1) NOT NULL", Decimal("0.5")),
        (number_literal("100."), "INT NOT NULL", 100),
        (number_literal("1e3"), "DOUBLE NOT NULL", 1000.0),
        (string_literal("abc"), "CHAR(3) NOT NULL", "abc"),
        (string_literal(""), "CHAR(0) NOT NULL", ""),
        (bytes_literal("4142"), "BINARY(2) NOT NULL", b"AB"),
        (date_literal("1970-01-02"), "DATE NOT NULL", 1),
        (time_literal("00:00:01.5"), "TIME(1) NOT NULL", 1500),
        (timestamp_literal("1970-01-01 00:00:01"), "TIMESTAMP(0) NOT NULL", 1_000_000),
        (timestamp_literal("1970-01-01 00:00:00.0000001"), "TIMESTAMP(7) NOT NULL", 100),
        (interval_literal("1 02:03:04.5", "DAY TO SECOND"), "INTERVAL SECOND(3) NOT NULL",
         93_784_500),
        (interval_literal("-3", "MINUTE"), "INTERVAL SECOND(3) NOT NULL", -180_000),
    ],
)  # fmt: skip
def test_types_and_values(literal: Literal, data_type: str, value: Any) -> None:
    """As in Flink."""
    assert (data_type, value) == (str(literal.type), literal.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: number_literal("99999999999999999999"),
         "whole number 99999999999999999999 is out of the range of BIGINT"),
        (lambda: number_literal("1e400"), "number 1e400 is out of the range of DOUBLE"),
        (lambda: bytes_literal("4"), "binary literal x'4' is not pairs of hexadecimal digits"),
        (lambda: date_literal("2020-02-30"), "cannot parse '2020-02-30' as DATE"),
        (lambda: interval_literal("1", "FORTNIGHT"), "cannot parse '1' as INTERVAL FORTNIGHT"),
    ],
)  # fmt: skip
def test_bad_literals(make: Any, message: str) -> None:
    """Refused when they are read."""
    with pytest.raises(SqlError) as error:
        make()
    assert message == error.value.message


def test_folding() -> None:
    """Constants are computed, but one that fails waits for a row that reaches it."""
    folded = fold(call("+", 1, call("*", 2, 3)))
    assert isinstance(folded, Literal)
    assert folded.value == 7
    assert isinstance(fold(call("/", 1, 0)), Call)
    assert isinstance(fold(call("RAND")), Call)
    text = fold(call("DATE_FORMAT", timestamp_literal("2020-01-01 00:00:00"), "yyyy"))
    assert isinstance(text, Literal)
    assert text.value == "2020"
