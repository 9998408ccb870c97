"""Rows of a binary COPY, whole and broken."""

from __future__ import annotations

import random
import struct

import pytest
from flowsql_connectors.postgres_cdc import CopyDecoder

from flowsql.errors import DataError, FlowSQLError
from flowsql.types import DataType, DateType, TimestampType, TimeType, VarCharType
from tests.unit.connectors.postgres_cdc.making import (
    BOOL,
    BYTEA,
    DATE,
    INT4,
    INT8,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    column,
    copy_row,
    numeric,
)

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"
_COLUMNS = [
    column(INT8, name="id"),
    column(TEXT, name="t"),
    column(NUMERIC, 655366, name="n"),  # numeric(10, 2)
    column(BYTEA, name="b"),
]


def _row(i: int) -> bytes:
    values = [struct.pack(">q", i), f"text {i}".encode(), numeric(f"{i}.25"), bytes([i % 256])]
    return copy_row(*values) if i % 3 else copy_row(values[0], None, None, None)


def test_rows_come_in_any_pieces() -> None:
    """The header is part of the first message, the end a message or half of one."""
    whole = CopyDecoder(_COLUMNS).decode([_HEADER + _row(0), *map(_row, range(1, 9)), _END])
    assert whole.num_rows == 9
    assert whole.to_pylist()[:2] == [
        {"id": 0, "t": None, "n": None, "b": None},
        {"id": 1, "t": "text 1", "n": whole.column(2)[1].as_py(), "b": b"\x01"},
    ]
    cut = CopyDecoder(_COLUMNS)
    parts = [cut.decode([_HEADER + _row(0)]), cut.decode([]), cut.decode([_row(1), _row(2)])]
    assert not cut.finished
    parts.append(cut.decode([memoryview(_row(i)) for i in range(3, 9)]))
    parts.append(cut.decode([_END]))
    assert cut.finished
    assert [r for p in parts for r in p.to_pylist()] == whole.to_pylist()


def test_a_table_without_rows() -> None:
    """Header and end alone, in one message or in two; a table without columns as well."""
    for messages in ([_HEADER + _END], [_HEADER, _END]):
        decoder = CopyDecoder(_COLUMNS)
        assert decoder.decode(messages).num_rows == 0
        assert decoder.finished


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([b"PGCOPY"], "does not begin as a binary COPY"),
        ([b"1\tann\n" * 9], "does not begin as a binary COPY"),
        ([_HEADER[:11] + b"\0\1\0\0" + bytes(4) + _row(1)], "flags that are not known"),
        ([_HEADER + _END, _row(1)], "fields"),
        ([_HEADER + copy_row(b"1")], "have not the 4 fields"),
        ([_HEADER + _row(1) + b"x"], "not as long as they say"),
        ([_HEADER + _row(1)[:-1]], "not as long as they say"),
        ([_HEADER + copy_row(b"1", None, None, None)], "values that do not have 8 bytes"),
        ([_HEADER + copy_row(bytes(8), b"\xff", None, None)], '"t", text in the server, could not'),
    ],
)
def test_what_is_no_row_is_an_error(messages: list[bytes], problem: str) -> None:
    """Never an exception of ours, never a row."""
    with pytest.raises(DataError, match=problem):
        CopyDecoder(_COLUMNS).decode(messages)


