"""The probe of promise 1: sums over two tables of a bank that never stands still."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import flowsql
from flowsql.testing.fake_database import Bank
from tests.recovery.children import BANK_JOB
from tests.recovery.killing import REPOSITORY
from tests.recovery.test_kill_sql import rows_of

LOG = 'SELECT kind, balance, version FROM "probe$log" ORDER BY rowid'


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
        job = session.execute(BANK_JOB.format(root=tmp_path))
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
