"""Whole jobs in SQL, killed again and again while their input grows."""

from __future__ import annotations

import datetime as dt
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowsql.runtime.control import request
from flowsql.testing.fake_database import Bank, FakeDatabase
from tests.recovery.killing import MOMENTS, REPOSITORY, run_child

SQL = "tests.recovery.children:sql"


def kill_often(arguments: dict[str, Any], kills: int, chance: random.Random) -> list[str]:
    """Start and kill the child so many times: at random moments, and at named ones."""
    done = []
    while len(done) < kills:
        named = len(done) % 2 == 1
        moment = f"{chance.choice(MOMENTS)}:{chance.choice([1, 1, 2, 3, 5, 9, 17, 33, 60])}"
        child = run_child(SQL, arguments, moment if named else None)
        try:
            output, _ = child.communicate(timeout=4.0 if named else chance.uniform(0.6, 2.5))
            assert child.returncode == -9, output
            done.append(moment)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            done.append("time")
    return done


def finish(
    arguments: dict[str, Any], complete: Callable[[], bool], socket: Path, *, drain: bool
) -> None:
    """Run the child until it has caught up, then stop it as `flowsql stop` does."""
    child = run_child(SQL, arguments, None)
    end = time.monotonic() + 60
    while not complete():
        if child.poll() is not None or time.monotonic() > end:
            child.kill()
            pytest.fail(f"not complete: {child.communicate()[0]}")
        time.sleep(0.05)
    request(socket, "stop", drain=drain, timeout=30)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 0, output


