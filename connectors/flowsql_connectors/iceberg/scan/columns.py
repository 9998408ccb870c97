"""Columns of a data file by their field ids, as values of the types that are asked for.

The client's own way from a file to a table takes a NULL that should be a list or map of structs for
an empty one, and knows fewer of Arrow's types. Here every column is made from what the file holds:

    a column that the file has            ─ its values; nested ones part by part
    one of its partition, by identity     ─ the partition's value
    one with a default                    ─ the default
    any other                             ─ NULL
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at
from pyiceberg import types as i
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table.name_mapping import MappedField, NameMapping

from flowsql import types as f
from flowsql.errors import ConnectorError

__all__ = ["HeldColumns", "Wanted", "stored_columns", "wanted_columns"]

_FIELD_ID: Final = b"PARQUET:field_id"
_MICROSECONDS: Final = 6
_UTC: Final = ("UTC", "+00:00", "Etc/UTC", "Z")


# -- what is asked for ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column, or a part of one.

    Attributes:
        field: in the table's schema.
        target: the type of the values that are made.
        kind: as the column is declared; None: as the table has it.
        parts: fields of a struct; the element of a list; key and value of a map.
    """

    field: i.NestedField
    target: pa.DataType
    kind: f.DataType | None
    parts: tuple[Wanted, ...] = ()


def wanted_columns(schema: Schema, row: f.RowType) -> tuple[Wanted, ...]:
    """Columns as they are declared, in their order: values as the engine holds them."""
    there = {x.name: x for x in schema.fields}
    return tuple(_declared(there[x.name], x.type) for x in row.fields)


def stored_columns(schema: Schema) -> tuple[Wanted, ...]:
    """Columns of simple types, as the table has them."""
    return tuple(Wanted(x, _stored(x.field_type), None) for x in schema.fields)


def _declared(field: i.NestedField, kind: f.DataType) -> Wanted:
    there = field.field_type
    parts: tuple[Wanted, ...] = ()
    match there, kind:
        case i.StructType(), f.RowType(fields=fields):
            parts = tuple(_declared(x, y.type) for x, y in zip(there.fields, fields, strict=True))
        case i.ListType(), f.ArrayType(element=element):
            parts = (_declared(there.element_field, element),)
        case i.MapType(), f.MapType(key=key, value=value):
            parts = (_declared(there.key_field, key), _declared(there.value_field, value))
        case i.MapType(), f.MultisetType(element=element):
            count = f.IntType()
            parts = (_declared(there.key_field, element), _declared(there.value_field, count))
    return Wanted(field, f.arrow_type(kind), kind, parts)


def _stored(kind: i.IcebergType) -> pa.DataType:
    if isinstance(kind, i.UUIDType):
        return pa.binary(16)
    stored: pa.DataType = schema_to_pyarrow(kind, include_field_ids=False)
    return stored


# -- what a file has --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Held:
    """A column of a file, or a part of one; parts of a struct by their ids."""

    name: str
    fields: Mapping[int, _Held]
    items: tuple[_Held, ...] = ()


