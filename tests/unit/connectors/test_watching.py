"""Files that come, change and go while a folder is read: nothing is lost in silence."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.connector import Attempt, ConnectorContext
from flowsql.errors import ConnectorError
from flowsql.runtime.groups import ReaderLimits, SourceGroup

from .files import CONTEXT, FILESYSTEM, files_table, open_source, read_rows, write_file


def _stamp(path: Path) -> dict:
    return {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}


def test_a_watched_folder_gives_each_new_file_once(tmp_path: Path) -> None:
    """What is finished survives a restart; a renamed file comes with the next look."""
    table = files_table(tmp_path, options={"source.monitor-interval": "2 s"})
    path = write_file(tmp_path / "a.csv", "1,x\n", 100)
    source, reader = open_source(table)
    assert source.discovery_interval == 2.0
    assert not source.bounded
    assert reader.poll(10, 0).finished == {"a.csv": _stamp(path)}
    source.finished("a.csv", _stamp(path))
    hidden = write_file(tmp_path / ".b.csv", "3,z\n")
    assert tuple(source.discover()) == ()
    time.sleep(0.02)  # The clock of a file system may be coarse.
    hidden.rename(tmp_path / "b.csv")
    assert [s.id for s in source.discover()] == ["b.csv"]
    later = FILESYSTEM.open_source([table], json.loads(json.dumps(source.position())), CONTEXT)
    assert [s.id for s in later.discover()] == ["b.csv"]


class Clock:
    """Stands for the module `time` of the source; its time of day stands still, as files' do."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.passed = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return 1000.0 + self.passed


def test_a_file_that_is_being_written_waits_until_it_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one monitor interval."""
    clock = Clock(time.time())
    monkeypatch.setattr("flowsql_connectors.filesystem.source.time", clock)
    table = files_table(tmp_path, options={"source.monitor-interval": "1 h"})
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert tuple(source.discover()) == ()
    path = write_file(tmp_path / "a.csv", "1,x\n2")
    assert tuple(source.discover()) == ()
    clock.passed += 3000
    with path.open("ab") as more:
        more.write(b"3,y\n")
    assert tuple(source.discover()) == ()
    clock.passed += 3000
    assert tuple(source.discover()) == ()
    clock.passed += 700
    (split,) = source.discover()
    assert split.payload["size"] == len("1,x\n23,y\n")


def test_a_time_that_is_not_here_yet_is_waited_out_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a file server may be ahead of ours."""
    clock = Clock(1000.0)
    monkeypatch.setattr("flowsql_connectors.filesystem.source.time", clock)
    table = files_table(tmp_path, options={"source.monitor-interval": "100 ms"})
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    path = write_file(tmp_path / "a.csv", "1,x\n")
    assert tuple(source.discover()) == ()
    clock.passed += 0.12
    assert [s.payload["path"] for s in source.discover()] == [str(path)]


def test_a_file_that_was_begun_comes_again_at_once(tmp_path: Path) -> None:
    """After a restart its stored position must find it, however young it is."""
    table = files_table(tmp_path, options={"source.monitor-interval": "1 h"})
    path = write_file(tmp_path / "a.csv", "1,x\n", 100)
    source = FILESYSTEM.open_source([table], None, CONTEXT)
    assert [s.id for s in source.discover()] == ["a.csv"]
    stored = json.loads(json.dumps(source.position()))
    write_file(path, "1,x\n")
    later = FILESYSTEM.open_source([table], stored, CONTEXT)
    assert [s.id for s in later.discover()] == ["a.csv"]
    assert later.position()["given"] == ["a.csv"]
    assert tuple(FILESYSTEM.open_source([table], None, CONTEXT).discover()) == ()


