"""Keeps the index true to a table that others write as well.

Others may have replaced files (a compaction, an overwrite), taken rows out or added some. What
counts is which data files there are now, and how many rows of each are not deleted: rows in files
that are gone are looked for, by their keys, in the files that are new. A file with more or fewer
rows than it should have (others deleted some by their places, or took deletes back) counts as gone
and as new. The first look at a table that has rows is the same thing, from nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.errors import ConnectorError
from flowsql.formats import value_text
from flowsql.types import arrow_type
from flowsql_connectors.iceberg.write.deletes import by_file, delete_table
from flowsql_connectors.iceberg.write.index import RowIndex
from flowsql_connectors.iceberg.write.live import LiveFiles
from flowsql_connectors.iceberg.write.markers import branch_snapshots
from flowsql_connectors.iceberg.write.target import Target

__all__ = ["Follower", "Moved"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Moved:
    """What a look at the table found.

    Attributes:
        pending: the pending rows with their places by now, without those that are gone; None where
            all are where they were.
        read: data files that stayed and were read again: delete files that were prepared for them
            may not hold any more.
    """

    pending: list[pa.Table | None] | None
    read: frozenset[str]


class Follower:
    """Follows one table.

    Attributes:
        live: the files of the snapshot that was looked at last.
        seen: that snapshot; None where there was none, or nothing was looked at yet.
        ready: it was looked at.
    """

    def __init__(self, target: Target, index: RowIndex) -> None:
        self._target = target
        self._index = index
        schema = target.table.schema()
        self._names = target.declared.primary_key
        self._ids = [schema.find_field(name).field_id for name in self._names]
        self.live = LiveFiles()
        self.seen: int | None = None
        self.ready = False

    @property
    def is_current(self) -> bool:
        """Whether nothing changed since, as far as the target knows."""
        return self.ready and self.seen == self._target.head

    def load(self) -> None:
        """See which files the newest snapshot has."""
        target = self._target
        with target.telling():
            self.live.load(target.metadata, target.table.io, target.branch)

    def look(
        self,
        coming: set[str],
        pending: Sequence[pa.Table | None],
        *,
        leaving: Collection[str] = (),
        again: Collection[str] = (),
    ) -> Moved | None:
        """Make the index say where the rows of the snapshot that was loaded are.

        Args:
            coming: files that the index knows and that are not yet in the table.
            pending: rows to delete that the table has still.
            leaving: files of the table whose rows are in files that are coming.
            again: files of the table that the index knows, to be read all the same.

        Returns:
            Where pending rows are by now; None where nothing changed.

        Raises:
            ConnectorError: others wrote a row with a key of ours.
        """
        target, live = self._target, self.live.data
        with target.telling():
            known = set(self._index.all_locations()) - coming
            there = live.keys() & known
            twice = {p for p in again if p in live} | self._unsure(there - set(leaving))
            twice |= set(self._differing(there - set(leaving) - twice, pending))
            gone = sorted((known - live.keys()) | twice)
            new = sorted((live.keys() - known - coming) | twice)
            moved = self._moved(gone, new, pending) if gone or new else None
        self.seen, self.ready = target.head, True
        return None if not (gone or new) else Moved(moved, frozenset(twice))

    def _unsure(self, locations: set[str]) -> set[str]:
        """Files of which others may have deleted some rows and brought others back.

        Their number tells nothing then. Where the snapshot that was looked at last has been built
        upon, and where all delete files are our own, deletes were only added.
        """
        metadata, branch = self._target.metadata, self._target.branch
        if not self.ready:
            return locations & self.live.deleted_by_others(self._target.tag, self._target.table.io)
        built = any(s.snapshot_id == self.seen for s in branch_snapshots(metadata, branch))
        return set() if built or self.seen is None else locations

    def _differing(self, locations: set[str], pending: Sequence[pa.Table | None]) -> list[str]:
        """Files that do not have as many rows as the index knows and will be deleted."""
        if not locations:
            return []
        rows = Counter({p: n for p, n in self._index.counts().items() if p in locations})
        for deleted in pending:
            if deleted is not None:
                rows.update({p: len(n) for p, n in by_file(deleted).items() if p in locations})
        expected = {path: rows[path] for path in locations}
        return self.live.differing(expected, self._target.table.io)

    def rows_at(self, location: str, positions: Ints, batch: pa.RecordBatch) -> tuple[Ints, Bools]:
        """Which rows of a file there are by the index.

        Args:
            location: of the file.
            positions: int64[n]: where the rows stand in it.
            batch: the rows, with the table's columns.

        Returns:
            The slots of those that there are, and bool[n]: which they are.
        """
        keys = self._keys([batch.column(name) for name in self._names])
        slots = self._index.find(keys)
        here = slots >= 0
        places = self._index.places(slots[here])
        number = int(self._index.file_numbers([location])[0])
        here[here] = (places.files == number) & (places.positions == positions[here])
        return slots[here], here

    def move(self, slots: Ints, location: str) -> None:
        """The rows of slots stand in a file that is coming, in this order."""
        self._index.put(slots, self._index.file(location), 0)

    def forget(self, locations: Collection[str]) -> None:
        """Files without rows that the table has no more, or not for long."""
        self._index.forget_files(list(locations))

    def committed(self, snapshot: int) -> None:
        """A snapshot is our own, and `live` was told of it; others may be on top of it."""
        self.seen = snapshot

    def _moved(
        self, gone: list[str], new: list[str], pending: Sequence[pa.Table | None]
    ) -> list[pa.Table | None] | None:
        index = self._index
        claims = _Claims(index, gone, pending)
        numbers = index.file_numbers(gone)
        lost = index.in_files(numbers) if gone else np.zeros(0, np.int64)
        waiting = np.zeros(int(lost.max()) + 1 if len(lost) else 0, np.bool_)
        waiting[lost] = True
        deleted = self.live.deleted(new, self._target.table.io)
        for location in new:
            number = index.file(location)
            for positions, keys in self._rows(location, deleted.pop(location, None)):
                claimed, twice = claims.take(keys, location, positions)
                if twice is not None:
                    self._refuse(location, twice)
                rest = np.flatnonzero(~claimed)
                self._place((location, number), positions[rest], keys.take(rest), waiting)
                # As behind a step: the index grows in slices.
                index.settle()
        vanished = np.flatnonzero(waiting)
        if len(vanished):
            index.free(vanished)
        index.forget_files(sorted(set(gone) - set(new)))
        index.settle()
        return claims.moved() if gone else None

    def _rows(self, location: str, deleted: Ints | None) -> Iterator[tuple[Ints, Keys]]:
        """Positions and keys of a new file's rows that are not deleted."""
        io = self._target.table.io
        for first, columns in self.live.rows(location, self._ids, self._names, io):
            keys = self._keys(columns)
            positions = np.arange(first, first + len(keys))
            if deleted is not None:
                inside = deleted[slice(*np.searchsorted(deleted, (first, first + len(positions))))]
                if len(inside):
                    rest = np.delete(np.arange(len(positions)), inside - first)
                    positions, keys = positions[rest], keys.take(rest)
            if len(positions):
                yield positions, keys

    def _keys(self, columns: Sequence[pa.Array]) -> Keys:
        """The keys of rows, from columns as files hold them."""
        return self._index.keys_of(
            [
                column if column.type == arrow_type(kind) else column.cast(arrow_type(kind))
                for column, kind in zip(columns, self._index.key, strict=True)
            ]
        )

    def _place(self, file: tuple[str, int], positions: Ints, keys: Keys, waiting: Bools) -> None:
        """Rows of a new file that nobody deletes: of ours that were lost, or others'."""
        index, (location, number) = self._index, file
        slots = index.find(keys)
        lost = np.zeros(len(slots), np.bool_)
        inside = (slots >= 0) & (slots < len(waiting))
        lost[inside] = waiting[slots[inside]]
        if lost.any():
            # Of several rows with one key only the first can be the one that was lost.
            lost[np.flatnonzero(lost)[_repeated(slots[lost])]] = False
            index.move(slots[lost], number, positions[lost])
            waiting[slots[lost]] = False
        others = ~lost
        if not others.any():
            return
        rows = np.flatnonzero(others)
        foreign = keys.take(rows)
        made, is_new = index.ensure(foreign)
        if not is_new.all():
            self._refuse(location, index.columns(made[~is_new][:_SHOWN]))
        index.move(made, number, positions[rows])

    def _refuse(self, location: str, columns: Sequence[pa.Array]) -> None:
        texts = [value_text(column).to_pylist() for column in columns]
        keys = ", ".join(f"({', '.join(map(str, row))})" for row in zip(*texts, strict=True))
        names = ", ".join(self._names)
        raise ConnectorError(
            f'table "{self._target.declared.name}" holds several rows with one key: {keys}',
            detail=f"The key is ({names}); the later row is in {location}, which another writer "
            "added.",
            hint="Delete the rows that are too many, and let one job alone write a key.",
            final=True,
        )


