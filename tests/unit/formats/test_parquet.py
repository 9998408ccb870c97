"""The parquet format: projection, positions, types, zones, damage."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.errors import ConfigError, ConnectorError, DataError
from flowsql.formats import find_format
from flowsql.types import (
    BigIntType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IntType,
    LocalZonedTimestampType,
    TimestampType,
    TimeType,
    VarCharType,
)
from flowsql.types.predicates import Comparison, IsNull, OneOf, Or

from .helpers import format_table

FORMAT = find_format("parquet")


def _file(path: Path, **columns: pa.Array) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return str(path)


def test_starts_at_any_row(tmp_path: Path) -> None:
    """Reading from row n on gives exactly the rows behind it, whatever the row groups."""
    path = _file(tmp_path / "f", a=pa.array(range(10), pa.int64()))
    reader = FORMAT.reader(path, format_table("parquet", "a BIGINT"))
    assert reader.rows == 10
    for start in range(11):
        found = [v for _, b in reader.batches(start, 4) for v in b.column(0).to_pylist()]
        assert list(range(start, 10)) == found


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """Other columns are left out, narrower ones widened, missing ones NULL."""
    path = _file(
        tmp_path / "f",
        z=pa.array(["x"]),
        b=pa.array([1], pa.int32()),
        t=pa.array([5], pa.timestamp("ms")),
    )
    reader = FORMAT.reader(path, format_table("parquet", "n STRING, b BIGINT, t TIMESTAMP(3)"))
    ((_, batch),) = reader.batches(0, 10)
    assert [{"n": None, "b": 1, "t": dt.datetime(1970, 1, 1, 0, 0, 0, 5000)}] == batch.to_pylist()


def test_no_column_at_all_is_refused(tmp_path: Path) -> None:
    """A misspelt table is not a table of NULLs."""
    path = _file(tmp_path / "f", Price=pa.array([1]))
    with pytest.raises(ConnectorError, match="none of the columns") as error:
        FORMAT.reader(path, format_table("parquet", "price BIGINT"))
    assert 'did you mean "Price"' in str(error.value)


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        ("b BIGINT, unitprice INT", 'has no column "unitprice"', 'did you mean "Unit_Price"?'),
        (
            "b BIGINT, x INT NOT NULL",
            'has no column "x", which is declared NOT NULL',
            "it is NULL where a file lacks it",
        ),
    ],
)
def test_a_column_that_must_be_meant_otherwise_is_refused(
    tmp_path: Path, columns: str, message: str, hint: str
) -> None:
    """It would be NULL throughout."""
    path = _file(tmp_path / "f", b=pa.array([1]), Unit_Price=pa.array([2]))
    with pytest.raises(ConnectorError, match=message) as error:
        FORMAT.reader(path, format_table("parquet", columns))
    assert hint in str(error.value)
    both = format_table("parquet", "b BIGINT, unitprice INT, Unit_Price BIGINT")
    ((_, batch),) = FORMAT.reader(path, both).batches(0, 10)
    assert batch.to_pylist() == [{"b": 1, "unitprice": None, "Unit_Price": 2}]


def test_missing_columns_are_told(tmp_path: Path) -> None:
    """With the nearest name in the file."""
    path = _file(tmp_path / "f", b=pa.array([1]), prise=pa.array([2]))
    table = format_table("parquet", "b BIGINT, price BIGINT, z INT")
    assert [
        f'"{path}" has no column "price": it is NULL there; the file has "prise"',
        f'"{path}" has no column "z": it is NULL there',
    ] == list(FORMAT.doubts(path, table))
    assert list(FORMAT.doubts(path, format_table("parquet", "b BIGINT"))) == []


def test_null_in_a_not_null_column_is_refused(tmp_path: Path) -> None:
    """The engine takes NOT NULL for a fact."""
    path = _file(tmp_path / "f", a=pa.array([1, None]), b=pa.array([1, None]))
    reader = FORMAT.reader(path, format_table("parquet", "a BIGINT NOT NULL, b BIGINT"))
    with pytest.raises(DataError, match=r'column "a" of .* is NULL and declared NOT NULL'):
        list(reader.batches(0, 10))
    ((_, batch),) = FORMAT.reader(path, format_table("parquet", "b BIGINT")).batches(0, 10)
    assert batch.column(0).to_pylist() == [1, None]


def test_a_wrong_type_is_named(tmp_path: Path) -> None:
    """A value is never cut to fit."""
    path = _file(tmp_path / "f", a=pa.array([2**40]))
    reader = FORMAT.reader(path, format_table("parquet", "a INT"))
    with pytest.raises(ConnectorError, match=r'column "a" of ".*" cannot be read as int32'):
        list(reader.batches(0, 10))


def test_damage_is_named(tmp_path: Path) -> None:
    """A file that is not whole is an error that names it."""
    (tmp_path / "f").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ConnectorError, match="cannot be read as Parquet"):
        FORMAT.reader(str(tmp_path / "f"), format_table("parquet", "a INT"))


@pytest.mark.parametrize("utc", ["true", "false"])
def test_round_trip_of_local_times(tmp_path: Path, utc: str) -> None:
    """A TIMESTAMP is read as it was written, with either meaning of the stored number."""
    table = format_table("parquet", "a TIMESTAMP(3), b STRING", utc_timezone=utc)
    table = type(table)(table.schema, table.options, table.columns, "Europe/Berlin")
    noon = dt.datetime(2020, 7, 1, 12)
    target = io.BytesIO()
    writer = FORMAT.writer(target, table)
    schema = pa.schema([("a", pa.timestamp("us")), ("b", pa.string())])
    writer.write(pa.RecordBatch.from_pylist([{"a": noon, "b": "x"}], schema=schema))
    writer.close()
    (tmp_path / "f").write_bytes(target.getvalue())
    ((_, batch),) = FORMAT.reader(str(tmp_path / "f"), table).batches(0, 10)
    assert [{"a": noon, "b": "x"}] == batch.to_pylist()
    stored = pq.read_table(tmp_path / "f").column("a")[0].as_py()
    assert (noon if utc == "true" else dt.datetime(2020, 7, 1, 10)) == stored


@pytest.mark.parametrize(
    ("zone", "local", "instant", "read"),
    [
        ("Europe/Berlin", "2024-03-31 02:30", "2024-03-31 01:30", "2024-03-31 03:30"),
        ("Europe/Berlin", "2024-10-27 02:30", "2024-10-27 01:30", "2024-10-27 02:30"),
        ("GMT+08:00", "2024-03-31 02:30", "2024-03-30 18:30", "2024-03-31 02:30"),
    ],
)
def test_local_times_that_clocks_skip_or_repeat(
    tmp_path: Path, zone: str, local: str, instant: str, read: str
) -> None:
    """A skipped one is moved on, a repeated one is the second, as `java.sql.Timestamp` has it."""
    table = format_table("parquet", "a TIMESTAMP(3)", utc_timezone="false")
    table = replace(table, local_time_zone=zone)
    target = io.BytesIO()
    writer = FORMAT.writer(target, table)
    schema = pa.schema([("a", pa.timestamp("us"))])
    row = {"a": dt.datetime.fromisoformat(local)}
    writer.write(pa.RecordBatch.from_pylist([row, {"a": None}], schema=schema))
    writer.close()
    (tmp_path / "f").write_bytes(target.getvalue())
    stored = pq.read_table(tmp_path / "f").column("a").to_pylist()
    assert stored == [dt.datetime.fromisoformat(instant), None]
    ((_, batch),) = FORMAT.reader(str(tmp_path / "f"), table).batches(0, 10)
    assert batch.column("a").to_pylist() == [dt.datetime.fromisoformat(read), None]


@pytest.mark.parametrize("kind", ["ARRAY<TIMESTAMP(3)>", "ROW<x INT, y TIMESTAMP(3)>"])
def test_times_within_a_column_are_not_shifted(kind: str) -> None:
    """They would be other instants than those that Flink writes."""
    with pytest.raises(ConfigError, match='cannot shift the TIMESTAMP within column "a"'):
        FORMAT.check(format_table("parquet", f"a {kind}", utc_timezone="false"))
    FORMAT.check(format_table("parquet", f"a {kind}", utc_timezone="true"))


def test_row_groups_without_wanted_rows_are_passed_over(tmp_path: Path) -> None:
    """Row numbers count what was passed over; what comes holds all wanted rows."""
    path = _file(tmp_path / "f", a=pa.array(range(12), pa.int64()), b=pa.array([None] * 12))
    table = format_table("parquet", "a BIGINT, b STRING")
    wanted = Or((
        Comparison("a", BigIntType(), "<", 2),
        OneOf("a", BigIntType(), (7, 10)),
    ))  # fmt: skip
    for start in range(13):
        with_row = FORMAT.reader(path, replace(table, wanted=(wanted,))).batches(start, 2)
        found = [(n + i, v) for n, b in with_row for i, v in enumerate(b.column(0).to_pylist())]
        assert found == [(n, n) for n in range(start, 12) if n not in {3, 4, 5}]
    nulls = IsNull("b", VarCharType())
    assert list(FORMAT.reader(path, replace(table, wanted=(nulls,))).batches(0, 10))
    values = replace(nulls, negated=True)
    # A column of another type in the file, as one of NULLs is, says nothing.
    assert list(FORMAT.reader(path, replace(table, wanted=(values,))).batches(0, 10))


@pytest.mark.parametrize(
    ("column", "predicate", "rows"),
    [
        (pa.array(["a", "b", None, "zz", "ü", "ü"]), Comparison("a", VarCharType(), ">", "x"), 3),
        (pa.array([None] * 3 + [1] * 3, pa.int32()), IsNull("a", IntType()), 3),
        (pa.array([None] * 3 + [1] * 3, pa.int32()), IsNull("a", IntType(), negated=True), 3),
        (pa.array([True] * 3 + [False] * 3), Comparison("a", BooleanType(), "=", value=True), 3),
        (pa.array([1.0, float("nan"), 1.0, 5.0, 5.0, 5.0]), Comparison("a", DoubleType(), "<>", 1.0), 6),
        (pa.array([1.0, float("nan"), 1.0, 5.0, 5.0, 5.0]), Comparison("a", DoubleType(), ">", 1.0), 3),
        (pa.array([float("nan")] * 3 + [5.0] * 3), Comparison("a", DoubleType(), "=", 5.0), 6),
        (pa.array([0.0] * 3 + [-0.0] * 3), Comparison("a", DoubleType(), "=", -0.0), 6),
        (pa.array([Decimal("-1.5")] * 3 + [Decimal("2.5")] * 3, pa.decimal128(5, 1)),
         Comparison("a", DecimalType(5, 1), "<", Decimal("0.0")), 3),
        (pa.array([1] * 3 + [2] * 3, pa.date32()), Comparison("a", DateType(), "=", 2), 3),
        (pa.array([1] * 3 + [2] * 3, pa.timestamp("us")), Comparison("a", TimestampType(6), "<", 2), 3),
        (pa.array([1] * 3 + [2] * 3, pa.timestamp("us", "UTC")),
         Comparison("a", LocalZonedTimestampType(6), "<", 2), 3),
        (pa.array([1] * 3 + [2] * 3, pa.time32("ms")), Comparison("a", TimeType(3), "=", 1), 3),
        # Milliseconds in the file are microseconds when they are read: they are not compared.
        (pa.array([1] * 3 + [2] * 3, pa.timestamp("ms")), Comparison("a", TimestampType(6), "<", 5), 6),
    ],
)  # fmt: skip
def test_statistics_of_every_type_are_understood(
    tmp_path: Path, column: pa.Array, predicate: Any, rows: int
) -> None:
    """Two row groups of three rows."""
    path = _file(tmp_path / "f", a=column)
    table = replace(format_table("parquet", f"a {predicate.type}"), wanted=(predicate,))
    assert sum(len(b) for _, b in FORMAT.reader(path, table).batches(0, 10)) == rows


def test_times_that_are_shown_in_a_zone_are_not_compared(tmp_path: Path) -> None:
    """The statistics are of the instants, the condition is of local times."""
    path = _file(tmp_path / "f", a=pa.array([0], pa.timestamp("us")))
    table = format_table("parquet", "a TIMESTAMP(6)", utc_timezone="false")
    later = Comparison("a", TimestampType(6), ">", 0)
    table = replace(table, local_time_zone="Asia/Tokyo", wanted=(later,))
    ((_, batch),) = FORMAT.reader(path, table).batches(0, 10)
    assert batch.column(0).to_pylist() == [dt.datetime(1970, 1, 1, 9)]


def test_a_file_without_statistics_is_read(tmp_path: Path) -> None:
    """Nothing is known of it."""
    path = str(tmp_path / "f")
    pq.write_table(pa.table({"a": [1, 2]}), path, write_statistics=False)
    wanted = (Comparison("a", BigIntType(), "=", 9),)
    table = replace(format_table("parquet", "a BIGINT"), wanted=wanted)
    assert list(FORMAT.reader(path, table).batches(0, 10))


def test_a_member_of_a_row_is_not_the_column_of_its_path(tmp_path: Path) -> None:
    """Both have the path `a.b`; the row's statistics say nothing of the column."""
    members = pa.array([{"b": 7}] * 6)
    path = _file(tmp_path / "f", **{"a.b": pa.array([1] * 6, pa.int64()), "a": members})
    wanted = (Comparison("a.b", BigIntType(), "=", 1),)
    table = replace(format_table("parquet", "`a.b` BIGINT"), wanted=wanted)
    assert sum(len(b) for _, b in FORMAT.reader(path, table).batches(0, 10)) == 6


