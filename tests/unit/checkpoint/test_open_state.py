"""Whoever knows docs/checkpoint-format.md, json and pyarrow can read a job's state."""

from __future__ import annotations

import inspect
import json
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import flowsql
from flowsql.physical import state_specs
from flowsql.runtime.job import Job

PAGE = Path(__file__).parents[3] / "docs" / "checkpoint-format.md"

SALES = pa.schema(
    [
        ("id", pa.int64()),
        ("item", pa.string()),
        ("amount", pa.int32()),
        ("price", pa.decimal128(8, 2)),
        ("weight", pa.float64()),
        ("born", pa.date32()),
        ("ts", pa.timestamp("ms")),
    ]
)
ROWS: list[tuple[Any, ...]] = [
    (1, "tea", 3, Decimal("-1.25"), -2.5, date(2026, 1, 1), 61000),
    (2, "milk", 1, Decimal("2.00"), 0.5, date(2026, 1, 2), 62000),
    (3, "tea", -7, Decimal("-3.50"), 4.0, date(1969, 1, 3), 125000),
    (4, "tea", None, None, None, None, 126000),
    (4, "jam", 9, None, None, None, 127000),
]
STATEMENTS = """EXECUTE STATEMENT SET BEGIN
INSERT INTO totals SELECT item, SUM(amount), MAX(amount), MIN(price), SUM(price), MIN(weight),
  MAX(born), MIN(item), COUNT(DISTINCT id) FROM sale GROUP BY item;
INSERT INTO windows SELECT window_start, item, COUNT(*), MAX(ts)
  FROM TABLE(TUMBLE(TABLE sale, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, item;
INSERT INTO pairs SELECT sale.id, stock.shop FROM sale LEFT JOIN stock ON sale.item = stock.item;
INSERT INTO shops SELECT stock.shop, sale.amount FROM sale JOIN stock ON sale.item = stock.item
  ON CONFLICT DO DEDUPLICATE;
INSERT INTO highest SELECT shop, MAX(size) FROM stock GROUP BY shop;
END"""


class Reader:
    """What the page says, and nothing of flowsql."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())["manifest"]

    def node(self, kind: str, number: int = 0) -> dict[str, Any]:
        """A node of the plan."""
        found = [n for n in self.manifest["plan"]["nodes"] if n["spec"]["$"] == kind]
        return dict(found[number])

    def table(self, node: dict[str, Any], name: str) -> pa.Table:
        """A state table of a node, whole."""
        segments = [s for s in self.manifest["tables"][node["id"]] if s["table"] == name]
        return pa.concat_tables(
            pa.ipc.open_file(self.folder / s["file"]).read_all() for s in segments if s["file"]
        )

    def rows(self, node: dict[str, Any], *names: str) -> list[dict[str, Any]]:
        """Tables of one operator joined by slot."""
        joined = self.table(node, names[0])
        for name in names[1:]:
            joined = joined.join(self.table(node, name), "$slot")
        return list(joined.sort_by("$slot").to_pylist())


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Over a checkpoint of a job that joins, groups and has windows."""
    held = threading.Event()
    stock = pa.record_batch(
        {"item": ["tea", "tea", "milk"], "shop": ["n", "s", "n"], "size": [1, 2, 3]}
    )
    sales = pa.RecordBatch.from_pylist(
        [dict(zip(SALES.names, row, strict=True)) for row in ROWS], SALES
    )

    def items(batch: Any) -> Iterator[Any]:
        yield batch
        while not held.wait(0.01):
            yield None

    folder = tmp_path_factory.mktemp("jobs")
    with flowsql.connect({"execution.checkpointing.dir": str(folder)}) as session:
        session.from_changes(
            "sale", SALES, items(sales), watermark="ts - INTERVAL '4' SECOND", mode="append"
        )
        kinds = pa.array([0, 0, 0], pa.int8())
        session.from_changes("stock", stock.schema, items(flowsql.Changes(stock, kinds)))
        for name, columns in {
            "totals": "a STRING, b INT, c INT, d DECIMAL(8, 2), e DECIMAL(38, 2), f DOUBLE, g DATE, "
            "h STRING, i BIGINT, PRIMARY KEY (a) NOT ENFORCED",
            "windows": "a TIMESTAMP(3), b STRING, c BIGINT, d TIMESTAMP(3)",
            "pairs": "a BIGINT, b STRING",
            "shops": "a STRING, b INT, PRIMARY KEY (a) NOT ENFORCED",
            "highest": "a STRING, b BIGINT, PRIMARY KEY (a) NOT ENFORCED",
        }.items():
            session.execute(f"CREATE TABLE {name} ({columns}) WITH ('connector' = 'blackhole')")
        job = session.execute(STATEMENTS)
        assert isinstance(job, Job)
        while job.status().get("step", 0) < 2:
            assert not job.wait(0.01)
        yield Reader(job.savepoint(folder / "saved", 10))
        held.set()
        assert job.wait(60)


