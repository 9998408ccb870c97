"""What functions answer; every expected value is Flink's."""

from __future__ import annotations

from typing import Any

import pytest

from flowsql.errors import DataError, SqlError
from flowsql.expr import (
    Expression,
    date_literal,
    interval_literal,
    is_constant,
    is_deterministic,
    time_literal,
    timestamp_literal,
)
from flowsql.types import (
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    LocalZonedTimestampType,
    TimestampType,
    VarCharType,
)
from tests.unit.expr.helpers import call, cast, null, over, text, value

STRING = VarCharType()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("UPPER", "straße"), "STRASSE"),
        (call("LOWER", "ΑΣ"), "ας"),
        (call("INITCAP", "o'neil foo-bar 1ab"), "O'Neil Foo-Bar 1ab"),
        (call("CHAR_LENGTH", "héé"), 3),
        (call("SUBSTRING", "abcdef", 2, 3), "bcd"),
        (call("SUBSTRING", "abcdef", 0, 3), "abc"),
        (call("SUBSTRING", "abcdef", -2), "ef"),
        (call("SUBSTRING", "abc", -5, 3), ""),
        (call("SUBSTRING", "abc", 2, -1), None),
        (call("LEFT", "abc", 2), "ab"),
        (call("RIGHT", "abc", 2), "bc"),
        (call("RIGHT", "abc", -1), ""),
        (call("LPAD", "hi", 5, "?!"), "?!?hi"),
        (call("LPAD", "hi", 1, "?"), "h"),
        (call("RPAD", "hi", 5, ""), None),
        (call("REPEAT", "ab", 2), "abab"),
        (call("REVERSE", "héé"), "ééh"),
        (call("REPLACE", "abc", "", "-"), "-a-b-c-"),
        (call("REPLACE", "aaa", "aa", "b"), "ba"),
        (call("TRIM", "BOTH", "abc", "abcddcba"), "dd"),
        (call("TRIM", "LEADING", "ab", "abac"), "c"),
        (call("LTRIM", "xxab", "x"), "ab"),
        (call("POSITION", "l", "hello"), 3),
        (call("LOCATE", "l", "hello", 4), 4),
        (call("LOCATE", "", "hello", 9), 1),
        (call("INSTR", "héllo", "l"), 3),
        (call("INSTR", "Hello", "lo", -1), 4),
        (call("INSTR", "Hello", "lo", -2), 0),
        (call("INSTR", "aaa", "aa", -1, 2), 1),
        (call("INSTR", "Hello", "l", 0), 0),
        (call("INSTR", "Hello", "", -1), 6),
        (call("SPLIT_INDEX", "a||b", "||", 1), "b"),
        (call("SPLIT_INDEX", ",a,", ",", 2), ""),
        (call("SPLIT_INDEX", "a b", 32, 1), "b"),
        (call("SPLIT_INDEX", "a", ",", -1), None),
        (call("CONCAT", "a", null(STRING)), None),
        (call("CONCAT_WS", ",", "a", null(STRING), "b"), "a,b"),
        (call("CONCAT_WS", ",", null(STRING)), ""),
        (call("||", "a", "bc"), "abc"),
        (call("OVERLAY", "xxxxxtest", "xxxx", 6, 2), "xxxxxxxxxst"),
        (call("TRANSLATE", "www.apache.org", "abcde.", "123"), "www1p13horg"),
        (call("ASCII", "é"), -61),
        (call("MD5", "abc"), "900150983cd24fb0d6963f7d28e17f72"),
        (call("HEX", -1), "F" * 16),
        (call("UNHEX", "146"), b"\x00F"),
        (call("REGEXP_EXTRACT", "foothebar", "foo(.*?)(bar)", 2), "bar"),
        (call("REGEXP_EXTRACT", "abc", "(x)?a", 1), None),
        (call("REGEXP_REPLACE", "aaa", "a*", "b"), "bb"),
        (call("REGEXP_REPLACE", "xyz", "(x)", "$1$1"), "$1$1yz"),
        (call("REGEXP", "Hello World", r"^Hello\b"), True),
        (call("LIKE", "TE_ST", r"%E\_S%"), False),
        (call("LIKE", "TE_ST", "%E#_S%", "#"), True),
        (call("LIKE", "a\nb", "a_b"), False),
        (call("LIKE", "a\nb", "a%b"), True),
        (call("SIMILAR TO", "Hello World", "%(World|x)"), True),
        (call("JSON_VALUE", '{"a": {"b": [1.50, true]}}', "$.a.b[0]"), "1.50"),
        (call("JSON_VALUE", '{"a": 1}', "$.b"), None),
        (call("JSON_VALUE", "no json", "$.a"), None),
    ],
)
def test_text(expression: Expression, expected: Any) -> None:
    """Functions of text."""
    assert expected == value(expression)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("/", -7, 2), "-3"),
        (call("%", -7, 3), "-1"),
        (call("+", 2147483647, 1), "-2147483648"),
        (call("ABS", -2147483648), "-2147483648"),
        (call("ROUND", 45, -1), "50"),
        (call("ROUND", cast("2.675", DecimalType(4, 3)), 2), "2.68"),
        (call("ROUND", 2.675, 2), "2.68"),
        (call("ROUND", -0.4, 0), "0.0"),
        (call("TRUNCATE", 2.675, 2), "2.67"),
        (call("CEIL", -0.5), "-0.0"),
        (call("FLOOR", cast("-2.5", DecimalType(2, 1))), "-3"),
        (call("SIGN", cast("-2.5", DecimalType(2, 1))), "-1.0"),
        (call("POWER", 2, 0.5), "1.4142135623730951"),
        (call("LOG10", 43), "1.6334684555795864"),
        (call("LN", -1), "NaN"),
        (call("LOG", 1, 100), "Infinity"),
        (call("EXP", 42), "1.73927494152050099E18"),
        (call("RAND", 1), "0.7308781907032909"),
        (call("RAND_INTEGER", 3, 99), "50"),
        (call("GREATEST", 1, cast("3.14", DecimalType(3, 2))), "3.14"),
        (call("LEAST", 1, null(IntType())), None),
        (call("NULLIF", 1, 1), None),
        (call("IF", True, 1, 2), "1"),
        (call("IN", 1, 2, null(IntType())), None),
        (call("BETWEEN", 2, 1, 3), "TRUE"),
    ],
)
def test_numbers(expression: Expression, expected: str | None) -> None:
    """Functions of numbers, as text."""
    assert expected == text(expression)


