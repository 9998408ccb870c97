"""Readers in processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import flowsql
from flowsql.changelog import Changes
from flowsql.connector import (
    BadRecord,
    Comparison,
    Emptied,
    Piece,
    Poll,
    ScanFilter,
    SourceStatus,
    Split,
    Taken,
)
from flowsql.connector.plain import split_json, split_of, table_json, table_of
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConnectorError, DataError, InternalError
from flowsql.runtime import reader_process
from flowsql.runtime.frames import Packer, Unpacker, error_json, error_of
from flowsql.runtime.job import Job
from flowsql.runtime.reader_process import Handover, ReaderProcess
from flowsql.runtime.remote import RemoteReader
from flowsql.testing import attempt_context, connector_table, row_text
from flowsql.testing.fake_database import FakeDatabase
from flowsql.types import DecimalType


def _passed(value: dict) -> dict:
    return dict(json.loads(json.dumps(value)))


def test_polls_pass_whole() -> None:
    """Kinds, values that were not sent, rows without columns, what cannot be decoded, positions."""
    packer, unpacker = Packer(), Unpacker()
    batch = pa.record_batch({"a": [1, 2, 3], "b": ["x", None, "z"]}).slice(1)
    kinds = np.array([1, 2], np.int8)
    mask = np.array([True, False])
    empty = pa.record_batch({"a": [1, 2, 3]}).select([])
    poll = Poll(
        (
            Piece("t", "s", Changes(batch)),
            Piece("t", "s", Changes(batch, kinds, {"b": mask})),
            Piece("u", "s", Changes(empty)),
            Emptied("t", "s"),
        ),
        (BadRecord("t", "f:1", b"\xff\x00", "no"),),
        boundary=False,
        finished={"s": {"bound": 3}},
        consistent=False,
        lag_ms=4,
        watermarks={"t": 5},
    )
    for _ in range(2):  # a schema is told once
        header, buffers = packer.pack(poll, {"s": {"at": 1}}, SourceStatus(slot="x"))
        payload = pa.py_buffer(b"".join(b.to_pybytes() for b in buffers))
        header = _passed(header)
        found = unpacker.unpack(header, payload)
        assert replace(found, pieces=()) == replace(poll, pieces=())
        *pieces, emptied = found.pieces
        assert emptied == Emptied("t", "s")
        assert [(p.table, p.split) for p in pieces] == [("t", "s"), ("t", "s"), ("u", "s")]
        first, second, third = (p.changes for p in pieces)
        assert first.batch.equals(batch)
        assert first.codes is None
        assert second.batch.equals(batch)
        assert second.codes is not None
        assert second.codes.tolist() == [1, 2]
        assert second.unchanged is not None
        assert second.unchanged["b"].tolist() == [True, False]
        assert (len(third), third.batch.num_columns) == (3, 0)
        assert header["positions"] == {"s": {"at": 1}}
        assert header["status"]["slot"] == "x"
    assert header["schemas"] == {}


def test_errors_pass_as_data() -> None:
    """With their class, cure and option; whatever else is one of ours."""
    error = DataError("no", detail="D.", hint="H.", option="path")
    found = error_of(_passed(error_json(error)))
    assert isinstance(found, DataError)
    assert (found.message, found.detail, found.hint, found.option) == ("no", "D.", "H.", "path")
    assert isinstance(error_of(error_json(OSError(2, "gone"))), ConnectorError)
    for final in (True, False):
        assert error_of(_passed(error_json(ConnectorError("x", final=final)))).final is final
    assert "unexpected KeyError" in error_of(error_json(KeyError("x"))).message
    assert type(error_of({**error_json(error), "class": "Span"})) is InternalError


def test_tables_pass_whole() -> None:
    """Options with their defaults, types, what was taken of conditions."""
    options = {"connector": "filesystem", "path": "/x", "format": "csv", "csv.null-literal": "n"}
    table = replace(
        connector_table("id BIGINT NOT NULL, p DECIMAL(5, 2), q ROW<a INT>", options),
        metadata={"m": "file.path"},
        filters=(
            ScanFilter(Comparison("p", DecimalType(5, 2), "=", Decimal("1.50")), Taken.COARSE),
        ),
    )
    found = table_of(_passed(table_json(table)))
    assert dict(found.options) == dict(table.options)
    assert found.options.is_set("path")
    assert not found.options.is_set("csv.field-delimiter")
    assert replace(found, options=table.options) == table
    split = Split("s", ("t",), {"a": [1]}, snapshot=True, owner="log")
    assert split_of(_passed(split_json(split))) == split


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., RemoteReader]:
    """A reader of two files."""
    data = tmp_path / "data"
    data.mkdir()
    for name, text in (("a.csv", "1,x\n2,y\n"), ("b.csv", "3,z\n")):
        (data / name).write_text(text)
        os.utime(data / name, (1, 1))
    table = connector_table(
        "id INT, v STRING", {"connector": "filesystem", "path": str(data), "format": "csv"}
    )
    source = find_connector("filesystem").open_source([table], None, attempt_context(tmp_path))
    splits = [(s, None) for s in source.discover()]

    def start(process: ReaderProcess | None = None) -> RemoteReader:
        setup = source.setup()
        assert setup is not None
        process = process or ReaderProcess("filesystem", '"t"')
        return RemoteReader(process, [table], setup, splits)

    return start


def test_a_process_reads_as_a_thread_does(files: Callable[..., RemoteReader]) -> None:
    """Rows, positions and ends; the process is gone when it is closed."""
    reader = files()
    poll = reader.poll(100, 1.0)
    assert poll is not None
    assert [t for p in poll.pieces for t in row_text(p.changes)] == [
        "+I[1, x]",
        "+I[2, y]",
        "+I[3, z]",
    ]
    assert set(poll.finished) == {"a.csv", "b.csv"}
    assert reader.poll(100, 0.01) is None
    assert reader.status() == SourceStatus(read_bytes=12)
    pid = reader.pid
    reader.close()
    reader.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_error_there_is_raised_here(files: Callable[..., RemoteReader], tmp_path: Path) -> None:
    """As itself; one at the start as well, and no process is left."""
    reader = files()
    (tmp_path / "data" / "a.csv").unlink()
    with pytest.raises(ConnectorError, match=r'could not open ".*a.csv"') as raised:
        reader.poll(100, 0.1)
    assert raised.value.hint == "A file must stay until it is read, and be readable."
    reader.close()
    table = connector_table("id INT", {"connector": "filesystem", "path": "/x", "format": "csv"})
    wrong = {"connector": "other", "format": 1}
    stamp = {"path": "/x/a", "size": 1, "mtime_ns": 1, "mtime_ms": 1, "partition": None}
    with pytest.raises(ConnectorError, match="the stored position of"):
        RemoteReader(
            ReaderProcess("filesystem", '"t"'), [table], {}, [(Split("a", ("t",), stamp), wrong)]
        )
    assert _children() == []


def test_a_dead_process_is_named(files: Callable[..., RemoteReader]) -> None:
    """With what ended it."""
    reader = files()
    os.kill(reader.pid, signal.SIGKILL)
    with pytest.raises(ConnectorError, match='the process that reads "t" was ended by SIGKILL'):
        reader.poll(1, 0.1)
    reader.close()
    reader = files()
    reader.kill()
    with pytest.raises(ConnectorError, match="SIGKILL"):
        reader.tell({})
    reader.close()


def test_a_process_serves_one_reader_after_another(files: Callable[..., RemoteReader]) -> None:
    """What the first leaves the second takes, and reads the same rows."""
    first = files()
    handover = Handover()
    handover.give(first.release())
    first.close()
    process = handover.take()
    assert process is not None
    assert process.pid == first.pid
    second = files(process)
    poll = second.poll(100, 1.0)
    assert poll is not None
    assert sum(len(p.changes) for p in poll.pieces) == 3
    second.close()
    assert _children() == []


def test_what_nobody_takes_ends(
    files: Callable[..., RemoteReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is over too late, or has lost its process, leaves none."""
    monkeypatch.setattr(reader_process, "_LAST_WORDS", 0.01)
    handover = Handover()
    assert handover.take() is None
    handover.give(files().release())
    assert _children() == []
    lost = files()
    lost.kill()
    assert lost.release() is None
    handover = Handover()
    handover.give(None)
    assert handover.take() is None


