"""The power goes off between any two disk operations of a SQL job, and un-synced writes are lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.recovery.disk import Loss
from tests.recovery.jobs.crashed import CrashedJob
from tests.recovery.jobs.market import Market

CUTS = 150 if os.environ.get("FLOWSQL_TEST_ALL") else 24
FILES = 40


@pytest.mark.parametrize("loss", [Loss.DATA, Loss.ALL])
def test_after_any_crash_the_tables_are_right(
    tmp_path: Path, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row once in both sinks, whatever the disk forgot."""
    monkeypatch.setattr("flowsql.runtime.readers._POLL_ROWS", 50)
    market = Market(tmp_path)
    for number in range(FILES):
        market.write(number)
    disk_root = tmp_path / "disk"
    text = market.file.read_text().replace("'40 ms'", "'10 ms'")
    text = text.replace(",\n    'source.monitor-interval' = '20 ms'", "")
    for name in ("jobs", "sales", "per_minute"):
        text = text.replace(f"{tmp_path}/{name}'", f"{disk_root}/{name}'")
    job = CrashedJob("SET 'pipeline.step.max-rows' = '100';" + text, disk_root, "market")
    sales, per_minute = market.expected_sales(), market.expected_per_minute(None)
    written = Market(tmp_path)
    written.root = disk_root
    for crash in job.crashes(loss, CUTS):
        job.run_again()
        assert written.sales() == sales, crash
        assert written.per_minute() == per_minute, crash
