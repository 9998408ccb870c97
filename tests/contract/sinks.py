"""Every sink, with a way to look at what its target shows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from flowsql.changelog import Changes
from flowsql.connector import Attempt, ConnectorContext, ConnectorTable, Sink, Writer
from flowsql.connector.plugins import find_connector
from flowsql.state.store import StateStore
from flowsql.testing import attempt_context, connector_table
from tests.support.iceberg import IcebergFolder

COLUMNS = "id BIGINT, name STRING"


class SinkCase:
    """A sink and its target, over many processes of one run."""

    def __init__(
        self,
        folder: Path,
        table: ConnectorTable,
        show: Callable[[], list[tuple]],
        strays: Callable[[], list[str]] | None = None,
    ) -> None:
        self.folder = folder
        self.table = table
        self.connector = find_connector(table.options["connector"])
        self._show = show
        self._strays = strays
        self._attempt = 0

    @property
    def sink(self) -> Sink:
        """A new sink, as after a restart."""
        return self.connector.sink(self.table)

    def context(self, *, run: str = "r1", job: str = "job") -> ConnectorContext:
        """The context of the next process."""
        self._attempt += 1
        context = attempt_context(self.folder / "job", job=job)
        return replace(context, attempt=Attempt(job, run, self._attempt))

    def open(self, *previous: dict, run: str = "r1", job: str = "job") -> Writer:
        """A writer of the next process; the tokens went through JSON."""
        tokens = [json.loads(json.dumps(t)) for t in previous]
        writer = self.sink.open(self.context(run=run, job=job), tokens)
        writer.open_state(StateStore.open(writer.state).tables)
        return writer

    def visible(self) -> list[tuple]:
        """The rows that a reader of the target sees, sorted."""
        return sorted(self._show())

    def leftovers(self) -> list[str]:
        """Files below the target that are neither rows nor markers."""
        if self._strays is not None:
            return self._strays()
        return sorted(
            str(p.relative_to(self.folder))
            for p in (self.folder / "out").rglob("*")
            if p.is_file()
            and (".flowsql" in p.parts or p.name.startswith(("_", ".")))
            and p.name != "committed.json"
        )


def rows(*ids: int) -> Changes:
    """One insert for each id."""
    batch = pa.RecordBatch.from_pydict(
        {"id": pa.array(ids, pa.int64()), "name": [f"n{i}" for i in ids]}
    )
    return Changes(batch)


def kinded(*changes: tuple[str, int, str]) -> Changes:
    """Rows with kinds."""
    codes = [["+I", "-U", "+U", "-D"].index(k) for k, _, _ in changes]
    batch = pa.RecordBatch.from_pydict(
        {"id": pa.array([i for _, i, _ in changes]), "name": [n for _, _, n in changes]}
    )
    return Changes(batch, np.array(codes, np.int8))


def pairs(ids: Sequence[int]) -> list[tuple]:
    """What is visible of `rows(*ids)`."""
    return [(i, f"n{i}") for i in sorted(ids)]


def _visible_files(out: Path) -> list[Path]:
    return [
        p
        for p in out.rglob("*")
        if p.is_file() and not any(s.startswith((".", "_")) for s in p.relative_to(out).parts)
    ]


def _filesystem(fmt: str, *, partitioned: bool = False) -> Callable[[Path], SinkCase]:
    def make(folder: Path) -> SinkCase:
        out = folder / "out"

        def show() -> list[tuple]:
            found: list[tuple] = []
            for path in _visible_files(out):
                if fmt == "csv":
                    lines = [tuple(x.split(",")) for x in path.read_text().splitlines()]
                elif fmt == "json":
                    lines = [tuple(json.loads(x).values()) for x in path.read_text().splitlines()]
                else:
                    lines = [tuple(r.values()) for r in pq.read_table(path).to_pylist()]
                if partitioned:
                    name = path.parent.name.removeprefix("name=")
                    lines = [(*line, name) for line in lines]
                found += [(int(i), name) for i, name in lines]
            return found

        options = {"connector": "filesystem", "path": str(out), "format": fmt}
        keys = ("name",) if partitioned else ()
        return SinkCase(folder, connector_table(COLUMNS, options, partition_keys=keys), show)

    return make


def _changelog(folder: Path) -> SinkCase:
    """Files of changes, folded in the order of their names."""
    out = folder / "out"

    def show() -> list[tuple]:
        found: list[tuple] = []
        for path in sorted(_visible_files(out), key=lambda p: p.name):
            for line in path.read_text().splitlines():
                message = json.loads(line)
                if message["op"] == "c":
                    found.append(tuple(message["after"].values()))
                else:
                    found.remove(tuple(message["before"].values()))
        return found

    options = {"connector": "filesystem", "path": str(out), "format": "debezium-json"}
    return SinkCase(folder, connector_table(COLUMNS, options), show)


def _sqlite_multiset(folder: Path) -> SinkCase:
    return _sqlite(folder, key=())


def _sqlite(folder: Path, key: tuple[str, ...] = ("id",)) -> SinkCase:
    (folder / "out").mkdir()
    path = folder / "out" / "target.sqlite"

    def show() -> list[tuple]:
        if not path.exists():
            return []
        with sqlite3.connect(path) as connection:
            try:
                return connection.execute('SELECT id, name FROM "t"').fetchall()
            except sqlite3.OperationalError:
                return []

    options = {"connector": "changelog-sqlite", "path": str(path)}
    table = connector_table(COLUMNS, options, primary_key=key)
    return SinkCase(folder, table, show)


def _iceberg(
    *, partitioned: bool = False, key: tuple[str, ...] = (), more: dict[str, str] | None = None
) -> Callable[[Path], SinkCase]:
    def make(folder: Path) -> SinkCase:
        out = folder / "out"
        read = IcebergFolder(out, "t")
        options = {
            "connector": "iceberg",
            "catalog-name": "lake",
            "uri": f"jdbc:sqlite:{out}/catalog.db",
            "warehouse": str(out),
            **({"partitioning": "truncate(1, name), bucket(2, id)"} if partitioned else {}),
            **(more or {}),
        }
        table = connector_table(COLUMNS, options, primary_key=key)
        return SinkCase(folder, table, read.rows, read.strays)

    return make


EXACTLY_ONCE: dict[str, Callable[[Path], SinkCase]] = {
    "filesystem-csv": _filesystem("csv"),
    "filesystem-json": _filesystem("json"),
    "filesystem-parquet": _filesystem("parquet"),
    "filesystem-partitioned": _filesystem("csv", partitioned=True),
    "filesystem-changelog": _changelog,
    "iceberg": _iceberg(),
    "iceberg-partitioned": _iceberg(partitioned=True),
    "iceberg-upsert": _iceberg(key=("id",), more={"write.upsert.enabled": "true"}),
    "changelog-sqlite": _sqlite,
    "changelog-sqlite-multiset": _sqlite_multiset,
}
