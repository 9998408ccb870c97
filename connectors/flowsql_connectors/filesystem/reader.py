"""Reads files, batch by batch, each from any row on."""

from __future__ import annotations

import codecs
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa

from flowsql.changelog import MAX_ROWS, Changes
from flowsql.connector import (
    JSON,
    BadRecord,
    ConnectorTable,
    Piece,
    Poll,
    Reader,
    SourceStatus,
    Split,
)
from flowsql.errors import ConnectorError
from flowsql.formats import BulkReader, Decoded, Decoder, find_format
from flowsql.types import arrow_schema, arrow_type
from flowsql_connectors.filesystem.connector import FilesystemConnector, file_table
from flowsql_connectors.filesystem.partitions import partition_value
from flowsql_connectors.filesystem.paths import readable
from flowsql_connectors.filesystem.stamps import RENAME, Stamp, changed

__all__ = ["FilesystemReader"]

_FORMAT = 1
# Large enough that a block costs much more than the calls to decode it.
_BLOCK = 2 << 20
_COMPRESSED = (".gz", ".gzip", ".deflate", ".bz2", ".xz", ".zst")


class FilesystemReader(Reader):
    """Reads its files one after the other, in the order in which they were assigned."""

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table
        self._format = find_format(table.options["format"])
        # Rows of one record: the halves of an update stay together.
        self._most = 2 if self._format.changelog else 1
        self._columns = _Columns(table)
        self._decoder = None if self._format.bulk else self._format.decoder(self._columns.inside)
        self._waiting: list[tuple[Split, JSON | None, float]] = []
        self._since = 0.0
        self._watched = table.options["source.monitor-interval"] is not None
        self._split: Split | None = None
        self._file: _File | None = None
        self._positions: dict[str, JSON] = {}
        self._idle = threading.Event()
        # Bytes of files that are read to their end.
        self._done = 0

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            stamp = Stamp.read(split.payload)
            if position is not None:
                known = (position.get("connector"), position.get("format"))
                if known != ("filesystem", _FORMAT):
                    raise ConnectorError(
                        f'the stored position of "{readable(split.payload["path"])}" cannot be read',
                        detail=f"It was written by {known[0]!r}, format {known[1]!r}.",
                    )
                had = Stamp.read(position)
                if had.differs(stamp):
                    raise _changed(split.payload["path"], had, stamp, ", and cannot be read on")
            start = {"format": _FORMAT, "connector": "filesystem", **stamp.json()}
            self._positions[split.id] = position or start
            self._waiting.append((split, position, time.monotonic()))

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        room = min(max_rows, MAX_ROWS)
        pieces: list[Piece] = []
        bad: list[BadRecord] = []
        finished: dict[str, JSON] = {}
        while room >= (self._most if pieces else 1) and (file := self._current()) is not None:
            split = self._split
            assert split is not None
            chunk = file.read(room)
            if chunk is None:
                finished[split.id] = Stamp.read(split.payload).json()
                self._done += split.payload["size"]
                file.close()
                self._file = self._split = None
                continue
            changes, wrong = chunk
            bad.extend(wrong)
            if len(changes):
                pieces.append(Piece(self._table.name, split.id, changes))
                room -= len(changes)
            self._positions[split.id] = {**self._positions[split.id], **file.position()}
        if not pieces and not bad and not finished:
            self._idle.wait(timeout)
            return None
        return Poll(tuple(pieces), tuple(bad), finished=finished, lag_ms=self._lag())

    def _lag(self) -> int | None:
        """For how long the file that is read, or the next, has been known; 0 if there is none."""
        if not self._watched:
            return None
        if self._file is None and not self._waiting:
            return 0
        since = self._since if self._file is not None else self._waiting[0][2]
        return int((time.monotonic() - since) * 1000)

    def position(self, split: str) -> JSON:
        return self._positions[split]

    def status(self) -> SourceStatus | None:
        if self._watched:
            return None
        begun = 0.0
        if self._file is not None and self._split is not None:
            begun = self._file.share() * self._split.payload["size"]
        return SourceStatus(read_bytes=self._done + round(begun))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _check_name(self, path: str) -> None:
        """Refuses what Flink decompresses by its name: its bytes would be bad records."""
        if self._decoder is not None and path.endswith(_COMPRESSED):
            raise ConnectorError(
                f'"{readable(path)}" is compressed (table "{self._table.name}"), which is not supported yet',
                hint="Decompress it, or leave it out with 'source.path.regex-pattern'.",
            )

    def _current(self) -> _File | None:
        """The file being read, the next one where the last is at its end."""
        if self._file is None and self._waiting:
            self._split, position, self._since = self._waiting.pop(0)
            finish = self._columns.finish(self._split)
            path = self._split.payload["path"]
            self._check_name(path)
            try:
                handle = Path(path).open("rb")  # noqa: SIM115 - read over many polls
            except OSError as error:
                raise ConnectorError(
                    f'could not open "{readable(path)}" (table "{self._table.name}"): {error.strerror}',
                    hint="A file must stay until it is read, and be readable.",
                ) from None
            held = _Held(handle, path, Stamp.read(self._split.payload))
            try:
                held.check()
                if self._decoder is None:
                    bulk = self._format.reader(path, self._columns.inside)
                    self._file = _BulkFile(held, bulk, finish, position or {})
                else:
                    self._file = _TextFile(
                        held, self._decoder, finish, position or {}, table=self._table.name
                    )
            except BaseException:
                handle.close()
                raise
        return self._file


