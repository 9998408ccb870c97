"""The job of two statements over watched files, killed again and again: every row once."""

from __future__ import annotations

import csv
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.market import Market
from tests.recovery.jobs.zygote import Zygote

KILLS = 500 if os.environ.get("FLOWSQL_TEST_ALL") else 50


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


def check_all(market: Market, *, drained: bool) -> None:
    """Every row once, of what time has come to."""
    assert market.sales() == market.expected_sales()
    until = None if drained else market.final_watermark()
    assert market.per_minute() == market.expected_per_minute(until)
    check_no_leftovers(market)


@pytest.mark.timeout(1800 if KILLS > 50 else 900)
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
    check_all(market, drained=False)
    job.check_tidy()
    child = job.start()
    job.stop(child, drain=True)
    check_all(market, drained=True)
    job.check_tidy()
    record.check()
    with capsys.disabled():
        print(f"\n{len(market.files('bid'))} files; {record}")


def test_other_shapes_after_kills(market: Market, zygote: Zygote) -> None:
    """Two readers a table, many small files in partitions, and now and then a graceful stop."""
    text = market.file.read_text()
    text = text.replace(
        f"'path' = '{market.root}/sales', 'format' = 'parquet')",
        f"'path' = '{market.root}/sales', 'format' = 'csv', "
        "'sink.rolling-policy.file-size' = '1 kb')",
    ).replace(
        "sales (auction BIGINT, item STRING, price BIGINT)",
        "sales (auction BIGINT, item STRING, price BIGINT, app BOOLEAN) PARTITIONED BY (app)",
    ).replace("a.item, b.price", "a.item, b.price, b.channel = 'app'")  # fmt: skip
    market.file.write_text("SET 'parallelism.default' = '2';" + text)
    job = SqlJob(zygote, market.file, market.root / "jobs", "market", poll_rows=64)
    market.start_writer(0.03)
    record = kill_often(job, KILLS // 4, random.Random(6), graceful=0.3)
    market.stop_writer()
    child = job.start()
    job.until(child, lambda: read_all(market, job))
    job.stop(child, drain=True)
    found = Counter(
        (int(auction), item, int(price))
        for path in (market.root / "sales").glob("app=*/*.csv")
        for auction, item, price in csv.reader(path.read_text().splitlines())
    )
    assert found == market.expected_sales()
    assert market.per_minute() == market.expected_per_minute(None)
    hidden = [p.name for p in market.root.glob("*/.flowsql/*/*")]
    assert hidden == ["committed.json"] * 2
    job.check_tidy()
    assert len(record.resumed) >= KILLS // 12, record


def test_killed_while_draining(market: Market, zygote: Zygote) -> None:
    """The end of a job is decided once: before it, it goes on; behind it, it is only carried out."""
    for number in range(70):
        market.write(number)
    job = SqlJob(zygote, market.file, market.root / "jobs", "market")
    text = market.file.read_text()
    child = job.start()
    job.until(child, lambda: read_all(market, job))
    job.stop(child)
    # No checkpoint but the last: every moment named is one of draining, or of starting.
    market.file.write_text(text.replace("'40 ms'", "'0 ms'"))
    for moment in (
        "before-prepare:1", "after-prepare:2", "before-fsync:4", "before-replace:2",
        "after-replace:2", "before-commit:1", "after-replace:2", "before-replace:3",
        "after-replace:3", "before-commit:2", "after-commit:2", "before-acknowledge:1",
    ):  # fmt: skip
        child = job.start(kill_at=moment)
        job.run_until(child, lambda: True, drain=True)
        assert child.code in {0, -signal.SIGKILL}, child.text
        if child.code == 0:
            break
    else:
        child = job.run()
        assert child.code == 0, child.text
    check_all(market, drained=True)
    job.check_tidy()


def test_a_second_run_appends_once_more(market: Market, zygote: Zygote) -> None:
    """A finished job run again is a new run; killed before its first checkpoint or behind it."""

    def read_second() -> bool:
        manifest = job.manifest()
        return manifest is not None and manifest.run != first and read_all(market, job)

    for number in range(40):
        market.write(number)
    job = SqlJob(zygote, market.file, market.root / "jobs", "market")
    child = job.start()
    job.until(child, lambda: read_all(market, job))
    job.stop(child, drain=True)
    check_all(market, drained=True)
    first = job.record()["run"]
    for moment in ("after-mkdir:1", "before-prepare:1", "after-prepare:2", "before-commit:1",
                   "after-replace:3", "before-commit:3"):  # fmt: skip
        child = job.start(kill_at=moment)
        child.wait(1)
        child.kill()
    child = job.start()
    job.until(child, read_second)
    job.stop(child, drain=True)
    for found, once in (
        (market.sales(), market.expected_sales()),
        (market.per_minute(), market.expected_per_minute(None)),
    ):
        assert found == once + once
    check_no_leftovers(market)
    job.check_tidy()
