"""Chunks are ranges in the server's order, and rows of the log fall into them as in the server."""

from __future__ import annotations

import contextlib
import json
import random
import time
from itertools import count

import pyarrow as pa
import pytest
from flowsql_connectors.postgres_cdc.server.catalog import list_tables, matching, read_types
from flowsql_connectors.postgres_cdc.server.connections import Server
from flowsql_connectors.postgres_cdc.server.settings import SESSION_OPTIONS
from flowsql_connectors.postgres_cdc.snapshot import judging
from flowsql_connectors.postgres_cdc.snapshot.chunked import EXPORTED, SourceTable
from flowsql_connectors.postgres_cdc.snapshot.chunks import chunk_key
from flowsql_connectors.postgres_cdc.snapshot.cutting import Cutter
from flowsql_connectors.postgres_cdc.snapshot.judging import KeyJudge

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from tests.services.following import server_table
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

_NUMBER = count()
_WORDS = [
    "",
    " ",
    "a",
    "A",
    "b",
    "B",
    "ab",
    "a b",
    "ä",
    "z",
    "Z",
    "ß",
    "é",
    "𝒳",
    "￿",
    "0",
    "-1",
    "_",
    '"',
    "\\",
    '\\"',
    ",",
    "{}",
    "NULL",
    "é\n,\"'",
]
_TYPES: dict[str, tuple[str, list[str]]] = {
    "smallint": ("smallint", ["-32768", "-1", "0", "1", "32767"]),
    "int": ("int", ["-2147483648", "-10", "-9", "0", "9", "10", "2147483647"]),
    "bigint": ("bigint", ["-9223372036854775808", "-1", "0", "7", "9223372036854775807"]),
    "numeric": (
        "numeric",
        ["NaN", "-1e40", "-0.5", "0", "0.10", "0.11", "1", "9", "10", "1e40", "1e-40"],
    ),
    "numeric(10, 2)": ("numeric", ["NaN", "-1.50", "0", "0.10", "9.99", "10"]),
    "real": ("real", ["NaN", "-Infinity", "Infinity", "0", "1e-40", "0.1", "-1", "16777216"]),
    "double": ("float8", ["NaN", "-Infinity", "Infinity", "0", "1e-300", "0.1", "-1", "1e300"]),
    "text": ("text", _WORDS),
    "text, C": ('text COLLATE "C"', _WORDS),
    "text, ICU": ('text COLLATE "en-x-icu"', _WORDS),
    "text, without case": ("text COLLATE without_case", ["a", "B", "b1", "ä", "Z", "0", ""]),
    "varchar": ("varchar(20)", _WORDS),
    "char": ("char(6)", ["", "a", "a b", "ab", "A", "ä", "b"]),
    "name": ("name", ["a", "B", "b", "ab"]),
    '"char"': ('"char"', ["a", "B", "~"]),
    "uuid": (
        "uuid",
        [
            "00000000-0000-0000-0000-000000000000",
            "0fffffff-ffff-ffff-ffff-ffffffffffff",
            "a0000000-0000-0000-0000-000000000000",
            "9fffffff-0000-0000-0000-00000000000a",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
    ),
    "bytea": ("bytea", ["\\x", "\\x00", "\\x0000", "\\x0a", "\\x7f", "\\x80", "\\xff", "\\xff00"]),
    "bool": ("bool", ["true", "false"]),
    "date": ("date", ["-infinity", "infinity", "0044-03-15 BC", "0001-01-01", "2024-02-29"]),
    "time": ("time", ["00:00", "24:00:00", "12:00:00.000001"]),
    "timestamp": (
        "timestamp",
        ["-infinity", "infinity", "4713-01-01 BC", "1999-12-31 23:59:59.999999", "2000-01-01"],
    ),
    "timestamptz": (
        "timestamptz(3)",
        ["-infinity", "infinity", "0044-03-15 12:00+01 BC", "2000-01-01 00:00+02", "2000-01-01Z"],
    ),
    "interval": ("interval", ["1 mon", "29 days", "31 days", "-1 us", "0", "1 year", "730 hours"]),
    "enum": ("mood", ["sad", "ok", "happy", "zen", "angry"]),
    "domain": ("price", ["1.5", "10", "9", "0"]),
    "domain of a domain": ("small_price", ["1.5", "10", "9", "0"]),
    "inet": ("inet", ["10.0.0.1", "10.0.0.0/8", "::1", "9.9.9.9", "255.255.255.255"]),
    "cidr": ("cidr", ["10.0.0.0/8", "10.0.0.0/16", "::/0", "9.0.0.0/8"]),
    "macaddr8": ("macaddr8", ["00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:05"]),
    "money": ("money", ["-5", "0", "4.99", "1000000", "20"]),
    "bit": ("bit(3)", ["000", "011", "100", "111"]),
    "varbit": ("bit varying", ["", "0", "00", "01", "1", "10"]),
    "oid": ("oid", ["0", "9", "10", "4294967295"]),
    "pg_lsn": ("pg_lsn", ["0/0", "0/9", "0/10", "A/0", "FFFFFFFF/FFFFFFFF"]),
}
_UNCUT = {
    "timetz": ("timetz", "('12:00:00-0' || g)::timetz"),
    "macaddr": ("macaddr", "('08:00:2b:01:02:0' || g)::macaddr"),
    "array": ("int[]", "ARRAY[g]"),
    "range": ("int4range", "int4range(g, g + 1)"),
    "an extension's order": ("citext", "chr(96 + g)"),
}


@pytest.fixture(scope="module")
def server(postgres_version: PostgresServer) -> PostgresServer:
    """With types of its own."""
    postgres_version.execute("""
        DO $$ BEGIN
          CREATE TYPE mood AS ENUM ('zen', 'sad', 'ok', 'happy', 'angry');
          CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0);
          CREATE DOMAIN small_price AS price;
          CREATE COLLATION without_case
            (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        EXCEPTION WHEN duplicate_object THEN NULL; END $$
    """)
    return postgres_version


def _cut(
    server: PostgresServer, name: str, size: int | None, stored: JSON | None = None
) -> tuple[Server, SourceTable]:
    """The table, cut to its end from where it was stored."""
    given = {} if size is None else {"scan__incremental__snapshot__chunk__size": str(size)}
    job = server_table(server, "k STRING", name, **given)
    at = Server(job)
    with contextlib.closing(at.connect()) as connection:
        (source,) = matching(job, list_tables(at, connection), at, connection)
        types = read_types(at, connection, [(c.oid, c.modifier) for c in source.columns])
    table = SourceTable(source, chunk_key(job, source, types), job.options)
    if stored is not None:
        table.resume(stored)
    with contextlib.closing(Cutter(at, [] if table.cut else [table])) as cutter:
        while not cutter.over:
            for cut in cutter.take(0.1):
                cut.table.add(cut.bound)
    return at, table


@pytest.mark.parametrize("kind", _TYPES)
def test_keys_fall_where_the_server_has_them(server: PostgresServer, kind: str) -> None:
    """Every key, edge values among them, is in the one chunk that the server reads it with."""
    declared, edges = _TYPES[kind]
    name = f"chunked_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {name} (k {declared} PRIMARY KEY)")
    values = list(edges)
    random.Random(kind).shuffle(values)
    with server.connect() as connection:
        for value in values:
            connection.execute(f"INSERT INTO {name} VALUES (%s)", [value])
    at, table = _cut(server, name, 2)
    key = table.key
    assert key is not None
    lows = [str(c.low) for c in table.chunks[1:]]
    # As many rows in each as were asked for, but for the last; whole numbers may lie evenly.
    assert key.integer or len(lows) == (len(values) - 1) // 2
    where: dict[str, int] = {}
    with server.connect(options=SESSION_OPTIONS) as connection:
        for number, chunk in enumerate(table.chunks):
            condition = chunk.condition(key)
            query = f"SELECT concat(k) FROM public.{name}"
            if condition is not None:
                query += f" WHERE {condition.as_string(connection)}"
            for (text,) in connection.execute(query.encode()).fetchall():
                assert text not in where
                where[text] = number
    assert len(where) == len(values)
    with contextlib.closing(KeyJudge(at)) as judge:
        places = judge.places(key, pa.array(list(where)), lows)
    assert dict(zip(where, places.tolist(), strict=True)) == where
    server.execute(f"DROP TABLE {name}")


