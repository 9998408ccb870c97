"""Rows by key on their way to data files: the last one of a key counts, the one before is deleted.

A row is gathered before it is written; one that is replaced or deleted meanwhile is never written.
What was written is deleted by its place, which the index knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.manifest import DataFile

from flowsql.changelog import DELETE, UPDATE_BEFORE, Changes, Keys
from flowsql_connectors.iceberg.write.arrow import FileForm
from flowsql_connectors.iceberg.write.behind import Behind
from flowsql_connectors.iceberg.write.deletes import delete_table
from flowsql_connectors.iceberg.write.files import FileSettings, ParquetFile
from flowsql_connectors.iceberg.write.index import Places, RowIndex
from flowsql_connectors.iceberg.write.partitions import Partition, Partitions
from flowsql_connectors.iceberg.write.target import Target

__all__ = ["UpsertedRows"]

Ints = npt.NDArray[np.int64]

_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 64 << 20
# Of all partitions, in memory.
_MOST_BYTES: Final = 256 << 20


@dataclass(slots=True)
class _Part:
    """A partition's rows that are not yet in a complete file.

    Attributes:
        number: by which the index knows gathered rows, below zero.
        alive: of each gathered row, whether it is still the last of its key.
    """

    partition: Partition
    number: int
    batches: list[pa.RecordBatch] = field(default_factory=list)
    slots: list[Ints] = field(default_factory=list)
    alive: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones(1024, np.bool_))
    rows: int = 0
    bytes: int = 0
    file: ParquetFile | None = None


class UpsertedRows:
    """Takes changes; gives complete files, and rows of older files that are no more.

    Invariant: the index holds the place of the last row of every key: in a file of the table, in
    one that was written since, or gathered.
    """

    def __init__(
        self, target: Target, form: FileForm, settings: FileSettings, index: RowIndex
    ) -> None:
        self._target = target
        self._form = form
        self._settings = settings
        self._index = index
        self._key = [form.names.index(k) for k in target.declared.primary_key]
        self._schema = target.table.schema()
        self._partitions = Partitions(target.table.spec(), self._schema)
        self._parts: dict[Partition, _Part] = {}
        self._by_number: dict[int, _Part] = {}
        self._next = -1
        self._bytes = 0
        self._complete: list[DataFile] = []
        self._behind = Behind()
        self._deleted: list[tuple[Places, list[pa.Array]]] = []

    def add(self, changes: Changes) -> None:
        """More changes, as the engine gives them."""
        last = self._last_by_key(changes)
        if last is None:
            return
        batch, codes, keys = last
        gone = None if codes is None else codes == DELETE
        if gone is not None and gone.any():
            self._delete(keys.take(np.flatnonzero(gone)))
            rows = np.flatnonzero(~gone)
            if not len(rows):
                return
            batch, keys = batch.take(pa.array(rows)), keys.take(rows)
        slots, is_new = self._index.ensure(keys)
        if not is_new.all():
            self._kill(slots[~is_new])
        self._gather(batch, slots)

    def _last_by_key(
        self, changes: Changes
    ) -> tuple[pa.RecordBatch, npt.NDArray[np.int8] | None, Keys] | None:
        """The last change of each key, but what only announces one."""
        if changes.codes is not None and (changes.codes == UPDATE_BEFORE).any():
            changes = changes.filter(changes.codes != UPDATE_BEFORE)
        if not len(changes):
            return None
        batch, codes = changes.batch, changes.codes
        keys = self._index.keys_of([batch.column(i) for i in self._key])
        numbers, first = keys.group()
        if len(first) < len(numbers):
            last = np.zeros(len(first), np.int64)
            last[numbers] = np.arange(len(numbers))
            last.sort()
            batch, keys = batch.take(pa.array(last)), keys.take(last)
            codes = None if codes is None else codes[last]
        return batch, codes, keys

    def _delete(self, keys: Keys) -> None:
        slots = self._index.find(keys)
        slots = slots[slots >= 0]
        if len(slots):
            self._kill(slots)
            self._index.free(slots)

    def _kill(self, slots: Ints) -> None:
        """The rows of slots are no more."""
        places = self._index.places(slots)
        gathered = places.files < 0
        if gathered.any():
            waiting = places.take(gathered)
            for number in np.unique(waiting.files).tolist():
                part = self._by_number[number]
                part.alive[waiting.positions[waiting.files == number]] = False
        if not gathered.all():
            written = ~gathered
            self._deleted.append((places.take(written), self._index.columns(slots[written])))

    def _gather(self, batch: pa.RecordBatch, slots: Ints) -> None:
        stored = self._form.convert(batch)
        for partition, rows in self._partitions.split(stored):
            part = self._parts.get(partition)
            if part is None:
                part = self._parts[partition] = _Part(partition, self._next)
                self._by_number[self._next] = part
                self._next -= 1
            chosen = stored if rows is None else stored.take(pa.array(rows))
            mine = slots if rows is None else slots[rows]
            self._index.put(mine, part.number, part.rows)
            end = part.rows + len(mine)
            if end > len(part.alive):
                grown = np.ones(max(end, 2 * len(part.alive)), np.bool_)
                grown[: part.rows] = part.alive[: part.rows]
                part.alive = grown
            part.alive[part.rows : end] = True
            part.batches.append(chosen)
            part.slots.append(mine)
            part.rows, part.bytes = end, part.bytes + chosen.nbytes
            self._bytes += chosen.nbytes
            if part.rows >= _GROUP_ROWS or part.bytes >= _GROUP_BYTES:
                self._flush(part)
        if self._bytes >= _MOST_BYTES:
            for part in self._parts.values():
                self._flush(part)

    # -- files ----------------------------------------------------------------------------------

    def finish(self) -> list[DataFile]:
        """All rows so far, in complete and durable files; they stay until `taken`."""
        with self._target.telling():
            for part in self._parts.values():
                self._flush(part)
                self._close(part)
        self._parts, self._by_number = {}, {}
        return list(self._complete)

    def deleted(self) -> pa.Table | None:
        """The rows, of the table's files and of new ones, that are no more."""
        if not self._deleted:
            return None
        numbers = np.concatenate([p.files for p, _ in self._deleted])
        positions = np.concatenate([p.positions for p, _ in self._deleted])
        columns = [
            pa.chunked_array([keys[i] for _, keys in self._deleted])
            for i in range(len(self._index.key))
        ]
        distinct, codes = np.unique(numbers, return_inverse=True)
        return delete_table(self._index.locations(distinct), codes, positions, columns)

    def redirect(self, deleted: pa.Table | None) -> None:
        """What `deleted` gave, with other places."""
        self._deleted = []
        if deleted is not None and deleted.num_rows:
            codes: Any = deleted.column("file_path").unify_dictionaries().combine_chunks()
            numbers = self._index.file_numbers(codes.dictionary.to_pylist())
            files = numbers[codes.indices.to_numpy()]
            keys = [deleted.column(i).combine_chunks() for i in range(2, deleted.num_columns)]
            self._deleted = [(Places(files, deleted.column("pos").to_numpy()), keys)]

    def taken(self) -> None:
        """What `finish` and `deleted` gave is in good hands."""
        self._complete, self._deleted = [], []

    def open_locations(self) -> set[str]:
        """Files that are written and not yet `taken`."""
        files = {p.file.location for p in self._parts.values() if p.file is not None}
        return files | {f.file_path for f in self._complete}

    def discard(self) -> None:
        """Let go of everything; files that are not complete stay behind."""
        for part in self._parts.values():
            if part.file is not None:
                part.file.discard()
        self._parts, self._by_number = {}, {}

    def _flush(self, part: _Part) -> None:
        """What is gathered and alive becomes a row group."""
        if not part.rows:
            return
        batch, slots = pa.concat_batches(part.batches), np.concatenate(part.slots)
        alive = part.alive[: part.rows]
        if not alive.all():
            batch, slots = batch.filter(pa.array(alive)), slots[alive]
        if len(slots):
            with self._target.telling():
                if part.file is not None and part.file.size >= self._settings.target:
                    self._close(part)
                if part.file is None:
                    name = self._target.names.new(".parquet")
                    location = self._target.location(part.partition.path, name)
                    part.file = ParquetFile(
                        self._target.table.io,
                        location,
                        self._form.schema,
                        self._settings,
                        behind=self._behind,
                    )
                first = part.file.rows
                part.file.write(batch)
            self._index.put(slots, self._index.file(part.file.location), first)
        self._bytes -= part.bytes
        part.batches, part.slots, part.rows, part.bytes = [], [], 0, 0

    def _close(self, part: _Part) -> None:
        if part.file is None:
            return
        spec_id = self._partitions.spec.spec_id
        self._complete.append(part.file.close(self._schema, spec_id, part.partition.record))
        part.file = None
