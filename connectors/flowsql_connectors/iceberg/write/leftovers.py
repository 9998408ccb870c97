"""Files that a killed attempt made and no snapshot names: found by their names, and removed."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from flowsql_connectors.iceberg.storage import list_files
from flowsql_connectors.iceberg.write.names import UNFINISHED, attempt_of, base_name, run_part
from flowsql_connectors.iceberg.write.target import CREATED_BY, Target

__all__ = ["remove_leftovers", "unreferenced"]

# Seconds, as other programs have it that remove orphan files.
_OLD: Final = 3 * 86_400
_METADATA: Final = re.compile(r"(\d+)-[0-9a-fA-F-]+\.metadata\.json")


def remove_leftovers(target: Target, kept: set[str]) -> list[str]:
    """Remove what earlier attempts of this sink left; gives the locations.

    Nothing is touched that a live process may be about to commit, nor anything of a table that says
    of itself that its files are not its own ('gc.enabled' = 'false').

    Args:
        target: the table and whose attempt this is.
        kept: locations of files that are not in the table yet, but will be.
    """
    if target.metadata.properties.get("gc.enabled", "true").lower() == "false":
        return []
    with target.telling():
        io: Any = target.table.io
        provider = target.table.location_provider()
        found = list_files(io, provider.data_path)
        if not provider.metadata_path.startswith(provider.data_path):
            found |= list_files(io, provider.metadata_path)
        old = time.time() - _OLD
        names = {base_name(path) for path in kept}
        ours = {
            path
            for path, changed in found.items()
            if base_name(path) not in names and _is_dead(path, target, old=changed < old)
        }
        gone = unreferenced(target, ours)
        if target.by_client:
            gone |= _stray_metadata(target, found)
        for location in sorted(gone):
            with contextlib.suppress(FileNotFoundError):
                io.delete(location)
        return sorted(gone)


def _is_dead(path: str, target: Target, *, old: bool) -> bool:
    """Whether nobody is going to commit a file: a sink of this table made it, which is no more."""
    made = attempt_of(path, target.tag)
    if made is None and path.endswith(UNFINISHED):
        made = attempt_of(path, target.sink_tag)
    if made is None:
        return False
    run, number = made
    attempt = target.attempt
    if run == run_part(attempt.run):
        return number != attempt.number
    return old or run in {run_part(dead) for dead in attempt.dead}


def unreferenced(target: Target, candidates: set[str]) -> set[str]:
    """Those of the files that no snapshot of the table names, however old.

    Files are told by the last parts of their locations, which no two of ours share: the folders
    may have been spelled in another way when the snapshot was made.
    """
    left = {base_name(path): path for path in candidates}
    io = target.table.io
    seen: set[str] = set()
    for snapshot in sorted(target.metadata.snapshots, key=lambda s: -(s.sequence_number or 0)):
        if not left:
            break
        left.pop(base_name(snapshot.manifest_list), None)
        for manifest in snapshot.manifests(io):
            left.pop(base_name(manifest.manifest_path), None)
            if manifest.manifest_path in seen or not _may_name(left):
                continue
            seen.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
                left.pop(base_name(entry.data_file.file_path), None)
    return set(left.values())


def _may_name(left: Iterable[str]) -> bool:
    return any(path.endswith(".parquet") for path in left)


def _stray_metadata(target: Target, found: Iterable[str]) -> set[str]:
    """Metadata files that lost their commit: they hold a snapshot of ours that the table has not."""
    metadata = target.metadata
    log = metadata.metadata_log
    known = {
        base_name(p) for p in (target.table.metadata_location, *(e.metadata_file for e in log))
    }
    numbers = [n for p in known if (n := _version(p)) is not None]
    oldest = min(numbers, default=0)
    there = {s.snapshot_id for s in metadata.snapshots}
    gone = set()
    for location in found:
        number = _version(location)
        if number is None or number < oldest or base_name(location) in known:
            continue
        with target.table.io.new_input(location).open() as file:
            text = file.read()
        if _is_stray(text, target, there):
            gone.add(location)
    return gone


def _version(location: str) -> int | None:
    found = _METADATA.fullmatch(base_name(location))
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
        # Made by an attempt of this run that was killed before the catalog had it: another table
        # that has the same folder is of another run.
        made_by = attempt_of(f"{(get('properties') or {}).get(CREATED_BY, '')}.", target.sink_tag)
        mine = (run_part(target.attempt.run), target.attempt.number)
        return not snapshots and made_by is not None and made_by[0] == mine[0] and made_by != mine
    newest = next((s for s in snapshots if s["snapshot-id"] == get("current-snapshot-id")), None)
    if newest is None or newest["snapshot-id"] in there:
        return False
    summary = newest.get("summary", {})
    return (summary.get("flowsql.job-id"), summary.get("flowsql.sink-id")) == (
        target.attempt.job,
        target.sink,
    )
