"""CAST and TRY_CAST; every expected value is Flink's."""

from __future__ import annotations

from typing import Any

import pytest

from flowsql.errors import DataError, SqlError
from flowsql.expr import (
    bind_cast,
    can_cast,
    can_cast_implicitly,
    implicit_cast,
    interval_literal,
    timestamp_literal,
)
from flowsql.types import (
    ArrayType,
    BigIntType,
    BinaryType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    MapType,
    RowType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarBinaryType,
    VarCharType,
)
from tests.unit.expr.helpers import call, cast, over, text, value

STRING = VarCharType()
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("given", "target", "expected"),
    [
        (" 12 ", IntType(), "12"),
        ("-1.9", IntType(), "-1"),
        ("+5", IntType(), "5"),
        (".", IntType(), "0"),
        ("1.5", DoubleType(), "1.5"),
        ("1d", DoubleType(), "1.0"),
        ("1e400", DoubleType(), "Infinity"),
        ("1e2", DecimalType(10, 2), "100.00"),
        (" 1.255 ", DecimalType(10, 2), "1.26"),
        ("yes", BooleanType(), "TRUE"),
        ("2020-1-2", DateType(), "2020-01-02"),
        ("2020", DateType(), "2020-01-01"),
        ("2020-01-02 10:00:00", DateType(), "2020-01-02"),
        ("12:3", TimeType(0), "12:03:00"),
        ("12:34:56.129", TimeType(2), "12:34:56.12"),
        ("2020-01-02 3:4:5", TimestampType(3), "2020-01-02 03:04:05.000"),
        ("2020-02-30", TimestampType(3), "2020-02-29 00:00:00.000"),
        ("2020-01-02 03:04:05.123456789", TimestampType(9), "2020-01-02 03:04:05.123456789"),
        ("0001-01-01", DateType(), "0001-01-01"),
        (300, TinyIntType(), "44"),
        (3e9, SmallIntType(), "-1"),
        (1e30, BigIntType(), "9223372036854775807"),
        (NAN, IntType(), "0"),
        (2, BooleanType(), "TRUE"),
        (True, DecimalType(5, 2), "1.00"),
        (16777217, FloatType(), "1.6777216E7"),
        (1e23, STRING, "9.999999999999999E22"),
        (1e-5, STRING, "1.0E-5"),
        (0.001, STRING, "0.001"),
        (-0.0, STRING, "-0.0"),
        (-INF, STRING, "-Infinity"),
        ("Hello", CharType(7), "Hello  "),
        ("Hello", VarCharType(4), "Hell"),
    ],
)
def test_casts(given: Any, target: DataType, expected: str) -> None:
    """Of literals, as text."""
    assert expected == text(cast(given, target))


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("x", IntType()),
        ("0x10", IntType()),
        ("", IntType()),
        ("300", TinyIntType()),
        ("9223372036854775808", BigIntType()),
        ("", DoubleType()),
        ("inf", DoubleType()),
        ("abc", DecimalType(5, 2)),
        ("12345.6", DecimalType(5, 2)),
        (" T ", BooleanType()),
        ("2020-13-01", DateType()),
        ("2020-02-30", DateType()),
        ("99999-01-01", DateType()),
        ("24:00:00", TimeType(0)),
        ("2020-01-02T03:04:05", TimestampType(3)),
        ("2020-01-02 03:04:05Z", TimestampType(3)),
        ("2020-01-02 ", TimestampType(3)),
    ],
)
def test_what_cannot_be_read(given: str, target: DataType) -> None:
    """TRY_CAST gives NULL, CAST an error that names the text."""
    assert value(cast(given, target, safe=True)) is None
    with pytest.raises(DataError, match=r"cannot parse|out of range|too many digits"):
        value(cast(given, target))


def test_a_cast_is_null_where_digits_do_not_suffice() -> None:
    """DECIMAL overflow is NULL."""
    assert value(cast(cast("123.45", DecimalType(5, 2)), DecimalType(4, 2))) is None
    assert value(cast(42, DecimalType(1, 0))) is None


def test_float_casts_to_decimal_by_way_of_double() -> None:
    """A FLOAT column shows its binary digits."""
    found = over(
        lambda c: bind_cast(c, DecimalType(20, 10), safe=False, span=None), FloatType(), [1.1]
    )
    assert str(found[0]) == "1.1000000238"


def test_timestamps_before_1970() -> None:
    """Precision below milliseconds is cut toward zero, and so is the date."""
    old = timestamp_literal("1969-12-31 23:59:58.123")
    assert text(cast(old, TimestampType(0))) == "1969-12-31 23:59:59"
    assert text(cast(old, TimestampType(2))) == "1969-12-31 23:59:58.13"
    assert text(cast(old, DateType())) == "1970-01-01"


