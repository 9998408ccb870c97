"""What only the filesystem connector does."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.changelog import Changes
from flowsql.connector import (
    FileOperation,
    Role,
    observe_files,
)
from flowsql.errors import ConfigError, ConnectorError, DataError
from flowsql.testing import attempt_context

from .files import CONTEXT, FILESYSTEM, files_table, open_source, read_rows, write_file


def test_files_come_by_age_then_name_and_hidden_ones_not(tmp_path: Path) -> None:
    """Folders below are read as well; what begins with . or _ is not there."""
    write_file(tmp_path / "z.csv", "1,old\n", 100)
    write_file(tmp_path / "b" / "b.csv", "3,y\n", 200)
    write_file(tmp_path / "a.csv", "2,x\n", 200)
    for hidden in (".a.csv", "_b.csv", ".staging/c.csv", "_tmp/d.csv"):
        write_file(tmp_path / hidden, "9,no\n", 50)
    source, _ = open_source(files_table(tmp_path))
    assert [r["a"] for r in read_rows(files_table(tmp_path))[0]] == [1, 2, 3]
    assert source.bounded


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(ConnectorError, match=r"nowhere\" does not exist") as error:
        open_source(files_table(tmp_path / "nowhere"))
    assert "Create the folder, or correct option 'path'." in str(error.value)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """A half-read file must be the same when the job comes back."""
    path = write_file(tmp_path / "a.csv", "1,x\n2,y\n3,z\n")
    source, reader = open_source(files_table(tmp_path))
    reader.poll(1, 0)
    position = reader.position("a.csv")
    reader.close()
    write_file(path, "1,x\n2,y\n3,z\n4,w\n")
    later = FILESYSTEM.open_source([files_table(tmp_path)], source.position(), CONTEXT)
    with pytest.raises(ConnectorError, match="has changed while it was being read") as error:
        later.open([(s, position) for s in later.discover()])
    assert "It had 12 bytes and has 16 now." in str(error.value)


@pytest.mark.parametrize("max_rows", [1, 3, 1000])
def test_bad_records_are_placed_by_line_and_come_once(tmp_path: Path, max_rows: int) -> None:
    """Also where reading stops and goes on between them."""
    text = "".join(f"x{i},q\n" if i % 5 == 4 else f"{i},n\n" for i in range(40))
    write_file(tmp_path / "a.csv", text)
    table = files_table(tmp_path)
    rows, bad, position = [], [], None
    while True:
        source = FILESYSTEM.open_source([table], None, CONTEXT)
        reader = source.open([(s, position) for s in source.discover()])
        poll = reader.poll(max_rows, 0)
        rows += [r["a"] for p in poll.pieces for r in p.changes.batch.to_pylist()]
        bad += poll.bad
        reader.close()
        if poll.finished:
            break
        position = json.loads(json.dumps(reader.position("a.csv")))
    assert [i for i in range(40) if i % 5 != 4] == rows
    assert [
        (
            f"{tmp_path}/a.csv:{i + 1}",
            f"x{i},q".encode(),
            f'column "a": "x{i}" cannot be read as INT',
        )
        for i in range(4, 40, 5)
    ] == [(b.place, b.raw, b.reason) for b in bad]


@pytest.mark.parametrize(("fmt", "text"), [("csv", "1,x\nq,y\n"), ("json", '{"a":1}\n{"a":"q"}\n')])
@pytest.mark.parametrize("policy", ["skip", "dead-letter"])
def test_what_is_bad_does_not_depend_on_the_columns_read(
    tmp_path: Path, fmt: str, text: str, policy: str
) -> None:
    """Where bad records are set aside; where one fails the job, unread columns are not decoded."""
    write_file(tmp_path / "f", text)
    options = {"scan.bad-record": policy}
    for read in (("a",), ("b",), (), ("a", "b")):
        rows, bad = read_rows(files_table(tmp_path, fmt=fmt, options=options, read=read))
        assert [tuple(r) for r in rows] == [read]
        assert [b.reason for b in bad] == ['column "a": "q" cannot be read as INT']
    assert read_rows(files_table(tmp_path, fmt=fmt, read=("b",)))[1] == []


def test_blocks_are_cut_between_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record larger than a block, line ends in quotes, no line end at the end."""
    monkeypatch.setattr("flowsql_connectors.filesystem.reader._BLOCK", 16)
    values = ["x", "line\nend", "y" * 100, 'q"q', "", "z"]
    text = "\n".join(f'{i},"{v.replace(chr(34), chr(34) * 2)}"' for i, v in enumerate(values))
    write_file(tmp_path / "a.csv", text)
    rows, bad = read_rows(files_table(tmp_path))
    assert [{"a": i, "b": v} for i, v in enumerate(values)] == rows
    assert bad == []