def number(word: int, *, smallest: bool = False) -> int:
    """An order-keeping word as the integer that it stands for."""
    return (~word & (1 << 64) - 1 if smallest else word) - (1 << 63)


def double(word: int, *, smallest: bool = False) -> float:
    """An order-keeping word as the float64 that it stands for."""
    if smallest:
        word = ~word & (1 << 64) - 1
    bits = word ^ (1 << 63) if word >= 1 << 63 else ~word & (1 << 64) - 1
    (value,) = struct.unpack("<d", bits.to_bytes(8, "little"))
    return float(value)


def test_groups(reader: Reader) -> None:
    """Every form of an accumulator."""
    node = reader.node("GroupAggregate")
    tea, milk, jam = reader.rows(node, "groups", "accumulators")
    assert (tea["key0"], milk["key0"], jam["key0"]) == ("tea", "milk", "jam")
    assert (tea["sum(amount)"], tea["count(amount)"]) == (-4, 2)
    assert number(tea["max(amount)"]) == 3
    assert number(tea["min(price)"], smallest=True) == -350
    assert sum(tea[f"sum(price).{i}"] << 32 * i for i in range(2)) == -475
    assert double(tea["min(weight)"], smallest=True) == -2.5
    assert double(milk["min(weight)"], smallest=True) == 0.5
    assert number(tea["max(born)"]) == (date(2026, 1, 1) - date(1970, 1, 1)).days
    assert tea["min(item)"] == "tea"
    assert (jam["count(price)"], jam["min(price)"], jam["min(weight)"]) == (0, 0, 0)
    values = reader.rows(node, "distinct_0")
    assert sorted((v["key0"], v["key1"]) for v in values) == [
        (0, 1),
        (0, 3),
        (0, 4),
        (1, 2),
        (2, 4),
    ]


def test_windows(reader: Reader) -> None:
    """The open ones, with their ends and their last milliseconds."""
    node = reader.node("WindowAggregate")
    tea, jam = reader.rows(node, "groups", "accumulators", "timers")
    assert (tea["key0"].replace(tzinfo=UTC), tea["key1"]) == (
        datetime(1970, 1, 1, 0, 3, tzinfo=UTC),
        "tea",
    )
    assert (tea["window_start"], tea["time"]) == (120_000_000, 179_999)
    assert (tea["count(*)"], jam["count(*)"]) == (2, 1)
    assert number(tea["max(ts)"]) == 126_000_000
    (progress,) = reader.rows(node, "progress", "progress_columns")
    assert progress["watermark"] == 123_000
    assert reader.manifest["operators"][node["id"]]["reached"] == 123_000


def test_a_left_join(reader: Reader) -> None:
    """Rows by key; who has no partner is given with NULLs."""
    node = reader.node("Join")
    keys = {r["key0"]: r for r in reader.rows(node, "keys", "keys_columns")}
    counts = {k: (r["left_count"], r["right_count"]) for k, r in keys.items()}
    assert counts == {"tea": (3, 2), "milk": (1, 1), "jam": (1, 0)}
    stored = {r["$row"]: r for r in reader.table(node, "left_rows").to_pylist()}
    lists = reader.table(node, "left_lists").to_pylist()
    ids = {
        key: {stored[e["$row"]]["id"] for e in lists if e["$slot"] == r["$slot"]}
        for key, r in keys.items()
    }
    assert ids == {"tea": {1, 3, 4}, "milk": {2}, "jam": {4}}
    assert {(r["id"], r["$padded"]) for r in stored.values()} == {
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 0),
        (4, 1),
    }
    right = {r["$row"]: r["shop"] for r in reader.table(node, "right_rows").to_pylist()}
    known = reader.rows(node, "right_ids", "right_ids_columns")
    assert all(right[r["row"] - 1] == r["key1"] for r in known)
    assert {(r["key0"], r["key1"]) for r in known} == {
        (keys["tea"]["$slot"], "n"),
        (keys["tea"]["$slot"], "s"),
        (keys["milk"]["$slot"], "n"),
    }