def test_nanoseconds_end_in_2262() -> None:
    """A year that does not fit TIMESTAMP(9) is an error that says so."""
    late = timestamp_literal("2300-01-01 00:00:00")
    with pytest.raises(DataError) as error:
        value(cast(late, TimestampType(9)))
    assert "timestamp is out of range" in error.value.message
    assert "2262" in (error.value.hint or "")


def test_nested_casts() -> None:
    """Element by element; TRY_CAST of a row with a bad part is NULL as a whole."""
    assert value(cast(call("ARRAY", 1, 2), ArrayType(STRING))) == ["1", "2"]
    assert value(cast(call("MAP", 1, 2), MapType(STRING, STRING))) == [("1", "2")]
    target = RowType((Field("a", TinyIntType()), Field("b", TimeType(0))))
    assert value(cast(call("ROW", 1, "abc"), target, safe=True)) is None
    assert text(cast(call("ROW", 1, "12:34:56"), target, safe=True)) == "(1, 12:34:56)"


def test_text_of_nested_values() -> None:
    """NULL is written out inside, and text has no quotes."""
    row = call("ROW", cast("1.50", DecimalType(3, 2)), True, interval_literal("1", "DAY"))
    assert text(row) == "(1.50, TRUE, +1 00:00:00.000)"
    assert text(call("ARRAY", 1, cast(None, IntType()))) == "[1, NULL]"
    assert text(call("MAP", "a", 1, "b", 2)) == "{a=1, b=2}"


def test_bytes() -> None:
    """BINARY is padded and cut; bytes that are no UTF-8 are NULL in TRY_CAST."""
    assert value(cast(cast("ab", VarBinaryType()), BinaryType(4))) == b"ab\0\0"
    bad = [b"\x80", b"ok"]

    def tried(column: Any) -> Any:
        return bind_cast(column, STRING, safe=True, span=None)

    assert over(tried, VarBinaryType(), bad) == [None, "ok"]


@pytest.mark.parametrize(
    ("source", "target", "explicit", "implicit"),
    [
        (IntType(), BigIntType(), True, True),
        (BigIntType(), IntType(), True, False),
        (IntType(), STRING, True, False),
        (STRING, IntType(), True, False),
        (DecimalType(10, 2), DoubleType(), True, True),
        (DoubleType(), FloatType(), True, True),
        (DoubleType(), DecimalType(5, 2), True, True),
        (TimestampType(3), DateType(), True, True),
        (DateType(), TimestampType(3), True, False),
        (TimestampType(3), LocalZonedTimestampType(3), True, True),
        (VarBinaryType(), STRING, True, False),
        (STRING, VarBinaryType(), True, False),
        (IntType(), DateType(), False, False),
        (TimestampType(3), IntType(), False, False),
        (IntType(), TimestampType(3), False, False),
        (ArrayType(IntType()), ArrayType(BigIntType()), True, True),
        (IntType(), VarBinaryType(), False, False),
    ],
)
def test_which_casts_exist(
    source: DataType, target: DataType, explicit: bool, implicit: bool
) -> None:
    """The table of casts."""
    assert explicit == can_cast(source, target)
    assert implicit == can_cast_implicitly(source, target)


def test_a_missing_cast_names_its_cure() -> None:
    """Numbers are no points in time."""
    with pytest.raises(SqlError) as error:
        cast(1, TimestampType(3))
    assert error.value.message == 'cannot cast "INT" to "TIMESTAMP(3)"'
    assert "TO_TIMESTAMP(FROM_UNIXTIME(numeric))" in (error.value.hint or "")
    with pytest.raises(SqlError) as error:
        implicit_cast(cast("1", STRING), IntType(), None)
    assert error.value.message == 'cannot cast "STRING" to "INT" implicitly'
    assert error.value.hint == "Write CAST(… AS INT)."


def test_text_of_many_doubles() -> None:
    """The column's algorithm and the single value's give the same text."""
    numbers = [1 / 3, 2e23, 1e23, 123.456, -0.1, 0.0, 1e-320, 2.0**60, 1e7, 0.001, 9.999999e6] * 2
    numbers += [NAN, INF, -INF, 100.0, 8.41e21]
    whole = over(lambda c: bind_cast(c, STRING, safe=False, span=None), DoubleType(), numbers)
    assert [text(cast(n, STRING)) for n in numbers] == whole
    assert whole[0] == "0.3333333333333333"
    assert whole[1] == "1.9999999999999998E23"
