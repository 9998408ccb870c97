"""Unfinished files of a sink, and the marker of what is committed.

<path>/.flowsql/<job>@<table>/<run>-<attempt>-<opening>-<n>.csv     being written, or prepared
<path>/.flowsql/<job>@<table>/committed.json                        the last commit
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from flowsql.connector import (
    Committed,
    DurableFile,
    fsync_dir,
    make_dirs,
    open_for_write,
    remove,
    replace,
    write_file,
)
from flowsql.errors import ConnectorError
from flowsql_connectors.filesystem.paths import is_hidden

__all__ = ["Pages", "StagedFile", "Staging", "marked_jobs"]

_MARKER = "committed.json"
_FORMAT = 1


class StagedFile:
    """A file being written.

    Bytes that could not be written (a full disk) stay in memory: the next attempt takes up where
    the last good byte stands. A file whose sync failed is lost, as the disk may hold anything.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._pending = bytearray()
        self._written = 0
        self._file: DurableFile | None = None
        self._lost = False

    def write(self, data: bytes) -> None:
        """More bytes, not yet on disk."""
        self._pending += data
        self.size += len(data)

    def drain(self) -> None:
        """Hand what is pending to the operating system."""
        if not self._pending:
            return
        try:
            if self._file is None:
                self._reopen()
            assert self._file is not None
            self._file.write(bytes(self._pending))
            self._file.flush()
        except OSError as error:
            self._abandon()
            raise self._failure(error) from None
        self._written += len(self._pending)
        self._pending.clear()

    def finish(self) -> None:
        """Everything is durable, and the file closed."""
        if self._lost:
            raise ConnectorError(f'"{self.path}" was lost when the disk did not take it')
        self.drain()
        if self._file is None:
            return
        try:
            self._file.sync()
            self._file.close()
        except OSError as error:
            self._lost = True
            self._abandon()
            raise self._failure(error) from None
        self._file = None

    def discard(self) -> None:
        """The file vanishes."""
        self._abandon()
        with contextlib.suppress(OSError):
            remove(self.path)

    def _reopen(self) -> None:
        """A new file that begins with the bytes already written."""
        good = b""
        if self._written:
            with self.path.open("rb") as old:
                good = old.read(self._written)
        self._file = open_for_write(self.path)
        if good:
            self._file.write(good)

    def _abandon(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _failure(self, error: OSError) -> ConnectorError:
        return ConnectorError(
            f'could not write "{self.path}": {error.strerror}',
            hint="Make room or give the right to write; nothing is lost until then.",
        )


class Pages(io.RawIOBase):
    """A binary file that passes its bytes on to a `StagedFile`; for writers of whole files."""

    def __init__(self, target: StagedFile) -> None:
        super().__init__()
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._target.write(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._target.size


class Staging:
    """The hidden folder of one job and table within the table's folder."""

    def __init__(self, root: Path, job: str, table: str) -> None:
        self.root = root
        self.folder = root / ".flowsql" / f"{quote(job, safe='')}@{quote(table, safe='')}"

    def create(self) -> None:
        """Make the folder, durably."""
        make_dirs(self.folder)

    def committed(self) -> Committed | None:
        """What the marker says; raises ConnectorError where it cannot be read."""
        path = self.folder / _MARKER
        try:
            marker = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConnectorError(f'could not read the marker "{path}": {error.strerror}') from None
        except ValueError:
            marker = None
        if isinstance(marker, dict):
            run, checkpoint = marker.get("run"), marker.get("checkpoint")
            if isinstance(run, str) and type(checkpoint) is int:
                return Committed(run, checkpoint, str(path))
        raise ConnectorError(
            f'marker "{path}" is damaged',
            detail="It says up to which checkpoint the folder holds the job's rows.",
            hint="Bring it back from a copy. To begin anew, empty the folder, remove the marker and "
            "run with --fresh.",
        )

    def mark(self, run: str, checkpoint: int) -> None:
        """Set the marker, durably."""
        text = json.dumps({"format": _FORMAT, "run": run, "checkpoint": checkpoint})
        new = self.folder / f"{_MARKER}.new"
        write_file(new, text.encode())
        replace(new, self.folder / _MARKER)
        fsync_dir(self.folder)

    def remove_leftovers(self, kept: set[str]) -> None:
        """Remove what earlier attempts left and no token names."""
        for path in sorted(self.folder.iterdir()):
            if path.name != _MARKER and path.name not in kept:
                remove(path)
        fsync_dir(self.folder)


def marked_jobs(root: Path) -> list[str]:
    """The jobs whose rows a folder holds, by their markers; none where no file is left."""
    found = {unquote(p.parent.name.partition("@")[0]) for p in root.glob(f".flowsql/*/{_MARKER}")}
    return sorted(found) if found and _holds_files(root) else []


def _holds_files(root: Path) -> bool:
    """Whether there is a file that a reader would find."""
    for _, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not is_hidden(f)]
        if not all(map(is_hidden, names)):
            return True
    return False