def test_a_materialiser(reader: Reader) -> None:
    """Which row the sink shows, and which it hides."""
    node = reader.node("SinkMaterialize")
    (amount,) = [f["name"] for t in node["state"] if t["name"] == "rows" for f in t["fields"]]
    rows = {r["$row"]: r[amount] for r in reader.table(node, "rows").to_pylist()}
    keys = {r["key0"]: r for r in reader.rows(node, "keys", "keys_columns")}
    assert set(keys) == {"n", "s"}
    for shop, amounts in (("n", {3, -7, None, 1}), ("s", {3, -7, None})):
        key = keys[shop]
        hidden = [h for h in reader.table(node, "hidden").to_pylist() if h["$slot"] == key["$slot"]]
        assert (key["crowded"], key["hidden"]) == (1, len(hidden))
        assert {rows[key["row"] - 1], *(rows[h["$row"]] for h in hidden)} == amounts


def test_values_in_order(reader: Reader) -> None:
    """MAX over rows that may be taken back."""
    node = reader.node("GroupAggregate", 1)
    groups = {r["$slot"]: r["key0"] for r in reader.rows(node, "groups", "accumulators")}
    (name,) = [t["name"] for t in node["state"] if t["$"] == "OrderedSpec"]
    values = [
        (groups[r["$slot"]], r["sort0"], r["$weight"]) for r in reader.table(node, name).to_pylist()
    ]
    assert sorted(values) == [("n", 1, 1), ("n", 3, 1), ("s", 2, 1)]


def test_files_hold_what_the_plan_declares(reader: Reader) -> None:
    """The columns of each file are those that the page derives from the node's `state`."""
    seen = set()
    for node in reader.manifest["plan"]["nodes"]:
        for spec in node["state"]:
            expected = _columns(spec)
            seen.add(spec["$"])
            for segment in reader.manifest["tables"].get(node["id"], ()):
                if segment["table"] == spec["name"] and segment["file"]:
                    assert reader.table(node, spec["name"]).schema.names == expected
    text = PAGE.read_text()
    assert [kind for kind in seen if f"`{kind}`" not in text] == []
    assert "OrderedSpec" in seen


def test_the_page_names_every_operator_with_state() -> None:
    """Who adds one describes its tables."""
    source = inspect.getsource(state_specs.declare_state)
    kinds = set(re.findall(r"case (\w+)\(\)", source))
    assert len(kinds) > 5
    rows = " ".join(line for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    assert [kind for kind in kinds if f"`{kind}`" not in rows] == []


def _columns(spec: dict[str, Any]) -> list[str]:
    match spec["$"]:
        case "KeyIndexSpec":
            return ["$slot", "$key_group", *(f"key{i}" for i in range(len(spec["key"])))]
        case "ColumnsSpec":
            return ["$slot", *(n for n, _ in spec["fixed"]), *(v["name"] for v in spec["values"])]
        case "RowsSpec":
            mutable = [f"${name}" for name, _ in spec["mutable"]]
            return ["$row", "$weight", *mutable, *(f["name"] for f in spec["fields"])]
        case "RowListsSpec":
            return ["$slot", "$row"]
        case "OrderedSpec":
            row = ["$row"] if spec["rows"] else []
            return ["$slot", "$weight", *row, *(f"sort{i}" for i in range(len(spec["sort"])))]
        case _:
            return ["$slot", "time"]


def test_the_examples_of_the_page(reader: Reader) -> None:
    """They run as they stand there."""
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (reader.folder.parent / "chk-7").symlink_to(reader.folder)
    shown = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=reader.folder.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for code in (first, second)
    ]
    assert " groups pyarrow.Table" in shown[0]
    assert sorted(shown[1].splitlines())[1:] == ["milk 1 1 1", "tea 2 -4 3"]
