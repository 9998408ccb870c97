"""Files that a killed attempt made and no snapshot names: found by their names, and removed.

So are those of which a plan says that an attempt was about to delete them (`expiry.py`).
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pyiceberg.manifest import DataFile
from pyiceberg.table.snapshots import Snapshot

from flowsql_connectors.iceberg.storage import list_files
from flowsql_connectors.iceberg.write.markers import Removal
from flowsql_connectors.iceberg.write.names import (
    PLAN,
    UNFINISHED,
    attempt_of,
    base_name,
    run_part,
)
from flowsql_connectors.iceberg.write.target import CREATED_BY, Target

__all__ = ["Known", "delete_files", "remove_leftovers", "unreferenced"]

# The files of a manifest that was read, by its location; None of any other.
Known = Callable[[str], Sequence[DataFile] | None]

# Seconds, as other programs have it that remove orphan files.
_OLD: Final = 3 * 86_400
# Of ours, that no manifest names.
_NO_CONTENT: Final = (".avro", PLAN)
_METADATA: Final = re.compile(r"(\d+)-[0-9a-fA-F-]+\.metadata\.json")


def remove_leftovers(target: Target, kept: set[str]) -> list[str]:
    """Remove what earlier attempts of this sink left; gives the locations.

    Nothing is touched that a live process may be about to commit, nor anything of a table that says
    of itself that its files are not its own ('gc.enabled' = 'false').

    Args:
        target: the table and whose attempt this is.
        kept: locations of files that are not in the table yet, but will be.
    """
    if not target.owns_files:
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
        plans = {path for path in ours if path.endswith(PLAN)}
        for path in sorted(plans):
            ours |= {p for p in _planned(io, path) if base_name(p) not in names}
        gone = unreferenced(target, ours)
        if target.by_client:
            gone |= _stray_metadata(target, found, old=old)
        # As long as a plan is there, it can be followed again.
        deleted = [*sorted(gone - plans), *sorted(plans)]
        delete_files(io, deleted)
        return deleted


def delete_files(io: Any, locations: Iterable[str]) -> None:
    """Delete files; they may be gone already."""
    for location in locations:
        with contextlib.suppress(FileNotFoundError):
            io.delete(location)


def _planned(io: Any, plan: str) -> list[str]:
    """What a plan says; nothing where it was not complete: then nothing was done by it either."""
    try:
        with io.new_input(plan).open() as file:
            found = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return []
    return [str(path) for path in found]


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


def unreferenced(
    target: Target,
    candidates: set[str],
    snapshots: Iterable[Snapshot] | None = None,
    known: Known = lambda _: None,
) -> set[str]:
    """Those of the files that no snapshot of the table names, however old.

    Files are told by the last parts of their locations, which no two of ours share: the folders
    may have been spelled in another way when the snapshot was made.

    Args:
        target: the table.
        candidates: locations.
        snapshots: those to look at; all of them if not given.
        known: what is known of manifests.
    """
    left: dict[str, set[str]] = defaultdict(set)
    for path in candidates:
        left[base_name(path)].add(path)
    io = target.table.io
    seen: set[str] = set()
    asked = target.metadata.snapshots if snapshots is None else snapshots
    for snapshot in sorted(asked, key=lambda s: -(s.sequence_number or 0)):
        if not left:
            break
        left.pop(base_name(snapshot.manifest_list), None)
        for manifest in snapshot.manifests(io):
            left.pop(base_name(manifest.manifest_path), None)
            if manifest.manifest_path in seen or not _may_name(left, target.tag):
                continue
            seen.add(manifest.manifest_path)
            files = known(manifest.manifest_path)
            if files is None:
                entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
                files = [entry.data_file for entry in entries]
            for file in files:
                left.pop(base_name(file.file_path), None)
    return {path for paths in left.values() for path in paths}


def _may_name(left: Iterable[str], tag: str) -> bool:
    """Whether there is something among files, told by their names, that a manifest may name."""
    return not all(
        name.endswith(_NO_CONTENT) and attempt_of(name, tag) is not None for name in left
    )


def _stray_metadata(target: Target, found: Mapping[str, float], *, old: float) -> set[str]:
    """Metadata files of ours that lost their commit.

    They hold a snapshot of ours that the table has not, or lack some that it has.

    Args:
        target: the table.
        found: files → when they were changed.
        old: files that are older are nobody's any more; seconds since 1970.
    """
    metadata = target.metadata
    log = metadata.metadata_log
    known = {
        base_name(p) for p in (target.table.metadata_location, *(e.metadata_file for e in log))
    }
    numbers = [n for p in known if (n := _version(p)) is not None]
    oldest = min(numbers, default=0)
    there = {s.snapshot_id for s in metadata.snapshots}
    gone = set()
    for location, changed in found.items():
        number = _version(location)
        if number is None or number < oldest or base_name(location) in known:
            continue
        with target.table.io.new_input(location).open() as file:
            text = file.read()
        if _is_stray(text, target, there, old=changed < old):
            gone.add(location)
    return gone


def _version(location: str) -> int | None:
    found = _METADATA.fullmatch(base_name(location))
    return None if found is None else int(found[1])


def _is_stray(text: bytes, target: Target, there: set[int], *, old: bool) -> bool:
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
    removal = Removal.of(get("properties") or {}, target.sink_tag)
    log = get("metadata-log") or [{}]
    if removal is not None and removal.base == base_name(log[-1].get("metadata-file", "")):
        # Of no one else: what is carried on from another one has a base behind that.
        return _is_dead(removal.plan, target, old=old)
    newest = next((s for s in snapshots if s["snapshot-id"] == get("current-snapshot-id")), None)
    if newest is None or newest["snapshot-id"] in there:
        return False
    summary = newest.get("summary", {})
    return (summary.get("flowsql.job-id"), summary.get("flowsql.sink-id")) == (
        target.attempt.job,
        target.sink,
    )
