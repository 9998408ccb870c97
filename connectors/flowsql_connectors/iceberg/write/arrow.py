"""From the engine's Arrow to the Arrow of data files, column by column; field ids go along."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.io.pyarrow import PYARROW_PARQUET_FIELD_ID_KEY
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from flowsql import types as f

__all__ = ["FileForm"]


class FileForm:
    """The columns of a declared table as its data files hold them.

    Attributes:
        schema: of the files: the declared columns, with field ids.
        names: of the columns, in the order of the rows that are given.
    """

    def __init__(self, row: f.RowType, schema: Schema) -> None:
        self.names: Sequence[str] = row.names
        self._given = {field.name: (at, field.type) for at, field in enumerate(row.fields)}
        fields = [x for x in schema.fields if x.name in self._given]
        self._order = [self._given[x.name][0] for x in fields]
        self.schema = pa.schema([_field(x, self._given[x.name][1]) for x in fields])
        self._types = [field.type for field in self.schema]

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows as the files hold them; copies only what is stored in another way."""
        columns = []
        for at, kind in zip(self._order, self._types, strict=True):
            column = batch.column(at)
            columns.append(column if column.type.equals(kind) else column.cast(kind))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _field(field: NestedField, kind: f.DataType) -> pa.Field:
    return _named(field.name, field.field_id, _stored(field.field_type, kind), not field.required)


def _named(name: str, number: int, kind: pa.DataType, nullable: bool) -> pa.Field:
    ids = {PYARROW_PARQUET_FIELD_ID_KEY: str(number).encode()}
    return pa.field(name, kind, nullable=nullable, metadata=ids)


def _stored(there: IcebergType, kind: f.DataType) -> pa.DataType:
    """The type in a file; what is nested may always be NULL there, which no reader minds."""
    match there, kind:
        case ListType(), f.ArrayType(element=e):
            inner = _stored(there.element_type, e)
            return pa.list_(_named("element", there.element_id, inner, nullable=True))
        case MapType(), f.MapType() | f.MultisetType():
            if isinstance(kind, f.MapType):
                key, value = kind.key, kind.value
            else:
                key, value = kind.element, f.IntType()
            return pa.map_(
                _named("key", there.key_id, _stored(there.key_type, key), nullable=False),
                _named("value", there.value_id, _stored(there.value_type, value), nullable=True),
            )
        case StructType(), f.RowType(fields=fields):
            return pa.struct(
                [
                    _named(x.name, x.field_id, _stored(x.field_type, y.type), nullable=True)
                    for x, y in zip(there.fields, fields, strict=True)
                ]
            )
    match kind:
        case f.TinyIntType() | f.SmallIntType():
            return pa.int32()
        case f.TimeType():
            return pa.time64("us")
        case f.BinaryType(length=n):
            return pa.binary(n)
    return f.arrow_type(kind)
