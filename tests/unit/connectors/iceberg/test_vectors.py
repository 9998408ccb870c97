"""Deletion vectors of format version 3, as Iceberg's own library wrote them (`vectors/record.py`)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from pyiceberg.table import Table

from .lake import Lake
from .streaming import Stream

PACKED = Path(__file__).parent / "vectors" / "table.zip"
ROOT = b"/" + b"r" * 199


@pytest.fixture
def table(lake: Lake, tmp_path: Path) -> Table:
    """Ten rows each in a, b and c; position deletes of 9 and 14 are older than the vectors."""
    root = tmp_path / ("t" * (len(ROOT) - len(str(tmp_path)) - 1))
    with zipfile.ZipFile(PACKED) as packed:
        for name in packed.namelist():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(name).replace(ROOT, str(root).encode()))
    return lake.catalog.register_table("default.t", str(root / "metadata" / "table.json"))


GONE = [set(), {9, 14}, {1, 3, 9, 10, 14}, {1, 3, 5, 9, 10, 14}]


def test_each_snapshot_is_read(lake: Lake, table: Table) -> None:
    """Position deletes go on beside vectors; a later vector takes the place of the one before."""
    session = lake.session()
    snapshots = [s.snapshot_id for s in table.snapshots()]
    expected = [sorted({*range(20)} - gone) for gone in GONE]
    expected.append([*expected[-1], *range(20, 30)])
    for snapshot, rows in zip(snapshots, expected, strict=True):
        hint = f"/*+ OPTIONS('snapshot-id' = '{snapshot}') */"
        found = session.execute(f"SELECT id FROM lake.`default`.t {hint}").fetchall()
        assert sorted(row[0] for row in found) == rows


def test_each_snapshot_is_a_transaction(lake: Lake, table: Table) -> None:
    """Of the rows that its vectors delete and those before did not."""
    first = str(table.snapshots()[0].snapshot_id)
    strategy = "INCREMENTAL_FROM_SNAPSHOT_ID"
    steps = Stream(lake, starting_strategy=strategy, start_snapshot_id=first).steps()
    assert steps == [
        [f"+I[{i}, n{i}]" for i in range(20)],
        ["-D[9, n9]", "-D[14, n14]"],
        ["-D[1, n1]", "-D[3, n3]", "-D[10, n10]"],
        ["-D[5, n5]"],
        [f"+I[{i}, n{i}]" for i in range(20, 30)],
    ]