def test_it_ends_with_the_engine(tmp_path: Path) -> None:
    """A killed engine leaves no reader behind."""
    (tmp_path / "a.csv").write_text("1\n")
    code = (
        "import sys, time\n"
        "from flowsql.testing import connector_table\n"
        "from flowsql.runtime.reader_process import ReaderProcess\n"
        "from flowsql.runtime.remote import RemoteReader\n"
        f"options = {{'connector': 'filesystem', 'path': {str(tmp_path)!r}, 'format': 'csv'}}\n"
        "process = ReaderProcess('filesystem', 't')\n"
        "reader = RemoteReader(process, [connector_table('id INT', options)], {}, [])\n"
        "print(reader.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    child = int(engine.stdout.readline())
    engine.kill()
    engine.wait()
    engine.stdout.close()
    deadline = time.monotonic() + 60
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Not gone, nor merely waiting to be noticed by whoever inherits it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children() -> list[int]:
    """Processes of readers that this one has started: other tests have servers and workers."""
    pids: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            pids += map(int, (task / "children").read_text().split())
    return [pid for pid in pids if b"flowsql.runtime.child" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_job_outlives_its_readers(tmp_path: Path) -> None:
    """Snapshot and log in processes that are killed: every change comes once."""
    database = FakeDatabase(tmp_path / "bank")
    database.create_table("checking", {"id": "INT", "balance": "INT"}, ("id",))
    with database.transaction() as transaction:
        for i in range(300):
            transaction.insert("checking", {"id": i, "balance": 1})
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "100 ms",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "5",
        "restart-strategy.fixed-delay.delay": "10 ms",
        "pipeline.reader": "process",
    }
    with flowsql.connect(config) as session:
        session.execute(
            "CREATE TABLE a (id INT, balance INT, PRIMARY KEY (id) NOT ENFORCED) WITH ("
            f"'connector' = 'fake-database', 'path' = '{tmp_path / 'bank'}', "
            "'table-name' = 'checking', 'scan.incremental.snapshot.chunk.size' = '100');"
            "CREATE TABLE o (n BIGINT, total INT, PRIMARY KEY (n) NOT ENFORCED) WITH ("
            f"'connector' = 'changelog-sqlite', 'path' = '{tmp_path / 'out'}')"
        )
        job = session.execute("INSERT INTO o SELECT COUNT(*), SUM(balance) FROM a")
        assert isinstance(job, Job)
        _wait(job, lambda status: status["sources"][0]["phase"] == "stream")
        _wait(job, lambda status: (status.get("checkpoint") or {}).get("number"))
        for round_ in range(2):
            _kill_readers(job)
            with database.transaction() as transaction:
                transaction.insert("checking", {"id": 1000 + round_, "balance": 10})
        _wait(job, lambda status: status["rows_in"] >= 1 and status["sources"][0]["consistent"])
        _wait(job, lambda s: s["sources"][0]["position"] == f"LSN {database.lsn}")
        job.stop()
        assert job.wait(60)
        assert _children() == []
    with sqlite3.connect(tmp_path / "out") as target:
        assert target.execute("SELECT n, total FROM o").fetchall() == [(302, 320)]


def _kill_readers(job: Job) -> None:
    """Kill all readers of the running attempt, and wait until another one runs."""
    attempt = job.status()["attempt"]

    def another_runs(status: dict) -> bool:
        if status["attempt"] == attempt:
            # A running job may be about to start them: again and again until they are there.
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return status["attempt"] > attempt and status["state"] == "running"

    _wait(job, another_runs)


def _wait(job: Job, there: Callable[[dict], object]) -> None:
    deadline = time.monotonic() + 60
    while True:
        status = job.status()
        if status.get("sources") and there(status):
            return
        assert status["state"] != "failed", job.error
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
