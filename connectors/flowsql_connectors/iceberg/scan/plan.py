"""Which snapshot is read, which files it has, and what one changed against its parent."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
from pyiceberg.expressions import BooleanExpression
from pyiceberg.manifest import (
    INITIAL_SEQUENCE_NUMBER,
    DataFileContent,
    ManifestContent,
    ManifestEntryStatus,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import ManifestGroupPlanner, Table
from pyiceberg.table.delete_file_index import DeleteFileIndex
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.transforms import VoidTransform
from pyiceberg.typedef import Record

from flowsql.connector import ConnectorTable
from flowsql.errors import ConnectorError, nearest
from flowsql_connectors.iceberg.scan.deletes import DeletedRows, Positions

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry

__all__ = [
    "Change",
    "ReadFile",
    "appended_files",
    "branch_head",
    "changes_of",
    "chosen_snapshot",
    "files_of",
    "is_first",
    "is_undivided",
    "line_of",
    "named_snapshot",
    "show_snapshot",
]

_MAIN: Final = "main"


def show_snapshot(snapshot: Snapshot) -> str:
    """For people."""
    operation = snapshot.summary.operation.value if snapshot.summary else "unknown"
    return f"{snapshot.snapshot_id} ({operation})"


def chosen_snapshot(table: Table, declared: ConnectorTable) -> int | None:
    """The snapshot that a batch scan reads; None where the table has none yet.

    Raises:
        ConnectorError: the one that is asked for is not there.
    """
    options = declared.options
    if (wanted := options["snapshot-id"]) is not None:
        if table.snapshot_by_id(wanted) is None:
            raise ConnectorError(
                f'table "{declared.name}" has no snapshot {wanted}',
                hint=_known(table),
                option="snapshot-id",
            )
        return int(wanted)
    if (moment := options["as-of-timestamp"]) is not None:
        return _as_of(table, declared, moment)
    if (tag := options["tag"]) is not None:
        return named_snapshot(table, declared, tag, "tag")
    return branch_head(table, declared)


def branch_head(table: Table, declared: ConnectorTable) -> int | None:
    """The last snapshot of the branch that is read; None where the table has none yet."""
    branch = declared.options["branch"]
    if branch == _MAIN:
        return table.metadata.current_snapshot_id
    return named_snapshot(table, declared, branch, "branch")


def line_of(table: Table, head: int | None) -> list[Snapshot]:
    """The snapshots that lead to this one, as far as they are kept, oldest first."""
    known = {s.snapshot_id: s for s in table.metadata.snapshots}
    line: list[Snapshot] = []
    while head is not None and (found := known.get(head)) is not None:
        line.append(found)
        head = found.parent_snapshot_id
    return line[::-1]


def named_snapshot(
    table: Table, declared: ConnectorTable, name: str, kind: str, option: str | None = None
) -> int:
    """The snapshot of a tag or branch.

    Args:
        table: as it is now.
        declared: for people.
        name: of the tag or branch.
        kind: `tag` or `branch`.
        option: that names it; the kind if not given.

    Raises:
        ConnectorError: there is none of this name.
    """
    refs = {n: r for n, r in table.metadata.refs.items() if r.snapshot_ref_type.value == kind}
    if name not in refs:
        near = nearest(name, refs)
        known = f"It has: {', '.join(sorted(refs))}." if refs else f"It has no {kind}."
        raise ConnectorError(
            f'table "{declared.name}" has no {kind} "{name}"',
            hint=f'Did you mean "{near}"?' if near else known,
            option=option or kind,
        )
    return refs[name].snapshot_id


def _as_of(table: Table, declared: ConnectorTable, moment: int) -> int:
    entries = [x for x in table.history() if x.timestamp_ms <= moment]
    if not entries:
        raise ConnectorError(
            f'table "{declared.name}" knows no snapshot of that time or before',
            hint=_known(table),
            option="as-of-timestamp",
        )
    wanted = entries[-1].snapshot_id
    if table.snapshot_by_id(wanted) is None:
        raise ConnectorError(
            f'snapshot {wanted} of table "{declared.name}", the current one at that time, has expired',
            hint=_known(table),
            option="as-of-timestamp",
        )
    return wanted


def _known(table: Table) -> str:
    kept = sorted(table.metadata.snapshots, key=lambda s: s.timestamp_ms)
    if not kept:
        return "The table has no snapshot."
    first, last = kept[0], kept[-1]
    if first is last:
        return f"It has {_shown(first)}."
    return f"It has {len(kept)}, from {_shown(first)} to {_shown(last)}."


def _shown(snapshot: Snapshot) -> str:
    """With its time as `as-of-timestamp` takes it, and for people."""
    moment = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    return f"{snapshot.snapshot_id} (at {snapshot.timestamp_ms}, {moment:%Y-%m-%d %H:%M:%S} UTC)"


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A data file, and what deletes rows of it.

    Attributes:
        file: which.
        deletes: position deletes and deletion vectors.
        equal: equality deletes.
    """

    file: DataFile
    deletes: frozenset[DataFile] = frozenset()
    equal: tuple[DataFile, ...] = ()


