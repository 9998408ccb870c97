"""Every option of every format does what it says, or is refused by name."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.errors import ConfigError
from flowsql.formats import find_format, format_names
from flowsql.testing import connector_table
from flowsql.types import arrow_schema

from .helpers import decode, format_table

# key → (columns, text, without it, with it): what a reader makes of the text.
READING: dict[str, tuple[str, dict[str, str], bytes, Any, Any]] = {
    "csv.field-delimiter": (
        "a STRING, b STRING",
        {"field_delimiter": ";"},
        b"x;1,y\n",
        [("x;1", "y")],
        [("x", "1,y")],
    ),
    "csv.quote-character": (
        "a STRING, b STRING",
        {"quote_character": "'"},
        b"'x',\"y\"\n",
        [("'x'", "y")],
        [("x", '"y"')],
    ),
    "csv.disable-quote-character": (
        "a STRING",
        {"disable_quote_character": "true"},
        b'"x"\n',
        [("x",)],
        [('"x"',)],
    ),
    "csv.escape-character": (
        "a STRING",
        {"escape_character": "\\"},
        b"x\\,y\n",
        ["record has 2 fields, expected 1"],
        [("x,y",)],
    ),
    "csv.null-literal": ("a STRING", {"null_literal": "-"}, b"-\n", [("-",)], [(None,)]),
    "csv.array-element-delimiter": (
        "a ARRAY<STRING>, r ROW<x STRING, y INT>",
        {"array_element_delimiter": "|"},
        b"p|q;r,s|1\n",
        ['column "r": "s|1" cannot be read as ROW<`x` STRING, `y` INT>'],
        [(["p", "q;r"], {"x": "s", "y": 1})],
    ),
    "csv.allow-comments": (
        "a STRING",
        {"allow_comments": "true"},
        b"#x\ny\n",
        [("#x",), ("y",)],
        [("y",)],
    ),
    "csv.ignore-parse-errors": (
        "a INT, b INT",
        {"ignore_parse_errors": "true"},
        b"x,1\n2,3,4\n5,6\n",
        ['column "a": "x" cannot be read as INT', "record has 3 fields, expected 2"],
        [(None, 1), (5, 6)],
    ),
    "json.fail-on-missing-field": (
        "a INT, b INT",
        {"fail_on_missing_field": "true"},
        b'{"a":1}\n',
        [(1, None)],
        ['field "b" is missing'],
    ),
    "json.ignore-parse-errors": (
        "a INT, b INT",
        {"ignore_parse_errors": "true"},
        b'{"a":"x","b":1}\nnonsense\n{"a":2}\n',
        [
            'column "a": "x" cannot be read as INT',
            "record is not valid JSON: expecting value",
        ],
        [(None, 1), (2, None)],
    ),
    "json.timestamp-format.standard": (
        "a TIMESTAMP(3)",
        {"timestamp_format__standard": "ISO-8601"},
        b'{"a":"2020-01-01T00:00:05"}\n',
        ['column "a": "2020-01-01T00:00:05" cannot be read as TIMESTAMP(3)'],
        [(dt.datetime(2020, 1, 1, 0, 0, 5),)],
    ),
    "json.decode.json-parser.enabled": (
        "a INT",
        {"decode__json_parser__enabled": "false"},
        b'{"a":1}\n',
        [(1,)],
        [(1,)],
    ),
    "debezium-json.schema-include": (
        "a INT",
        {"schema_include": "true"},
        b'{"schema":{},"payload":{"after":{"a":1},"op":"c"}}\n',
        ["record has a \"payload\": 'debezium-json.schema-include' must be 'true'"],
        [(1,)],
    ),
    "debezium-json.ignore-parse-errors": (
        "a INT, b STRING",
        {"ignore_parse_errors": "true"},
        b'{"after":{"a":"x","b":"y"},"op":"c"}\n',
        ['column "a": "x" cannot be read as INT'],
        [(None, "y")],
    ),
}

# key → (columns, value, row, without it, with it): what a writer makes of a row.
WRITING: dict[str, tuple[str, dict[str, str], dict, bytes, bytes]] = {
    "csv.field-delimiter": (
        "a INT, b INT",
        {"field_delimiter": "\\t"},
        {"a": 1, "b": 2},
        b"1,2\n",
        b"1\t2\n",
    ),
    "csv.quote-character": (
        "a STRING",
        {"quote_character": "'"},
        {"a": "x,'y"},
        b'"x,\'y"\n',
        b"'x,''y'\n",
    ),
    "csv.disable-quote-character": (
        "a STRING",
        {"disable_quote_character": "true"},
        {"a": 'x"'},
        b'"x"""\n',
        b'x"\n',
    ),
    "csv.escape-character": (
        "a STRING",
        {"escape_character": "\\"},
        {"a": "x\\"},
        b"x\\\n",
        b'"x\\\\"\n',
    ),
    "csv.null-literal": ("a INT", {"null_literal": "-"}, {"a": None}, b"\n", b"-\n"),
    "csv.array-element-delimiter": (
        "a ARRAY<INT>",
        {"array_element_delimiter": "|"},
        {"a": [1, 2]},
        b"1;2\n",
        b"1|2\n",
    ),
    "csv.write-bigdecimal-in-scientific-notation": (
        "a DECIMAL(9,0)",
        {"write_bigdecimal_in_scientific_notation": "false"},
        {"a": Decimal(100)},
        b"1E+2\n",
        b"100\n",
    ),
    "json.timestamp-format.standard": (
        "a TIMESTAMP(3)",
        {"timestamp_format__standard": "ISO-8601"},
        {"a": dt.datetime(2020, 1, 1, 0, 0, 5)},
        b'{"a":"2020-01-01 00:00:05"}\n',
        b'{"a":"2020-01-01T00:00:05"}\n',
    ),
    "json.encode.decimal-as-plain-number": (
        "a DECIMAL(9,0)",
        {"encode__decimal_as_plain_number": "true"},
        {"a": Decimal(100)},
        b'{"a":1E+2}\n',
        b'{"a":100}\n',
    ),
    "json.encode.ignore-null-fields": (
        "a INT, b INT",
        {"encode__ignore_null_fields": "true"},
        {"a": None, "b": 1},
        b'{"a":null,"b":1}\n',
        b'{"b":1}\n',
    ),
    # An Arrow map has no NULL key; the options are Flink's and change nothing.
    "json.map-null-key.mode": (
        "a MAP<STRING, INT>",
        {"map_null_key__mode": "LITERAL"},
        {"a": [("k", None)]},
        b'{"a":{"k":null}}\n',
        b'{"a":{"k":null}}\n',
    ),
    "json.map-null-key.literal": (
        "a MAP<STRING, INT>",
        {"map_null_key__mode": "LITERAL", "map_null_key__literal": "n"},
        {"a": [("k", 1)]},
        b'{"a":{"k":1}}\n',
        b'{"a":{"k":1}}\n',
    ),
}

