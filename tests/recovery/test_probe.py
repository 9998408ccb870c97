"""The probe of promise 1: sums over two tables of a bank that never stands still."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import flowsql
from flowsql.testing.fake_database import Bank
from tests.recovery.killing import REPOSITORY

PROBE = """
CREATE TABLE checking (
  id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'checking',
        'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE savings (
  id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'savings',
        'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE probe (balance BIGINT, version BIGINT)
WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/probe.sqlite', 'changelog-log' = 'true');
INSERT INTO probe
SELECT SUM(balance), SUM(version)
FROM (SELECT balance, version FROM checking UNION ALL SELECT balance, version FROM savings);
"""
LOG = 'SELECT kind, balance, version FROM "probe$log" ORDER BY rowid'


def rows_of(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file that may not exist yet."""
    if not path.exists():
        return []
    connection = sqlite3.connect(path, timeout=10)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


@pytest.mark.parametrize("output", ["consistent", "progressive"])
def test_every_shown_state_was_committed(tmp_path: Path, output: str) -> None:
    """In `consistent` from the first change on, in `progressive` once the snapshot is over."""
    Bank(tmp_path / "bank", accounts=300).close()
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "500 ms",
        "pipeline.snapshot-output": output,
        "pipeline.step.max-rows": "50",
        "pipeline.name": "bank",
    }
    writer = subprocess.Popen(
        [sys.executable, "-m", "flowsql.testing.fake_database", str(tmp_path / "bank"),
         "--transactions", "1500", "--rate", "250", "--huge-every", "500", "--huge-size", "400"],
        cwd=REPOSITORY,
    )  # fmt: skip
    with flowsql.connect(config=config) as session:
        job = session.execute(PROBE.format(root=tmp_path))
        writer.wait(60)
        last = Bank.sums(tmp_path / "bank")[-1]
        end = time.monotonic() + 30
        while rows_of(tmp_path / "probe.sqlite", "SELECT balance, version FROM probe") != [last]:
            assert job.running
            assert time.monotonic() < end
            time.sleep(0.05)
        job.stop()
        job.wait(30)
    shown = [row[1:] for row in rows_of(tmp_path / "probe.sqlite", LOG) if row[0][0] == "+"]
    logged = Bank.sums(tmp_path / "bank")
    if output == "progressive":
        # While the snapshot was read the sums grew; they end where the balance is whole.
        first = next(i for i, pair in enumerate(shown) if pair in set(logged))
        assert first > 0
        shown = shown[first:]
    assert [pair for pair in shown if pair not in set(logged)] == []
    assert [v for _, v in shown] == sorted(v for _, v in shown)
    assert shown[-1] == last
    assert len(set(shown)) >= 500
