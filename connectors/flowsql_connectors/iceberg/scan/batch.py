"""Reads the rows of one snapshot; each data file is a split."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from flowsql.changelog import Changes
from flowsql.connector import JSON, ConnectorTable, Piece, Poll, Reader, Source, Split
from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.address import catalog_address, table_identifier
from flowsql_connectors.iceberg.catalogs import load_table
from flowsql_connectors.iceberg.scan.appended import Between, chosen_range, files_between
from flowsql_connectors.iceberg.scan.deletes import DeletedRows, Positions
from flowsql_connectors.iceberg.scan.equality import EqualDeletes, EqualFiles
from flowsql_connectors.iceberg.scan.plan import ReadFile, chosen_snapshot, files_of
from flowsql_connectors.iceberg.scan.predicates import file_filter
from flowsql_connectors.iceberg.scan.rows import FileRows, RowForm, gone, reading
from flowsql_connectors.iceberg.schema import check_declared
from flowsql_connectors.iceberg.telling import telling

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

__all__ = ["FORMAT", "FileReader", "OpenedTable", "SnapshotSource", "check_position"]

FORMAT: Final = 1
_MOST_ROWS: Final = 65_536


def check_position(position: JSON, table: ConnectorTable) -> None:
    """Refuse a position that was written by somebody else; raises ConnectorError."""
    known = (position.get("connector"), position.get("format"))
    if known != ("iceberg", FORMAT):
        raise ConnectorError(
            f'the stored position of table "{table.name}" cannot be read',
            detail=f"It was written by {known[0]!r}, format {known[1]!r}.",
        )


class OpenedTable:
    """A table of the catalog, checked against its declaration.

    Args:
        declared: the declaration.

    Attributes:
        declared: as given.
        table: as it was when it was loaded last.
        form: how its files become rows.
        wanted: in which files there may be wanted rows.
        deleted: which rows are deleted.
    """

    def __init__(self, declared: ConnectorTable) -> None:
        self.declared = declared
        table = self.load()
        self.deleted = DeletedRows(table.io)
        self._equal = EqualFiles()

    def load(self) -> Table:
        """The table as it is now."""
        self.table = load_table(self.declared)
        check_declared(self.declared, self.table.schema(), written=False)
        with self.telling():
            self.form = RowForm(self.declared, self.table.metadata)
            filters = [f.predicate for f in self.declared.filters]
            self.wanted = file_filter(filters, self.table.metadata)
        return self.table

    def check_kept(self, snapshot: int | None) -> None:
        """Refuse to read a snapshot on that is not there any more; raises ConnectorError."""
        if snapshot is not None and self.table.snapshot_by_id(snapshot) is None:
            raise ConnectorError(
                f'snapshot {snapshot} of table "{self.declared.name}", which was being read, '
                "has expired",
                hint="Begin anew with another 'pipeline.name'.",
            )

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """What the client raises within the context becomes a ConnectorError."""
        address = catalog_address(self.declared.options)
        with telling(address, None, table_identifier(self.declared)):
            try:
                yield
            except FileNotFoundError:
                raise gone(self.declared, "a file of metadata") from None

    def files(self, snapshots: int | Between | None) -> list[ReadFile]:
        """The files of a snapshot, or that some added, as far as they are read; raises ConnectorError."""
        with self.telling():
            if isinstance(snapshots, Between):
                return files_between(self.table, self.declared.name, snapshots, self.wanted)
            return files_of(self.table, snapshots, self.wanted)

    def rows(self, task: ReadFile, row: int) -> FileRows:
        """The rows of a file from this one on."""
        with reading(self.declared, task.file.file_path):
            without = self.deleted.of(task.file.file_path, task.deletes)
        return self.rows_of(task.file, without=without, equal=task.equal, row=row)

    def rows_of(
        self,
        file: DataFile,
        *,
        without: Positions | None = None,
        only: Positions | None = None,
        equal: Sequence[DataFile] = (),
        row: int = 0,
    ) -> FileRows:
        """Some rows of a file: as `FileRows`, with the files that delete by equality."""
        with reading(self.declared, file.file_path):
            io = self.table.io
            found = EqualDeletes(io, self._equal, self.table.metadata, equal) if equal else None
        return FileRows(self.form, io, file, without=without, only=only, equal=found, row=row)


class SnapshotSource(Source):
    """The rows of one snapshot, or those that some added; chosen at the first start and kept by every restart."""

    bounded = True

    def __init__(self, declared: ConnectorTable, position: JSON | None) -> None:
        self._opened = OpenedTable(declared)
        self._finished: set[str] = set()
        if position is None:
            self._between = chosen_range(self._opened.table, declared)
            self._snapshot = (
                chosen_snapshot(self._opened.table, declared)
                if self._between is None
                else self._between.until
            )
        else:
            check_position(position, declared)
            self._snapshot = position["snapshot"]
            between = position.get("between")
            self._between = None if between is None else Between(**between)
            self._finished = set(position["finished"])
            self._opened.check_kept(self._snapshot)
        self._tasks: dict[str, ReadFile] = {}
        self._discovered = False

    def discover(self) -> Sequence[Split]:
        if self._discovered:
            return ()
        self._discovered = True
        files = self._opened.files(self._between or self._snapshot)
        self._tasks = {t.file.file_path: t for t in files}
        tables = (self._opened.declared.name,)
        return [Split(path, tables) for path in self._tasks if path not in self._finished]

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = FileReader(self._opened, self._tasks)
        reader.assign(splits)
        return reader

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del result
        self._finished.add(split)
        return ()

    def position(self) -> JSON:
        return {
            "format": FORMAT,
            "connector": "iceberg",
            "snapshot": self._snapshot,
            "between": None if self._between is None else asdict(self._between),
            "finished": sorted(self._finished),
        }


class FileReader(Reader):
    """Reads data files, one after the other. Position: the row of the file that comes next."""

    def __init__(
        self,
        opened: OpenedTable,
        tasks: Mapping[str, ReadFile],
        *,
        consistent: bool = True,
    ) -> None:
        self._opened = opened
        self._tasks = tasks
        self._consistent = consistent
        self._waiting: list[tuple[str, int]] = []
        self._positions: dict[str, int] = {}
        self._file: tuple[str, FileRows] | None = None
        self._idle = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether there is something left to read."""
        return bool(self._waiting) or self._file is not None

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            row = 0
            if position is not None:
                check_position(position, self._opened.declared)
                row = int(position["row"])
            self._positions[split.id] = row
            self._waiting.append((split.id, row))

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        room = min(max_rows, _MOST_ROWS)
        pieces: list[Piece] = []
        finished: dict[str, JSON] = {}
        name = self._opened.declared.name
        while room > 0 and (current := self._current()) is not None:
            split, rows = current
            batch = rows.read(room)
            if batch is None:
                finished[split] = {}
                rows.close()
                self._file = None
                continue
            self._positions[split] = rows.row
            if batch.num_rows:
                pieces.append(Piece(name, split, Changes(batch)))
            # Rows that are left out take their time as well.
            room -= max(1, batch.num_rows)
        if not pieces and not finished:
            self._idle.wait(timeout)
            return None
        return Poll(tuple(pieces), finished=finished, consistent=self._consistent)

    def _current(self) -> tuple[str, FileRows] | None:
        if self._file is None and self._waiting:
            split, row = self._waiting.pop(0)
            self._file = (split, self._opened.rows(self._tasks[split], row))
        return self._file

    def position(self, split: str) -> JSON:
        return {"format": FORMAT, "connector": "iceberg", "row": self._positions[split]}

    def close(self) -> None:
        if self._file is not None:
            self._file[1].close()
            self._file = None