def test_partition_values_come_from_the_path(tmp_path: Path) -> None:
    """With their types, escapes, NULL, and as Flink itself writes dates and times."""
    columns = "a INT, d DATE, s STRING, t TIMESTAMP(3)"
    table = files_table(tmp_path, columns, partition_keys=("d", "s", "t"))
    write_file(tmp_path / "d=2020-01-05/s=x%2Fy/t=2020-01-01T00%3A00/f", "1\n", 1)
    default = "__DEFAULT_PARTITION__"
    write_file(tmp_path / f"d=18266/s={default}/t=2020-01-01 10%3A00%3A05.120/f", "2\n", 2)
    assert [
        {"a": 1, "d": dt.date(2020, 1, 5), "s": "x/y", "t": dt.datetime(2020, 1, 1)},
        {
            "a": 2,
            "d": dt.date(2020, 1, 5),
            "s": None,
            "t": dt.datetime(2020, 1, 1, 10, 0, 5, 120000),
        },
    ] == read_rows(table)[0]


def test_a_file_outside_the_partitions_is_refused(tmp_path: Path) -> None:
    """Its rows would have no value for the partition column."""
    write_file(tmp_path / "f", "1\n")
    with pytest.raises(ConnectorError, match="is in no partition of table"):
        open_source(files_table(tmp_path, "a INT, d DATE", partition_keys=("d",)))


def test_metadata_columns(tmp_path: Path) -> None:
    """They stand behind the physical ones."""
    write_file(tmp_path / "f", "1,x\n", 1_600_000_000)
    metadata = {"p": "file.path", "n": "file.name", "s": "file.size", "m": "file.modification-time"}
    table = files_table(tmp_path, metadata=metadata, read=("b",))
    assert [
        {
            "b": "x",
            "p": str(tmp_path / "f"),
            "n": "f",
            "s": 4,
            "m": dt.datetime(2020, 9, 13, 12, 26, 40, tzinfo=dt.UTC),
        }
    ] == read_rows(table)[0]


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    """The whole absolute path must match, as in Flink."""
    write_file(tmp_path / "a.csv", "1,x\n")
    write_file(tmp_path / "sub" / "b.csv", "2,y\n")
    table = files_table(tmp_path, options={"source.path.regex-pattern": f"{tmp_path}/sub/.*"})
    assert [r["a"] for r in read_rows(table)[0]] == [2]


def test_a_single_file_is_a_table(tmp_path: Path) -> None:
    """The path may name a file, or be an address."""
    path = write_file(tmp_path / "x y.csv", "1,x\n")
    assert [r["a"] for r in read_rows(files_table(path))[0]] == [1]
    address = f"file://{str(path).replace(' ', '%20')}"
    assert [r["a"] for r in read_rows(files_table(Path(), options={"path": address}))[0]] == [1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"options": {"path": "s3://bucket/x"}}, "only local files"),
        ({"options": {"source.path.regex-pattern": "("}}, "source.path.regex-pattern"),
        ({"partition_keys": ("c",)}, 'partition column "c" of table "t" does not exist'),
        ({"partition_keys": ("a", "b")}, "no column beside its partition columns"),
        (
            {"columns": "a INT, _b STRING", "partition_keys": ("_b",)},
            'partition column "_b" of table "t" would hide its rows',
        ),
        ({"columns": "a INT, m MAP<STRING, INT>"}, 'format "csv" cannot hold column "m"'),
    ],
)
def test_refused_at_planning(tmp_path: Path, more: dict, message: str) -> None:
    """What can be known without reading is known before."""
    with pytest.raises(ConfigError, match=message):
        FILESYSTEM.check(files_table(tmp_path, **more), Role.SCAN)


