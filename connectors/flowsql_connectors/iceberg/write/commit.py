"""One snapshot a commit: files added and removed, with the marker of who committed what.

The client has no public way to add delete files, nor to look at what happened between two of its
attempts. This is the only module that touches its private classes, whose version is pinned.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import (
    Operation,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import TableUpdate
from pyiceberg.table.update.snapshot import _FastAppendFiles

from flowsql_connectors.iceberg.write.schemas import known_schema

__all__ = ["Conflict", "Delta", "Landed", "commit_delta"]

# Java's defaults of `commit.manifest.min-count-to-merge` and `commit.manifest.target-size-bytes`.
_MERGED: Final = 100
_TARGET: Final = 8 << 20


class Conflict(ValidationException):
    """Another commit came first, and what was to be committed must be looked at again."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one commit changes.

    Attributes:
        added: data files and delete files.
        removed: locations of files, of either kind, that are taken out.
        replaces: no row changes: files are only arranged in another way.
        properties: of the snapshot.
        holding: the manifests that name what is removed, in the snapshot that `check` lets pass;
            None where they are to be looked for.
    """

    added: tuple[DataFile, ...] = ()
    removed: frozenset[str] = frozenset()
    replaces: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)
    holding: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """A commit that was made.

    Attributes:
        snapshot: its id.
        manifests: all of it, by location; those that the commit wrote with their files.
    """

    snapshot: int
    manifests: Mapping[str, list[DataFile] | None]


class _DeletesWriter(ManifestWriterV2):
    """A manifest of delete files."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Transaction(Transaction):
    """One whose metadata are made once for each of its states.

    The client makes them whenever it asks for them, some twenty times a commit, and each time copies
    all snapshots of the table.
    """

    _made: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        base, updates = self._table.metadata, self._updates
        made = self._made
        if made is None or made[0] is not base or made[1] is not updates:
            made = self._made = (base, updates, super().table_metadata)
        return made[2]


class _Producer(_FastAppendFiles):
    """Makes the snapshot of a `Delta`, again whenever another commit came first."""

    def __init__(
        self,
        transaction: Transaction,
        delta: Delta,
        check: Callable[[TableMetadata], None],
        name: Callable[[], str],
        branch: str,
    ) -> None:
        super().__init__(
            operation=_operation(delta),
            transaction=transaction,
            io=transaction._table.io,  # noqa: SLF001 - the point of this module
            snapshot_properties=dict(delta.properties),
            branch=branch,
        )
        self._delta = delta
        self._check = check
        self._name = name
        self._found: list[DataFile] = []
        self._written: dict[str, list[DataFile]] = {}
        self.manifests: dict[str, list[DataFile] | None] = {}
        # Stands in the names of manifests and of their list, where the client has a UUID.
        self.commit_uuid = name()  # type: ignore[assignment]

    def schema(self) -> Schema:
        return known_schema(self._transaction.table_metadata)

    def _refresh_for_retry(self) -> None:
        super()._refresh_for_retry()
        self.commit_uuid = self._name()  # type: ignore[assignment]

    def _validate_concurrency(self) -> None:
        """Raises what `check` does where this must not be committed any more as it is."""
        self._check(self._transaction._table.metadata)  # noqa: SLF001 - the point of this module

    def _manifests(self) -> list[ManifestFile]:
        self._found, self._written = [], {}
        there = self._existing_manifests()
        if self._delta.removed:
            there = [m for old in there for m in self._without_removed(old)]
        if self._delta.replaces and len(self._found) < len(self._delta.removed):
            # Their rows would be there twice.
            raise Conflict("files that are replaced are not there")
        made = self._added() + self._merged(there)
        self.manifests = {m.manifest_path: self._written.get(m.manifest_path) for m in made}
        return made

    def _added(self) -> list[ManifestFile]:
        groups: dict[tuple[int, bool], list[DataFile]] = defaultdict(list)
        for file in self._delta.added:
            groups[file.spec_id, file.content != DataFileContent.DATA].append(file)
        made = []
        for (spec_id, deletes), files in groups.items():
            with self._writer(self.spec(spec_id), deletes=deletes) as writer:
                for file in files:
                    writer.add_entry(self._entry(file, ManifestEntryStatus.ADDED))
            made.append(self._complete(writer, files))
        return made

    def _without_removed(self, manifest: ManifestFile) -> list[ManifestFile]:
        """The manifest, written anew if it holds a file that is removed."""
        holding = self._delta.holding
        if holding is not None and manifest.manifest_path not in holding:
            return [manifest]
        entries = self.fetch_manifest_entry(manifest)
        removed = self._delta.removed
        if not any(e.data_file.file_path in removed for e in entries):
            return [manifest]
        deletes = manifest.content == ManifestContent.DELETES
        with self._writer(self.spec(manifest.partition_spec_id), deletes=deletes) as writer:
            for entry in entries:
                gone = entry.data_file.file_path in removed
                if gone:
                    self._found.append(entry.data_file)
                (writer.delete if gone else writer.existing)(entry)
        left = [e.data_file for e in entries if e.data_file.file_path not in removed]
        return [self._complete(writer, left)]

    def _complete(self, writer: ManifestWriter, files: list[DataFile]) -> ManifestFile:
        made = writer.to_manifest_file()
        self._written[made.manifest_path] = files
        return made

    def _merged(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        """Small manifests made one once there are many."""
        properties = self._transaction.table_metadata.properties
        if properties.get("commit.manifest-merge.enabled", "true") != "true":
            return manifests
        least = int(properties.get("commit.manifest.min-count-to-merge", _MERGED))
        target = int(properties.get("commit.manifest.target-size-bytes", _TARGET))
        groups: dict[tuple[int, ManifestContent], list[ManifestFile]] = defaultdict(list)
        for manifest in manifests:
            # What this snapshot wrote says what it removed, and stays as it is.
            if (
                manifest.manifest_length < target
                and manifest.added_snapshot_id != self._snapshot_id
            ):
                groups[manifest.partition_spec_id, manifest.content].append(manifest)
        for (spec_id, content), small in groups.items():
            if len(small) < least:
                continue
            chosen = _fitting(small, target)
            deletes = content == ManifestContent.DELETES
            entries = [e for m in chosen for e in self.fetch_manifest_entry(m)]
            gone = {m.manifest_path for m in chosen}
            manifests = [m for m in manifests if m.manifest_path not in gone]
            if entries:
                with self._writer(self.spec(spec_id), deletes=deletes) as writer:
                    for entry in entries:
                        writer.existing(entry)
                manifests.append(self._complete(writer, [e.data_file for e in entries]))
        return manifests

    def _entry(self, file: DataFile, status: ManifestEntryStatus) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=self._snapshot_id,
            sequence_number=None,
            file_sequence_number=None,
            data_file=file,
        )

    def _writer(self, spec: PartitionSpec, *, deletes: bool) -> ManifestWriter:
        if not deletes:
            return self.new_manifest_writer(spec)
        return _DeletesWriter(
            spec, self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression
        )

    def _summary(self, snapshot_properties: Mapping[str, str] | None = None) -> Summary:
        metadata = self._transaction.table_metadata
        limit = int(metadata.properties.get("write.summary.partition-limit", 0))
        collector = SnapshotSummaryCollector(partition_summary_limit=limit)
        specs, schema = metadata.specs(), known_schema(metadata)
        for file in self._delta.added:
            collector.add_file(file, schema, specs[file.spec_id])
        for file in self._found:
            collector.remove_file(file, schema, specs[file.spec_id])
        parent = self._parent_snapshot_id
        before = None if parent is None else metadata.snapshot_by_id(parent)
        # The client adds up totals for three kinds of operation only.
        made = update_snapshot_summaries(
            Summary(Operation.OVERWRITE, **collector.build(), **dict(snapshot_properties or {})),
            None if before is None else before.summary,
        )
        return Summary(self._operation, **made.additional_properties)


