"""csv to rows: Arrow's reader for whole blocks, record by record where a block has a bad one."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from flowsql.formats.csv_dialect import CsvDialect
from flowsql.formats.csv_escapes import split_escaped
from flowsql.formats.format import BadRow, Decoded, Decoder, FormatTable
from flowsql.formats.parse import CSV_STYLE, Parsed, holds_decimals, parse_text
from flowsql.formats.records import quoted_ends, quoted_spans, well_quoted
from flowsql.formats.rows import BadCells, assemble, needs_values, wrong_nulls
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    RowType,
    SmallIntType,
    TinyIntType,
    VarCharType,
    arrow_schema,
    arrow_type,
)
from flowsql.types.constants import NO_TEXT, text_constant

__all__ = ["CsvDecoder"]

_COMMENT = re.compile(rb"(?m)^[ \t]*#[^\n]*\n?")
_SPACE, _TAB = b" \t"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ARROWS_OWN = re.compile(rb"(?!NaN|Infinity)(?i:nan|inf)")
_DIRECT = (
    TinyIntType,
    SmallIntType,
    IntType,
    BigIntType,
    FloatType,
    DoubleType,
    DecimalType,
    DateType,
    BooleanType,
    VarCharType,
    CharType,
)


class CsvDecoder(Decoder):
    """Decodes one table's records."""

    def __init__(self, table: FormatTable, dialect: CsvDialect) -> None:
        self._dialect = dialect
        self._names = table.schema.names
        self._fields = table.read_schema.fields
        self._needed = [i for i, f in enumerate(self._fields) if needs_values(f.type)]
        self._schema = arrow_schema(table.read_schema)
        self._quote = dialect.quote.encode() if dialect.quote else None
        self._delimiter = dialect.delimiter.encode()
        self._escape = dialect.escape.encode() if dialect.escape else None
        self._read = pacsv.ReadOptions(
            use_threads=False, column_names=list(self._names), block_size=1 << 30
        )
        self._parse = pacsv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            escape_char=dialect.escape or False,
            newlines_in_values=True,
            ignore_empty_lines=False,
        )
        # Types that Arrow's csv reader reads as Flink does; the others are read as text first.
        self._direct = [isinstance(f.type, _DIRECT) for f in self._fields]
        self._convert = self._conversion(self._direct)
        # Arrow passes over blanks, with which Flink reads no DECIMAL and no DATE.
        self._untrimmed = [
            direct and not isinstance(f.type, DecimalType | DateType)
            for f, direct in zip(self._fields, self._direct, strict=True)
        ]
        self._edges = np.zeros(256, np.bool_)
        self._edges[list(self._delimiter + b"\r\n" + (self._quote or b""))] = True
        e = re.escape(self._escape or b"")
        self._special_escape = re.compile(e + b"[0nrt]") if e else None

    def _conversion(self, direct: Sequence[bool]) -> pacsv.ConvertOptions:
        null = self._dialect.null
        return pacsv.ConvertOptions(
            column_types={
                f.name: arrow_type(f.type) if d else pa.string()
                for f, d in zip(self._fields, direct, strict=True)
            },
            include_columns=[f.name for f in self._fields],
            null_values=[] if null is None else [null],
            strings_can_be_null=null is not None,
            quoted_strings_can_be_null=True,
            true_values=["true", "True", "TRUE"],
            false_values=["false", "False", "FALSE"],
        )

    def split(self, data: bytes, *, last: bool) -> int:
        return quoted_ends(data, self._quote, self._delimiter, self._escape, last=last)

    def decode(self, block: bytes) -> Decoded:
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        text = block
        if self._dialect.comments and b"#" in block:
            if self._quote is not None and self._quote in block:
                # A line within quotes may begin as a comment does.
                return self._one_by_one(block, lines)
            text = _COMMENT.sub(b"", block)
        if not text:
            return Decoded(self._empty(), 0, lines)
        fast = self._whole(text)
        if fast is not None:
            return Decoded(fast, fast.num_rows, lines)
        return self._one_by_one(block, lines)

    def decode_messages(self, messages: Sequence[bytes]) -> Decoded:
        if not any(b"\n" in m for m in messages):
            return self.decode(b"\n".join(messages) + b"\n")
        return self._records(list(messages), list(range(1, len(messages) + 1)), len(messages))

    def _empty(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist([], schema=self._schema)

    def _whole(self, block: bytes) -> pa.RecordBatch | None:
        """The block at once; None where it needs a closer look."""
        if len(self._names) > 1 and _has_blank_line(block):
            # Arrow makes a row of empty fields of it.
            return None
        if (
            self._quote is not None
            and self._quote in block
            and not well_quoted(block, self._quote, self._delimiter, self._escape)
        ):
            return None
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            # Arrow does not tell a line end from a carriage return in a value.
            return None
        if self._special_escape is not None and self._special_escape.search(block):
            return None
        if b"0x" in block or b"0X" in block:
            # Arrow reads hexadecimal numbers, Flink does not.
            return None
        if block.startswith(_BYTE_ORDER_MARK):
            # Arrow leaves it out, in the midst of a file as well.
            return None
        reading, convert = self._direct, self._convert
        if self._untrimmed != reading and self._has_blank_edge(block):
            reading, convert = self._untrimmed, self._conversion(self._untrimmed)
        try:
            table = pacsv.read_csv(
                pa.BufferReader(block),
                read_options=self._read,
                parse_options=self._parse,
                convert_options=convert,
            )
        except pa.ArrowInvalid:
            return None
        columns = []
        for column, field, direct in zip(table.columns, self._fields, reading, strict=True):
            array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
            if not direct:
                if self._dialect.null is not None and _is_nested(field.type):
                    array = array.fill_null(self._dialect.null)
                parsed = self._cells(array, field.type)
                if parsed.bad is not None:
                    return None
                array = parsed.values
            elif _doubtful(array, field.type, block):
                return None
            columns.append(array)
        for i in self._needed:
            if wrong_nulls(columns[i], self._fields[i].type) is not None:
                return None
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _has_blank_edge(self, block: bytes) -> bool:
        """Whether a field may begin or end with a blank."""
        data = np.frombuffer(block, np.uint8)
        blanks = np.flatnonzero((data == _SPACE) | (data == _TAB))
        if not len(blanks):
            return False
        if blanks[0] == 0 or blanks[-1] == len(data) - 1:
            return True
        return bool((self._edges[data[blanks - 1]] | self._edges[data[blanks + 1]]).any())

    def _one_by_one(self, block: bytes, lines: int) -> Decoded:
        spans = quoted_spans(block, self._quote, self._delimiter, self._escape)
        records, numbers = [], []
        line = at = 0
        for start, end in spans:
            line += block.count(b"\n", at, start)
            at = start
            record = block[start:end]
            if self._dialect.comments and record.lstrip(b" \t").startswith(b"#"):
                continue
            records.append(record)
            numbers.append(line + 1)
        return self._records(records, numbers, lines)

    def _records(self, records: list[bytes], numbers: list[int], lines: int) -> Decoded:
        width = len(self._names)
        bad: dict[int, str] = {}
        kept: list[int] = []
        rows: list[list[str | None]] = []
        for number, record in enumerate(records):
            fields = self._split_record(record)
            if isinstance(fields, str):
                bad[number] = fields
                continue
            if len(fields) == width + 1 and fields[-1] == "":
                fields.pop()
            if len(fields) < width and self._dialect.ignore_errors:
                fields.extend([None] * (width - len(fields)))
            if len(fields) != width:
                plural = "" if len(fields) == 1 else "s"
                bad[number] = (
                    f"record has {len(fields)} field{plural}, expected {width}"
                    if record
                    else f"line is empty, expected {width} fields"
                )
                continue
            kept.append(number)
            rows.append(fields)
        columns = list(zip(*rows, strict=True)) if rows else [()] * width
        cells = BadCells(len(rows), empty=" ('csv.null-literal' = '' makes it NULL)")
        arrays = []
        for field in self._fields:
            text = pa.array(columns[self._names.index(field.name)], pa.string())
            if not _is_nested(field.type):
                text = self._with_nulls(text)
            parsed = self._cells(text, field.type)
            cells.add(field, parsed.bad, _shown(text))
            cells.add_nulls(field, parsed.values)
            arrays.append(parsed.values)
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return assemble(
            batch,
            np.array(kept, np.int64),
            cells,
            [BadRow(n, numbers[n], records[n], reason) for n, reason in bad.items()],
            lambda n: (numbers[n], records[n]),
            records=len(records),
            lines=lines,
            ignore_errors=self._dialect.ignore_errors,
        )

    def _split_record(self, record: bytes) -> list[str | None] | str:
        """The fields of a record, or why it has none."""
        try:
            text = record.decode()
        except UnicodeDecodeError:
            return "record is not valid UTF-8"
        escape = self._dialect.escape
        if escape is not None and escape in text:
            fields = split_escaped(text, self._dialect.delimiter, self._dialect.quote, escape)
            return fields if isinstance(fields, str) else list(fields)
        reader = csv.reader(
            [text],
            delimiter=self._dialect.delimiter,
            quotechar=self._dialect.quote,
            quoting=csv.QUOTE_MINIMAL if self._dialect.quote else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            return list(next(reader)) or [""]
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                return "quote is never closed"
            if "expected after" in str(error):
                return "text after a closing quote"
            return f"record cannot be split: {error}"
        except StopIteration:
            return [""]

    def _cells(self, text: pa.Array, data_type: DataType) -> Parsed:
        """The cells of one column, ARRAY and ROW taken apart.

        The null literal is an element: as in Flink, an ARRAY of nothing else is a list of one NULL.
        """
        match data_type:
            case ArrayType(element=element):
                parts = pc.split_pattern(text, self._dialect.element)
                # Text without a character is a list without an element.
                empty = pc.equal(text, text_constant(""))
                parts = pc.if_else(empty, _nulls(0), parts)
                offsets = np.zeros(len(text) + 1, np.int32)
                lengths = pc.fill_null(pc.list_value_length(parts), 0).to_numpy()
                np.cumsum(lengths, out=offsets[1:])
                inner = parse_text(self._with_nulls(parts.flatten()), element, CSV_STYLE)
                mask = text.is_null() if text.null_count else None
                values = pa.ListArray.from_arrays(pa.array(offsets), inner.values, mask=mask)
                bad = None
                if inner.bad is not None:
                    owner = np.repeat(np.arange(len(text)), lengths)
                    bad = np.zeros(len(text), np.bool_)
                    bad[owner[inner.bad]] = True
                return Parsed(values.cast(arrow_type(data_type)), bad)
            case RowType():
                return self._row_cells(text, data_type)
            case _:
                return parse_text(text, data_type, CSV_STYLE)

    def _with_nulls(self, text: pa.Array) -> pa.Array:
        if self._dialect.null is None:
            return text
        return pc.if_else(pc.equal(text, text_constant(self._dialect.null)), NO_TEXT, text)

    def _row_cells(self, text: pa.Array, data_type: RowType) -> Parsed:
        text = pc.if_else(pc.equal(text, text_constant("")), NO_TEXT, text)
        if len(data_type.fields) > 1:
            # One text for several fields: Flink writes it, and cannot read it.
            text = self._with_nulls(text)
        parts = pc.split_pattern(text, self._dialect.element)
        width = len(data_type.fields)
        lengths = pc.fill_null(pc.list_value_length(parts), width).to_numpy()
        bad = lengths != width
        parts = pc.if_else(pa.array(~bad), parts, _nulls(width))
        columns = []
        for i, field in enumerate(data_type.fields):
            text_of_field = self._with_nulls(pc.list_element(parts, pa.scalar(i, pa.int32())))
            parsed = parse_text(text_of_field, field.type, CSV_STYLE)
            if parsed.bad is not None:
                bad = bad | parsed.bad
            columns.append(parsed.values)
        mask = text.is_null() if text.null_count else None
        fields = list(arrow_type(data_type))
        values = pa.StructArray.from_arrays(columns, fields=fields, mask=mask)
        return Parsed(values, bad if bad.any() else None)


@lru_cache
def _nulls(width: int) -> pa.ListScalar:
    """A list of so many NULLs."""
    return pa.scalar([None] * width, pa.list_(pa.string()))


def _doubtful(array: pa.Array, data_type: DataType, block: bytes) -> bool:
    """Whether Arrow's reader took something that Flink does not: 1000 for a DECIMAL(5, 2), `nan`."""
    match data_type:
        case DecimalType():
            return not holds_decimals(array)
        case FloatType() | DoubleType():
            finite = pc.all(pc.is_finite(array), min_count=0).as_py()
            return not finite and _ARROWS_OWN.search(block) is not None
        case _:
            return False


def _is_nested(data_type: DataType) -> bool:
    return isinstance(data_type, ArrayType | RowType)


def _has_blank_line(block: bytes) -> bool:
    return block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block


def _shown(text: pa.Array) -> Callable[[int], str]:
    return lambda row: text[row].as_py()
