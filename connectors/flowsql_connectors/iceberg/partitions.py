"""What SHOW PARTITIONS tells: the partitions that have files in the snapshot that is read."""

from __future__ import annotations

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from flowsql.connector import ConnectorTable
from flowsql_connectors.iceberg.scan.batch import OpenedTable
from flowsql_connectors.iceberg.scan.plan import chosen_snapshot

__all__ = ["partition_names"]


def partition_names(declared: ConnectorTable) -> list[str] | None:
    """`dt=2020-01-05/kind=a` for each partition, in order; None where the table has none.

    A table that is declared without partitions may have some, by transforms of columns too:
    `ts_day=2020-01-05/id_bucket=3`.

    Raises:
        ConnectorError: the catalog or the storage cannot be asked.
    """
    opened = OpenedTable(declared)
    if opened.table.spec().is_unpartitioned():
        return None
    files = opened.files(chosen_snapshot(opened.table, declared))
    with opened.telling():
        return sorted({n for f in files if (n := _name(opened.table, declared, f.file))})


def _name(table: Table, declared: ConnectorTable, file: DataFile) -> str | None:
    """Of a file's partition; None where the file was written before the table had these."""
    schema, spec = table.schema(), table.metadata.specs()[file.spec_id]
    texts: dict[str, str] = {}
    for at, field in enumerate(spec.fields):
        column = schema.find_field(field.source_id)
        identity = isinstance(field.transform, IdentityTransform)
        name = column.name if identity else field.name
        kind = field.transform.result_type(column.field_type)
        texts[name] = field.transform.to_human_string(kind, file.partition[at])
    keys = declared.partition_keys or tuple(texts)
    if not texts.keys() >= set(keys) or (not declared.partition_keys and spec != table.spec()):
        return None
    return "/".join(f"{key}={texts[key]}" for key in keys)