TS = timestamp_literal("2024-02-29 12:34:56.789")
OLD = timestamp_literal("1969-12-31 23:59:58.123")
DATE = date_literal("2024-02-29")
TIME = time_literal("12:34:56")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("YEAR", DATE), "2024"),
        (call("WEEK", DATE), "9"),
        (call("DAYOFWEEK", DATE), "5"),
        (call("EXTRACT", "ISODOW", TS), "4"),
        (call("EXTRACT", "EPOCH", TS), "1709210096"),
        (call("EXTRACT", "MILLISECOND", TS), "789"),
        (call("EXTRACT", "CENTURY", date_literal("2000-12-31")), "20"),
        (call("EXTRACT", "SECOND", OLD), "-1"),
        (call("FLOOR", TS, "HOUR"), "2024-02-29 12:00:00.000"),
        (call("CEIL", TS, "MONTH"), "2024-03-01 00:00:00.000"),
        (call("FLOOR", DATE, "WEEK"), "2024-02-25"),
        (call("CEIL", TIME, "MINUTE"), "12:35:00"),
        (call("+", DATE, interval_literal("1", "MONTH")), "2024-03-29"),
        (call("-", DATE, interval_literal("30", "HOUR")), "2024-02-28"),
        (call("+", TIME, interval_literal("12", "HOUR")), "00:34:56"),
        (call("-", TS, interval_literal("1", "YEAR")), "2023-02-28 12:34:56.789"),
        (call("*", interval_literal("1", "HOUR"), 2), "+0 02:00:00.000"),
        (call("UNARY -", interval_literal("2-10", "YEAR TO MONTH")), "-2-10"),
        (call("TIMESTAMPADD", "QUARTER", 1, timestamp_literal("2017-11-29 22:58:58.998")),
         "2018-02-28 22:58:58.998"),
        (call("TIMESTAMPADD", "HOUR", -1, date_literal("2016-06-15")), "2016-06-14 23:00:00.000000"),
        (call("TIMESTAMPADD", "SECOND", 1, time_literal("23:59:59")), "00:00:00"),
        (call("TIMESTAMPDIFF", "MONTH", timestamp_literal("2020-01-31 00:00:00"),
              timestamp_literal("2020-02-29 00:00:00")), "1"),
        (call("TIMESTAMPDIFF", "HOUR", TS, OLD), "-474780"),
        (call("DATE_FORMAT", TS, "yy/M/d h:m:s a EEE MMM"), "24/2/29 12:34:56 PM Thu Feb"),
        (call("DATE_FORMAT", TS, "yyyy-MM-dd'T'HH:mm:ss.SSS"), "2024-02-29T12:34:56.789"),
        (call("DATE_FORMAT", "2020-01-02 03:04:05.678", "yyyy SSS"), "2020 000"),
        (call("DATE_FORMAT", TS, "Q QQ QQQ QQQQ QQQQQ"), "1 01 Q1 1st quarter 1"),
        (call("DATE_FORMAT", TS, "MMMMM LLLLL EEEEE eeeee ccccc"), "F F T T T"),
        (call("FROM_UNIXTIME", 1704445687, "u uu F LLLLL EEEEE GGGG SSSS yyy"),
            "5 05 1 January Friday AD 0000 2024"),
        (call("TO_DATE", "20200102", "yyyyMMdd"), "2020-01-02"),
        (call("TO_TIMESTAMP", "2020-02-30 00:00:00"), "2020-02-29 00:00:00.000"),
        (call("TO_TIMESTAMP", "2020-01-02T03:04:05"), None),
        (call("TO_TIMESTAMP", "01/02/2020 3:04 PM", "MM/dd/yyyy h:mm a"), "2020-01-02 15:04:00.000"),
        (call("TO_TIMESTAMP_LTZ", 253402300800000, 3), None),
        (call("FROM_UNIXTIME", 44), "1970-01-01 00:00:44"),
        (call("UNIX_TIMESTAMP", "no time"), "-9223372036854775808"),
        (call("OVERLAPS", DATE, interval_literal("1", "DAY"), date_literal("2024-03-01"),
              date_literal("2024-03-02")), "TRUE"),
    ],
)  # fmt: skip
def test_time(expression: Expression, expected: str | None) -> None:
    """Functions of points in time, as text."""
    assert expected == text(expression)