def test_unknown_formats_are_named(tmp_path: Path) -> None:
    """With the nearest and all others."""
    with pytest.raises(ConfigError, match='format "parket" does not exist') as error:
        files_table(tmp_path, fmt="parket")
    assert 'Did you mean "parquet"? Installed formats: csv, debezium-json, json, parquet.' in str(
        error.value
    )


def _batch(*ids: int) -> Changes:
    data = {"a": pa.array(ids, pa.int32()), "b": [f"n{i}" for i in ids]}
    return Changes(pa.RecordBatch.from_pydict(data))


def _writer(table: Any, tmp_path: Path, *tokens: dict) -> Any:
    return FILESYSTEM.sink(table).open(attempt_context(tmp_path / "job"), tokens)


def _files(out: Path) -> list[Path]:
    return sorted(p for p in out.rglob("*") if p.is_file() and ".flowsql" not in p.parts)


def test_partitions_are_folders(tmp_path: Path) -> None:
    """As Hive and Flink name them; rows keep their order within each."""
    columns = "a INT, p STRING, d DATE, e DECIMAL(5,2)"
    out = tmp_path / "out"
    table = files_table(out, columns, partition_keys=("p", "d", "e"))
    writer = _writer(table, tmp_path)
    day = dt.date(2020, 1, 5)
    rows = [
        (1, "x/y z=%{", day, "1.50"),
        (2, None, day, "1"),
        (3, "x/y z=%{", day, "1.5"),
        (4, "", day, "1"),
    ]
    data = [{"a": a, "p": p, "d": d, "e": Decimal(e)} for a, p, d, e in rows]
    schema = pa.schema(
        [("a", pa.int32()), ("p", pa.string()), ("d", pa.date32()), ("e", pa.decimal128(5, 2))]
    )
    writer.write(Changes(pa.RecordBatch.from_pylist(data, schema=schema)))
    writer.commit(writer.prepare(1))
    found = {p.parent.relative_to(out).as_posix(): p.read_text() for p in _files(out)}
    assert found == {
        "p=x%2Fy z%3D%25%7B/d=2020-01-05/e=1.50": "1\n3\n",
        "p=__DEFAULT_PARTITION__/d=2020-01-05/e=1.00": "2\n4\n",
    }
    assert sorted(r["a"] for r in read_rows(table)[0]) == [1, 2, 3, 4]


@pytest.mark.parametrize("text", ["\x00", "a\x1fb", "..", "."])
def test_any_short_text_is_a_partition(tmp_path: Path, text: str) -> None:
    """Its folder can be made, and is read as the text."""
    table = files_table(tmp_path / "out", partition_keys=("b",))
    writer = _writer(table, tmp_path)
    batch = pa.RecordBatch.from_pydict({"a": pa.array([1], pa.int32()), "b": [text]})
    writer.write(Changes(batch))
    writer.commit(writer.prepare(1))
    assert read_rows(table)[0] == [{"a": 1, "b": text}]


def test_partitions_that_read_alike_end_to_end_are_two(tmp_path: Path) -> None:
    """Whatever the texts hold."""
    table = files_table(tmp_path / "out", "a INT, b STRING, c STRING", partition_keys=("b", "c"))
    writer = _writer(table, tmp_path)
    batch = pa.RecordBatch.from_pydict(
        {"a": pa.array([1, 2], pa.int32()), "b": ["x\x00", "x"], "c": ["y", "\x00y"]}
    )
    writer.write(Changes(batch))
    writer.commit(writer.prepare(1))
    read = sorted(read_rows(table)[0], key=lambda r: r["a"])
    assert read == [{"a": 1, "b": "x\x00", "c": "y"}, {"a": 2, "b": "x", "c": "\x00y"}]


