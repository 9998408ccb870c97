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

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from flowsql.errors import ConnectorError

__all__ = [
    "Marker",
    "Removal",
    "branch_snapshots",
    "is_marked",
    "last_marker",
    "marked_jobs",
    "snapshots_of",
]

_JOB: Final = "flowsql.job-id"
_RUN: Final = "flowsql.run"
_SINK: Final = "flowsql.sink-id"
_CHECKPOINT: Final = "flowsql.checkpoint-id"
_PROPERTY: Final = "flowsql.committed."
# So many values of the property are the marker's.
_MARKED: Final = 5


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


@dataclass(frozen=True, slots=True)
class Removal:
    """A commit that only takes snapshots out: no snapshot of its metadata tells whose they are.

    Attributes:
        plan: the name of the file that says what may be deleted.
        base: the name of the metadata that it was made from.
    """

    plan: str
    base: str

    @classmethod
    def of(cls, properties: Mapping[str, str], tag: str) -> Removal | None:
        """Told by the property of a sink, which the commits of others carry on; None if it is not."""
        with contextlib.suppress(KeyError, ValueError, TypeError):
            plan, base = json.loads(properties[_PROPERTY + tag])[_MARKED:]
            return cls(str(plan), str(base))
        return None

    def setting(self, properties: Mapping[str, str], tag: str) -> dict[str, str]:
        """For the table: what the property of a sink says, and this."""
        with contextlib.suppress(KeyError, ValueError, TypeError):
            kept = json.loads(properties[_PROPERTY + tag])[:_MARKED]
            return {_PROPERTY + tag: json.dumps([*kept, self.plan, self.base])}
        return {}


def is_marked(snapshot: Snapshot) -> bool:
    """Whether a sink of some job made a snapshot."""
    return _of_snapshot(snapshot) is not None


def snapshots_of(metadata: TableMetadata, marker: Marker) -> set[int]:
    """Ids of those that a marker's sink made for its checkpoint or later ones, on any branch."""
    return {
        found.snapshot
        for s in metadata.snapshots
        if (found := _of_snapshot(s)) is not None
        and found.snapshot is not None
        and (found.job, found.sink) == (marker.job, marker.sink)
        and found.covers(marker)
    }


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
    """The newest marker of a job, or of one of its sinks or runs; None where the branch has none.

    Raises:
        ConnectorError: that cannot be told.
    """

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
    kept = [m for m in _of_properties(metadata) if wanted(m) and _stands(m, oldest, metadata)]
    return max(kept, key=lambda m: m.checkpoint, default=None)


def _stands(kept: Marker, oldest: Snapshot, metadata: TableMetadata) -> bool:
    """Whether what a property tells was not rolled back: its snapshot was on the branch and expired.

    Args:
        kept: the property's.
        oldest: of the branch's snapshots, as far back as they are kept.
        metadata: of the table.

    Raises:
        ConnectorError: that cannot be told.
    """
    reach = oldest.sequence_number or 0
    made = snapshots_of(metadata, kept)
    if made:
        # Not on the branch, as far as that goes.
        hidden = [s for s in metadata.snapshots if s.snapshot_id in made]
        if any((s.sequence_number or 0) < reach for s in hidden):
            raise _untold(kept, hidden[0].snapshot_id)
        return False
    # It would be on the branch; a table's first snapshot has number one.
    return reach > (1 if kept.sequence is None else kept.sequence)


def _untold(kept: Marker, snapshot: int) -> ConnectorError:
    return ConnectorError(
        f"whether the table has the rows of checkpoint {kept.checkpoint} of job "
        f'"{kept.job}" cannot be told',
        detail=f"Snapshot {snapshot} brought them, and those between it and the oldest one that the "
        "branch has left expired: the branch may have been set back.",
        hint="If it was not, let that snapshot expire as well, with the tag or branch that holds it. If "
        "it was, begin anew: run with --fresh.",
        final=True,
    )


def marked_jobs(metadata: TableMetadata, branch: str) -> list[str]:
    """The jobs whose rows a branch has, in order of their names."""
    found = {m.job for s in branch_snapshots(metadata, branch) if (m := _of_snapshot(s))}
    others = {m.job for m in _of_properties(metadata)} - found
    return sorted(found | {job for job in others if _may_have(metadata, branch, job)})


def _may_have(metadata: TableMetadata, branch: str, job: str) -> bool:
    try:
        return last_marker(metadata, branch, job) is not None
    except ConnectorError:
        return True


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