def files_of(table: Table, snapshot: int | None, wanted: BooleanExpression) -> list[ReadFile]:
    """The data files of a snapshot in which there may be wanted rows, with their deletes."""
    if snapshot is None:
        return []
    # The current names of columns are meant, whatever they were called then.
    planner = ManifestGroupPlanner(table.metadata, table.io, wanted)
    deletes = _DeletesPlanner(table.metadata, table.io, wanted)
    found = table.snapshot_by_id(snapshot)
    assert found is not None
    manifests = found.manifests(table.io)
    data: list[ManifestEntry] = []
    equal = _EqualIndex(table)
    places = DeleteFileIndex()
    planned = (
        planner.plan_manifest_entries([m for m in manifests if m.content == ManifestContent.DATA]),
        deletes.plan_manifest_entries([m for m in manifests if m.content != ManifestContent.DATA]),
    )
    for entries in chain.from_iterable(planned):
        for entry in entries:
            match entry.data_file.content:
                case DataFileContent.DATA:
                    data.append(entry)
                case DataFileContent.POSITION_DELETES:
                    places.add_delete_file(entry, partition_key=entry.data_file.partition)
                case DataFileContent.EQUALITY_DELETES:
                    equal.add(entry)
    files = [
        ReadFile(
            entry.data_file,
            frozenset(
                places.for_data_file(
                    entry.sequence_number or INITIAL_SEQUENCE_NUMBER,
                    entry.data_file,
                    partition_key=entry.data_file.partition,
                )
            ),
            equal.of(entry),
        )
        for entry in data
    ]
    return sorted(files, key=lambda f: f.file.file_path)


class _DeletesPlanner(ManifestGroupPlanner):
    """Chooses by partitions only: statistics are of what a file holds, not of the rows it deletes."""

    def _build_metrics_evaluator(self) -> Callable[[DataFile], bool]:
        return lambda _: True


class _EqualIndex:
    """Equality deletes, by what they apply to: older files, of their partition or of all."""

    def __init__(self, table: Table) -> None:
        self._everywhere = {n for n, spec in table.metadata.specs().items() if is_undivided(spec)}
        self._found: dict[_Part | None, list[tuple[int, DataFile]]] = {}

    def add(self, entry: ManifestEntry) -> None:
        part = None if entry.data_file.spec_id in self._everywhere else _part(entry)
        found = self._found.setdefault(part, [])
        insort(found, (entry.sequence_number or 0, entry.data_file), key=_number)

    def of(self, entry: ManifestEntry) -> tuple[DataFile, ...]:
        """Those that apply to a data file."""
        number = entry.sequence_number or 0
        lists = [self._found.get(part, []) for part in (None, _part(entry))]
        return tuple(file for x in lists for _, file in x[bisect_right(x, number, key=_number) :])


_Part = tuple[int, Record]


def _part(entry: ManifestEntry) -> _Part:
    return entry.data_file.spec_id, entry.data_file.partition


def _number(one: tuple[int, DataFile]) -> int:
    return one[0]


def is_undivided(spec: PartitionSpec) -> bool:
    """Whether it makes no partitions: what is left of one that was dropped makes none."""
    return all(isinstance(x.transform, VoidTransform) for x in spec.fields)


def _by_equality(name: str, snapshot: Snapshot) -> ConnectorError:
    return ConnectorError(
        f'snapshot {show_snapshot(snapshot)} of table "{name}" deletes rows by equality: what it '
        "changed cannot be told without reading the whole table",
        detail="Such deletes are written by Flink's upserts.",
        hint="Read the table without 'streaming', or write it with position deletes.",
    )


