"""What a role or a database is set to does not reach what a job reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.following import Follow, clean, server_table
from tests.services.postgres import PostgresServer

_NAME = "settled"
_COLUMNS = (
    "k STRING, i STRING, a ARRAY<STRING>, f DOUBLE, g FLOAT, b BYTES, d DATE, z TIMESTAMP_LTZ(6),"
    " m STRING, x STRING, r STRING"
)
_VALUES = (
    "'-1 year 2 mons -3 days 04:05:06.789', ARRAY['1 day'::interval, '-1 mon'], 0.1::float8 + 0.2,"
    " 0.1::real, decode('00ff5c', 'hex'), '2024-02-01', '2024-02-01 12:00:00+00', -1.5,"
    " '<a/>', 'settled'"
)
_ROW = (
    "-10 mons -3 days +04:05:06.789",
    ["1 day", "-1 mons"],
    0.1 + 0.2,
    0.10000000149011612,
    b"\x00\xff\\",
)
_KEYS = ["\\", "a\\'b", "é", "k"]
_COMMON = {
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmlbinary": "hex",
    "xmloption": "document",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "search_path": "nowhere",
    "client_encoding": "LATIN1",
}
_OF_READERS = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "client_min_messages": "error",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
}


@pytest.mark.parametrize(
    ("whose", "more"),
    [
        ("ROLE reader", {"intervalstyle": "sql_standard", **_OF_READERS}),
        ("ROLE reader IN DATABASE postgres", {"intervalstyle": "iso_8601", **_OF_READERS}),
        ("DATABASE postgres", {"intervalstyle": "postgres_verbose"}),
    ],
)
def test_settings_of_others(
    postgres: PostgresServer, follow: Follow, whose: str, more: dict[str, str]
) -> None:
    """Snapshot, log and a restart's snapshot give what they give without; chunks are cut alike."""
    server = postgres
    types = "i interval, a interval[], f float8, g real, b bytea, d date, z timestamptz, m money"
    # The sessions of the test have settings of their own.
    own = "-c standard_conforming_strings=on -c search_path=public -c client_encoding=UTF8"
    insert = f"INSERT INTO {_NAME} VALUES (%s, {_VALUES})"
    with server.connect(options=own) as writer:
        writer.execute(
            f"CREATE TABLE {_NAME} (k text PRIMARY KEY, {types}, x xml, r regclass)".encode()
        )
        writer.execute(f"ALTER TABLE {_NAME} REPLICA IDENTITY FULL".encode())
        for key in _KEYS:
            writer.execute(insert.encode(), [key])
        writer.execute("CREATE ROLE reader SUPERUSER REPLICATION LOGIN")
        for name, value in {**_COMMON, **more}.items():
            writer.execute(f"ALTER {whose} SET {name} = '{value}'".encode())
        table = server_table(
            server,
            _COLUMNS,
            _NAME,
            key=("k",),
            username="reader",
            scan__incremental__snapshot__chunk__size="2",
        )
        follower = follow(table)
        try:
            follower.start().until(lambda f: len(f.changes) == 2).kill()
            writer.execute(insert.encode(), ["later"])
            writer.execute(f"UPDATE {_NAME} SET f = 1 WHERE k = 'k'".encode())
            follower.start().until(lambda f: f.polls[-1].consistent)
            writer.execute(insert.encode(), ["last"])
            follower.until(lambda f: f.changes[-1][2][0] == "last").kill()
        finally:
            for name in {**_COMMON, **more}:
                writer.execute(f"ALTER {whose} RESET {name}".encode())
            clean(server, _NAME)
            writer.execute("DROP ROLE reader")
    rows: dict[str, Any] = {row[0]: row[1:] for row in follower.fold(_NAME)}
    assert sorted(rows) == sorted([*_KEYS, "later", "last"])
    changed = rows.pop("k")
    assert changed[2] == 1
    assert {str(row) for row in rows.values()} == {str(rows["last"])}
    assert rows["last"][: len(_ROW)] == _ROW
    assert [str(v) for v in rows["last"][len(_ROW) :]] == [
        "2024-02-01",
        "2024-02-01 12:00:00+00:00",
        "-$1.50",
        "<a/>",
        f"public.{_NAME}",
    ]
