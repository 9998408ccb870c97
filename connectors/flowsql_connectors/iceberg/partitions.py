"""What SHOW PARTITIONS tells: the partitions that have files in the snapshot that is read."""

from __future__ import annotations

from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform, VoidTransform

from flowsql.connector import ConnectorTable
from flowsql_connectors.iceberg.scan.batch import OpenedTable
from flowsql_connectors.iceberg.scan.plan import chosen_snapshot, is_undivided

__all__ = ["partition_names"]


def partition_names(declared: ConnectorTable) -> list[str] | None:
    """`dt=2020-01-05/kind=a` for each partition, in order; None where the table has none.

    A table that is declared without partitions may have some, by transforms of columns too:
    `ts_day=2020-01-05/id_bucket=3`.

    Raises:
        ConnectorError: the catalog or the storage cannot be asked.
    """
    opened = OpenedTable(declared)
    if is_undivided(opened.table.spec()):
        return None
    files = opened.files(chosen_snapshot(opened.table, declared))
    with opened.telling():
        return sorted({n for f in files if (n := _name(opened.table, declared, f.file))})


def _name(table: Table, declared: ConnectorTable, file: DataFile) -> str | None:
    """Of a file's partition; None where the file was written before the table had these."""
    spec = table.metadata.specs()[file.spec_id]
    texts = _texts(table.schema(), spec, file)
    keys = declared.partition_keys or tuple(texts)
    if not texts.keys() >= set(keys) or (not declared.partition_keys and spec != table.spec()):
        return None
    return "/".join(f"{key}={texts[key]}" for key in keys)


def _texts(schema: Schema, spec: PartitionSpec, file: DataFile) -> dict[str, str]:
    """A partition's values by the names of its fields; of those only whose columns are still there."""
    texts: dict[str, str] = {}
    for at, field in enumerate(spec.fields):
        gone = schema.find_column_name(field.source_id) is None
        if gone or isinstance(field.transform, VoidTransform):
            continue
        column = schema.find_field(field.source_id)
        identity = isinstance(field.transform, IdentityTransform)
        name = column.name if identity else field.name
        kind = field.transform.result_type(column.field_type)
        texts[name] = field.transform.to_human_string(kind, file.partition[at])
    return texts
