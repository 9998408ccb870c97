"""The bank whose two sums are known at every commit, and the query that must show nothing else."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flowsql.testing.fake_database import Bank

ACCOUNTS = 600

TABLES = """
CREATE TABLE checking (id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'checking',
    'scan.incremental.snapshot.chunk.size' = '10');
CREATE TABLE savings (id BIGINT, balance BIGINT, version BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'fake-database', 'path' = '{root}/bank', 'table-name' = 'savings',
    'scan.incremental.snapshot.chunk.size' = '10');
"""
QUERY = """
SELECT SUM(balance) AS balance, SUM(version) AS version FROM (
  SELECT balance, version FROM checking UNION ALL SELECT balance, version FROM savings)
"""
JOB = (
    """
SET 'pipeline.name' = 'probe';
SET 'pipeline.snapshot-output' = '{mode}';
SET 'pipeline.reader' = '{reader}';
SET 'pipeline.max-transaction-bytes' = '8 kb';
SET 'execution.checkpointing.dir' = '{root}/jobs';
SET 'execution.checkpointing.interval' = '40 ms';
"""
    + TABLES
    + """
CREATE TABLE sums (balance BIGINT, version BIGINT)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/out.sqlite', 'changelog-log' = 'true');
INSERT INTO sums """
    + QUERY
)

Pair = tuple[int | None, int | None]


class Probe:
    """The bank, and the process that makes its transfers."""

    def __init__(self, root: Path, mode: str, reader: str = "thread") -> None:
        self.root = root
        self.file = root / "probe.sql"
        self.file.write_text(JOB.format(root=root, mode=mode, reader=reader))
        bank = Bank(root / "bank", accounts=ACCOUNTS)
        bank.transfer(200)
        bank.close()
        self._writer: subprocess.Popen[bytes] | None = None

    def start_writer(self) -> None:
        """Transfers, accounts opened and closed, now and then a huge transaction."""
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "flowsql.testing.fake_database", str(self.root / "bank"),
             "--accounts", str(ACCOUNTS), "--transactions", "0", "--rate", "400",
             "--huge-every", "150", "--huge-size", "300"]
        )  # fmt: skip

    def close(self) -> None:
        """The writer dies, maybe amid a transaction, which then did not happen."""
        if self._writer is not None:
            self._writer.kill()
            self._writer.wait(60)
            self._writer = None

    def sums(self) -> list[tuple[int, int]]:
        """Both sums after each commit."""
        return Bank.sums(self.root / "bank")

    def log(self) -> list[tuple[int, str, Pair]]:
        """(checkpoint, kind, pair) of every change that the sink was given, in order."""
        with sqlite3.connect(self.root / "out.sqlite") as connection:
            found = connection.execute('SELECT * FROM "sums$log" ORDER BY rowid').fetchall()
        connection.close()
        return [(checkpoint, kind, tuple(pair)) for checkpoint, kind, *pair in found]

    def check(self, pairs: Sequence[Pair]) -> None:
        """Every pair is one of a commit, in the order of commits, up to the last."""
        logged = self.sums()
        constant = logged[0][0]
        assert {balance for balance, _ in logged} == {constant}
        known = {version for _, version in logged}
        version = -1
        for number, pair in enumerate(pairs):
            assert pair[0] == constant, (number, pair)
            assert pair[1] in known, (number, pair)
            assert pair[1] >= version, (number, pair, version)
            version = pair[1]
        assert pairs[-1] == logged[-1]


def check_paired(changes: Sequence[tuple[str, Pair]]) -> None:
    """One row at a time: what is taken away is what stands there."""
    row: Pair | None = None
    for kind, pair in changes:
        if kind[0] == "+":
            assert row is None, (kind, pair)
            row = pair
        else:
            assert row == pair, (kind, pair, row)
            row = None
    assert row is not None
