"""The checkpoints of one job: a folder `chk-<n>` each, decided by its manifest.

Order of a write: all other files, each synced; `manifest.json.tmp`, synced; its rename to
`manifest.json`; sync of the folder. A folder without a manifest is a leftover. Files that several
checkpoints need (pending output, bulk of sink tokens) are hard links: each checkpoint is whole by
itself and can be removed, copied or moved without a look at the others.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowsql.checkpoint.manifest import MANIFEST, FileEntry, Manifest, SegmentEntry, read_manifest
from flowsql.checkpoint.segments import check_file, hash_file, read_segments, write_segment
from flowsql.connector import (
    fsync_dir,
    link,
    make_dirs,
    open_for_write,
    remove,
    remove_tree,
    replace,
    write_file,
)
from flowsql.errors import StateError
from flowsql.state.table import Segment

__all__ = ["Checkpoint", "CheckpointStore", "Content", "PendingToken"]

JSON = dict[str, Any]

TOKEN_FOLDER = "token-files"  # noqa: S105 - bulk of sinks' tokens, no secret


@dataclass(frozen=True, slots=True)
class PendingToken:
    """A sink's token on its way into manifests.

    Attributes:
        checkpoint: at which it was prepared.
        token: what `commit` takes.
        files: names of its bulk in the folder of token files.
    """

    checkpoint: int
    token: JSON
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """What the runtime wants in a checkpoint; see `Manifest` for the parts of equal name.

    Attributes:
        segments: owner → its tables' pieces.
        linked: owner → (entry, file): pieces that stand in files which never change again; the
            entry's `file` is their name.
        tokens: sink → its tokens that may not be committed yet, oldest first.
        committed: as in `Manifest`; the writer's own copy.
    """

    job: str
    run: str
    attempt: int
    checkpoint: int
    step: int
    created: str
    finished: bool
    fingerprint: str
    plan: JSON
    sources: dict[str, JSON]
    watermarks: dict[str, JSON]
    operators: dict[str, JSON]
    segments: dict[str, list[Segment]]
    tokens: dict[str, list[PendingToken]]
    linked: dict[str, list[tuple[SegmentEntry, Path]]] = field(default_factory=dict)
    committed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint found on disk, its files checked."""

    folder: Path
    manifest: Manifest

    @property
    def bytes(self) -> int:
        """Length of all its files but the manifest."""
        return sum(f.bytes for f in self.manifest.files)

    def segments(self, owner: str) -> list[Segment]:
        """The state of one owner; empty where it has none."""
        return read_segments(self.folder, self.manifest.tables.get(owner, ()))

    def check(self) -> None:
        """Compares every file with its length and hash; raises StateError naming the file."""
        for entry in self.manifest.files:
            check_file(self.folder, entry)


