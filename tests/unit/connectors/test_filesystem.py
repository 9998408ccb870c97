"""What only the filesystem connector does."""

# ruff: noqa: DTZ001 - a TIMESTAMP has no zone

from __future__ import annotations

import datetime as dt
import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.changelog import Changes
from flowsql.connector import (
    Attempt,
    ConnectorContext,
    FileOperation,
    Reader,
    Role,
    Source,
    observe_files,
)
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError
from flowsql.testing import attempt_context, connector_table

FILESYSTEM = find_connector("filesystem")
CONTEXT = ConnectorContext(Attempt("job", "r1", 1), Path("spool"))


def _table(path: Path, columns: str = "a INT, b STRING", fmt: str = "csv", **more: Any) -> Any:
    options = {"connector": "filesystem", "path": str(path), "format": fmt}
    return connector_table(columns, {**options, **more.pop("options", {})}, **more)


def _open(table: Any, position: dict | None = None) -> tuple[Source, Reader]:
    source = FILESYSTEM.open_source([table], position, CONTEXT)
    return source, source.open([(s, None) for s in source.discover()])


def _rows(table: Any) -> tuple[list[dict], list]:
    _, reader = _open(table)
    rows, bad = [], []
    while (poll := reader.poll(1000, 0)) is not None:
        rows += [r for p in poll.pieces for r in p.changes.batch.to_pylist()]
        bad += poll.bad
    reader.close()
    return rows, bad


