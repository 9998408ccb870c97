"""Which rows of a data file are deleted: position deletes and deletion vectors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.table.deletion_vector import DeletionVector, deletion_vectors_from_puffin_file
from pyiceberg.table.puffin import PuffinFile

from flowsql.errors import ConnectorError

__all__ = ["DeletedRows", "Positions"]

Positions = npt.NDArray[np.int64]

_NONE: Final[Positions] = np.empty(0, np.int64)
_KEPT_ROWS: Final = 4_000_000
_BATCH: Final = 262_144


class DeletedRows:
    """Reads delete files; those that were read last are kept, as one may be of many data files.

    Used by several threads.

    Attributes:
        io: opens files; another one when what the catalog grants has run out.
    """

    def __init__(self, io: FileIO) -> None:
        self.io = io
        self._kept: OrderedDict[str, dict[str, Positions]] = OrderedDict()
        self._rows = 0
        self._lock = threading.Lock()

    def of(self, path: str, deletes: Iterable[DataFile]) -> Positions:
        """Rows of the data file at `path` that these delete files name: sorted, each once."""
        found = [part for d in deletes if len(part := self._read(d).get(path, _NONE))]
        return np.unique(np.concatenate(found)) if found else _NONE

    def _read(self, delete: DataFile) -> dict[str, Positions]:
        key = delete.file_path
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
        read = _READERS.get(delete.file_format)
        if read is None:
            raise ConnectorError(
                f'delete file "{key}" of format {delete.file_format.value} cannot be read',
                hint="Rewrite the table's deletes with the engine that wrote them.",
            )
        positions = read(self.io, key)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = positions
                self._rows += _size(positions)
            while self._rows > _KEPT_ROWS and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._rows -= _size(gone)
        return positions


def _size(positions: dict[str, Positions]) -> int:
    return sum(map(len, positions.values()))


def _read_parquet(io: FileIO, path: str) -> dict[str, Positions]:
    found: dict[str, list[Positions]] = {}
    with io.new_input(path).open() as handle:
        file = pq.ParquetFile(handle, read_dictionary=["file_path"])
        for batch in file.iter_batches(_BATCH, columns=["file_path", "pos"], use_threads=False):
            paths = batch.column("file_path")
            if not isinstance(paths, pa.DictionaryArray):
                paths = paths.dictionary_encode()
            codes = paths.indices.to_numpy(zero_copy_only=False)
            rows = batch.column("pos").to_numpy(zero_copy_only=False)
            for code, name in enumerate(paths.dictionary.to_pylist()):
                part = rows[codes == code]
                if len(part):
                    found.setdefault(name, []).append(part)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _read_puffin(io: FileIO, path: str) -> dict[str, Positions]:
    with io.new_input(path).open() as handle:
        content = handle.read()
    return {
        vector.referenced_data_file: _rows_of(vector)
        for vector in deletion_vectors_from_puffin_file(PuffinFile(content))
    }


def _rows_of(vector: DeletionVector) -> Positions:
    # The client's own way to them makes a Python number of each.
    parts = [
        np.frombuffer(bits.to_array(), np.uint32).astype(np.int64) + (high << 32)
        for high, bits in enumerate(vector._bitmaps)  # noqa: SLF001 - why is said above
        if bits
    ]
    return np.concatenate(parts) if parts else _NONE


_READERS: Final[dict[FileFormat, Callable[[FileIO, str], dict[str, Positions]]]] = {
    FileFormat.PARQUET: _read_parquet,
    FileFormat.PUFFIN: _read_puffin,
}
