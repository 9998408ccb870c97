"""Others who write the main job's table while it runs, by plain pyiceberg.

`python -m tests.services.others FOLDER ROUNDS SEED` does each of `Others.WAYS` so many times, in any
order, each until it is committed: who comes second begins again, as the job's commits come first
often. It prints as JSON how often that was, which rows of its own are there in the end, and which
ranges of the job's keys it has deleted.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.table import Table, TableProperties

from tests.recovery.jobs.zygote import REPOSITORY
from tests.support.iceberg import IcebergFolder

__all__ = ["OtherWriters", "Others", "Told", "rows_of"]

Row = tuple[str, str | None, str]

_PAUSE = 0.15  # seconds between two commits
_PATIENCE = 300.0


class Others:
    """Everything that others may do to the table; their rows have keys below zero.

    Attributes:
        done: how often they did what.
        late: how often somebody else came first.
        rows: that are theirs.
        deleted: (first, last) of keys of the job whose rows they deleted.
    """

    WAYS: ClassVar = (
        "overwrite", "overwrite_some", "compact", "append", "delete_theirs", "delete_ours", "expire",
    )  # fmt: skip

    def __init__(self, lake: IcebergFolder, chance: random.Random) -> None:
        self._lake = lake
        self._chance = chance
        self._next = -1
        self.done: Counter[str] = Counter()
        self.late = 0
        self.rows: dict[int, Row] = {}
        self.deleted: list[tuple[int, int]] = []

    def act(self, way: str) -> None:
        """Do it, again and again until nobody else came first."""
        end = time.monotonic() + _PATIENCE
        while True:
            table = self._lake.table
            try:
                if table is not None and table.current_snapshot() is not None:
                    getattr(self, f"_{way}")(table)
                    self.done[way] += 1
                    return
            except (CommitFailedException, ValidationException, FileNotFoundError):
                # The job removes what its dead attempts left and nobody reaches any more.
                self.late += 1
            assert time.monotonic() < end, f"{way} came too late {self.late} times"
            time.sleep(self._chance.uniform(0, _PAUSE))

    def _overwrite(self, table: Table) -> None:
        """All rows by themselves: the files are others."""
        table.overwrite(table.scan().to_arrow())

    def _overwrite_some(self, table: Table) -> None:
        """Some rows by themselves, and the rest of their files, too."""
        wanted = self._range(table, 2_000)
        table.overwrite(table.scan(row_filter=wanted).to_arrow(), overwrite_filter=wanted)

    def _compact(self, table: Table) -> None:
        """All data files into one, in one commit; delete files of theirs stay about."""
        scan = table.scan()
        old = [task.file for task in scan.plan_files()]
        made = list(_dataframe_to_data_files(table.metadata, scan.to_arrow(), table.io))
        transaction = table.transaction()
        with transaction.update_snapshot().overwrite() as snapshot:
            for file in old:
                snapshot.delete_data_file(file)
            for file in made:
                snapshot.append_data_file(file)
        transaction.commit_transaction()

    def _append(self, table: Table) -> None:
        fresh = {
            key: ("theirs", f"{-key}.25", f"n{-key}")
            for key in range(self._next, self._next - 50, -1)
        }
        table.append(rows_of(table, fresh))
        self.rows |= fresh
        self._next -= 50

    def _delete_theirs(self, table: Table) -> None:
        least = self._chance.randrange(self._next, 0)
        table.delete(f"order_id < 0 AND order_id >= {least}")
        self.rows = {key: row for key, row in self.rows.items() if key < least}

    def _delete_ours(self, table: Table) -> None:
        wanted = self._range(table, 100)
        first, last = self._last
        table.delete(wanted)
        self.deleted.append((first, last))

    def _expire(self, table: Table) -> None:
        """All snapshots but the newest."""
        table.maintenance.expire_snapshots().older_than(datetime.now() + timedelta(days=1)).commit()  # noqa: DTZ005 (as the client has it)

    def _range(self, table: Table, width: int) -> str:
        keys = table.scan(selected_fields=("order_id",)).to_arrow().column(0)
        first = self._chance.randrange(1, max(2, *keys.to_pylist()))
        self._last = first, first + width
        return f"order_id >= {first} AND order_id <= {first + width}"


def rows_of(table: Table, rows: Mapping[int, Row]) -> pa.Table:
    """Rows by key, as the table takes them."""
    schema = table.schema().as_arrow()
    values = zip(*((key, *row) for key, row in rows.items()), strict=True)
    types = [pa.int64(), pa.string(), pa.string(), pa.string()]
    arrays = [pa.array(v, t) for v, t in zip(values, types, strict=True)]
    return pa.table([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)


@dataclass(frozen=True)
class Told:
    """What `Others` did, as its process tells."""

    done: dict[str, int]
    late: int
    rows: list[tuple[Any, ...]]
    deleted: list[tuple[int, int]]


class OtherWriters:
    """The process.

    Args:
        lake: the folder of the table's catalog.
        rounds: how often it does everything.
        seed: says in which order.
    """

    def __init__(self, lake: Path, rounds: int, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.others", str(lake), str(rounds),
             str(seed)],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def are_done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def told(self) -> Told:
        """What it did; it has ended."""
        out, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, out
        return Told(**json.loads(out.splitlines()[-1]))

    def close(self) -> None:
        """Whatever happened."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """The process."""
    folder, rounds, seed = sys.argv[1:]
    chance = random.Random(int(seed))
    # The client's own second attempt would not look at what came first.
    TableProperties.COMMIT_NUM_RETRIES_DEFAULT = 0
    others = Others(IcebergFolder(Path(folder), "order_lines", catalog="demo"), chance)
    for _ in range(int(rounds)):
        for way in chance.sample(others.WAYS, len(others.WAYS)):
            others.act(way)
            time.sleep(_PAUSE)
    rows = [(key, *row) for key, row in others.rows.items()]
    print(json.dumps(asdict(Told(dict(others.done), others.late, rows, others.deleted))))


if __name__ == "__main__":
    main()