class HeldColumns:
    """The columns of a data file.

    Args:
        schema: of the file.
        mapping: ids by names, for files without ids.
        path: of the file, for people.

    Raises:
        ConnectorError: nothing says which column is which.
    """

    def __init__(self, schema: pa.Schema, mapping: NameMapping | None, path: str) -> None:
        self._path = path
        if any(_has_ids(field) for field in schema):
            self._fields = _by_ids(schema)
        elif mapping is not None:
            self._fields = _by_names(schema, list(mapping))
        else:
            raise ConnectorError(
                f'"{path}" has no field ids, and its table no names for them',
                detail="Nothing says which of its columns is which of the table's.",
                hint="Set the table's property 'schema.name-mapping.default'.",
            )
        self.ids = frozenset(_ids(self._fields))

    def names(self, ids: Iterable[int]) -> list[str]:
        """Those of whole columns."""
        return [self._fields[x].name for x in sorted(ids) if x in self._fields]

    def id_of(self, name: str) -> int | None:
        """Of the whole column with this name; None where there is none."""
        return next((x for x, held in self._fields.items() if held.name == name), None)

    def column(
        self, wanted: Wanted, batch: pa.RecordBatch, constants: Mapping[int, object]
    ) -> pa.Array:
        """The values of one column.

        Args:
            wanted: which.
            batch: rows of the file, with this column if the file has it.
            constants: values of columns that the file does not have.

        Raises:
            ConnectorError: the file holds something else, or lacks a column that is never NULL.
        """
        try:
            held = self._fields.get(wanted.field.field_id)
            if held is None:
                return self._absent(wanted, batch.num_rows, constants)
            return self._shaped(wanted, held, batch.column(held.name), constants)
        except _UnfitError as error:
            kind, there = error.wanted, error.there
            raise ConnectorError(
                f'column "{wanted.field.name}" of "{self._path}" cannot be read as '
                f"{kind.field.field_type if kind.kind is None else kind.kind}",
                detail=f"The file holds {there}. {error.why}".rstrip(),
                hint="Declare the column with the type that the table has, and CAST in the query.",
            ) from None

    def _absent(self, wanted: Wanted, rows: int, constants: Mapping[int, object]) -> pa.Array:
        field = wanted.field
        value = constants.get(field.field_id, field.initial_default)
        if value is not None:
            if isinstance(value, uuid.UUID):
                value = value.bytes
            found = pa.repeat(pa.scalar(value, _stored(field.field_type)), rows)
            return _converted(wanted, found)
        if field.required:
            raise ConnectorError(
                f'"{self._path}" lacks column "{field.name}", which takes no NULL',
                hint="Give the column a default, or let it take NULL.",
            )
        return pa.nulls(rows, wanted.target)

    def _shaped(
        self, wanted: Wanted, held: _Held, array: Any, constants: Mapping[int, object]
    ) -> pa.Array:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        if at.is_null(array.type):
            return pa.nulls(len(array), wanted.target)
        match wanted.field.field_type:
            case i.StructType():
                made = self._struct(wanted, held, array, constants)
            case i.ListType():
                made = self._list(wanted, held, array, constants)
            case i.MapType():
                made = self._map(wanted, held, array, constants)
            case _:
                return _converted(wanted, array)
        return made if made.type == wanted.target else made.cast(wanted.target)

    def _struct(
        self, wanted: Wanted, held: _Held, array: Any, constants: Mapping[int, object]
    ) -> pa.Array:
        if not at.is_struct(array.type):
            raise _UnfitError(wanted, array.type)
        columns = []
        for part in wanted.parts:
            inner = held.fields.get(part.field.field_id)
            if inner is None:
                columns.append(self._absent(part, len(array), constants))
            else:
                columns.append(self._shaped(part, inner, array.field(inner.name), constants))
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(columns, fields=list(wanted.target), mask=mask)

    def _list(
        self, wanted: Wanted, held: _Held, array: Any, constants: Mapping[int, object]
    ) -> pa.Array:
        if at.is_fixed_size_list(array.type) or at.is_list_view(array.type):
            array = array.cast(pa.list_(array.type.value_field))
        if not (at.is_list(array.type) or at.is_large_list(array.type)):
            raise _UnfitError(wanted, array.type)
        (part,) = wanted.parts
        values = self._shaped(part, held.items[0], array.values, constants)
        made = pa.large_list if at.is_large_list(array.type) else pa.list_
        return _around(array, made(pa.field("item", values.type)), values)

    def _map(
        self, wanted: Wanted, held: _Held, array: Any, constants: Mapping[int, object]
    ) -> pa.Array:
        if not at.is_map(array.type):
            raise _UnfitError(wanted, array.type)
        columns = [
            self._shaped(part, inner, column, constants)
            for part, inner, column in zip(
                wanted.parts, held.items, (array.keys, array.items), strict=True
            )
        ]
        target: Any = wanted.target
        entries = pa.StructArray.from_arrays(
            columns, fields=[target.key_field, target.item_field.with_nullable(True)]
        )
        return _around(array, target, entries)


def _around(array: Any, kind: pa.DataType, values: pa.Array) -> pa.Array:
    """The same lists of other values."""
    return pa.Array.from_buffers(
        kind, len(array), array.buffers()[:2], array.null_count, array.offset, [values]
    )


# -- ids --------------------------------------------------------------------------------------


def _children(kind: Any) -> list[pa.Field]:
    return [kind.field(at) for at in range(kind.num_fields)]


def _items(kind: Any) -> list[pa.Field]:
    """The element of a list; key and value of a map."""
    return [kind.key_field, kind.item_field] if at.is_map(kind) else [kind.value_field]


def _id_of(field: pa.Field) -> int | None:
    found = (field.metadata or {}).get(_FIELD_ID)
    return None if found is None else int(found)


def _has_ids(field: pa.Field) -> bool:
    if _id_of(field) is not None:
        return True
    return at.is_nested(field.type) and any(_has_ids(x) for x in _children(field.type))


def _by_ids(fields: Iterable[pa.Field]) -> dict[int, _Held]:
    return {x: _held_by_ids(field) for field in fields if (x := _id_of(field)) is not None}


def _held_by_ids(field: pa.Field) -> _Held:
    if not at.is_nested(field.type):
        return _Held(field.name, {})
    if at.is_struct(field.type):
        return _Held(field.name, _by_ids(_children(field.type)))
    return _Held(field.name, {}, tuple(map(_held_by_ids, _items(field.type))))