@pytest.mark.parametrize("text", ["1,x\n2,y\n", "7,x\n", None])
def test_a_file_that_changes_after_it_was_read_ends_the_job(
    tmp_path: Path, text: str | None
) -> None:
    """Its new rows would be lost; a file that is removed was read."""
    table = files_table(tmp_path, options={"source.monitor-interval": "2 s"})
    path = write_file(tmp_path / "a.csv", "1,x\n", 100)
    source, reader = open_source(table)
    source.finished("a.csv", reader.poll(10, 0).finished["a.csv"])
    assert tuple(source.discover()) == ()
    path.unlink()
    assert tuple(source.discover()) == ()
    write_file(path, text or "1,x\n", None if text else 100)
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
    write_file(tmp_path / "a.csv", "1,x\n", 100)
    write_file(tmp_path / "b.csv", "1,x\n", 100)
    stored = {"format": 1, "connector": "filesystem", "finished": ["a.csv"]}
    table = files_table(tmp_path, options={"source.monitor-interval": "2 s"})
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
            write_file(path, "1,x\n2,y\n3,z\n4")
        case "json":
            write_file(path, '{"a":1}\n{"a":2}\n{"a":3}\n{"a":4}')
        case _:
            pq.write_table(pa.table({"a": pa.array([1, 2, 3], pa.int32())}), path)
    _, reader = open_source(
        files_table(tmp_path, "a INT" if fmt != "csv" else "a INT, b STRING", fmt=fmt)
    )
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
    path = write_file(tmp_path / "a.csv", "1,x\n2,y\n")
    source, reader = open_source(files_table(tmp_path))
    path.unlink()
    with pytest.raises(ConnectorError, match=r'could not open ".*a.csv" \(table "t"\): No such'):
        reader.poll(1, 0)
    with pytest.raises(ConnectorError, match=r'a.csv" was read in part and is gone') as error:
        source.gone(["a.csv", "b.csv"])
    assert "So are 1 others." in str(error.value)


def test_a_restore_without_a_half_read_file_is_refused(tmp_path: Path) -> None:
    """The rest of its rows would be missing; a file that nobody began may go."""
    write_file(tmp_path / "a.csv", "1,x\n2,y\n", 100)
    write_file(tmp_path / "b.csv", "3,x\n", 101)
    table = files_table(tmp_path, options={"source.monitor-interval": "1 s"})

    def group() -> SourceGroup:
        limits = ReaderLimits(1 << 20, 1 << 20)
        ready = threading.Condition()
        return SourceGroup("t", FILESYSTEM, [table], context=CONTEXT, limits=limits, ready=ready)

    first = group()
    first.open(None)
    _, reader = open_source(table)
    reader.poll(1, 0)
    first.position["a.csv"] = reader.position("a.csv")
    reader.close()
    stored = json.loads(json.dumps(first.snapshot()))
    (tmp_path / "b.csv").unlink()
    assert [s.id for s in group().open(stored)] == ["a.csv"]
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ConnectorError, match=r'a.csv" was read in part and is gone \(table "t"\)'):
        group().open(stored)


def test_links_are_followed_and_lead_nowhere_twice(tmp_path: Path) -> None:
    """As in Flink; a link to a folder above would never end."""
    write_file(tmp_path / "elsewhere" / "b.csv", "2,y\n", 2)
    root = tmp_path / "data"
    write_file(root / "a.csv", "1,x\n", 1)
    (root / "more").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "nothing")
    assert [r["a"] for r in read_rows(files_table(root))[0]] == [1, 2]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe would be waited for; as the path itself it is refused."""
    os.mkfifo(tmp_path / "pipe")
    assert read_rows(files_table(tmp_path)) == ([], [])
    with pytest.raises(ConnectorError, match="neither a folder nor a file"):
        open_source(files_table(tmp_path / "pipe"))


def test_a_folder_that_cannot_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be missing."""
    write_file(tmp_path / "b" / "a.csv", "1,x\n")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConnectorError, match=r'could not read ".*/b" \(table "t"\): Permission'):
        open_source(files_table(tmp_path))


def test_missing_columns_are_told_at_the_start(tmp_path: Path) -> None:
    """Once, by the first file."""
    for name in ("a", "b"):
        pq.write_table(pa.table({"a": [1], "bb": ["x"]}), tmp_path / name)
    told: list[str] = []
    context = ConnectorContext(Attempt("job", "r1", 1), Path("spool"), tell=told.append)
    table = files_table(tmp_path, "a INT, bbb STRING", "parquet")
    source = FILESYSTEM.open_source([table], None, context)
    source.discover()
    assert told == [
        f'table "t": "{tmp_path}/a" has no column "bbb": it is NULL there; the file has "bb"'
    ]


def test_lag_is_the_age_of_what_waits(tmp_path: Path) -> None:
    """For a watched folder; a bounded scan is behind nothing."""
    write_file(tmp_path / "a.csv", "1,x\n2,y\n", 100)
    _, reader = open_source(files_table(tmp_path))
    assert reader.poll(1, 0).lag_ms is None
    reader.close()
    _, reader = open_source(files_table(tmp_path, options={"source.monitor-interval": "1 s"}))
    time.sleep(0.01)
    assert 10 <= reader.poll(1, 0).lag_ms < 60_000
    assert reader.poll(10, 0).lag_ms == 0