def _changed(path: str, had: Stamp, has: Stamp, more: str = "") -> ConnectorError:
    hint = f"Files must be complete when they get their name. {RENAME}"
    return changed(path, had, has, when=f"while it was being read{more}", hint=hint)


@dataclass(slots=True)
class _Held:
    """A file that is open, and what it was like when it was found."""

    handle: BinaryIO
    path: str
    stamp: Stamp

    def check(self) -> None:
        """Raises ConnectorError if it was written since."""
        has = Stamp.of(os.fstat(self.handle.fileno()))
        if self.stamp.differs(has):
            raise _changed(self.path, self.stamp, has)

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        try:
            return self.handle.read(size)
        except OSError as error:
            raise ConnectorError(
                f'could not read "{readable(self.path)}": {error.strerror}'
            ) from None


class _File(Protocol):
    """One open file."""

    def read(self, rows: int) -> tuple[Changes, list[BadRecord]] | None:
        """At most `rows` rows (all of one record at least), or None at the end."""

    def position(self) -> JSON:
        """Where the next `read` begins."""

    def share(self) -> float:
        """About how much of the file is read."""

    def close(self) -> None:
        """Let go of it."""


class _BulkFile:
    """Position: the number of rows read or passed over."""

    def __init__(self, held: _Held, bulk: BulkReader, finish: _Finish, position: JSON) -> None:
        self._held = held
        self._bulk = bulk
        self._finish = finish
        self._row = int(position.get("row", 0))
        self._batches: Iterator[tuple[int, pa.RecordBatch]] | None = None
        self._rest: tuple[int, pa.RecordBatch] | None = None

    def read(self, rows: int) -> tuple[Changes, list[BadRecord]] | None:
        if self._batches is None:
            self._batches = self._bulk.batches(self._row, MAX_ROWS)
        try:
            found = self._rest if self._rest is not None else next(self._batches, None)
        except ConnectorError:
            # What looks damaged may have been written over.
            self._held.check()
            raise
        if found is None:
            self._held.check()
            return None
        start, batch = found
        self._rest = (start + rows, batch.slice(rows)) if batch.num_rows > rows else None
        batch = batch.slice(0, rows)
        self._row = start + batch.num_rows
        return Changes(self._finish(batch)), []

    def position(self) -> JSON:
        return {"row": self._row}

    def share(self) -> float:
        return self._row / max(1, self._bulk.rows)

    def close(self) -> None:
        self._batches = None
        self._bulk.close()
        self._held.handle.close()


@dataclass(slots=True)
class _Block:
    """A decoded block, and how far it was handed out."""

    offset: int
    line: int
    length: int
    decoded: Decoded
    record: int = 0


