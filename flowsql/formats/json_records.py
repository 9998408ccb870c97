"""What decoders of JSON lines share: a block at once by Arrow's reader, or record by record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from flowsql.formats.json_values import JsonColumns, RawNumber, as_json_time
from flowsql.formats.parse import TextStyle, holds_decimals, parse_text
from flowsql.formats.rows import BadCells, needs_values, wrong_nulls
from flowsql.formats.text import list_parts
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DecimalType,
    DoubleType,
    Field,
    FloatType,
    IntType,
    MapType,
    MultisetType,
    RowType,
    SmallIntType,
    TinyIntType,
    VarCharType,
    arrow_type,
)
from flowsql.types.common import holds

__all__ = ["NOTHING", "BlockReader", "UnreadableRecordError", "json_columns", "json_value"]

NOTHING: Final = object()

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


class BlockReader:
    """Reads a block of lines, an object each, at once.

    Args:
        fields: the members to read, all of them of every object.
        style: how times are written.

    Attributes:
        able: whether the fields' types allow it; Arrow reads no maps.
    """

    def __init__(self, fields: Sequence[Field], style: TextStyle) -> None:
        self.able = bool(fields) and not any(holds(f.type, MapType | MultisetType) for f in fields)
        self._style = style
        self._floats = any(holds(f.type, FloatType | DoubleType) for f in fields)
        if self.able:
            explicit = pa.schema([pa.field(f.name, _read_as(f.type)) for f in fields])
            self._parse = pajson.ParseOptions(
                explicit_schema=explicit, unexpected_field_behavior="ignore"
            )

    def read(self, block: bytes, lines: int) -> pa.Table | None:
        """The members as read, one row a line; None where the block needs a closer look."""
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
        return table if table.num_rows == lines else None

    def typed(self, array: pa.Array, data_type: DataType) -> pa.Array | None:
        """What was read as values of its type; None where some value needs a closer look."""
        if holds(data_type, DecimalType) and not holds_decimals(array):
            return None
        try:
            column = self._convert(array, data_type)
        except _UnreadableError:
            return None
        if needs_values(data_type) and wrong_nulls(column, data_type) is not None:
            return None
        return column

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
                parsed = parse_text(array, as_json_time(data_type), self._style)
                if parsed.bad is not None:
                    raise _UnreadableError
                return parsed.values


class _UnreadableError(Exception):
    """Some text in the block cannot be read."""


class UnreadableRecordError(Exception):
    """A record is no JSON; says why."""


def json_value(record: bytes, *, last_wins: bool = False) -> Any:
    """The value that a record holds; `NOTHING` where it is blank.

    Args:
        record: its bytes.
        last_wins: of members of the same name the last one counts, not the first.

    Raises:
        UnreadableRecordError: it is no JSON.
    """
    try:
        text = record.decode()
    except UnicodeDecodeError:
        raise UnreadableRecordError("record is not valid UTF-8") from None
    if not text.strip():
        return NOTHING
    try:
        value = _LOADS_LAST(text) if last_wins else _LOADS(text)
        if "\\u" in text:
            # Half of a surrogate pair is no character.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UnreadableRecordError("record has half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        why = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise UnreadableRecordError(f"record is not valid JSON: {why}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableRecordError(f"record is not valid JSON: {error}") from None
    return value


def json_columns(
    objects: Sequence[dict[str, Any]], fields: Sequence[Field], style: TextStyle
) -> tuple[list[pa.Array], BadCells]:
    """A column for each field, of the objects' members of its name, and the cells that do not fit."""
    cells = BadCells(len(objects))
    columns = JsonColumns(style)
    arrays = []
    for field in fields:
        values = [o.get(field.name) for o in objects]
        array, wrong = columns.column(values, field.type)
        cells.add(field, wrong, _shown(values))
        cells.add_nulls(field, array)
        arrays.append(array)
    return arrays, cells


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
_LOADS_LAST = json.JSONDecoder(parse_float=RawNumber, parse_constant=_no_constant).decode


def _shown(values: list[Any]) -> Callable[[int], str]:
    def text(row: int) -> str:
        value = values[row]
        if isinstance(value, str):
            return value
        if isinstance(value, RawNumber):
            return value.raw
        return json.dumps(value, ensure_ascii=False)

    return text


def _read_as(data_type: DataType) -> pa.DataType:
    """The type in which Arrow's reader gets the column."""
    match data_type:
        case ArrayType(element=element):
            return pa.list_(_read_as(element))
        case RowType(fields=fields):
            return pa.struct([pa.field(f.name, _read_as(f.type)) for f in fields])
        case _:
            return arrow_type(data_type) if isinstance(data_type, _DIRECT) else pa.string()
