"""json to rows: Arrow's reader for whole blocks, line by line where a block has a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.formats.format import BadRow, Decoded, Decoder, FormatTable
from flowsql.formats.json_records import (
    NOTHING,
    BlockReader,
    UnreadableRecordError,
    json_columns,
    json_value,
)
from flowsql.formats.parse import TextStyle
from flowsql.formats.records import line_ends
from flowsql.formats.rows import assemble
from flowsql.types import arrow_schema

__all__ = ["JsonDecoder"]


class JsonDecoder(Decoder):
    """Decodes one table's records."""

    def __init__(
        self, table: FormatTable, style: TextStyle, *, fail_on_missing: bool, ignore_errors: bool
    ) -> None:
        self._fields = table.read_schema.fields
        self._schema = arrow_schema(table.read_schema)
        self._style = style
        self._fail_on_missing = fail_on_missing
        self._ignore_errors = ignore_errors
        self._blocks = BlockReader(self._fields, style)
        # Arrow cannot tell a missing field from a NULL one.
        self._fast = self._blocks.able and not fail_on_missing

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
        table = self._blocks.read(block, lines)
        if table is None:
            return None
        columns = []
        for field in self._fields:
            column = table.column(field.name)
            array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
            typed = self._blocks.typed(array, field.type)
            if typed is None:
                return None
            columns.append(typed)
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

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
        arrays, cells = json_columns(objects, self._fields, self._style)
        return assemble(
            pa.RecordBatch.from_arrays(arrays, schema=self._schema),
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


def _objects(record: bytes) -> list[dict[str, Any]] | str:
    """The objects that a record holds, or why it holds none."""
    try:
        value = json_value(record)
    except UnreadableRecordError as error:
        return str(error)
    if value is NOTHING:
        return []
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and all(isinstance(v, dict) for v in value):
        return value
    return "record is not a JSON object"
