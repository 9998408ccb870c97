"""The parquet format: projection, positions, types, zones, damage."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.errors import ConnectorError
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
