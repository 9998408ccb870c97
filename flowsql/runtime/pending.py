"""Output that is held back: on disk from the first day, delivered within one step.

While the snapshot of a source group is being read, what is meant for sinks is kept here. Rows are
kept as they came as long as none is taken away: there is nothing to net. Then they are written in
pieces sorted by key group, so that they can be netted a key group at a time when they are delivered:
memory holds one of 128 groups.

A file is an Arrow IPC file with the sink's columns and, last, `__kind`. It never changes again: a
checkpoint holds it by a hard link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog import KEY_GROUPS, MAX_ROWS, Changes, Keys, concat_changes, split_changes
from flowsql.checkpoint import Checkpoint, SegmentEntry
from flowsql.connector import link, open_for_write, remove
from flowsql.types import DataType

__all__ = ["PendingOutput"]

_FLUSH_BYTES = 32 << 20
_TABLE = "pending"
# Instead of a key group: rows of all groups, in order of arrival.
_ANY = -1


class PendingOutput:
    """The held-back changes of one sink.

    Args:
        folder: where the files stand.
        name: begins the files' names; unique in the folder.
        types: of the sink's columns.
        key: columns whose key group a row belongs to; None where rows are only appended.
        net: nets the rows of one key group, of which all are given.
        last_wins: of the added rows of a key only the last counts.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        types: Sequence[DataType],
        key: Sequence[int] | None,
        net: Callable[[Changes], Changes | None],
        *,
        last_wins: bool = False,
    ) -> None:
        self._folder = folder
        self._name = name
        self._types = types
        self._key = key
        self._net = net
        self._last_wins = last_wins
        self._buffer: list[Changes] = []
        self._buffered = 0
        self._files: list[SegmentEntry] = []
        self._delivered: list[Path] = []
        self._next = 0
        self.rows = 0

    def add(self, changes: Changes) -> None:
        """Keep rows, in order of arrival."""
        self._buffer.append(Changes(changes.batch, changes.codes))
        self._buffered += changes.batch.nbytes
        self.rows += changes.batch.num_rows
        if self._buffered > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory to a file, synced."""
        changes = concat_changes(self._buffer)
        self._buffer, self._buffered = [], 0
        if changes is not None:
            adds = self._only_adds(changes)
            self._write(
                [(_ANY, changes)] if adds else self._by_group(changes), changes.batch.schema
            )

    def _only_adds(self, changes: Changes) -> bool:
        """Whether netting these rows alone, or with others of their kind, leaves them all."""
        if self._key is None:
            return True
        return not self._last_wins and bool((changes.signs > 0).all())

    def _write(self, pieces: Iterable[tuple[int, Changes]], columns: pa.Schema) -> None:
        groups: list[list[int]] = []
        name = f"{self._name}-{self._next}.arrow"
        self._next += 1
        schema = columns.append(pa.field("__kind", pa.int8()))
        with open_for_write(self._folder / name, mode=0o600) as file:
            with pa.ipc.new_file(pa.PythonFile(file, mode="w"), schema) as writer:
                for group, piece in pieces:
                    for at in range(0, len(piece), MAX_ROWS):
                        part = piece.slice(at, min(MAX_ROWS, len(piece) - at))
                        kinds = pa.array(part.codes_or_insert, pa.int8())
                        arrays = [*part.batch.columns, kinds]
                        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                        groups.append([group, part.batch.num_rows])
            file.sync()
        rows = sum(rows for _, rows in groups)
        meta = {"groups": groups}
        self._files.append(SegmentEntry(_TABLE, str(self._next - 1), name, rows, None, meta))

    def _by_group(self, changes: Changes) -> Iterator[tuple[int, Changes]]:
        groups = self._keys(changes).key_group().astype(np.int64)
        order = np.argsort(groups, kind="stable")
        ordered = changes.take(order)
        ends = np.cumsum(np.bincount(groups, minlength=KEY_GROUPS))
        start = 0
        for group, end in enumerate(ends.tolist()):
            if end > start:
                yield group, ordered.slice(start, end - start)
            start = end

    def _keys(self, changes: Changes) -> Keys:
        assert self._key is not None
        columns = [changes.batch.column(i) for i in self._key]
        return Keys.of(columns, [self._types[i] for i in self._key], len(changes))

    def deliver(self) -> Iterator[Changes]:
        """All rows, netted where they update, in pieces; of rows taken away each key in one piece."""
        waiting = concat_changes(self._buffer)
        if self._in_order(waiting):
            for file in map(self._reader, self._files):
                for changes in file.read():
                    yield Changes(changes.batch)
            if waiting is not None:
                yield from split_changes(Changes(waiting.batch))
            return
        self.flush()
        self._sort_files()
        files = [self._reader(entry) for entry in self._files]
        for group in range(KEY_GROUPS):
            together = concat_changes([c for file in files for c in file.read(group)])
            if together is not None:
                netted = self._net(together)
                if netted is not None:
                    yield netted

    def _in_order(self, waiting: Changes | None) -> bool:
        """Whether all rows, `waiting` the last of them, can be given as they came."""
        if self._key is None:
            return True
        written = all(group == _ANY for entry in self._files for group, _ in entry.meta["groups"])
        return written and (waiting is None or self._only_adds(waiting))

    def _sort_files(self) -> None:
        """Write the files whose rows are in order of arrival again, by key group."""
        files, self._files = self._files, []
        for entry in files:
            reader = self._reader(entry)
            if all(group != _ANY for group, _ in entry.meta["groups"]):
                self._files.append(entry)
                continue
            changes = concat_changes(list(reader.read()))
            assert changes is not None
            self._write(self._by_group(changes), changes.batch.schema)
            self._delivered.append(self._folder / str(entry.file))

    def _reader(self, entry: SegmentEntry) -> _Reader:
        return _Reader(self._folder / str(entry.file), entry.meta["groups"])

    def clear(self) -> None:
        """Everything was delivered; the files go at the next `sweep`."""
        self._buffer, self._buffered = [], 0
        self._delivered += [self._folder / str(entry.file) for entry in self._files]
        self._files = []
        self.rows = 0

    def sweep(self) -> None:
        """Remove delivered files; not while a checkpoint that names them is being written."""
        for path in self._delivered:
            remove(path)
        self._delivered = []

    def entries(self) -> list[tuple[SegmentEntry, Path]]:
        """What a checkpoint holds: all rows are in files."""
        self.flush()
        return [(entry, self._folder / str(entry.file)) for entry in self._files]

    def restore(self, checkpoint: Checkpoint, owner: str) -> None:
        """Take over what a checkpoint holds."""
        for entry in checkpoint.manifest.tables.get(owner, ()):
            if entry.table != _TABLE or entry.file is None:
                continue
            target = self._folder / entry.file
            remove(target)
            _link_or_copy(checkpoint.folder / entry.file, target)
            self._files.append(entry)
            self._next = max(self._next, int(entry.part) + 1)
            self.rows += entry.rows


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        link(source, target)
    except OSError:
        # A savepoint may stand on another disk.
        with open_for_write(target, mode=0o600) as file:
            file.write(source.read_bytes())
            file.sync()


class _Reader:
    """One file, read whole or a key group at a time."""

    def __init__(self, path: Path, groups: list[list[Any]]) -> None:
        with pa.memory_map(str(path)) as source:
            self._file = pa.ipc.open_file(source)
            self._batches = [self._file.get_batch(i) for i in range(len(groups))]
        self._groups = groups

    def read(self, group: int | None = None) -> Iterator[Changes]:
        """The rows of a group, or all."""
        for batch, (of, _) in zip(self._batches, self._groups, strict=True):
            if group is None or of == group:
                last = batch.num_columns - 1
                kinds = batch.column(last).to_numpy()
                yield Changes(batch.select(range(last)), None if not kinds.any() else kinds.copy())
