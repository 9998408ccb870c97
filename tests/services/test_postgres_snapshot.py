"""Jobs in the midst of a snapshot: what is lost there is made good without a new start."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import flowsql
from flowsql.runtime.job import Job
from tests.services.fixtures import started
from tests.services.postgres import PostgresServer

_ROWS = 3_000


def _statements(server: PostgresServer, folder: Path, mode: str) -> list[str]:
    """Two tables of the server, and where each goes."""
    made = []
    for table in ("read_a", "read_b"):
        options = {
            "connector": "postgres-cdc",
            "hostname": "127.0.0.1",
            "port": str(server.port),
            "username": "postgres",
            "database-name": "postgres",
            "schema-name": "public",
            "table-name": table,
            "slot.name": "snap",
            "scan.startup.mode": mode,
            "scan.incremental.snapshot.chunk.size": "500",
            "connect.max-retries": "0",
        }
        given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
        columns = "k STRING, v INT, PRIMARY KEY (k) NOT ENFORCED"
        made.append(f"CREATE TABLE {table} ({columns}) WITH ({given})")
        sink = f"'connector' = 'changelog-sqlite', 'path' = '{folder / 'out'}'"
        made.append(f"CREATE TABLE out_{table} ({columns}) WITH ({sink})")
    made.append(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO out_read_a SELECT * FROM read_a;"
        " INSERT INTO out_read_b SELECT * FROM read_b; END"
    )
    return made


def _until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _of_sink(folder: Path, table: str) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(folder / "out", timeout=60)) as out:
        made = out.execute("SELECT 1 FROM sqlite_master WHERE name = 'out_read_b'").fetchall()
        return out.execute(f"SELECT k, v FROM out_{table} ORDER BY k").fetchall() if made else []


class _Lock(logging.Handler):
    """Nobody reads a table from the moment on in which a job has made its slot.

    The job waits for its own messages to be taken.
    """

    def __init__(self, server: PostgresServer, table: str) -> None:
        super().__init__()
        self._connection = server.connect(autocommit=False)
        self._table = table

    def emit(self, record: logging.LogRecord) -> None:
        if "replication slot" in record.getMessage():
            self._connection.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE".encode())

    def __enter__(self) -> None:
        logging.getLogger("flowsql").addHandler(self)

    def __exit__(self, *error: object) -> None:
        logging.getLogger("flowsql").removeHandler(self)
        self._connection.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own, which restarts."""
    with started(15) as made:
        yield made


@pytest.fixture
def tables(server: PostgresServer) -> Iterator[PostgresServer]:
    """Two tables with text as a key, cut unevenly."""
    for table in ("read_a", "read_b"):
        server.execute(f"CREATE TABLE {table} (k text PRIMARY KEY, v int)")
        server.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
        server.execute(
            f"INSERT INTO {table} SELECT md5(g::text), g FROM generate_series(1, {_ROWS}) g"
        )
        server.execute(f"ANALYZE {table}")
    yield server
    for table in ("read_a", "read_b"):
        server.execute(f"DROP TABLE {table}")
    _until(lambda: not server.execute("SELECT 1 FROM pg_replication_slots WHERE active"))
    server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    server.execute("DROP PUBLICATION IF EXISTS dbz_publication")


def _lost(server: PostgresServer, how: str) -> None:
    if how == "restart":
        server.restart("fast")
    else:
        # The transaction that holds the snapshot, and those that read under it.
        assert server.cut_connections("application_name = 'flowsql'")


@pytest.mark.parametrize(
    ("mode", "how", "readers"),
    [
        ("initial", "sessions end", 1),
        ("initial", "restart", 2),
        ("snapshot", "restart", 1),
        ("snapshot", "sessions end", 2),
    ],
)
def test_a_snapshot_that_is_lost_is_followed_by_another(
    tables: PostgresServer, tmp_path: Path, mode: str, how: str, readers: int
) -> None:
    """The job begins a new attempt by itself, and goes on with the chunks that are left."""
    server = tables
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "50 ms",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "100 ms",
        "parallelism.default": str(readers),
    }
    with flowsql.connect(config) as session:
        *ddl, insert = _statements(server, tmp_path, mode)
        for statement in ddl:
            session.execute(statement)
        with _Lock(server, "read_b"):
            job = session.execute(insert)
            assert isinstance(job, Job)
            _until(lambda: _shown(job) == (_ROWS, 2 * _ROWS))
            assert job.status()["sources"][0]["phase"] == "snapshot"
            _until(lambda: job.status()["checkpoint"].get("number", 0))
            # What was read is changed, and what is not.
            server.execute("UPDATE read_a SET v = -v WHERE v % 3 = 0")
            server.execute("DELETE FROM read_a WHERE v % 7 = 0")
            _lost(server, how)
            _until(lambda: job.status()["attempt"] > 1)
        server.execute("UPDATE read_b SET v = -v WHERE v % 3 = 0")
        if mode == "snapshot":
            job.wait(60)
        for table in ("read_a", "read_b"):
            wanted = server.execute(f'SELECT k, v FROM {table} ORDER BY k COLLATE "C"')
            _until(lambda t=table, w=wanted: _of_sink(tmp_path, t) == w)
        assert job.status()["attempt"] > 1
        if mode == "initial":
            job.stop()
            job.wait(60)
        slots = server.execute("SELECT 1 FROM pg_replication_slots")
        assert len(slots) == (mode == "initial")


def _shown(job: Job) -> tuple[int, int | None]:
    """Rows of the snapshot that were read, and about how many there are."""
    sources = job.status().get("sources") or [{}]
    snapshot = sources[0].get("snapshot") or {"rows": 0, "total": None}
    return snapshot["rows"], snapshot["total"]
