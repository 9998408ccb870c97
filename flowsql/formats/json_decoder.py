"""json to rows: Arrow's reader for whole blocks, line by line where a block has a bad one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from flowsql.formats.format import BadRow, Decoded, Decoder, FormatTable
from flowsql.formats.json_values import JsonColumns, RawNumber
from flowsql.formats.parse import TextStyle, holds_decimals, parse_text
from flowsql.formats.records import line_ends
from flowsql.formats.rows import BadCells, assemble, needs_values, wrong_nulls
from flowsql.formats.text import list_parts
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntType,
    MapType,
    MultisetType,
    RowType,
    SmallIntType,
    TinyIntType,
    VarCharType,
    arrow_schema,
    arrow_type,
)

__all__ = ["JsonDecoder"]

_DIRECT = (
    TinyIntType,
    SmallIntType,
    IntType,
    BigIntType,
    FloatType,
    DoubleType,
    DecimalType,
    BooleanType,
    VarCharType,
    CharType,
)
_MAYBE_MINUS_ZERO = re.compile(rb"-0[,}\]\s]")
_MINUS_ZERO = re.compile(rb"[:\[,]\s*-0\s*[,}\]]")
_NEWLINE, _BRACE = b"\n{"


class JsonDecoder(Decoder):
    """Decodes one table's records."""

    def __init__(
        self, table: FormatTable, style: TextStyle, *, fail_on_missing: bool, ignore_errors: bool
    ) -> None:
        self._fields = table.read_schema.fields
        self._needed = [i for i, f in enumerate(self._fields) if needs_values(f.type)]
        self._schema = arrow_schema(table.read_schema)
        self._style = style
        self._fail_on_missing = fail_on_missing
        self._ignore_errors = ignore_errors
        # Arrow reads no maps and cannot tell a missing field from a NULL one.
        self._fast = (
            bool(self._fields)
            and not fail_on_missing
            and not any(_holds(f.type, MapType | MultisetType) for f in self._fields)
        )
        self._floats = any(_holds(f.type, FloatType | DoubleType) for f in self._fields)
        if self._fast:
            explicit = pa.schema([pa.field(f.name, _read_as(f.type)) for f in self._fields])
            self._parse = pajson.ParseOptions(
                explicit_schema=explicit, unexpected_field_behavior="ignore"
            )

    def split(self, data: bytes, *, last: bool) -> int:
        return line_ends(data, last=last)

    def decode(self, block: bytes) -> Decoded:
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        if not block:
            return Decoded(pa.RecordBatch.from_pylist([], schema=self._schema), 0, 0)
        fast = self._whole(block, lines) if self._fast else None
        if fast is not None:
            return Decoded(fast, lines, lines)
        records = block.split(b"\n")
        if block.endswith(b"\n"):
            records.pop()
        return self._records(records)

    def decode_messages(self, messages: Sequence[bytes]) -> Decoded:
        if not any(b"\n" in m for m in messages):
            return self.decode(b"\n".join(messages) + b"\n")
        return self._records(messages)

    def _whole(self, block: bytes, lines: int) -> pa.RecordBatch | None:
        """The block at once; None where it needs a closer look."""
        if _doubtful(block) or (self._floats and _has_minus_zero(block)):
            return None
        try:
            # Arrow does not check the encoding.
            str(block, "utf-8")
            table = pajson.read_json(
                pa.BufferReader(block),
                read_options=pajson.ReadOptions(use_threads=False, block_size=len(block) + 1),
                parse_options=self._parse,
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        if table.num_rows != lines:
            return None
        columns = []
        for field in self._fields:
            column = table.column(field.name)
            array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
            if _holds(field.type, DecimalType) and not holds_decimals(array):
                return None
            try:
                columns.append(self._convert(array, field.type))
            except _UnreadableError:
                return None
        for i in self._needed:
            if wrong_nulls(columns[i], self._fields[i].type) is not None:
                return None
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _convert(self, array: pa.Array, data_type: DataType) -> pa.Array:
        """What was read as text becomes what it says."""
        target = arrow_type(data_type)
        if array.type == target:
            return array
        match data_type:
            case ArrayType(element=element):
                offsets, flat = list_parts(array)
                mask = array.is_null() if array.null_count else None
                inner = self._convert(flat, element)
                lists = pa.ListArray.from_arrays(pa.array(offsets), inner, mask=mask)
                return lists.cast(target)
            case RowType(fields=fields):
                inner = [
                    self._convert(a, f.type) for a, f in zip(array.flatten(), fields, strict=True)
                ]
                mask = array.is_null() if array.null_count else None
                return pa.StructArray.from_arrays(inner, fields=list(target), mask=mask)
            case _:
                parsed = parse_text(array, data_type, self._style)
                if parsed.bad is not None:
                    raise _UnreadableError
                return parsed.values

    def _records(self, records: Sequence[bytes]) -> Decoded:
        bad: list[BadRow] = []
        objects: list[dict[str, Any]] = []
        record_of: list[int] = []
        for number, record in enumerate(records):
            found = _objects(record)
            if isinstance(found, str):
                bad.append(BadRow(number, number + 1, record, found))
                continue
            missing = self._missing(found) if self._fail_on_missing else None
            if missing is not None:
                bad.append(BadRow(number, number + 1, record, f'field "{missing}" is missing'))
                continue
            objects.extend(found)
            record_of.extend([number] * len(found))
        cells = BadCells(len(objects))
        columns = JsonColumns(self._style)
        arrays = []
        for field in self._fields:
            values = [o.get(field.name) for o in objects]
            array, wrong = columns.column(values, field.type)
            cells.add(field, wrong, _shown(values))
            cells.add_nulls(field, array)
            arrays.append(array)
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return assemble(
            batch,
            np.array(record_of, np.int64),
            cells,
            bad,
            lambda n: (n + 1, records[n]),
            records=len(records),
            lines=len(records),
            ignore_errors=self._ignore_errors,
        )

    def _missing(self, objects: list[dict[str, Any]]) -> str | None:
        for item in objects:
            for field in self._fields:
                if field.name not in item:
                    return field.name
        return None


class _UnreadableError(Exception):
    """Some text in the block cannot be read."""


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


def _doubtful(block: bytes) -> bool:
    """Whether Arrow may read the block otherwise than Flink.

    That is where a number is none, and where a line does not begin an object: Arrow passes over
    blank lines, takes a `null` for an object, and at the block's begin even crashes on it.
    """
    if b"NaN" in block or b"Inf" in block:
        return True
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = ends[ends < len(data) - 1] + 1
    return bool(data[0] != _BRACE or (data[starts] != _BRACE).any())


def _has_minus_zero(block: bytes) -> bool:
    """Whether there may be a -0, which is the integer 0 and no -0.0."""
    return (
        b"-0" in block
        and _MAYBE_MINUS_ZERO.search(block) is not None
        and _MINUS_ZERO.search(block) is not None
    )


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


_LOADS = json.JSONDecoder(
    parse_float=RawNumber, parse_constant=_no_constant, object_pairs_hook=_first_wins
).decode


def _objects(record: bytes) -> list[dict[str, Any]] | str:
    """The objects that a record holds, or why it holds none."""
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return "record is not valid UTF-8"
    if not text.strip():
        return []
    try:
        value = _LOADS(text)
        if "\\u" in text:
            # Half of a surrogate pair is no character.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "record has half of a surrogate pair"
    except json.JSONDecodeError as error:
        return f"record is not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    except (ValueError, RecursionError) as error:
        return f"record is not valid JSON: {error}"
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and all(isinstance(v, dict) for v in value):
        return value
    return "record is not a JSON object"


def _shown(values: list[Any]) -> Callable[[int], str]:
    def text(row: int) -> str:
        value = values[row]
        if isinstance(value, str):
            return value
        if isinstance(value, RawNumber):
            return value.raw
        return json.dumps(value, ensure_ascii=False)

    return text


def _holds(data_type: DataType, kinds: type[DataType] | UnionType) -> bool:
    """Whether the type is of one of these kinds, or holds one."""
    match data_type:
        case _ if isinstance(data_type, kinds):
            return True
        case ArrayType(element=element):
            return _holds(element, kinds)
        case MapType(key=key, value=value):
            return _holds(key, kinds) or _holds(value, kinds)
        case RowType(fields=fields):
            return any(_holds(f.type, kinds) for f in fields)
        case _:
            return False


def _read_as(data_type: DataType) -> pa.DataType:
    """The type in which Arrow's reader gets the column."""
    match data_type:
        case ArrayType(element=element):
            return pa.list_(_read_as(element))
        case RowType(fields=fields):
            return pa.struct([pa.field(f.name, _read_as(f.type)) for f in fields])
        case _:
            return arrow_type(data_type) if isinstance(data_type, _DIRECT) else pa.string()
