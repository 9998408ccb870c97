"""A table of Iceberg that never rests, and what the job over it must answer.

`python -m tests.recovery.jobs.stock FOLDER PAUSE SEED` writes until FOLDER/stop is there. After each of its
commits the amounts of all rows come to 0.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from tests.recovery.jobs.written import Written
from tests.unit.connectors.iceberg.lake import commit, data_files, delete_file, head

GROUPS = 7
ROWS = 400
COLUMNS = pa.schema([("id", pa.int64()), ("grp", pa.int64()), ("amount", pa.int64())])

SQL = """
SET 'pipeline.name' = 'stock';
SET 'execution.checkpointing.dir' = '{root}/jobs';
SET 'execution.checkpointing.interval' = '40 ms';
SET 'execution.checkpointing.num-retained' = '2';
CREATE TABLE stock (id BIGINT, grp BIGINT, amount BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'uri' = 'jdbc:sqlite:{root}/in/catalog.db',
    'warehouse' = '{root}/in', 'streaming' = 'true', 'monitor-interval' = '5ms',
    'starting-strategy' = 'TABLE_SCAN_THEN_INCREMENTAL');
CREATE TABLE by_group (grp BIGINT, n BIGINT, amount BIGINT, PRIMARY KEY (grp) NOT ENFORCED)
  WITH ('connector' = 'iceberg', 'catalog-name' = 'lake', 'uri' = 'jdbc:sqlite:{root}/lake/catalog.db',
    'warehouse' = '{root}/lake', 'write.upsert.enabled' = 'true');
CREATE TABLE total (n BIGINT, amount BIGINT)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/out.sqlite', 'changelog-log' = 'true');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO by_group SELECT grp, COUNT(*), SUM(amount) FROM stock GROUP BY grp;
  INSERT INTO total SELECT COUNT(*), SUM(amount) FROM stock;