def test_keys_are_placed_by_a_server_that_was_away(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a new connection, in as many statements as it takes; none where there is no key."""
    name = f"chunked_{next(_NUMBER)}"
    postgres.execute(f"CREATE TABLE {name} (k text PRIMARY KEY)")
    postgres.execute(f"INSERT INTO {name} SELECT 'k' || g FROM generate_series(1, 99) g")
    at, table = _cut(postgres, name, 30)
    assert table.key is not None
    lows = [str(c.low) for c in table.chunks[1:]]
    keys = [f"k{g}" for g in range(1, 100) for _ in range(g % 3 + 1)]
    wanted = [sum(low <= k for low in lows) for k in keys]
    monkeypatch.setattr(judging, "_ASKED_BYTES", 100)
    with contextlib.closing(KeyJudge(at)) as judge:
        for _ in range(2):
            assert judge.places(table.key, pa.array(keys), lows).tolist() == wanted
            assert postgres.cut_connections("application_name = 'flowsql'")
        assert judge.places(table.key, pa.array([], pa.string()), lows).tolist() == []
        with pytest.raises(ConnectorError, match="refused a statement"):
            judge.places(table.key, pa.array(["\0"]), lows)
    postgres.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("kind", _UNCUT)
def test_what_has_no_order_of_the_servers_own_is_one_chunk(
    server: PostgresServer, kind: str
) -> None:
    """No guess is made about where a row belongs."""
    declared, value = _UNCUT[kind]
    if declared == "citext":
        server.execute("CREATE EXTENSION IF NOT EXISTS citext")
    name = f"chunked_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {name} (k {declared} PRIMARY KEY)")
    server.execute(f"INSERT INTO {name} SELECT {value} FROM generate_series(1, 9) g")
    _, table = _cut(server, name, 2)
    assert table.key is None
    assert len(table.chunks) == 1
    server.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize(
    ("declared", "value"), [("int", "g"), ("int", "g * g * g"), ("text", "'k' || g")]
)
def test_cutting_goes_on_where_it_was(server: PostgresServer, declared: str, value: str) -> None:
    """Whatever was cut when the job stopped, no range is left out and none comes twice."""
    name = f"chunked_{next(_NUMBER)}"
    server.execute(f"CREATE TABLE {name} (k {declared} PRIMARY KEY)")
    server.execute(f"INSERT INTO {name} SELECT {value} FROM generate_series(1, 50) g")
    server.execute(f"ANALYZE {name}")
    _, whole = _cut(server, name, 7)
    bounds = [c.high for c in whole.chunks]
    assert len(bounds) > 4
    assert bounds[-1] is None
    for known in range(len(bounds) + 1):
        part = SourceTable(whole.source, whole.key, whole.options)
        for bound in bounds[:known]:
            part.add(bound)
        if known > 1:
            part.read[0] = EXPORTED
        _, table = _cut(server, name, 7, json.loads(json.dumps(part.described())))
        lows = [c.low for c in table.chunks]
        assert lows == [None, *(c.high for c in table.chunks[:-1])]
        assert lows[:known] == [None, *bounds][:known]
        assert table.chunks[-1].high is None
        assert table.read == [part.read[0] if known else -1, *[-1] * (len(lows) - 1)]
    server.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize(("width", "least", "most"), [(40_000, 3, 4), (1, 1, 1)])
def test_chunks_are_cut_by_the_width_of_rows(
    postgres: PostgresServer, width: int, least: int, most: int
) -> None:
    """Without a size, so that little is read again behind a restart; what is set aside counts."""
    name = f"chunked_{next(_NUMBER)}"
    postgres.execute(f"CREATE TABLE {name} (k text PRIMARY KEY, v text)")
    postgres.execute(f"ALTER TABLE {name} ALTER v SET STORAGE EXTERNAL")
    postgres.execute(
        f"INSERT INTO {name} SELECT g, repeat('x', {width}) FROM generate_series(1, 1000) g"
    )
    postgres.execute(f"ANALYZE {name}")
    _, table = _cut(postgres, name, None)
    assert least <= len(table.chunks) <= most
    postgres.execute(f"DROP TABLE {name}")


def test_closing_while_the_server_is_away(postgres: PostgresServer) -> None:
    """It does not keep the source from letting go of all else."""
    name = f"chunked_{next(_NUMBER)}"
    postgres.execute(f"CREATE TABLE {name} (k int PRIMARY KEY)")
    waits = f"SELECT 1 FROM pg_locks WHERE relation = '{name}'::regclass AND NOT granted"
    with CuttingProxy(postgres.port) as proxy, postgres.connect() as locking:
        job = server_table(postgres, "k INT", name, port=proxy.port)
        at = Server(job)
        with contextlib.closing(at.connect()) as connection:
            (source,) = matching(job, list_tables(at, connection), at, connection)
            types = read_types(at, connection, [(c.oid, c.modifier) for c in source.columns])
        locking.execute("BEGIN")
        locking.execute(f"LOCK TABLE {name}".encode())
        cutter = Cutter(at, [SourceTable(source, chunk_key(job, source, types), job.options)])
        end = time.monotonic() + 60
        while not locking.execute(waits.encode()).fetchall():
            assert time.monotonic() < end
        proxy.refuse()
        cutter.close()
    postgres.execute(f"DROP TABLE {name}")
