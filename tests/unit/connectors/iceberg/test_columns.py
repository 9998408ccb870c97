"""Columns of files that others wrote: in any of Arrow's types, by ids or by names, at any depth."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.scan.columns import HeldColumns, wanted_columns
from flowsql_connectors.iceberg.schema import flink_type
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table.name_mapping import MappedField, NameMapping
from pyiceberg.types import (
    BinaryType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from flowsql.errors import ConnectorError
from flowsql.session import Session
from flowsql.types import Field, RowType

from .lake import Lake, commit, delete_rows, foreign_file

_CENT = Decimal("1.25")
_LIST = ListType(10, StringType(), element_required=False)
_ZONED = [dt.datetime(1970, 1, 1, 0, 0, 0, 1, dt.UTC), None]
_BYTES = b"0123456789abcdef"


# The table's type, what the file has, and what is read where that is not the same.
_FORMS: list[tuple[IcebergType, pa.Array, list[Any] | None]] = [
    (StringType(), pa.array(["a", None]).dictionary_encode(), None),
    (StringType(), pa.array(["a", None], pa.large_string()), None),
    (StringType(), pa.array(["a", None], pa.string_view()), None),
    (StringType(), pa.array([b"a", None]), ["a", None]),
    (StringType(), pa.nulls(2), None),
    (BinaryType(), pa.array([b"a", None], pa.binary_view()), None),
    (IntegerType(), pa.array([200, None], pa.uint8()), None),
    (LongType(), pa.array([2**32 - 1, None], pa.uint32()), None),
    (LongType(), pa.array([-1, None], pa.int32()), None),
    (FloatType(), pa.array([1.5, None], pa.float16()), None),
    (DoubleType(), pa.array([0.1, None], pa.float32()), [0.10000000149011612, None]),
    (DecimalType(20, 2), pa.array([_CENT, None], pa.decimal128(9, 2)), None),
    (DecimalType(20, 2), pa.array([_CENT, None], pa.decimal256(20, 2)), None),
    (DecimalType(9, 2), pa.array([_CENT, None], pa.decimal32(9, 2)), None),
    (UUIDType(), pa.array([_BYTES, None], pa.binary(16)), None),
    (UUIDType(), pa.array([_BYTES, None], pa.uuid()), [_BYTES, None]),
    (FixedType(2), pa.array([b"ab", None], pa.binary()), None),
    (DateType(), pa.array([86_400_000, None], pa.date64()), None),
    (TimeType(), pa.array([1500, None], pa.time32("ms")), None),
    (TimeType(), pa.array([1_500_600, None], pa.time64("us")), [dt.time(0, 0, 1, 500_000), None]),
    (TimestampType(), pa.array([-1, None], pa.timestamp("ms")), None),
    (TimestampType(), pa.array([1, None], pa.timestamp("us", "UTC")), [_ZONED[0].replace(tzinfo=None), None]),
    (TimestamptzType(), pa.array([1, None], pa.timestamp("us")), _ZONED),
    (TimestamptzType(), pa.array([1, None], pa.timestamp("us", "America/New_York")), _ZONED),
    (_LIST, pa.array([["a", None], None, []], pa.large_list(pa.string())), None),
    (_LIST, pa.array([["a", None], None, ["b", "c"]], pa.list_(pa.string(), 2)), None),
    (_LIST, pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))), None),
]  # fmt: skip


def test_whatever_type_a_file_has(lake: Lake, session: Session) -> None:
    """It is read as the one of the table."""
    read = _read(lake, session, [(kind, column) for kind, column, _ in _FORMS])
    for found, (kind, column, wanted) in zip(read, _FORMS, strict=True):
        expected = column.to_pylist() if wanted is None else wanted
        assert found[: len(column)] == expected, (kind, column.type)


def test_times_in_twelve_bytes(lake: Lake, session: Session) -> None:
    """Of any century: nanoseconds would only reach from 1677 to 2262."""
    texts = ("2024-01-01 12:02:03.456789", "9999-12-31", "0001-01-01")
    times = [dt.datetime.fromisoformat(text) for text in texts]
    column = pa.array([*times, None], pa.timestamp("us"))
    kinds: list[IcebergType] = [TimestampType(), TimestamptzType()]
    plain, zoned = _read(
        lake, session, [(k, column) for k in kinds], use_deprecated_int96_timestamps=True
    )
    assert plain == [*times, None]
    assert zoned == [*(x.replace(tzinfo=dt.UTC) for x in times), None]


def test_nanoseconds_are_cut_off_downwards(lake: Lake, session: Session) -> None:
    """Before 1970 as well."""
    column = pa.array([1, -1, -1000, -1001], pa.timestamp("ns"))
    (read,) = _read(lake, session, [(TimestampType(), column)])
    zero = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    assert read == [zero - dt.timedelta(microseconds=x) for x in (0, 1, 1, 2)]


def _read(
    lake: Lake, session: Session, columns: list[tuple[IcebergType, pa.Array]], **how: Any
) -> list[list[Any]]:
    """What a query reads of a file with these columns."""
    named = {f"c{at}": one for at, one in enumerate(columns)}
    rows = max(len(column) for _, column in columns)
    fields = [NestedField(100 + at, name, named[name][0]) for at, name in enumerate(named)]
    table = lake.make("t", Schema(NestedField(1, "id", LongType()), *fields))
    held = {"id": pa.array(range(rows), pa.int64())}
    for name, (_, column) in named.items():
        more = pa.nulls(rows - len(column), column.type)
        held[name] = column if len(column) == rows else pa.concat_arrays([column, more])
    commit(table, foreign_file(table, pa.table(held), **how))
    found = sorted(session.execute("SELECT * FROM t").fetchall(), key=lambda row: row[0])
    return [list(column) for column in zip(*found, strict=True)][1:]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (LongType(), pa.array(["1"])),
        (IntegerType(), pa.array([2**40])),
        (StringType(), pa.array([1])),
        (FloatType(), pa.array([0.1])),
        (DecimalType(4, 1), pa.array([Decimal("1.25")])),
        (TimestampType(), pa.array([1], pa.timestamp("us", "America/New_York"))),
        (_LIST, pa.array(["a"])),
        (FixedType(2), pa.array([b"abc"])),
    ],
    ids=str,
)
def test_a_file_of_another_type_is_refused(kind: IcebergType, column: pa.Array) -> None:
    """No value is made up."""
    field = pa.field("v", column.type, metadata={"PARQUET:field_id": "1"})
    batch = pa.RecordBatch.from_arrays([column], schema=pa.schema([field]))
    row = RowType((Field("v", flink_type(kind)),))
    (wanted,) = wanted_columns(Schema(NestedField(1, "v", kind)), row)
    with pytest.raises(ConnectorError, match='column "v" of "f" cannot be read as') as caught:
        HeldColumns(batch.schema, None, "f").column(wanted, batch, {})
    assert f"The file holds {column.type}" in (caught.value.detail or "")


_INNER = StructType(NestedField(11, "x", LongType()), NestedField(12, "s", StringType()))
_ROWS: list[dict[str, Any]] = [
    {"id": 1, "l": [{"x": 1, "s": "a"}, None], "m": [("k", {"x": 1, "s": None}), ("n", None)],
     "d": [[{"x": 1, "s": "a"}], None, []], "r": {"i": [{"x": 9, "s": "z"}]}},
    {"id": 2, "l": None, "m": None, "d": None, "r": None},
    {"id": 3, "l": [], "m": [], "d": [], "r": {"i": None}},
    {"id": 4, "l": [{"x": None, "s": None}], "m": [("z", None)], "d": [None, [None]], "r": {"i": []}},
]  # fmt: skip


def _nested(lake: Lake) -> Any:
    items = ListType(13, _INNER, element_required=False)
    fields = (
        NestedField(1, "id", LongType()),
        NestedField(2, "l", ListType(14, _INNER, element_required=False)),
        NestedField(3, "m", MapType(15, StringType(), 16, _INNER, value_required=False)),
        NestedField(4, "d", ListType(17, items, element_required=False)),
        NestedField(5, "r", StructType(NestedField(18, "i", items))),
    )
    table = lake.make("t", Schema(*fields))
    commit(table, foreign_file(table, pa.Table.from_pylist(_ROWS, table.schema().as_arrow())))
    return table


def _more(value: Any, **more: Any) -> Any:
    """With more fields in every struct."""
    if isinstance(value, dict):
        return {**value, **more}
    if isinstance(value, list):
        return [_more(x, **more) for x in value]
    return (value[0], _more(value[1], **more)) if isinstance(value, tuple) else value


def test_lists_and_maps_of_structs_may_be_null(lake: Lake, session: Session) -> None:
    """And are not empty then; whichever rows are left, and whatever fields came later."""
    table = _nested(lake)

    def read(condition: str = "TRUE") -> list[tuple[Any, ...]]:
        found = session.execute(f"SELECT id, l, m, d, r FROM t WHERE {condition}").fetchall()
        return sorted(found, key=lambda row: row[0])

    rows = [tuple(row.values()) for row in _ROWS]
    assert read() == rows
    assert read("id > 1") == rows[1:]
    with table.update_schema() as update:
        update.add_column(("l", "element", "y"), IntegerType())
        update.add_column(("m", "value", "y"), IntegerType())
    rows = [(*row[:1], _more(row[1], y=None), _more(row[2], y=None), *row[3:]) for row in rows]
    assert read() == rows
    delete_rows(table, 1, 3)
    assert read() == [rows[1], rows[3]]


def test_a_struct_is_there_when_none_of_its_fields_is(lake: Lake, session: Session) -> None:
    """All were dropped, and others came."""
    fields = (
        NestedField(1, "id", LongType()),
        NestedField(2, "r", StructType(NestedField(3, "x", LongType()))),
    )
    table = lake.make("t", Schema(*fields))
    rows = [{"id": 1, "r": {"x": 5}}, {"id": 2, "r": None}, {"id": 3, "r": {"x": None}}]
    commit(table, foreign_file(table, pa.Table.from_pylist(rows, table.schema().as_arrow())))
    with table.update_schema() as update:
        update.add_column(("r", "y"), StringType())
        update.delete_column(("r", "x"))
    found = session.execute("SELECT id, r FROM t WHERE r IS NOT NULL ORDER BY id").fetchall()
    assert found == [(1, {"y": None}), (3, {"y": None})]


def test_columns_by_their_names(lake: Lake, session: Session) -> None:
    """Nested ones too; those that nobody maps are none of the table's."""
    table = _nested(lake)
    form = schema_to_pyarrow(table.schema(), include_field_ids=False)
    rows = pa.Table.from_pylist([{**row, "id": row["id"] + 10} for row in _ROWS], form)
    commit(table, foreign_file(table, rows.append_column("extra", rows["id"]), ids=False))
    with pytest.raises(ConnectorError, match="has no field ids") as caught:
        session.execute("SELECT * FROM t").fetchall()
    assert "schema.name-mapping.default" in (caught.value.hint or "")
    mapping = _mapping(table.schema().fields)
    with table.transaction() as changes:
        changes.set_properties(
            {"schema.name-mapping.default": NameMapping(mapping).model_dump_json(by_alias=True)}
        )
    found = session.execute("SELECT * FROM t WHERE id > 10").fetchall()
    wanted = [(row["id"] + 10, *list(row.values())[1:]) for row in _ROWS]
    assert sorted(found, key=lambda row: row[0]) == wanted


def _mapping(fields: Any) -> list[MappedField]:
    def inner(kind: IcebergType) -> list[MappedField]:
        match kind:
            case StructType():
                return _mapping(kind.fields)
            case ListType():
                return _mapping([kind.element_field])
            case MapType():
                return _mapping([kind.key_field, kind.value_field])
        return []

    return [
        MappedField(**{"field-id": x.field_id, "names": [x.name], "fields": inner(x.field_type)})
        for x in fields
    ]
