"""A table of Iceberg, streamed → GROUP BY → another by key, and a changelog sink; killed again and again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.stock import Stock
from tests.recovery.jobs.zygote import Zygote
from tests.support.iceberg import IcebergFolder
from tests.support.iceberg_reader import rows_by_duckdb

KILLS = 200 if os.environ.get("FLOWSQL_TEST_ALL") else 12


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks the jobs."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stock]:
    """With rows in four files; nobody writes yet."""
    made = Stock(tmp_path)
    yield made
    made.close()


def read_all(job: SqlJob, head: int) -> bool:
    """Whether the newest checkpoint has this snapshot."""
    manifest = job.manifest()
    if manifest is None:
        return False
    (group,) = manifest.sources.values()
    place = group["position"]["splits"].get("snapshots")
    return bool(place and place["after"] == head)


def test_iceberg_source_after_kills(
    stock: Stock, zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Independent readers find the answer; no step was of half a snapshot."""
    job = SqlJob(zygote, stock.file, stock.root / "jobs", "stock", poll_rows=50)
    stock.start_writer(0.02)
    record = kill_often(job, KILLS, random.Random(7), longest=1.5, patient=0.9)
    stock.stop_writer()
    child = job.start()
    head = stock.head
    job.until(child, lambda: read_all(job, head))
    job.stop(child)
    expected = stock.expected()
    folder = IcebergFolder(tmp_path / "lake", "by_group")
    for found in (folder.rows(), rows_by_duckdb(folder.table.metadata_location)):
        assert len(found) == len(set(found))
        assert set(found) == expected
    assert folder.strays() == []
    changes = stock.check_totals()
    job.check_tidy()
    record.check()
    with capsys.disabled():
        print(f"\n{len(stock.table.snapshots())} snapshots read, {changes} changes; {record}")


def test_a_snapshot_that_expires_while_the_job_stands_still(stock: Stock, zygote: Zygote) -> None:
    """Is told with its cure; a job of another name begins anew."""
    job = SqlJob(zygote, stock.file, stock.root / "jobs", "stock")
    child = job.start()
    head = stock.head
    job.until(child, lambda: read_all(job, head))
    job.stop(child)
    unread = stock.add(2)
    stock.add(2)
    stock.table.refresh().maintenance.expire_snapshots().by_id(unread).commit()
    child = job.run("-D", "restart-strategy.type=none")
    assert child.code == 1, child.text
    assert 'snapshots of table "stock" have expired that were not read yet' in child.text
    assert f"Snapshot {head} was read last" in child.text
    assert "Begin anew with another 'pipeline.name'" in child.text
