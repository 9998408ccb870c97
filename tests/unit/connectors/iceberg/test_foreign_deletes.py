"""Others delete rows of files that stay, or bring deleted ones back, while rows are kept by key."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from flowsql_connectors.iceberg.write.deletes import write_deletes
from flowsql_connectors.iceberg.write.files import FileSettings
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import Table

from tests.unit.connectors.iceberg.lake import commit, delete_file
from tests.unit.connectors.iceberg.writing import KeyedTable

_NUMBER = itertools.count()
SETTINGS = FileSettings(1 << 20, "zstd", None, {})


@dataclass
class Reader:
    """What a table's files hold, read without the code under test.

    Attributes:
        files: data files by location.
        deletes: delete files.
        places: location and position of every row, by its id.
        rows: (id, name) by place.
    """

    table: Table
    files: dict[str, DataFile] = field(default_factory=dict)
    deletes: list[DataFile] = field(default_factory=list)
    places: dict[int, tuple[str, int]] = field(default_factory=dict)
    names: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        head = self.table.current_snapshot()
        assert head is not None
        for manifest in head.manifests(self.table.io):
            for entry in manifest.fetch_manifest_entry(self.table.io):
                file = entry.data_file
                if file.content == DataFileContent.DATA:
                    self.files[file.file_path] = file
                else:
                    self.deletes.append(file)
        gone = {place for file in self.deletes for place in deleted_places(file)}
        for path in self.files:
            for position, row in enumerate(pq.read_table(path).to_pylist()):
                if (path, position) not in gone:
                    self.places[row["id"]] = (path, position)
                    self.names[row["id"]] = row["name"]


def deleted_places(file: DataFile) -> list[tuple[str, int]]:
    """What a delete file holds."""
    return [(row["file_path"], row["pos"]) for row in pq.read_table(file.file_path).to_pylist()]


def named_deletes(table: Table, data: DataFile, positions: list[int]) -> DataFile:
    """Deletes of one data file, as writers of today make them."""
    location = f"{table.location()}/data/theirs-{next(_NUMBER)}-deletes.parquet"
    return write_deletes(table.io, location, data, np.unique(positions), SETTINGS)


def rewrite_rows(table: Table, chance: random.Random, number: int) -> None:
    """Some rows are deleted where they are and added again, in one snapshot."""
    found = Reader(table)
    chosen = chance.sample(sorted(found.places), min(3, len(found.places)))
    if not chosen:
        return
    before = set(found.files)
    places: dict[str, list[int]] = {}
    for key in chosen:
        path, position = found.places[key]
        places.setdefault(path, []).append(position)
    # The files of an append, taken from a snapshot that nobody sees.
    rows = table.scan().to_arrow()
    wanted = rows.filter(pc.is_in(rows.column("id"), pa.array(chosen, pa.int64())))
    table.append(wanted, branch="aside")
    aside = table.refresh().snapshot_by_name("aside")
    added = [
        entry.data_file
        for manifest in aside.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io)
        if entry.data_file.file_path not in before
    ]
    table.manage_snapshots().remove_branch("aside").commit()
    if number % 2:
        deletes = [delete_file(table, places)]
    else:
        deletes = [
            named_deletes(table, found.files[path], positions) for path, positions in places.items()
        ]
    commit(table, *added, *deletes)


def rewrite_deletes(table: Table) -> None:
    """All delete files become one a data file, with the same rows."""
    found = Reader(table)
    places: dict[str, list[int]] = {}
    for path, position in [p for file in found.deletes for p in deleted_places(file)]:
        places.setdefault(path, []).append(position)
    made = [
        named_deletes(table, found.files[path], positions)
        for path, positions in places.items()
        if path in found.files
    ]
    if made:
        commit(table, *made, removed=[file.file_path for file in found.deletes])


@pytest.mark.parametrize("seed", [100, 110])
def test_whatever_others_do_with_deletes(tmp_path: Path, seed: int) -> None:
    """Between two checkpoints, between the two halves of one, and while nobody runs."""
    chance = random.Random(seed)
    table = KeyedTable(tmp_path)
    history: dict[int, dict[int, str | None]] = {}
    for number in range(14):
        keys = chance.sample(range(12), 5)
        table.step(*[(chance.choice(["+U", "+U", "-D"]), key, f"n{number}") for key in keys])
        table.prepare()
        there = table.folder.table
        if there is not None and there.current_snapshot() is not None and chance.random() < 0.4:
            rewrite_rows(there, chance, number) if number % 3 else rewrite_deletes(there)
            if chance.random() < 0.3:
                table.restart()
        table.commit()
        table.check()
        there = table.folder.table
        assert there is not None
        history[there.current_snapshot().snapshot_id] = dict(table.kept)
        event = chance.randrange(6)
        if event == 0:
            rewrite_rows(there, chance, number)
        elif event == 1:
            rewrite_deletes(there)
        elif event == 2:
            # A key that comes back and that the job may insert anew meanwhile is an error.
            fitting = [s for s, rows in history.items() if rows.keys() <= table.kept.keys()]
            earlier = chance.choice(sorted(fitting))
            there.manage_snapshots().set_current_snapshot(earlier).commit()
            table.rows, table.kept = dict(history[earlier]), dict(history[earlier])
        elif event == 3 and table.kept:
            key = chance.choice(sorted(table.kept))
            found = Reader(there)
            path, position = found.places[key]
            commit(there, delete_file(there, {path: [position]}))
            del table.rows[key], table.kept[key]
        if chance.random() < 0.3:
            table.restart()
        table.check()


def test_another_job_updates_its_rows(tmp_path: Path) -> None:
    """Two jobs keep different keys of one table: neither takes the other's for a second row."""
    one = KeyedTable(tmp_path)
    other = KeyedTable(tmp_path, run="r2", job="other")
    one.step(("+I", 1, "a"))
    one.checkpoint()
    other.step(("+I", 100, "b"))
    other.checkpoint()
    for number in range(3):
        one.step(("+U", 1, f"a{number}"))
        one.checkpoint()
        other.step(("+U", 100, f"b{number}"))
        other.checkpoint()
        assert sorted(one.folder.rows()) == [(1, f"a{number}"), (100, f"b{number}")]
