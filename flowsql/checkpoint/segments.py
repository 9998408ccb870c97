"""Segments as Arrow IPC files, hashed while they are written and checked before they are read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flowsql.checkpoint.manifest import FileEntry, SegmentEntry
from flowsql.connector import DurableFile, open_for_write
from flowsql.errors import StateError
from flowsql.state.table import Segment

__all__ = ["check_file", "hash_file", "read_segments", "write_segment"]

_CHUNK = 4 << 20


class _HashedFile:
    """What Arrow writes to: hashes what passes."""

    def __init__(self, file: DurableFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._hash.update(view)
        self.size += view.nbytes
        return self._file.write(view)

    def flush(self) -> None:
        pass

    def tell(self) -> int:
        return self.size

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def digest(self) -> str:
        return self._hash.hexdigest()


def file_name(owner: str, table: str, part: str) -> str:
    """A file name that tells people what is in it."""
    return re.sub(r"[^A-Za-z0-9_.=-]", "-", f"{owner}.{table}.{part}") + ".arrow"


def write_segment(
    folder: Path, owner: str, segment: Segment, taken: set[str]
) -> tuple[SegmentEntry, FileEntry | None]:
    """Writes and syncs the file of a segment; a segment without rows has none.

    Args:
        folder: the checkpoint's.
        owner: whose table it is.
        segment: what to write.
        taken: file names in use; the new one is added.
    """
    rows = sum(b.num_rows for b in segment.batches)
    if rows == 0:
        schema = base64.b64encode(segment.schema.serialize()).decode()
        return SegmentEntry(segment.table, segment.part, None, 0, schema, segment.meta), None
    name = base = file_name(owner, segment.table, segment.part)
    number = 1
    while name in taken:
        number += 1
        name = base.replace(".arrow", f"~{number}.arrow")
    taken.add(name)
    with open_for_write(folder / name, mode=0o600) as file:
        hashed = _HashedFile(file)
        with pa.ipc.new_file(pa.PythonFile(hashed, mode="w"), segment.schema) as writer:
            for batch in segment.batches:
                writer.write_batch(batch)
        file.sync()
    entry = SegmentEntry(segment.table, segment.part, name, rows, None, segment.meta)
    return entry, FileEntry(name, hashed.size, hashed.digest())


def hash_file(path: Path) -> tuple[int, str]:
    """Length and SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def check_file(folder: Path, entry: FileEntry) -> None:
    """Raises StateError where a file is missing or is not what was written."""
    path = folder / entry.path
    hint = "Start from another checkpoint with --from PATH, or anew with --fresh."
    if ".." in Path(entry.path).parts or Path(entry.path).is_absolute():
        raise StateError(f'the manifest in "{folder}" names "{entry.path}" outside its folder')
    try:
        size = path.stat().st_size
        digest = hash_file(path)[1] if size == entry.bytes else ""
    except FileNotFoundError:
        raise StateError(f'checkpoint file "{path}" is missing', hint=hint) from None
    except OSError as error:
        raise StateError(f'could not read "{path}": {error.strerror}', hint=hint) from None
    if size != entry.bytes:
        raise StateError(
            f'checkpoint file "{path}" is damaged',
            detail=f"It has {size} bytes, {entry.bytes} were written.",
            hint=hint,
        )
    if digest != entry.sha256:
        raise StateError(
            f'checkpoint file "{path}" is damaged',
            detail=f"Its SHA-256 is {digest[:16]}…, that of what was written {entry.sha256[:16]}….",
            hint=hint,
        )


def read_segments(folder: Path, entries: Iterable[SegmentEntry]) -> list[Segment]:
    """The segments of one owner, mapped from their (checked) files."""
    found = []
    for entry in entries:
        batches: Sequence[pa.RecordBatch] = ()
        if entry.file is None:
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(entry.schema or "")))
        else:
            path = folder / entry.file
            try:
                with pa.memory_map(str(path)) as source:
                    reader = pa.ipc.open_file(source)
                    schema = reader.schema
                    batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            except (OSError, pa.ArrowInvalid) as error:
                raise StateError(f'checkpoint file "{path}" cannot be read: {error}') from None
        found.append(Segment(entry.table, entry.part, schema, list(batches), dict(entry.meta)))
    return found
