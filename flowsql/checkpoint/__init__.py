"""Checkpoints on disk: folders of Arrow files and a JSON manifest that decides.

The format is described in docs/checkpoint-format.md; it is open and versioned, so that any tool can
read the state of a job. What goes into a checkpoint, and when, is the runtime's.
"""

from __future__ import annotations

from flowsql.checkpoint.manifest import (
    FORMAT_VERSION,
    FileEntry,
    Manifest,
    SegmentEntry,
    read_manifest,
)
from flowsql.checkpoint.segments import read_segments
from flowsql.checkpoint.store import (
    Checkpoint,
    CheckpointStore,
    Content,
    PendingToken,
    could_not_write,
    load,
)

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "CheckpointStore",
    "Content",
    "FileEntry",
    "Manifest",
    "PendingToken",
    "SegmentEntry",
    "could_not_write",
    "load",
    "read_manifest",
    "read_segments",
]