def _by_names(fields: Iterable[pa.Field], mapped: Sequence[MappedField]) -> dict[int, _Held]:
    """Columns that nobody maps are none of the table's."""
    known = {name: one for one in mapped for name in one.names}
    return {
        one.field_id: _held_by_names(field, one.fields)
        for field in fields
        if (one := known.get(field.name)) is not None and one.field_id is not None
    }


def _held_by_names(field: pa.Field, mapped: Sequence[MappedField]) -> _Held:
    if not at.is_nested(field.type):
        return _Held(field.name, {})
    if at.is_struct(field.type):
        return _Held(field.name, _by_names(_children(field.type), mapped))
    called = ("key", "value") if at.is_map(field.type) else ("element",)
    parts = {name: one.fields for one in mapped for name in one.names}
    items = [
        _held_by_names(x, parts.get(name, ()))
        for x, name in zip(_items(field.type), called, strict=True)
    ]
    return _Held(field.name, {}, tuple(items))


def _ids(fields: Mapping[int, _Held]) -> Iterator[int]:
    for number, held in fields.items():
        yield number
        yield from _ids(held.fields)
        for item in held.items:
            yield from _ids(item.fields)


# -- values -----------------------------------------------------------------------------------


class _UnfitError(Exception):
    """A file holds values of another type than its table has, or than is declared."""

    def __init__(self, wanted: Wanted, there: pa.DataType, why: str = "") -> None:
        super().__init__(wanted, there, why)
        self.wanted = wanted
        self.there = there
        self.why = why


def _texts(kind: pa.DataType) -> bool:
    views = at.is_string_view(kind) or at.is_binary_view(kind)
    return views or any(is_it(kind) for is_it in _TEXTS)


_TEXTS: Final = (at.is_string, at.is_large_string, at.is_binary, at.is_large_binary)


def _bytes(kind: pa.DataType) -> bool:
    return _texts(kind) or at.is_fixed_size_binary(kind)


def _single(kind: pa.DataType) -> bool:
    return at.is_float16(kind) or at.is_float32(kind)


def _moments(kind: pa.DataType) -> bool:
    """A date may have become a time; a time that is not UTC's is none without a zone."""
    return at.is_date(kind) or (at.is_timestamp(kind) and kind.tz in (None, *_UTC))


# By what a column of the table may be read from: it may have been of a narrower type.
_FITS: Final[dict[type[i.IcebergType], Callable[[pa.DataType], bool]]] = {
    i.BooleanType: at.is_boolean,
    i.IntegerType: at.is_integer,
    i.LongType: at.is_integer,
    i.FloatType: _single,
    i.DoubleType: at.is_floating,
    i.DecimalType: at.is_decimal,
    i.DateType: at.is_date,
    i.TimeType: at.is_time,
    i.TimestampType: _moments,
    i.TimestampNanoType: _moments,
    i.TimestamptzType: at.is_timestamp,
    i.TimestamptzNanoType: at.is_timestamp,
    i.StringType: _texts,
    i.BinaryType: _bytes,
    i.FixedType: _bytes,
    i.UUIDType: _bytes,
}


def _converted(wanted: Wanted, array: Any) -> pa.Array:
    fits = _FITS.get(type(wanted.field.field_type))
    if fits is None or not fits(array.type):
        raise _UnfitError(wanted, array.type)
    target: Any = wanted.target
    column = array
    try:
        if isinstance(wanted.field.field_type, i.FixedType | i.UUIDType):
            column = column.cast(_stored(wanted.field.field_type))
        if column.type != target:
            if at.is_timestamp(column.type) and (column.type.unit, target.unit) == ("ns", "us"):
                cut = _floored(column.view(pa.int64()), 1000, divided=True)
                column = cut.view(pa.timestamp("us", column.type.tz))
            # Of a time of the day finer digits are cut off.
            column = pc.cast(column, target, safe=not at.is_time(target))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _UnfitError(wanted, array.type, str(error).partition("\n")[0]) from None
    return _cut_off(column, wanted.kind)


def _cut_off(column: pa.Array, kind: f.DataType | None) -> pa.Array:
    """Finer digits than a TIMESTAMP is declared with are cut off."""
    match kind:
        case f.TimestampType(precision=p) | f.LocalZonedTimestampType(precision=p):
            if p >= _MICROSECONDS:
                return column
            unit = 10 ** (_MICROSECONDS - p)
            values = column.view(pa.int64())
            cut = _floored(values, unit)
            return column if cut.equals(values) else cut.view(column.type)
    return column


def _floored(values: pa.Array, unit: int, *, divided: bool = False) -> pa.Array:
    """The next whole unit below; `divided`: how many of them."""
    down = pc.divide(values, unit)
    below = pc.and_(pc.less(values, 0), pc.not_equal(values, pc.multiply(down, unit)))
    down = pc.if_else(below, pc.subtract(down, 1), down)
    return down if divided else pc.multiply(down, unit)
