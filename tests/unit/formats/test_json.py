"""The json format reads and writes as Flink 2.3 does; what it refuses is a bad record."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import ConfigError
from flowsql.formats import find_format
from flowsql.types import arrow_schema

from .helpers import decode, format_table

UTC = dt.UTC


@pytest.mark.parametrize(
    ("columns", "block", "options", "rows"),
    [
        (
            "a INT, b BIGINT",
            b'{"a":1.0,"b":"12"}\n{"a":" 3 "}\n{}\n\n{"a":null}\n',
            {},
            [(1, 12), (3, None), (None, None), (None, None)],
        ),
        ("a BOOLEAN", b'{"a":true}\n{"a":"TRUE"}\n', {}, [(True,), (True,)]),
        (
            "a STRING",
            b'{"a":1}\n{"a":1.50}\n{"a":true}\n{"a":{"x": 1, "y":[1, 2.0]}}\n{"a":[1, "q"]}\n',
            {},
            [("1",), ("1.50",), ("true",), ('{"x":1,"y":[1,2.0]}',), ('[1,"q"]',)],
        ),
        (
            "a DECIMAL(5,2)",
            b'{"a":1.255}\n{"a":"1.5 "}\n',
            {},
            [(Decimal("1.26"),), (Decimal("1.50"),)],
        ),
        (
            "a TIMESTAMP(3)",
            b'{"a":"2020-01-01T00:00:05.1"}\n',
            {"timestamp_format__standard": "ISO-8601"},
            [(dt.datetime(2020, 1, 1, 0, 0, 5, 100000),)],
        ),
        (
            "a TIMESTAMP_LTZ(3)",
            b'{"a":"2020-01-01 00:00:05.123Z"}\n',
            {},
            [(dt.datetime(2020, 1, 1, 0, 0, 5, 123000, UTC),)],
        ),
        (
            "a TIMESTAMP_LTZ(3)",
            b'{"a":"2020-01-01T02:00:05+02:00"}\n',
            {"timestamp_format__standard": "ISO-8601-WITH-OFFSET"},
            [(dt.datetime(2020, 1, 1, 0, 0, 5, 0, UTC),)],
        ),
        (
            "a ROW<x INT, y ARRAY<STRING>>, m MAP<STRING, INT>",
            b'{"a":{"x":1,"y":["p",null]},"m":{"k":1,"l":null}}\n{"a":null,"m":{}}\n',
            {},
            [({"x": 1, "y": ["p", None]}, [("k", 1), ("l", None)]), (None, [])],
        ),
        (
            "a ROW<x INT, y ARRAY<DATE>>",
            b'{"a":{"x":1,"y":["2020-01-01",null]}}\n{"a":null}\n{"a":{"y":[]}}',
            {},
            [
                ({"x": 1, "y": [dt.date(2020, 1, 1), None]},),
                (None,),
                ({"x": None, "y": []},),
            ],
        ),
        ("a INT", b'[{"a":1},{"a":2}]\n{"a":3}\n', {}, [(1,), (2,), (3,)]),
        ("a INT", b'{"a":1,"a":2}\n', {}, [(1,)]),
        ("A INT", b'{"a":1}\n', {}, [(None,)]),
        ("a BYTES", b'{"a":"aGVsbG8="}\n', {}, [(b"hello",)]),
        ("a DOUBLE", b'{"a":1e400}\n{"a":" 1.5 "}\n', {}, [(float("inf"),), (1.5,)]),
        (
            "a INT, b STRING",
            b'{"a":"x","b":"y"}\ngarbage\n{"a":2}\n',
            {"ignore_parse_errors": "true"},
            [(None, "y"), (2, None)],
        ),
    ],
)
def test_reads_as_flink(columns: str, block: bytes, options: dict, rows: list) -> None:
    """Recorded answers of Flink 2.3."""
    assert decode("json", columns, block, **options) == (rows, [])


@pytest.mark.parametrize(
    ("columns", "block", "bad"),
    [
        ("a INT", b'{"a":1}\n{"a":"x"}\n', (2, 'column "a": "x" cannot be read as INT')),
        ("a INT", b'{"a":3000000000}\n', (1, 'column "a": "3000000000" cannot be read as INT')),
        ("a INT", b'{"a":1.7}\n', (1, 'column "a": "1.7" cannot be read as INT')),
        ("a BOOLEAN", b'{"a":1}\n', (1, 'column "a": "1" cannot be read as BOOLEAN')),
        ("a INT", b'{"a":1} {"a":2}\n', (1, "record is not valid JSON: extra data")),
        ("a INT", b'{"a":1}\ngarbage\n', (2, "record is not valid JSON: expecting value")),
        ("a INT", b"5\n", (1, "record is not a JSON object")),
        ("a INT", b'null\n{"a":1}\n', (1, "record is not a JSON object")),
        ("a INT", b'{"a":1}\nnull\n', (2, "record is not a JSON object")),
        ("a DOUBLE", b'{"a":NaN}\n', (1, "record is not valid JSON: NaN is no number")),
        ("a STRING", b'{"a":"\xff"}\n', (1, "record is not valid UTF-8")),
        ("a STRING", b'{"a":"\\ud800"}\n', (1, "record has half of a surrogate pair")),
        (
            "a ROW<x ARRAY<INT>>",
            b'{"a":{"x":["q"]}}\n',
            (1, 'column "a": "{"x": ["q"]}" cannot be read as ROW<`x` ARRAY<INT>>'),
        ),
        (
            "a TIMESTAMP(3)",
            b'{"a":"2020-01-01T00:00:05"}\n',
            (1, 'column "a": "2020-01-01T00:00:05" cannot be read as TIMESTAMP(3)'),
        ),
    ],
)
def test_names_what_it_cannot_read(columns: str, block: bytes, bad: tuple) -> None:
    """Each bad record has its line and its reason."""
    assert [bad] == decode("json", columns, block)[1]


@pytest.mark.parametrize(
    ("columns", "good", "wrong", "reason"),
    [
        ("a INT NOT NULL", '{"a":1}', '{"a":null}', 'column "a"'),
        ("a STRING NOT NULL", '{"a":"x"}', "{}", 'column "a"'),
        ("a ARRAY<INT NOT NULL>", '{"a":[1]}', '{"a":[1,null]}', 'something within column "a"'),
        ("a ROW<x INT NOT NULL>", '{"a":null}', '{"a":{}}', 'something within column "a"'),
        (
            "a MAP<STRING, INT NOT NULL>",
            '{"a":{"k":1}}',
            '{"a":{"k":null}}',
            'something within column "a"',
        ),
    ],
)
def test_null_where_there_is_none_is_bad(columns: str, good: str, wrong: str, reason: str) -> None:
    """The engine takes NOT NULL for a fact; also where errors are ignored."""
    block = f"{good}\n{wrong}\n{good}\n".encode()
    rows, bad = decode("json", columns, block)
    assert [(2, f"{reason} is NULL and declared NOT NULL")] == bad
    assert len(rows) == 2
    assert (rows, []) == decode("json", columns, block, ignore_parse_errors="true")


@pytest.mark.parametrize(
    ("columns", "value", "rows"),
    [
        ("a DECIMAL(5,2)", "1000", None),
        ("a DECIMAL(5,2)", '"1000"', None),
        ("a ARRAY<DECIMAL(5,2)>", "[1000]", None),
        ("a DOUBLE", "-0", "0.0"),
        ("a DOUBLE", "-0.0", "-0.0"),
    ],
)
def test_a_value_is_read_the_same_beside_a_bad_one(
    columns: str, value: str, rows: str | None
) -> None:
    """A block is read as a whole or record by record; nobody can tell which."""
    block = f'{{"a":{value}}}\n'.encode()
    for more in (b"", b"nonsense\n"):
        found, bad = decode("json", columns, block + more)
        assert [repr(v) for (v,) in found] == ([] if rows is None else [rows])
        assert len(bad) == bool(more) + (rows is None)


def test_a_missing_field_can_be_bad() -> None:
    """`json.fail-on-missing-field` tells a missing field from a NULL one."""
    rows, bad = decode(
        "json", "a INT, b INT", b'{"a":1,"b":null}\n{"a":1}\n', fail_on_missing_field="true"
    )
    assert (rows, bad) == ([(1, None)], [(2, 'field "b" is missing')])


def test_writes_as_flink() -> None:
    """Recorded output of Flink 2.3."""
    columns = (
        "a INT, b STRING, c DECIMAL(5,2), e DOUBLE, f TIMESTAMP(3), j BYTES, "
        "k ARRAY<STRING>, l ROW<x INT, y STRING>, m MAP<STRING, INT>, t TIMESTAMP_LTZ(3)"
    )
    table = format_table("json", columns)
    row = {
        "a": None, "b": " sp\tq'\n", "c": Decimal("100.00"), "e": 1e10,
        "f": dt.datetime(2020, 1, 1, 0, 0, 5, 120000), "j": b"\1\2", "k": ["p;q", "r"],
        "l": {"x": 1, "y": "z w"}, "m": [("k", 1)], "t": dt.datetime(1970, 1, 1, 0, 0, 1, 0, UTC),
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([row], schema=arrow_schema(table.schema))
    assert find_format("json").encoder(table).encode(batch).decode() == (
        '{"a":null,"b":" sp\\tq\'\\n","c":1E+2,"e":1.0E10,"f":"2020-01-01 00:00:05.12","j":"AQI=",'
        '"k":["p;q","r"],"l":{"x":1,"y":"z w"},"m":{"k":1},"t":"1970-01-01 00:00:01Z"}\n'
    )


def test_null_fields_can_be_left_out() -> None:
    """`json.encode.ignore-null-fields` holds for rows within rows as well."""
    table = format_table("json", "a INT, r ROW<x INT, y INT>", encode__ignore_null_fields="true")
    rows = [{"a": None, "r": {"x": None, "y": 2}}, {"a": None, "r": None}, {"a": 1, "r": {}}]
    batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table.schema))
    text = find_format("json").encoder(table).encode(batch).decode()
    assert text == '{"r":{"y":2}}\n{}\n{"a":1,"r":{}}\n'


def test_refuses_keys_that_are_no_strings() -> None:
    """A JSON object's keys are strings."""
    with pytest.raises(ConfigError, match='cannot hold column "a" of type MAP<INT, INT>'):
        decode("json", "a MAP<INT, INT>", b"")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "a": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
                "b": st.one_of(st.none(), st.text(max_size=5)),
                "c": st.one_of(st.none(), st.floats(allow_nan=False)),
                "d": st.one_of(
                    st.none(), st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=3)
                ),
                "e": st.one_of(st.none(), st.binary(max_size=5)),
                "f": st.one_of(st.none(), st.fixed_dictionaries({"x": st.booleans()})),
            }
        ),
        max_size=6,
    )
)
def test_round_trip(rows: list) -> None:
    """What was written is read again, by the fast and by the careful way."""
    columns = "a BIGINT, b STRING, c DOUBLE, d ARRAY<STRING>, e BYTES, f ROW<x BOOLEAN>"
    table = format_table("json", columns)
    batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table.schema))
    text = find_format("json").encoder(table).encode(batch)
    decoder = find_format("json").decoder(table)
    for block in (text, text + b"garbage\n"):
        found = decoder.decode(block)
        assert rows == found.batch.to_pylist()
        assert len(found.bad) == (block != text)


@pytest.mark.parametrize("more", [b"", b"\r\n"])
def test_a_time_keeps_its_milliseconds(more: bytes) -> None:
    """Whatever its precision, as in Flink, and whatever stands in the lines around it."""
    rows, bad = decode("json", "t TIME", b'{"t":"10:11:12.1239"}\n' + more)
    assert (rows, bad) == ([(dt.time(10, 11, 12, 123_000),)], [])
