"""What SHOW PARTITIONS tells: the partitions that have files in the snapshot that is read."""

from __future__ import annotations

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from flowsql.connector import ConnectorTable
from flowsql_connectors.iceberg.scan.batch import OpenedTable
from flowsql_connectors.iceberg.scan.plan import chosen_snapshot

__all__ = ["partition_names"]


def partition_names(declared: ConnectorTable) -> list[str]:
    """`dt=2020-01-05/kind=a` for each partition of a table that is partitioned by columns, in order.

    Raises:
        ConnectorError: the catalog or the storage cannot be asked.
    """
    opened = OpenedTable(declared)
    files = opened.files(chosen_snapshot(opened.table, declared))
    with opened.telling():
        return sorted({n for f in files if (n := _name(opened.table, declared, f.file))})


def _name(table: Table, declared: ConnectorTable, file: DataFile) -> str | None:
    """Of a file's partition; None where the file was written before the table had these."""
    schema, spec = table.schema(), table.metadata.specs()[file.spec_id]
    texts: dict[str, str] = {}
    for at, field in enumerate(spec.fields):
        if isinstance(field.transform, IdentityTransform):
            column = schema.find_field(field.source_id)
            texts[column.name] = field.transform.to_human_string(
                column.field_type, file.partition[at]
            )
    if not texts.keys() >= set(declared.partition_keys):
        return None
    return "/".join(f"{key}={texts[key]}" for key in declared.partition_keys)