class _TextFile:
    """Position: the byte at which a block begins, its line, and records to skip in it."""

    def __init__(
        self, held: _Held, decoder: Decoder, finish: _Finish, position: JSON, *, table: str
    ) -> None:
        self._held = held
        self._decoder = decoder
        self._finish = finish
        self._table = table
        self._offset = int(position.get("offset", 0))
        self._line = int(position.get("line", 0))
        self._skip = int(position.get("skip", 0))
        self._buffer = b""
        self._end = False
        self._block: _Block | None = None
        held.handle.seek(self._offset)

    def read(self, rows: int) -> tuple[Changes, list[BadRecord]] | None:
        block = self._next_block()
        if block is None:
            return None
        decoded = block.decoded
        total = decoded.batch.num_rows
        if decoded.record_of is None:
            first, last = block.record, min(block.record + rows, total)
            record = last
        else:
            owners = decoded.record_of
            first = int(np.searchsorted(owners, block.record))
            last = min(first + rows, total)
            if first < last < total:
                # All rows of a record stay together.
                start = int(np.searchsorted(owners, owners[last]))
                last = (
                    start if start > first else int(np.searchsorted(owners, owners[last], "right"))
                )
            record = int(owners[last]) if last < total else decoded.records
        place = readable(self._held.path)
        bad = [
            BadRecord(self._table, f"{place}:{block.line + b.line}", b.raw, b.reason)
            for b in decoded.bad
            if block.record <= b.record < record
        ]
        block.record = record
        batch = self._finish(decoded.batch.slice(first, last - first))
        kinds = None if decoded.kinds is None else decoded.kinds[first:last]
        return Changes(batch, kinds), bad

    def position(self) -> JSON:
        block = self._block
        if block is None:
            return {"offset": self._offset, "line": self._line, "skip": self._skip}
        if block.record >= block.decoded.records:
            return {"offset": self._offset, "line": self._line, "skip": 0}
        return {"offset": block.offset, "line": block.line, "skip": block.record}

    def share(self) -> float:
        return min(1.0, self._offset / max(1, self._held.stamp.size))

    def close(self) -> None:
        self._held.handle.close()

    def _next_block(self) -> _Block | None:
        """The block being handed out, or the next that has a record left."""
        while self._block is None or self._block.record >= self._block.decoded.records:
            data = self._whole_records()
            if not data:
                self._block = None
                return None
            decoded = self._decoder.decode(data)
            self._block = _Block(self._offset, self._line, len(data), decoded, self._skip)
            self._skip = max(0, self._skip - decoded.records)
            self._offset += len(data)
            self._line += decoded.lines
        return self._block

    def _whole_records(self) -> bytes:
        wanted = _BLOCK
        while True:
            if not self._end and len(self._buffer) < wanted:
                more = self._held.read(wanted - len(self._buffer))
                self._end = len(more) < wanted - len(self._buffer)
                if self._end:
                    # Before the last record is taken for a whole one.
                    self._held.check()
                self._buffer += more
                if self._offset == 0 and self._buffer.startswith(codecs.BOM_UTF8):
                    self._offset = len(codecs.BOM_UTF8)
                    self._buffer = self._buffer[self._offset :]
            length = self._decoder.split(self._buffer, last=self._end)
            if length or self._end:
                data, self._buffer = self._buffer[:length], self._buffer[length:]
                return data
            # One record fills the whole block.
            wanted *= 2


class _Finish(Protocol):
    """Puts what stands outside the file beside what was read of it."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch: ...


class _Columns:
    """Which columns come from the file, from its path and from its metadata."""

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table
        inside = file_table(table)
        if not find_format(table.options["format"]).bulk:
            decoded = tuple(c for c in table.decoded if c in inside.schema.names)
            inside = replace(inside, columns=decoded)
        if not inside.columns:
            # The number of rows is known only by reading some column.
            inside = replace(inside, columns=inside.schema.names[:1])
        self.inside = inside
        self._outside = {n: k for n, k in table.metadata.items() if n not in inside.metadata}
        metadata = FilesystemConnector().metadata_of(table.options)
        fields = list(arrow_schema(table.read_schema))
        for name, key in table.metadata.items():
            fields.append(pa.field(name, arrow_type(metadata[key])))
        self._schema = pa.schema(fields)
        self._plain = self._schema.names == [*inside.columns, *inside.metadata]

    def finish(self, split: Split) -> _Finish:
        """A function for the batches of one file."""
        if self._plain:
            return lambda batch: batch
        constants = self._constants(split)
        names = self._schema.names

        def finish(batch: pa.RecordBatch) -> pa.RecordBatch:
            for name, value in constants.items():
                batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
            return batch.select(names)

        return finish

    def _constants(self, split: Split) -> dict[str, pa.Scalar]:
        table = self._table
        constants = {}
        for key in table.partition_keys:
            if key in table.columns:
                constants[key] = self._partition_value(key, split)
        path = Path(split.payload["path"])
        known = {
            "file.path": readable(str(path)),
            "file.name": readable(path.name),
            "file.size": split.payload["size"],
            "file.modification-time": split.payload["mtime_ms"] * 1000,
        }
        for name, key in self._outside.items():
            kind = self._schema.field(name).type
            storage = pa.int64() if pa.types.is_timestamp(kind) else kind
            constants[name] = pa.array([known[key]], storage).view(kind)[0]
        return constants

    def _partition_value(self, key: str, split: Split) -> pa.Scalar:
        text = split.payload["partition"][key]
        kind = self._table.schema.fields[self._table.schema.index(key)].type
        value = partition_value(text, kind)
        if value is None:
            raise ConnectorError(
                f'partition "{key}={text}" of table "{self._table.name}" cannot be read as {kind}',
                detail=f"It is in the path of {readable(split.payload['path'])}.",
            )
        return value