def _write(path: Path, text: str | bytes, mtime: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def test_files_come_by_age_then_name_and_hidden_ones_not(tmp_path: Path) -> None:
    """Folders below are read as well; what begins with . or _ is not there."""
    _write(tmp_path / "z.csv", "1,old\n", 100)
    _write(tmp_path / "b" / "b.csv", "3,y\n", 200)
    _write(tmp_path / "a.csv", "2,x\n", 200)
    for hidden in (".a.csv", "_b.csv", ".staging/c.csv", "_tmp/d.csv"):
        _write(tmp_path / hidden, "9,no\n", 50)
    source, _ = _open(_table(tmp_path))
    assert [r["a"] for r in _rows(_table(tmp_path))[0]] == [1, 2, 3]
    assert source.bounded


def _stamp(path: Path) -> dict:
    return {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}


def test_a_watched_folder_gives_each_new_file_once(tmp_path: Path) -> None:
    """What is finished survives a restart; a renamed file comes with the next look."""
    table = _table(tmp_path, options={"source.monitor-interval": "2 s"})
    path = _write(tmp_path / "a.csv", "1,x\n", 100)
    source, reader = _open(table)
    assert source.discovery_interval == 2.0
    assert not source.bounded
    assert reader.poll(10, 0).finished == {"a.csv": _stamp(path)}
    source.finished("a.csv", _stamp(path))
    hidden = _write(tmp_path / ".b.csv", "3,z\n")
    assert tuple(source.discover()) == ()
    time.sleep(0.02)  # The clock of a file system may be coarse.
    hidden.rename(tmp_path / "b.csv")
    assert [s.id for s in source.discover()] == ["b.csv"]
    later = FILESYSTEM.open_source([table], json.loads(json.dumps(source.position())), CONTEXT)
    assert [s.id for s in later.discover()] == ["b.csv"]


def test_a_file_that_is_being_written_waits_until_it_stands_still(tmp_path: Path) -> None:
    """For one monitor interval."""
    table = _table(tmp_path, options={"source.monitor-interval": "300 ms"})
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert tuple(source.discover()) == ()
    path = _write(tmp_path / "a.csv", "1,x\n2")
    assert tuple(source.discover()) == ()
    with path.open("ab") as more:
        more.write(b"3,y\n")
    assert tuple(source.discover()) == ()
    assert tuple(source.discover()) == ()
    time.sleep(0.35)
    (split,) = source.discover()
    assert split.payload["size"] == len("1,x\n23,y\n")


def test_a_time_that_is_not_here_yet_is_waited_out_as_well(tmp_path: Path) -> None:
    """The clock of a file server may be ahead of ours."""
    table = _table(tmp_path, options={"source.monitor-interval": "100 ms"})
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    path = _write(tmp_path / "a.csv", "1,x\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowsql_connectors.filesystem.source.time.time", lambda: 1000.0)
        assert tuple(source.discover()) == ()
        time.sleep(0.12)
        assert [s.payload["path"] for s in source.discover()] == [str(path)]


def test_a_file_that_was_begun_comes_again_at_once(tmp_path: Path) -> None:
    """After a restart its stored position must find it, however young it is."""
    table = _table(tmp_path, options={"source.monitor-interval": "1 h"})
    path = _write(tmp_path / "a.csv", "1,x\n", 100)
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert [s.id for s in source.discover()] == ["a.csv"]
    stored = json.loads(json.dumps(source.position()))
    _write(path, "1,x\n")
    later = FILESYSTEM.open_source([table], stored, CONTEXT)
    assert [s.id for s in later.discover()] == ["a.csv"]
    assert later.position()["given"] == ["a.csv"]
    assert tuple(FILESYSTEM.open_source([table], None, CONTEXT).discover()) == ()


@pytest.mark.parametrize("text", ["1,x\n2,y\n", "7,x\n", None])
def test_a_file_that_changes_after_it_was_read_ends_the_job(
    tmp_path: Path, text: str | None
) -> None:
    """Its new rows would be lost; a file that is removed was read."""
    table = _table(tmp_path, options={"source.monitor-interval": "2 s"})
    path = _write(tmp_path / "a.csv", "1,x\n", 100)
    source, reader = _open(table)
    source.finished("a.csv", reader.poll(10, 0).finished["a.csv"])
    assert tuple(source.discover()) == ()
    path.unlink()
    assert tuple(source.discover()) == ()
    _write(path, text or "1,x\n", None if text else 100)
    later = FILESYSTEM.open_source([table], json.loads(json.dumps(source.position())), CONTEXT)
    if text is None:
        assert tuple(later.discover()) == ()
        return
    for again in (source, later):
        with pytest.raises(ConnectorError, match=r"a.csv\" has changed after it was read") as error:
            again.discover()
        assert "It had 4 bytes and has 8 now." in str(error.value) or len(text) == 4
        assert 'give it a name that begins with "_"' in str(error.value)


def test_positions_of_files_by_name_alone_are_understood(tmp_path: Path) -> None:
    """They were stored before it was known what the files were like."""
    _write(tmp_path / "a.csv", "1,x\n", 100)
    _write(tmp_path / "b.csv", "1,x\n", 100)
    stored = {"format": 1, "connector": "filesystem", "finished": ["a.csv"]}
    table = _table(tmp_path, options={"source.monitor-interval": "2 s"})
    source = FILESYSTEM.open_source([table], stored, CONTEXT)
    assert [s.id for s in source.discover()] == ["b.csv"]


@pytest.mark.parametrize("fmt", ["csv", "json", "parquet"])
@pytest.mark.parametrize("moment", ["before", "within"])
def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, fmt: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its last, perhaps half record is taken for a whole one."""
    monkeypatch.setattr("flowsql_connectors.filesystem.reader._BLOCK", 8)
    path = tmp_path / "a"
    match fmt:
        case "csv":
            _write(path, "1,x\n2,y\n3,z\n4")
        case "json":
            _write(path, '{"a":1}\n{"a":2}\n{"a":3}\n{"a":4}')
        case _:
            pq.write_table(pa.table({"a": pa.array([1, 2, 3], pa.int32())}), path)
    _, reader = _open(_table(tmp_path, "a INT" if fmt != "csv" else "a INT, b STRING", fmt=fmt))
    seen = 0
    if moment == "within":
        seen = sum(len(p.changes) for p in reader.poll(1, 0).pieces)
    with path.open("ab") as more:
        more.write(b"5")

    def read_on() -> int:
        found = 0
        while (poll := reader.poll(1, 0)) is not None:
            found += sum(len(p.changes) for p in poll.pieces)
            assert seen + found <= 3
        return found

    with pytest.raises(ConnectorError, match="has changed while it was being read") as error:
        read_on()
    reader.close()
    assert "rename them when they are complete" in str(error.value)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """Before it was read, and after a part of it was."""
    path = _write(tmp_path / "a.csv", "1,x\n2,y\n")
    source, reader = _open(_table(tmp_path))
    path.unlink()
    with pytest.raises(ConnectorError, match=r'could not open ".*a.csv" \(table "t"\): No such'):
        reader.poll(1, 0)
    with pytest.raises(ConnectorError, match=r'a.csv" was read in part and is gone') as error:
        source.gone(["a.csv", "b.csv"])
    assert "So are 1 others." in str(error.value)


def test_links_are_followed_and_lead_nowhere_twice(tmp_path: Path) -> None:
    """As in Flink; a link to a folder above would never end."""
    _write(tmp_path / "elsewhere" / "b.csv", "2,y\n", 2)
    root = tmp_path / "data"
    _write(root / "a.csv", "1,x\n", 1)
    (root / "more").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "nothing")
    assert [r["a"] for r in _rows(_table(root))[0]] == [1, 2]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would be waited for; as the path itself it is refused."""
    os.mkfifo(tmp_path / "pipe")
    assert _rows(_table(tmp_path)) == ([], [])
    with pytest.raises(ConnectorError, match="neither a folder nor a file"):
        _open(_table(tmp_path / "pipe"))


def test_a_folder_that_cannot_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be missing."""
    _write(tmp_path / "b" / "a.csv", "1,x\n")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConnectorError, match=r'could not read ".*/b" \(table "t"\): Permission'):
        _open(_table(tmp_path))


def test_missing_columns_are_told_at_the_start(tmp_path: Path) -> None:
    """Once, by the first file."""
    for name in ("a", "b"):
        pq.write_table(pa.table({"a": [1], "bb": ["x"]}), tmp_path / name)
    told: list[str] = []
    context = ConnectorContext(Attempt("job", "r1", 1), Path("spool"), tell=told.append)
    table = _table(tmp_path, "a INT, bbb STRING", "parquet")
    source = FILESYSTEM.open_source([table], None, context)
    source.discover()
    assert told == [
        f'table "t": "{tmp_path}/a" has no column "bbb": it is NULL there; the file has "bb"'
    ]


def test_lag_is_the_age_of_what_waits(tmp_path: Path) -> None:
    """For a watched folder; a bounded scan is behind nothing."""
    _write(tmp_path / "a.csv", "1,x\n2,y\n", 100)
    _, reader = _open(_table(tmp_path))
    assert reader.poll(1, 0).lag_ms is None
    reader.close()
    _, reader = _open(_table(tmp_path, options={"source.monitor-interval": "1 s"}))
    time.sleep(0.01)
    assert 10 <= reader.poll(1, 0).lag_ms < 60_000
    assert reader.poll(10, 0).lag_ms == 0


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(ConnectorError, match=r"nowhere\" does not exist") as error:
        _open(_table(tmp_path / "nowhere"))
    assert "Create the folder, or correct option 'path'." in str(error.value)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """A half-read file must be the same when the job comes back."""
    path = _write(tmp_path / "a.csv", "1,x\n2,y\n3,z\n")
    source, reader = _open(_table(tmp_path))
    reader.poll(1, 0)
    position = reader.position("a.csv")
    reader.close()
    _write(path, "1,x\n2,y\n3,z\n4,w\n")
    later = FILESYSTEM.open_source([_table(tmp_path)], source.position(), CONTEXT)
    with pytest.raises(ConnectorError, match="has changed while it was being read") as error:
        later.open([(s, position) for s in later.discover()])
    assert "It had 12 bytes and has 16 now." in str(error.value)


@pytest.mark.parametrize("max_rows", [1, 3, 1000])
def test_bad_records_are_placed_by_line_and_come_once(tmp_path: Path, max_rows: int) -> None:
    """Also where reading stops and goes on between them."""
    text = "".join(f"x{i},q\n" if i % 5 == 4 else f"{i},n\n" for i in range(40))
    _write(tmp_path / "a.csv", text)
    table = _table(tmp_path)
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
    _write(tmp_path / "f", text)
    options = {"scan.bad-record": policy}
    for read in (("a",), ("b",), (), ("a", "b")):
        rows, bad = _rows(_table(tmp_path, fmt=fmt, options=options, read=read))
        assert [tuple(r) for r in rows] == [read]
        assert [b.reason for b in bad] == ['column "a": "q" cannot be read as INT']
    assert _rows(_table(tmp_path, fmt=fmt, read=("b",)))[1] == []


def test_blocks_are_cut_between_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record larger than a block, line ends in quotes, no line end at the end."""
    monkeypatch.setattr("flowsql_connectors.filesystem.reader._BLOCK", 16)
    values = ["x", "line\nend", "y" * 100, 'q"q', "", "z"]
    text = "\n".join(f'{i},"{v.replace(chr(34), chr(34) * 2)}"' for i, v in enumerate(values))
    _write(tmp_path / "a.csv", text)
    rows, bad = _rows(_table(tmp_path))
    assert [{"a": i, "b": v} for i, v in enumerate(values)] == rows
    assert bad == []


def test_partition_values_come_from_the_path(tmp_path: Path) -> None:
    """With their types, escapes, NULL, and as Flink itself writes dates and times."""
    columns = "a INT, d DATE, s STRING, t TIMESTAMP(3)"
    table = _table(tmp_path, columns, partition_keys=("d", "s", "t"))
    _write(tmp_path / "d=2020-01-05/s=x%2Fy/t=2020-01-01T00%3A00/f", "1\n", 1)
    default = "__DEFAULT_PARTITION__"
    _write(tmp_path / f"d=18266/s={default}/t=2020-01-01 10%3A00%3A05.120/f", "2\n", 2)
    assert [
        {"a": 1, "d": dt.date(2020, 1, 5), "s": "x/y", "t": dt.datetime(2020, 1, 1)},
        {
            "a": 2,
            "d": dt.date(2020, 1, 5),
            "s": None,
            "t": dt.datetime(2020, 1, 1, 10, 0, 5, 120000),
        },
    ] == _rows(table)[0]


def test_a_file_outside_the_partitions_is_refused(tmp_path: Path) -> None:
    """Its rows would have no value for the partition column."""
    _write(tmp_path / "f", "1\n")
    with pytest.raises(ConnectorError, match="is in no partition of table"):
        _open(_table(tmp_path, "a INT, d DATE", partition_keys=("d",)))


def test_metadata_columns(tmp_path: Path) -> None:
    """They stand behind the physical ones."""
    _write(tmp_path / "f", "1,x\n", 1_600_000_000)
    metadata = {"p": "file.path", "n": "file.name", "s": "file.size", "m": "file.modification-time"}
    table = _table(tmp_path, metadata=metadata, read=("b",))
    assert [
        {
            "b": "x",
            "p": str(tmp_path / "f"),
            "n": "f",
            "s": 4,
            "m": dt.datetime(2020, 9, 13, 12, 26, 40, tzinfo=dt.UTC),
        }
    ] == _rows(table)[0]


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    """The whole absolute path must match, as in Flink."""
    _write(tmp_path / "a.csv", "1,x\n")
    _write(tmp_path / "sub" / "b.csv", "2,y\n")
    table = _table(tmp_path, options={"source.path.regex-pattern": f"{tmp_path}/sub/.*"})
    assert [r["a"] for r in _rows(table)[0]] == [2]


def test_a_single_file_is_a_table(tmp_path: Path) -> None:
    """The path may name a file, or be an address."""
    path = _write(tmp_path / "x y.csv", "1,x\n")
    assert [r["a"] for r in _rows(_table(path))[0]] == [1]
    address = f"file://{str(path).replace(' ', '%20')}"
    assert [r["a"] for r in _rows(_table(Path(), options={"path": address}))[0]] == [1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"options": {"path": "s3://bucket/x"}}, "only local files"),
        ({"options": {"source.path.regex-pattern": "("}}, "source.path.regex-pattern"),
        ({"partition_keys": ("c",)}, 'partition column "c" of table "t" does not exist'),
        ({"partition_keys": ("a", "b")}, "no column beside its partition columns"),
        ({"columns": "a INT, m MAP<STRING, INT>"}, 'format "csv" cannot hold column "m"'),
    ],
)
def test_refused_at_planning(tmp_path: Path, more: dict, message: str) -> None:
    """What can be known without reading is known before."""
    with pytest.raises(ConfigError, match=message):
        FILESYSTEM.check(_table(tmp_path, **more), Role.SCAN)