def test_local_time_zone() -> None:
    """TIMESTAMP_LTZ shows and computes in the session's zone."""
    instant = call("TO_TIMESTAMP_LTZ", 0, 3)
    assert text(instant, "Asia/Shanghai") == "1970-01-01 08:00:00.000"
    assert value(call("HOUR", instant), "Asia/Shanghai") == 8
    zoned = cast(timestamp_literal("2005-03-27 02:30:00"), LocalZonedTimestampType(0))
    assert text(zoned, "MET") == "2005-03-27 03:30:00"
    plain = cast(instant, TimestampType(3))
    assert text(plain, "GMT-08:00") == "1969-12-31 16:00:00.000"
    assert value(call("UNIX_TIMESTAMP", "2005-03-27 02:00:00"), "MET") == 1111885200


def test_the_clock_is_the_steps() -> None:
    """Functions of now read the step's clock, to the millisecond."""
    assert text(call("CURRENT_TIMESTAMP")) == "2020-09-13 12:26:40.123"
    assert text(call("CURRENT_DATE")) == "2020-09-13"
    assert text(call("LOCALTIMESTAMP"), "Asia/Shanghai") == "2020-09-13 20:26:40.123"
    assert value(call("UNIX_TIMESTAMP")) == 1600000000


def test_determinism() -> None:
    """The clock and random numbers are no constants that may be folded."""
    assert not is_deterministic(call("+", call("RAND"), 1.0))
    assert not is_deterministic(call("NOW"))
    assert is_deterministic(call("UNIX_TIMESTAMP", "1970-01-01 00:00:00"))
    assert is_constant(call("NOW"))


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("UPPR", ("a",), 'function "UPPR" does not exist'),
        ("UPPER", (1,), '"UPPER" does not take (INT NOT NULL)'),
        ("UPPER", ("a", "b"), '"UPPER" does not take (CHAR(1) NOT NULL, CHAR(1) NOT NULL)'),
        ("+", ("a", 1), '"+" does not take (CHAR(1) NOT NULL, INT NOT NULL)'),
        ("=", ("1", 1), 'cannot compare "CHAR(1)" with "INT" by ='),
        ("%", (1.5, 1), '"%" does not take (DOUBLE NOT NULL, INT NOT NULL)'),
        ("COALESCE", (1, "a"), '"COALESCE" does not take (INT NOT NULL, CHAR(1) NOT NULL)'),
        ("EXTRACT", ("YEAR", TIME), 'unit "YEAR" cannot be taken from TIME(0)'),
        ("FLOOR", (TS, "HUOR"), '"HUOR" is not a unit of time'),
        ("LIKE", ("a", "a&b", "&"), "Invalid escape sequence 'a&b', 1"),
        ("REGEXP_REPLACE", ("a", "(", "b"), "Invalid regular expression for REGEXP_REPLACE: '('"),
        ("DATE_FORMAT", (TS, "yyyy bad"), "unknown pattern letter: b"),
        ("DATE_FORMAT", (TS, "ddd"), 'pattern "ddd" has too many pattern letters: ddd'),
        ("DATE_FORMAT", (TS, "cc"), 'pattern "cc" has too many pattern letters: cc'),
        ("FROM_UNIXTIME", (0, "Q"), "pattern letter Q is not supported"),
        ("JSON_VALUE", ("{}", "$[?(@.a)]"), "the filter in JSON path '$[?(@.a)]' is not supported"),
        (
            "ITEM",
            (call("ARRAY", 1), 0),
            "an array's elements are counted from 1, but the index is 0",
        ),
    ],
)
def test_refusals(name: str, args: tuple[Any, ...], message: str) -> None:
    """Wrong calls are refused when they are bound, by name."""
    with pytest.raises(SqlError) as error:
        call(name, *args)
    assert message == error.value.message


