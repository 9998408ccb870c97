"""The sink on a REST catalog and an S3 server, either of which may fail."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flowsql_connectors.iceberg.write.sink import IcebergSink
from pyiceberg.catalog.rest import RestCatalog

from flowsql.errors import ConnectorError
from flowsql.runtime.restart import may_pass
from tests.services.faults import Fault, FaultyWay
from tests.services.lake import Lake
from tests.support.iceberg import IcebergTable
from tests.unit.connectors.iceberg.writing import KeyedTable

Made = Callable[..., KeyedTable]

EXPIRING = {
    "flink-maintenance.expire-snapshots.enabled": "true",
    "flink-maintenance.expire-snapshots.max-snapshot-age-seconds": "0",
    "flink-maintenance.expire-snapshots.schedule.commit-count": "1",
}


@pytest.fixture
def way(lake: Lake, rest: str) -> Iterator[FaultyWay]:
    """To the catalog."""
    with FaultyWay(lake.rest_port) as made:
        yield made


@pytest.fixture
def make(lake: Lake, way: FaultyWay, database: str, tmp_path: Path) -> Iterator[Made]:
    """Makes a table that is written over the faulty way, and read past it."""
    with ExitStack() as stack:

        def made(**more: str) -> KeyedTable:
            given = {**lake.options("rest"), "uri": f"http://127.0.0.1:{way.port}"}
            del given["type"]
            table = KeyedTable(tmp_path, catalog_database=database, **given, **more)
            stack.callback(lambda made=table: made.writer.close())
            table.folder = IcebergTable(
                lambda: RestCatalog("other", **lake.properties("rest")),
                lake.files,
                f"{database}.t",
            )
            return table

        yield made


def lost(*, passed: bool, status: int | None, times: int = 1) -> Fault:
    """Of a commit."""
    return Fault("POST", "/tables/t", passed, status, times)


def write(table: KeyedTable, chance: random.Random) -> None:
    """A few changes of few keys."""
    rows = []
    for _ in range(chance.randrange(1, 9)):
        kind = chance.choice(["-D", "+U", "+U"])
        rows.append((kind, chance.randrange(12), f"n{chance.randrange(99)}"))
    table.step(*rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_through_restarts_faults_and_others(make: Made, way: FaultyWay, seed: int) -> None:
    """Whatever happens, the table is what the manifests say, and no file is left."""
    chance = random.Random(seed)
    table = make(**({"partitioning": "bucket(2, id)"} if seed % 2 else EXPIRING))
    for _ in range(6):
        write(table, chance)
        chosen = chance.randrange(5)
        if chosen == 0:
            table.prepare(decided=False)
            table.restart()
        elif chosen == 1:
            table.prepare()
            way.faults = [lost(passed=chance.random() < 0.5, status=chance.choice([None, 500]))]
            table.restart()
        elif chosen == 2:
            table.checkpoint()
            there = table.folder.table
            there.overwrite(there.scan().to_arrow())
        else:
            way.faults = [lost(passed=True, status=chance.choice([None, 500, 502]))]
            table.checkpoint()
        table.check()
    table.restart()
    table.check()
    assert table.folder.strays() == []
    assert seed % 2 or len(table.folder.table.snapshots()) <= 3


@pytest.mark.parametrize("status", [None, 500, 503])
def test_a_commit_whose_answer_is_lost_is_not_made_again(
    make: Made, way: FaultyWay, status: int | None
) -> None:
    """The table is asked whether it has it."""
    table = make()
    table.step(("+I", 1, "a"))
    way.faults = [lost(passed=True, status=status)]
    table.checkpoint()
    table.step(("+U", 1, "b"), ("+I", 2, "c"))
    table.checkpoint()
    table.check()
    assert way.faults[0].times == 0
    assert len(table.folder.table.snapshots()) == 2


@pytest.mark.parametrize("status", [None, 500])
def test_a_commit_that_was_not_made_is_made_after_a_restart(
    make: Made, way: FaultyWay, status: int | None
) -> None:
    """And the job restarts: its error may pass."""
    table = make()
    table.step(("+I", 1, "a"))
    table.prepare()
    way.faults = [lost(passed=False, status=status)]
    with pytest.raises(ConnectorError) as caught:
        table.commit()
    assert ("did not answer" if status is None else "failed") in caught.value.message
    assert may_pass(caught.value)
    table.restart()
    table.check()
    assert len(table.folder.table.snapshots()) == 1
    assert table.folder.strays() == []


def test_a_commit_lost_below_one_of_others(make: Made, way: FaultyWay) -> None:
    """What they did on top of it is followed."""
    table = make()
    table.step(*(("+I", key, "a") for key in range(4)))
    way.faults = [lost(passed=True, status=None)]
    table.prepare()
    refreshed = table.writer.target.table.refresh

    def late() -> object:
        there = table.folder.table
        if way.faults[0].times == 0 and len(there.snapshots()) == 1:
            there.overwrite(there.scan().to_arrow())
        return refreshed()

    table.writer.target.table.refresh = late
    table.commit()
    del table.writer.target.table.refresh
    table.step(("+U", 1, "b"))
    table.checkpoint()
    table.check()


def test_a_commit_that_is_made_after_its_job_died(
    make: Made, way: FaultyWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt has started by then, and has left it what it needs."""
    table = make()
    table.step(("+I", 1, "a"))
    table.prepare()
    slow = Fault("POST", "/tables/t", passed=True, status=None, held=threading.Event())
    way.faults = [slow]
    with pytest.raises(ConnectorError, match="did not answer"):
        table.commit()
    opened = IcebergSink.open

    def late(*given: Any) -> Any:
        made = opened(*given)
        slow.held.set()
        end = time.monotonic() + 60
        while not table.folder.table.snapshots():
            assert time.monotonic() < end
            time.sleep(0.02)
        return made

    monkeypatch.setattr(IcebergSink, "open", late)
    table.restart()
    table.check()
    assert len(table.folder.table.snapshots()) == 1
    assert table.folder.strays() == []


def test_a_server_that_is_away_when_a_job_starts(make: Made, way: FaultyWay) -> None:
    """Is asked again while nothing was sent, and then told."""
    table = make()
    table.step(("+I", 1, "a"))
    table.checkpoint()
    way.faults = [Fault("GET", "/tables/t", passed=False, status=503, times=2)]
    table.restart()
    table.check()
    way.faults = [Fault("GET", "/tables/t", passed=False, status=500, times=99)]
    with pytest.raises(ConnectorError, match=r'catalog "lake" at http.* failed: .*made up') as told:
        table.restart()
    assert may_pass(told.value)
    assert "Trying again is safe" in (told.value.hint or "")
    way.faults = []
    table.restart()
    table.check()
