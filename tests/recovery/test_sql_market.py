"""The job of two statements over watched files, killed again and again: every row once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.market import Market
from tests.recovery.jobs.zygote import Zygote

KILLS = 500 if os.environ.get("FLOWSQL_TEST_ALL") else 50


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks the jobs."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    """Empty."""
    made = Market(tmp_path)
    yield made
    made.close()


def read_all(market: Market, job: SqlJob) -> bool:
    """Whether the newest checkpoint has every file of the input."""
    manifest = job.manifest()
    if manifest is None:
        return False
    sources = manifest.sources.values()
    done = {f for s in sources for f in s["position"]["source"]["finished"]}
    given = {p.name for table in ("bid", "auction") for p in market.files(table)}
    return given <= done


def check_no_leftovers(market: Market) -> None:
    """Beside the results stands only the marker of what is committed."""
    for table in ("sales", "per_minute"):
        hidden = [p.name for p in (market.root / table / ".flowsql").rglob("*") if p.is_file()]
        assert hidden == ["committed.json"]
        assert all(p.is_file() for p in market.files(table))


@pytest.mark.timeout(1800 if KILLS > 50 else 300)
def test_market_after_kills(
    market: Market, zygote: Zygote, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sales` is the join; `per_minute` has what the watermark closed, and all after a drain."""
    job = SqlJob(zygote, market.file, market.root / "jobs", "market")
    market.start_writer(0.03)
    record = kill_often(job, KILLS, random.Random(5))
    market.stop_writer()
    child = job.start()
    job.until(child, lambda: read_all(market, job))
    job.stop(child)
    assert market.sales() == market.expected_sales()
    assert market.per_minute() == market.expected_per_minute(market.final_watermark())
    job.check_tidy()
    check_no_leftovers(market)
    child = job.start()
    job.stop(child, drain=True)
    assert market.sales() == market.expected_sales()
    assert market.per_minute() == market.expected_per_minute(None)
    job.check_tidy()
    check_no_leftovers(market)
    record.check()
    with capsys.disabled():
        print(f"\n{len(market.files('bid'))} files; {record}")
