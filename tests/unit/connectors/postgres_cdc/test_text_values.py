"""The server's text as typed columns: every type's usual values and its edges."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.postgres_cdc import read_text
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import DataError
from flowsql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    IntType,
    TimestampType,
    TimeType,
    VarCharType,
)
from tests.unit.connectors.postgres_cdc.making import column

_US = 1_000_000
_DAY = 86_400 * _US


def _read(oid: int, values: list[str | None], declared: DataType | None = None) -> pa.Array:
    array = read_text(pa.array(values, pa.string()), column(oid, declared=declared))
    array.validate(full=True)
    return array


@pytest.mark.parametrize(
    ("oid", "declared", "text", "value"),
    [
        (16, None, "t", True),
        (16, None, "f", False),
        (21, None, "-32768", -32768),
        (20, None, "9223372036854775807", 2**63 - 1),
        (26, None, "4294967295", 2**32 - 1),
        (23, DecimalType(12, 2), "-7", Decimal("-7.00")),
        (701, None, "1e-300", 1e-300),
        (701, None, "-Infinity", float("-inf")),
        (700, None, "3.4028235e+38", 3.4028234663852886e38),
        (700, DoubleType(), "0.1", 0.10000000149011612),
        (1700, DecimalType(38, 0), "9" * 38, Decimal("9" * 38)),
        (1700, DecimalType(5, 2), "1.005", Decimal("1.01")),
        (1700, DecimalType(5, 2), "-1.005", Decimal("-1.01")),
        (1700, DoubleType(), "NaN", None),
        (1082, None, "2024-02-29", dt.date(2024, 2, 29)),
        (17, None, "\\x", b""),
        (17, None, "\\x00ff", b"\x00\xff"),
        (3802, None, '{"a": 1}', '{"a": 1}'),
        (600, None, "(1,2)", "(1,2)"),
        (1007, None, "{}", []),
        (1007, None, "{1,NULL,-3}", [1, None, -3]),
        (1007, None, "[0:1]={1,2}", [1, 2]),
        (1007, ArrayType(ArrayType(IntType())), "{{1,NULL},{3,4}}", [[1, None], [3, 4]]),
        (1007, ArrayType(ArrayType(IntType())), "{}", []),
        (1007, ArrayType(ArrayType(IntType())), "[0:0][2:3]={{1,2}}", [[1, 2]]),
        (1007, VarCharType(), "{{1},{2}}", "{{1},{2}}"),
        (1000, None, "{t,f}", [True, False]),
        (1009, None, '{a,"b c",NULL,"NULL",""}', ["a", "b c", None, "NULL", ""]),
        (1009, None, r'{"q\"x","b\\s","{a,b}","ä€"}', ['q"x', "b\\s", "{a,b}", "ä€"]),
        (
            1009,
            ArrayType(ArrayType(VarCharType())),
            r'{{"a}","\"{"},{b,NULL}}',
            [["a}", '"{'], ["b", None]],
        ),
    ],
)
def test_values(oid: int, declared: DataType | None, text: str, value: Any) -> None:
    """Alone, and among NULLs, in a slice of a longer column."""
    found = _read(oid, [text], declared).to_pylist()
    if value is None:
        assert found[0] != found[0]  # NaN
        return
    assert found == [value]
    among = pa.array([None, text, None, text, text], pa.string()).slice(2)
    reading = column(oid, declared=declared)
    assert read_text(among, reading).to_pylist() == [None, value, value]
    assert read_text(among.slice(0, 1), reading).to_pylist() == [None]
    assert read_text(among.slice(0, 0), reading).to_pylist() == []


@pytest.mark.parametrize(
    ("oid", "text", "stored"),
    [
        (1082, "0001-01-01", -719162),
        (1082, "0001-12-31 BC", -719163),
        (1082, "0044-03-15 BC", -735160),
        (1082, "4713-01-01 BC", -2440550),
        (1082, "5874897-12-31", 2145042905),
        (1082, "12024-03-01", 3672208),
        (1083, "23:59:59.999999", 86_399_999),
        (1114, "1969-12-31 23:59:59.999999", -1),
        (1114, "0001-12-31 23:59:59 BC", -719163 * _DAY + 86_399 * _US),
        (1114, "12024-03-01 00:00:00.5", 3672208 * _DAY + 500_000),
        (1184, "2024-01-01 00:00:00.25+00", 1704067200 * _US + 250_000),
        (1184, "0044-03-15 01:00:00+00 BC", -735160 * _DAY + 3600 * _US),
        (1184, "12024-03-01 00:00:00-07:52:58", 3672208 * _DAY + 28_378 * _US),
    ],
)
def test_dates_and_times_as_they_are_counted(oid: int, text: str, stored: int) -> None:
    """Days, milliseconds and microseconds, in years of all calendars."""
    array = _read(oid, [text, None, "2024-01-01" if oid == 1082 else None][:2])
    storage = pa.int64() if array.type.bit_width == 64 else pa.int32()
    assert array.view(storage).to_pylist() == [stored, None]


@pytest.mark.parametrize(
    ("oid", "text", "declared"),
    [
        (1082, "infinity", None),
        (1082, "-infinity", None),
        (1114, "-infinity", None),
        (1184, "infinity", None),
        (1083, "24:00:00", TimeType(0)),
        (1114, "294276-12-31 23:59:59.999999", None),
        (1700, "NaN", None),
        (1700, "Infinity", None),
        (1700, "123.45", DecimalType(4, 2)),
    ],
)
def test_what_the_type_cannot_hold(oid: int, text: str, declared: DataType | None) -> None:
    """The column, the value, and the two cures; not one row is given."""
    reading = column(oid, declared=declared)
    usual = {1082: "2024-01-01", 1083: "01:00:00", 1700: "1"}.get(oid, "2024-01-01 00:00:00")
    if oid == 1184:
        usual += "+00"
    with pytest.raises(DataError) as raised:
        read_text(pa.array([usual, text]), reading)
    assert raised.value.message == (
        f'column "c", {reading.pg} in the server, holds {text}, which {reading.type} cannot hold'
    )
    assert raised.value.hint == (
        "Declare the column as `c` STRING, which gives the server's text, and convert it in the"
        " query; or mend the row in the server."
    )


def test_nanoseconds_from_text() -> None:
    """A TIMESTAMP(9) keeps what the server has, to the end of its years."""
    assert _read(1114, ["2024-01-01 00:00:00.123456"], TimestampType(9)).cast(
        "int64"
    ).to_pylist() == [1704067200_123456000]
    with pytest.raises(DataError, match=r"which TIMESTAMP\(9\) cannot hold"):
        _read(1114, ["2300-01-01 00:00:00"], TimestampType(9))


@pytest.mark.parametrize(
    ("oid", "text"),
    [
        (16, "true"),
        (21, "40000"),
        (23, "12x"),
        (701, "much"),
        (1082, "yesterday"),
        (1082, "2024-01-01 00:00:00 BC"),
        (1083, "1 o'clock"),
        (1114, "0044-03-15 BC"),
        (1184, "0044-03-15 01:00:00 BC"),
        (17, "ab"),
        (17, "\\x0"),
        (17, "\\x0g"),
        (17, "x\\00"),
        (1007, "1,2"),
        (1007, "{1,,2}"),
        (1007, "{1,2"),
        (1009, '{"a}'),
        (1009, '{"a"b}'),
        (1009, '{a"b"}'),
        (1009, "{a\\"),
        (1009, "{a}}"),
        (1009, "{a}{b}"),
    ],
)
def test_text_that_the_server_does_not_write(oid: int, text: str) -> None:
    """An error that names the column, whatever it is."""
    with pytest.raises(DataError, match=r'column "c", .* in the server, could not be read'):
        _read(oid, [text])


@pytest.mark.parametrize(
    ("text", "declared"),
    [("{{1,2}}", ArrayType(IntType())), ("{1,2}", ArrayType(ArrayType(IntType())))],
)
def test_arrays_of_other_dimensions(text: str, declared: DataType) -> None:
    """The server keeps any number of dimensions in one column."""
    with pytest.raises(DataError) as raised:
        _read(1007, ["{}", text], declared)
    assert f"holds {text}, which {declared} cannot hold" in raised.value.message


@pytest.mark.parametrize("text", ["{{1},2}", "{{1}{2}}", "{{1},}", "{{1}, {2}}", "{{1},{2}"])
def test_nested_arrays_that_the_server_does_not_write(text: str) -> None:
    """Something other than arrays and commas between the outer braces."""
    with pytest.raises(DataError, match="could not be read"):
        _read(1007, ["{{3}}", text], ArrayType(ArrayType(IntType())))


def _literal(element: str | None) -> str:
    """An element as the server's array_out quotes it."""
    if element is None:
        return "NULL"
    plain = element and element.upper() != "NULL"
    if plain and not any(c in '{},"\\' or c.isspace() for c in element):
        return element
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ELEMENTS = st.one_of(
    st.none(),
    st.sampled_from(["", "NULL", "null", "{}", ",", '"', "\\", " a ", "ä"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.lists(_ELEMENTS, max_size=4)), min_size=1, max_size=6))
def test_arrays_of_any_text(arrays: list[list[str | None] | None]) -> None:
    """Quotes, backslashes, braces and what looks like NULL."""
    text = [None if a is None else "{" + ",".join(map(_literal, a)) + "}" for a in arrays]
    assert _read(1009, text).to_pylist() == arrays
