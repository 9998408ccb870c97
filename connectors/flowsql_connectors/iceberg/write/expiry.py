"""Snapshots that are too old leave the table behind a commit, and the files that only they had.

Before the commit a plan names, in a file of its own, what may become useless; behind it, what no
snapshot names any more is deleted, and then the plan. Who dies in between leaves the plan: the next
start goes on with it (`leftovers.py`).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table.snapshots import Snapshot

from flowsql.errors import ConnectorError
from flowsql_connectors.iceberg.write.leftovers import Known, delete_files, unreferenced
from flowsql_connectors.iceberg.write.markers import (
    Marker,
    branch_snapshots,
    is_marked,
    snapshots_of,
)
from flowsql_connectors.iceberg.write.names import PLAN
from flowsql_connectors.iceberg.write.retention import ENABLED, Expiry, ExpirySettings, choose
from flowsql_connectors.iceberg.write.target import Target

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["Expirer", "witnesses"]

# In one go: the job waits meanwhile.
_MOST: Final = 100


def witnesses(
    before: TableMetadata, after: TableMetadata, gone: Sequence[Snapshot], branch: str
) -> list[Snapshot]:
    """Snapshots that name every file that stays and that those that are gone named as well.

    A sink of ours adds files that are new, and keeps some of those of the snapshot before: where that
    one is looked at, its own need not be, if all that is gone is behind it on one line.

    Args:
        before: with what is gone.
        after: without.
        gone: what is.
        branch: the line.
    """
    line = {s.snapshot_id for s in branch_snapshots(before, branch)}
    if not line.issuperset(s.snapshot_id for s in gone):
        return list(after.snapshots)
    last = max((s.sequence_number or 0 for s in gone), default=0)
    known = {s.snapshot_id for s in before.snapshots}
    there = {s.snapshot_id for s in after.snapshots}
    return [
        s
        for s in after.snapshots
        if not is_marked(s)
        or s.parent_snapshot_id not in there
        or (s.sequence_number or 0) <= last
        or s.snapshot_id not in known
    ]


class Expirer:
    """Looks after one table.

    Raises:
        ConnectorError: the table says that its files are not its own.
    """

    def __init__(self, target: Target, settings: ExpirySettings) -> None:
        if settings.enabled and not target.owns_files:
            raise ConnectorError(
                f"'{ENABLED}' = 'true' is refused: table \"{target.declared.name}\" has "
                "'gc.enabled' = 'false'",
                detail="Its files may belong to other tables as well, and would be deleted.",
                hint="Leave the option out, or set the table's property to 'true'.",
                final=True,
            )
        self._target = target
        self._settings = settings
        self._commits = 0
        self._last = time.monotonic()

    def committed(self, marker: Marker, seen: int | None, known: Known) -> None:
        """Behind a commit: look whether something is too old, if it is time.

        Args:
            marker: of what was committed.
            seen: a snapshot that the sink goes on from.
            known: the files of manifests that were read.
        """
        settings, target = self._settings, self._target
        self._commits += 1
        waited = time.monotonic() - self._last
        due = self._commits >= settings.commits or waited >= settings.interval
        if not settings.enabled or not due or not target.owns_files:
            return
        metadata = target.metadata
        kept = snapshots_of(metadata, marker)
        if seen is not None:
            kept.add(seen)
        chosen = choose(metadata, settings, target.branch, kept, int(1000 * time.time()))
        some = Expiry(chosen.snapshots[:_MOST], chosen.refs)
        if some and not self._remove(some, known):
            return
        if len(some.snapshots) == len(chosen.snapshots):
            self._commits, self._last = 0, time.monotonic()

    def _remove(self, chosen: Expiry, known: Known) -> bool:
        """Whether it could be done; others may have come first."""
        target = self._target
        before = target.metadata
        with target.telling():
            io: Any = target.table.io
            try:
                files = _named(before, chosen.snapshots, io)
            except FileNotFoundError:
                # Others let something expire that stays here: next time.
                return False
            name = target.names.new(PLAN)
            plan = target.table.location_provider().new_metadata_location(name)
            with io.new_output(plan).create() as out:
                out.write(json.dumps(sorted(files)).encode())
            ids = {s.snapshot_id for s in chosen.snapshots}
            if not target.remove(ids, chosen.refs, name):
                delete_files(io, [plan])
                return False
            left = witnesses(before, target.metadata, chosen.snapshots, target.branch)
            # Where others let one of those expire meanwhile, the next start goes on with the plan.
            with contextlib.suppress(FileNotFoundError):
                delete_files(io, sorted(unreferenced(target, files, left, known)))
                delete_files(io, [plan])
        return True


def _named(metadata: TableMetadata, gone: Sequence[Snapshot], io: Any) -> set[str]:
    """Locations of all that snapshots name, but for what some other one surely does as well."""
    ids = {s.snapshot_id for s in gone}
    heads = {ref.snapshot_id for ref in metadata.refs.values()} - ids
    staying = {s.snapshot_id: s for s in metadata.snapshots if s.snapshot_id not in ids}
    # The next one keeps most of what the last one had.
    near = [s for s in staying.values() if s.snapshot_id in heads or s.parent_snapshot_id in ids]
    shared = {m.manifest_path for s in near for m in s.manifests(io)}
    found: set[str] = set()
    read: set[str] = set()
    for snapshot in gone:
        found.add(snapshot.manifest_list)
        for manifest in _manifests(snapshot, io):
            path = manifest.manifest_path
            if path in shared or path in read:
                continue
            read.add(path)
            found.add(path)
            found |= {file.file_path for file in _files(manifest, io)}
    every: list[Any] = [*metadata.statistics, *metadata.partition_statistics]
    kept = {s.statistics_path for s in every if s.snapshot_id not in ids}
    return found | {s.statistics_path for s in every if s.snapshot_id in ids} - kept


# Others may have deleted some of it already.


def _manifests(snapshot: Snapshot, io: Any) -> list[ManifestFile]:
    with contextlib.suppress(FileNotFoundError):
        return snapshot.manifests(io)
    return []


def _files(manifest: ManifestFile, io: Any) -> list[DataFile]:
    with contextlib.suppress(FileNotFoundError):
        return [e.data_file for e in manifest.fetch_manifest_entry(io, discard_deleted=True)]
    return []