def _read(path: str, columns: str) -> list[dict[str, Any]]:
    reader = FORMAT.reader(path, format_table("parquet", columns))
    return [row for _, batch in reader.batches(0, 100) for row in batch.to_pylist()]


def test_times_in_twelve_bytes(tmp_path: Path) -> None:
    """As Flink and Spark write them: of any century, or with nanoseconds."""
    path = str(tmp_path / "f")
    times = [
        dt.datetime(9999, 12, 31),
        dt.datetime(1, 1, 1),
        dt.datetime(2024, 1, 1, 1, 2, 3, 456789),
    ]
    rows = pa.table(
        {"t": pa.array(times, pa.timestamp("us")), "r": pa.array([{"u": x} for x in times])}
    )
    pq.write_table(rows, path, use_deprecated_int96_timestamps=True)
    columns = "t TIMESTAMP(6), r ROW<u TIMESTAMP(3)>"
    assert _read(path, columns) == [{"t": x, "r": {"u": x}} for x in times]
    for nine in (columns.replace("6", "9"), columns.replace("3", "9")):
        with pytest.raises(ConnectorError, match="holds a time before 1677 or after 2262"):
            _read(path, nine)
    fine = pa.table({"t": pa.array([1_700_000_000_123_456_789, -1], pa.timestamp("ns"))})
    pq.write_table(fine, path, use_deprecated_int96_timestamps=True)
    reader = FORMAT.reader(path, format_table("parquet", "t TIMESTAMP(9)"))
    ((_, batch),) = reader.batches(0, 100)
    assert batch.column(0).view(pa.int64()).to_pylist() == [1_700_000_000_123_456_789, -1]


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_finer_digits_are_cut_off_downwards(tmp_path: Path, zone: str | None) -> None:
    """Before 1970 as well."""
    path = _file(tmp_path / "f", t=pa.array([1001, -1, -1000], pa.timestamp("ns", zone)))
    kind = "TIMESTAMP(6)" if zone is None else "TIMESTAMP_LTZ(6)"
    reader = FORMAT.reader(path, format_table("parquet", f"t {kind}"))
    ((_, batch),) = reader.batches(0, 100)
    assert batch.column(0).view(pa.int64()).to_pylist() == [1, -1, -1]
