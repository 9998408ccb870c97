"""Types and schemas: Flink's, Iceberg's, and the Arrow in which files hold them.

| Flink | Iceberg |
| --- | --- |
| BOOLEAN, BIGINT, FLOAT, DOUBLE, DATE, DECIMAL(p, s) | boolean, long, float, double, date, decimal(p, s) |
| TINYINT, SMALLINT, INT | int |
| CHAR, VARCHAR, STRING | string |
| BINARY(n); VARBINARY, BYTES | fixed[n]; binary |
| TIME | time |
| TIMESTAMP(p ≤ 6), TIMESTAMP_LTZ(p ≤ 6) | timestamp, timestamptz |
| ARRAY, MAP, MULTISET, ROW | list, map, map of counts, struct |
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from flowsql import types as f
from flowsql.connector import ConnectorTable
from flowsql.errors import ConfigError, ConnectorError, nearest

if TYPE_CHECKING:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import Transform
    from pyiceberg.types import IcebergType, NestedField

__all__ = [
    "check_declared",
    "check_types",
    "flink_type",
    "iceberg_schema",
    "iceberg_type",
    "other_partitioning",
    "parse_partitioning",
    "partition_columns",
    "partition_spec",
    "partitioning_text",
]

_MICROSECONDS: Final = 6
_NO_IDENTIFIER: Final = (
    f.FloatType,
    f.DoubleType,
    f.ArrayType,
    f.MapType,
    f.MultisetType,
    f.RowType,
)
_TERM: Final = re.compile(
    r"\s*(?:(\w+)\s*\(\s*(?:(\d+)\s*,\s*)?([^(),]+?)\s*(?:,\s*(\d+)\s*)?\)|([^(),]+?))\s*"
)


def iceberg_type(
    kind: f.DataType, ids: Iterator[int] | None = None, *, fine: bool = False
) -> IcebergType:
    """Iceberg's type for Flink's.

    Args:
        kind: the type.
        ids: numbers for the fields in nested types.
        fine: times in nanoseconds have one, too: in tables of format version 3, which are only read.

    Raises:
        ConfigError: there is none.
    """
    from pyiceberg import types as i  # noqa: PLC0415 - the client

    ids = ids or itertools.count(1)
    match kind:
        case f.BooleanType():
            return i.BooleanType()
        case f.TinyIntType() | f.SmallIntType() | f.IntType():
            return i.IntegerType()
        case f.BigIntType():
            return i.LongType()
        case f.FloatType():
            return i.FloatType()
        case f.DoubleType():
            return i.DoubleType()
        case f.DecimalType(precision=p, scale=s):
            return i.DecimalType(p, s)
        case f.CharType() | f.VarCharType():
            return i.StringType()
        case f.BinaryType(length=n):
            return i.FixedType(n)
        case f.VarBinaryType():
            return i.BinaryType()
        case f.DateType():
            return i.DateType()
        case f.TimeType():
            return i.TimeType()
        case f.TimestampType(precision=p) if p <= _MICROSECONDS:
            return i.TimestampType()
        case f.LocalZonedTimestampType(precision=p) if p <= _MICROSECONDS:
            return i.TimestamptzType()
        case f.TimestampType() if fine:
            return i.TimestampNanoType()
        case f.LocalZonedTimestampType() if fine:
            return i.TimestamptzNanoType()
        case f.ArrayType(element=e):
            at = next(ids)
            return i.ListType(at, iceberg_type(e, ids, fine=fine), element_required=not e.nullable)
        case f.MapType(key=k, value=v):
            first, second = next(ids), next(ids)
            return i.MapType(
                first,
                iceberg_type(k, ids, fine=fine),
                second,
                iceberg_type(v, ids, fine=fine),
                value_required=not v.nullable,
            )
        case f.MultisetType(element=e):
            first, second = next(ids), next(ids)
            return i.MapType(
                first, iceberg_type(e, ids, fine=fine), second, i.IntegerType(), value_required=True
            )
        case f.RowType(fields=fields):
            numbers = [next(ids) for _ in fields]
            return i.StructType(
                *(
                    i.NestedField(
                        at,
                        x.name,
                        iceberg_type(x.type, ids, fine=fine),
                        required=not x.type.nullable,
                    )
                    for at, x in zip(numbers, fields, strict=True)
                )
            )
    raise _unwritable(kind)


def _unwritable(kind: f.DataType) -> ConfigError:
    if isinstance(kind, f.TimestampType | f.LocalZonedTimestampType):
        cure = f"CAST it to {kind.root}({_MICROSECONDS}): tables of format version 2 keep microseconds."
    else:
        cure = "CAST it to STRING or BYTES."
    return ConfigError(f"Iceberg has no type for {kind.with_nullable(nullable=True)}", hint=cure)


def check_types(table: ConnectorTable) -> None:
    """Refuse columns that Iceberg has no type for; loads nothing.

    Raises:
        ConfigError: names the column.
    """
    for column in table.schema.fields:
        wrong = next((k for k in _leaves(column.type) if not _has_type(k)), None)
        if wrong is not None:
            error = _unwritable(wrong)
            raise ConfigError(
                f'column "{column.name}" of table "{table.name}" cannot be kept: {error.message}',
                hint=error.hint,
            )
    for name in table.primary_key:
        kind = table.schema.types[table.schema.index(name)]
        if isinstance(kind, _NO_IDENTIFIER):
            raise ConfigError(
                f'column "{name}" of type {kind.with_nullable(nullable=True)} cannot be in the '
                f'PRIMARY KEY of table "{table.name}"',
                detail="Iceberg takes no numbers with a floating point and no nested values as "
                "identifier fields.",
                hint="Declare the key over other columns.",
            )
    parse_partitioning(table)


def _leaves(kind: f.DataType) -> Iterator[f.DataType]:
    match kind:
        case f.ArrayType(element=e) | f.MultisetType(element=e):
            yield from _leaves(e)
        case f.MapType(key=k, value=v):
            yield from _leaves(k)
            yield from _leaves(v)
        case f.RowType(fields=fields):
            for field in fields:
                yield from _leaves(field.type)
        case _:
            yield kind


def _has_type(kind: f.DataType) -> bool:
    if isinstance(kind, f.TimestampType | f.LocalZonedTimestampType):
        return kind.precision <= _MICROSECONDS
    return not isinstance(
        kind,
        f.BitmapType | f.VariantType | f.NullType | f.YearMonthIntervalType | f.DayTimeIntervalType,
    )


def flink_type(kind: IcebergType, *, required: bool = False) -> f.DataType:
    """Flink's type for Iceberg's.

    Raises:
        ConnectorError: there is none.
    """
    from pyiceberg import types as i  # noqa: PLC0415 - the client

    simple: dict[type[IcebergType], Callable[[], f.DataType]] = {
        i.BooleanType: f.BooleanType,
        i.IntegerType: f.IntType,
        i.LongType: f.BigIntType,
        i.FloatType: f.FloatType,
        i.DoubleType: f.DoubleType,
        i.DateType: f.DateType,
        i.TimeType: f.TimeType,
        i.StringType: f.VarCharType,
        i.BinaryType: f.VarBinaryType,
        i.UUIDType: lambda: f.BinaryType(length=16),
        i.TimestampType: lambda: f.TimestampType(precision=6),
        i.TimestamptzType: lambda: f.LocalZonedTimestampType(precision=6),
        i.TimestampNanoType: lambda: f.TimestampType(precision=9),
        i.TimestamptzNanoType: lambda: f.LocalZonedTimestampType(precision=9),
    }
    made = simple.get(type(kind))
    if made is not None:
        return made().with_nullable(not required)
    nullable = not required
    match kind:
        case i.DecimalType():
            return f.DecimalType(precision=kind.precision, scale=kind.scale, nullable=nullable)
        case i.FixedType():
            return f.BinaryType(length=len(kind), nullable=nullable)
        case i.ListType():
            element = flink_type(kind.element_type, required=kind.element_required)
            return f.ArrayType(element=element, nullable=nullable)
        case i.MapType():
            value = flink_type(kind.value_type, required=kind.value_required)
            key = flink_type(kind.key_type, required=True)
            return f.MapType(key=key, value=value, nullable=nullable)
        case i.StructType():
            fields = tuple(
                f.Field(x.name, flink_type(x.field_type, required=x.required), x.doc)
                for x in kind.fields
            )
            return f.RowType(fields=fields, nullable=nullable)
    raise ConnectorError(
        f"columns of Iceberg's type {kind} cannot be used",
        hint="Leave the column out: declare the table with the columns you need.",
    )


def iceberg_schema(table: ConnectorTable) -> Schema:
    """The schema of a table that is made for a declaration; its key becomes identifier fields."""
    from pyiceberg.schema import Schema  # noqa: PLC0415 - the client
    from pyiceberg.types import NestedField  # noqa: PLC0415 - the client

    ids = itertools.count(len(table.schema.fields) + 1)
    key = set(table.primary_key)
    fields = [
        NestedField(
            at,
            column.name,
            iceberg_type(column.type, ids),
            required=column.name in key or not column.type.nullable,
            doc=column.comment,
        )
        for at, column in enumerate(table.schema.fields, 1)
    ]
    identifiers = [x.field_id for x in fields if x.name in key]
    return Schema(*fields, identifier_field_ids=identifiers)


# -- partitions -------------------------------------------------------------------------------


def parse_partitioning(table: ConnectorTable) -> list[tuple[str, str, int | None]]:
    """What a table is partitioned by: (column, transform, its number), by the clause or the option.

    Raises:
        ConfigError: a column or transform does not exist.
    """
    written = table.options.get("partitioning")
    if written is None:
        terms: list[tuple[str, str, int | None]] = [
            (k, "identity", None) for k in table.partition_keys
        ]
    elif table.partition_keys:
        raise ConfigError(
            f'table "{table.name}" has both PARTITIONED BY and option "partitioning"',
            hint="Write all of it into 'partitioning', plain columns as well.",
            option="partitioning",
        )
    else:
        terms = [_term(part) for part in _split(written)]
    for column, _, _ in terms:
        if column not in table.schema.names:
            near = nearest(column, table.schema.names)
            raise ConfigError(
                f'partition column "{column}" of table "{table.name}" does not exist',
                hint=f'Did you mean "{near}"?' if near else None,
                option=None if written is None else "partitioning",
            )
    return terms


def partition_columns(written: str) -> list[str]:
    """The columns that option `partitioning` names; raises ConfigError."""
    return [_term(part)[0] for part in _split(written)]


_PLAIN: Final = {
    "identity": "identity",
    **{f"{unit}{s}": unit for unit in ("year", "month", "day", "hour") for s in ("", "s")},
}
_NUMBERED: Final = ("bucket", "truncate")


def _split(text: str) -> list[str]:
    """At commas that stand in no parentheses."""
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _term(text: str) -> tuple[str, str, int | None]:
    found = _TERM.fullmatch(text)
    if found is not None and found[5] is not None:
        return found[5].strip("`"), "identity", None
    if found is not None:
        name, number = found[1].lower(), found[2] or found[4]
        if name in _PLAIN and number is None:
            return found[3].strip("`"), _PLAIN[name], None
        if name in _NUMBERED and number is not None and int(number) > 0:
            return found[3].strip("`"), name, int(number)
    raise ConfigError(
        f'option "partitioning" cannot hold "{text.strip()}"',
        hint="Write columns and transforms, separated by commas: day(ts), bucket(16, id), "
        "truncate(4, name), region; also year, month and hour.",
        option="partitioning",
    )


def _transform(name: str, number: int | None) -> Transform[Any, Any]:
    from pyiceberg import transforms as t  # noqa: PLC0415 - the client

    match name:
        case "bucket":
            assert number is not None
            return t.BucketTransform(number)
        case "truncate":
            assert number is not None
            return t.TruncateTransform(number)
    made: dict[str, Callable[[], Transform[Any, Any]]] = {
        "identity": t.IdentityTransform,
        "year": t.YearTransform,
        "month": t.MonthTransform,
        "day": t.DayTransform,
        "hour": t.HourTransform,
    }
    return made[name]()


_SUFFIXES: Final = {"identity": "", "truncate": "_trunc"}


def partition_spec(table: ConnectorTable, schema: Schema) -> PartitionSpec:
    """How a table that is made is partitioned; names of its fields as Iceberg's own writers give.

    Raises:
        ConfigError: a transform does not go with its column's type.
    """
    from pyiceberg.partitioning import (  # noqa: PLC0415 - the client
        PARTITION_FIELD_ID_START,
        PartitionField,
        PartitionSpec,
    )

    fields = []
    for at, (column, name, number) in enumerate(parse_partitioning(table)):
        source = schema.find_field(column)
        transform = _transform(name, number)
        if not transform.can_transform(source.field_type):
            raise ConfigError(
                f'column "{column}" of type {source.field_type} cannot be partitioned by {transform}',
                option="partitioning" if table.options.get("partitioning") else None,
            )
        suffix = _SUFFIXES.get(name, f"_{name}")
        fields.append(
            PartitionField(
                source.field_id, PARTITION_FIELD_ID_START + at, transform, column + suffix
            )
        )
    return PartitionSpec(*fields)


def partitioning_text(spec: PartitionSpec, schema: Schema) -> str:
    """As the option takes it: `day(ts), bucket(16, id), region`."""
    terms = []
    for field in spec.fields:
        column = schema.find_column_name(field.source_id) or ""
        transform = str(field.transform)
        if transform == "void":
            continue
        name, bracket, number = transform.partition("[")
        numbered = f"{name}({number.rstrip(']')}, {column})" if bracket else f"{name}({column})"
        terms.append(column if name == "identity" else numbered)
    return ", ".join(terms)


def other_partitioning(table: ConnectorTable, spec: PartitionSpec, schema: Schema) -> str | None:
    """That a declaration divides a table otherwise than it is divided; None where it says nothing else.

    Args:
        table: the declaration.
        spec: of the table in the catalog.
        schema: of that table.
    """
    declared = [_term_text(*term) for term in parse_partitioning(table)]
    there = partitioning_text(spec, schema)
    if not declared or sorted(declared) == sorted(_split_terms(there)):
        return None
    return (
        f'table "{table.name}" is declared as partitioned by {", ".join(declared)}, and is '
        f"{f'partitioned by {there}' if there else 'not partitioned'} in its catalog"
    )


def _term_text(column: str, transform: str, number: int | None) -> str:
    if transform == "identity":
        return column
    return f"{transform}({column})" if number is None else f"{transform}({number}, {column})"


def _split_terms(text: str) -> list[str]:
    return [part.strip() for part in _split(text)]


# -- a declared table and one that is there ---------------------------------------------------


def check_declared(table: ConnectorTable, schema: Schema, *, written: bool) -> None:
    """Refuse a declaration that does not fit the table that is there.

    Args:
        table: the declaration.
        schema: of the table in the catalog.
        written: rows will be written, so that no NULL may come where the table takes none.

    Raises:
        ConnectorError: a column is missing or has another type, or the key differs.
    """
    there = {x.name: x for x in schema.fields}
    names = list(there)
    for column in table.schema.fields:
        found = there.get(column.name)
        if found is None:
            near = nearest(column.name, names)
            raise ConnectorError(
                f'table "{table.name}" has no column "{column.name}" in its catalog',
                hint=(f'Did you mean "{near}"? ' if near else "")
                + f"Its columns: {', '.join(names)}.",
            )
        _check_column(table, column, found, written=written)
    if not written:
        return
    declared = set(table.schema.names)
    for field in schema.fields:
        if field.required and field.name not in declared:
            raise ConnectorError(
                f'column "{field.name}" of table "{table.name}" takes no NULL in its catalog, and is '
                "not declared",
                hint=f"Add {field.name} {flink_type(field.field_type, required=True)} to the "
                "CREATE TABLE.",
            )
    _check_key(table, schema)


def _check_column(
    table: ConnectorTable, column: f.Field, found: NestedField, *, written: bool
) -> None:
    there = found.field_type
    if not written:
        # Some are read as others: a UUID as its bytes.
        there = iceberg_type(flink_type(there), fine=True)
    if _shape(iceberg_type(column.type, fine=not written)) != _shape(there):
        raise ConnectorError(
            f'column "{column.name}" of table "{table.name}" is declared as '
            f"{column.type.with_nullable(nullable=True)}, and is {found.field_type} in its catalog",
            hint=f"Declare it as {flink_type(found.field_type)}.",
        )
    if written and found.required and column.type.nullable and column.name not in table.primary_key:
        raise ConnectorError(
            f'column "{column.name}" of table "{table.name}" takes no NULL in its catalog',
            hint="Declare it NOT NULL.",
        )


def _check_key(table: ConnectorTable, schema: Schema) -> None:
    known = {x.name for x in schema.fields if x.field_id in set(schema.identifier_field_ids)}
    if table.primary_key and known and known != set(table.primary_key):
        raise ConnectorError(
            f'the PRIMARY KEY of table "{table.name}" is ({_listed(table.primary_key)}), and its '
            f"identifier fields are ({_listed(sorted(known))}) in its catalog",
            hint=f"Declare PRIMARY KEY ({_listed(sorted(known))}) NOT ENFORCED.",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _shape(kind: IcebergType) -> Any:
    """The type without the numbers of its fields, and without what may be NULL inside."""
    from pyiceberg import types as i  # noqa: PLC0415 - the client

    match kind:
        case i.ListType():
            return ("list", _shape(kind.element_type))
        case i.MapType():
            return ("map", _shape(kind.key_type), _shape(kind.value_type))
        case i.StructType():
            return ("struct", tuple((x.name, _shape(x.field_type)) for x in kind.fields))
    return kind
