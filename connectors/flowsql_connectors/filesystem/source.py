"""Finds the files of a table; each is a split."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flowsql.connector import JSON, ConnectorTable, Reader, Source, SourceStatus, Split
from flowsql.errors import ConnectorError
from flowsql.formats import find_format
from flowsql_connectors.filesystem.connector import file_table
from flowsql_connectors.filesystem.partitions import PartitionFilter
from flowsql_connectors.filesystem.paths import (
    is_hidden,
    local_path,
    parse_partition,
    path_regex,
    readable,
)
from flowsql_connectors.filesystem.reader import FilesystemReader
from flowsql_connectors.filesystem.stamps import RENAME, Stamp, changed

__all__ = ["FilesystemSource", "partition_folders"]

_FORMAT = 1
_NUMBER = re.compile("([0-9]+)")

_Place = tuple[tuple[str | int, ...], ...]


class FilesystemSource(Source):
    """The files of one table.

    A split's id is the file's path within the table's folder. The source remembers the files that
    are read to their end, and what they were like: each is read once.

    A watched folder may hold files that are still being written. One whose last change was a write
    (a rename comes later than the last write) is given when it stood still for the monitor
    interval; one that changes after it was read ends the job, as its new rows would be lost.

    Files of changes are given in the order of their names, to one reader; in partitioned tables that
    order holds within a partition. Nothing is given behind a file that is still being written, and
    a file that comes too late for its place ends the job.
    """

    def __init__(
        self,
        table: ConnectorTable,
        position: JSON | None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._table = table
        self._tell = tell
        self._root = local_path(table.options["path"])
        pattern = table.options["source.path.regex-pattern"]
        self._pattern = None if pattern is None else path_regex(pattern)
        interval = table.options["source.monitor-interval"]
        self._interval = None if interval is None else interval / 1000
        self.bounded = interval is None
        # Size and time of the last write, as a checkpoint keeps them; there may be many.
        self._finished: dict[str, list[int | None] | None] = {}
        # Read in part by an earlier attempt, perhaps: given again, whether they stand still or not.
        self._begun: set[str] = set()
        if position is not None:
            if (position.get("connector"), position.get("format")) != ("filesystem", _FORMAT):
                raise ConnectorError(
                    f'the stored position of table "{table.name}" cannot be read',
                    detail=f"It was written by {position.get('connector')!r}, "
                    f"format {position.get('format')!r}.",
                )
            # Older positions hold nothing but names.
            stored = position["finished"]
            self._finished = dict.fromkeys(stored) if isinstance(stored, list) else dict(stored)
            self._begun = set(position.get("given", ()))
        self._given: set[str] = set()
        self._total = 0
        # Files that may still be written: what they were like, and since when.
        self._young: dict[str, tuple[Stamp, float]] = {}
        self._first = True
        self._ordered = find_format(table.options["format"]).changelog
        # The last place that was given, by partition.
        self._last: dict[str, tuple[_Place, str]] = {}
        if self._ordered:
            for identity in (*self._finished, *self._begun):
                self._note(identity)
        self._wanted = PartitionFilter(
            [f.predicate for f in table.filters], table.partition_keys, table.schema
        )

    def discover(self) -> Sequence[Split]:
        self._check_root()
        found = []
        young: dict[str, tuple[Stamp, float]] = {}
        for path, identity in self._ordered_files() if self._ordered else self._files():
            if identity in self._given or (self.bounded and identity in self._finished):
                continue
            try:
                status = os.stat(path)  # noqa: PTH116 - several times faster
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            stamp = Stamp.of(status)
            if identity in self._finished:
                self._check_unchanged(path, self._finished[identity], stamp)
            elif identity in self._begun or self._stands_still(identity, status, stamp, young):
                found.append((status.st_mtime_ns, identity, path, stamp))
        self._young = young
        if self._ordered:
            found = self._next_in_order(found, young)
        else:
            found.sort(key=lambda f: f[:2])
        self._begun = set()
        if self._first and found:
            self._tell_doubts(found[0][2])
        self._first = False
        splits = []
        for mtime, identity, path, stamp in found:
            self._given.add(identity)
            self._total += stamp.size
            payload: JSON = {
                "path": path,
                "mtime_ms": mtime // 1_000_000,
                "partition": self._partition(identity),
                **stamp.json(),
            }
            owner = "changelog" if self._ordered else None
            splits.append(Split(identity, (self._table.name,), payload, owner=owner))
        return splits

    def status(self) -> SourceStatus | None:
        return SourceStatus(total_bytes=self._total) if self.bounded else None

    def _place(self, identity: str) -> _Place:
        """Sorts files of changes: by path, numbers in it by their value; partitions by name first."""

        def natural(text: str) -> tuple[str | int, ...]:
            return tuple(int(t) if i % 2 else t for i, t in enumerate(_NUMBER.split(text)))

        if not self._table.partition_keys:
            return (natural(identity), (identity,))
        return (natural(identity.rpartition("/")[2]), natural(identity), (identity,))

    def _scope(self, identity: str) -> str:
        """Within what the order of files counts."""
        return identity.rpartition("/")[0] if self._table.partition_keys else ""

    def _note(self, identity: str) -> None:
        place, scope = self._place(identity), self._scope(identity)
        if scope not in self._last or self._last[scope][0] < place:
            self._last[scope] = (place, identity)

    def _ordered_files(self) -> list[tuple[str, str]]:
        """As `_files`: where a file was seen, all that had their names before it are there, too."""
        first = list(self._files())
        new = [i for _, i in first if i not in self._finished and i not in self._given]
        if not new:
            return first
        # A folder that is read while files come may show the second and not the first.
        end = max(map(self._place, new))
        return [
            (path, i)
            for path, i in self._files()
            if i in self._finished or i in self._given or self._place(i) <= end
        ]

    def _next_in_order(
        self,
        found: list[tuple[int, str, str, Stamp]],
        young: dict[str, tuple[Stamp, float]],
    ) -> list[tuple[int, str, str, Stamp]]:
        """Files of changes up to the first that is still being written, in order."""
        ends: dict[str, _Place] = {}
        for identity in young:
            scope, place = self._scope(identity), self._place(identity)
            ends[scope] = min(place, ends.get(scope, place))
        given = []
        for file in sorted(found, key=lambda f: self._place(f[1])):
            identity = file[1]
            scope, place = self._scope(identity), self._place(identity)
            if scope in ends and place > ends[scope]:
                continue
            last = self._last.get(scope)
            if last is not None and place < last[0] and identity not in self._begun:
                raise ConnectorError(
                    f'"{readable(file[2])}" comes before "{readable(last[1])}", which was read already '
                    f'(table "{self._table.name}")',
                    detail="Files of changes are read in the order of their names.",
                    hint='Give it a name that sorts behind, or one that begins with "_" to leave it '
                    "out.",
                )
            given.append(file)
        for _, identity, _, _ in given:
            self._note(identity)
        return given

    def gone(self, splits: Sequence[str]) -> None:
        name = splits[0]
        raise ConnectorError(
            f'"{readable(str(self._root / name if self._root.is_dir() else self._root))}" was read in part and is '
            f'gone (table "{self._table.name}")',
            detail=None if len(splits) == 1 else f"So are {len(splits) - 1} others.",
            hint="Bring the file back as it was, with its time of change; or begin anew with "
            "another 'pipeline.name'.",
        )

    def _check_root(self) -> None:
        try:
            mode = self._root.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise self._wrong_path(
                "does not exist", "Create the folder, or correct option 'path'."
            ) from None
        except OSError as error:
            raise self._unreadable(self._root, error) from None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise self._wrong_path(
                "is neither a folder nor a file",
                "A pipe or a device cannot be read again after a restart.",
            )

    def _wrong_path(self, what: str, hint: str) -> ConnectorError:
        message = f'"{self._root}" {what} (table "{self._table.name}")'
        return self._table.places.mark(ConnectorError(message, hint=hint, option="path"))

    def _unreadable(self, path: Path | str, error: OSError) -> ConnectorError:
        made = ConnectorError(
            f'could not read "{readable(str(path))}" (table "{self._table.name}"): {error.strerror}',
            hint="The user who runs the job needs the right to read it.",
            option="path",
        )
        return self._table.places.mark(made)

    def _stands_still(
        self,
        identity: str,
        status: os.stat_result,
        stamp: Stamp,
        young: dict[str, tuple[Stamp, float]],
    ) -> bool:
        """Whether a new file is complete, as far as one can see."""
        if self._interval is None or status.st_ctime_ns != status.st_mtime_ns:
            # What was renamed, or got its time from elsewhere, was changed after its last write.
            return True
        if time.time() - status.st_mtime >= self._interval:
            return True
        now = time.monotonic()
        seen, since = self._young.get(identity, (stamp, now))
        if seen != stamp:
            since = now
        # A look may come a little early.
        if now - since >= 0.9 * self._interval and since != now:
            return True
        young[identity] = (stamp, since)
        return False

    def _check_unchanged(self, path: str, kept: list[int | None] | None, has: Stamp) -> None:
        if kept is None or kept == [has.size, has.mtime_ns]:
            return
        size, mtime_ns = kept
        assert size is not None
        had = Stamp(size, mtime_ns)
        if had.differs(has):
            raise changed(
                path,
                had,
                has,
                when="after it was read, and cannot be read again",
                hint="Its new rows are not read. Move it out of the folder or give it a name that "
                f'begins with "_", and bring them in a file of another name. {RENAME}',
            )

    def _tell_doubts(self, path: str) -> None:
        table = file_table(self._table)
        for doubt in find_format(self._table.options["format"]).doubts(path, table):
            self._tell(f'table "{self._table.name}": {doubt}')

    @property
    def discovery_interval(self) -> float | None:
        return self._interval

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = FilesystemReader(self._table)
        reader.assign(splits)
        return reader

    def setup(self) -> JSON:
        return {}

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        stamp = Stamp.read(result)
        self._finished[split] = [stamp.size, stamp.mtime_ns]
        self._given.discard(split)
        return ()

    def position(self) -> JSON:
        position: JSON = {
            "format": _FORMAT,
            "connector": "filesystem",
            "finished": dict(self._finished),
        }
        if not self.bounded or self._ordered:
            position["given"] = sorted(self._given | self._begun)
        return position

    def _files(self) -> Iterator[tuple[str, str]]:
        """Path, and name within the folder, of every file that is not hidden."""
        root = str(self._root)
        if self._root.is_file():
            yield root, self._root.name
            return
        start = len(root.rstrip("/")) + 1
        walk = os.walk(root, onerror=self._stop_walking, followlinks=True)
        for folder, folders, names in walk:
            folders[:] = [
                f
                for f in folders
                if not is_hidden(f)
                and self._may_hold(f"{folder}/{f}"[start:])
                and not _leads_back(folder, f)
            ]
            for name in names:
                if is_hidden(name):
                    continue
                path = os.path.join(folder, name)  # noqa: PTH118 - several times faster
                if self._pattern is not None and not self._pattern.fullmatch(path):
                    continue
                yield path, path[start:]

    def partitions(self) -> list[str]:
        """Folders in the form of partitions, from the root, in order."""
        if not self._root.is_dir():
            return []
        found = []
        depth = len(self._table.partition_keys)
        start = len(str(self._root).rstrip("/")) + 1
        for folder, folders, _ in os.walk(self._root, onerror=self._stop_walking, followlinks=True):
            level = folder[start:].count("/") + 1 if folder[start:] else 0
            names = [f"{folder}/{f}"[start:] for f in folders if not is_hidden(f)]
            names = [n for n in names if self._values(n) is not None and self._may_hold(n)]
            if level == depth - 1:
                found += names
                folders[:] = []
            else:
                folders[:] = [n.rpartition("/")[2] for n in names]
        return sorted(map(readable, found))

    def _values(self, folder: str) -> dict[str, str | None] | None:
        """Partition values, as texts, that a folder's path from the root names; None for none."""
        names = folder.split("/")
        keys = self._table.partition_keys[: len(names)]
        return parse_partition(names, keys, self._table.options["partition.default-name"])

    def _may_hold(self, folder: str) -> bool:
        """Whether a folder, named from the root, may have wanted rows below it."""
        if not self._wanted:
            return True
        values = self._values(folder)
        # What is no partition is refused when its files are found.
        return values is None or self._wanted.may_hold(values)

    def _stop_walking(self, error: OSError) -> None:
        """A folder that cannot be read is not an empty one; one that is gone is."""
        if not isinstance(error, FileNotFoundError):
            raise self._unreadable(error.filename, error)

    def _partition(self, identity: str) -> dict[str, str | None]:
        keys = self._table.partition_keys
        if not keys:
            return {}
        folders = identity.split("/")[:-1]
        values = parse_partition(folders, keys, self._table.options["partition.default-name"])
        if values is None:
            shape = "/".join(f"{k}=…" for k in keys)
            raise ConnectorError(
                f'"{readable(str(self._root / identity))}" is in no partition of table "{self._table.name}"',
                hint=f"Its files stand in folders {shape}; move the file, or give it a name that "
                'begins with "_".',
            )
        return values


def partition_folders(table: ConnectorTable) -> list[str]:
    """Names of the folders of partitions, but those that the table's filters leave out.

    Raises:
        ConnectorError: a folder cannot be read.
    """
    return FilesystemSource(table, None).partitions()


def _leads_back(folder: str, name: str) -> bool:
    """Whether a folder is a link to one in which it stands."""
    path = Path(folder, name)
    return path.is_symlink() and Path(folder).resolve().is_relative_to(path.resolve())
