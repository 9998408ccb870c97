"""A job that appends to a table on an S3 server which fails, loses answers and is away."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

import flowsql
from tests.services.faults import Fault, FaultyWay
from tests.services.fixtures import needing_servers
from tests.services.lake import Lake
from tests.services.proxy import CuttingProxy
from tests.support.iceberg import IcebergTable

_ALL = bool(os.environ.get("FLOWSQL_TEST_ALL"))
_SEED = int(os.environ.get("FLOWSQL_SEED") or 5)
_JOB = """
SET 'execution.checkpointing.dir' = '{folder}/jobs';
SET 'execution.checkpointing.interval' = '100 ms';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '999';
SET 'restart-strategy.fixed-delay.delay' = '10 ms';
CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000000');
CREATE TABLE t (id BIGINT) WITH ('connector' = 'iceberg', 'catalog-name' = 'lake',
  'catalog-type' = 'jdbc', 'uri' = 'jdbc:sqlite:{folder}/catalog.db', 'warehouse' = '{warehouse}',
  {storage});
"""
# What a commit needs is written in pieces, each put; then the whole is asked for.
_FILES = (".parquet", "-m0.avro", ".avro", ".metadata.json")
_STEPS = (("PUT", "uploadId="), ("POST", "uploadId="))
_WAYS = ((False, None), (False, 503), (True, None), (True, 500))


def _faults(chance: random.Random) -> list[Fault]:
    """Some of each file at each step in each way; every day, four that have them all."""
    found = [
        Fault(method, file, passed, status, times=4, asked=asked)
        for file in _FILES
        for method, asked in _STEPS
        for passed, status in _WAYS
    ]
    if _ALL:
        return chance.sample(found, 12)
    return [found[0], found[1 * 8 + 6], found[2 * 8 + 1], found[3 * 8 + 7]]


@pytest.fixture
def storage(lake: Lake) -> Iterator[tuple[CuttingProxy, FaultyWay]]:
    """The way to it, in two parts."""
    with needing_servers():
        port = int(lake.endpoint.rpartition(":")[2])
    with FaultyWay(port) as way, CuttingProxy(way.port) as proxy:
        yield proxy, way


def _until(true: Callable[[], object], said: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, said()
        time.sleep(0.01)


@pytest.mark.timeout(900)
def test_rows_are_appended_once(
    lake: Lake, storage: tuple[CuttingProxy, FaultyWay], database: str, tmp_path: Path
) -> None:
    """Whatever became of a request; and no file is left that no reader is led to."""
    proxy, way = storage
    warehouse = f"s3://lake/{database}"
    given = {**lake.storage, "s3.endpoint": f"http://127.0.0.1:{proxy.port}"}
    told = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
    session = flowsql.connect()
    session.execute(_JOB.format(folder=tmp_path, warehouse=warehouse, storage=told))
    others = SqlCatalog(
        "lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=warehouse, **lake.storage
    )
    with closing(others):
        made = IcebergTable(lambda: others, lake.files, "default.t")
        job = session.execute("INSERT INTO t SELECT id FROM numbers")

        def commits() -> int:
            assert job.running, job.error
            there = made.table
            return 0 if there is None else len(there.snapshots())

        def goes_on() -> None:
            before = commits()
            _until(lambda: commits() > before, job.status)

        goes_on()
        for fault in _faults(random.Random(_SEED)):
            way.faults = [fault]
            _until(lambda fault=fault: not fault.times, job.status)
            goes_on()
        restarts = job.status()["restarts"]
        proxy.refuse()
        proxy.cut()
        _until(lambda: job.status()["restarts"] > restarts, job.status)
        proxy.refuse(False)
        goes_on()
        job.stop()
        job.wait(60)
        found = sorted(row for (row,) in made.rows())
        assert found == list(range(1, len(found) + 1))
        assert made.strays() == []
    read = session.execute("SELECT COUNT(*), MIN(id), MAX(id) FROM t").fetchall()
    assert read[-1] == (len(found), 1, len(found))
