"""`DataFile`s as plain JSON, so that a token can hold them."""

from __future__ import annotations

from typing import Any

from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from flowsql.connector import JSON

__all__ = ["file_json", "file_of"]

_COUNTS = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts")
_BOUNDS = ("lower_bounds", "upper_bounds")


def file_json(file: DataFile, spec: PartitionSpec, schema: Schema) -> JSON:
    """The file; `spec` is the one that it was written by."""
    types = _types(spec, schema)
    values = [file.partition[i] for i in range(len(types))]
    return {
        "content": int(file.content),
        "path": file.file_path,
        "rows": file.record_count,
        "bytes": file.file_size_in_bytes,
        "spec": file.spec_id,
        "partition": [
            None if value is None else to_bytes(kind, value).hex()
            for kind, value in zip(types, values, strict=True)
        ],
        "splits": file.split_offsets,
        "sort": file.sort_order_id,
        **{name: _counts(getattr(file, name)) for name in _COUNTS},
        **{name: _bounds(getattr(file, name)) for name in _BOUNDS},
    }


def file_of(data: JSON, spec: PartitionSpec, schema: Schema) -> DataFile:
    """The file that `file_json` gave."""
    types = _types(spec, schema)
    values = [
        None if value is None else from_bytes(kind, bytes.fromhex(value))
        for kind, value in zip(types, data["partition"], strict=True)
    ]
    maps: dict[str, Any] = {name: _read(data[name], int) for name in _COUNTS}
    maps |= {name: _read(data[name], bytes.fromhex) for name in _BOUNDS}
    file = DataFile.from_args(
        content=DataFileContent(data["content"]),
        file_path=data["path"],
        file_format=FileFormat.PARQUET,
        partition=Record(*values),
        record_count=data["rows"],
        file_size_in_bytes=data["bytes"],
        split_offsets=data["splits"],
        sort_order_id=data["sort"],
        equality_ids=None,
        key_metadata=None,
        **maps,
    )
    file.spec_id = data["spec"]
    return file


def _types(spec: PartitionSpec, schema: Schema) -> list[Any]:
    return [field.field_type for field in spec.partition_type(schema).fields]


def _counts(found: dict[int, int] | None) -> dict[str, int] | None:
    return None if found is None else {str(k): v for k, v in found.items()}


def _bounds(found: dict[int, bytes] | None) -> dict[str, str] | None:
    return None if found is None else {str(k): v.hex() for k, v in found.items()}


def _read(found: dict[str, Any] | None, value: Any) -> dict[int, Any] | None:
    return None if found is None else {int(k): value(v) for k, v in found.items()}
