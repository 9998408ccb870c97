"""The `debezium-json` format: what happened to a row, one message of Debezium a line.

    {"before": null, "after": {"id": 1, "name": "a"}, "op": "c"}

| `op` | gives | needs |
| --- | --- | --- |
| `c`, `r` | `+I` of `after` | `after` |
| `u` | `-U` of `before`, `+U` of `after` | both |
| `d` | `-D` of `before` | `before` |

A table of this format gives changes that take rows back; a sink takes any. It writes `+I` and `+U` as
`op` `c`, `-U` and `-D` as `op` `d`, as Flink does: an update is two messages. Blank lines (tombstones) are
passed over, a list on a line is its messages; any other `op` is unreadable, `t` (TRUNCATE) among them.
Columns are written and read as format `json` does it, with the same differences from Flink; a 2.50 that a
STRING column takes is 2.50, in Flink 2.5.

`before` must be complete: in PostgreSQL it is after `ALTER TABLE … REPLICA IDENTITY FULL`; without,
Debezium writes NULL for what it does not know, and such a row takes nothing back. Declare columns NOT NULL
that are never NULL, and such a message is unreadable. With `debezium-json.ignore-parse-errors`, or where
`scan.bad-record` sets messages aside, the table is no longer the one that was recorded, either: a message
that is left out may be followed by one that takes its row back. Where the table has a PRIMARY KEY,
`SET 'table.exec.source.cdc-events-duplicate' = 'true'` lets keys alone decide what is taken back.

Metadata columns, read only; Flink gives them through Kafka, as `METADATA FROM 'value.source.table'`:
both spellings are taken, with and without `value.`.

| key | type | member of the message |
| --- | --- | --- |
| `schema` | STRING | `schema`, as JSON |
| `ingestion-timestamp` | TIMESTAMP_LTZ(3) | `ts_ms` |
| `source.timestamp` | TIMESTAMP_LTZ(3) | `ts_ms` of `source` |
| `source.database` | STRING | `db` of `source` |
| `source.schema` | STRING | `schema` of `source` |
| `source.table` | STRING | `table` of `source` |
| `source.properties` | MAP<STRING, STRING> | all of `source` |
"""

from __future__ import annotations

from flowsql.config import Option, OptionType
from flowsql.errors import ConfigError
from flowsql.formats.debezium_json_decoder import METADATA, DebeziumJsonDecoder
from flowsql.formats.debezium_json_encoder import DebeziumJsonEncoder
from flowsql.formats.format import Decoder, Encoder, Format, FormatTable, check_storable
from flowsql.formats.json_encoder import JsonEncoder
from flowsql.formats.json_format import check_keys, text_style, time_and_map_options

__all__ = ["DebeziumJsonFormat"]


class DebeziumJsonFormat(Format):
    """Messages of Debezium as JSON."""

    name = "debezium-json"
    extension = "json"
    changelog = True
    metadata = METADATA
    options = (
        Option(
            "debezium-json.schema-include",
            OptionType.BOOLEAN,
            'Messages have a "schema", and the change in "payload". Only for reading.',
            default=False,
        ),
        Option(
            "debezium-json.ignore-parse-errors",
            OptionType.BOOLEAN,
            "A field that cannot be read is NULL, a message that cannot be read is left out.",
            default=False,
        ),
        *time_and_map_options("debezium-json"),
    )

    def check(self, table: FormatTable) -> None:
        check_storable(self.name, table.schema)
        for field in table.schema.fields:
            check_keys(self.name, field.name, field.type)

    def decoder(self, table: FormatTable) -> Decoder:
        return DebeziumJsonDecoder(
            table,
            text_style(self.name, table.options),
            schema_include=table.options["debezium-json.schema-include"],
            ignore_errors=table.options["debezium-json.ignore-parse-errors"],
        )

    def encoder(self, table: FormatTable) -> Encoder:
        if table.options["debezium-json.schema-include"]:
            raise ConfigError(
                "format \"debezium-json\" cannot write with 'debezium-json.schema-include' = 'true'",
                hint="Leave the option out where the table is written.",
                option="debezium-json.schema-include",
            )
        skip_nulls = table.options["debezium-json.encode.ignore-null-fields"]
        rows = JsonEncoder(
            table,
            separator=text_style(self.name, table.options).separator,
            plain_decimals=table.options["debezium-json.encode.decimal-as-plain-number"],
            skip_nulls=skip_nulls,
        )
        return DebeziumJsonEncoder(rows, skip_nulls=skip_nulls)