class CheckpointStore:
    """Writes, lists and removes the checkpoints in one folder.

    Args:
        folder: `<job folder>/checkpoints`; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token_files = folder / TOKEN_FOLDER

    def prepare(self) -> None:
        """Make the folders; raises StateError."""
        try:
            make_dirs(self.token_files, mode=0o700)
        except OSError as error:
            raise could_not_write(f'folder "{self.folder}"', self.folder, error) from None

    def numbers(self) -> list[int]:
        """The decided checkpoints, ascending."""
        found = []
        for name in self._names():
            match = re.fullmatch(r"chk-(\d+)", name)
            if match and (self.folder / name / MANIFEST).is_file():
                found.append(int(match[1]))
        return sorted(found)

    def path(self, number: int) -> Path:
        """The folder of a checkpoint."""
        return self.folder / f"chk-{number}"

    def load(self, number: int) -> Checkpoint:
        """A checkpoint of this job, its manifest checked (its files are not)."""
        return load(self.path(number))

    def write(self, content: Content, proceed: Callable[[], None]) -> Checkpoint:
        """Writes a checkpoint; when this returns, it is decided.

        Args:
            content: what to write.
            proceed: called before each file, at last before the manifest; raises to give up.

        Raises:
            StateError: the disk did not take it; nothing of it is left.
        """
        folder = self.path(content.checkpoint)
        try:
            remove_tree(folder)
            make_dirs(folder, mode=0o700)
            tables, files = self._write_files(folder, content, proceed)
            tokens = {}
            for sink, pending in content.tokens.items():
                tokens[sink] = [self._link_token(folder, t, files) for t in pending]
            manifest = Manifest(
                content.job, content.run, content.attempt, content.checkpoint, content.step,
                content.created, content.finished, content.fingerprint, content.plan,
                content.sources, content.watermarks, content.operators, tables, tokens, files,
                content.committed,
            )  # fmt: skip
            fsync_dir(folder)
            proceed()
            decide(folder, manifest)
        except OSError as error:
            self._give_up(folder)
            what = f'checkpoint {content.checkpoint} of job "{content.job}"'
            raise could_not_write(what, self.folder, error) from None
        except BaseException:
            self._give_up(folder)
            raise
        return Checkpoint(folder, manifest)

    def retain(self, keep: int) -> list[int]:
        """Removes all but the newest `keep` checkpoints; returns those that are left.

        Raises:
            StateError: the disk did not let them go.
        """
        numbers = self.numbers()
        dropped, kept = numbers[:-keep], numbers[-keep:]
        if dropped:
            gone: set[str] = set()
            with _told(self.folder):
                for number in dropped:
                    gone |= self._token_names(number)
                    self.remove(number)
                for number in kept:
                    gone -= self._token_names(number)
                for name in sorted(gone):
                    remove(self.token_files / name)
        return kept

    def remove(self, number: int) -> None:
        """Removes a checkpoint, its manifest first; raises StateError."""
        with _told(self.folder):
            remove(self.path(number) / MANIFEST)
            fsync_dir(self.path(number))
            remove_tree(self.path(number))

    def clean(self, resumed: Checkpoint | None) -> None:
        """At a start: removes undecided checkpoints and brings the token files of `resumed`.

        Token files that neither it nor another retained checkpoint names are leftovers.

        Raises:
            StateError: the disk did not take it.
        """
        with _told(self.folder):
            self._clean(resumed)

    def _clean(self, resumed: Checkpoint | None) -> None:
        decided = set(self.numbers())
        for name in self._names():
            match = re.fullmatch(r"chk-(\d+)", name)
            if match and int(match[1]) not in decided:
                remove_tree(self.folder / name)
        named = set[str]().union(*(self._token_names(n) for n in decided))
        if resumed is not None:
            for name, path in _token_paths(resumed.manifest):
                named.add(name)
                if not (self.token_files / name).exists():
                    copy_file(resumed.folder / path, self.token_files / name)
        for entry in sorted(self.token_files.iterdir()):
            if entry.name not in named:
                remove(entry)
        fsync_dir(self.token_files)

    def copy_to(self, number: int, target: Path) -> Path:
        """A savepoint: a copy of checkpoint `number` in `target`, sharing no file with it.

        Raises:
            StateError: `target` holds something, or the disk did not take it.
        """
        try:
            if target.exists() and any(target.iterdir()):
                raise StateError(
                    f'savepoint folder "{target}" is not empty', hint="Name a new folder."
                )
            make_dirs(target, mode=0o700)
            source = self.load(number)
            for entry in source.manifest.files:
                copy_file(source.folder / entry.path, target / entry.path)
            fsync_dir(target)
            decide(target, source.manifest)
        except OSError as error:
            raise could_not_write(
                f'savepoint "{target}"', target, error, elsewhere="name a folder on another one"
            ) from None
        return target

    def _write_files(
        self, folder: Path, content: Content, proceed: Callable[[], None]
    ) -> tuple[dict[str, list[SegmentEntry]], list[FileEntry]]:
        tables: dict[str, list[SegmentEntry]] = {}
        files: list[FileEntry] = []
        taken: set[str] = {MANIFEST}
        for owner, segments in content.segments.items():
            tables[owner] = []
            for segment in segments:
                proceed()
                entry, file = write_segment(folder, owner, segment, taken)
                tables[owner].append(entry)
                if file is not None:
                    files.append(file)
        for owner, pieces in content.linked.items():
            for entry, path in pieces:
                assert entry.file is not None
                proceed()
                link(path, folder / entry.file)
                files.append(FileEntry(entry.file, *hash_file(path)))
                tables.setdefault(owner, []).append(entry)
        return tables, files

    def _link_token(self, folder: Path, pending: PendingToken, files: list[FileEntry]) -> JSON:
        linked = {}
        known = {f.path for f in files}
        for name in pending.files:
            path = f"token.{name}"
            linked[name] = path
            if path not in known:
                link(self.token_files / name, folder / path)
                files.append(FileEntry(path, *hash_file(folder / path)))
        return {"checkpoint": pending.checkpoint, "token": pending.token, "files": linked}

    def _token_names(self, number: int) -> set[str]:
        try:
            manifest = self.load(number).manifest
        except StateError:
            # A damaged one names nothing that could be relied on.
            return set()
        return {name for name, _ in _token_paths(manifest)}

    def _names(self) -> Sequence[str]:
        try:
            return sorted(p.name for p in self.folder.iterdir())
        except FileNotFoundError:
            return ()

    def _give_up(self, folder: Path) -> None:
        """Removes what was written; on a failing disk the next start does."""
        try:
            if not (folder / MANIFEST).exists():
                remove_tree(folder)
        except OSError:
            return


def load(folder: Path) -> Checkpoint:
    """A checkpoint or savepoint; raises StateError where the manifest is not good."""
    return Checkpoint(folder, read_manifest(folder))


def decide(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that it is there whole or not at all."""
    temporary = folder / f"{MANIFEST}.tmp"
    write_file(temporary, manifest.encode(), mode=0o600)
    replace(temporary, folder / MANIFEST)
    fsync_dir(folder)


def copy_file(source: Path, target: Path) -> None:
    """A synced copy."""
    with source.open("rb") as reader, open_for_write(target, mode=0o600) as writer:
        shutil.copyfileobj(reader, writer, 4 << 20)
        writer.sync()


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """A disk that refuses is an error with its cure."""
    try:
        yield
    except OSError as error:
        raise could_not_write(f'folder "{folder}"', folder, error) from None


_MOVED = (
    "move the job's folder to another one and set 'execution.checkpointing.dir' to the folder that "
    "holds it then"
)


def could_not_write(
    what: str, folder: Path, error: OSError, *, elsewhere: str = _MOVED
) -> StateError:
    """The error for a disk that refuses, with the cure for what it said.

    Args:
        what: was to be written.
        folder: where.
        error: of the operating system.
        elsewhere: what can be done where that disk is full.
    """
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = f'Free space on the disk of "{folder}", or {elsewhere}.'
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = f'Give this user the right to write to "{folder}".'
    elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
        hint = f'A file stands where a folder on the way to "{folder}" belongs: move it away.'
    else:
        hint = f'Look at the disk of "{folder}".'
    reason = (error.strerror or str(error)).lower()
    return StateError(f"could not write {what}: {reason}", hint=hint)


def _token_paths(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for tokens in manifest.tokens.values():
        for token in tokens:
            yield from token["files"].items()
