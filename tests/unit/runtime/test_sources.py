"""What a job says of its sources."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import flowsql
from flowsql.runtime import progress
from flowsql.runtime.job import Job
from flowsql.runtime.progress import SnapshotProgress
from flowsql.testing.fake_database import FakeDatabase

ROWS = 250


@pytest.fixture
def database(tmp_path: Path) -> FakeDatabase:
    """One table."""
    made = FakeDatabase(tmp_path / "bank")
    made.create_table("checking", {"id": "INT", "balance": "INT"}, ("id",))
    with made.transaction() as transaction:
        for i in range(ROWS):
            transaction.insert("checking", {"id": i, "balance": i})
    return made


def _session(tmp_path: Path, more: str = "") -> flowsql.Session:
    session = flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "jobs")})
    session.execute(
        "CREATE TABLE a (id INT, balance INT, PRIMARY KEY (id) NOT ENFORCED) WITH ("
        f"'connector' = 'fake-database', 'path' = '{tmp_path / 'bank'}', 'table-name' = 'checking',"
        f" 'scan.incremental.snapshot.chunk.size' = '100'{more});"
        "CREATE TABLE o (id INT, balance INT, PRIMARY KEY (id) NOT ENFORCED) "
        "WITH ('connector' = 'blackhole'); SET 'pipeline.name' = 'bank'"
    )
    return session


def _until(job: Job, phase: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sources = job.status().get("sources") or [{}]
        if sources[0].get("phase") == phase and sources[0]["rows"] >= ROWS:
            return dict(sources[0])
        time.sleep(0.02)
    raise AssertionError(job.status())


def test_show_sources(tmp_path: Path, database: FakeDatabase) -> None:
    """A row a source group of the jobs that run; what the connector knows stands in it."""
    with _session(tmp_path) as session:
        result = session.execute("SHOW SOURCES")
        assert isinstance(result, flowsql.Result)
        assert result.fetchall() == []
        job = session.execute("INSERT INTO o SELECT * FROM a")
        assert isinstance(job, Job)
        source = _until(job, "stream")
        assert source["snapshot"] | {"rows_per_second": 0} == {
            "rows": ROWS,
            "total": ROWS,
            "rows_per_second": 0,
            "left_ms": 0,
        }
        result = session.execute("SHOW SOURCES")
        assert isinstance(result, flowsql.Result)
        rest = (None, None, "flowsql", None)
        position = f"LSN {database.lsn}"
        assert result.schema.names[:4] == ("job id", "tables", "connector", "phase")
        assert result.fetchall() == [
            ("bank", "a", "fake-database", "stream", "1", "250", "250 rows", position, *rest)
        ]
        job.stop()
        job.wait()
        done = session.execute("SHOW SOURCES")
        assert isinstance(done, flowsql.Result)
        assert done.fetchall() == []


def test_a_resumed_job_knows_its_snapshot(tmp_path: Path, database: FakeDatabase) -> None:
    """Rows of the snapshot that were read before the restart count."""
    del database
    for _ in range(2):
        with _session(tmp_path) as session:
            job = session.execute("INSERT INTO o SELECT * FROM a")
            assert isinstance(job, Job)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                sources = job.status().get("sources") or [{}]
                if sources[0].get("phase") == "stream" and sources[0].get("snapshot"):
                    break
                time.sleep(0.02)
            assert sources[0]["snapshot"]["rows"] == ROWS
            job.stop()
            job.wait()


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time left comes from the rate of this process; an estimate that was too low is raised."""
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    made = SnapshotProgress()
    made.rows = 500
    assert made.status(1000, over=False) == {
        "rows": 500,
        "total": 1000,
        "rows_per_second": 0.0,
        "left_ms": None,
    }
    made.begin()
    now[0] = 110.0
    made.add(100)
    made.begin()
    expected = {"rows": 600, "total": 1000, "rows_per_second": 10.0, "left_ms": 40_000}
    assert made.status(1000, over=False) == expected
    assert made.status(None, over=False)["left_ms"] is None
    assert made.status(550, over=False)["total"] == 600
    now[0] = 200.0
    assert made.status(1000, over=True) == {
        "rows": 600,
        "total": 600,
        "rows_per_second": 10.0,
        "left_ms": 0,
    }


def test_a_snapshot_is_shown_at_once(tmp_path: Path, database: FakeDatabase) -> None:
    """What was held back until the tables were consistent does not wait for the next checkpoint."""
    with _session(tmp_path) as session:
        session.execute(
            "CREATE TABLE n (k INT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH "
            f"('connector' = 'changelog-sqlite', 'path' = '{tmp_path / 'out'}');"
            "SET 'execution.checkpointing.interval' = '1 h'"
        )
        job = session.execute("INSERT INTO n SELECT 1, COUNT(*) FROM a")
        assert isinstance(job, Job)
        deadline = time.monotonic() + 60
        while job.status().get("checkpoint", {}).get("number") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with sqlite3.connect(tmp_path / "out") as target:
            assert target.execute("SELECT n FROM n").fetchall() == [(ROWS,)]
        job.stop()


@pytest.mark.parametrize("rows", [0, ROWS])
def test_a_snapshot_that_ends_is_given(tmp_path: Path, rows: int) -> None:
    """What is held back until the tables are consistent is given though the input ends there."""
    made = FakeDatabase(tmp_path / "bank")
    made.create_table("checking", {"id": "INT", "balance": "INT"}, ("id",))
    with made.transaction() as transaction:
        for i in range(rows):
            transaction.insert("checking", {"id": i, "balance": 1})
    with _session(tmp_path, ", 'scan.bounded.mode' = 'latest-offset'") as session:
        answer = session.execute("SELECT id FROM a")
        assert isinstance(answer, flowsql.Result)
        assert len(answer.fetchall()) == rows
        session.execute(
            "CREATE TABLE n (k INT, n BIGINT, total INT, PRIMARY KEY (k) NOT ENFORCED) "
            f"WITH ('connector' = 'changelog-sqlite', 'path' = '{tmp_path / 'out'}')"
        )
        job = session.execute(
            "INSERT INTO n SELECT 1, COUNT(*), SUM(balance) FROM a "
            "/*+ OPTIONS('slot.name' = 'other') */"
        )
        assert isinstance(job, Job)
        job.wait(60)
        assert job.board.state == "finished"
    with sqlite3.connect(tmp_path / "out") as target:
        expected = [(1, rows, rows)] if rows else []
        assert target.execute("SELECT k, n, total FROM n").fetchall() == expected