def test_hints_of_refusals() -> None:
    """The cure: the nearest name, or what is supported."""
    with pytest.raises(SqlError) as error:
        call("UPPR", "a")
    assert error.value.hint == 'Did you mean "UPPER"?'
    with pytest.raises(SqlError) as error:
        call("LOCATE", 1)
    assert (
        error.value.hint
        == "Supported: LOCATE(<CHARACTER_STRING>, <CHARACTER_STRING>[, <INTEGER>])."
    )


def test_a_wrong_value_is_a_data_error() -> None:
    """A cast of text that is no number names the text and the way out."""
    with pytest.raises(DataError) as error:
        value(cast("x1", IntType()))
    assert error.value.message == "cannot parse 'x1' as a whole number in \"CAST('x1' AS INT)\""
    assert error.value.hint == "Write TRY_CAST('x1' AS INT) to get NULL instead."


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("ITEM", call("ARRAY", 1, 2), 2), 2),
        (call("ITEM", call("ARRAY", 1, 2), 3), None),
        (call("ITEM", call("MAP", "a", 1, "b", 2), "b"), 2),
        (call("ITEM", call("MAP", "a", 1, "a", 2), "a"), 2),
        (call("ITEM", call("MAP", "a", 1), "z"), None),
        (call("CARDINALITY", call("ARRAY", 1, 2)), 2),
        (call("ELEMENT", call("ARRAY", 7)), 7),
        (call("ARRAY_CONTAINS", call("ARRAY", 1, 2), 2), True),
        (call("=", call("ARRAY", 1, null(IntType())), call("ARRAY", 1, null(IntType()))), True),
        (call("=", call("ROW", 1, null(STRING)), call("ROW", 1, "x")), None),
        (call("<>", call("MAP", "a", 1), call("MAP", "a", 2)), True),
        (call("TYPEOF", call("ARRAY", 1, null(IntType()))), "ARRAY<INT> NOT NULL"),
    ],
)
def test_collections(expression: Expression, expected: Any) -> None:
    """Arrays, maps and rows."""
    assert expected == value(expression)


def test_float_merges_as_in_flink() -> None:
    """FLOAT + DOUBLE is FLOAT, but COALESCE of both is DOUBLE."""
    single, double = null(FloatType()), null(DoubleType())
    assert FloatType() == call("+", single, double).type
    assert DoubleType() == call("+", double, single).type
    assert DoubleType() == call("COALESCE", single, double).type


def test_rounding_of_many_doubles() -> None:
    """Ties are those of the shortest decimal text, as with Java's BigDecimal."""
    numbers = [1.005, 2.675, -2.675, 0.125, 1e17, 0.0, 5e-324, 1.114999999]
    rounded = over(lambda c: call("ROUND", c, 2), DoubleType(), numbers)
    assert rounded == [1.01, 2.68, -2.68, 0.13, 1e17, 0.0, 0.0, 1.11]
    cut = over(lambda c: call("TRUNCATE", c, 2), DoubleType(), numbers)
    assert cut == [1.0, 2.67, -2.67, 0.12, 1e17, 0.0, 0.0, 1.11]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (call("ATAN", 0.45), "0.4228539261329407"),
        (call("ATAN2", 2.5, -1.5), "2.1112158270654806"),
        (call("ASIN", 0.7), "0.775397496610753"),
        (call("ACOS", 0.7), "0.7953988301841436"),
        (call("SINH", 4.6), "49.73713190309457"),
        (call("COSH", 4.6), "49.747183738839205"),
    ],
)
def test_java_fixes_these_to_the_bit(expression: Expression, expected: str) -> None:
    """Inverse and hyperbolic functions are StrictMath's."""
    assert expected == text(expression)


def test_years_past_9999_have_no_text() -> None:
    """Not a wrong year, but an error."""
    late = call("+", date_literal("9999-12-31"), interval_literal("1", "DAY"))
    with pytest.raises(DataError, match="year is out of range"):
        value(cast(late, STRING))


def test_utf16_where_java_counts_in_it() -> None:
    """Characters above U+FFFF are two units for some functions, as in Flink."""
    assert value(call("REPLACE", "😀a", "", "-")) == "-?-?-a-"
    assert value(call("OVERLAY", "😀a", "z", 2)) == "?za"
    assert value(call("LPAD", "😀a", 4, "x")) == "x😀a"
    assert value(call("CHAR_LENGTH", "😀a")) == 2
    assert value(call("REVERSE", "😀a")) == "a😀"
