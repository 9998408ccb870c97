"""Jobs read in processes of their own: what ends these, and what they show of themselves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import flowsql
from flowsql.runtime import reader_process
from flowsql.runtime.job import Job
from tests.services.following import clean, make
from tests.services.postgres import PostgresServer

_NUMBER = count()
_PASSWORD = "not-to-be-seen"


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """A table of 100 rows; what reads it is gone at the end."""
    made = f"apart{next(_NUMBER)}"
    make(postgres, made, rows=100)
    yield made
    clean(postgres, made)


def _tables(server: PostgresServer, name: str, folder: Path) -> str:
    options = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": "postgres",
        "password": _PASSWORD,
        "database-name": "postgres",
        "schema-name": "public",
        "table-name": name,
        "slot.name": f"slot_{name}",
        "debezium.publication.name": f"pub_{name}",
        "scan.incremental.snapshot.chunk.size": "20",
    }
    given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
    return (
        f"CREATE TABLE a (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({given});"
        "CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
        f"'connector' = 'changelog-sqlite', 'path' = '{folder / 'out'}')"
    )


def _config(folder: Path) -> dict[str, str]:
    return {
        "execution.checkpointing.dir": str(folder / "jobs"),
        "execution.checkpointing.interval": "100 ms",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "9",
        "restart-strategy.fixed-delay.delay": "10 ms",
    }


def _readers(parent: int) -> list[int]:
    """Processes of readers that a process started."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += [int(pid) for pid in task.read_text().split()]
        except OSError:
            continue
    return [pid for pid in found if b"flowsql.runtime.child" in _shown(pid, "cmdline")]


def _shown(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""


def _runs(pid: int) -> bool:
    stat = _shown(pid, "stat").rpartition(b")")[2].split()
    return bool(stat) and stat[0] != b"Z"


def _until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _only_reader(parent: int) -> int:
    """The process that reads the log."""
    found: list[int] = []

    def alone() -> bool:
        found[:] = _readers(parent)
        return len(found) == 1

    _until(alone)
    return found[0]


def _holds(server: PostgresServer, name: str, folder: Path) -> bool:
    """Whether the sink has what the table has."""
    with sqlite3.connect(folder / "out", timeout=60) as out:
        made = out.execute("SELECT 1 FROM sqlite_master WHERE name = 'o'").fetchall()
        found = out.execute("SELECT id, v FROM o ORDER BY 1").fetchall() if made else None
    return found == server.execute(f"SELECT id, v FROM {name} ORDER BY 1")


def test_a_reader_that_is_killed_begins_again(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    """Nothing is lost; the password is in no command line and no environment."""
    with flowsql.connect(_config(tmp_path)) as session:
        session.execute(_tables(postgres, name, tmp_path))
        job = session.execute("INSERT INTO o SELECT * FROM a")
        assert isinstance(job, Job)
        postgres.execute(f"UPDATE {name} SET v = 'seen' WHERE id = 1")
        for round_ in range(3):
            _until(lambda: _holds(postgres, name, tmp_path))
            reader = _only_reader(os.getpid())
            for what in ("cmdline", "environ"):
                assert _PASSWORD.encode() not in _shown(reader, what)
            os.kill(reader, signal.SIGKILL)
            postgres.execute(f"INSERT INTO {name} VALUES ({1000 + round_}, 'new')")
            postgres.execute(f"UPDATE {name} SET v = 'round {round_}' WHERE id % 7 = {round_}")
        _until(lambda: _holds(postgres, name, tmp_path))
        job.stop()
        job.wait()
    assert _readers(os.getpid()) == []


def test_the_log_is_read_in_the_snapshots_process(
    postgres: PostgresServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What loading takes is waited for once."""
    started: list[int] = []

    class Counted(reader_process.ReaderProcess):
        def __init__(self, connector: str, named: str) -> None:
            super().__init__(connector, named)
            started.append(self.pid)

    monkeypatch.setattr(reader_process, "ReaderProcess", Counted)
    with flowsql.connect(_config(tmp_path)) as session:
        session.execute(_tables(postgres, name, tmp_path))
        job = session.execute("INSERT INTO o SELECT * FROM a")
        assert isinstance(job, Job)
        postgres.execute(f"UPDATE {name} SET v = 'seen' WHERE id = 1")
        _until(lambda: _holds(postgres, name, tmp_path))
        assert _readers(os.getpid()) == started
        assert len(started) == 1
        job.stop()
        job.wait()
    assert _readers(os.getpid()) == []


@pytest.fixture
def running(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """`flowsql run` in a session of its own, as a terminal starts it; it reads the log."""
    settings = "".join(f"SET '{k}' = '{v}';\n" for k, v in _config(tmp_path).items())
    job = tmp_path / "job.sql"
    job.write_text(f"{settings}{_tables(postgres, name, tmp_path)};\nINSERT INTO o SELECT * FROM a")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flowsql.cli.main", "run", str(job)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        postgres.execute(f"UPDATE {name} SET v = 'seen' WHERE id = 1")
        _until(lambda: _holds(postgres, name, tmp_path))
        _only_reader(process.pid)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_engine_leaves_nothing(
    postgres: PostgresServer, name: str, running: subprocess.Popen[bytes]
) -> None:
    """Its readers end, and the slot is free."""
    reader = _only_reader(running.pid)
    running.kill()
    running.wait()
    _until(lambda: not _runs(reader))
    asked = f"SELECT active FROM pg_replication_slots WHERE slot_name = 'slot_{name}'"
    _until(lambda: postgres.execute(asked) == [(False,)])


def test_ctrl_c_ends_the_engine_first(
    postgres: PostgresServer, name: str, running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The terminal interrupts the whole group; what was read is written, nothing complains."""
    reader = _only_reader(running.pid)
    postgres.execute(f"UPDATE {name} SET v = 'last'")
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(60) == 0, (tmp_path / "log").read_text()
    assert not _runs(reader)
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert "ended by" not in text


def test_what_takes_no_checkpoints_starts_no_process(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    """Its slot is temporary: only the connection that made it can read it."""
    with flowsql.connect(_config(tmp_path)) as session:
        session.execute(_tables(postgres, name, tmp_path))
        result = session.execute("SELECT COUNT(*) FROM a")
        for changes in result.changes():
            assert _readers(os.getpid()) == []
            if changes.batch.column(0).to_pylist()[-1] == 100:
                break
        result.close()
