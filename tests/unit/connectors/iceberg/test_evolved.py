"""Tables that changed: other partitions, columns of later versions of the format, defaults."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, IdentityTransform, TruncateTransform
from pyiceberg.types import (
    IntegerType,
    ListType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    StructType,
    UUIDType,
)

from flowsql.session import Session

from .lake import Lake, commit, equality_file, foreign_file

_CITIES = Schema(NestedField(1, "id", LongType()), NestedField(2, "city", StringType()))
_BY_CITY = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "city"))


def _append(table: Table, *rows: tuple[Any, ...]) -> None:
    form = table.refresh().schema().as_arrow()
    table.append(pa.table(list(map(list, zip(*rows, strict=True))), schema=form))


def _third(table: Table, change: Callable[[dict[str, Any]], None]) -> None:
    """Make it a table of format version 3, which the client cannot write; and change more of it."""
    path = Path(table.refresh().metadata_location)
    held = json.loads(path.read_text())
    held.update({"format-version": 3, "next-row-id": 1000})
    for snapshot in held["snapshots"]:
        snapshot.update({"first-row-id": 0, "added-rows": 1})
    change(held)
    path.write_text(json.dumps(held))


def test_what_is_left_of_a_partition_divides_nothing(lake: Lake, session: Session) -> None:
    """Version 1 keeps a dropped one as `void`: deletes without any other are of the whole table."""
    table = lake.make("t", _CITIES, partition_spec=_BY_CITY, properties={"format-version": "1"})
    _append(table, (1, "a"), (2, "b"))
    with table.update_spec() as update:
        update.remove_field("city")
    with table.transaction() as changes:
        changes.upgrade_table_version(2)
    gone = equality_file(table.refresh(), {"id": [1]}, None)
    gone.spec_id = table.spec().spec_id
    commit(table, gone)
    _append(table, (1, "c"))
    assert session.execute("SELECT id, city FROM t ORDER BY id").fetchall() == [(1, "c"), (2, "b")]


def test_partitions_by_a_column_that_is_gone(lake: Lake, session: Session) -> None:
    """Their files are read, and are none of the partitions that the table has now."""
    table = lake.make("t", _CITIES, partition_spec=_BY_CITY)
    _append(table, (1, "a"), (2, "b"))
    with table.update_spec() as update:
        update.remove_field("city")
        update.add_field("id", BucketTransform(4), "bucket")
    with table.update_schema() as update:
        update.delete_column("city")
    _append(table, (3,))
    assert session.execute("SELECT id FROM t WHERE id > 1 ORDER BY id").fetchall() == [(2,), (3,)]
    assert session.execute("SHOW PARTITIONS t").fetchall() == [("bucket=3",)]


def test_defaults(lake: Lake, session: Session) -> None:
    """Of columns that came later, of any type and depth; conditions find them."""
    inner = StructType(NestedField(3, "x", LongType()))
    table = lake.make("t", Schema(NestedField(1, "id", LongType()), NestedField(2, "r", inner)))
    rows = pa.Table.from_pylist(
        [{"id": 1, "r": {"x": 1}}, {"id": 2, "r": None}], table.schema().as_arrow()
    )
    commit(table, foreign_file(table, rows))
    given: dict[str, tuple[str, Any, Any]] = {
        "i": ("int", 5, 5),
        "d": ("double", 2.5, 2.5),
        "n": ("decimal(9, 2)", "1.25", Decimal("1.25")),
        "s": ("string", "abc", "abc"),
        "b": ("binary", "0aff", b"\x0a\xff"),
        "u": ("uuid", "00000000-0000-0000-0000-000000000001", bytes(15) + b"\x01"),
        "da": ("date", "2020-02-29", dt.date(2020, 2, 29)),
        "tm": ("time", "01:02:03.004005", dt.time(1, 2, 3, 4000)),
        "ts": ("timestamp", "2020-02-29T01:02:03.123456", dt.datetime.fromisoformat("2020-02-29 01:02:03.123456")),
    }  # fmt: skip

    def change(held: dict[str, Any]) -> None:
        (schema,) = held["schemas"]
        for at, (name, (kind, default, _)) in enumerate(given.items(), 10):
            schema["fields"].append(_field(at, name, kind, default))
        schema["fields"][1]["type"]["fields"].append(_field(50, "y", "int", 7))
        held["last-column-id"] = 50

    _third(table, change)
    values = tuple(value for _, _, value in given.values())
    found = session.execute("SELECT * FROM t ORDER BY id").fetchall()
    assert found == [(1, {"x": 1, "y": 7}, *values), (2, None, *values)]
    conditions = {"i = 5 AND da = DATE '2020-02-29'": [1, 2], "i = 6": [], "s IS NULL": []}
    for condition, expected in conditions.items():
        chosen = session.execute(f"SELECT id FROM t WHERE {condition}").fetchall()
        assert sorted(chosen) == [(x,) for x in expected], condition


def _field(at: int, name: str, kind: str, default: Any = None) -> dict[str, Any]:
    made = {"id": at, "name": name, "required": default is not None, "type": kind}
    return made if default is None else {**made, "initial-default": default}


def test_nanoseconds(lake: Lake, session: Session) -> None:
    """Are read with all their digits."""
    fields = [NestedField(at, name, LongType()) for at, name in enumerate(("id", "ts", "tz"), 1)]
    table = lake.make("t", Schema(*fields))
    columns = {
        "id": pa.array([1, 2], pa.int64()),
        "ts": pa.array([1_700_000_000_123_456_789, -1], pa.timestamp("ns")),
        "tz": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
    }
    commit(table, foreign_file(table, pa.table(columns)))

    def change(held: dict[str, Any]) -> None:
        _, ts, tz = held["schemas"][0]["fields"]
        ts["type"], tz["type"] = "timestamp_ns", "timestamptz_ns"

    _third(table, change)
    query = "SELECT CAST(ts AS STRING) FROM t WHERE ts > TIMESTAMP '2000-01-01 00:00:00' AND tz IS NOT NULL"
    assert session.execute(query).fetchall() == [("2023-11-14 22:13:20.123456789",)]
    assert session.execute("SELECT id FROM t WHERE tz IS NULL").fetchall() == [(2,)]


def test_uuids_within(lake: Lake, session: Session) -> None:
    """Are read as their bytes, as those that are columns."""
    items = ListType(3, UUIDType(), element_required=False)
    table = lake.make("t", Schema(NestedField(1, "id", IntegerType()), NestedField(2, "l", items)))
    held = pa.array([[b"0123456789abcdef", None]], pa.list_(pa.binary(16)))
    commit(table, foreign_file(table, pa.table({"id": pa.array([1], pa.int32()), "l": held})))
    assert session.execute("SELECT l FROM t").fetchall() == [([b"0123456789abcdef", None],)]


@pytest.mark.parametrize(("kind", "least"), [(IntegerType(), -(2**31)), (LongType(), -(2**63))])
def test_the_least_number_of_all_is_found(
    lake: Lake, session: Session, kind: PrimitiveType, least: int
) -> None:
    """Truncated, it is in the partition of the largest, whoever wrote it."""
    spec = PartitionSpec(PartitionField(1, 1000, TruncateTransform(10), "ten"))
    table = lake.make("t", Schema(NestedField(1, "id", kind)), partition_spec=spec)
    _append(table, (least,), (5,), (-least - 1,))
    if isinstance(kind, IntegerType):
        with table.update_schema() as update:
            update.update_column("id", LongType())
    for condition in (f"id = {least}", f"id < {least + 1}", f"id IN (7, {least})"):
        assert session.execute(f"SELECT id FROM t WHERE {condition}").fetchall() == [(least,)]
