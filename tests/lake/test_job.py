"""A job that writes by key to a REST catalog over S3, killed, and left alone by its servers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.rest import RestCatalog

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.shop import Shop
from tests.recovery.jobs.zygote import Zygote
from tests.recovery.test_sql_shop import read_all
from tests.services.lake import Lake
from tests.services.proxy import CuttingProxy
from tests.support.iceberg import IcebergTable

KILLS = 60 if os.environ.get("FLOWSQL_TEST_ALL") else 3

TABLE = """
CREATE CATALOG lake WITH ({catalog});
CREATE DATABASE IF NOT EXISTS lake.{database};
CREATE TABLE IF NOT EXISTS lake.{database}.by_owner (id BIGINT, n BIGINT, balance BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('write.upsert.enabled' = 'true', 'partitioning' = 'bucket(2, id)');
"""


@pytest.fixture
def ways(lake: Lake, rest: str) -> Iterator[tuple[CuttingProxy, CuttingProxy]]:
    """To the catalog and to its storage."""
    del rest
    storage = int(lake.endpoint.rpartition(":")[2])
    with CuttingProxy(lake.rest_port) as catalog, CuttingProxy(storage) as files:
        yield catalog, files


@pytest.fixture
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Forks the jobs."""
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()


@pytest.fixture
def shop(
    lake: Lake, ways: tuple[CuttingProxy, CuttingProxy], database: str, tmp_path: Path
) -> Iterator[Shop]:
    """Whose owners go to Iceberg."""
    made = Shop(tmp_path)
    catalog, files = ways
    given = {
        **lake.options("rest"),
        "uri": f"http://127.0.0.1:{catalog.port}",
        "s3.endpoint": f"http://127.0.0.1:{files.port}",
    }
    told = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
    table = TABLE.format(catalog=told, database=database)
    text = made.file.read_text().replace("chunk.size' = '20'", "chunk.size' = '200'")
    text = f"SET 'pipeline.snapshot-output' = 'progressive';{text}"
    text = text.replace("interval' = '40 ms'", "interval' = '200 ms'")
    text = text.replace("INTO by_owner", f"INTO lake.{database}.by_owner")
    begin = text.index("CREATE TABLE by_owner")
    end = text.index("EXECUTE STATEMENT SET")
    made.file.write_text(text[:begin] + table + text[end:])
    yield made
    made.close()


def test_a_job_on_servers_that_fail(
    lake: Lake,
    shop: Shop,
    zygote: Zygote,
    ways: tuple[CuttingProxy, CuttingProxy],
    database: str,
) -> None:
    """Killed, cut off from its catalog and from its storage: exact, and no file is left."""
    job = SqlJob(zygote, shop.file, shop.root / "jobs", "shop", poll_rows=100)
    shop.start_writer(0.05)
    record = kill_often(job, KILLS, random.Random(5), longest=2.5, patient=1.0)
    for way in ways:
        child = job.start()
        before = max(job.store.numbers(), default=0)
        job.until(child, lambda before=before: max(job.store.numbers(), default=0) > before)
        way.refuse()
        way.cut()
        job.until(child, lambda child=child: "restart" in child.text)
        way.refuse(False)
        before = max(job.store.numbers(), default=0)
        job.until(child, lambda before=before: max(job.store.numbers(), default=0) > before)
        child.kill()
    shop.stop_writer()
    child = job.start()
    lsn = shop.lsn
    job.until(child, lambda: read_all(job, lsn))
    job.stop(child)
    table = IcebergTable(
        lambda: RestCatalog("other", **lake.properties("rest")), lake.files, f"{database}.by_owner"
    )
    _, expected = shop.expected()
    found = table.rows()
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert table.strays() == []
    assert record.kills == KILLS