END;
"""


class Stock(Written):
    """Its folder: table, results, and the process that writes the table."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        super().__init__(root, "stock", seed)
        self.file = root / "stock.sql"
        self.file.write_text(SQL.format(root=root))
        (root / "in").mkdir()
        (root / "lake").mkdir()
        self._catalog = _catalog(root)
        self._catalog.create_namespace("default")
        self.table = self._catalog.create_table("default.stock", COLUMNS)
        self._own = Writer(self.table, seed)
        for _ in range(4):
            self.add(ROWS // 4)

    def add(self, rows: int) -> int:
        """A snapshot with so many more rows; gives its id."""
        self._own.add(rows)
        return self.head

    def close(self) -> None:
        """The catalog's file as well."""
        super().close()
        self._catalog.close()

    @property
    def head(self) -> int:
        """The newest snapshot."""
        return head(self.table)

    def expected(self) -> set[tuple[int, int, int]]:
        """The answer over the table as it is now, as plain pyiceberg reads it."""
        rows = self.table.refresh().scan().to_arrow()
        counts: Counter[int] = Counter()
        sums: Counter[int] = Counter()
        for group, amount in zip(
            *(rows.column(c).to_pylist() for c in COLUMNS.names[1:]), strict=True
        ):
            counts[group] += 1
            sums[group] += amount
        return {(g, n, sums[g]) for g, n in counts.items()}

    def check_totals(self) -> int:
        """The second sink was never given half a snapshot; gives the number of its changes."""
        with sqlite3.connect(self.root / "out.sqlite") as connection:
            rows = connection.execute('SELECT * FROM "total$log" ORDER BY rowid').fetchall()
        connection.close()
        now = sum(n for _, n, _ in self.expected())
        assert {row[-1] for row in rows} == {0}
        assert rows[-1][-2:] == (now, 0)
        return len(rows)


class Writer:
    """Commits of every kind.

    Args:
        table: is written.
        seed: of the choices.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        self._choose = random.Random(seed)
        self._scratch = 0

    def step(self) -> None:
        """One commit."""
        act = self._choose.choice(
            [self._upsert] * 6 + [self._grow] * 3 + [self._shrink, self._compact]
        )
        act()

    def add(self, count: int) -> None:
        """Rows in pairs that cancel each other, in one file."""
        self._table.append(self._pairs(count // 2))
        self._table.refresh()

    def _grow(self) -> None:
        self.add(2 * self._choose.randint(1, 5))

    def _pairs(self, pairs: int) -> pa.Table:
        first = self._choose.getrandbits(50) * 2
        ids, groups, amounts = [], [], []
        for i in range(pairs):
            amount = self._choose.randint(1, 1000)
            ids += [first + 2 * i, first + 2 * i + 1]
            groups += [self._choose.randrange(GROUPS), self._choose.randrange(GROUPS)]
            amounts += [amount, -amount]
        return pa.table([ids, groups, amounts], schema=COLUMNS)

    def _upsert(self) -> None:
        """Some pairs of a file get other groups and amounts; their old rows are deleted by place."""
        file, live = self._file()
        pairs = self._choose.sample(range(0, len(live), 2), min(3, len(live) // 2))
        chosen = sorted(at for p in pairs for at in (p, p + 1))
        old = live.take(chosen)
        by = self._choose.randint(1, 1000)
        amounts = [by if a > 0 else -by for a in old.column("amount").to_pylist()]
        groups = [self._choose.randrange(GROUPS) for _ in chosen]
        new = pa.table([old.column("id"), groups, amounts], schema=COLUMNS)
        deletes = delete_file(self._table, {file.file_path: old.column("at").to_pylist()})
        commit(self._table, self._written(new), deletes)

    def _shrink(self) -> None:
        """Copy on write: a pair is gone, its file is another."""
        _, live = self._file()
        one = live.column("id").to_pylist()[0] // 2 * 2
        self._table.refresh().delete(f"id = {one} OR id = {one + 1}")

    def _compact(self) -> None:
        """A file and its deletes become a file; by a snapshot that says that nothing changed."""
        file, live = self._file()
        from flowsql_connectors.iceberg.write.commit import Delta, commit_delta

        delta = Delta(
            added=(self._written(live.select(COLUMNS.names)),),
            removed=frozenset({file.file_path}),
            replaces=True,
        )
        commit_delta(
            self._table.refresh(), delta, check=lambda _: None,
            name=lambda: f"c{self._choose.getrandbits(60)}", settings={}, branch="main",
        )  # fmt: skip

    def _file(self) -> tuple[DataFile, pa.Table]:
        """One with rows, and those that are live: with their places `at`, pairs side by side."""
        tasks = list(self._table.refresh().scan().plan_files())
        while True:
            task = self._choose.choice(tasks)
            rows = pq.read_table(task.file.file_path, partitioning=None)
            gone: set[int] = set()
            for one in task.delete_files:
                held = pq.read_table(one.file_path, partitioning=None)
                held = held.filter(pa.compute.equal(held.column("file_path"), task.file.file_path))
                gone.update(held.column("pos").to_pylist())
            rows = rows.append_column("at", pa.array(range(len(rows))))
            rows = rows.filter(pa.array([at not in gone for at in range(len(rows))]))
            if len(rows):
                return task.file, rows.sort_by("id").combine_chunks()

    def _written(self, rows: pa.Table) -> DataFile:
        """A data file of the table's that it does not know yet."""
        self._scratch += 1
        name = f"default.scratch_{self._choose.getrandbits(60)}"
        catalog = self._table.catalog
        scratch = catalog.create_table(name, COLUMNS)
        scratch.append(rows)
        (file,) = data_files(scratch)
        catalog.drop_table(name)
        return file


def _catalog(root: Path) -> SqlCatalog:
    return SqlCatalog("lake", uri=f"sqlite:///{root}/in/catalog.db", warehouse=str(root / "in"))


def main(root: Path, pause: float, seed: int) -> None:
    """Write until told to stop."""
    catalog = _catalog(root)
    writer = Writer(catalog.load_table("default.stock"), seed + 1)
    while not (root / "stop").exists():
        writer.step()
        time.sleep(pause)
    catalog.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