class _Claims:
    """Rows to delete whose files are gone, and where they are by now."""

    def __init__(
        self, index: RowIndex, gone: Sequence[str], pending: Sequence[pa.Table | None]
    ) -> None:
        self._pending = pending
        self._gone = set(gone)
        self._lost: list[Bools | None] = []
        parts: list[list[pa.Array]] = []
        for deleted in pending:
            mask = None if deleted is None or not gone else self._in_gone(deleted)
            self._lost.append(mask if mask is not None and mask.any() else None)
            if mask is not None and mask.any():
                assert deleted is not None
                chosen = deleted.filter(pa.array(mask)).combine_chunks()
                parts.append([_whole(chosen.column(i)) for i in range(2, chosen.num_columns)])
        self._keys: Keys | None = None
        self._columns: list[pa.Array] = []
        if parts:
            self._columns = [pa.concat_arrays([p[i] for p in parts]) for i in range(len(parts[0]))]
            self._keys = index.keys_of(self._columns)
        count = 0 if self._keys is None else len(self._keys)
        self._paths: list[str] = []
        self._files = np.full(count, -1, np.int64)
        self._positions = np.zeros(count, np.int64)
        self._table = _lookup(self._keys)

    def _in_gone(self, deleted: pa.Table) -> Bools:
        column = _whole(deleted.column("file_path").unify_dictionaries())
        gone = np.array([p in self._gone for p in column.dictionary.to_pylist()], np.bool_)
        return gone[column.indices.to_numpy()]

    def take(
        self, keys: Keys, location: str, positions: Ints
    ) -> tuple[Bools, list[pa.Array] | None]:
        """Which rows of a new file are to be deleted; notes where they are.

        Returns:
            bool[n], and the first keys that more than one row has; None where none has.
        """
        found = np.zeros(len(keys), np.bool_)
        if self._keys is None:
            return found, None
        claims = self._table(keys)
        found = claims >= 0
        if found.any():
            claimed = claims[found]
            twice = (self._files[claimed] >= 0) | _repeated(claimed)
            if twice.any():
                shown = pa.array(claimed[twice][:_SHOWN])
                return found, [column.take(shown) for column in self._columns]
            self._paths.append(location)
            self._files[claimed] = len(self._paths) - 1
            self._positions[claimed] = positions[found]
        return found, None

    def moved(self) -> list[pa.Table | None] | None:
        """The pending rows with their places by now; None where none was in a file that is gone."""
        if self._keys is None:
            return None
        made: list[pa.Table | None] = []
        at = 0
        for deleted, lost in zip(self._pending, self._lost, strict=True):
            if deleted is None or lost is None:
                made.append(deleted)
                continue
            count = int(lost.sum())
            files, positions = self._files[at : at + count], self._positions[at : at + count]
            at += count
            there = files >= 0
            keys = deleted.filter(pa.array(lost)).filter(pa.array(there))
            columns = [keys.column(i) for i in range(2, keys.num_columns)]
            moved = delete_table(self._paths, files[there], positions[there], columns)
            made.append(pa.concat_tables([deleted.filter(pa.array(~lost)), moved]))
        return made


def _repeated(numbers: Ints) -> Bools:
    """Which of some numbers were there before."""
    repeated = np.ones(len(numbers), np.bool_)
    repeated[np.unique(numbers, return_index=True)[1]] = False
    return repeated


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _lookup(keys: Keys | None) -> Callable[[Keys], Ints]:
    """Finds the row of `keys` that holds a key, −1 where there is none."""
    if keys is None:
        return lambda asked: np.full(len(asked), -1, np.int64)
    hashes = keys.hash()
    order = np.argsort(hashes)
    hashes = hashes[order]

    def find(asked: Keys) -> Ints:
        wanted = asked.hash()
        at = np.searchsorted(hashes, wanted)
        found = np.full(len(asked), -1, np.int64)
        left = np.arange(len(asked))
        # Once but for keys that share a hash.
        while len(left):
            fits = at[left] < len(hashes)
            left = left[fits]
            left = left[hashes[at[left]] == wanted[left]]
            same = asked.equal(left, keys, order[at[left]])
            found[left[same]] = order[at[left[same]]]
            left = left[~same]
            at[left] += 1
        return found

    return find
