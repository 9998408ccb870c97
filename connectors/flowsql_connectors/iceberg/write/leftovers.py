"""Files that a killed attempt made and no snapshot names: found by their names, and removed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from flowsql_connectors.iceberg.storage import list_files
from flowsql_connectors.iceberg.write.names import attempt_of
from flowsql_connectors.iceberg.write.target import CREATED_BY, Target

__all__ = ["remove_leftovers", "unreferenced"]

_METADATA: Final = re.compile(r"(\d+)-[0-9a-fA-F-]+\.metadata\.json")


def remove_leftovers(target: Target, kept: set[str]) -> list[str]:
    """Remove what earlier attempts of this sink left; gives the locations.

    Args:
        target: the table and whose attempt this is.
        kept: locations of files that are not in the table yet, but will be.
    """
    with target.telling():
        io: Any = target.table.io
        provider = target.table.location_provider()
        found = list_files(io, provider.data_path)
        if not provider.metadata_path.startswith(provider.data_path):
            found |= list_files(io, provider.metadata_path)
        mine = (target.attempt.run.replace("-", "_"), target.attempt.number)
        ours = [p for p in found if attempt_of(p, target.tag) not in {None, mine}]
        gone = unreferenced(target, {p for p in ours if p not in kept})
        if target.by_client:
            gone |= _stray_metadata(target, found)
        for location in sorted(gone):
            io.delete(location)
        return sorted(gone)


def unreferenced(target: Target, candidates: set[str]) -> set[str]:
    """Those of the files that no snapshot of the table names, however old."""
    left = set(candidates)
    io = target.table.io
    seen: set[str] = set()
    for snapshot in sorted(target.metadata.snapshots, key=lambda s: -(s.sequence_number or 0)):
        if not left:
            break
        left.discard(snapshot.manifest_list)
        for manifest in snapshot.manifests(io):
            left.discard(manifest.manifest_path)
            if manifest.manifest_path in seen or not _may_name(left):
                continue
            seen.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
                left.discard(entry.data_file.file_path)
    return left


def _may_name(left: Iterable[str]) -> bool:
    return any(path.endswith(".parquet") for path in left)


def _stray_metadata(target: Target, found: Iterable[str]) -> set[str]:
    """Metadata files that lost their commit: they hold a snapshot of ours that the table has not."""
    metadata = target.metadata
    known = {target.table.metadata_location, *(e.metadata_file for e in metadata.metadata_log)}
    numbers = [n for p in known if (n := _version(p)) is not None]
    oldest = min(numbers, default=0)
    there = {s.snapshot_id for s in metadata.snapshots}
    gone = set()
    for location in found:
        number = _version(location)
        if number is None or number < oldest or location in known:
            continue
        with target.table.io.new_input(location).open() as file:
            text = file.read()
        if _is_stray(text, target, there):
            gone.add(location)
    return gone


def _version(location: str) -> int | None:
    found = _METADATA.fullmatch(location.rpartition("/")[2])
    return None if found is None else int(found[1])


def _is_stray(text: bytes, target: Target, there: set[int]) -> bool:
    get: Callable[..., Any]
    try:
        get = json.loads(text).get
    except (ValueError, AttributeError):
        # Cut off while it was written; who wrote it cannot be told.
        return False
    snapshots = get("snapshots") or []
    if get("table-uuid") != str(target.metadata.table_uuid):
        # Made at the same moment as the table, and too late.
        made_by = (get("properties") or {}).get(CREATED_BY, "")
        return not snapshots and attempt_of(f"{made_by}.", target.tag) is not None
    newest = next((s for s in snapshots if s["snapshot-id"] == get("current-snapshot-id")), None)
    if newest is None or newest["snapshot-id"] in there:
        return False
    summary = newest.get("summary", {})
    return (summary.get("flowsql.job-id"), summary.get("flowsql.sink-id")) == (
        target.attempt.job,
        target.sink,
    )
