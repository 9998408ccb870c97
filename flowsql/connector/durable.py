"""The one place that changes files whose loss would lose or double rows.

Checkpoints, job folders and the sinks that write files go through these functions, so that three
things hold for all of them: what is said to be durable was synced, a test can journal every
operation and replay any prefix of it with the un-synced rest lost, and a test can end the process
before or after each of them.

What is durable when (POSIX): a file's content after `sync`; its name (created, replaced, removed)
after `fsync_dir` of its folder. `replace` is atomic: a reader sees the old or the new file.

Failures are plain `OSError`s: the caller knows what the file was for and names the cure.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = [
    "DurableFile",
    "DurableObserver",
    "FileOperation",
    "fsync_dir",
    "kill_point",
    "link",
    "make_dirs",
    "observe_files",
    "open_for_write",
    "remove",
    "remove_tree",
    "replace",
    "write_file",
]

_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class FileOperation:
    """One step on the disk, as an observer sees it.

    Attributes:
        kind: `create`, `write`, `fsync`, `replace`, `link`, `remove`, `mkdir`, `rmdir`,
            `fsync_dir`, or the name given to `kill_point`.
        path: the file or folder; for `replace` and `link` the old name; empty for a kill point.
        target: the new name of a `replace` or `link`.
        offset: where a `write` begins.
        data: what it writes.
    """

    kind: str
    path: str = ""
    target: str = ""
    offset: int = 0
    data: bytes = b""


class DurableObserver(Protocol):
    """Told of every operation; may raise, or never return, to simulate a failing machine."""

    def before(self, operation: FileOperation) -> None:
        """The operation is about to be done."""

    def after(self, operation: FileOperation) -> None:
        """It is done."""


_observer: DurableObserver | None = None


@contextlib.contextmanager
def observe_files(observer: DurableObserver) -> Iterator[None]:
    """Tell `observer` of every operation of this process while the context lasts."""
    global _observer  # noqa: PLW0603 - the machine's disk is one as well
    previous, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = previous


@contextlib.contextmanager
def _observed(
    kind: str, path: str = "", target: str = "", offset: int = 0, data: bytes | None = None
) -> Iterator[None]:
    observer = _observer
    if observer is None:
        yield
        return
    operation = FileOperation(kind, path, target, offset, data or b"")
    observer.before(operation)
    yield
    observer.after(operation)


def kill_point(name: str) -> contextlib.AbstractContextManager[None]:
    """A stretch of code that is no file operation, such as `prepare`, `commit`, `acknowledge`.

    An observer is told before and after what stands in the `with` block.
    """
    return _observed(name)


class _RawFile(io.RawIOBase):
    """An observed file descriptor."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__()
        with _observed("create", path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = os.open(path, flags, mode)
        self._path = path
        self._offset = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def tell(self) -> int:
        return self._offset

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        copy = bytes(view) if _observer is not None else None
        with _observed("write", self._path, offset=self._offset, data=copy):
            written = os.write(self._fd, view)
            # A short write is rare (a full disk, a signal), and the journal records whole ones.
            while written < view.nbytes:
                written += os.write(self._fd, view.cast("B")[written:])
        self._offset += written
        return written

    def sync(self) -> None:
        with _observed("fsync", self._path):
            os.fsync(self._fd)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class DurableFile(io.BufferedWriter):
    """A file being written, from its beginning to its end; only `sync` makes it durable."""

    def __init__(self, raw: _RawFile) -> None:
        super().__init__(raw, _BUFFER)
        self._durable = raw

    def sync(self) -> None:
        """Write out what is buffered and wait until the disk has it."""
        self.flush()
        self._durable.sync()


def open_for_write(path: str | os.PathLike[str], *, mode: int = 0o644) -> DurableFile:
    """A new file, or an old one emptied."""
    return DurableFile(_RawFile(os.fspath(path), mode))


def write_file(
    path: str | os.PathLike[str], data: bytes | memoryview, *, mode: int = 0o644
) -> None:
    """The whole content of a file, synced; its name is durable after `fsync_dir`."""
    with open_for_write(path, mode=mode) as file:
        file.write(data)
        file.sync()


def replace(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file its new name, atomically, over whatever had it."""
    with _observed("replace", os.fspath(source), os.fspath(target)):
        Path(source).replace(target)


def link(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file that never changes again a second name."""
    with _observed("link", os.fspath(source), os.fspath(target)):
        Path(target).hardlink_to(source)


def remove(path: str | os.PathLike[str], *, missing_ok: bool = True) -> None:
    """Remove a file."""
    try:
        with _observed("remove", os.fspath(path)):
            Path(path).unlink()
    except FileNotFoundError:
        if not missing_ok:
            raise


def fsync_dir(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable."""
    with _observed("fsync_dir", os.fspath(path)):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_dirs(path: str | os.PathLike[str], *, mode: int = 0o755) -> None:
    """Make a folder and those above it that are missing, durably; `mode` is the new ones'."""
    missing: list[Path] = []
    folder = Path(path)
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        with _observed("mkdir", str(new)), contextlib.suppress(FileExistsError):
            new.mkdir(mode)
        fsync_dir(new.parent)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a folder with all that is in it; nothing happens where there is none."""
    folder = os.fspath(path)
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            remove(entry.path)
    with _observed("rmdir", folder), contextlib.suppress(FileNotFoundError):
        Path(folder).rmdir()
