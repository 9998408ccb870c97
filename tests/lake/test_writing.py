"""Rows by key, writers at once, and readers that follow them, in every kind of catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog

from flowsql.session import Session
from tests.services.lake import Lake
from tests.support.iceberg import IcebergTable
from tests.unit.connectors.iceberg.writing import KeyedTable

ROWS = 600


@pytest.fixture
def keyed(lake: Lake, kind: str, database: str, tmp_path: Path) -> Iterator[KeyedTable]:
    """A table of a catalog of each kind."""
    given = lake.options(kind)
    del given["type"]
    table = KeyedTable(tmp_path, catalog_database=database, **given)
    told = {"jdbc": "sql"}.get(kind, kind)
    with closing(load_catalog("lake", type=told, **lake.properties(kind))) as others:
        table.folder = IcebergTable(lambda: others, lake.files, f"{database}.t")
        yield table


def test_rows_are_kept_by_key(keyed: KeyedTable) -> None:
    """Through restarts, beside others, whose commits may come between any two of ours."""
    keyed.step(*(("+I", key, "a") for key in range(6)))
    keyed.checkpoint()
    keyed.step(("+U", 1, "b"), ("-D", 2, None))
    keyed.prepare()
    keyed.restart()
    keyed.check()
    there = keyed.folder.table
    keyed.step(("+U", 3, "c"))
    keyed.prepare()
    there.overwrite(there.scan().to_arrow())
    keyed.commit()
    keyed.check()
    # While our commit is on its way: it is refused, and made again.
    keyed.step(("+U", 4, "d"))
    keyed.prepare()
    target = keyed.writer.target
    refreshed = target.refresh

    def late() -> None:
        refreshed()
        found = keyed.folder.table
        found.overwrite(found.scan().to_arrow())

    target.refresh = late
    keyed.commit()
    target.refresh = refreshed
    keyed.check()
    keyed.step(("+U", 5, "e"))
    keyed.prepare(decided=False)
    keyed.restart()
    keyed.check()
    keyed.writer.close()


# Of those whose connections are not made for several threads by themselves.
@pytest.mark.parametrize("kind", ["hive", "jdbc"], indirect=True)
def test_two_jobs_and_a_reader_at_once(session: Session) -> None:
    """Two tables of one catalog in one process; a stream over one has all its rows in the end."""
    session.execute("SET 'execution.checkpointing.interval' = '200 ms'")
    session.execute(
        "CREATE TABLE default_catalog.default_database.numbers (id BIGINT) WITH ('connector' ="
        f" 'datagen', 'number-of-rows' = '{ROWS}', 'rows-per-second' = '{ROWS}',"
        " 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000')"
    )
    for name in ("a", "b"):
        session.execute(f"CREATE TABLE {name} (id BIGINT)")
    hint = "/*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '50ms') */"
    result = session.execute(f"SELECT id FROM a {hint}")
    steps = result.changes()
    jobs = [
        session.execute(
            f"INSERT INTO {name} SELECT id FROM default_catalog.default_database.numbers"
        )
        for name in ("a", "b")
    ]
    seen: list[int] = []
    while len(seen) < ROWS:
        seen += next(steps).batch.column(0).to_pylist()
    result.close()
    for job in jobs:
        job.wait(120)
    assert sorted(seen) == list(range(1, ROWS + 1))
    for name in ("a", "b"):
        found = session.execute(f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {name}").fetchall()
        assert found[-1] == (ROWS, ROWS)
