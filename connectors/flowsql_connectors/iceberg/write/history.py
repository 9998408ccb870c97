"""Snapshots leave a table's metadata, with the branches and tags that are too old.

The client's own way leaves no trace of the parents that are gone, and a log of the current
snapshots with holes, by which a look at some moment in the past would find a wrong one. Here both
are as the format's reference implementation leaves them: a snapshot goes on naming its parent, so
that who stood at that one can go on, and the log begins behind the last hole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Final

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    SetPropertiesUpdate,
    ValidatableTableRequirement,
    _apply_table_update,
)

from flowsql_connectors.iceberg.write.commit import Conflict

__all__ = ["commit_removal"]


class _RemoveSnapshots(RemoveSnapshotsUpdate):
    """Snapshots that nothing names are taken out."""


class _SameRefs(ValidatableTableRequirement):
    """No branch or tag has come, gone or moved: one may name what is removed."""

    type: str = "same-refs"
    refs: dict[str, int]

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        if base_metadata is None or _heads(base_metadata) != self.refs:
            raise CommitFailedException("Requirement failed: branches or tags have changed")


_BY_CLIENT: Final = _apply_table_update.dispatch(RemoveSnapshotsUpdate)


@_apply_table_update.register(_RemoveSnapshots)
def _(update: _RemoveSnapshots, base_metadata: TableMetadata, context: Any) -> TableMetadata:
    gone = set(update.snapshot_ids)
    made = _BY_CLIENT(update, base_metadata, context)
    log: list[Any] = []
    for entry in base_metadata.snapshot_log:
        if entry.snapshot_id in gone:
            log.clear()
        else:
            log.append(entry)
    return made.model_copy(
        update={
            "snapshots": [s for s in base_metadata.snapshots if s.snapshot_id not in gone],
            "snapshot_log": log,
            "partition_statistics": [
                s for s in base_metadata.partition_statistics if s.snapshot_id not in gone
            ],
        }
    )


def commit_removal(
    table: Table,
    snapshots: Collection[int],
    refs: Collection[str],
    settings: Mapping[str, str],
    *,
    by_client: bool,
) -> None:
    """Take snapshots out of a table, as it is known.

    Args:
        table: its metadata are those of the commit afterwards.
        snapshots: their ids; no branch or tag that stays names them.
        refs: branches and tags that go.
        settings: properties that the table gets in the same commit.
        by_client: whether the metadata are written here rather than by the catalog's server.

    Raises:
        Conflict: others have changed the table meanwhile; nothing was committed.
    """
    before = table.metadata
    heads = _heads(before)
    requirements: list[Any] = [AssertTableUUID(uuid=before.table_uuid)]
    if by_client:
        requirements.append(_SameRefs(refs=heads))
    else:
        given = [{"ref": name, "snapshot-id": head} for name, head in heads.items()]
        requirements += [AssertRefSnapshotId.model_validate(r) for r in given]
    gone: list[Any] = [{"ref-name": name} for name in sorted(refs)]
    updates: list[Any] = [RemoveSnapshotRefUpdate.model_validate(r) for r in gone]
    remove = _RemoveSnapshots if by_client else RemoveSnapshotsUpdate
    updates.append(remove.model_validate({"snapshot-ids": sorted(snapshots)}))
    if settings:
        updates.append(SetPropertiesUpdate(updates=dict(settings)))
    try:
        table._do_commit(tuple(updates), tuple(requirements))  # noqa: SLF001 - no other way
    except (CommitFailedException, ValidationException) as error:
        raise Conflict(str(error)) from None
    except Exception:
        # The answer may be lost, and not the commit.
        if not _is_done(table, snapshots):
            raise


def _heads(metadata: TableMetadata) -> dict[str, int]:
    return {name: ref.snapshot_id for name, ref in metadata.refs.items()}


def _is_done(table: Table, snapshots: Collection[int]) -> bool:
    """Whether the snapshots are gone, as far as the catalog can be asked."""
    with contextlib.suppress(Exception):
        there = {s.snapshot_id for s in table.refresh().metadata.snapshots}
        return there.isdisjoint(snapshots)
    return False
