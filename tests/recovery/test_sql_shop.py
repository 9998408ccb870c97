"""Fake database → GROUP BY over a LEFT JOIN → changelog sink, killed again and again."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.shop import Shop
from tests.recovery.jobs.zygote import Zygote

ROUNDS = 20 if os.environ.get("FLOWSQL_TEST_ALL") else 2
KILLS = 25


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """With owners, and an account for most."""
    made = Shop(tmp_path)
    yield made
    made.close()


def read_all(job: SqlJob, lsn: int) -> bool:
    """Whether the newest checkpoint has the log to its end."""
    manifest = job.manifest()
    if manifest is None:
        return False
    (group,) = manifest.sources.values()
    log = group["position"]["splits"].get("log")
    return bool(log and log["lsn"] is not None and log["lsn"] >= lsn)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_shop_after_kills(
    shop: Shop, zygote: Zygote, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables equal the query over the database; no change takes away what is not held."""
    job = SqlJob(zygote, shop.file, shop.root / "jobs", "shop", poll_rows=100)
    shop.start_writer(0.004)
    record = kill_often(job, KILLS, random.Random(seed), longest=0.5)
    shop.stop_writer()
    child = job.start()
    lsn = shop.lsn
    job.until(child, lambda: read_all(job, lsn))
    job.stop(child)
    assert shop.found() == shop.expected()
    changes = shop.check_changelogs()
    job.check_tidy()
    record.check()
    with capsys.disabled():
        print(f"\nLSN {lsn}, {changes} changes; {record}")


@pytest.mark.parametrize(
    ("first", "then"), [("consistent", "progressive"), ("progressive", "consistent")]
)
def test_another_way_of_output_amid_a_snapshot(
    shop: Shop, zygote: Zygote, first: str, then: str
) -> None:
    """What was held back is given where nothing is held back any more; and the other way round."""
    job = SqlJob(zygote, shop.file, shop.root / "jobs", "shop", poll_rows=100)
    statements = shop.file.read_text()
    shop.file.write_text(f"SET 'pipeline.snapshot-output' = '{first}';{statements}")

    def amid_snapshot() -> bool:
        manifest = job.manifest()
        return manifest is not None and not all(
            source["consistent"] for source in manifest.sources.values()
        )

    while not amid_snapshot():
        # Too early or too late, as the machine pleases: until it fits.
        if job.folder.exists():
            shutil.rmtree(job.folder)
            (shop.root / "out.sqlite").unlink(missing_ok=True)
        child = job.start(kill_at="after-replace:4")
        child.wait(60)
        child.kill()
    manifest = job.manifest()
    assert manifest is not None
    held = any(owner.endswith("/pending") for owner in manifest.tables)
    assert held is (first == "consistent")
    shop.file.write_text(f"SET 'pipeline.snapshot-output' = '{then}';{statements}")
    child = job.start()
    lsn = shop.lsn
    job.until(child, lambda: read_all(job, lsn) and not amid_snapshot())
    job.stop(child)
    assert shop.found() == shop.expected()
    shop.check_changelogs()
    job.check_tidy()
