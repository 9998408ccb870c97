"""`flowsql run` over a real server that is written to all the time, with everything dying.

Three tables, their snapshot and their log; our process is killed at named and at random moments,
the server restarts in every way, connections are cut in the middle of messages. At the end every
sink equals its table, row for row, and a query over two tables has shown sums of commits only.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.recovery.jobs.kills import kill_often
from tests.recovery.jobs.probe import check_paired
from tests.recovery.jobs.zygote import REPOSITORY, Zygote
from tests.services.fixtures import started
from tests.services.plague import LOST, Plague, PlaguedJob, again_until
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy
from tests.services.writing import make_tables

_ALL = bool(os.environ.get("FLOWSQL_TEST_ALL"))
# Each has a server, tables and a snapshot of its own.
_VERSIONS = (12, 14, 15, 17, 18) if _ALL else (15,)
_KILLS = int(os.environ.get("FLOWSQL_POSTGRES_KILLS") or (100 if _ALL else 50))
_RESTARTS = 10
_CUTS = 20
_ACCOUNTS = 20_000 if _ALL else 5_000
_CHUNKS = 100 if _ALL else 40  # of a table
_RATE = 2_000  # transactions a second
_LEAST = 1_000 if _ALL else 0  # of them that are made unless others keep the machine busy
_LARGE = 200_000 if _ALL else 20_000  # rows
_EVERY = 25 if _ALL else 8  # seconds between large transactions
_LONGEST = 1.0 if _ALL else 0.4  # seconds of a run that is killed at no named moment
_WANTED = 500

_JOB = """
SET 'pipeline.name' = 'bank';
SET 'execution.checkpointing.dir' = '{folder}/jobs';
SET 'execution.checkpointing.interval' = '100ms';
CREATE TABLE accounts_a (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ({options}, 'table-name' = 'accounts_a', 'scan.incremental.snapshot.chunk.size' = '{small}');
CREATE TABLE accounts_b (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ({options}, 'table-name' = 'accounts_b', 'scan.incremental.snapshot.chunk.size' = '{small}',
    'changelog-mode' = 'upsert');
CREATE TABLE things (id BIGINT, name STRING, amount DECIMAL(12, 2), flag BOOLEAN)
  WITH ({options}, 'table-name' = 'things', 'scan.incremental.snapshot.chunk.size' = '{large}');
CREATE TABLE held_a (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db');
CREATE TABLE held_b (id INT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db');
CREATE TABLE filed (id BIGINT, name STRING, amount DECIMAL(12, 2), flag BOOLEAN)
  WITH ('connector' = 'filesystem', 'path' = '{folder}/things', 'format' = 'debezium-json');
CREATE TABLE probe (balance BIGINT, version BIGINT)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{folder}/out.db', 'changelog-log' = 'true');
EXECUTE STATEMENT SET BEGIN
INSERT INTO held_a SELECT * FROM accounts_a;
INSERT INTO held_b SELECT * FROM accounts_b;
INSERT INTO filed SELECT * FROM things;
INSERT INTO probe SELECT SUM(balance), SUM(version)
  FROM (SELECT * FROM accounts_a UNION ALL SELECT * FROM accounts_b);
END;
"""


class _World:
    """A server, the way to it, who writes, and what came of it."""

    def __init__(self, folder: Path, server: PostgresServer, proxy: CuttingProxy) -> None:
        self.folder = folder
        self.server = server
        self.proxy = proxy
        with server.connect() as connection:
            make_tables(connection, _ACCOUNTS, _ACCOUNTS // 4)
        options = {
            "connector": "postgres-cdc",
            "hostname": "127.0.0.1",
            "port": str(proxy.port),
            "username": "postgres",
            "database-name": "postgres",
            "schema-name": "public",
            "slot.name": "bank",
        }
        given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
        (folder / "job.sql").write_text(
            _JOB.format(
                folder=folder, options=given, small=_ACCOUNTS // _CHUNKS, large=_LARGE // _CHUNKS
            )
        )
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "tests.services.writing", server.dsn(), str(_RATE), str(_LARGE),
             str(_EVERY)],
            cwd=REPOSITORY, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.plague = Plague(
            server, proxy, kills=_KILLS, restarts=_RESTARTS, cuts=_CUTS, longest=_LONGEST
        )

    def close(self) -> None:
        """Everything that was started ends."""
        self._writer.kill()
        self._writer.communicate()
        self.plague.close()

    def stop_writing(self) -> tuple[int, float]:
        """How many transactions it made in how many seconds; the last one is shown as one."""
        self._writer.send_signal(signal.SIGTERM)
        out, _ = self._writer.communicate(timeout=120)
        assert self._writer.returncode == 0
        ((made,),) = self.server.execute("SELECT count(*) - 1 FROM committed")
        # The transactions that overlapped with it may have ended later.
        self.server.execute("CALL keep_busy(0.01, 100, 0, 0)")
        return made, float(out)

    def pairs(self) -> list[tuple[int, str, tuple[Any, ...]]]:
        """(checkpoint, kind, pair) of every change of the probe, in order."""
        found = self._of_sink('SELECT * FROM "probe$log" ORDER BY rowid')
        return [(checkpoint, kind, (int(b), int(v))) for checkpoint, kind, b, v in found]

    def shown(self) -> int:
        """The version that the probe shows now."""
        ((version,),) = self._of_sink("SELECT max(version) FROM probe") or [(0,)]
        return int(version or 0)

    def distinct(self) -> int:
        """How many versions the probe has shown."""
        ((number,),) = self._of_sink('SELECT count(DISTINCT version) FROM "probe$log"') or [(0,)]
        return int(number)

    def _of_sink(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "out.db", timeout=60)) as out:
            # Before its first checkpoint it has no tables.
            if not out.execute("SELECT 1 FROM sqlite_master WHERE name = 'held_a'").fetchall():
                return []
            return out.execute(query).fetchall()

    def in_server(self, table: str) -> Counter[tuple[Any, ...]]:
        """The rows of a table."""
        return Counter(self.server.execute(f"SELECT * FROM {table}"))

    def in_sink(self, table: str) -> Counter[tuple[Any, ...]]:
        """The rows of the sink of a table; of files by the changes in the order of their names."""
        if table != "things":
            return Counter(self._of_sink(f"SELECT * FROM held_{table[-1]}"))
        found: Counter[tuple[Any, ...]] = Counter()
        # One that is moved to its name meanwhile is not there under the other.
        for path in sorted((self.folder / "things").glob("part-*.json")):
            for line in path.read_text().splitlines():
                message = json.loads(line, parse_float=Decimal)
                row = message["before" if message["op"] == "d" else "after"]
                row = (row["id"], row["name"], _decimal(row["amount"]), row["flag"])
                if message["op"] == "d":
                    assert found[row] > 0, f"{row} is taken away and was not there"
                    found[row] -= 1
                else:
                    found[row] += 1
        return +found


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


@pytest.fixture(params=_VERSIONS)
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[_World]:
    """On a server of its own, which restarts."""
    with started(request.param) as server, CuttingProxy(server.port) as proxy:
        made = _World(tmp_path, server, proxy)
        yield made
        made.close()


@pytest.mark.timeout(300 + 20 * _KILLS)
def test_whatever_dies_when(
    world: _World, zygote: Zygote, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables are equal at the end, and no sum was shown that was not that of a commit."""
    folder = world.folder
    job = PlaguedJob(world.plague, zygote, folder / "job.sql", folder / "jobs", "bank")
    chance = random.Random(int(os.environ.get("FLOWSQL_SEED") or world.server.version))
    how: dict[str, Any] = {"longest": _LONGEST, "patient": 0.8, "forgiven": LOST}
    early = kill_often(job, _KILLS // 2, chance, **how)
    # The rest of them die while only the log is read.
    again_until(job, job.start(), job.has_snapshot).kill()
    late = kill_often(job, _KILLS - _KILLS // 2, chance, progress=world.shown, **how)
    world.plague.left_alone.set()
    child = again_until(
        job, job.start(), lambda: world.plague.over.is_set() and world.distinct() > _WANTED + 50
    )
    made, seconds = world.stop_writing()
    tables = ("accounts_a", "accounts_b", "things")
    wanted = {t: world.in_server(t) for t in tables}
    last = world.server.execute("SELECT max(version) FROM committed")[0][0]
    # Every transaction raises it, and all tables of one are shown by one checkpoint.
    job.until(child, lambda: world.shown() == last, 900)
    job.stop(child)
    for table in tables:
        assert world.in_sink(table) == wanted[table]
    log = world.pairs()
    check_paired([(kind, pair) for _, kind, pair in log])
    pairs = [pair for _, kind, pair in log if kind[0] == "+"]
    known = {v for (v,) in world.server.execute("SELECT version FROM committed")}
    assert {balance for balance, _ in pairs} == {200 * _ACCOUNTS}
    versions = [version for _, version in pairs]
    assert versions == sorted(versions)
    assert set(versions) <= known
    assert versions[-1] == last
    assert len(set(versions)) >= _WANTED
    job.check_tidy()
    assert world.plague.faults.total() == _RESTARTS + _CUTS
    assert len({*early.resumed, *late.resumed}) >= _KILLS // 10
    with capsys.disabled():
        print(
            f"\n{made} transactions, {made / seconds:.0f} a second; {len(pairs)} pairs,"
            f" {len(set(versions))} distinct; {dict(world.plague.faults)}; {early}; then {late}"
        )
    assert made / seconds >= _LEAST or os.getloadavg()[1] > 4 * (os.cpu_count() or 1)
