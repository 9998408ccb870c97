"""The csv format reads and writes as Flink 2.3 does; what it refuses is a bad record."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import ConfigError, DataError
from flowsql.formats import Decoded, find_format

from .helpers import decode, format_table

AB = "a STRING, b STRING"

# What Arrow and Flink may read differently.
ODD = {
    "INT": ["1", "+5", " 7 ", "0x1F", "2147483648", "1.0", "", "N", "007", '"1"', "\t3"],
    "DOUBLE": ["1.", "1d", "nan", "NaN", "inf", "Infinity", "1e400", " 1 ", "0x1p3", "-0", "N"],
    "BOOLEAN": ["true", "TRUE", "tRue", " true ", "1", "N", ""],
    "DECIMAL(5,2)": ["1", "1.005", "999.995", "1000", " 1", "1 ", "1e2", "-0", "N", '" 1"'],
    "DATE": ["2020-01-05", "2020-1-5", "2020-02-30", "2020-01-05 ", " 2020-01-05", "N"],
    "TIMESTAMP(3)": ["2020-01-01 00:00:05", " 2020-01-01 00:00:05.1234567", "2020-01-01", "N"],
    "STRING": ["", "é", " q ", "\ufeffz", "\\n", "\\", '"a""b"', 'a"b', '"a\rb"', "N", "'", "#"],
    "BYTES": ["YQ==", "YR==", "a", "", "N", "===="],
}


@pytest.mark.parametrize(
    ("columns", "block", "options", "rows"),
    [
        (AB, b"1,\n,\n", {}, [("1", ""), ("", "")]),
        ("a STRING", b"x\n\ny\n", {}, [("x",), ("",), ("y",)]),
        (AB, b"1,2,\n2,y\n", {}, [("1", "2"), ("2", "y")]),
        (AB, b'"N",N\nx,""\n', {"null_literal": "N"}, [(None, None), ("x", "")]),
        ("a INT, b STRING", b',""\n1,\n', {"null_literal": ""}, [(None, None), (1, None)]),
        (AB, b'"a""b","x\ny"\n5" pipe,q\n', {}, [('a"b', "x\ny"), ('5" pipe', "q")]),
        (AB, b' "ab" ,x\nc, d \n', {}, [(' "ab" ', "x"), ("c", " d ")]),
        (AB, b'a\\,b,c\n"x\\"y",z\n', {"escape_character": "\\"}, [("a,b", "c"), ('x"y', "z")]),
        (AB, b'"a",b\n', {"disable_quote_character": "true"}, [('"a"', "b")]),
        (AB, b"a\tb\n", {"field_delimiter": "\\t"}, [("a", "b")]),
        (AB, b"a,b\r\nc,d\r\n", {}, [("a", "b"), ("c", "d")]),
        ("a INT, b BIGINT", b"+1, 2 \n 3,-0\n", {}, [(1, 2), (3, 0)]),
        (
            "a DECIMAL(5,2)",
            b"1.555\n1e2\n.5\n-1.005\n",
            {},
            [(Decimal(x),) for x in ("1.56", "100.00", "0.50", "-1.01")],
        ),
        ("a DOUBLE", b"1\n 1.5 \n1d\n1e400\n", {}, [(1.0,), (1.5,), (1.0,), (float("inf"),)]),
        (
            "a TIMESTAMP(3)",
            b"2020-01-01 00:00:05.123456\n",
            {},
            [(dt.datetime(2020, 1, 1, 0, 0, 5, 123456),)],
        ),
        (
            "a DATE, b TIME(3)",
            b"2020-01-05,10:11:12.123\n2020-1-5,10:11\n",
            {},
            [
                (dt.date(2020, 1, 5), dt.time(10, 11, 12, 123000)),
                (dt.date(2020, 1, 5), dt.time(10, 11)),
            ],
        ),
        ("a TIME", b"10:11:12.123\n", {}, [(dt.time(10, 11, 12),)]),
        ("a BYTES", b"aGVsbG8=\n", {}, [(b"hello",)]),
        (
            "a ARRAY<INT>, c ROW<x INT, y STRING>",
            b"1;2;3,1;z\n,\n4,\n",
            {},
            [([1, 2, 3], {"x": 1, "y": "z"}), ([], None), ([4], None)],
        ),
        (
            "a ARRAY<INT>, b ARRAY<STRING>",
            b"1;N;2,x;N\nN,N\n,\n",
            {"null_literal": "N"},
            [([1, None, 2], ["x", None]), ([None], [None]), ([], [])],
        ),
        (
            "a ROW<x INT, y STRING>, b ROW<x STRING>",
            b"N;N,N\nN;z,\nN,q\n",
            {"null_literal": "N"},
            [
                ({"x": None, "y": None}, {"x": None}),
                ({"x": None, "y": "z"}, None),
                (None, {"x": "q"}),
            ],
        ),
        (
            "a ARRAY<INT>, b INT",
            b"1;;2,1\n,2\n",
            {"null_literal": ""},
            [([1, None, 2], 1), ([], 2)],
        ),
        (
            "a STRING, b INT",
            b'x\\ny,1\nx\\ty\\0\\qz,2\n"x\\ny",3\na\\\r\n,\\4\n',
            {"escape_character": "\\", "ignore_parse_errors": "true"},
            [("x\ny", 1), ("x\ty\0qz", 2), ("x\ny", 3), ("a\r", None), ("", 4)],
        ),
        (AB, b"x,1\ry,2\rz,3\n", {}, [("x", "1"), ("y", "2"), ("z", "3")]),
        ("a STRING", b"x\r\r\ny\n", {}, [("x",), ("",), ("y",)]),
        (AB, b'"x\ry",1\r\n"a\r\nb",2\n', {}, [("x\ry", "1"), ("a\r\nb", "2")]),
        ("a TIMESTAMP(3)", b" 2020-01-01 00:00:05 \n", {}, [(dt.datetime(2020, 1, 1, 0, 0, 5),)]),
        ("a DOUBLE", b"Infinity\n-Infinity\n", {}, [(float("inf"),), (float("-inf"),)]),
        (AB, b'"#x\n#y",1\n#no,1\n', {"allow_comments": "true"}, [("#x\n#y", "1")]),
        ("a INT, b STRING", b"#hi\n1,x\n # no,y\n", {"allow_comments": "true"}, [(1, "x")]),
        (
            "a INT, b STRING",
            b"1,x\nz,y\n3\n4,5,6\n7,q\n",
            {"ignore_parse_errors": "true"},
            [(1, "x"), (None, "y"), (3, None), (7, "q")],
        ),
    ],
)
def test_reads_as_flink(columns: str, block: bytes, options: dict, rows: list) -> None:
    """Recorded answers of Flink 2.3."""
    assert decode("csv", columns, block, **options) == (rows, [])


@pytest.mark.parametrize(
    ("columns", "block", "bad"),
    [
        (
            "a INT, b STRING",
            b"1,x\n,y\n",
            (
                2,
                "column \"a\": \"\" cannot be read as INT ('csv.null-literal' = '' makes it NULL)",
            ),
        ),
        (
            "Price INT",
            b"price\n3\n",
            (
                1,
                (
                    'column "Price": "price" cannot be read as INT'
                    " (a header line is a record like any other)"
                ),
            ),
        ),
        ("a INT", b"0x10\n", (1, 'column "a": "0x10" cannot be read as INT')),
        ("a INT", b"1.5\n", (1, 'column "a": "1.5" cannot be read as INT')),
        ("a TINYINT", b"300\n", (1, 'column "a": "300" cannot be read as TINYINT')),
        ("a BOOLEAN", b"true\nyes\n", (2, 'column "a": "yes" cannot be read as BOOLEAN')),
        (
            "a DECIMAL(5,2)",
            b"12345.6\n",
            (1, 'column "a": "12345.6" cannot be read as DECIMAL(5, 2)'),
        ),
        ("a DECIMAL(5,2)", b"1000\n", (1, 'column "a": "1000" cannot be read as DECIMAL(5, 2)')),
        ("a DECIMAL(5,2)", b"1\n1 \n", (2, 'column "a": "1 " cannot be read as DECIMAL(5, 2)')),
        ("a DATE", b"\t2020-02-03\n", (1, 'column "a": "\t2020-02-03" cannot be read as DATE')),
        ("a DOUBLE", b"nan\n", (1, 'column "a": "nan" cannot be read as DOUBLE')),
        ("a FLOAT", b"1\n-inf\n", (2, 'column "a": "-inf" cannot be read as FLOAT')),
        ("a INT, b STRING", b'0x1F,"x"\n', (1, 'column "a": "0x1F" cannot be read as INT')),
        ("a DATE", b"2020-02-30\n", (1, 'column "a": "2020-02-30" cannot be read as DATE')),
        (
            "a TIMESTAMP(3)",
            b"2020-01-01T00:00:05\n",
            (1, 'column "a": "2020-01-01T00:00:05" cannot be read as TIMESTAMP(3)'),
        ),
        (
            "a TIMESTAMP_LTZ(3)",
            b"2020-01-01 00:00:05\n",
            (1, 'column "a": "2020-01-01 00:00:05" cannot be read as TIMESTAMP_LTZ(3)'),
        ),
        ("a BYTES", b"aGVsbG8\n", (1, 'column "a": "aGVsbG8" cannot be read as BYTES')),
        ("a ARRAY<INT>", b"1;;2\n", (1, 'column "a": "1;;2" cannot be read as ARRAY<INT>')),
        (AB, b"1,x\n\n2,y\n", (2, "line is empty, expected 2 fields")),
        (AB, b"1,2,3\n2,y\n", (1, "record has 3 fields, expected 2")),
        (AB, b'"a"b,x\nc,d\n', (1, "text after a closing quote")),
        (AB, b'"ab,x\nc,d\n', (1, "quote is never closed")),
        ("a STRING", b"a\n\xff\n", (2, "record is not valid UTF-8")),
        (AB, b'"x\ny",1\n2\n', (3, "record has 1 field, expected 2")),
    ],
)
def test_names_what_it_cannot_read(columns: str, block: bytes, bad: tuple) -> None:
    """Each bad record has its line and its reason; the others are read."""
    rows, found = decode("csv", columns, block)
    assert [bad] == found
    table = format_table("csv", columns)
    assert len(rows) + 1 == find_format("csv").decoder(table).decode(block).records


@pytest.mark.parametrize(
    ("columns", "block", "rows"),
    [
        ("a STRING NOT NULL, b INT", b"x,1\nN,2\n", [("x", 1)]),
        ("a INT NOT NULL, b INT", b"1,N\nN,2\n", [(1, None)]),
    ],
)
def test_null_in_a_not_null_column_is_bad(columns: str, block: bytes, rows: list) -> None:
    """The engine takes NOT NULL for a fact; also where errors are ignored."""
    found = decode("csv", columns, block, null_literal="N")
    assert (rows, [(2, 'column "a" is NULL and declared NOT NULL')]) == found
    ignored = decode("csv", columns, block, null_literal="N", ignore_parse_errors="true")
    assert (rows, []) == ignored


@pytest.mark.parametrize("bad", ["", "x,1\n"])
def test_the_null_literal_is_an_element(bad: str) -> None:
    """Whether a block is read as a whole, or record by record for a bad one in it."""
    columns = "a ARRAY<INT>, r ROW<x INT, y STRING>"
    rows, wrong = decode("csv", columns, f"N,N;q\n{bad}3,1;N\n".encode(), null_literal="N")
    assert rows == [([None], {"x": None, "y": "q"}), ([3], {"x": 1, "y": None})]
    assert len(wrong) == bool(bad)


def test_an_ignored_error_makes_no_null_where_there_is_none() -> None:
    """Such a record is left out."""
    columns = "a INT NOT NULL, b ARRAY<INT NOT NULL>"
    block = b"1,1;2\nx,3\n2,3;x\n"
    assert decode("csv", columns, block, ignore_parse_errors="true") == ([(1, [1, 2])], [])


def test_reads_only_the_asked_columns() -> None:
    """A column that is not asked for is not looked at."""
    table = format_table("csv", "a INT, b STRING, c INT")
    only = type(table)(table.schema, table.options, ("c",))
    decoder = find_format("csv").decoder(only)
    assert decoder.decode(b"x,y,2\n").batch.to_pylist() == [{"c": 2}]
    assert decoder.decode(b"x,y,2\nx,y,z\n").batch.to_pylist() == [{"c": 2}]


def test_messages_are_records() -> None:
    """A message with a line end in quotes is one record."""
    decoder = find_format("csv").decoder(format_table("csv", AB))
    found = decoder.decode_messages([b"a,b", b'"x\ny",z', b"q"])
    assert found.batch.to_pylist() == [{"a": "a", "b": "b"}, {"a": "x\ny", "b": "z"}]
    assert [(b.record, b.line) for b in found.bad] == [(2, 3)]


def test_splits_behind_the_last_whole_record() -> None:
    """A line end in quotes ends no record."""
    decoder = find_format("csv").decoder(format_table("csv", AB))
    assert decoder.split(b'1,2\n"a\nb', last=False) == 4
    assert decoder.split(b'1,2\n"a\nb",c\n"', last=False) == 12
    assert decoder.split(b'5",x\n1,2\n3', last=False) - 1 == 8
    assert decoder.split(b"abc", last=True) == 3


def test_writes_as_flink() -> None:
    """Recorded output of Flink 2.3."""
    columns = "a INT, b STRING, c DECIMAL(5,2), d DOUBLE, f TIMESTAMP(3), j BYTES, k BOOLEAN"
    table = format_table("csv", columns)
    rows = [
        {"a": 1, "b": 'x,"y', "c": Decimal("1.50"), "d": 1e10,
         "f": dt.datetime(2020, 1, 1, 0, 0, 5, 120000), "j": b"\1\2", "k": True},
        {"a": None, "b": None, "c": None, "d": 123456.789,
         "f": dt.datetime(2020, 1, 1), "j": b"", "k": False},
        {"a": 3, "b": " sp\tq'\n", "c": Decimal("0.00"), "d": -1e-3, "f": None, "j": None, "k": None},
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=_schema(columns))
    assert find_format("csv").encoder(table).encode(batch) == (
        b'1,"x,""y",1.5,1.0E10,"2020-01-01 00:00:05.12",AQI=,true\n'
        b',,,123456.789,"2020-01-01 00:00:00",,false\n'
        b'3," sp\tq\'\n",0,-0.001,,,\n'
    )


def _schema(columns: str) -> pa.Schema:
    from flowsql.types import arrow_schema

    return arrow_schema(format_table("csv", columns).schema)


def test_refuses_to_write_what_it_could_not_read() -> None:
    """Without quotes a delimiter in a value cannot be told from one between values."""
    table = format_table("csv", "a STRING", disable_quote_character="true")
    batch = pa.RecordBatch.from_pydict({"a": ["x,y"]})
    with pytest.raises(DataError, match="quotes are disabled"):
        find_format("csv").encoder(table).encode(batch)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ("a MAP<STRING, INT>", {}, 'format "csv" cannot hold column "a" of type MAP<STRING, INT>'),
        ("a ARRAY<ARRAY<INT>>", {}, "ARRAY<INT> within another"),
        ("a TIME(6)", {}, r"of type TIME\(6\)"),
        ("a INT", {"field_delimiter": "ab"}, "expected one ASCII character"),
        ("a INT", {"quote_character": ","}, "the same character"),
    ],
)
def test_refuses_at_planning(columns: str, options: dict, message: str) -> None:
    """What a format cannot hold is refused before anything runs."""
    with pytest.raises(ConfigError, match=message):
        decode("csv", columns, b"", **options)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ODD)),
    st.data(),
    st.sampled_from([{}, {"escape_character": "\\"}, {"quote_character": "'"}]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_value_is_read_the_same_beside_a_bad_one(
    columns: str, data: st.DataObject, options: dict, end: str
) -> None:
    """A block is read as a whole or record by record; nobody can tell which."""
    cells = data.draw(st.lists(st.sampled_from(ODD[columns]), min_size=1, max_size=4))
    block = "".join(f"{c},x{end}" for c in cells).encode()
    table = format_table("csv", f"a {columns}, b STRING", null_literal="N", **options)
    decoder = find_format("csv").decoder(table)
    alone, beside = decoder.decode(block), decoder.decode(block + b"too,many,fields\n")
    assert _lines(alone) == _lines(beside)
    assert [b.reason for b in alone.bad] == [b.reason for b in beside.bad[:-1]]


def _lines(found: Decoded) -> str:
    return repr([c.cast(pa.string()).to_pylist() for c in found.batch.columns])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
            st.text(st.sampled_from("ab,\"'\n\r\\; #é"), max_size=6).filter(lambda t: t != "NIL"),
            st.one_of(st.none(), st.floats(allow_nan=False)),
        ),
        max_size=8,
    ),
    st.sampled_from([{}, {"escape_character": "\\"}, {"field_delimiter": ";"}]),
    st.integers(1, 40),
)
def test_round_trip(rows: list, options: dict, cut: int) -> None:
    """What was written is read again, however the bytes are cut into blocks."""
    columns = "a INT, b STRING, c DOUBLE"
    table = format_table("csv", columns, null_literal="NIL", **options)
    names = ["a", "b", "c"]
    data = [dict(zip(names, r, strict=True)) for r in rows]
    batch = pa.RecordBatch.from_pylist(data, schema=_schema(columns))
    text = find_format("csv").encoder(table).encode(batch)
    decoder = find_format("csv").decoder(table)
    found, at, end = [], 0, cut
    while at < len(text):
        last = at + end >= len(text)
        length = decoder.split(text[at : at + end], last=last)
        if not length:
            end *= 2
            continue
        part = decoder.decode(text[at : at + length])
        assert part.bad == ()
        found += part.batch.to_pylist()
        at += length
        end = cut
    assert data == found
