"""debezium-json to changes: an envelope a line, read in columns; record by record where one is odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.formats.format import BadRow, Decoded, Decoder, FormatTable
from flowsql.formats.json_records import (
    NOTHING,
    BlockReader,
    UnreadableRecordError,
    json_columns,
    json_value,
)
from flowsql.formats.json_values import JsonColumns
from flowsql.formats.parse import TextStyle
from flowsql.formats.records import line_ends
from flowsql.formats.rows import assemble
from flowsql.types import (
    BigIntType,
    DataType,
    Field,
    LocalZonedTimestampType,
    MapType,
    RowType,
    VarCharType,
    arrow_schema,
    arrow_type,
)

__all__ = ["METADATA", "DebeziumJsonDecoder"]

METADATA: Final[Mapping[str, DataType]] = {
    "schema": VarCharType(),
    "ingestion-timestamp": LocalZonedTimestampType(3),
    "source.timestamp": LocalZonedTimestampType(3),
    "source.database": VarCharType(),
    "source.schema": VarCharType(),
    "source.table": VarCharType(),
    "source.properties": MapType(VarCharType(), VarCharType()),
}

# flowsql.changelog numbers them so, as Flink does.
_INSERT, _UPDATE_BEFORE, _UPDATE_AFTER, _DELETE = range(4)
_OPS = pa.array(["c", "r", "u", "d"])
_UPDATE, _REMOVE = 2, 3
_MAX_MILLIS = (1 << 63) // 1000 - 1
_SHOWN = 60

# Metadata key → the member of "source" that it is.
_OF_SOURCE = {
    "source.timestamp": "ts_ms",
    "source.database": "db",
    "source.schema": "schema",
    "source.table": "table",
}


class DebeziumJsonDecoder(Decoder):
    """Decodes one table's messages; an update gives two rows."""

    def __init__(
        self, table: FormatTable, style: TextStyle, *, schema_include: bool, ignore_errors: bool
    ) -> None:
        self._fields = table.read_schema.fields
        self._metadata = dict(table.metadata)
        known = [Field(name, METADATA[key]) for name, key in self._metadata.items()]
        self._schema = arrow_schema(RowType((*self._fields, *known), nullable=False))
        self._style = style
        self._schema_include = schema_include
        self._ignore_errors = ignore_errors
        self._blocks = BlockReader(self._envelope(), style)
        # Arrow reads no maps, nor a value of any kind as its text.
        self._fast = self._blocks.able and not {"schema", "source.properties"} & set(
            self._metadata.values()
        )

    def split(self, data: bytes, *, last: bool) -> int:
        return line_ends(data, last=last)

    def decode(self, block: bytes) -> Decoded:
        lines = block.count(b"\n") + (not block.endswith(b"\n")) if block else 0
        fast = self._whole(block, lines) if self._fast and block else None
        if fast is not None:
            return fast
        records = block.split(b"\n")
        if not block or block.endswith(b"\n"):
            records.pop()
        return self._records(records)

    def decode_messages(self, messages: Sequence[bytes]) -> Decoded:
        if not any(b"\n" in m for m in messages):
            return self.decode(b"".join(m + b"\n" for m in messages))
        return self._records(messages)

    def _envelope(self) -> list[Field]:
        """The members of a message that are read."""
        row = RowType(self._fields)
        members = [Field("before", row), Field("after", row), Field("op", VarCharType())]
        keys = self._metadata.values()
        if "ingestion-timestamp" in keys:
            members.append(Field("ts_ms", BigIntType()))
        source = [
            Field(member, BigIntType() if member == "ts_ms" else VarCharType())
            for key, member in _OF_SOURCE.items()
            if key in keys
        ]
        if source:
            members.append(Field("source", RowType(tuple(source))))
        return [Field("payload", RowType(tuple(members)))] if self._schema_include else members

    def _whole(self, block: bytes, lines: int) -> Decoded | None:
        """The block at once; None where it needs a closer look."""
        dense, numbers = _without_blank_lines(block, lines)
        if not dense:
            return None
        table = self._blocks.read(dense, len(numbers))
        if table is None:
            return None
        envelope = {n: _joined(table.column(n)) for n in table.column_names}
        if self._schema_include:
            envelope = _members(envelope["payload"])
        ops = pc.index_in(envelope["op"], value_set=_OPS)
        before, after = envelope["before"], envelope["after"]
        if ops.null_count:
            return None
        codes = ops.to_numpy()
        if _lacks(after, codes != _REMOVE) or _lacks(before, codes >= _UPDATE):
            return None
        kinds, owners, places = _changes(codes)
        columns = []
        for field, old, new in zip(self._fields, before.flatten(), after.flatten(), strict=True):
            chosen = new if places is None else pa.concat_arrays([old, new]).take(places)
            typed = self._blocks.typed(chosen, field.type)
            if typed is None:
                return None
            columns.append(typed)
        for name, key in self._metadata.items():
            read = _metadata_column(envelope, key)
            if read is None:
                return None
            columns.append(read.cast(self._schema.field(name).type).take(pa.array(owners)))
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        return Decoded(batch, lines, lines, (), numbers[owners], kinds)

    def _records(self, records: Sequence[bytes]) -> Decoded:
        bad: list[BadRow] = []
        rows: list[dict[str, Any]] = []
        kinds: list[int] = []
        beside: list[list[Any]] = []
        record_of: list[int] = []
        readers = [_READ[key] for key in self._metadata.values()]
        for number, record in enumerate(records):
            try:
                found = [
                    (kind, row, [read(message, payload) for read in readers])
                    for message in _messages(record)
                    for payload in [self._payload(message)]
                    for kind, row in _changes_of(payload, schema_include=self._schema_include)
                ]
            except UnreadableRecordError as error:
                bad.append(BadRow(number, number + 1, record, str(error)))
                continue
            for kind, row, known in found:
                kinds.append(kind)
                rows.append(row)
                beside.append(known)
                record_of.append(number)
        arrays, cells = json_columns(rows, self._fields, self._style)
        columns = JsonColumns(self._style)
        for i, key in enumerate(self._metadata.values()):
            arrays.append(_beside([known[i] for known in beside], METADATA[key], columns))
        return assemble(
            pa.RecordBatch.from_arrays(arrays, schema=self._schema),
            np.array(record_of, np.int64),
            cells,
            bad,
            lambda n: (n + 1, records[n]),
            records=len(records),
            lines=len(records),
            ignore_errors=self._ignore_errors,
            kinds=np.array(kinds, np.int8),
        )

    def _payload(self, value: dict[str, Any]) -> dict[str, Any]:
        if not self._schema_include:
            return value
        payload = value.get("payload")
        if isinstance(payload, dict):
            return payload
        if "payload" not in value and "op" in value:
            raise UnreadableRecordError(
                "record has no \"payload\": 'debezium-json.schema-include' must be 'false'"
            )
        raise UnreadableRecordError('"payload" is not a JSON object')