def test_unknown_formats_are_named(tmp_path: Path) -> None:
    """With the nearest and all others."""
    with pytest.raises(ConfigError, match='format "parket" does not exist') as error:
        _table(tmp_path, fmt="parket")
    assert 'Did you mean "parquet"? Installed formats: csv, json, parquet.' in str(error.value)


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
    table = _table(out, columns, partition_keys=("p", "d", "e"))
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
    assert [r["a"] for r in _rows(table)[0]] == [1, 3, 2, 4] or len(found) == 2


def test_files_roll_by_size(tmp_path: Path) -> None:
    """A file that is large enough is followed by another."""
    out = tmp_path / "out"
    table = _table(out, options={"sink.rolling-policy.file-size": "30b"})
    writer = _writer(table, tmp_path)
    for i in range(20):
        writer.write(_batch(i))
    writer.commit(writer.prepare(1))
    assert len(_files(out)) > 3
    assert list(range(20)) == sorted(r["a"] for r in _rows(table)[0])


def test_small_steps_make_large_row_groups(tmp_path: Path) -> None:
    """A Parquet file of a thousand steps is not a thousand row groups."""
    out = tmp_path / "out"
    writer = _writer(_table(out, fmt="parquet"), tmp_path)
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
    table = _table(out, fmt=fmt)
    writer = _writer(table, tmp_path)
    writer.write(_batch(1, 2))
    with observe_files(_Full("write")):
        for _ in range(2):
            with pytest.raises(ConnectorError, match="No space left on device"):
                writer.prepare(1)
    writer.write(_batch(3))
    writer.commit(writer.prepare(2))
    assert sorted(r["a"] for r in _rows(table)[0]) == [1, 2, 3]
    assert [p.name for p in (out / ".flowsql").rglob("*") if p.is_file()] == ["committed.json"]


