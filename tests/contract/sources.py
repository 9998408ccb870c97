"""Every source, with rows that are known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

from flowsql.connector import ConnectorTable, Source
from flowsql.connector.plugins import find_connector
from flowsql.testing import attempt_context, connector_table
from flowsql.testing.fake_database import Bank

from .reading import Run, read

ROWS = 50
EXPECTED = [f"+I[{i}, n{i}]" for i in range(ROWS)]


class Case:
    """A table whose scan gives `EXPECTED`, or whose rows are compared with its own first read."""

    def __init__(
        self, folder: Path, tables: list[ConnectorTable], *, expected: list[str] | None = None
    ) -> None:
        self.folder = folder
        self.tables = tables
        self.expected = expected
        self.connector = find_connector(tables[0].options["connector"])

    def open(self, position: dict | None = None) -> Source:
        """A new source, as after a restart."""
        context = attempt_context(self.folder / "job")
        return self.connector.open_source(self.tables, position, context)

    def read(self, position: dict | None = None, **how: Any) -> Run:
        """What a new source gives; see `reading.read`."""
        return read(self.open, position, **how)

    def narrow(self, tables: list[ConnectorTable]) -> Case:
        """The same with other tables."""
        return Case(self.folder, tables)


def _files(folder: Path, fmt: str) -> Path:
    """Three files, the second of which has rows in more than one block or row group."""
    data = folder / "data"
    data.mkdir()
    for number, (start, end) in enumerate([(0, 5), (5, 40), (40, ROWS)]):
        ids = list(range(start, end))
        path = data / f"{number}.{fmt}"
        match fmt:
            case "csv":
                path.write_text("".join(f"{i},n{i}\n" for i in ids))
            case "json":
                path.write_text("".join(f"{json.dumps({'id': i, 'name': f'n{i}'})}\n" for i in ids))
            case _:
                table = pa.table({"id": pa.array(ids), "name": [f"n{i}" for i in ids]})
                pq.write_table(table, path, row_group_size=7)
        # Old enough that nobody takes it for one that is still written.
        os.utime(path, (number, number))
    return data


def _filesystem(fmt: str) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        options = {"connector": "filesystem", "path": str(_files(folder, fmt)), "format": fmt}
        return Case(folder, [connector_table("id BIGINT, name STRING", options)], expected=EXPECTED)

    return make


def _partitioned(folder: Path) -> Case:
    """The rows by the first letter of their number, in no order over partitions."""
    data = folder / "data"
    for number in range(ROWS):
        part = data / f"part={str(number)[0]}"
        part.mkdir(parents=True, exist_ok=True)
        with (part / "f.csv").open("a") as file:
            file.write(f"{number},n{number}\n")
    options = {"connector": "filesystem", "path": str(data), "format": "csv"}
    columns = "id BIGINT, name STRING, part BIGINT"
    return Case(folder, [connector_table(columns, options, partition_keys=("part",))])


def _watched(folder: Path) -> Case:
    options = {"connector": "filesystem", "path": str(_files(folder, "csv")), "format": "csv"}
    options["source.monitor-interval"] = "1ms"
    return Case(folder, [connector_table("id BIGINT, name STRING", options)], expected=EXPECTED)


CHANGES = [
    *(f"+I[{i}, n{i}]" for i in range(20)),
    *(f"{sign}[{i}, {name}{i}]" for i in range(20) for sign, name in (("-U", "n"), ("+U", "m"))),
    *(f"-D[{i}, m{i}]" for i in range(5)),
]


def _changelog(folder: Path) -> Case:
    """Inserts, updates and deletes in three files, the last ones written first."""
    data = folder / "data"
    data.mkdir()
    rows = [json.dumps({"id": i, "name": f"n{i}"}) for i in range(20)]
    later = [r.replace("n", "m").replace("mame", "name") for r in rows]
    texts = [
        [f'{{"before":null,"after":{r},"op":"r"}}' for r in rows],
        [f'{{"before":{a},"after":{b},"op":"u"}}' for a, b in zip(rows, later, strict=True)],
        [f'{{"before":{r},"after":null,"op":"d"}}\n' for r in later[:5]],
    ]
    for number, lines in zip((9, 10, 11), texts, strict=True):
        path = data / f"part-{number}.json"
        path.write_text("\n".join(lines) + "\n")
        os.utime(path, (100 - number, 100 - number))
    options = {"connector": "filesystem", "path": str(data), "format": "debezium-json"}
    table = connector_table("id BIGINT, name STRING", options)
    return Case(folder, [table], expected=CHANGES)


def _iceberg_table(folder: Path) -> dict[str, str]:
    """Three snapshots of a file each, one of which has several row groups."""
    warehouse = folder / "lake"
    warehouse.mkdir()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=str(warehouse))
    catalog.create_namespace("default")
    columns = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])
    properties = {"write.parquet.row-group-limit": "7"}
    table = catalog.create_table("default.t", columns, properties=properties)
    for start, end in [(0, 5), (5, 40), (40, ROWS)]:
        ids = pa.array(range(start, end))
        names = [f"n{i}" for i in range(start, end)]
        table.append(pa.table([ids, pa.array(names)], schema=columns))
    catalog.close()
    return {
        "connector": "iceberg",
        "catalog-name": "lake",
        "warehouse": str(warehouse),
        "catalog-table": "t",
    }


_FOLLOWED = {"streaming": "true", "monitor_interval": "1ms"}


def _iceberg(expected: list[str] | None = None, **options: str) -> Callable[[Path], Case]:
    given = {key.replace("_", "-"): value for key, value in options.items()}

    def make(folder: Path) -> Case:
        table = connector_table("id BIGINT, name STRING", {**_iceberg_table(folder), **given})
        return Case(folder, [table], expected=expected)

    return make


def _values(folder: Path) -> Case:
    data = "\n".join(json.dumps([i, f"n{i}"]) for i in range(ROWS))
    options = {"connector": "values", "data": data}
    return Case(folder, [connector_table("id BIGINT, name STRING", options)], expected=EXPECTED)


def _datagen(folder: Path) -> Case:
    options = {
        "connector": "datagen", "number-of-rows": str(ROWS), "rows-per-second": "1000000",
        "seed": "7", "fields.name.length": "5", "fields.id.min": "0", "fields.id.max": "9",
        "fields.name.null-rate": "0.2", "fields.a.length": "2",
    }  # fmt: skip
    columns = "id BIGINT, name STRING, d DECIMAL(10, 2), x DOUBLE, b BOOLEAN, a ARRAY<INT>"
    return Case(folder, [connector_table(columns, options)])


def _bank(mode: str, bounded: str) -> Callable[[Path], Case]:
    """Two tables that share one log, which has long and short transactions."""

    def make(folder: Path) -> Case:
        bank = Bank(folder / "bank", accounts=5)
        for number in range(6):
            bank.transfer(1 + 4 * (number == 3))
            bank.churn()
        bank.close()
        tables = []
        for name in ("checking", "savings"):
            options = {
                "connector": "fake-database", "path": str(folder / "bank"), "table-name": name,
                "scan.startup.mode": mode, "scan.bounded.mode": bounded,
                "scan.incremental.snapshot.chunk.size": "2",
            }  # fmt: skip
            columns = "id BIGINT, balance BIGINT, version BIGINT"
            tables.append(connector_table(columns, options, name=name, primary_key=("id",)))
        return Case(folder, tables)

    return make


CASES: dict[str, Callable[[Path], Case]] = {
    "filesystem-csv": _filesystem("csv"),
    "filesystem-json": _filesystem("json"),
    "filesystem-parquet": _filesystem("parquet"),
    "filesystem-partitions": _partitioned,
    "filesystem-watched": _watched,
    "filesystem-changelog": _changelog,
    "iceberg": _iceberg(),
    "iceberg-scanned": _iceberg(starting_strategy="TABLE_SCAN_THEN_INCREMENTAL", **_FOLLOWED),
    "iceberg-snapshots": _iceberg(
        starting_strategy="INCREMENTAL_FROM_EARLIEST_SNAPSHOT", expected=EXPECTED, **_FOLLOWED
    ),
    "values": _values,
    "datagen": _datagen,
    "fake-database": _bank("initial", "latest-offset"),
    "fake-database-log": _bank("earliest-offset", "latest-offset"),
    "fake-database-unbounded": _bank("initial", "unbounded"),
}
