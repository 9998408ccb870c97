"""A writer whose rows take the place of others: INSERT OVERWRITE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile

from flowsql.connector import JSON, ConnectorContext
from flowsql_connectors.iceberg.write import content
from flowsql_connectors.iceberg.write.commit import Conflict, Delta
from flowsql_connectors.iceberg.write.content import Content
from flowsql_connectors.iceberg.write.names import attempt_of, run_part
from flowsql_connectors.iceberg.write.target import Target
from flowsql_connectors.iceberg.write.writer import AppendWriter

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["OverwriteWriter"]


class OverwriteWriter(AppendWriter):
    """Replaces the partitions that get rows, or all of a table that has none.

    What is there is looked at with each commit: whoever wrote meanwhile is replaced as well.
    """

    def __init__(self, target: Target, context: ConnectorContext) -> None:
        super().__init__(target, context)
        self._whole = target.table.spec().is_unpartitioned()
        self._seen: int | None = None

    def is_needless(self, made: Content) -> bool:
        # An empty result empties a table without partitions.
        return not made and not self._whole

    def delta(self, token: JSON) -> Delta:
        target = self.target
        added = content.load(token, target.metadata, self.context).files
        filled = {_partition(file) for file in added}
        mine = run_part(token["run"])
        removed, holding = set(), set()
        self._seen = target.head
        head = target.metadata.snapshot_by_name(target.branch)
        with target.telling():
            io = target.table.io
            for manifest in () if head is None else head.manifests(io):
                for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
                    file = entry.data_file
                    maker = attempt_of(file.file_path, target.tag)
                    if maker is not None and maker[0] == mine:
                        # An earlier checkpoint of this very statement.
                        continue
                    if self._whole or _partition(file) in filled:
                        removed.add(file.file_path)
                        holding.add(manifest.manifest_path)
        return Delta(tuple(added), frozenset(removed), holding=frozenset(holding))

    def compaction(self, *, idle: bool) -> None:
        # Its files are about to be replaced.
        del idle

    def check(self, metadata: TableMetadata) -> None:
        head = metadata.snapshot_by_name(self.target.branch)
        if (None if head is None else head.snapshot_id) != self._seen:
            raise Conflict("others have committed")


def _partition(file: DataFile) -> tuple[Any, ...]:
    """Which it is, of which spec."""
    record = file.partition
    return (file.spec_id, *(record[at] for at in range(len(record))))
