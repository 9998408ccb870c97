r"""The `csv` format: one record a line, Flink's options.

Fields are separated by `csv.field-delimiter`; one that holds a delimiter, quote or line end stands in
`csv.quote-character`, a quote within it being doubled. A record has as many fields as the table has
columns, in their order; there is no header. Empty text is an empty STRING, and no number: NULL needs
`csv.null-literal`. An ARRAY or ROW is one field with `csv.array-element-delimiter` between its
elements, and the null literal for one that is NULL; as in Flink, an ARRAY that is NULL is written as
the null literal as well, which is read as a list of one NULL. A MAP cannot be written. BYTES are base64. Times are `2020-01-05`, `10:11:12.123`,
`2020-01-05 10:11:12.123`; a TIMESTAMP_LTZ ends with `Z` and is in UTC. A tab as a delimiter is
written `\t`.

`csv.ignore-parse-errors` takes values that cannot be read for NULL and leaves records out that cannot
be taken apart, without a trace; `scan.bad-record` = `skip` or `dead-letter` leaves the whole record
out and counts it.

| Flink does | here |
| --- | --- |
| a BOOLEAN that is neither `true` nor `false` becomes FALSE | unreadable |
| a DECIMAL with too many digits becomes NULL | unreadable |
| 30 February becomes 1 March | unreadable |
"""

from __future__ import annotations

from flowsql.config import Option, OptionType, OptionValues
from flowsql.errors import ConfigError
from flowsql.formats.csv_decoder import CsvDecoder
from flowsql.formats.csv_dialect import CsvDialect
from flowsql.formats.csv_encoder import CsvEncoder
from flowsql.formats.format import Decoder, Encoder, Format, FormatTable, check_storable
from flowsql.types import ArrayType, DataType, MapType, MultisetType, RowType, TimeType

__all__ = ["CsvFormat"]


class CsvFormat(Format):
    """Comma-separated values."""

    name = "csv"
    extension = "csv"
    options = (
        Option("csv.field-delimiter", OptionType.STRING, "Separates the fields.", default=","),
        Option(
            "csv.quote-character", OptionType.STRING, "Encloses a field that needs it.", default='"'
        ),
        Option(
            "csv.disable-quote-character",
            OptionType.BOOLEAN,
            "Quotes are part of the values.",
            default=False,
        ),
        Option("csv.escape-character", OptionType.STRING, "Takes the next character as it is."),
        Option("csv.null-literal", OptionType.STRING, "This text is NULL."),
        Option(
            "csv.array-element-delimiter",
            OptionType.STRING,
            "Separates the elements of an ARRAY and the fields of a ROW.",
            default=";",
        ),
        Option(
            "csv.allow-comments",
            OptionType.BOOLEAN,
            "Lines that begin with # are left out.",
            default=False,
        ),
        Option(
            "csv.ignore-parse-errors",
            OptionType.BOOLEAN,
            "A field that cannot be read is NULL, a line that cannot be read is left out.",
            default=False,
        ),
        Option(
            "csv.write-bigdecimal-in-scientific-notation",
            OptionType.BOOLEAN,
            "Writes DECIMAL 100 as 1E+2.",
            default=True,
        ),
    )

    def check(self, table: FormatTable) -> None:
        _dialect(table.options)
        check_storable(self.name, table.schema)
        for field in table.schema.fields:
            _check_type(field.name, field.type, nested=False)

    def decoder(self, table: FormatTable) -> Decoder:
        return CsvDecoder(table, _dialect(table.options))

    def encoder(self, table: FormatTable) -> Encoder:
        return CsvEncoder(table, _dialect(table.options))


def _dialect(options: OptionValues) -> CsvDialect:
    quoting = not options["csv.disable-quote-character"]
    dialect = CsvDialect(
        delimiter=_character(options, "csv.field-delimiter") or ",",
        quote=_character(options, "csv.quote-character") if quoting else None,
        escape=_character(options, "csv.escape-character"),
        null=options["csv.null-literal"],
        element=_unescaped(options["csv.array-element-delimiter"]),
        comments=options["csv.allow-comments"],
        ignore_errors=options["csv.ignore-parse-errors"],
        scientific=options["csv.write-bigdecimal-in-scientific-notation"],
    )
    if dialect.delimiter in {dialect.quote, dialect.escape}:
        raise ConfigError(
            'options "csv.field-delimiter" and "csv.quote-character" or "csv.escape-character" '
            "are the same character",
            option="csv.field-delimiter",
        )
    return dialect


def _unescaped(text: str) -> str:
    return {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\", "\\0": "\0"}.get(text, text)


def _character(options: OptionValues, key: str) -> str | None:
    text = options[key]
    if text is None:
        return None
    # An option's text is trimmed, so that a tab or a blank arrives as nothing.
    character = _unescaped(text)
    if len(character) != 1 or ord(character) > 127:
        raise ConfigError(
            f'option "{key}" cannot be {text!r}: expected one ASCII character',
            hint="A tab is written \\t.",
            option=key,
        )
    return character


def _check_type(column: str, data_type: DataType, *, nested: bool) -> None:
    match data_type:
        case MapType() | MultisetType():
            wrong = str(data_type)
        case ArrayType(element=element) if not nested:
            return _check_type(column, element, nested=True)
        case RowType(fields=fields) if not nested:
            for field in fields:
                _check_type(column, field.type, nested=True)
            return None
        case ArrayType() | RowType():
            wrong = f"{data_type} within another"
        case TimeType(precision=p) if p > 3:
            wrong = str(data_type)
        case _:
            return None
    raise ConfigError(
        f'format "csv" cannot hold column "{column}" of type {wrong}',
        hint="Use format 'json' or 'parquet', or declare the column as STRING.",
    )
