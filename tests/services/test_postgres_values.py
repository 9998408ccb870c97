"""Every type of a real server, at its edges: the snapshot and the log give the same columns.

And what they give is what the server says it is, asked in another way: its own text, its own count
of days and microseconds.
"""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.postgres_cdc import SESSION_OPTIONS, SESSION_SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.errors import DataError
from flowsql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    IntType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    VarCharType,
)
from tests.services.fixtures import POSTGRES_VERSIONS, since
from tests.services.postgres import PostgresServer
from tests.services.reading import copied, logged, reading_of, typed

_NUMBER = itertools.count()

_TYPES = """
DROP SCHEMA IF EXISTS kinds CASCADE;
-- Another test may have it elsewhere.
DROP EXTENSION IF EXISTS citext CASCADE;
CREATE SCHEMA kinds;
CREATE TYPE kinds.mood AS ENUM ('sad', 'o k', 'ä');
CREATE TYPE kinds.pair AS (a int, b text);
CREATE TYPE kinds.span AS RANGE (subtype = float8);
CREATE DOMAIN kinds.positive AS int CHECK (value > 0);
CREATE DOMAIN kinds.price AS numeric(10, 2);
CREATE DOMAIN kinds.cheap AS kinds.price;
CREATE DOMAIN kinds.humour AS kinds.mood;
CREATE DOMAIN kinds.list AS int[];
CREATE DOMAIN kinds.flag AS bool;
CREATE EXTENSION hstore SCHEMA kinds;
CREATE EXTENSION citext SCHEMA kinds;
CREATE EXTENSION ltree SCHEMA kinds;
CREATE EXTENSION cube SCHEMA kinds;
"""

