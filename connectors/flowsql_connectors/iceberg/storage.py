"""Files of tables: read and written by the client, on local disks durably.

What the client writes to a local folder would be lost when the machine dies after the catalog has
taken the commit. Here a local file is synced when it is closed, and its name with it. Everything
passes `flowsql.connector.durable`, so that tests can end the process before and after each file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Self

import pyarrow.fs
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from flowsql.connector import DurableFile, fsync_dir, make_dirs, open_for_write, remove, replace

__all__ = ["PARQUET", "DurableFileIO", "list_files", "metadata_named"]

# How files are opened: nanoseconds would hold times of twelve bytes from 1677 to 2262 only.
PARQUET: Final[Mapping[str, Any]] = {"coerce_int96_timestamp_unit": "us"}

_METADATA: Final = ".metadata.json"
_unfinished: ContextVar[Callable[[], str] | None] = ContextVar("unfinished", default=None)


@contextlib.contextmanager
def metadata_named(name: Callable[[], str]) -> Iterator[None]:
    """Within the context, a table's metadata stand under another name until they are complete.

    Their own says nothing of who writes them: half a file could be anybody's.
    """
    token = _unfinished.set(name)
    try:
        yield
    finally:
        _unfinished.reset(token)


class _LocalOutput:
    """A local file being written."""

    def __init__(self, path: str) -> None:
        self._path = path
        name = _unfinished.get() if path.endswith(_METADATA) else None
        self._folder = Path(path).parent
        self._written = path if name is None else str(self._folder / f"{name()}.unfinished")
        self._file: DurableFile = open_for_write(self._written)
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        return view.nbytes

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        try:
            self._file.sync()
        finally:
            self._file.close()
        if self._written != self._path:
            replace(self._written, self._path)
        fsync_dir(self._folder)

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


class _LocalFile(PyArrowFile):
    """A local file."""

    def create(self, overwrite: bool = False) -> Any:
        if not overwrite and self.exists():
            raise FileExistsError(f"Cannot create file, already exists: {self.location}")
        make_dirs(Path(self._path).parent)
        return _LocalOutput(self._path)


class DurableFileIO(PyArrowFileIO):
    """The client's files; local ones are durable when they are closed."""

    def new_output(self, location: str) -> PyArrowFile:
        made = super().new_output(location)
        if not isinstance(made._filesystem, pyarrow.fs.LocalFileSystem):  # noqa: SLF001 - no other way
            return made
        return _LocalFile(made.location, made._path, made._filesystem)  # noqa: SLF001 - no other way

    def delete(self, location: Any) -> None:
        path = location if isinstance(location, str) else location.location
        scheme, _, _ = self.parse_location(path, self.properties)
        if scheme != "file":
            super().delete(location)
            return
        _, _, local = self.parse_location(path, self.properties)
        remove(local, missing_ok=False)


def list_files(io: PyArrowFileIO, folder: str) -> dict[str, float]:
    """All files below a folder: location, in the folder's own spelling → when it was changed.

    The times are seconds since 1970. There may be no files.

    Raises:
        OSError: it cannot be listed.
    """
    scheme, netloc, path = io.parse_location(folder, io.properties)
    found = io.fs_by_scheme(scheme, netloc).get_file_info(
        pyarrow.fs.FileSelector(path, allow_not_found=True, recursive=True)
    )
    start = len(path.rstrip("/"))
    head = folder.rstrip("/")
    return {
        head + info.path[start:]: info.mtime_ns / 1e9
        for info in found
        if info.type == pyarrow.fs.FileType.File
    }
