"""Fake database → GROUP BY over a LEFT JOIN → a table of Iceberg by key, killed again and again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.jobs.kills import SqlJob, kill_often
from tests.recovery.jobs.shop import Shop
from tests.recovery.jobs.zygote import Zygote
from tests.recovery.test_sql_shop import read_all
from tests.support.iceberg import IcebergFolder
from tests.support.iceberg_reader import rows_by_duckdb

KILLS = 200 if os.environ.get("FLOWSQL_TEST_ALL") else 12

TABLE = """
CREATE TABLE by_owner (id BIGINT, n BIGINT, balance BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'uri' = 'jdbc:sqlite:{root}/lake/catalog.db',
    'warehouse' = '{root}/lake', 'write.upsert.enabled' = 'true', 'partitioning' = 'bucket(3, id)',
    'flink-maintenance.rewrite.min-input-files' = '2',
    'flink-maintenance.expire-snapshots.enabled' = 'true',
    'flink-maintenance.expire-snapshots.max-snapshot-age-seconds' = '0',
    'flink-maintenance.expire-snapshots.retain-last' = '3',
    'flink-maintenance.expire-snapshots.schedule.commit-count' = '1',
    'write.metadata.previous-versions-max' = '1000');
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Whose owners go to Iceberg."""
    made = Shop(tmp_path)
    # Rows are to reach the table from the beginning, in many checkpoints.
    text = made.file.read_text().replace("chunk.size' = '20'", "chunk.size' = '200'")
    text = f"SET 'pipeline.snapshot-output' = 'progressive';{text}"
    begin = text.index("CREATE TABLE by_owner")
    end = text.index("EXECUTE STATEMENT SET")
    made.file.write_text(text[:begin] + TABLE.format(root=tmp_path) + text[end:])
    yield made
    made.close()


def test_iceberg_after_kills(
    shop: Shop, zygote: Zygote, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Independent readers find the query over the database; no file is left that nobody names.

    Snapshots expire behind each checkpoint, and their files with them.
    """
    job = SqlJob(zygote, shop.file, shop.root / "jobs", "shop", poll_rows=100)
    shop.start_writer(0.02)
    record = kill_often(job, KILLS, random.Random(5), longest=1.5, patient=0.9)
    shop.stop_writer()
    child = job.start()
    lsn = shop.lsn
    job.until(child, lambda: read_all(job, lsn))
    job.stop(child)
    folder = IcebergFolder(tmp_path / "lake", "by_owner")
    _, expected = shop.expected()
    for found in (folder.rows(), rows_by_duckdb(folder.table.metadata_location)):
        assert len(found) == len(set(found))
        assert set(found) == expected
    assert folder.strays() == []
    job.check_tidy()
    record.check()
    with capsys.disabled():
        print(f"\nLSN {lsn}, {len(folder.table.snapshots())} snapshots; {record}")