def test_an_interrupted_commit_is_finished_later(tmp_path: Path) -> None:
    """Some files renamed, some not, no marker: committing again does the rest."""
    out = tmp_path / "out"
    table = _table(out, "a INT, b STRING", partition_keys=("b",))
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
    table = _table(tmp_path / "out")
    writer = _writer(table, tmp_path)
    writer.write(_batch(1))
    token = writer.prepare(1)
    for path in (tmp_path / "out" / ".flowsql").rglob("*.csv"):
        path.unlink()
    with pytest.raises(ConnectorError, match="is gone before its checkpoint was committed"):
        writer.commit(token)


def test_files_may_go_after_their_commit(tmp_path: Path) -> None:
    """What was committed belongs to the user: committing again does not miss it."""
    table = _table(tmp_path / "out")
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
        table = _table(tmp_path / fmt, columns, fmt)
        if fmt == "csv":
            table.options._given["csv.null-literal"] = "NULL"
        from flowsql.types import arrow_schema

        schema = arrow_schema(table.schema)
        nothing = dict.fromkeys(row)
        writer = _writer(table, tmp_path)
        writer.write(Changes(pa.RecordBatch.from_pylist([row, nothing], schema=schema)))
        writer.commit(writer.prepare(1))
        rows, bad = _rows(table)
        assert bad == []
        assert [row, nothing] == rows, fmt