class Bids(threading.Thread):
    """Writes a file of bids every 100 ms."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.stopped = threading.Event()
        self.rows: list[pa.Table] = []
        self._random = np.random.default_rng(5)
        (root / "bid").mkdir(parents=True)
        (root / "auction").mkdir()
        ids = np.arange(200)
        auctions = pa.table(
            {"id": ids, "item": [f"item {i}" for i in ids], "seller": ids % 11,
             "category": np.where(ids % 3 == 0, 10, ids % 7)}
        )  # fmt: skip
        pq.write_table(auctions, root / "auction" / "all.parquet")

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            self.write()

    def write(self) -> None:
        """One file: 500 bids of seven seconds, up to three seconds out of order."""
        number = len(self.rows)
        n = 500
        at = number * 7000 + np.sort(self._random.integers(0, 7000, n))
        at = np.maximum(0, at - self._random.integers(0, 3000, n))
        table = pa.table(
            {"auction": self._random.integers(0, 250, n), "bidder": self._random.integers(0, 9, n),
             "price": self._random.integers(1, 10_000, n), "channel": ["web"] * n,
             "ts": pa.array(at, pa.timestamp("ms"))}
        )  # fmt: skip
        hidden = self.root / "bid" / f".{number:06}.parquet"
        pq.write_table(table, hidden)
        self.rows.append(table)
        hidden.rename(self.root / "bid" / f"{number:06}.parquet")

    def expected_sales(self) -> Counter[tuple[int, str, int]]:
        """Bids for auctions of category 10."""
        found: Counter[tuple[int, str, int]] = Counter()
        for table in self.rows:
            auctions, prices = table["auction"].to_pylist(), table["price"].to_pylist()
            found.update(
                (a, f"item {a}", p)
                for a, p in zip(auctions, prices, strict=True)
                if a < 200 and a % 3 == 0
            )
        return found

    def expected_minutes(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(minute, bidder) → (bids, highest)."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for table in self.rows:
            times = table["ts"].cast(pa.int64()).to_pylist()
            bidders, prices = table["bidder"].to_pylist(), table["price"].to_pylist()
            for t, b, p in zip(times, bidders, prices, strict=True):
                n, top = found.get((t // 60_000, b), (0, 0))
                found[t // 60_000, b] = (n + 1, max(top, p))
        return found


def files_in(folder: Path) -> list[Path]:
    """What readers of the folder see."""
    if not folder.exists():
        return []
    return [
        p
        for p in folder.rglob("*")
        if p.is_file() and not any(n[0] in "._" for n in p.relative_to(folder).parts)
    ]


def sales_of(root: Path) -> Counter[tuple[int, str, int]]:
    """All rows of the sink."""
    found: Counter[tuple[int, str, int]] = Counter()
    for path in files_in(root / "sales"):
        found.update(tuple(r.values()) for r in pq.read_table(path).to_pylist())
    return found


def minutes_of(root: Path) -> dict[tuple[int, int], tuple[int, int]]:
    """All rows of the sink; fails where a window was given twice."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    zero = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone
    for path in files_in(root / "per_minute"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            start = dt.datetime.fromisoformat(row["window_start"])
            key = (int((start - zero).total_seconds()) // 60, row["bidder"])
            assert key not in found
            found[key] = (row["bids"], row["top"])
    return found


@pytest.mark.parametrize(
    "kills",
    [50, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
)
def test_files_to_files(tmp_path: Path, kills: int) -> None:
    """A join and a window over watched files: nothing doubled, nothing missing, nothing left."""
    bids = Bids(tmp_path)
    bids.start()
    arguments = {"folder": str(tmp_path), "script": "files"}
    done = kill_often(arguments, kills, random.Random(kills))
    bids.stopped.set()
    bids.join()
    expected = bids.expected_sales()
    socket = tmp_path / "jobs" / "files" / "control.sock"
    given_before = minutes_of(tmp_path)
    wanted = bids.expected_minutes()
    assert {k: wanted[k] for k in given_before} == given_before, done
    finish(arguments, lambda: sales_of(tmp_path).total() >= expected.total(), socket, drain=True)
    assert sales_of(tmp_path) == expected
    assert minutes_of(tmp_path) == wanted
    left = [p for p in tmp_path.rglob("*") if p.name.endswith((".tmp", ".inprogress"))]
    assert left == []


def answers(database: FakeDatabase) -> set[tuple[int, int, int, int]]:
    """What `by_group` must hold."""
    partners = Counter(r["balance"] for r in database.rows("savings"))
    groups: dict[int, list[int]] = {}
    for row in database.rows("checking"):
        group = groups.setdefault(row["id"] % 7, [0, 0, 0])
        matches = partners[row["balance"]]
        times = max(1, matches)
        group[0] += times
        group[1] += times * row["balance"]
        group[2] += matches
    return {(k, *v) for k, v in groups.items()}


def rows_of(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file that may not exist yet."""
    if not path.exists():
        return []
    connection = sqlite3.connect(path, timeout=10)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


@pytest.mark.parametrize(
    "kills",
    [50, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
)
def test_database_to_sqlite(tmp_path: Path, kills: int) -> None:
    """Every state shown was committed in the database; the last one is reached."""
    Bank(tmp_path / "bank").close()
    writer = subprocess.Popen(
        [sys.executable, "-m", "flowsql.testing.fake_database", str(tmp_path / "bank"),
         "--transactions", "0", "--rate", "100", "--huge-every", "400", "--huge-size", "300"],
        cwd=REPOSITORY,
    )  # fmt: skip
    arguments = {"folder": str(tmp_path), "script": "bank"}
    try:
        done = kill_often(arguments, kills, random.Random(kills + 1))
    finally:
        writer.terminate()
        writer.wait()
    database = FakeDatabase(tmp_path / "bank")
    expected = answers(database)
    result = "SELECT k, accounts, balance, partners FROM by_group"
    finish(
        arguments,
        lambda: set(rows_of(tmp_path / "by_group.sqlite", result)) == expected,
        tmp_path / "jobs" / "bank" / "control.sock",
        drain=False,
    )
    assert set(rows_of(tmp_path / "by_group.sqlite", result)) == expected, done
    database.close()
    log = 'SELECT kind, balance, version FROM "probe$log" ORDER BY rowid'
    shown = [row[1:] for row in rows_of(tmp_path / "probe.sqlite", log) if row[0][0] == "+"]
    logged = Bank.sums(tmp_path / "bank")
    assert set(shown) <= set(logged)
    assert [v for _, v in shown] == sorted(v for _, v in shown)
    assert shown[-1] == logged[-1]
