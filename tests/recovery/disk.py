"""A model of a disk that forgets: what could be left after the power went off.

`Disk` is told of every durable operation and keeps, for each file and folder, what is there and
what is sure to be there after a crash. `materialize` writes one possible aftermath into a folder.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from flowsql.connector import FileOperation


class Loss(Enum):
    """Which of the un-synced things a crash takes."""

    NOTHING = "nothing is lost"
    DATA = "names are there, un-synced content is not"
    ALL = "un-synced names and content are lost"


@dataclass
class File:
    """An inode: content now, and content that was synced."""

    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class Folder:
    """A folder: entries now, and entries that were synced."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)


class Recorder:
    """Keeps every operation in the order in which they were done."""

    def __init__(self) -> None:
        self.operations: list[FileOperation] = []

    def before(self, operation: FileOperation) -> None:
        pass

    def after(self, operation: FileOperation) -> None:
        self.operations.append(operation)


def crashes(
    operations: Sequence[FileOperation], root: Path, loss: Loss, cuts: int
) -> Iterator[tuple[int, FileOperation]]:
    """What is left below `root` after some of the operations: (their number, the one that is lost).

    Args:
        operations: those below `root`.
        root: is emptied, and filled anew, for each cut.
        loss: what the crash takes.
        cuts: how many crashes, at places that are the same each time.
    """
    places = range(1, len(operations))
    disk = Disk(root)
    at = 0
    for cut in sorted(random.Random(3).sample(places, min(cuts, len(places)))):
        for operation in operations[at:cut]:
            disk.apply(operation)
        at = cut
        shutil.rmtree(root)
        disk.materialize(root, loss)
        yield cut, operations[cut]


class Disk:
    """The operations below `root`, applied one by one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()

    def apply(self, operation: FileOperation) -> None:
        kind = operation.kind
        if not operation.path:
            return
        folder, name = self._parent(operation.path)
        if kind == "create":
            file = folder.now.get(name)
            if isinstance(file, File):
                file.now = bytearray()
            else:
                folder.now[name] = File()
        elif kind == "write":
            file = folder.now[name]
            assert isinstance(file, File)
            file.now[operation.offset :] = operation.data
        elif kind == "fsync":
            file = folder.now[name]
            assert isinstance(file, File)
            file.synced = bytes(file.now)
        elif kind in {"replace", "link"}:
            target, new = self._parent(operation.target)
            target.now[new] = folder.now[name]
            if kind == "replace":
                del folder.now[name]
        elif kind in {"remove", "rmdir"}:
            folder.now.pop(name, None)
        elif kind == "mkdir":
            folder.now.setdefault(name, Folder())
        elif kind == "fsync_dir":
            node = self._folder(Path(operation.path))
            node.synced = dict(node.now)
        else:
            raise AssertionError(kind)

    def materialize(self, target: Path, loss: Loss) -> None:
        """Write what a crash at this moment could leave."""
        self._write(self.top, target, loss)

    def _write(self, folder: Folder, target: Path, loss: Loss) -> None:
        target.mkdir(parents=True, exist_ok=True)
        entries = folder.synced if loss is Loss.ALL else folder.now
        for name, node in entries.items():
            if isinstance(node, Folder):
                self._write(node, target / name, loss)
            else:
                content = node.now if loss is Loss.NOTHING else node.synced
                (target / name).write_bytes(bytes(content))

    def _parent(self, path: str) -> tuple[Folder, str]:
        full = Path(path)
        if full == self.root:
            return Folder({full.name: self.top}), full.name
        return self._folder(full.parent), full.name

    def _folder(self, path: Path) -> Folder:
        node: File | Folder = self.top
        for part in path.relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.now[part]
        assert isinstance(node, Folder)
        return node
