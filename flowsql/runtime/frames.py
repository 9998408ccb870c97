"""What passes between the engine and a reader in a process of its own.

A frame is a header, JSON, and behind it a payload: Arrow record batches one after the other, whose
schemas are told once. Nothing else passes, so that neither side can execute what the other sends.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from flowsql import errors
from flowsql.changelog import Changes
from flowsql.connector import JSON, BadRecord, Emptied, Piece, Poll, SourceStatus
from flowsql.errors import FlowSQLError, InternalError

__all__ = ["Packer", "Unpacker", "error_json", "error_of", "packed", "receive", "send", "unpacked"]

_LENGTHS = struct.Struct("<QQ")


def send(channel: socket.socket, header: JSON, payload: Iterable[Any] = ()) -> None:
    """Send a frame; raises OSError where nobody reads."""
    text = json.dumps(header).encode()
    parts = list(payload)
    size = sum(len(p) for p in parts)
    channel.sendall(_LENGTHS.pack(len(text), size) + text)
    for part in parts:
        channel.sendall(part)


def receive(channel: socket.socket) -> tuple[JSON, pa.Buffer | None]:
    """The next frame.

    Raises:
        EOFError: the other side is gone.
    """
    header, payload = _LENGTHS.unpack(_exactly(channel, memoryview(bytearray(_LENGTHS.size))))
    text = _exactly(channel, memoryview(bytearray(header)))
    body = None
    if payload:
        body = pa.allocate_buffer(payload)
        _exactly(channel, memoryview(body).cast("B"))
    return json.loads(bytes(text)), body


def _exactly(channel: socket.socket, room: memoryview) -> memoryview:
    rest = room
    while rest:
        try:
            got = channel.recv_into(rest, len(rest), socket.MSG_WAITALL)
        except ConnectionError:
            got = 0
        if got == 0:
            raise EOFError
        rest = rest[got:]
    return room


def packed(changes: Changes) -> pa.RecordBatch:
    """The changes as one batch: the columns, the kinds if there are any, then masks of unchanged."""
    unchanged = changes.unchanged or {}
    if changes.codes is None and not unchanged:
        return changes.batch
    columns, fields = list(changes.batch.columns), list(changes.batch.schema)
    if changes.codes is not None:
        columns.append(pa.array(changes.codes, pa.int8()))
        fields.append(pa.field("__kind", pa.int8()))
    for name, mask in unchanged.items():
        columns.append(pa.array(mask))
        fields.append(pa.field(f"__unchanged_{name}", pa.bool_()))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def unpacked(batch: pa.RecordBatch, unchanged: tuple[str, ...], *, has_kinds: bool) -> Changes:
    """What `packed` gave.

    Args:
        batch: its answer.
        unchanged: columns of which there are masks, in order.
        has_kinds: there are kinds.
    """
    if not has_kinds and not unchanged:
        return Changes(batch)
    width = batch.num_columns - len(unchanged) - has_kinds
    kinds = batch.column(width).to_numpy() if has_kinds else None
    masks = {
        name: batch.column(width + has_kinds + i).to_numpy(zero_copy_only=False)
        for i, name in enumerate(unchanged)
    }
    return Changes(batch.select(range(width)), kinds, masks or None)


class Packer:
    """Polls as frames."""

    def __init__(self) -> None:
        self._schemas: dict[pa.Schema, int] = {}

    def pack(
        self, poll: Poll, positions: Mapping[str, JSON], status: SourceStatus | None
    ) -> tuple[JSON, list[pa.Buffer]]:
        """Header and payload."""
        pieces: list[list[Any]] = []
        schemas: dict[str, str] = {}
        buffers = []
        for piece in poll.pieces:
            if isinstance(piece, Emptied):
                pieces.append([piece.table, piece.split, None, False, [], 0])
                continue
            batch = packed(piece.changes)
            number = self._schemas.get(batch.schema)
            if number is None:
                number = self._schemas[batch.schema] = len(self._schemas)
                text = base64.b64encode(batch.schema.serialize().to_pybytes()).decode()
                schemas[str(number)] = text
            buffers.append(batch.serialize())
            masked = list(piece.changes.unchanged or ())
            has_kinds = piece.changes.codes is not None
            pieces.append([piece.table, piece.split, number, has_kinds, masked, len(buffers[-1])])
        header = {
            "pieces": pieces,
            "schemas": schemas,
            "bad": [
                [b.table, b.place, base64.b64encode(b.raw).decode(), b.reason] for b in poll.bad
            ],
            "boundary": poll.boundary,
            "finished": dict(poll.finished),
            "consistent": poll.consistent,
            "lag_ms": poll.lag_ms,
            "ends_step": poll.ends_step,
            "watermarks": dict(poll.watermarks),
            "positions": dict(positions),
            "status": None if status is None else asdict(status),
        }
        return header, buffers


class Unpacker:
    """Frames as polls."""

    def __init__(self) -> None:
        self._schemas: dict[int, pa.Schema] = {}

    def unpack(self, header: JSON, payload: pa.Buffer | None) -> Poll:
        """What `Packer.pack` was given."""
        for number, text in header["schemas"].items():
            message = pa.py_buffer(base64.b64decode(text))
            self._schemas[int(number)] = pa.ipc.read_schema(message)
        pieces: list[Piece | Emptied] = []
        at = 0
        for table, split, number, has_kinds, masked, size in header["pieces"]:
            if number is None:
                pieces.append(Emptied(table, split))
                continue
            assert payload is not None
            batch = pa.ipc.read_record_batch(payload.slice(at, size), self._schemas[number])
            at += size
            changes = unpacked(batch, tuple(masked), has_kinds=has_kinds)
            pieces.append(Piece(table, split, changes))
        return Poll(
            tuple(pieces),
            tuple(BadRecord(t, p, base64.b64decode(raw), why) for t, p, raw, why in header["bad"]),
            header["boundary"],
            header["finished"],
            header["consistent"],
            header["lag_ms"],
            header["ends_step"],
            header["watermarks"],
        )


def error_json(error: BaseException) -> JSON:
    """An error as data; a foreign exception is our own mistake, or the system's."""
    if not isinstance(error, FlowSQLError):
        if isinstance(error, OSError):
            made: FlowSQLError = errors.ConnectorError(f"could not go on: {error}")
        else:
            made = InternalError(
                f"unexpected {type(error).__name__}: {error}",
                hint="Please report it with the output of --debug.",
            )
        error = made
    return {
        "class": type(error).__name__,
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
        "option": error.option,
        "final": error.final,
    }


def error_of(data: JSON) -> FlowSQLError:
    """The error that `error_json` gave; its class is one of ours whatever the data say."""
    found = getattr(errors, str(data["class"]), None)
    kind = found if isinstance(found, type) and issubclass(found, FlowSQLError) else InternalError
    return kind(
        data["message"],
        detail=data["detail"],
        hint=data["hint"],
        option=data["option"],
        final=data["final"],
    )
