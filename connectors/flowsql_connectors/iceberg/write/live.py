"""The files of a table's newest snapshot: which there are, and which rows of them are deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import PYARROW_PARQUET_FIELD_ID_KEY
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.metadata import TableMetadata

from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.storage import PARQUET
from flowsql_connectors.iceberg.write.names import attempt_of

__all__ = ["PATH_ID", "POSITION_ID", "LiveFile", "LiveFiles", "named_file", "read_positions"]

Ints = npt.NDArray[np.int64]

# The columns of position deletes, by the format's specification.
PATH_ID: Final = 2147483546
POSITION_ID: Final = 2147483545
_BATCH: Final = 1 << 16


@dataclass(slots=True)
class LiveFile:
    """A data file of the table.

    Attributes:
        file: as the table tells of it.
        deletes: delete files that hold positions of this one only.
    """

    file: DataFile
    deletes: list[DataFile] = field(default_factory=list)


def named_file(deletes: DataFile) -> str | None:
    """The one data file that a file of position deletes is about; None where it may be many."""
    lower, upper = (b or {} for b in (deletes.lower_bounds, deletes.upper_bounds))
    first, last = lower.get(PATH_ID), upper.get(PATH_ID)
    return first.decode() if first is not None and first == last else None


def read_positions(io: Any, deletes: DataFile) -> pa.Table:
    """`file_path, pos` of a delete file."""
    with io.new_input(deletes.file_path).open() as source:
        return pq.read_table(source, columns=["file_path", "pos"])


def _positions(io: Any, deletes: DataFile) -> dict[str, Ints]:
    """The positions in a delete file by data file."""
    table = read_positions(io, deletes)
    paths = table.column("file_path").combine_chunks().dictionary_encode()
    if isinstance(paths, pa.ChunkedArray):
        paths = paths.combine_chunks()
    positions = table.column("pos").to_numpy()
    codes = paths.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    parts = np.split(positions[order], np.cumsum(np.bincount(codes))[:-1]) if len(codes) else []
    return dict(zip(paths.dictionary.to_pylist(), parts, strict=True))


class LiveFiles:
    """The files of one snapshot.

    Attributes:
        data: by location.
        shared: delete files that may be about several data files.
        useless: locations of delete files whose data file is gone.

    Delete files that are about one data file are read when they are asked for; what others delete
    is kept, as it has to be known of every file.
    """

    def __init__(self) -> None:
        self.data: dict[str, LiveFile] = {}
        self.shared: list[DataFile] = []
        self.useless: list[str] = []
        self._read: dict[str, list[DataFile]] = {}
        self._shared_rows: dict[str, dict[str, Ints]] = {}

    def load(self, metadata: TableMetadata, io: Any, branch: str) -> None:
        """Look at the newest snapshot; manifests that were read before are not read again.

        Raises:
            ConnectorError: the table holds what cannot be followed.
        """
        head = metadata.snapshot_by_name(branch)
        read: dict[str, list[DataFile]] = {}
        for manifest in () if head is None else head.manifests(io):
            path = manifest.manifest_path
            read[path] = self._read.get(path) or [
                entry.data_file for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
            ]
        self._read = read
        files = [f for found in read.values() for f in found]
        self.data = {f.file_path: LiveFile(f) for f in files if f.content == DataFileContent.DATA}
        self.shared, self.useless = [], []
        for found in files:
            if found.content == DataFileContent.EQUALITY_DELETES:
                raise ConnectorError(
                    "the table holds equality deletes, whose rows cannot be told by their places",
                    hint="Rewrite its data files first (Spark: CALL rewrite_data_files), or write "
                    "rows that are only added.",
                )
            if found.content == DataFileContent.POSITION_DELETES:
                self._note(found)

    def _note(self, deletes: DataFile) -> None:
        if deletes.file_format != FileFormat.PARQUET:
            raise ConnectorError(
                f"the table holds deletes in {deletes.file_format.value}, which cannot be followed",
                hint="Rewrite its data files first (Spark: CALL rewrite_data_files).",
            )
        path = named_file(deletes)
        if path is None:
            self.shared.append(deletes)
        elif path in self.data:
            self.data[path].deletes.append(deletes)
        else:
            self.useless.append(deletes.file_path)

    def known(self, manifest: str) -> Sequence[DataFile] | None:
        """The files of a manifest; None where it was not read."""
        return self._read.get(manifest)

    def holding(self, removed: Collection[str]) -> frozenset[str] | None:
        """The manifests that name some files; None where that is not known of all."""
        left = set(removed)
        found = set()
        for path, files in self._read.items():
            if not left:
                break
            named = {f.file_path for f in files if f.file_path in left}
            if named:
                found.add(path)
                left -= named
        return None if left else frozenset(found)

    def committed(
        self,
        added: Sequence[DataFile],
        removed: Collection[str],
        manifests: Mapping[str, list[DataFile] | None],
    ) -> None:
        """A commit of ours has changed the snapshot."""
        self._read = {
            path: self._read.get(path, []) if files is None else files
            for path, files in manifests.items()
            if files is not None or path in self._read
        }
        gone = set(removed)
        if gone:
            self.useless = [p for p in self.useless if p not in gone]
            self.data = {p: f for p, f in self.data.items() if p not in gone}
            for live in self.data.values():
                if any(d.file_path in gone for d in live.deletes):
                    live.deletes = [d for d in live.deletes if d.file_path not in gone]
        for file in added:
            if file.content == DataFileContent.DATA:
                self.data[file.file_path] = LiveFile(file)
        for file in added:
            if file.content != DataFileContent.DATA:
                self._note(file)

    def deleted(self, locations: Collection[str], io: Any) -> dict[str, Ints]:
        """Positions that are deleted of some data files; those of which none is are left out.

        They are sorted, and each is there once.
        """
        shared = self._of_shared(io)
        found: dict[str, Ints] = {}
        for path in locations:
            read = [_positions(io, source) for source in self.data[path].deletes]
            parts = [rows[path] for rows in (*read, *shared) if path in rows]
            if parts:
                found[path] = np.unique(np.concatenate(parts))
        return found

    def deleted_by_others(self, tag: str, io: Any) -> set[str]:
        """Data files that have deletes which no sink of a tag wrote."""
        shared = {path for rows in self._of_shared(io) for path in rows}
        return shared | {
            path
            for path, live in self.data.items()
            if any(attempt_of(d.file_path, tag) is None for d in live.deletes)
        }

    def differing(self, expected: Mapping[str, int], io: Any) -> list[str]:
        """Data files that do not have as many rows that are not deleted as they should.

        Args:
            expected: location → rows.
            io: reads the deletes of files whose counts do not fit.
        """
        shared = {path for rows in self._of_shared(io) for path in rows}
        asked = [
            path
            for path, rows in expected.items()
            if path in shared or rows != self._counted(self.data[path])
        ]
        deleted = self.deleted(asked, io)
        return [
            path
            for path in asked
            if self.data[path].file.record_count - len(deleted.get(path, ())) != expected[path]
        ]

    @staticmethod
    def _counted(live: LiveFile) -> int:
        return live.file.record_count - sum(d.record_count for d in live.deletes)

    def _of_shared(self, io: Any) -> list[dict[str, Ints]]:
        """What the shared delete files delete, by data file."""
        known = self._shared_rows
        self._shared_rows = {
            d.file_path: known.get(d.file_path) or _positions(io, d) for d in self.shared
        }
        return list(self._shared_rows.values())

    def rows(
        self, location: str, ids: Sequence[int], names: Sequence[str], io: Any
    ) -> Iterator[tuple[int, list[pa.Array]]]:
        """Some columns of a data file in pieces: the position of the first row, and the columns.

        Args:
            location: of the file.
            ids: of the columns.
            names: theirs, for files without ids.
            io: reads it.

        Raises:
            ConnectorError: a column is missing.
        """
        file = self.data[location].file
        if file.file_format != FileFormat.PARQUET:
            raise ConnectorError(
                f'data file "{location}" is no Parquet file: its keys cannot be read',
                hint="Rewrite the table's data files as Parquet.",
            )
        with io.new_input(location).open() as source, pq.ParquetFile(source, **PARQUET) as parquet:
            by_id = {
                int(found): field.name
                for field in parquet.schema_arrow
                if (found := (field.metadata or {}).get(PYARROW_PARQUET_FIELD_ID_KEY)) is not None
            }
            there = set(parquet.schema_arrow.names)
            chosen = [by_id.get(i, n) for i, n in zip(ids, names, strict=True)]
            for name, shown in zip(chosen, names, strict=True):
                if name not in there:
                    raise ConnectorError(
                        f'data file "{location}" has no column "{shown}", which is in the key',
                        hint="Rewrite the table's data files, so that each has the key.",
                    )
            at = 0
            for batch in parquet.iter_batches(batch_size=_BATCH, columns=chosen):
                yield at, [batch.column(batch.schema.get_field_index(n)) for n in chosen]
                at += batch.num_rows