def is_first(table: Table, snapshot: Snapshot) -> bool:
    """Whether a snapshot never had a parent: some who expire one leave the next without it."""
    if snapshot.parent_snapshot_id is not None:
        return False
    said = {} if snapshot.summary is None else snapshot.summary.additional_properties
    for files in ("data-files", "delete-files"):
        if int(said.get(f"total-{files}", 0)) > int(said.get(f"added-{files}", 0)):
            return False
    if any(key.startswith("deleted-") for key in said):
        return False
    # Numbers count the commits of all branches.
    others = any(
        r.snapshot_ref_type.value == "branch" for n, r in table.metadata.refs.items() if n != "main"
    )
    return others or (snapshot.sequence_number or 0) <= 1


def appended_files(
    table: Table, snapshot: Snapshot, wanted: BooleanExpression
) -> list[DataFile] | None:
    """The files that a snapshot added, if it did nothing else; by their names."""
    if snapshot.summary is None or snapshot.summary.operation != Operation.APPEND:
        return None
    added = [m for m in snapshot.manifests(table.io) if m.added_snapshot_id == snapshot.snapshot_id]
    if any(m.content != ManifestContent.DATA for m in added):
        return None
    tasks = ManifestGroupPlanner(table.metadata, table.io, wanted).plan_files(
        added,
        manifest_entry_filter=lambda e: (
            e.status == ManifestEntryStatus.ADDED and e.snapshot_id == snapshot.snapshot_id
        ),
    )
    return sorted((t.file for t in tasks), key=lambda f: f.file_path)


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of one data file that a snapshot added or removed.

    Attributes:
        file: which.
        removed: they are gone; else they are new.
        without: rows of the file that are none of them.
        only: the only rows that are; instead of `without`.
        equal: equality deletes, whose rows are none of them.
    """

    file: DataFile
    removed: bool
    without: Positions | None = None
    only: Positions | None = None
    equal: tuple[DataFile, ...] = ()


def changes_of(
    table: Table,
    snapshot: Snapshot,
    wanted: BooleanExpression,
    deleted: DeletedRows,
    name: str,
) -> Sequence[Change]:
    """What a snapshot changed against its parent: what is gone first.

    Raises:
        ConnectorError: the parent has expired, or rows are deleted by equality.
    """
    if snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE:
        return ()
    files = appended_files(table, snapshot, wanted)
    if files is not None:
        return [Change(file, removed=False) for file in files]
    parent = snapshot.parent_snapshot_id
    if not is_first(table, snapshot) and (parent is None or table.snapshot_by_id(parent) is None):
        raise ConnectorError(
            f'what snapshot {show_snapshot(snapshot)} of table "{name}" changed cannot be told: '
            "the one before it has expired",
            hint="Begin anew with another 'pipeline.name', and keep snapshots for longer.",
        )
    before = {f.file.file_path: f for f in files_of(table, parent, wanted)}
    after = {f.file.file_path: f for f in files_of(table, snapshot.snapshot_id, wanted)}
    if any(_equal(before[path]) != _equal(after[path]) for path in before.keys() & after.keys()):
        raise _by_equality(name, snapshot)
    found = list(_differences(before, after, deleted))
    return [c for c in found if c.removed] + [c for c in found if not c.removed]


def _equal(file: ReadFile) -> set[str]:
    return {d.file_path for d in file.equal}


def _differences(
    before: dict[str, ReadFile], after: dict[str, ReadFile], deleted: DeletedRows
) -> Iterator[Change]:
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None:
            assert new is not None
            yield Change(new.file, False, without=deleted.of(path, new.deletes), equal=new.equal)
        elif new is None:
            yield Change(old.file, True, without=deleted.of(path, old.deletes), equal=old.equal)
        else:
            known = {d.file_path for d in old.deletes}
            if known == {d.file_path for d in new.deletes}:
                continue
            had = deleted.of(path, old.deletes)
            has = deleted.of(path, new.deletes)
            gone = np.setdiff1d(has, had, assume_unique=True)
            back = np.setdiff1d(had, has, assume_unique=True)
            if len(gone):
                yield Change(old.file, True, only=gone, equal=old.equal)
            if len(back):
                yield Change(new.file, False, only=back, equal=new.equal)
