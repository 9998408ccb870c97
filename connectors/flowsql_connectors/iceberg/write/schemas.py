"""The columns by which files are written and told of, those that others dropped included."""

from __future__ import annotations

from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.types import NestedField

__all__ = ["known_schema"]


def known_schema(metadata: TableMetadata) -> Schema:
    """The table's columns, and behind them those that are gone and that partitions were made of.

    Files stay in the partitions that they were written to, whatever becomes of the columns: what tells
    of such a file has to know of which type its partition is.
    """
    schema = metadata.schema()
    wanted = {field.source_id for spec in metadata.partition_specs for field in spec.fields}
    wanted -= schema.field_ids
    if not wanted:
        return schema
    names = set(schema.column_names)
    found: list[NestedField] = []
    for older in sorted(metadata.schemas, key=lambda s: -s.schema_id):
        for number in sorted(wanted & older.field_ids):
            wanted.remove(number)
            field = older.find_field(number)
            name = field.name if field.name not in names else f"{field.name}_{number}"
            names.add(name)
            found.append(NestedField(number, name, field.field_type, required=False))
    return Schema(
        *schema.fields,
        *found,
        schema_id=schema.schema_id,
        identifier_field_ids=schema.identifier_field_ids,
    )