def _messages(record: bytes) -> list[dict[str, Any]]:
    """The messages of a record: one, or those of a list; none in a tombstone.

    Raises:
        UnreadableRecordError: it holds something else.
    """
    value = json_value(record, last_wins=True)
    if value is NOTHING:
        # It follows a delete, which says all.
        return []
    messages = value if isinstance(value, list) else [value]
    if not all(isinstance(m, dict) for m in messages):
        raise UnreadableRecordError("record is not a JSON object")
    return messages


def _without_blank_lines(block: bytes, lines: int) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The block without tombstones, and int64[n], the number of each line that is left."""
    if not block.startswith(b"\n") and b"\n\n" not in block:
        return block, np.arange(lines)
    data = np.frombuffer(block, np.uint8)
    newline = data == ord("\n")
    blank = newline.copy()
    blank[1:] &= newline[:-1]
    # The line that a newline ends is the number of newlines before it.
    empty = np.cumsum(newline)[blank] - 1
    numbers = np.delete(np.arange(lines), empty)
    return data[~blank].tobytes(), numbers


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _members(struct: pa.StructArray) -> dict[str, pa.Array]:
    """The members of objects by name; NULL where the object is."""
    return dict(zip((f.name for f in struct.type), struct.flatten(), strict=True))


def _lacks(rows: pa.Array, needed: npt.NDArray[np.bool_]) -> bool:
    """Whether one of the needed rows is NULL."""
    there = rows.is_valid().to_numpy(zero_copy_only=False)
    return bool((needed & ~there).any())


def _changes(
    codes: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int8] | None, npt.NDArray[np.int64], pa.Array | None]:
    """Of n messages' places in `_OPS`: kinds, message and place of each row.

    The place is within all "before" and, behind them, all "after"; None where it is all "after".
    An update is two rows, -U and +U.
    """
    n = len(codes)
    if not (codes >= _UPDATE).any():
        return None, np.arange(n), None
    owners = np.repeat(np.arange(n), np.where(codes == _UPDATE, 2, 1))
    ops = codes[owners]
    second = np.zeros(len(owners), np.bool_)
    second[1:] = owners[1:] == owners[:-1]
    kinds = np.full(len(owners), _INSERT, np.int8)
    kinds[ops == _UPDATE] = _UPDATE_BEFORE
    kinds[second] = _UPDATE_AFTER
    kinds[ops == _REMOVE] = _DELETE
    places = owners + np.where((kinds == _UPDATE_BEFORE) | (kinds == _DELETE), 0, n)
    return kinds, owners, pa.array(places)


def _metadata_column(envelope: Mapping[str, pa.Array], key: str) -> pa.Array | None:
    """A metadata column of a block; None where a value needs a closer look."""
    if key == "ingestion-timestamp":
        return _moments(envelope["ts_ms"])
    member = _members(envelope["source"])[_OF_SOURCE[key]]
    return _moments(member) if key == "source.timestamp" else member


def _moments(millis: pa.Array) -> pa.Array | None:
    if not len(millis) or millis.null_count == len(millis):
        return millis.cast(pa.timestamp("ms", "UTC"))
    span = pc.min_max(millis).as_py()
    if not -_MAX_MILLIS <= span["min"] <= span["max"] <= _MAX_MILLIS:
        return None
    return millis.cast(pa.timestamp("ms", "UTC"))


def _changes_of(
    payload: dict[str, Any], *, schema_include: bool
) -> list[tuple[int, dict[str, Any]]]:
    """Kind and row of each change that a message tells.

    Raises:
        UnreadableRecordError: it tells none.
    """
    op = payload.get("op")
    match op:
        case "c" | "r":
            return [(_INSERT, _row(payload, "after", op))]
        case "u":
            return [
                (_UPDATE_BEFORE, _row(payload, "before", op)),
                (_UPDATE_AFTER, _row(payload, "after", op)),
            ]
        case "d":
            return [(_DELETE, _row(payload, "before", op))]
        case None if "payload" in payload and not schema_include:
            raise UnreadableRecordError(
                "record has a \"payload\": 'debezium-json.schema-include' must be 'true'"
            )
        case None:
            raise UnreadableRecordError('"op" is missing')
        case "t":
            raise UnreadableRecordError(
                '"op" is "t", a TRUNCATE: which rows it takes away is not known'
            )
        case _:
            shown = str(op) if len(str(op)) <= _SHOWN else f"{str(op)[:_SHOWN]}…"
            raise UnreadableRecordError(f'"op" is "{shown}", which is none of c, r, u and d')


def _row(payload: dict[str, Any], member: str, op: str) -> dict[str, Any]:
    row = payload.get(member)
    if isinstance(row, dict):
        return row
    if row is not None:
        raise UnreadableRecordError(f'"{member}" is not a JSON object')
    what = {"u": "an update", "d": "a delete"}.get(op, "an insert")
    cure = ""
    if member == "before":
        cure = "; in PostgreSQL it is there after ALTER TABLE … REPLICA IDENTITY FULL"
    raise UnreadableRecordError(f'"{member}" of {what} is null{cure}')


def _source(payload: dict[str, Any]) -> dict[str, Any]:
    source = payload.get("source")
    if source is not None and not isinstance(source, dict):
        raise UnreadableRecordError('"source" is not a JSON object')
    return source or {}


def _moment(value: Any) -> int | None:
    """Milliseconds of a number or of its text."""
    if value is None:
        return None
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            millis = int(value)
        except ValueError:
            millis = _MAX_MILLIS + 1
        if abs(millis) <= _MAX_MILLIS:
            return millis
    raise UnreadableRecordError(
        f'"ts_ms" is "{str(value)[:_SHOWN]}", which is no number of milliseconds'
    )


def _properties(value: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any] | None:
    del value
    return None if payload.get("source") is None else _source(payload)


_READ: Final[Mapping[str, Callable[[dict[str, Any], dict[str, Any]], Any]]] = {
    "schema": lambda value, _: value.get("schema"),
    "ingestion-timestamp": lambda _, payload: _moment(payload.get("ts_ms")),
    "source.timestamp": lambda _, payload: _moment(_source(payload).get("ts_ms")),
    "source.database": lambda _, payload: _source(payload).get("db"),
    "source.schema": lambda _, payload: _source(payload).get("schema"),
    "source.table": lambda _, payload: _source(payload).get("table"),
    "source.properties": _properties,
}


def _beside(values: list[Any], data_type: DataType, columns: JsonColumns) -> pa.Array:
    """A metadata column of values as `_READ` gives them."""
    if isinstance(data_type, LocalZonedTimestampType):
        return pa.array(values, pa.timestamp("ms", "UTC")).cast(arrow_type(data_type))
    # Text takes any value.
    return columns.column(values, data_type)[0]
