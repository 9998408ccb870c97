"""The parquet format: projection, positions, types, zones, damage."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.errors import ConnectorError, DataError
from flowsql.formats import find_format

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
        found = [v for b in reader.batches(start, 4) for v in b.column(0).to_pylist()]
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
    (batch,) = reader.batches(0, 10)
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
    (batch,) = FORMAT.reader(path, both).batches(0, 10)
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
    (batch,) = FORMAT.reader(path, format_table("parquet", "b BIGINT")).batches(0, 10)
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
    (batch,) = FORMAT.reader(str(tmp_path / "f"), table).batches(0, 10)
    assert [{"a": noon, "b": "x"}] == batch.to_pylist()
    stored = pq.read_table(tmp_path / "f").column("a")[0].as_py()
    assert (noon if utc == "true" else dt.datetime(2020, 7, 1, 10)) == stored
