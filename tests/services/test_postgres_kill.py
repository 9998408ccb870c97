"""`flowsql run` over a real server, killed at any moment: no change is lost, doubled or torn."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.services.fixtures import started
from tests.services.postgres import PostgresServer

_KILLS = 50 if os.environ.get("FLOWSQL_TEST_ALL") else 4
_ACCOUNTS = 2000
_PAIRS = 100

_JOB = """
SET 'pipeline.name' = 'bank';
SET 'execution.checkpointing.dir' = '{folder}/state';
SET 'execution.checkpointing.interval' = '100ms';
CREATE TABLE checking (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ({options}, 'table-name' = 'checking');
CREATE TABLE savings (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ({options}, 'table-name' = 'savings', 'changelog-mode' = 'upsert');
CREATE TABLE held (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db');
CREATE TABLE saved (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db');
CREATE TABLE probe (balance BIGINT, version BIGINT)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db', 'changelog-log' = 'true');
EXECUTE STATEMENT SET BEGIN
INSERT INTO held SELECT * FROM checking;
INSERT INTO saved SELECT * FROM savings;
INSERT INTO probe SELECT SUM(balance), SUM(version)
  FROM (SELECT * FROM checking UNION ALL SELECT * FROM savings);
END;
"""


class _Bank:
    """Moves money between two tables, and knows the sum of versions after each commit."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._random = random.Random(3)
        self._over = threading.Event()
        self.version = 0
        self.versions = {0}
        self.transfers = 0
        for table in ("checking", "savings"):
            server.execute(
                f"CREATE TABLE {table} (id int PRIMARY KEY, balance bigint, version bigint)"
            )
            server.execute(
                f"INSERT INTO {table} SELECT g, 100, 0 FROM generate_series(1, {_ACCOUNTS}) g"
            )
        server.execute("ALTER TABLE checking REPLICA IDENTITY FULL")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with self._server.connect(autocommit=False) as connection:
            while not self._over.is_set():
                one, other = self._random.sample(range(1, _ACCOUNTS), 2)
                tables = ["checking", "savings"]
                self._random.shuffle(tables)
                move = "UPDATE {} SET balance = balance {} 7, version = version + {} WHERE id = %s"
                connection.execute(move.format(tables[0], "-", 1).encode(), [one])
                changed = connection.execute(move.format(tables[1], "+", 0).encode(), [other])
                if self._random.random() < 0.1:
                    # The key moves, and back again, so that there are always as many.
                    for key in (other + 10_000, other):
                        old = other if key != other else other + 10_000
                        connection.execute(
                            f"UPDATE {tables[1]} SET id = %s WHERE id = %s".encode(), [key, old]
                        )
                assert changed.rowcount == 1
                self.versions.add(self.version + 1)
                connection.commit()
                self.version += 1
                self.transfers += 1
                time.sleep(0.001)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Money neither comes nor goes in anything that is shown; the tables are equal at the end."""
    with started(15) as server:
        bank = _Bank(server)
        process = None
        try:
            _run(server, tmp_path)
            process = _start(tmp_path)
            _wait_for_pairs(tmp_path, process)
            bank.stop()
            _wait(server, tmp_path, process)
        finally:
            bank.stop()
            if process is not None:
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
        with sqlite3.connect(tmp_path / "out.db") as out:
            assert (
                _rows(server, "checking") == out.execute("SELECT * FROM held ORDER BY 1").fetchall()
            )
            assert (
                _rows(server, "savings") == out.execute("SELECT * FROM saved ORDER BY 1").fetchall()
            )
            pairs = out.execute('SELECT balance, version FROM "probe$log" WHERE kind IN'
                                " ('+I', '+U') ORDER BY rowid").fetchall()  # fmt: skip
        torn = [i for i, (balance, _) in enumerate(pairs) if int(balance) != 200 * _ACCOUNTS]
        assert not torn, (torn, pairs[: torn[0] + 3], (tmp_path / "log").read_text())
        shown = [int(v) for _, v in pairs]
        assert shown == sorted(shown)
        assert set(shown) <= bank.versions
        assert shown[-1] == bank.version
        assert len(set(shown)) > _PAIRS


def _rows(server: PostgresServer, table: str) -> list[tuple[int, ...]]:
    return server.execute(f"SELECT * FROM {table} ORDER BY 1")


def _run(server: PostgresServer, folder: Path) -> None:
    options = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": "postgres",
        "database-name": "postgres",
        "schema-name": "public",
        "slot.name": "bank",
        "scan.incremental.snapshot.chunk.size": "50",
    }
    given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
    (folder / "job.sql").write_text(_JOB.format(folder=folder, options=given))
    moments = random.Random(7)
    for _ in range(_KILLS):
        log = folder / "log"
        seen = log.stat().st_size if log.exists() else 0
        process = _start(folder)
        # From when it runs, so that a slow machine does not kill starts only.
        end = time.monotonic() + 60
        while b" starts, " not in log.read_bytes()[seen:]:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.2))
        process.kill()
        process.wait()


def _start(folder: Path) -> subprocess.Popen[bytes]:
    log = folder / "log"
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "flowsql.cli.main", "run", str(folder / "job.sql")],
            stdout=out,
            stderr=out,
        )


def _wait_for_pairs(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until enough was shown while money moves."""
    asked = "SELECT count(DISTINCT version) FROM \"probe$log\" WHERE kind <> '-U'"
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "log").read_text()
        with sqlite3.connect(folder / "out.db", timeout=10) as out:
            made = out.execute("SELECT 1 FROM sqlite_master WHERE name = 'probe$log'").fetchall()
            if made and out.execute(asked).fetchone()[0] > _PAIRS:
                return
        time.sleep(0.2)
    raise AssertionError((folder / "log").read_text())


def _wait(server: PostgresServer, folder: Path, process: subprocess.Popen[bytes]) -> None:
    wanted = _rows(server, "checking"), _rows(server, "savings")
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, (folder / "log").read_text()
        with sqlite3.connect(folder / "out.db", timeout=10) as out:
            tables = {n for (n,) in out.execute("SELECT name FROM sqlite_master")}
            if {"held", "saved"} <= tables:
                found = tuple(
                    out.execute(f"SELECT * FROM {t} ORDER BY 1").fetchall()
                    for t in ("held", "saved")
                )
                if found == wanted:
                    return
        time.sleep(0.2)
    raise AssertionError((folder / "log").read_text())