def _operation(delta: Delta) -> Operation:
    if delta.replaces:
        return Operation.REPLACE
    kinds = {file.content == DataFileContent.DATA for file in delta.added}
    if delta.removed or kinds == {True, False}:
        return Operation.OVERWRITE
    return Operation.DELETE if kinds == {False} else Operation.APPEND


def _fitting(small: Iterable[ManifestFile], target: int) -> list[ManifestFile]:
    """As many as make one manifest of about the target's size."""
    chosen, size = [], 0
    for manifest in small:
        chosen.append(manifest)
        size += manifest.manifest_length
        if size >= target:
            break
    return chosen


def commit_delta(
    table: Table,
    delta: Delta,
    *,
    check: Callable[[TableMetadata], None],
    name: Callable[[], str],
    settings: Mapping[str, str],
    branch: str,
) -> Landed:
    """Commit to a branch of the table, as it is known now or as it has become meanwhile.

    Args:
        table: its metadata are those of the commit afterwards.
        delta: what changes.
        check: called with newer metadata before each further attempt; raises where the delta does
            not fit them any more.
        name: for each attempt's manifests.
        settings: properties that the table gets in the same commit.
        branch: its name.

    Raises:
        Conflict: another commit came first, and what is to be committed must be looked at again.
        CommitFailedException: other commits came first again and again; nothing was changed.
    """
    transaction: Any = _Transaction(table)
    if settings:
        transaction.set_properties(dict(settings))
    producer = _Producer(transaction, delta, check, name, branch)
    head = table.metadata.snapshot_by_name(branch)
    try:
        producer.commit()
        transaction.commit_transaction()
    except ValidationException as error:
        # Nothing was committed; the client says so too where what it began from has expired.
        raise Conflict(str(error)) from None
    except CommitFailedException:
        raise
    except Exception as error:
        # The answer may be lost, and not the commit.
        if not _has(table, producer.snapshot_id):
            if isinstance(error, FileNotFoundError) and table.snapshot_by_name(branch) != head:
                # It was not asked for yet: what it began from expired, with its manifests.
                raise Conflict("others have committed") from None
            raise
    return Landed(producer.snapshot_id, producer.manifests)


def _has(table: Table, snapshot: int) -> bool:
    """Whether a snapshot is there, as far as the catalog can be asked."""
    with contextlib.suppress(Exception):
        return table.refresh().metadata.snapshot_by_id(snapshot) is not None
    return False
