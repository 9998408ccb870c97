"""Rows by key: position deletes, restarts, and what others do to the table meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.storage import _LocalOutput
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.types import StringType

from flowsql.errors import ConnectorError
from tests.unit.connectors.iceberg.lake import commit
from tests.unit.connectors.iceberg.writing import KeyedTable

KEYS = 40


def summary(table: KeyedTable, name: str) -> int:
    """A number of the newest snapshot's summary."""
    found = table.folder.table.current_snapshot().summary
    return int(found[name] or 0)


def one_step(table: KeyedTable, chance: random.Random) -> None:
    """Some changes, several of one key among them."""
    rows = []
    for _ in range(chance.randrange(1, 25)):
        key = chance.randrange(KEYS)
        kind = chance.choice(["-D", "+I", "+U", "+U"])
        rows.append((kind, key, f"{chance.choice('abc')}{chance.randrange(99)}"))
    table.step(*rows)


def disturb(table: KeyedTable, chance: random.Random, number: int) -> None:
    """Another program writes the table."""
    there = table.folder.table
    assert there is not None
    chosen = chance.randrange(3)
    if chosen == 0:
        there.overwrite(there.scan().to_arrow())
    elif chosen == 1:
        part = there.scan(row_filter="id < 20").to_arrow()
        there.overwrite(part, overwrite_filter="id < 20")
    else:
        append(there, 1000 + number, "theirs")
        table.others_wrote({1000 + number: "theirs"})


def append(table: Table, key: int, name: str) -> None:
    """One row."""
    row = {"id": pa.array([key], pa.int64()), "name": [name]}
    table.append(pa.table(row, schema=table.schema().as_arrow()))


@pytest.mark.parametrize("seed", [0, 3])
def test_through_restarts_and_others(tmp_path: Path, seed: int) -> None:
    """Whatever happens between two checkpoints, the table is what the manifests say."""
    chance = random.Random(seed)
    options = {"partitioning": "truncate(1, name), bucket(2, id)"} if seed % 2 else {}
    table = KeyedTable(tmp_path, **options)
    others = seed >= 2
    for number in range(8):
        for _ in range(chance.randrange(1, 3)):
            one_step(table, chance)
        event = chance.randrange(6)
        if event == 0:
            table.prepare(decided=False)
            table.restart()
        elif event == 1:
            table.prepare()
            if others and table.folder.table.current_snapshot() is not None:
                disturb(table, chance, number)
            table.restart()
        elif event == 2:
            table.prepare()
            one_step(table, chance)
            table.commit()
        else:
            table.checkpoint()
            if others:
                disturb(table, chance, number)
        table.check()
    table.restart()
    table.check()
    if not others:
        assert table.folder.strays() == []


def test_a_row_that_came_and_went_is_never_written(tmp_path: Path) -> None:
    """Inserted and deleted, or replaced, between two checkpoints."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.step(("-D", 1, None), ("+U", 2, "b"))
    table.checkpoint()
    table.check()
    assert summary(table, "total-records") == 1
    assert summary(table, "total-delete-files") == 0
    table.step(("+I", 3, "a"))
    table.step(("-D", 3, None))
    table.checkpoint()
    assert len(table.folder.table.snapshots()) == 1


def test_deletes_of_one_file_are_merged(tmp_path: Path) -> None:
    """Ten of them become one."""
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(20)))
    table.checkpoint()
    for number in range(11):
        table.step(("-D", number, None))
        table.checkpoint()
        table.check()
    assert summary(table, "total-delete-files") == 2
    assert summary(table, "total-position-deletes") == 11


def test_rows_that_are_there_are_found(tmp_path: Path) -> None:
    """A job that begins with a full table replaces its rows."""
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(5)))
    table.checkpoint()
    table.step(("-D", 4, None))
    table.checkpoint()
    table.writer.close()
    there = table.folder.table
    assert there is not None
    append(there, 9, "theirs")
    later = KeyedTable(tmp_path, run="r2")
    later.others_wrote({**table.kept, 9: "theirs"})
    later.rows = dict(later.kept)
    later.step(("+U", 1, "b"), ("-D", 9, None), ("-D", 4, None), ("+I", 4, "new"))
    later.checkpoint()
    later.check()


def test_a_row_of_others_with_a_key_of_ours_is_an_error(tmp_path: Path) -> None:
    """Which of the two counts cannot be told."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "ours"))
    table.checkpoint()
    append(table.folder.table, 1, "theirs")
    table.step(("+I", 2, "ours"))
    with pytest.raises(
        ConnectorError, match=r'table "t" holds several rows with one key: \(1\)'
    ) as error:
        table.checkpoint()
    assert "let one job alone write a key" in str(error.value)


def replaced(table: KeyedTable, *rows: tuple[int, str]) -> None:
    """Another program puts a file with these rows in the place of all."""
    there = table.folder.table
    assert there is not None
    old = [task.file.file_path for task in there.scan().plan_files()]
    columns = {"id": pa.array([k for k, _ in rows], pa.int64()), "name": [n for _, n in rows]}
    there.append(pa.table(columns, schema=there.schema().as_arrow()))
    commit(there, removed=old)


