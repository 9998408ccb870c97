"""Finds the files of a table; each is a split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from flowsql.connector import JSON, ConnectorTable, Reader, Source, Split
from flowsql.errors import ConnectorError
from flowsql_connectors.filesystem.paths import is_hidden, local_path, parse_partition, path_regex
from flowsql_connectors.filesystem.reader import FilesystemReader

__all__ = ["FilesystemSource"]

_FORMAT = 1


class FilesystemSource(Source):
    """The files of one table.

    A split's id is the file's path within the table's folder. The source remembers the files that
    are read to their end, as Flink does: a file is read once, however it changes later.
    """

    def __init__(self, table: ConnectorTable, position: JSON | None) -> None:
        self._table = table
        self._root = local_path(table.options["path"])
        pattern = table.options["source.path.regex-pattern"]
        self._pattern = None if pattern is None else path_regex(pattern)
        interval = table.options["source.monitor-interval"]
        self._interval = None if interval is None else interval / 1000
        self.bounded = interval is None
        self._finished: dict[str, None] = {}
        if position is not None:
            if (position.get("connector"), position.get("format")) != ("filesystem", _FORMAT):
                raise ConnectorError(
                    f'the stored position of table "{table.name}" cannot be read',
                    detail=f"It was written by {position.get('connector')!r}, "
                    f"format {position.get('format')!r}.",
                )
            self._finished = dict.fromkeys(position["finished"])
        self._given: set[str] = set()

    def discover(self) -> Sequence[Split]:
        if not self._root.exists():
            raise ConnectorError(
                f'"{self._root}" does not exist (table "{self._table.name}")',
                hint="Create the folder, or correct option 'path'.",
            )
        found = []
        for path, identity in self._files():
            if identity in self._given or identity in self._finished:
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((status.st_mtime_ns, identity, path, status.st_size))
        found.sort(key=lambda f: f[:2])
        splits = []
        for mtime, identity, path, size in found:
            self._given.add(identity)
            payload: JSON = {
                "path": str(path),
                "size": size,
                "mtime_ms": mtime // 1_000_000,
                "partition": self._partition(identity),
            }
            splits.append(Split(identity, (self._table.name,), payload))
        return splits

    @property
    def discovery_interval(self) -> float | None:
        return self._interval

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = FilesystemReader(self._table)
        reader.assign(splits)
        return reader

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del result
        self._finished[split] = None
        return ()

    def position(self) -> JSON:
        return {"format": _FORMAT, "connector": "filesystem", "finished": list(self._finished)}

    def _files(self) -> Iterator[tuple[Path, str]]:
        if self._root.is_file():
            yield self._root, self._root.name
            return
        for folder, folders, names in os.walk(self._root):
            folders[:] = [f for f in folders if not is_hidden(f)]
            for name in names:
                path = Path(folder, name)
                if is_hidden(name):
                    continue
                if self._pattern is not None and not self._pattern.fullmatch(str(path)):
                    continue
                yield path, path.relative_to(self._root).as_posix()

    def _partition(self, identity: str) -> dict[str, str | None]:
        keys = self._table.partition_keys
        if not keys:
            return {}
        folders = identity.split("/")[:-1]
        values = parse_partition(folders, keys, self._table.options["partition.default-name"])
        if values is None:
            shape = "/".join(f"{k}=…" for k in keys)
            raise ConnectorError(
                f'"{self._root / identity}" is in no partition of table "{self._table.name}"',
                hint=f"Its files stand in folders {shape}; move the file, or give it a name that "
                'begins with "_".',
            )
        return values