def test_any_bytes_are_rows_or_an_error() -> None:
    """Every cut and thousands of damaged batches."""
    rows = [_row(i) for i in range(1, 6)]
    for cut in range(len(rows[-1])):
        with pytest.raises(DataError):
            CopyDecoder(_COLUMNS).decode([_HEADER + rows[0], *rows[1:-1], rows[-1][:cut]])
    chance = random.Random(5)
    failed = 0
    for _ in range(3000):
        damaged = [bytearray(r) for r in rows]
        for _ in range(chance.randint(1, 3)):
            one = chance.choice(damaged)
            one[chance.randrange(len(one))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        messages = [_HEADER + bytes(damaged[0]), *map(bytes, damaged[1:])]
        try:
            CopyDecoder(_COLUMNS).decode(messages).validate(full=True)
        except FlowSQLError:
            failed += 1
    assert failed > 1000


@pytest.mark.parametrize(
    ("oid", "value", "shown"),
    [
        (DATE, struct.pack(">i", 2**31 - 1), "infinity"),
        (DATE, struct.pack(">i", -(2**31)), "-infinity"),
        (TIMESTAMP, struct.pack(">q", 2**63 - 1), "infinity"),
        (TIMESTAMP, struct.pack(">q", -(2**63)), "-infinity"),
        (TIMESTAMP, struct.pack(">q", 2**63 - 10), "9223372036854775798 µs behind 2000-01-01"),
        (1083, struct.pack(">q", 86_400_000_000), "24:00:00"),
    ],
)
def test_times_that_flink_lacks_are_named(oid: int, value: bytes, shown: str) -> None:
    """Infinities, the last days of the calendar, and the end of a day."""
    reading = column(oid)
    with pytest.raises(DataError) as raised:
        CopyDecoder([reading]).decode([_HEADER + copy_row(None), copy_row(value)])
    assert raised.value.message == (
        f'column "c", {reading.pg} in the server, holds {shown}, which {reading.type} cannot hold'
    )


def test_nulls_hide_what_stands_in_their_place() -> None:
    """The bytes behind a NULL's length are the next column's, whatever they look like."""
    limit = struct.pack(">q", 2**63 - 1)
    columns = [column(TIMESTAMP), column(DATE), column(1083), column(INT8)]
    batch = CopyDecoder(columns).decode([_HEADER + copy_row(None, None, None, limit)] * 1)
    assert batch.to_pylist() == [{"c": 2**63 - 1}]
    assert [batch.column(i).null_count for i in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("micros", "declared", "stored"),
    [
        (-1, TimestampType(3), 946684799999000),
        (-946684800000001, TimestampType(0), -1000000),
        (1, TimestampType(6), 946684800000001),
        (1, TimestampType(9), 946684800000001000),
    ],
)
def test_a_timestamp_is_cut_to_its_digits(micros: int, declared: DataType, stored: int) -> None:
    """Towards the past, before 1970 too."""
    reading = column(TIMESTAMP, declared=declared)
    batch = CopyDecoder([reading]).decode([_HEADER + copy_row(struct.pack(">q", micros))])
    assert batch.column(0).cast("int64").to_pylist() == [stored]


def test_nanoseconds_end_in_2262() -> None:
    """A TIMESTAMP(9) that is read later than its storage lasts."""
    reading = column(TIMESTAMP, declared=TimestampType(9))
    late = struct.pack(">q", 8_400_000_000_000_000)
    with pytest.raises(DataError, match=r"holds 9346684800000000 µs since 1970, which TIMESTAMP"):
        CopyDecoder([reading]).decode([_HEADER + copy_row(None), copy_row(late)])


def test_text_where_binary_does_not_serve() -> None:
    """A column that is declared STRING is asked for, and read, as the server's text."""
    reading = column(DATE, declared=VarCharType())
    assert reading.expression() == (
        """CASE WHEN "c" IS DISTINCT FROM NULL THEN pg_catalog.format('%s', "c") END"""
    )
    batch = CopyDecoder([reading]).decode([_HEADER + copy_row(b"infinity")])
    assert batch.to_pylist() == [{"c": "infinity"}]
    assert column(DATE, declared=DateType(), name='a"b').expression() == '"a""b"'


def test_booleans_and_times() -> None:
    """One byte; and milliseconds of a day, cut to the declared digits."""
    columns = [column(BOOL), column(1083, declared=TimeType(0)), column(1083), column(INT4)]
    micros = struct.pack(">q", 45_296_789_999)
    rows = [copy_row(b"\1", micros, micros, None), copy_row(b"\0", None, micros, None)]
    batch = CopyDecoder(columns).decode([_HEADER + rows[0], rows[1]])
    assert batch.column(0).to_pylist() == [True, False]
    assert batch.column(1).cast("int32").to_pylist() == [45_296_000, None]
    assert batch.column(2).cast("int32").to_pylist() == [45_296_789, 45_296_789]
