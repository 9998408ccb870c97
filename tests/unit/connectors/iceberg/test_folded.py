"""Changes of any history of a table, cut anywhere, come to the table as it was at each of its snapshots."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flowsql_connectors.iceberg.write.commit import Delta, commit_delta
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import Table
from pyiceberg.types import LongType

from flowsql.connector import Comparison, ScanFilter, Taken
from flowsql.testing import row_text
from flowsql.types import BigIntType

from .lake import COLUMNS, Lake, commit, data_files, delete_file, delete_rows, head
from .streaming import Stream

MORE = 40 if os.environ.get("FLOWSQL_TEST_ALL") else 1
SCAN = "TABLE_SCAN_THEN_INCREMENTAL"
EARLIEST = "INCREMENTAL_FROM_EARLIEST_SNAPSHOT"


class Past:
    """What others do to the table `t`; each act is a commit or nothing.

    Args:
        lake: has the table.
        choose: makes every choice.
    """

    def __init__(self, lake: Lake, table: Table, choose: random.Random) -> None:
        self._lake = lake
        self._table = table
        self._choose = choose
        self._fresh = 0
        self._number = 0

    def act(self) -> None:
        """One of them."""
        acts: list[Callable[[list[int]], None]] = [
            self._add, self._add, self._delete, self._upsert, self._upsert, self._copy_on_write,
            self._drop, self._compact, self._overwrite, self._merge_deletes, self._new_column,
        ]  # fmt: skip
        there = self._table.refresh().scan().to_arrow().column("id").to_pylist()
        act = self._choose.choice(acts) if there else self._add
        act(there)
        self._table.refresh()

    def _add(self, there: list[int]) -> None:
        del there
        size = self._choose.randint(1, 9)
        self._table.append(self._rows(range(self._fresh, self._fresh + size)))
        self._fresh += size

    def _rows(self, ids: Any) -> pa.Table:
        listed = list(ids)
        self._number += 1
        names = [f"v{self._number}" for _ in listed]
        columns = {"id": pa.array(listed, pa.int64()), "name": names}
        schema = self._table.schema().as_arrow()
        return pa.table(
            [columns.get(f.name, pa.nulls(len(listed), f.type)) for f in schema], schema=schema
        )

    def _some(self, there: list[int]) -> list[int]:
        return self._choose.sample(there, self._choose.randint(1, min(4, len(there))))

    def _delete(self, there: list[int]) -> None:
        delete_rows(self._table, *self._some(there))

    def _upsert(self, there: list[int]) -> None:
        """Old places are deleted, new rows added; one of the new ones is deleted at once."""
        some = self._some(there)
        new = self._written([*some, self._fresh])
        self._fresh += 1
        places = self._places(some)
        places[new.file_path] = [len(some)]
        if self._choose.random() < 0.5:
            commit(self._table, new, delete_file(self._table, places))
        else:
            made = [delete_file(self._table, {p: rows}) for p, rows in places.items()]
            commit(self._table, new, *made)

    def _places(self, ids: list[int]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        left = set(ids)
        for task in self._table.refresh().scan().plan_files():
            gone = _positions(task.delete_files, task.file.file_path)
            held = pq.read_table(task.file.file_path, columns=["id"], partitioning=None)
            for at, one in enumerate(held.column("id").to_pylist()):
                if one in left and at not in gone:
                    found.setdefault(task.file.file_path, []).append(at)
                    left.remove(one)
        assert not left
        return found

    def _copy_on_write(self, there: list[int]) -> None:
        some = self._some(there)
        self._table.delete(" OR ".join(f"id = {i}" for i in some))

    def _drop(self, there: list[int]) -> None:
        del there
        commit(self._table, removed=[self._choose.choice(data_files(self._table)).file_path])

    def _overwrite(self, there: list[int]) -> None:
        some = self._some(there)
        self._table.overwrite(self._rows(some), " OR ".join(f"id = {i}" for i in some))

    def _compact(self, there: list[int]) -> None:
        """Some files become one; their deletes stay, of no file."""
        del there
        files = data_files(self._table)
        files = self._choose.sample(files, self._choose.randint(1, len(files)))
        paths = {f.file_path for f in files}
        rows = []
        for task in self._table.refresh().scan().plan_files():
            if task.file.file_path in paths:
                gone = _positions(task.delete_files, task.file.file_path)
                held = pq.read_table(task.file.file_path, partitioning=None).select(COLUMNS.names)
                kept = [i for i in range(len(held)) if i not in gone]
                rows.append(held.take(pa.array(kept, pa.int64())).cast(COLUMNS))
        left = pa.concat_tables(rows)
        self._replace(paths, [self._file_of(left)] if len(left) else [])

    def _merge_deletes(self, there: list[int]) -> None:
        """All files of deletes become one."""
        del there
        places: dict[str, set[int]] = {}
        paths: set[str] = set()
        for task in self._table.refresh().scan().plan_files():
            if task.delete_files:
                gone = _positions(task.delete_files, task.file.file_path)
                places[task.file.file_path] = gone
                paths |= {d.file_path for d in task.delete_files}
        if any(places.values()):
            made = delete_file(self._table, {p: sorted(rows) for p, rows in places.items()})
            self._replace(paths, [made])

    def _replace(self, removed: set[str], added: list[DataFile]) -> None:
        delta = Delta(added=tuple(added), removed=frozenset(removed), replaces=True)
        self._number += 1
        commit_delta(
            self._table.refresh(), delta, check=lambda _: None,
            name=lambda: f"c{self._number}", settings={}, branch="main",
        )  # fmt: skip

    def _new_column(self, there: list[int]) -> None:
        del there
        self._number += 1
        with self._table.update_schema() as update:
            update.add_column(f"x{self._number}", LongType())

    def _written(self, ids: list[int]) -> DataFile:
        return self._file_of(self._rows(ids).select(COLUMNS.names))

    def _file_of(self, rows: pa.Table) -> DataFile:
        """A data file that the table does not know yet."""
        self._number += 1
        scratch = self._lake.make(f"s{self._number}")
        scratch.append(rows.cast(COLUMNS))
        (file,) = data_files(scratch)
        return file


def _positions(deletes: Any, path: str) -> set[int]:
    found: set[int] = set()
    for one in deletes:
        assert one.content == DataFileContent.POSITION_DELETES
        held = pq.read_table(one.file_path, partitioning=None)
        pairs = zip(
            held.column("file_path").to_pylist(), held.column("pos").to_pylist(), strict=True
        )
        found |= {at for file, at in pairs if file == path}
    return found


class Folding:
    """Folds what a streaming scan gives, and checks it wherever a step may end.

    Args:
        lake: has the table `t`.
        start: the `starting-strategy`.
        below: only rows with a smaller id are asked for; None: all.
        choose: where it is cut, and how much is read at once.
    """

    def __init__(
        self, lake: Lake, table: Table, start: str, below: int | None, choose: random.Random
    ) -> None:
        self._lake = lake
        self._table = table
        self._start = start
        self._below = below
        self._choose = choose
        self.after: int | None = None
        self._rows: Counter[str] = Counter()
        self._folded: Counter[str] = Counter()
        self._begin(None)

    def _begin(self, position: Any) -> None:
        filters = ()
        if self._below is not None:
            wanted = Comparison("id", BigIntType(), "<", self._below)
            filters = (ScanFilter(wanted, Taken.COARSE),)
        self._stream = Stream(
            self._lake, starting_strategy=self._start, position=position, filters=filters
        )
        self._stored = position

    def read(self, *, whole: bool) -> None:
        """All there is, or some of it; then perhaps a restart from where it was consistent last."""
        stream = self._stream
        silent = 0
        while silent < 3 and (whole or self._choose.random() < 0.9):
            poll = stream.reader.poll(self._choose.choice([1, 2, 5, 1000]), 0.005)
            if poll is None:
                silent += 1
                continue
            for piece in poll.pieces:
                for line in row_text(piece.changes):
                    if self._below is None or int(line[3:].partition(",")[0]) < self._below:
                        self._rows[line[3:]] += 1 if line[0] == "+" else -1
            for split in poll.finished:
                stream.splits.discard(split)
                for message in stream.source.finished(split, {}):
                    stream.reader.tell(message)
            if poll.boundary:
                self._stored = json.loads(json.dumps(stream.position()))
                self._folded = +self._rows
                if poll.consistent:
                    self._check()
        if self._choose.random() < 0.5:
            stream.reader.close()
            self._rows = +self._folded
            self._begin(self._stored)

    def _check(self) -> None:
        place = self._stored["splits"]["snapshots"]
        assert min(self._rows.values(), default=0) >= 0
        rows = []
        if place["first"] is not None:
            return
        if place["after"] is not None:
            fields = ("id", "name")
            scan = self._table.refresh().scan(selected_fields=fields, snapshot_id=place["after"])
            rows = scan.to_arrow().to_pylist()
        expected = Counter(
            f"{r['id']}, {r['name']}]" for r in rows if self._below is None or r["id"] < self._below
        )
        assert +self._rows == expected
        self.after = place["after"]


@pytest.mark.parametrize("seed", range(6 * MORE))
def test_changes_fold_to_every_snapshot(lake: Lake, seed: int) -> None:
    """From the beginning or from some snapshot on; with and without a condition."""
    choose = random.Random(seed)
    table = lake.make(properties={"write.parquet.row-group-limit": "3"})
    # How often is polled depends on time; what happens to the table does not.
    past = Past(lake, table, random.Random(seed))
    start = choose.choice([SCAN, EARLIEST])
    for _ in range(choose.choice([0, 0, 3]) if start == SCAN else 0):
        past.act()
    acts = [choose.choice([0, 1, 1, 2, 3]) for _ in range(9)]
    folding = Folding(lake, table, start, choose.choice([None, 7, 15]), choose)
    for count in (*acts, 1):
        for _ in range(count):
            past.act()
        folding.read(whole=False)
    folding.read(whole=True)
    folding.read(whole=True)
    assert folding.after == head(table)