@pytest.mark.parametrize("fmt", ["csv", "parquet"])
def test_many_partitions_need_few_open_files(tmp_path: Path, fmt: str) -> None:
    """A process may have a thousand files open; a checkpoint may fill more partitions."""
    table = files_table(tmp_path / "out", partition_keys=("b",), fmt=fmt)
    writer = _writer(table, tmp_path)
    ids = list(range(100))
    batch = pa.RecordBatch.from_pydict({"a": pa.array(ids, pa.int32()), "b": [*map(str, ids)]})
    writer.write(Changes(batch))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 50, limit[1]))
    try:
        token = writer.prepare(1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    writer.commit(token)
    assert sorted(r["a"] for r in read_rows(table)[0]) == ids


def test_a_partition_without_a_name_is_refused_when_it_is_written(tmp_path: Path) -> None:
    """Found at the commit, it could never be committed."""
    table = files_table(tmp_path / "out", partition_keys=("b",))
    writer = _writer(table, tmp_path)
    batch = pa.RecordBatch.from_pydict({"a": pa.array([1], pa.int32()), "b": ["ä" * 130]})
    with pytest.raises(DataError, match='partition value of table "t" is too long'):
        writer.write(Changes(batch))


@pytest.mark.parametrize(("fmt", "text"), [("csv", "1,x\n2,y\n"), ("json", '{"a":1}\n{"a":2}\n')])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, fmt: str, text: str) -> None:
    """At the beginning of a file, as in Flink; also where reading stops behind its first row."""
    write_file(tmp_path / "f", f"\ufeff{text}".encode())
    table = files_table(tmp_path, fmt=fmt)
    assert [r["a"] for r in read_rows(table)[0]] == [1, 2]
    source, reader = open_source(table)
    reader.poll(1, 0)
    position = reader.position("f")
    reader.close()
    again = FILESYSTEM.open_source([table], source.position(), CONTEXT)
    reader = again.open([(s, position) for s in again.discover()])
    assert [p.changes.batch.to_pylist()[0]["a"] for p in reader.poll(10, 0).pieces] == [2]
    reader.close()


@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_a_compressed_file_is_refused(tmp_path: Path, fmt: str) -> None:
    """Left out as bad records, its rows would be lost in silence."""
    write_file(tmp_path / f"a.{fmt}.gz", b"\x1f\x8b")
    table = files_table(tmp_path, fmt=fmt, options={"scan.bad-record": "skip"})
    with pytest.raises(ConnectorError, match=r'gz" is compressed \(table "t"\), which is not'):
        read_rows(table)


def test_files_roll_by_size(tmp_path: Path) -> None:
    """A file that is large enough is followed by another."""
    out = tmp_path / "out"
    table = files_table(out, options={"sink.rolling-policy.file-size": "30b"})
    writer = _writer(table, tmp_path)
    for i in range(20):
        writer.write(_batch(i))
    writer.commit(writer.prepare(1))
    assert len(_files(out)) > 3
    assert list(range(20)) == sorted(r["a"] for r in read_rows(table)[0])


def test_small_steps_make_large_row_groups(tmp_path: Path) -> None:
    """A Parquet file of a thousand steps is not a thousand row groups."""
    out = tmp_path / "out"
    writer = _writer(files_table(out, fmt="parquet"), tmp_path)
    for i in range(100):
        writer.write(_batch(i, i + 1000))
        writer.end_step()
    writer.commit(writer.prepare(1))
    (path,) = _files(out)
    assert pq.ParquetFile(path).num_row_groups == 1


