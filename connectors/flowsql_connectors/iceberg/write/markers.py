"""What a table says of the jobs that wrote it: keys in the summaries of its snapshots.

| key | value |
| --- | --- |
| `flowsql.job-id` | the job |
| `flowsql.run` | its run |
| `flowsql.sink-id` | which of its sinks |
| `flowsql.checkpoint-id` | the checkpoint whose rows the snapshot brings |

The last of them is also a property of the table, `flowsql.committed.<sink>`: snapshots expire.
Properties stay when snapshots are rolled back; so the property tells the snapshot's sequence number
as well, and is believed only where that snapshot can have expired.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

__all__ = ["Marker", "branch_snapshots", "last_marker", "marked_jobs"]

_JOB: Final = "flowsql.job-id"
_RUN: Final = "flowsql.run"
_SINK: Final = "flowsql.sink-id"
_CHECKPOINT: Final = "flowsql.checkpoint-id"
_PROPERTY: Final = "flowsql.committed."


@dataclass(frozen=True, slots=True)
class Marker:
    """A checkpoint whose rows a table has.

    Attributes:
        snapshot: that brought them; None where it expired.
        sequence: its sequence number or a lower one, where a property tells of it.
    """

    job: str
    run: str
    sink: str
    checkpoint: int
    snapshot: int | None = None
    sequence: int | None = None

    @property
    def summary(self) -> dict[str, str]:
        """For the snapshot."""
        return {
            _JOB: self.job,
            _RUN: self.run,
            _SINK: self.sink,
            _CHECKPOINT: str(self.checkpoint),
        }

    def setting(self, tag: str, sequence: int) -> dict[str, str]:
        """For the table.

        Args:
            tag: the sink's.
            sequence: the snapshot's number; it gets a higher one where others come first.
        """
        kept = [self.job, self.run, self.sink, self.checkpoint, sequence]
        return {_PROPERTY + tag: json.dumps(kept)}

    def covers(self, other: Marker) -> bool:
        """Whether the rows of the other one, of the same sink and run, are there as well."""
        return self.run == other.run and self.checkpoint >= other.checkpoint


def branch_snapshots(metadata: TableMetadata, branch: str) -> Iterator[Snapshot]:
    """The snapshots of a branch, newest first, as far back as they are kept."""
    # The client looks for each among all.
    known = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    at = metadata.snapshot_by_name(branch)
    while at is not None:
        yield at
        parent = at.parent_snapshot_id
        at = None if parent is None else known.get(parent)


def last_marker(
    metadata: TableMetadata,
    branch: str,
    job: str,
    sink: str | None = None,
    run: str | None = None,
) -> Marker | None:
    """The newest marker of a job, or of one of its sinks or runs; None where the branch has none."""

    def wanted(found: Marker) -> bool:
        return found.job == job and sink in {None, found.sink} and run in {None, found.run}

    oldest: Snapshot | None = None
    for snapshot in branch_snapshots(metadata, branch):
        marker = _of_snapshot(snapshot)
        if marker is not None and wanted(marker):
            return marker
        oldest = snapshot
    if oldest is None:
        return None
    there = {marker for s in metadata.snapshots if (marker := _of_snapshot(s)) is not None}
    kept = [m for m in _of_properties(metadata) if wanted(m) and not _is_undone(m, oldest, there)]
    return max(kept, key=lambda m: m.checkpoint, default=None)


def _is_undone(kept: Marker, oldest: Snapshot, there: Iterable[Marker]) -> bool:
    """Whether what a property tells was rolled back: its snapshot is not on the branch.

    Args:
        kept: the property's.
        oldest: of the branch's snapshots, as far back as they are kept.
        there: the markers of all the table's snapshots.
    """
    if any(m.sink == kept.sink and m.covers(kept) and m.job == kept.job for m in there):
        return True
    # It would be on the branch; a table's first snapshot has number one.
    return (oldest.sequence_number or 0) <= (1 if kept.sequence is None else kept.sequence)


def marked_jobs(metadata: TableMetadata, branch: str) -> list[str]:
    """The jobs whose rows a branch has, in order of their names."""
    found = {m.job for s in branch_snapshots(metadata, branch) if (m := _of_snapshot(s))}
    others = {m.job for m in _of_properties(metadata)} - found
    return sorted(found | {job for job in others if last_marker(metadata, branch, job)})


def _of_snapshot(snapshot: Snapshot) -> Marker | None:
    summary = snapshot.summary
    if summary is None or summary.get(_JOB) is None:
        return None
    try:
        job, run, sink = (str(summary[key]) for key in (_JOB, _RUN, _SINK))
        return Marker(job, run, sink, int(str(summary[_CHECKPOINT])), snapshot.snapshot_id)
    except (KeyError, ValueError, TypeError):
        return None


def _of_properties(metadata: TableMetadata) -> Iterator[Marker]:
    for key, text in metadata.properties.items():
        if not key.startswith(_PROPERTY):
            continue
        try:
            job, run, sink, checkpoint, *rest = json.loads(text)
            sequence = int(rest[0]) if rest else None
        except (ValueError, TypeError):
            continue
        yield Marker(str(job), str(run), str(sink), int(checkpoint), sequence=sequence)