@pytest.mark.parametrize("pending", [("+U", 1, "new"), ("-D", 1, None), ("+U", 2, "new")])
def test_two_rows_of_others_for_one_of_ours_are_an_error(
    tmp_path: Path, pending: tuple[str, int, str | None]
) -> None:
    """Whether the row is there still, or is about to be replaced or deleted."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.checkpoint()
    table.step(pending)
    table.prepare()
    replaced(table, (1, "a"), (2, "a"), (1, "theirs"))
    with pytest.raises(ConnectorError, match=r'table "t" holds several rows with one key: \(1\)'):
        table.commit()


def changed(table: KeyedTable, change: str) -> None:
    """Another program changes the columns."""
    there = table.folder.table
    assert there is not None
    with there.update_schema() as update:
        if change.startswith("renamed"):
            update.rename_column("name", "other")
        else:
            update.delete_column("name")
    if change.endswith("again"):
        with there.update_schema() as update:
            update.add_column("name", StringType())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("renamed", 'column "name" of table "t" was renamed to "other" while the job wrote it'),
        ("renamed, again", 'column "name" of table "t" was renamed to "other" while'),
        ("dropped", 'column "name" of table "t" was dropped while the job wrote it'),
        ("dropped, again", 'column "name" of table "t" was dropped while the job wrote it'),
    ],
)
@pytest.mark.parametrize("when", ["running", "restarted"])
def test_a_column_that_is_another_one(tmp_path: Path, change: str, told: str, when: str) -> None:
    """Its rows would be NULL: nothing is committed before it is as it was."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"))
    table.checkpoint()
    table.step(("+U", 1, "b"), ("+I", 2, "b"))
    table.prepare()
    changed(table, change)
    if when == "restarted":
        missing = 'table "t" has no column "name" in its catalog'
        with pytest.raises(ConnectorError, match=told if "again" in change else missing):
            table.restart()
    else:
        with pytest.raises(ConnectorError, match=told):
            table.commit()
    if change == "renamed":
        with table.folder.table.update_schema() as update:
            update.rename_column("other", "name")
        table.restart()
        table.check()


def test_columns_that_others_add_are_none_of_ours(tmp_path: Path) -> None:
    """Nor is their order."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"))
    table.checkpoint()
    with table.folder.table.update_schema() as update:
        update.add_column("more", StringType())
        update.move_first("name")
    table.step(("+U", 1, "b"))
    table.checkpoint()
    assert table.folder.rows() == [("b", 1, None)]


def test_deletes_of_files_that_are_gone_are_let_go(tmp_path: Path) -> None:
    """A compaction leaves delete files of what it removed."""
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(5)))
    table.checkpoint()
    table.step(("-D", 1, None), ("+U", 2, "b"))
    table.checkpoint()
    there = table.folder.table
    assert there is not None
    there.overwrite(there.scan().to_arrow())
    table.step(("+U", 3, "c"))
    table.checkpoint()
    table.check()
    assert summary(table, "total-delete-files") == 1


@pytest.mark.parametrize("expired", [False, True])
def test_others_commit_between_the_looking_and_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expired: bool
) -> None:
    """The client's own second attempt finds that the table has changed, and all is looked at again.

    Also where the snapshot that it began from has gone meanwhile.
    """
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(5)))
    table.checkpoint()
    table.step(("+U", 1, "b"), ("-D", 2, None))
    table.prepare()
    real = Table._do_commit
    calls = []

    def late(self: Table, *args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            there = table.folder.table
            assert there is not None
            there.overwrite(there.scan().to_arrow())
            if expired:
                gone = [s.snapshot_id for s in there.snapshots()[:-1]]
                there.maintenance.expire_snapshots().by_ids(gone).commit()
        real(self, *args, **kwargs)

    monkeypatch.setattr(Table, "_do_commit", late)
    table.commit()
    table.check()
    assert len(calls) == (4 if expired else 3)


def test_a_disk_that_takes_no_more_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file is never taken for a whole one; a restart writes the rows again."""
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(5)))
    table.checkpoint()
    table.step(("+U", 1, "b"), ("-D", 2, None))

    def full(self: _LocalOutput, data: object) -> int:
        if self.tell():
            raise OSError(28, "No space left on device")
        return real(self, data)

    real = _LocalOutput.write
    with monkeypatch.context() as patch:
        patch.setattr(_LocalOutput, "write", full)
        with pytest.raises(ConnectorError, match="No space left on device"):
            table.prepare()
    with pytest.raises(ConnectorError, match="could not be written before, and is lost"):
        table.prepare()
    table.restart()
    table.check()
    table.step(("+U", 1, "b"), ("-D", 2, None))
    table.checkpoint()
    table.check()


def test_a_manifest_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many commits take delete files out: their cost does not follow the table's files."""
    reads: Counter[str] = Counter()
    fetch = ManifestFile.fetch_manifest_entry

    def counted(self: ManifestFile, *given: Any, **named: Any) -> Any:
        reads[self.manifest_path] += 1
        return fetch(self, *given, **named)

    table = KeyedTable(tmp_path)
    for file in range(4):
        table.step(*[("+I", 100 * file + i, "first") for i in range(15)])
        table.checkpoint()
    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", counted)
    removing = 0
    for number in range(13):
        # The tenth deletion in a file takes its older delete files out: in one after the other.
        keys = [100 * file + number - file for file in range(4) if file <= number]
        table.step(*[("-D", key, "") for key in keys])
        table.checkpoint()
        removing += summary(table, "removed-delete-files") > 0
    assert removing == 4
    # Once to see what it holds, and once more where it is written anew.
    assert max(reads.values()) <= 2
    table.check()