class _Full:
    """A disk that takes nothing while `full`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.full = True

    def before(self, operation: FileOperation) -> None:
        if self.full and operation.kind == self.kind:
            raise OSError(28, "No space left on device")

    def after(self, operation: FileOperation) -> None: ...


@pytest.mark.parametrize("fmt", ["csv", "json", "parquet"])
def test_a_full_disk_loses_nothing(tmp_path: Path, fmt: str) -> None:
    """`prepare` fails with the cause, and works once there is room."""
    out = tmp_path / "out"
    table = files_table(out, fmt=fmt)
    writer = _writer(table, tmp_path)
    writer.write(_batch(1, 2))
    with observe_files(_Full("write")):
        for _ in range(2):
            with pytest.raises(ConnectorError, match="No space left on device"):
                writer.prepare(1)
    writer.write(_batch(3))
    writer.commit(writer.prepare(2))
    assert sorted(r["a"] for r in read_rows(table)[0]) == [1, 2, 3]
    assert [p.name for p in (out / ".flowsql").rglob("*") if p.is_file()] == ["committed.json"]


def test_an_interrupted_commit_is_finished_later(tmp_path: Path) -> None:
    """Some files renamed, some not, no marker: committing again does the rest."""
    out = tmp_path / "out"
    table = files_table(out, "a INT, b STRING", partition_keys=("b",))
    writer = _writer(table, tmp_path)
    writer.write(_batch(1, 2, 3))
    token = writer.prepare(1)

    class Dies:
        renames = 0

        def before(self, operation: FileOperation) -> None:
            self.renames += operation.kind == "replace"
            if self.renames == 2:
                raise KeyboardInterrupt

        def after(self, operation: FileOperation) -> None: ...

    with observe_files(Dies()), pytest.raises(KeyboardInterrupt):
        writer.commit(token)
    assert len(_files(out)) == 1
    again = _writer(table, tmp_path, token)
    again.commit(token)
    assert len(_files(out)) == 3


def test_a_lost_staged_file_is_named(tmp_path: Path) -> None:
    """Somebody cleaned up what was prepared."""
    table = files_table(tmp_path / "out")
    writer = _writer(table, tmp_path)
    writer.write(_batch(1))
    token = writer.prepare(1)
    for path in (tmp_path / "out" / ".flowsql").rglob("*.csv"):
        path.unlink()
    with pytest.raises(ConnectorError, match="is gone before its checkpoint was committed"):
        writer.commit(token)


def test_files_may_go_after_their_commit(tmp_path: Path) -> None:
    """What was committed belongs to the user: committing again does not miss it."""
    table = files_table(tmp_path / "out")
    writer = _writer(table, tmp_path)
    writer.write(_batch(1))
    token = writer.prepare(1)
    writer.commit(token)
    for path in _files(tmp_path / "out"):
        path.unlink()
    writer.commit(token)
    assert _files(tmp_path / "out") == []


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """One table both ways, every type, all formats."""
    columns = (
        "a TINYINT, b SMALLINT, c INT, d BIGINT, e FLOAT, f DOUBLE, g DECIMAL(20, 3), h BOOLEAN, "
        "i STRING, j BYTES, k DATE, l TIME(3), m TIMESTAMP(6), n TIMESTAMP_LTZ(3), o ARRAY<INT>, "
        "p ROW<x INT, y STRING>"
    )
    row = {
        "a": -128, "b": 32767, "c": -1, "d": 2**63 - 1, "e": 0.5, "f": -1e300,
        "g": Decimal("12345678901234567.125"), "h": True, "i": 'x"y,\n\\', "j": b"\0\xff",
        "k": dt.date(1, 1, 1), "l": dt.time(23, 59, 59, 999000),
        "m": dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        "n": dt.datetime(1969, 12, 31, 23, 59, 59, 1000, dt.UTC), "o": [1, 2],
        "p": {"x": 1, "y": "a"},
    }  # fmt: skip
    for fmt in ("csv", "json", "parquet"):
        table = files_table(tmp_path / fmt, columns, fmt)
        if fmt == "csv":
            table.options._given["csv.null-literal"] = "NULL"
        from flowsql.types import arrow_schema

        schema = arrow_schema(table.schema)
        nothing = dict.fromkeys(row)
        writer = _writer(table, tmp_path)
        writer.write(Changes(pa.RecordBatch.from_pylist([row, nothing], schema=schema)))
        writer.commit(writer.prepare(1))
        rows, bad = read_rows(table)
        assert bad == []
        if fmt == "csv":
            # As in Flink.
            nothing["o"] = [None]
        assert [row, nothing] == rows, fmt


def test_a_name_that_is_no_utf8_is_readable(tmp_path: Path) -> None:
    """As a value, as a partition, and as the place of a bad record."""
    write_file(tmp_path / os.fsdecode(b"day=\xfe/\xff.csv"), "1\nx\n")
    table = files_table(
        tmp_path,
        "a INT, day STRING",
        partition_keys=("day",),
        metadata={"p": "file.path", "n": "file.name"},
    )
    rows, bad = read_rows(table)
    path = rf"{tmp_path}/day=\xfe/\xff.csv"
    assert rows == [{"a": 1, "day": r"\xfe", "p": path, "n": r"\xff.csv"}]
    assert [b.place for b in bad] == [f"{path}:2"]


def test_what_is_lost_before_its_commit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """The folder is gone, with what was prepared in it."""
    out = tmp_path / "out"
    table = files_table(out)
    writer = _writer(table, tmp_path)
    writer.write(_batch(1))
    token = writer.prepare(1)
    shutil.rmtree(out)
    with pytest.raises(ConnectorError, match="is gone before its checkpoint was") as caught:
        _writer(table, tmp_path, token)
    assert caught.value.hint == (
        f'Bring back "{out}" from a copy, with what is hidden in it. To begin anew, empty it and '
        "run with --fresh."
    )
    assert not out.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', '{"run": "r", "checkpoint": "1"}'])
def test_a_damaged_marker_is_named(tmp_path: Path, content: str) -> None:
    """Empty, cut off, or without its parts."""
    table = files_table(tmp_path / "out")
    writer = _writer(table, tmp_path)
    writer.write(_batch(1))
    writer.commit(writer.prepare(1))
    (marker,) = (tmp_path / "out").glob(".flowsql/*/committed.json")
    marker.write_text(content)
    with pytest.raises(ConnectorError) as caught:
        FILESYSTEM.sink(table).committed("job")
    assert caught.value.message == f'marker "{marker}" is damaged'
    assert (caught.value.hint or "").startswith("Bring it back from a copy. To begin anew, empty")


@pytest.mark.parametrize("written", ["10:00:01", "36001000"])
def test_a_time_in_a_folder_is_read_as_flink_writes_it_too(tmp_path: Path, written: str) -> None:
    """Flink writes milliseconds."""
    folder = tmp_path / f"t={written.replace(':', '%3A')}"
    write_file(folder / "a.csv", "1\n")
    table = files_table(tmp_path, "a INT, t TIME(0)", partition_keys=("t",))
    assert read_rows(table)[0] == [{"a": 1, "t": dt.time(10, 0, 1)}]


@pytest.mark.parametrize("kind", ["DATE", "TIME(0)"])
@pytest.mark.parametrize("text", ["--5", "²", "99999999999"])
def test_a_folder_that_names_no_value_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    """Nor is it a number of days or milliseconds."""
    write_file(tmp_path / f"t={text}" / "a.csv", "1\n")
    table = files_table(tmp_path, f"a INT, t {kind}", partition_keys=("t",))
    with pytest.raises(ConnectorError, match=rf'partition "t={text}" .* cannot be read as'):
        read_rows(table)


def test_a_parquet_file_that_is_cut_short_ends_the_job_and_no_more(tmp_path: Path) -> None:
    """A mapped file would take the process along."""
    path = tmp_path / "a.parquet"
    rows = 300_000
    table = pa.table({"a": pa.array(range(rows), pa.int32()), "b": [str(i) for i in range(rows)]})
    pq.write_table(table, path, row_group_size=70_000, compression="none")
    _, reader = open_source(files_table(tmp_path, fmt="parquet"))
    assert reader.poll(10, 0) is not None
    os.truncate(path, 100_000)
    with pytest.raises(ConnectorError, match="has changed while it was being read"):
        list(iter(lambda: reader.poll(70_000, 0), None))
    reader.close()
