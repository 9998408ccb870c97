"""The manifest: one JSON file whose presence makes a checkpoint.

`{"manifest": {…}, "sha256": "…"}`, the hash over the canonical text of the inner object (keys
sorted, no blanks, UTF-8). Every other file of the checkpoint is listed in it with its length and
hash, so that damage is noticed before anything is restored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from flowsql.errors import StateError

__all__ = ["FORMAT_VERSION", "FileEntry", "Manifest", "SegmentEntry", "read_manifest"]

JSON = dict[str, Any]

FORMAT = "flowsql-checkpoint"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the checkpoint.

    Attributes:
        path: relative to the manifest's folder, with `/`.
        bytes: its length.
        sha256: hash of its content.
    """

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A piece of a state table.

    Attributes:
        table: name of the table within its owner.
        part: which piece of it.
        file: path of the Arrow IPC file in `files`; None where the piece has no rows.
        rows: rows in the file.
        schema: base64 of the Arrow schema message where there is no file.
        meta: what the table needs to restore beside the rows.
    """

    table: str
    part: str
    file: str | None
    rows: int
    schema: str | None = None
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint holds.

    Attributes:
        job, run, attempt, checkpoint: whose it is, see `Attempt`.
        step: number of the last step it contains.
        created: when it was decided, ISO 8601 in UTC.
        finished: the job was over; it is not resumed from here.
        fingerprint: of the statement.
        plan: the physical plan that runs.
        sources: group → `{"tables", "position", "consistent"}`.
        watermarks: scan → its assigner's state.
        operators: owner → `{"watermark", "counters"}`.
        tables: owner → segments of its state tables. An owner is an operator's id, or an id with
            `/writer` or `/pending` behind it for what belongs to a sink.
        tokens: sink → tokens in order, each `{"checkpoint", "token", "files"}`; `files` are the
            token's bulk, name → path in `files` below.
        files: all files beside this one.
        committed: sink with a marker of its own → the last checkpoint that was committed to it
            when this one was taken. Older manifests don't say.
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
    tables: dict[str, list[SegmentEntry]]
    tokens: dict[str, list[JSON]]
    files: list[FileEntry]
    committed: dict[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The content of `manifest.json`."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        inner = {"format": FORMAT, "version": FORMAT_VERSION, **kept}
        outer = {"manifest": inner, "sha256": _hash(inner)}
        # Indented it would be encoded in Python, which a step beside it feels.
        return _bytes(json.dumps(outer, ensure_ascii=False, default=asdict))


def _hash(inner: Mapping[str, Any]) -> str:
    text = json.dumps(
        inner, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=asdict
    )
    return hashlib.sha256(_bytes(text)).hexdigest()


def _bytes(text: str) -> bytes:
    # Names of files that are not UTF-8 stand in positions, as half surrogate pairs.
    return text.encode("utf-8", "surrogatepass")


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a checkpoint's folder, checked.

    Raises:
        StateError: there is none, it is damaged, or not one that this version reads.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StateError(
            f'there is no checkpoint at "{folder}"',
            detail=_found_beside(folder),
            hint="Name the folder that holds manifest.json.",
        ) from None
    except OSError as error:
        raise StateError(f'could not read "{path}": {error.strerror}') from None
    try:
        outer = json.loads(content)
        inner = outer["manifest"]
        stated = outer["sha256"]
        version = inner["version"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, "It is no JSON with the parts of a manifest.") from None
    if inner.get("format") != FORMAT:
        raise StateError(
            f'"{path}" is not the manifest of a flowsql checkpoint',
            hint="Checkpoints of Apache Flink cannot be read; start from a flowsql checkpoint.",
        )
    if version != FORMAT_VERSION:
        raise StateError(
            f'checkpoint "{folder}" has format {version}, this version reads {FORMAT_VERSION}',
            hint="Restore it with the version of flowsql that wrote it, or a later one.",
        )
    if _hash(inner) != stated:
        raise _damaged(path, "Its content does not have the hash that stands in it.")
    known = {name: inner[name] for name in Manifest.__slots__ if name in inner}
    try:
        known["tables"] = {
            owner: [SegmentEntry(**s) for s in segments]
            for owner, segments in inner["tables"].items()
        }
        known["files"] = [FileEntry(**f) for f in inner["files"]]
        return Manifest(**known)
    except (KeyError, TypeError, AttributeError):
        raise _damaged(path, "Parts of it are missing.") from None


def _damaged(path: Path, detail: str) -> StateError:
    return StateError(
        f'checkpoint file "{path}" is damaged',
        detail=detail,
        hint="Start from another checkpoint with --from PATH, or anew with --fresh.",
    )


def _found_beside(folder: Path) -> str | None:
    if (folder / "_metadata").is_file():
        return "It holds a checkpoint of Apache Flink, which cannot be read."
    try:
        found = sorted(p.parent.name for p in folder.glob(f"*/{MANIFEST}"))
    except OSError:
        return None
    return f"It has the checkpoints {', '.join(found)}." if found else None