# The same options of another format of JSON text, each row in its envelope.
for _key in [k for k in WRITING if k.startswith("json.")]:
    _columns, _options, _row, *_texts = WRITING[_key]
    WRITING[f"debezium-{_key}"] = (
        _columns,
        _options,
        _row,
        *(  # type: ignore[arg-type]
            (
                b'{"after":%s,"op":"c"}\n'
                if i and "ignore-null" in _key
                else b'{"before":null,"after":%s,"op":"c"}\n'
            )
            % t.strip()
            for i, t in enumerate(_texts)
        ),
    )

PARQUET = {"parquet.compression", "parquet.utc-timezone"}


@pytest.mark.parametrize("key", READING)
def test_a_reader_minds_it(key: str) -> None:
    """Without and with the option."""
    columns, options, text, plain, chosen = READING[key]
    name = key.partition(".")[0]
    for given, wanted in (({}, plain), (options, chosen)):
        rows, bad = decode(name, columns, text, **given)
        assert wanted == ([reason for _, reason in bad] if bad else rows)


@pytest.mark.parametrize("key", WRITING)
def test_a_writer_minds_it(key: str) -> None:
    """Without and with the option."""
    columns, options, row, plain, chosen = WRITING[key]
    name = key.partition(".")[0]
    for given, wanted in (({}, plain), (options, chosen)):
        table = format_table(name, columns, **given)
        batch = pa.RecordBatch.from_pylist([row], schema=arrow_schema(table.schema))
        assert wanted == find_format(name).encoder(table).encode(batch)


@pytest.mark.parametrize(
    ("value", "codec"),
    [("none", "UNCOMPRESSED"), ("GZIP", "GZIP"), ("zstd", "ZSTD"), ("snappy", "SNAPPY")],
)
def test_parquet_pages_are_compressed(value: str, codec: str) -> None:
    """As Flink's writer is told to."""
    table = format_table("parquet", "a INT", compression=value)
    target = io.BytesIO()
    writer = find_format("parquet").writer(target, table)
    writer.write(pa.RecordBatch.from_pydict({"a": pa.array([1], pa.int32())}))
    writer.close()
    file = pq.ParquetFile(io.BytesIO(target.getvalue()))
    assert file.metadata.row_group(0).column(0).compression == codec


def test_no_option_is_untested() -> None:
    """Those of Parquet that change times have their test beside its round trip."""
    declared = {o.key for n in format_names() for o in find_format(n).options if not o.refused}
    assert declared == set(READING) | set(WRITING) | PARQUET


@pytest.mark.parametrize(
    ("fmt", "key", "hint"),
    [
        ("parquet", "parquet.write.int64.timestamp", "never as INT96"),
        ("parquet", "parquet.timestamp.time.unit", "in microseconds"),
        ("csv", "auto-compaction", "Every checkpoint ends all files"),
        ("csv", "sink.partition-commit.policy.class", "There is no Java"),
        ("csv", "partition.time-extractor.class", "There is no Java"),
    ],
)
def test_what_flink_has_and_we_have_not_is_refused_by_name(fmt: str, key: str, hint: str) -> None:
    """It is no unknown option, and no other one is meant."""
    options = {"connector": "filesystem", "path": "/x", "format": fmt, key: "true"}
    with pytest.raises(ConfigError, match=f'option "{key}" of Flink is not supported') as error:
        connector_table("a INT", options)
    assert hint in str(error.value)
    assert "Did you mean" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("json.timestamp-format.standart", "json.timestamp-format.standard"),
        ("csv.quote-char", "csv.quote-character"),
        ("parquet.compresion", "parquet.compression"),
    ],
)
def test_a_misspelt_option_is_refused(key: str, near: str) -> None:
    """With the nearest."""
    fmt = key.partition(".")[0]
    options = {"connector": "filesystem", "path": "/x", "format": fmt, key: "x"}
    with pytest.raises(ConfigError, match=f'has no option "{key}"') as error:
        connector_table("a INT", options)
    assert f'Did you mean "{near}"?' in str(error.value)


def test_options_that_only_tune_flink_are_accepted() -> None:
    """A job that sets them runs."""
    for key, value in (
        ("sink.parallelism", "4"),
        ("sink.shuffle-by-partition.enable", "true"),
        ("source.report-statistics", "all"),
    ):
        options = {"connector": "filesystem", "path": "/x", "format": "csv", key: value}
        table = connector_table("a INT", options)
        assert table.options.is_set(key)
