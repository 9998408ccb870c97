"""Writes files, exactly once: staged while a checkpoint is open, renamed when it is complete."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from flowsql.changelog import Changes, Keys
from flowsql.connector import (
    JSON,
    Committed,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Sink,
    Writer,
    fsync_dir,
    make_dirs,
    remove,
    replace,
    write_file,
)
from flowsql.errors import ConnectorError, DataError, InternalError
from flowsql.formats import BulkWriter, Encoder, Format, find_format, value_text
from flowsql.types import VarCharType
from flowsql_connectors.filesystem.commits import partition_commits
from flowsql_connectors.filesystem.connector import file_table
from flowsql_connectors.filesystem.paths import is_hidden, local_path, partition_folder
from flowsql_connectors.filesystem.staging import Pages, StagedFile, Staging, marked_jobs

__all__ = ["FilesystemSink"]

_FORMAT = 1
# Bytes handed to the operating system at once, and rows of a Parquet row group.
_DRAIN = 4 << 20
_ROW_GROUP = 131_072
_LONGEST_NAME = 255
# Files of changes are read in the order of their names: a number comes first.
_ORDER = re.compile("part-([0-9]{16})-")


class FilesystemSink(Sink):
    """A folder of files; exactly-once."""

    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table
        self._root = local_path(table.options["path"])

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        self._check_root()
        if self._table.overwrite:
            self._check_links()
        staging = Staging(self._root, context.attempt.job, self._table.name)
        for token in previous_tokens:
            _check_there(staging, token)
        try:
            staging.create()
            kept = {staged for token in previous_tokens for staged, _ in _files(token)}
            staging.remove_leftovers(kept)
        except OSError as error:
            raise self._unwritable(error) from None
        writer = FilesystemWriter(self._table, staging, context)
        writer.order = self._last_order(previous_tokens)
        if writer.commits is not None and previous_tokens:
            writer.commits.restore(previous_tokens[-1].get("waiting", {}))
        return writer

    def _last_order(self, tokens: Sequence[JSON]) -> int:
        """The highest number of a file of changes that is there or will be."""
        if not find_format(self._table.options["format"]).changelog:
            return 0
        names = [Path(final).name for token in tokens for _, final in _files(token)]
        for _, _, there in os.walk(self._root, followlinks=True):
            names += there
        return max((int(found[1]) for n in names if (found := _ORDER.match(n))), default=0)

    def committed(self, job: str) -> Committed | None:
        self._check_root()
        return Staging(self._root, job, self._table.name).committed()

    def holders(self) -> Sequence[str]:
        return marked_jobs(self._root)

    def _check_root(self) -> None:
        """What stands at the path, or above it, must be a folder."""
        for path in (self._root, *self._root.parents):
            try:
                mode = path.stat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._unwritable(error) from None
            if stat.S_ISDIR(mode):
                return
            raise self._wrong_path(
                f'"{path}" is a file (table "{self._table.name}")',
                "A sink writes many files: 'path' must be a folder, which is made if it is not "
                "there.",
            )

    def _check_links(self) -> None:
        """What a reader finds through a link is not ours to remove."""
        for path, folders, _ in os.walk(self._root):
            for name in folders:
                if not is_hidden(name) and (Path(path) / name).is_symlink():
                    raise self._wrong_path(
                        f'"{Path(path) / name}" is a link to a folder, which INSERT OVERWRITE '
                        "would have to empty",
                        "Put the files themselves there, or use INSERT INTO.",
                    )

    def _unwritable(self, error: OSError) -> ConnectorError:
        return self._wrong_path(
            f'could not write to folder "{self._root}" (table "{self._table.name}"): '
            f"{error.strerror}",
            "It must be a folder, or one that can be made, in which the user who runs the job may "
            "write.",
        )

    def _wrong_path(self, message: str, hint: str) -> ConnectorError:
        return self._table.places.mark(ConnectorError(message, hint=hint, option="path"))


@dataclass(slots=True)
class _Open:
    """A file being written for one partition."""

    folder: str
    number: int
    staged: StagedFile
    since: float
    last: float
    bulk: BulkWriter | None = None
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0


class FilesystemWriter(Writer):
    """Writes one table.

    Attributes:
        order: of files of changes, the highest number so far.
        commits: the partitions that wait to be marked, where that is asked for.

    Invariant: every row written since the last `prepare` is in an open or a closed file; every
    staged file is open, closed, or named by a token.
    """

    def __init__(self, table: ConnectorTable, staging: Staging, context: ConnectorContext) -> None:
        self._table = table
        self._staging = staging
        self._context = context
        self._inside = file_table(table)
        self._format: Format = find_format(table.options["format"])
        bulk = self._format.bulk
        self._encoder: Encoder | None = None if bulk else self._format.encoder(self._inside)
        self._file_size: int = table.options["sink.rolling-policy.file-size"]
        self._max_age = table.options["sink.rolling-policy.rollover-interval"] / 1000
        self._check_every = table.options["sink.rolling-policy.check-interval"] / 1000
        self._max_idle = table.options["sink.rolling-policy.inactivity-interval"] / 1000
        self._checked = time.monotonic()
        self.commits = partition_commits(table)
        self._open: dict[str, _Open] = {}
        self._closed: list[_Open] = []
        # No name is ever used twice, however often one process opens this sink.
        self._opening = secrets.token_hex(4)
        self._number = 0
        self.order = 0

    def write(self, changes: Changes) -> None:
        updates = changes.codes is not None and changes.codes.any()
        if updates and not self._format.changelog:
            raise InternalError('connector "filesystem" was given updates')
        for folder, part in self._by_partition(changes):
            file = self._open.get(folder)
            if file is None:
                file = self._open[folder] = self._new(folder)
            self._append(file, part)
            if file.staged.size >= self._file_size:
                self._roll(folder)

    def advance(self, watermark: int, *, ended: bool) -> None:
        if self.commits is not None:
            self.commits.advance(watermark, ended=ended)

    def end_step(self) -> None:
        now = time.monotonic()
        if now - self._checked < self._check_every:
            return
        self._checked = now
        for folder, file in list(self._open.items()):
            if now - file.since >= self._max_age or now - file.last >= self._max_idle:
                self._roll(folder)

    def prepare(self, checkpoint: int) -> JSON | None:
        for folder in list(self._open):
            self._roll(folder)
        # An empty result takes the place of what is there, too.
        clears = self._table.overwrite and not self._table.partition_keys
        filled = dict.fromkeys(f.folder for f in self._closed)
        if not self._closed and not clears and not (self.commits and self.commits.waiting):
            return None
        for file in self._closed:
            file.staged.finish()
        try:
            fsync_dir(self._staging.folder)
        except OSError as error:
            raise ConnectorError(
                f'could not write "{self._staging.folder}": {error.strerror}'
            ) from None
        attempt = self._context.attempt
        stem = f"{attempt.run}-{attempt.number}-{checkpoint}-{self._opening}"
        files = []
        for f in self._closed:
            first = "part"
            if self._format.changelog:
                # Later than what other writers of the job have prepared, too: they commit before.
                self.order = max(self.order + 1, time.time_ns() // 1_000)
                first = f"part-{self.order:016d}"
            name = f"{f.folder}{first}-{stem}-{f.number}.{self._format.extension}"
            files.append([f.staged.path.name, name])
        told = {} if self.commits is None else self.commits.take(filled)
        self._closed = []
        return {
            "format": _FORMAT,
            "connector": "filesystem",
            "run": attempt.run,
            "checkpoint": checkpoint,
            "files": files,
            "overwrite": self._table.overwrite,
            **told,
        }

    def commit(self, token: JSON) -> None:
        done = _check_there(self._staging, token)
        root = self._staging.root
        folders: dict[Path, None] = {}
        try:
            for staged, final in _files(token):
                source, target = self._staging.folder / staged, root / final
                if source.exists():
                    make_dirs(target.parent)
                    replace(source, target)
                    folders[target.parent] = None
            for folder in folders:
                fsync_dir(folder)
            if token.get("overwrite") and not done:
                # The new rows are there: a crash before the end leaves both, and this is done again.
                self._remove_others(token)
            if not done:
                self._set_marks(token)
                self._staging.mark(token["run"], token["checkpoint"])
        except OSError as error:
            raise ConnectorError(
                f'could not commit files to "{root}": {error.strerror}',
                hint="Trying again is safe.",
            ) from None

    def _set_marks(self, token: JSON) -> None:
        """Say which partitions are complete: their files are in place by now."""
        for mark in token.get("marks", ()):
            path = self._staging.root / mark
            make_dirs(path.parent)
            write_file(path, b"")
            fsync_dir(path.parent)

    def _remove_others(self, token: JSON) -> None:
        """Remove what other runs wrote: all, or in the partitions that the token fills."""
        root = self._staging.root
        if not self._table.partition_keys:
            places = [root]
        else:
            places = sorted({(root / final).parent for _, final in _files(token)})
        mine = re.compile(f"part-([0-9]{{16}}-)?{re.escape(token['run'])}-")
        for place in places:
            for path, folders, names in os.walk(place):
                folders[:] = [f for f in folders if not is_hidden(f)]
                folder = Path(path)
                gone = [n for n in names if not is_hidden(n) and not mine.match(n)]
                for name in gone:
                    remove(folder / name)
                if gone:
                    fsync_dir(folder)

    def abort(self, token: JSON) -> None:
        for staged, _ in _files(token):
            remove(self._staging.folder / staged)

    def close(self) -> None:
        for file in [*self._open.values(), *self._closed]:
            file.staged.discard()
        self._open, self._closed = {}, []

    def _new(self, folder: str) -> _Open:
        for name in folder.split("/"):
            if len(name.encode()) > _LONGEST_NAME:
                # Found at the commit, it could not be committed ever.
                raise DataError(
                    f'a partition value of table "{self._table.name}" is too long for the name of '
                    "a folder",
                    detail=f"It is {name[:60]}….",
                )
        attempt = self._context.attempt
        number, self._number = self._number, self._number + 1
        name = f"{attempt.run}-{attempt.number}-{self._opening}-{number}"
        path = self._staging.folder / f"{name}.{self._format.extension}"
        staged = StagedFile(path)
        bulk = self._format.writer(Pages(staged), self._inside) if self._format.bulk else None
        now = time.monotonic()
        return _Open(folder, number, staged, now, now, bulk)

    def _append(self, file: _Open, changes: Changes) -> None:
        batch = changes.batch
        file.last = time.monotonic()
        if self._encoder is not None:
            file.staged.write(self._encoder.encode_changes(batch, changes.codes))
        else:
            file.batches.append(batch)
            file.rows += batch.num_rows
            if file.rows >= _ROW_GROUP:
                _flush(file)
        _drain(file)

    def _roll(self, folder: str) -> None:
        file = self._open.pop(folder)
        # Listed first: should closing fail, the next `prepare` takes it up again.
        self._closed.append(file)
        _flush(file)
        if file.bulk is not None:
            file.bulk.close()
            file.bulk = None
        _drain(file)

    def _by_partition(self, changes: Changes) -> Iterator[tuple[str, Changes]]:
        """The rows of each partition, in order, without the partition columns."""
        keys = self._table.partition_keys
        if not keys:
            yield "", changes
            return
        batch = changes.batch
        inside = changes.with_batch(batch.select(list(self._inside.schema.names)))
        texts = [value_text(batch.column(k)) for k in keys]
        numbers, first = Keys.of(texts, (VarCharType(),) * len(keys)).group()
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers))
        default = self._table.options["partition.default-name"]
        for row, rows in zip(first.tolist(), np.split(order, ends[:-1]), strict=True):
            values = {k: text[row].as_py() for k, text in zip(keys, texts, strict=True)}
            yield f"{partition_folder(values, default)}/", inside.take(rows)


def _check_there(staging: Staging, token: JSON) -> bool:
    """Whether a token is committed by now; raises ConnectorError where it cannot be any more."""
    marker = staging.committed()
    run, number = token["run"], token["checkpoint"]
    if marker is not None and marker.run == run and marker.checkpoint >= number:
        return True
    for staged, final in _files(token):
        source = staging.folder / staged
        if not source.exists() and not (staging.root / final).exists():
            raise ConnectorError(
                f'"{source}" is gone before its checkpoint was committed',
                hint=f'Bring back "{staging.root}" from a copy, with what is hidden in it. To begin '
                "anew, empty it and run with --fresh.",
            )
    return False


def _drain(file: _Open) -> None:
    """Let go of bytes; a small file is opened only when it is finished, as there may be many."""
    if file.staged.size >= _DRAIN:
        file.staged.drain()


def _flush(file: _Open) -> None:
    if file.bulk is None or not file.batches:
        return
    file.bulk.write(pa.concat_batches(file.batches))
    file.batches, file.rows = [], 0


def _files(token: JSON) -> list[list[str]]:
    if (token.get("connector"), token.get("format")) != ("filesystem", _FORMAT):
        raise ConnectorError(
            "a token of another connector cannot be committed",
            detail=f"It was written by {token.get('connector')!r}, format {token.get('format')!r}.",
        )
    files: list[list[str]] = token["files"]
    return files
