"""The `json` format: one object a line (or a list of them), Flink's options.

A column is the member of its name; other members are passed over, a missing one is NULL unless
`json.fail-on-missing-field` is set. ROW is an object, ARRAY a list, MAP an object whose keys are
STRING. Numbers and booleans may also be text; a STRING column takes any value, as its JSON text. BYTES
are base64. Times are text: `2020-01-05`, `10:11:12.123`, `2020-01-05 10:11:12.123`, with a `Z` at the
end of a TIMESTAMP_LTZ, which is in UTC; or as `json.timestamp-format.standard` says.

`json.ignore-parse-errors` takes values that cannot be read for NULL and leaves records out that are no
object, without a trace; `scan.bad-record` = `skip` or `dead-letter` leaves the whole record out and
counts it.

| Flink does | here |
| --- | --- |
| a BOOLEAN that is neither `true` nor `false` becomes FALSE | unreadable |
| a DECIMAL with too many digits becomes NULL | unreadable |
| 1.7 in an INT column becomes 1 | unreadable; 1.0 is 1 |
| text behind an object is ignored | unreadable |
"""

from __future__ import annotations

from flowsql.config import Option, OptionType, OptionValues
from flowsql.errors import ConfigError
from flowsql.formats.format import Decoder, Encoder, Format, FormatTable, check_storable
from flowsql.formats.json_decoder import JsonDecoder
from flowsql.formats.json_encoder import JsonEncoder
from flowsql.formats.parse import TextStyle
from flowsql.types import ArrayType, CharType, DataType, MapType, MultisetType, RowType, VarCharType

__all__ = ["JsonFormat", "check_keys", "text_style", "time_and_map_options"]

_STANDARDS = ("sql", "iso-8601", "iso-8601-with-offset")


def time_and_map_options(name: str) -> tuple[Option, ...]:
    """The options that all formats of JSON text have, with the format's name before them."""
    return (
        Option(
            f"{name}.timestamp-format.standard",
            OptionType.ENUM,
            "`2020-12-30 12:13:14.123` (SQL) or `2020-12-30T12:13:14.123` (ISO-8601).",
            default="sql",
            choices=_STANDARDS,
        ),
        Option(
            f"{name}.map-null-key.mode",
            OptionType.ENUM,
            "What is done with NULL keys of a MAP; ours has none.",
            default="fail",
            choices=("fail", "drop", "literal"),
        ),
        Option(
            f"{name}.map-null-key.literal",
            OptionType.STRING,
            "The text of a NULL key.",
            default="null",
        ),
        Option(
            f"{name}.encode.decimal-as-plain-number",
            OptionType.BOOLEAN,
            "Writes DECIMAL 100 as 100, not as 1E+2.",
            default=False,
        ),
        Option(
            f"{name}.encode.ignore-null-fields",
            OptionType.BOOLEAN,
            "Leaves NULL fields out.",
            default=False,
        ),
    )


class JsonFormat(Format):
    """JSON objects."""

    name = "json"
    extension = "json"
    options = (
        Option(
            "json.fail-on-missing-field",
            OptionType.BOOLEAN,
            "An object without one of the columns cannot be read; otherwise the column is NULL.",
            default=False,
        ),
        Option(
            "json.ignore-parse-errors",
            OptionType.BOOLEAN,
            "A field that cannot be read is NULL, a line that cannot be read is left out.",
            default=False,
        ),
        *time_and_map_options("json"),
        Option(
            "json.decode.json-parser.enabled",
            OptionType.BOOLEAN,
            "Flink's choice between two parsers; without effect here.",
            default=True,
        ),
    )

    def check(self, table: FormatTable) -> None:
        check_storable(self.name, table.schema)
        for field in table.schema.fields:
            check_keys(self.name, field.name, field.type)
        if (
            table.options["json.ignore-parse-errors"]
            and table.options["json.fail-on-missing-field"]
        ):
            raise ConfigError(
                'options "json.fail-on-missing-field" and "json.ignore-parse-errors" '
                "cannot both be true",
                option="json.fail-on-missing-field",
            )

    def decoder(self, table: FormatTable) -> Decoder:
        return JsonDecoder(
            table,
            text_style(self.name, table.options),
            fail_on_missing=table.options["json.fail-on-missing-field"],
            ignore_errors=table.options["json.ignore-parse-errors"],
        )

    def encoder(self, table: FormatTable) -> Encoder:
        return JsonEncoder(
            table,
            separator=text_style(self.name, table.options).separator,
            plain_decimals=table.options["json.encode.decimal-as-plain-number"],
            skip_nulls=table.options["json.encode.ignore-null-fields"],
        )


def text_style(name: str, options: OptionValues) -> TextStyle:
    """How times are written, by the options of the format called `name`."""
    standard = options[f"{name}.timestamp-format.standard"]
    return TextStyle(
        separator=" " if standard == "sql" else "T", offsets=standard == "iso-8601-with-offset"
    )


def check_keys(name: str, column: str, data_type: DataType) -> None:
    """Refuse maps that a JSON object cannot hold.

    Raises:
        ConfigError: keys are no strings.
    """
    match data_type:
        case MapType(key=key, value=value):
            inner = [value]
        case MultisetType(element=key):
            inner = []
        case ArrayType(element=element):
            return check_keys(name, column, element)
        case RowType(fields=fields):
            for field in fields:
                check_keys(name, column, field.type)
            return None
        case _:
            return None
    if not isinstance(key, VarCharType | CharType):
        raise ConfigError(
            f'format "{name}" cannot hold column "{column}" of type {data_type}',
            hint="Keys of a JSON object are strings: declare MAP<STRING, …>.",
        )
    for value in inner:
        check_keys(name, column, value)
    return None
