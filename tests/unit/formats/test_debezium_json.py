"""debezium-json: what happened to rows, as Flink reads and writes it."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsql.changelog import Changes, kind_names
from flowsql.errors import ConfigError
from flowsql.formats import Decoded, FormatTable, find_format
from flowsql.types import arrow_schema

from .helpers import format_table

FORMAT = find_format("debezium-json")
COLUMNS = "id INT, name STRING, weight FLOAT"
INSERT = '{"before":null,"after":{"id":1,"name":"a","weight":3.140000104904175},"op":"c"}'
READ = '{"after":{"weight":1,"id":2},"op":"r","transaction":null}'
UPDATE = '{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}'
DELETE = '{"before":{"id":2,"name":null},"after":null,"op":"d"}'


def table_of(columns: str = COLUMNS, metadata: dict | None = None, **options: str) -> FormatTable:
    """A table of the format, checked."""
    table = format_table("debezium-json", columns, **options)
    FORMAT.check(table)
    return replace(table, metadata=metadata or {})


def read(text: str | bytes, table: FormatTable | None = None) -> tuple[list[tuple], Decoded]:
    """Kind and values of each row, and what else was found."""
    block = text.encode() if isinstance(text, str) else text
    found = FORMAT.decoder(table or table_of()).decode(block)
    kinds = kind_names(Changes(found.batch, found.kinds))
    rows = [(k, *r.values()) for k, r in zip(kinds, found.batch.to_pylist(), strict=True)]
    assert found.record_of is not None
    assert len(found.record_of) == len(rows)
    assert (np.diff(found.record_of) >= 0).all()
    return rows, found


def reasons(text: str, table: FormatTable | None = None) -> list[tuple[int, str]]:
    """Line and reason of each bad message."""
    return [(b.line, b.reason) for b in read(text, table)[1].bad]


CURE = "; in PostgreSQL it is there after ALTER TABLE … REPLICA IDENTITY FULL"
# One line that Arrow's reader cannot take sends the block through the other reader.
ODD = "\r"


@pytest.mark.parametrize("more", ["", ODD])
def test_every_op_gives_its_rows(more: str) -> None:
    """Of c and r the row is inserted, u takes the old one back, d deletes; in the order of the messages."""
    rows, found = read(f"{INSERT}\n{READ}\n{UPDATE}\n{DELETE}\n{more}\n")
    assert rows == [
        ("+I", 1, "a", pytest.approx(3.14)),
        ("+I", 2, None, 1.0),
        ("-U", 1, "a", None),
        ("+U", 1, "b", None),
        ("-D", 2, None, None),
    ]
    assert found.record_of is not None
    assert found.record_of.tolist() == [0, 1, 2, 2, 3]
    assert (found.records, found.lines, found.bad) == (5, 5, ())


def test_only_inserts_have_no_kinds() -> None:
    """Append-only work behind them stays as cheap as with json."""
    assert read(f"{INSERT}\n{READ}\n")[1].kinds is None


@pytest.mark.parametrize("lines", [[""], ["", INSERT], [INSERT, "", "", DELETE, ""], ["", "", ""]])
def test_tombstones_are_passed_over(lines: list[str]) -> None:
    """An empty line is a message without a value; numbers of records go on over it."""
    rows, found = read("\n".join(lines) + "\n")
    assert [r[0] for r in rows] == [{INSERT: "+I", DELETE: "-D"}[x] for x in lines if x]
    assert found.record_of is not None
    assert found.record_of.tolist() == [i for i, x in enumerate(lines) if x]
    assert (found.records, found.lines) == (len(lines), len(lines))
    messages = FORMAT.decoder(table_of()).decode_messages([x.encode() for x in lines])
    assert messages.batch.num_rows == len(rows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("null", "record is not a JSON object"),
        (f"[{INSERT},1]", "record is not a JSON object"),
        (INSERT[:-1], "record is not valid JSON: expecting ',' delimiter"),
        ('{"after":{}}', '"op" is missing'),
        ('{"after":{},"op":null}', '"op" is missing'),
        ('{"after":{},"op":"x"}', '"op" is "x", which is none of c, r, u and d'),
        ('{"after":{},"op":1}', '"op" is "1", which is none of c, r, u and d'),
        ('{"op":"t"}', '"op" is "t", a TRUNCATE: which rows it takes away is not known'),
        ('{"before":{},"op":"c"}', '"after" of an insert is null'),
        ('{"before":{},"after":null,"op":"u"}', '"after" of an update is null'),
        (
            '{"before":null,"after":{},"op":"u"}',
            f'"before" of an update is null{CURE}',
        ),
        (
            '{"after":null,"op":"d"}',
            f'"before" of a delete is null{CURE}',
        ),
        ('{"after":[1],"op":"c"}', '"after" is not a JSON object'),
        ('{"after":{"id":"x"},"op":"c"}', 'column "id": "x" cannot be read as INT'),
        (
            '{"schema":null,"payload":{"after":{},"op":"c"}}',
            "record has a \"payload\": 'debezium-json.schema-include' must be 'true'",
        ),
    ],
)
def test_bad_messages_say_why(line: str, reason: str) -> None:
    """Those around it are read; its line is known."""
    rows, found = read(f"{INSERT}\n{line}\n{UPDATE}\n")
    assert [r[:2] for r in rows] == [("+I", 1), ("-U", 1), ("+U", 1)]
    assert [(2, line.encode(), reason)] == [(b.line, b.raw, b.reason) for b in found.bad]
    ignored, found = read(f"{INSERT}\n{line}\n{UPDATE}\n", table_of(ignore_parse_errors="true"))
    assert found.bad == ()
    assert len(ignored) == (4 if "cannot be read as INT" in reason else 3)


def test_a_list_is_its_messages() -> None:
    """As Flink reads it."""
    rows, found = read(f"[{INSERT},{UPDATE}]\n[]\n")
    assert [r[0] for r in rows] == ["+I", "-U", "+U"]
    assert found.record_of is not None
    assert found.record_of.tolist() == [0, 0, 0]


def test_the_last_of_several_members_counts() -> None:
    """As in Flink, which reads json otherwise."""
    line = '{"op":"c","op":"d","before":{"id":3,"id":1},"after":{"id":2}}\n'
    assert read(line, table_of("id INT"))[0] == [("-D", 1)]


def test_an_update_is_bad_as_a_whole() -> None:
    """Not one half of it."""
    for before, after in (("x", "1"), ("1", "x")):
        line = f'{{"before":{{"id":"{before}"}},"after":{{"id":"{after}"}},"op":"u"}}'
        rows, found = read(f"{line}\n")
        assert rows == []
        assert [b.reason for b in found.bad] == ['column "id": "x" cannot be read as INT']


def test_a_null_where_there_is_none_is_bad() -> None:
    """What an incomplete "before" is found by."""
    table = table_of("id INT NOT NULL, name STRING NOT NULL")
    line = '{"before":{"id":1},"after":{"id":1,"name":"b"},"op":"u"}'
    assert reasons(f"{line}\n", table) == [(1, 'column "name" is NULL and declared NOT NULL')]
    ignoring = table_of("id INT NOT NULL, name STRING NOT NULL", ignore_parse_errors="true")
    assert read(f"{line}\n", ignoring)[0] == [("+U", 1, "b")]


@pytest.mark.parametrize("more", ["", ODD])
def test_the_schema_may_be_included(more: str) -> None:
    """The change is in the payload then."""
    table = table_of(schema_include="true")
    lines = [f'{{"schema":{{"type":"struct"}},"payload":{x}}}' for x in (INSERT, UPDATE, DELETE)]
    rows, found = read("\n".join([*lines, more]) + "\n", table)
    assert [r[:2] for r in rows] == [("+I", 1), ("-U", 1), ("+U", 1), ("-D", 2)]
    assert found.bad == ()
    assert reasons(f"{INSERT}\n", table) == [
        (1, "record has no \"payload\": 'debezium-json.schema-include' must be 'false'")
    ]
    assert reasons('{"payload":null}\n', table) == [(1, '"payload" is not a JSON object')]


SOURCE = (
    '{"version":"1.1","ts_ms":1589362344000,"db":"inventory","schema":"s","table":"t","pos":2443,'
    '"gtid":null}'
)
METADATA = {
    "at": "ingestion-timestamp",
    "changed": "source.timestamp",
    "db": "source.database",
    "s": "source.schema",
    "t": "source.table",
}


@pytest.mark.parametrize("more", ["", ODD])
def test_metadata_stands_beside_both_rows_of_an_update(more: str) -> None:
    """Times are instants; what a message lacks is NULL."""
    table = table_of("id INT", METADATA)
    known = f'{UPDATE[:-1]},"ts_ms":1589355606100,"source":{SOURCE}}}'
    rows, _ = read(f"{known}\n{INSERT}\n{more}\n", table)
    at = dt.datetime(2020, 5, 13, 7, 40, 6, 100_000, tzinfo=dt.UTC)
    changed = dt.datetime(2020, 5, 13, 9, 32, 24, tzinfo=dt.UTC)
    beside = (at, changed, "inventory", "s", "t")
    assert rows == [("-U", 1, *beside), ("+U", 1, *beside), ("+I", 1, *[None] * 5)]


def test_metadata_of_any_shape() -> None:
    """The schema is JSON text, the properties a map of texts."""
    table = table_of("id INT", {"s": "schema", "p": "source.properties"}, schema_include="true")
    line = f'{{"schema":{{"type": "struct"}},"payload":{INSERT[:-1]},"source":{SOURCE}}}}}'
    other = f'{{"payload":{INSERT}}}'
    rows, _ = read(f"{line}\n{other}\n", table)
    properties = {
        "version": "1.1", "ts_ms": "1589362344000", "db": "inventory", "schema": "s", "table": "t",
        "pos": "2443", "gtid": None,
    }  # fmt: skip
    assert rows[0][2] == '{"type":"struct"}'
    assert dict(rows[0][3]) == properties
    assert rows[1][2:] == (None, None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('"ts_ms":"soon"', '"ts_ms" is "soon", which is no number of milliseconds'),
        (f'"ts_ms":{1 << 62}', f'"ts_ms" is "{1 << 62}", which is no number of milliseconds'),
        ('"source":1', '"source" is not a JSON object'),
    ],
)
def test_metadata_that_cannot_be_read(more: str, reason: str) -> None:
    """Such a message is bad where the metadata is read, and only there."""
    text = f"{INSERT[:-1]},{more}}}\n"
    assert reasons(text, table_of("id INT", METADATA)) == [(1, reason)]
    assert len(read(text, table_of("id INT"))[0]) == 1


def test_columns_that_are_not_read_cost_nothing() -> None:
    """A projection decodes its columns only, maps and all types go the slow road."""
    table = table_of("id INT, name STRING, m MAP<STRING, INT>")
    line = '{"after":{"id":1,"name":"a","m":{"k":1}},"op":"c"}\n'
    assert read(line, table)[0] == [("+I", 1, "a", [("k", 1)])]
    assert read(line, replace(table, columns=("name",)))[0] == [("+I", "a")]


def encode(rows: list[dict], kinds: str, columns: str = COLUMNS, **options: str) -> str:
    """The lines of rows of these kinds."""
    table = table_of(columns, **options)
    batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema(table.schema))
    codes = np.array([["+I", "-U", "+U", "-D"].index(k) for k in kinds.split()], np.int8)
    return FORMAT.encoder(table).encode_changes(batch, codes).decode()


def test_changes_are_written_as_flink_writes_them() -> None:
    """What adds a row is a create, what takes it away a delete."""
    rows = [{"id": i, "name": 'a"b', "weight": None} for i in range(4)]
    assert encode(rows, "+I -U +U -D").splitlines() == [
        '{"before":null,"after":{"id":0,"name":"a\\"b","weight":null},"op":"c"}',
        '{"before":{"id":1,"name":"a\\"b","weight":null},"after":null,"op":"d"}',
        '{"before":null,"after":{"id":2,"name":"a\\"b","weight":null},"op":"c"}',
        '{"before":{"id":3,"name":"a\\"b","weight":null},"after":null,"op":"d"}',
    ]
    assert encode(rows[:2], "+I -D", encode__ignore_null_fields="true").splitlines() == [
        '{"after":{"id":0,"name":"a\\"b"},"op":"c"}',
        '{"before":{"id":1,"name":"a\\"b"},"op":"d"}',
    ]
    table = table_of()
    empty = pa.RecordBatch.from_pylist([], schema=arrow_schema(table.schema))
    assert FORMAT.encoder(table).encode(empty) == b""


def test_messages_with_a_schema_cannot_be_written() -> None:
    """Neither by Flink."""
    with pytest.raises(ConfigError, match="cannot write with 'debezium"):
        FORMAT.encoder(table_of(schema_include="true"))


def test_keys_of_maps_are_text() -> None:
    """A JSON object has no others."""
    with pytest.raises(ConfigError, match='format "debezium-json" cannot hold column "m"'):
        table_of("m MAP<INT, INT>")


VALUES = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**31), 2**31 - 1) | st.none(),
        "name": st.text(max_size=4) | st.none(),
        "d": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)) | st.none(),
        "ts": st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)) | st.none(),
        "a": st.lists(st.integers(0, 9) | st.none(), max_size=3) | st.none(),
    }
)
TYPES = "id INT, name STRING, d DATE, ts TIMESTAMP(6), a ARRAY<INT>"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), VALUES), max_size=8), st.data())
def test_what_is_written_is_read_back_wherever_it_is_cut(
    changes: list[tuple[int, Any]], data: Any
) -> None:
    """Blocks may end at any byte; both halves of the sign come back."""
    table = table_of(TYPES)
    schema = arrow_schema(table.schema)
    batch = pa.RecordBatch.from_pylist([row for _, row in changes], schema=schema)
    kinds = np.array([k for k, _ in changes], np.int8)
    text = FORMAT.encoder(table).encode_changes(batch, kinds)
    decoder = FORMAT.decoder(table)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    rows: list[dict] = []
    signs: list[bool] = []
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        rest += text[start:end]
        length = decoder.split(rest, last=end == len(text))
        found = decoder.decode(rest[:length])
        rest = rest[length:]
        assert found.bad == ()
        rows += found.batch.to_pylist()
        codes = Changes(found.batch, found.kinds).codes_or_insert
        assert set(codes.tolist()) <= {0, 3}
        signs += [k == 0 for k in codes.tolist()]
    assert batch.to_pylist() == rows
    assert [k in (0, 2) for k, _ in changes] == signs


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("crudx"), st.booleans(), st.booleans(), st.integers(0, 9)),
        max_size=8,
    )
)
def test_both_readers_agree(messages: list[tuple[str, bool, bool, int]]) -> None:
    """A block at once gives what its messages give one by one."""
    lines = [
        json.dumps(
            {
                "before": {"id": i, "name": "b"} if before else None,
                "after": {"id": i, "name": "a"} if after else None,
                "op": op,
            }
        )
        for op, before, after, i in messages
    ]
    whole, found = read("".join(f"{line}\n" for line in lines))
    single: list[tuple] = []
    bad: list[str] = []
    for line in lines:
        rows, alone = read(f"{line}\n{ODD}\n")
        single += rows
        bad += [b.reason for b in alone.bad]
    assert single == whole
    assert bad == [b.reason for b in found.bad]


ODD_VALUES: dict[str, tuple[str, list[Any]]] = {
    "s": ("STRING", ["x", "é", "a\nb", 1, True, {"k": 1}, None]),
    "d": ("DECIMAL(6, 2)", [1, 1.25, "1.255", 12345.5, None, 1e3]),
    "f": ("FLOAT", [0.1, -0.0, 3, 1e39, "NaN", None]),
    "ts": ("TIMESTAMP(3)", ["2020-01-01 00:00:00.1234", "2020-13-01 00:00:00", 5, None]),
    "tz": ("TIMESTAMP_LTZ(3)", ["2020-01-01 00:00:00Z", "2020-01-01 00:00:00", None]),
    "t": ("TIME", ["10:11:12.1239", "10:11:12", "25:00:00", None]),
    "b": ("BYTES", ["YQ==", "??", None]),
    "a": ("ARRAY<ROW<x INT, y STRING>>", [[], [{"x": 1, "y": "z"}], [None], [{"x": "q"}], None]),
    "r": ("ROW<p INT NOT NULL, q DECIMAL(4, 1)>", [{"p": 1, "q": 1.5}, {"q": 1}, None]),
}
ODD_ROWS = st.fixed_dictionaries(
    {}, optional={k: st.sampled_from(v) for k, (_, v) in ODD_VALUES.items()}
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("crud"), ODD_ROWS, ODD_ROWS), min_size=1, max_size=2))
def test_both_readers_agree_on_values(messages: list[tuple[str, dict, dict]]) -> None:
    """Of any type, and of any shape."""
    table = table_of(", ".join(f"{k} {kind}" for k, (kind, _) in ODD_VALUES.items()))
    lines = [json.dumps({"before": b, "after": a, "op": op}) for op, b, a in messages]
    text = "".join(f"{line}\n" for line in lines)
    whole, found = read(text, table)
    one_by_one, alone = read(f"{text}{ODD}\n", table)
    assert repr(one_by_one) == repr(whole)
    assert [(b.record, b.reason) for b in alone.bad] == [(b.record, b.reason) for b in found.bad]