# Type, literals, and what to ask the server for to be told the stored value (`{}` the column).
_DAYS = "{} - date '1970-01-01'"
_MICROS = "(extract(epoch FROM {}) * 1000000)::int8"
_EACH = (
    "ARRAY(SELECT CASE WHEN ({0})[i] IS DISTINCT FROM NULL THEN format('%s', ({0})[i]) END"
    " FROM generate_subscripts({0}, 1) i)"
)
_EACH_MICROS = (
    "ARRAY(SELECT (extract(epoch FROM ({0})[i]) * 1000000)::int8"
    " FROM generate_subscripts({0}, 1) i)"
)
# Types that older servers do not have.
_SINCE = {"int4multirange": 14, "pg_snapshot": 13}
_CASES: list[tuple[str, list[str], str | None]] = [
    ("boolean", ["true", "false"], "{}"),
    ("smallint", ["-32768", "32767", "0"], "{}"),
    ("integer", ["-2147483648", "2147483647"], "{}"),
    ("bigint", ["-9223372036854775808", "9223372036854775807"], "{}"),
    ("oid", ["0", "4294967295"], "{}::int8"),
    ("real", ["0.1", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38"], "{}"),
    (
        "double precision",
        ["0.1", "-0", "NaN", "-Infinity", "5e-324", "1.7976931348623157e308"],
        "{}",
    ),
    ("numeric", ["0", "-0.000000000000000001", "99999999999999999999.999999999999999999"], "{}"),
    ("numeric", ["12345678901234567890", "-1", "10000", "0.0001", "1e19", "9999.9999"], "{}"),
    ("numeric(10,2)", ["99999999.99", "-99999999.99", "0.01", "1.5", "100000", "0"], "{}"),
    ("numeric(38,0)", ["9" * 38, "-" + "9" * 38, "1" + "0" * 37], "{}"),
    ("numeric(38,38)", ["0." + "9" * 38, "-0." + "0" * 37 + "1"], "{}"),
    ("numeric(18,9)", ["999999999.999999999", "-0.000000001"], "{}"),
    ("numeric(60,2)", ["1" * 58 + ".25"], None),
    ("date", ["2024-02-29", "0001-01-01", "9999-12-31", "1969-12-31"], "{}"),
    ("date", ["4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "10000-01-01"], _DAYS),
    ("time", ["00:00:00", "23:59:59.999", "12:34:56.789"], "{}"),
    ("time(0)", ["23:59:59"], "{}"),
    ("timetz", ["00:00:00+00", "23:59:59.999999-15:59", "12:00:00+05:30", "24:00:00+00"], None),
    ("timestamp", ["2024-02-29 12:34:56.789012", "1969-12-31 23:59:59.999999"], _MICROS),
    ("timestamp", ["4713-01-01 00:00:00 BC", "0001-12-31 23:59:59.5 BC"], _MICROS),
    ("timestamp", ["9999-12-31 23:59:59.999999", "200000-01-01 00:00:00"], _MICROS),
    ("timestamp(3)", ["2024-02-29 12:34:56.789", "1960-01-01 00:00:00.001"], _MICROS),
    ("timestamp(0)", ["1960-01-01 00:00:01"], _MICROS),
    (
        "timestamptz",
        ["2024-02-29 12:34:56.789012+02", "1883-11-18 12:00:00 America/New_York"],
        _MICROS,
    ),
    ("timestamptz", ["0044-03-15 12:00:00+00 BC", "12024-01-01 00:00:00+14"], _MICROS),
    ("text", ["", "a\tb\nc\\N", "ä€𝄞", "NULL", "x" * 10000, "'\"{},"], "{}"),
    ("varchar(5)", ["", "abcde", "ä€𝄞"], "{}"),
    ("char(5)", ["", "ab", "abcde"], None),
    ('"char"', ["a", ""], None),
    ("name", ["a name"], "{}"),
    (
        "uuid",
        ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"],
        None,
    ),
    ("json", ['{"a":  1, "a": 2}', "[]", '"ä"', "null"], None),
    ("jsonb", ['{"b": 1e2, "a": [null]}', '"ä"', "null"], None),
    ("xml", ["<a>ä</a>", "plain"], None),
    ("bytea", ["", "\\x00ff", "\\x" + "ab" * 5000], "{}"),
    ("interval", ["1 year -2 months 3 days -04:05:06.789", "0", "-178000000 years"], None),
    ("money", ["-92233720368547758.08", "1234.5"], None),
    ("bit(3)", ["101"], None),
    ("varbit", ["", "1"], None),
    ("int4range", ["[1,5)", "empty", "(,)"], None),
    ("tstzrange", ['["2024-01-01 00:00:00+01",)'], None),
    ("kinds.span", ["[1.5,2]"], None),
    ("point", ["(1.5,-2)"], None),
    ("polygon", ["((0,0),(1,1),(2,0))"], None),
    ("inet", ["10.0.0.1", "10.0.0.1/8", "::1"], None),
    ("cidr", ["10.0.0.0/8"], None),
    ("macaddr", ["08:00:2b:01:02:03"], None),
    ("pg_lsn", ["16/B374D848"], None),
    ("tsvector", ["'a':1 'b':2"], None),
    ("kinds.mood", ["sad", "o k", "ä"], None),
    ("kinds.pair", ['(1,"a ""b")', "(,)"], None),
    ("kinds.positive", ["1"], "{}"),
    ("kinds.cheap", ["1.25"], "{}"),
    ("kinds.humour", ["o k"], None),
    ("kinds.flag", ["true"], "{}"),
    ("kinds.list", ["{1,NULL}"], "{}"),
    ("int[]", ["{}", "{1,NULL,-3}", "[0:1]={1,2}", "[-2:-1]={NULL,7}"], _EACH),
    ("bool[]", ["{t,f,NULL}"], "{}"),
    ("text[]", ["{}", '{a,"b c",NULL,"NULL","","q\\"x","b\\\\s","{}"}'], "{}"),
    ("char(3)[]", ["{a,abc}"], _EACH),
    ("numeric(5,1)[]", ["{1.5,NULL,-9999.9}"], "{}"),
    ("numeric[]", ["{1,NULL,0.000000000000000001}"], "{}"),
    ("date[]", ["{2024-02-29,NULL}"], "{}"),
    ("timestamp[]", ["{2024-02-29 12:34:56.789012}"], _EACH_MICROS),
    ("timestamptz[]", ["{2024-02-29 12:34:56+02}"], _EACH_MICROS),
    ("time[]", ["{12:34:56.789}"], "{}"),
    ("bytea[]", ['{"\\\\x00ff",NULL}'], "{}"),
    ("uuid[]", ["{00000000-0000-0000-0000-000000000000}"], _EACH),
    ("jsonb[]", ['{"{\\"a\\": 1}"}'], _EACH),
    ("float8[]", ["{NaN,-Infinity,NULL,1e-300}"], "{}"),
    ("kinds.mood[]", ['{sad,"o k"}'], _EACH),
    ("kinds.positive[]", ["{1,2}"], _EACH),
    ("smallint[]", ["{}", "{-32768,NULL,32767}"], "{}"),
    ("bigint[]", ["{-9223372036854775808,NULL}"], "{}"),
    ("oid[]", ["{0,4294967295,NULL}"], _EACH),
    ("real[]", ["{0.5,NULL,-Infinity,NaN}"], "{}"),
    ("varchar(5)[]", ['{ä€𝄞,NULL,"","null"}'], "{}"),
    ("name[]", ['{"a name",NULL}'], _EACH),
    ('"char"[]', ['{a,NULL,"\\""}'], _EACH),
    ("json[]", ['{"{\\"a\\":  1}",NULL,"null"}'], _EACH),
    ("xml[]", ['{"<a b=\\"c\\"/>",NULL}'], _EACH),
    ("interval[]", ['{"1 day -00:00:01.5",NULL}'], _EACH),
    ("money[]", ['{"$1,234.50",NULL}'], _EACH),
    ("inet[]", ["{10.0.0.1/8,NULL}"], _EACH),
    ("bit(3)[]", ["{101,NULL}"], _EACH),
    ("timetz[]", ["{12:00:00+05:30,NULL}"], _EACH),
    ("int4range[]", ['{"[1,5)",empty,NULL}'], _EACH),
    ("point[]", ['{"(1,2)",NULL}'], _EACH),
    ("box[]", ["{(2,2),(1,1);(4,4),(3,3)}"], None),
    ("pg_lsn[]", ["{16/B374D848,NULL}"], _EACH),
    ("tsvector[]", ["{\"'a':1 'b c':2\",NULL}"], _EACH),
    ("kinds.pair[]", ['{"(1,\\"a \\\\\\"\\\\\\"b\\")",NULL}'], _EACH),
    ("kinds.flag[]", ["{t,NULL,f}"], "{}::bool[]"),
    ("kinds.humour[]", ['{sad,NULL,"o k"}'], _EACH),
    ("kinds.cheap[]", ["{1.25,NULL}"], _EACH),
    ("kinds.hstore[]", ['{"\\"a\\"=>NULL",NULL}'], _EACH),
    ("int8range", ["[-9223372036854775808,9223372036854775807)"], None),
    ("numrange", ["[1.50,2)", "(,)"], None),
    ("tsrange", ['("2024-01-01 00:00:00",infinity]'], None),
    ("daterange", ["[2024-01-01,2024-02-01)", "(,infinity)"], None),
    ("int4multirange", ["{}", "{[1,3),[5,7)}"], None),
    ("kinds.hstore", ['a=>1, "b c"=>"d\\"e", n=>NULL', ""], None),
    ("kinds.citext", ["", "Ä b"], None),
    ("kinds.ltree", ["Top.Science"], None),
    ("kinds.cube", ["(1,2),(3,4)"], None),
    ("box", ["(1,1),(0,0)"], None),
    ("line", ["{1,-1,0}"], None),
    ("lseg", ["[(0,0),(1,1)]"], None),
    ("path", ["[(0,0),(1,1)]", "((0,0),(1,1))"], None),
    ("circle", ["<(0,0),1.5>"], None),
    ("macaddr8", ["08:00:2b:01:02:03:04:05"], None),
    ("tsquery", ["'a' & !'b'"], None),
    ("jsonpath", ["$.a[*]"], None),
    ("xid", ["4294967295"], None),
    ("tid", ["(0,1)"], None),
    ("pg_snapshot", ["10:20:10,14"], None),
    ("txid_snapshot", ["10:20:10,14"], None),
    ("regclass", ["pg_class", "kinds.pair"], None),
    ("regtype", ["integer", "kinds.mood"], None),
    ("int2vector", ["1 2 3"], None),
    ("oidvector", ["1 2"], None),
    ("bit varying(5)", ["10101", ""], None),
    ("interval", ["178000000 years", "-00:00:00.000001", "1 mon -1 days"], None),
    ("interval day to second(0)", ["3 days 04:05:06"], None),
    ("text", ["\x01\x1f\x7f", "\r\n", "\\", "  "], "{}"),
    ("jsonb", ['{"n": 12345678901234567890.12345678901234567890}'], None),
    ("char(3)", ["  a", "ä"], None),
]


def _fitting(version: int) -> list[int]:
    """The cases whose types a server has."""
    return [n for n, (kind, _, _) in enumerate(_CASES) if _SINCE.get(kind, 0) <= version]


@pytest.fixture(scope="module")
def server(postgres_version: PostgresServer) -> Iterator[PostgresServer]:
    """With types of our own."""
    postgres_version.execute(_TYPES)
    yield postgres_version
    postgres_version.execute("DROP SCHEMA kinds CASCADE")


@pytest.fixture(scope="module")
def stored(server: PostgresServer) -> tuple[pa.RecordBatch, pa.RecordBatch, str]:
    """All cases as one table, a column each: from the snapshot, from the log, and its name."""
    table = f"values_{next(_NUMBER)}"
    cases = [_CASES[n] for n in _fitting(server.version)]
    names = [f"c{n}" for n in _fitting(server.version)]
    columns = ", ".join(f"{n} {kind}" for n, (kind, _, _) in zip(names, cases, strict=True))
    server.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
    with logged(server, table) as log:
        with server.connect() as connection:
            rows = itertools.zip_longest(*(literals for _, literals, _ in cases))
            marks = ", ".join(f"%s::{kind}" for kind, _, _ in cases)
            for number, row in enumerate([*rows, [None] * len(cases)]):
                connection.execute(
                    f"INSERT INTO {table} VALUES ({number}, {marks})".encode(), list(row)
                )
        batch = log.batch()
    readings = reading_of(server, f"public.{table}")
    return copied(server, f"public.{table}", readings), typed(batch, readings), table


@pytest.mark.parametrize(
    ("postgres_version", "number"),
    [
        pytest.param(v, n, id=f"{v}-{n}-{_CASES[n][0]}")
        for v in POSTGRES_VERSIONS
        for n in _fitting(v)
    ],
    indirect=["postgres_version"],
)
def test_snapshot_and_log_agree(
    stored: tuple[pa.RecordBatch, pa.RecordBatch, str],
    server: PostgresServer,
    number: int,
) -> None:
    """And both are what the server says."""
    snapshot, log, table = stored
    name = f"c{number}"
    ours = snapshot.column(name)
    ours.validate(full=True)
    assert _same(ours, log.column(name))
    assert ours.type == log.column(name).type
    asked = _CASES[number][2]
    # Before 14 the server counts seconds in floating point.
    if asked in {_MICROS, _EACH_MICROS} and server.version < 14:
        return
    question = asked.format(name) if asked else f"format('%s', {name})"
    with server.connect(options=SESSION_OPTIONS) as connection:
        rows = connection.execute(
            f"SELECT CASE WHEN {name} IS DISTINCT FROM NULL THEN {question} END"
            f" FROM public.{table} ORDER BY id".encode()
        ).fetchall()
    expected = [row[0] for row in rows]
    found: list[Any]
    if asked in {_DAYS, _MICROS}:
        width = pa.int32() if asked == _DAYS else pa.int64()
        found = ours.view(width).to_pylist()
    elif asked == _EACH_MICROS:
        found = ours.cast(pa.list_(pa.int64())).to_pylist()
    elif asked == _EACH:
        found = [None if v is None else [_text(e) for e in v] for v in ours.to_pylist()]
    else:
        found = ours.to_pylist()
    if pa.types.is_float32(ours.type):
        found = [None if v is None else pa.scalar(v, pa.float32()).as_py() for v in found]
        expected = [None if v is None else pa.scalar(v, pa.float32()).as_py() for v in expected]
    assert repr(found) == repr(expected) or found == expected


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Equal, NaN to NaN."""
    return one.equals(other) or repr(one.to_pylist()) == repr(other.to_pylist())


@pytest.mark.parametrize(
    ("kind", "literal", "declared"),
    [
        ("int", "7", DecimalType(12, 2)),
        ("int", "7", VarCharType()),
        ("real", "0.1", DoubleType()),
        ("numeric", "1.005", DecimalType(5, 2)),
        ("numeric", "-1.005", DecimalType(5, 2)),
        ("numeric", "0.00004999", DecimalType(10, 4)),
        ("numeric", "99999999999999999998.5", DecimalType(20, 0)),
        ("numeric", "NaN", DoubleType()),
        ("numeric", "NaN", VarCharType()),
        ("numeric(10,2)", "1.25", DoubleType()),
        ("date", "infinity", VarCharType()),
        ("timestamp", "-infinity", VarCharType()),
        ("timestamp", "1969-12-31 23:59:59.999999", TimestampType(3)),
        ("timestamp", "2024-01-01 00:00:00.123456", TimestampType(9)),
        ("timestamptz", "2024-01-01 00:00:00.123456+01", LocalZonedTimestampType(0)),
        ("time", "24:00:00", VarCharType()),
        ("bytea", "\\x00", VarCharType()),
        ("int[]", "{{1,2},{3,NULL}}", ArrayType(ArrayType(IntType()))),
        ("int[]", "{{1,2},{3,NULL}}", VarCharType()),
        ("int[]", "{{{1},{2}},{{3},{NULL}}}", ArrayType(ArrayType(ArrayType(IntType())))),
        ("text[]", '{{"a,{",b},{NULL,"}"}}', ArrayType(ArrayType(VarCharType()))),
        ("kinds.list[]", '{"{1,NULL}","{}",NULL}', ArrayType(ArrayType(IntType()))),
        ("kinds.list[]", '{"{1,NULL}","{}",NULL}', VarCharType()),
        ("box[]", "{(2,2),(1,1);(4,4),(3,3)}", VarCharType()),
        ("date", "-infinity", VarCharType()),
        ("date", "4713-01-01 BC", VarCharType()),
        ("timestamptz", "infinity", VarCharType()),
        ("timestamptz", "0044-03-15 12:00:00+00 BC", VarCharType()),
        ("timestamp", "294276-12-31 23:59:59.999999", VarCharType()),
        ("numeric", "-0.000", VarCharType()),
        ("time", "23:59:59.999999", TimeType(3)),
    ],
)
def test_other_declared_types_agree(
    server: PostgresServer, kind: str, literal: str, declared: DataType
) -> None:
    """Whatever a column is declared as, snapshot and log read it alike."""
    table = f"declared_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, c {kind})")
    with logged(server, table) as log:
        server.execute(f"INSERT INTO {table} VALUES (1, $${literal}$$), (2, NULL)")
        batch = log.batch()
    readings = reading_of(server, f"public.{table}", {"c": declared})
    snapshot, change = copied(server, f"public.{table}", readings), typed(batch, readings)
    assert _same(snapshot.column("c"), change.column("c"))
    if isinstance(declared, VarCharType):
        assert snapshot.column("c").to_pylist() == [literal.replace("-0.000", "0.000"), None]


@since(14)
@pytest.mark.parametrize("literal", ["Infinity", "-Infinity", "NaN"])
def test_numbers_without_end(
    server: PostgresServer, postgres_version: PostgresServer, literal: str
) -> None:
    """A numeric may be infinite from 14 on: DOUBLE and STRING hold it, DECIMAL does not."""
    table = f"endless_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, d numeric, s numeric, n numeric)")
    with logged(server, table) as log:
        server.execute(f"INSERT INTO {table} VALUES (1, '{literal}', '{literal}', '{literal}')")
        batch = log.batch()
    declared = {"d": DoubleType(), "s": VarCharType()}
    readings = reading_of(server, f"public.{table}", declared)
    said = f'column "n", numeric in the server, holds {literal}'
    with pytest.raises(DataError, match=said):
        copied(server, f"public.{table}", readings)
    with pytest.raises(DataError, match=said):
        typed(batch, readings)
    readings = reading_of(server, f"public.{table}", {**declared, "n": VarCharType()})
    snapshot, change = copied(server, f"public.{table}", readings), typed(batch, readings)
    assert _same(snapshot.column("d"), change.column("d"))
    (row,) = snapshot.to_pylist()
    assert (repr(row["d"]), row["s"], row["n"]) == (repr(float(literal)), literal, literal)


@pytest.mark.parametrize(
    ("kind", "literal"),
    [
        ("date", "infinity"),
        ("date", "-infinity"),
        ("timestamp", "infinity"),
        ("timestamptz", "-infinity"),
        ("timestamp", "294276-12-31 23:59:59.999999"),
        ("time", "24:00:00"),
        ("numeric", "NaN"),
        ("numeric", "1e25"),
        ("int[]", "{{1}}"),
    ],
)
def test_snapshot_and_log_refuse_alike(server: PostgresServer, kind: str, literal: str) -> None:
    """What no declared type holds is an error from both, with the column and the cure."""
    table = f"refused_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, c {kind})")
    with logged(server, table) as log:
        server.execute(f"INSERT INTO {table} VALUES (1, '{literal}')")
        batch = log.batch()
    readings = reading_of(server, f"public.{table}")
    for read in (
        lambda: copied(server, f"public.{table}", readings),
        lambda: typed(batch, readings),
    ):
        with pytest.raises(DataError, match=r'column "c", .* holds .*, which .* cannot hold') as e:
            read()
        assert e.value.hint is not None
        assert "STRING" in e.value.hint


_OTHER_WAYS = {
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Tokyo",
    "extra_float_digits": "-5",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
    "search_path": "kinds",
    "client_encoding": "LATIN1",
}


def test_what_the_server_is_set_to_changes_no_text(server: PostgresServer) -> None:
    """A role's or a database's own settings do not reach what we read."""
    table = f"set_{next(_NUMBER)}"
    server.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, d date, z timestamptz, i interval,"
        " f float8, b bytea, m money, r regclass, s text)"
    )
    for name, value in _OTHER_WAYS.items():
        server.execute(f"ALTER ROLE postgres SET {name} = '{value}'")
    try:
        with logged(server, f"public.{table}") as log:
            server.execute(
                f"INSERT INTO public.{table} VALUES (1, '2024-02-01', '2024-02-01 00:00:00+00',"
                f" '1 day', 0.1::float8 + 0.2, decode('00', 'hex'), 1.5, 'public.{table}', chr(8364))"
            )
            batch = log.batch()
        readings = reading_of(server, f"public.{table}")
        snapshot, change = copied(server, f"public.{table}", readings), typed(batch, readings)
        with server.connect(options=SESSION_OPTIONS) as connection:
            for name, value in SESSION_SETTINGS.items():
                assert connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)
    finally:
        for name in _OTHER_WAYS:
            server.execute(f"ALTER ROLE postgres RESET {name}")
    assert snapshot.equals(change.cast(snapshot.schema))
    (row,) = snapshot.to_pylist()
    assert row == {
        "id": 1,
        "d": dt.date(2024, 2, 1),
        "z": dt.datetime(2024, 2, 1, tzinfo=dt.UTC),
        "i": "1 day",
        "f": 0.1 + 0.2,
        "b": b"\0",
        "m": "$1.50",
        "r": f"public.{table}",
        "s": "€",
    }


_SECONDS = st.datetimes()
_COLUMNS: list[tuple[str, st.SearchStrategy[Any]]] = [
    ("bigint", st.integers(-(2**63), 2**63 - 1)),
    ("smallint", st.integers(-(2**15), 2**15 - 1)),
    ("boolean", st.booleans()),
    ("double precision", st.floats(allow_nan=False)),
    ("real", st.floats(allow_nan=False, width=32)),
    ("numeric(30,7)", st.integers(-(10**30) + 1, 10**30 - 1).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -7)))),
    ("numeric(9,3)", st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: Decimal(n).scaleb(-3))),
    ("text", st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)),
    ("bytea", st.binary(max_size=20)),
    ("date", st.dates()),
    ("timestamp", _SECONDS),
    ("timestamptz", _SECONDS.map(lambda t: t.replace(tzinfo=dt.UTC))),
    ("time(3)", st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))),
    ("uuid", st.uuids().map(str)),
    ("int[]", st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=4)),
    ("text[]", st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5), max_size=4)),
]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*(st.none() | s for _, s in _COLUMNS)), min_size=1, max_size=12))
def test_generated_rows(postgres: PostgresServer, rows: list[tuple[Any, ...]]) -> None:
    """Written by a client, read by both ways: the very same values."""
    table = f"generated_{next(_NUMBER)}"
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _) in enumerate(_COLUMNS))
    postgres.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
    marks = ", ".join(f"%s::{kind}" for kind, _ in _COLUMNS)
    with logged(postgres, table) as log:
        with postgres.connect(autocommit=False) as connection, connection.cursor() as cursor:
            for number, row in enumerate(rows):
                cursor.execute(
                    f"INSERT INTO {table} VALUES ({number}, {marks})".encode(), list(row)
                )
        batch = log.batch()
    readings = reading_of(postgres, f"public.{table}")
    snapshot, change = copied(postgres, f"public.{table}", readings), typed(batch, readings)
    assert snapshot.equals(change.cast(snapshot.schema))
    found = [tuple(row.values())[1:] for row in snapshot.to_pylist()]
    assert found == [tuple(str(v) if isinstance(v, uuid.UUID) else v for v in r) for r in rows]
    postgres.execute(f"DROP TABLE {table}")
