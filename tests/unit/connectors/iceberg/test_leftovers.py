"""What a start of the sink removes, and above all what it leaves alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyiceberg.table import Table
from pyiceberg.table.update import SetLocationUpdate

from tests.unit.connectors.iceberg.writing import KeyedTable

LONG = 4 * 86_400


def written(root: Path, **more: str) -> KeyedTable:
    """A table with two rows, by two checkpoints."""
    table = KeyedTable(root, **more)
    for key in (1, 2):
        table.step(("+I", key, "a"))
        table.checkpoint()
    return table


def data(table: KeyedTable) -> set[Path]:
    """Its data files that are there."""
    return set(table.folder.folder.rglob("*.parquet"))


def killed(table: KeyedTable) -> set[Path]:
    """It dies with a file that no manifest holds; gives what only it made."""
    before = data(table)
    table.step(("+I", 9, "lost"))
    table.prepare(decided=False)
    table.writer.close()
    return data(table) - before


def test_what_an_earlier_attempt_left_is_removed(tmp_path: Path) -> None:
    """At the next start of the same run."""
    table = written(tmp_path)
    left = killed(table)
    assert left
    table.restart()
    assert not left & data(table)
    table.check()
    assert table.folder.strays() == []


@pytest.mark.parametrize(("dead", "age", "removed"), [
    (["r1"], 0, True), ([], 0, False), ([], LONG, True),
])  # fmt: skip
def test_what_another_run_left(tmp_path: Path, dead: list[str], age: int, removed: bool) -> None:
    """It may still go on in another folder or on another machine, unless it is known to be over."""
    table = written(tmp_path)
    left = killed(table)
    for path in data(table):
        os.utime(path, (time.time() - age, time.time() - age))
    later = KeyedTable(tmp_path, run="r2", dead=dead)
    assert (not left & data(later)) == removed
    assert sorted(later.folder.rows()) == [(1, "a"), (2, "a")]


def test_another_run_commits_what_it_had_prepared(tmp_path: Path) -> None:
    """The same job was started twice before the first commit."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"))
    table.prepare()
    KeyedTable(tmp_path, run="r2").writer.close()
    table.commit()
    table.check()


def spelled(table: Table) -> None:
    """Its location is written in another way."""
    with table.transaction() as changes:
        changes._stage((SetLocationUpdate(location=f"file://{table.location()}"),), ())


def data_path(table: Table) -> None:
    """So is the folder of its data."""
    with table.transaction() as changes:
        changes.set_properties({"write.data.path": f"file://{table.location()}/data"})


@pytest.mark.parametrize("change", [spelled, data_path])
def test_a_folder_that_is_spelled_in_another_way(
    tmp_path: Path, change: Callable[[Table], None]
) -> None:
    """Its files are the same ones."""
    table = written(tmp_path)
    there = table.folder.table
    assert there is not None
    change(there)
    table.restart()
    table.check()


@pytest.mark.parametrize("rows", [0, 2])
def test_another_table_in_the_same_folder(tmp_path: Path, rows: int) -> None:
    """A table that was renamed keeps its files where a new one of the old name puts its own."""
    table = written(tmp_path) if rows else KeyedTable(tmp_path)
    catalog = table.folder.catalog
    catalog.rename_table("default.t", "default.old")
    catalog.close()
    table.writer.close()
    later = KeyedTable(tmp_path, run="r2", dead=["r1"])
    later.step(("+I", 5, "new"))
    later.checkpoint()
    later.restart()
    later.check()
    renamed = type(table.folder)(table.folder.folder, "old")
    assert len(renamed.rows()) == rows


def test_files_that_others_use_are_left(tmp_path: Path) -> None:
    """The table says so."""
    table = written(tmp_path)
    there = table.folder.table
    assert there is not None
    with there.transaction() as changes:
        changes.set_properties({"gc.enabled": "false"})
    left = killed(table)
    table.restart()
    assert left <= data(table)


@pytest.mark.parametrize("committed", [True, False])
def test_a_job_of_another_name_goes_on(tmp_path: Path, committed: bool) -> None:
    """With a token that the former one has committed, or has not: its rows are there once."""
    table = written(tmp_path)
    table.step(("+U", 1, "b"), ("+I", 3, "b"))
    table.prepare()
    tokens = list(table._tokens)
    if committed:
        table.commit()
        table._tokens = tokens
    table.writer.close()
    later = KeyedTable(tmp_path, job="other", after=table)
    later.check()
    later.step(("+U", 1, "c"))
    later.checkpoint()
    later.check()
    table.start()
    table.rows = table.kept = dict(later.kept)
    table.check()
