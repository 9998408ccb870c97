"""The fake database: what its readers see is exactly what was committed, at a commit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowsql.connector import Poll, Reader, Source, Split
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError
from flowsql.testing import attempt_context, connector_table
from flowsql.testing.fake_database import Bank, FakeDatabase

COLUMNS = "id BIGINT, balance BIGINT, version BIGINT"


def _tables(folder: Path, **options: str) -> list[Any]:
    given = {k.replace("__", ".").replace("_", "-"): v for k, v in options.items()}
    return [
        connector_table(
            COLUMNS,
            {
                "connector": "fake-database",
                "path": str(folder),
                "table-name": name,
                "scan.incremental.snapshot.chunk.size": "3",
                **given,
            },
            name=name,
            primary_key=("id",),
        )
        for name in ("checking", "savings")
    ]


class Follower:
    """Reads as the runtime does, one reader for chunks and one for the log, and folds the rows."""

    def __init__(self, folder: Path, tables: list[Any], stored: dict | None = None) -> None:
        connector = find_connector("fake-database")
        state = None if stored is None else json.loads(json.dumps(stored))
        self.source: Source = connector.open_source(
            tables, None if state is None else state["source"], attempt_context(folder / "job")
        )
        self.table: Counter = (
            Counter() if state is None else Counter({tuple(k): n for k, n in state["table"]})
        )
        self.positions: dict[str, Any] = {} if state is None else state["splits"]
        self.splits: dict[str, Split] = {s.id: s for s in self.source.discover()}
        work = [(s, self.positions.get(s.id)) for s in self.splits.values()]
        self.readers: list[Reader] = [
            self.source.open([w for w in work if w[0].owner is None]),
            self.source.open([w for w in work if w[0].owner == "log"]),
        ]
        self.owned = [{w[0].id for w in work if (w[0].owner == "log") == log} for log in (0, 1)]
        self.consistent = bool(state and state["consistent"])
        self.open: set[int] = set()
        self.stored: dict[str, Any] | None = None

    def step(self, index: int, max_rows: int) -> Poll | None:
        """One poll of one reader; only that of an open transaction is allowed."""
        if self.open:
            (index,) = self.open
        poll = self.readers[index].poll(max_rows, 0.0)
        if poll is None:
            return None
        for piece in poll.pieces:
            rows = piece.changes.batch.to_pylist()
            for row, sign in zip(rows, piece.changes.signs.tolist(), strict=True):
                key = (piece.table, row["id"], row["balance"], row["version"])
                self.table[key] += sign
        self.open = set() if poll.boundary else {index}
        for split, result in poll.finished.items():
            self.owned[index].discard(split)
            self.positions.pop(split, None)
            for message in self.source.finished(split, result):
                for reader in self.readers:
                    reader.tell(message)
        if poll.boundary:
            for split in self.owned[index]:
                self.positions[split] = self.readers[index].position(split)
            self.consistent = self.consistent or poll.consistent
            self.stored = json.loads(
                json.dumps(
                    {
                        "source": self.source.position(),
                        "splits": self.positions,
                        "table": [[list(k), n] for k, n in self.table.items() if n],
                        "consistent": self.consistent,
                    }
                )
            )
        return poll

    @property
    def sums(self) -> tuple[int, int]:
        """What `SELECT SUM(balance), SUM(version)` over both tables would say."""
        return (
            sum(k[2] * n for k, n in self.table.items()),
            sum(k[3] * n for k, n in self.table.items()),
        )

    def close(self) -> None:
        """The process is gone."""
        for reader in self.readers:
            reader.close()
        self.source.close()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["initial", "earliest-offset"])
def test_every_consistent_state_was_committed(tmp_path: Path, seed: int, mode: str) -> None:
    """While the writer writes and the reader dies at any boundary."""
    chance = random.Random(seed)
    bank = Bank(tmp_path / "bank", accounts=8, seed=seed)
    tables = _tables(tmp_path / "bank", scan__startup__mode=mode)
    follower = Follower(tmp_path, tables)
    seen: list[tuple[int, int]] = []
    quiet = 0
    for turn in range(4000):
        if turn < 600 and chance.random() < 0.3:
            if chance.random() < 0.3:
                bank.churn()
            else:
                bank.transfer(chance.choice([1, 1, 1, 9]))
        if chance.random() < 0.02 and follower.stored is not None:
            stored = follower.stored
            follower.close()
            follower = Follower(tmp_path, tables, stored)
            if chance.random() < 0.5:
                follower.source.acknowledge({"source": {}, "splits": stored["splits"]})
                bank.database.purge()
        poll = follower.step(chance.randrange(2), chance.choice([1, 2, 5, 100]))
        if not follower.open and follower.consistent and (not seen or seen[-1] != follower.sums):
            seen.append(follower.sums)
        quiet = 0 if poll is not None else quiet + 1
        if turn > 600 and quiet > 20:
            break
    logged = Bank.sums(tmp_path / "bank")
    assert set(seen) <= set(logged)
    assert seen == sorted(seen, key=lambda s: s[1])
    assert logged[-1] == follower.sums
    assert len(seen) > 20
    rows = Counter(
        (t, r["id"], r["balance"], r["version"])
        for t in ("checking", "savings")
        for r in bank.database.rows(t)
    )
    assert rows == +follower.table
    assert not -follower.table
    follower.close()
    bank.close()


def test_a_snapshot_alone_is_not_consistent(tmp_path: Path) -> None:
    """Chunks read at different times are no state of the database; behind all bounds they are."""
    bank = Bank(tmp_path / "bank", accounts=4)
    follower = Follower(tmp_path, _tables(tmp_path / "bank"))
    while any(s.startswith("chunk") for s in follower.owned[0]):
        follower.step(0, 100)
        assert not follower.consistent
        bank.transfer(3)
    assert follower.sums not in Bank.sums(tmp_path / "bank")
    while not follower.consistent:
        assert follower.step(1, 1) is not None
    assert follower.sums in Bank.sums(tmp_path / "bank")
    follower.close()


def test_an_idle_log_says_that_it_is_consistent(tmp_path: Path) -> None:
    """Consistency needs no further change."""
    Bank(tmp_path / "bank", accounts=4).close()
    follower = Follower(tmp_path, _tables(tmp_path / "bank"))
    while follower.owned[0]:
        follower.step(0, 100)
    poll = follower.step(1, 100)
    assert poll is not None
    assert (poll.pieces, poll.boundary, poll.consistent) == ((), True, True)
    assert follower.step(1, 100) is None
    follower.close()


def test_a_large_transaction_comes_in_pieces(tmp_path: Path) -> None:
    """Only its last piece is a boundary."""
    bank = Bank(tmp_path / "bank", accounts=4)
    follower = Follower(tmp_path, _tables(tmp_path / "bank", scan__startup__mode="latest-offset"))
    bank.transfer(50)
    follower.step(1, 100)
    bounds = []
    while (poll := follower.step(1, 10)) is not None:
        bounds.append(poll.boundary)
    assert [False] * (len(bounds) - 1) + [True] == bounds
    assert len(bounds) > 2
    follower.close()


def test_upsert_mode_sends_keys_and_names_what_it_left_out(tmp_path: Path) -> None:
    """A delete holds its key, an update only what the source sent; a moved key is two rows."""
    database = FakeDatabase(tmp_path / "db")
    database.create_table("t", {"id": "BIGINT", "a": "STRING", "b": "STRING"}, ["id"])
    options = {
        "connector": "fake-database",
        "path": str(tmp_path / "db"),
        "table-name": "t",
        "changelog-mode": "upsert",
        "scan.startup.mode": "earliest-offset",
        "scan.bounded.mode": "latest-offset",
    }
    with database.transaction() as transaction:
        transaction.insert("t", {"id": 1, "a": "x", "b": "long"})
        transaction.update("t", 1, {"a": "y"}, unchanged=["b"])
        transaction.update("t", 1, {"id": 2})
        transaction.delete("t", 2)
    table = connector_table("id BIGINT, a STRING, b STRING", options, primary_key=("id",))
    source = find_connector("fake-database").open_source([table], None, attempt_context(tmp_path))
    reader = source.open([(s, None) for s in source.discover()])
    poll = reader.poll(100, 0.0)
    assert poll is not None
    changes = poll.pieces[0].changes
    assert changes.codes_or_insert.tolist() == [0, 2, 3, 0, 3]
    assert changes.batch.to_pylist() == [
        {"id": 1, "a": "x", "b": "long"},
        {"id": 1, "a": "y", "b": None},
        {"id": 1, "a": None, "b": None},
        {"id": 2, "a": "y", "b": "long"},
        {"id": 2, "a": None, "b": None},
    ]
    assert np.array_equal([False, True, False, False, False], changes.unchanged["b"])


def test_a_log_that_is_gone_is_named(tmp_path: Path) -> None:
    """A checkpoint that the database can no longer serve is refused, with both places."""
    bank = Bank(tmp_path / "bank", accounts=4)
    tables = _tables(tmp_path / "bank", scan__startup__mode="latest-offset")
    follower = Follower(tmp_path, tables)
    bank.transfer()
    while follower.step(1, 100) is not None:
        pass
    old = follower.stored
    for _ in range(5):
        bank.transfer()
    while follower.step(1, 100) is not None:
        pass
    follower.source.acknowledge({"source": {}, "splits": follower.stored["splits"]})
    bank.database.purge()
    with pytest.raises(ConnectorError, match=r"begins behind LSN .* needs it from LSN"):
        Follower(tmp_path, tables, old)


def test_another_database_is_refused(tmp_path: Path) -> None:
    """A folder that was made anew is not the one of the checkpoint."""
    Bank(tmp_path / "one", accounts=2).close()
    Bank(tmp_path / "two", accounts=2).close()
    follower = Follower(tmp_path, _tables(tmp_path / "one"))
    while follower.stored is None:
        follower.step(0, 100)
    with pytest.raises(ConnectorError, match="is another database"):
        Follower(tmp_path, _tables(tmp_path / "two"), follower.stored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table-name": "cheking"}, 'has no table "cheking"\nHint: Did you mean "checking"?'),
        ({"path": "nowhere"}, "holds no fake database"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, change: dict, message: str) -> None:
    """With the nearest name."""
    Bank(tmp_path / "bank", accounts=2).close()
    options = {
        "connector": "fake-database",
        "path": str(tmp_path / "bank"),
        "table-name": "checking",
        **change,
    }
    connector = find_connector("fake-database")
    with pytest.raises(ConnectorError) as error:
        connector.open_source([connector_table(COLUMNS, options)], None, attempt_context(tmp_path))
    assert message in str(error.value)


def test_tables_of_a_group_agree(tmp_path: Path) -> None:
    """One log has one start."""
    Bank(tmp_path / "bank", accounts=2).close()
    one, _ = _tables(tmp_path / "bank")
    _, two = _tables(tmp_path / "bank", scan__startup__mode="latest-offset")
    connector = find_connector("fake-database")
    assert connector.group(one) == connector.group(two)
    with pytest.raises(ConfigError, match=r'differ in option "scan.startup.mode"'):
        connector.open_source([one, two], None, attempt_context(tmp_path))


def test_the_writer_is_a_process_that_may_be_killed(tmp_path: Path) -> None:
    """What it committed stays, what it did not is nowhere."""
    folder = tmp_path / "bank"
    command = [sys.executable, "-m", "flowsql.testing.fake_database", str(folder)]
    for _ in range(2):
        process = subprocess.Popen([*command, "--transactions", "0", "--huge-every", "20"])
        before = len(Bank.sums(folder)) if (folder / "database.sqlite").exists() else 0
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.05)
            try:
                if len(Bank.sums(folder)) > before + 50:
                    break
            except Exception:  # noqa: BLE001 - the file is being made
                continue
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    bank = Bank(folder)
    rows = [r for t in ("checking", "savings") for r in bank.database.rows(t)]
    sums = (sum(r["balance"] for r in rows), sum(r["version"] for r in rows))
    assert Bank.sums(folder)[-1] == sums
    bank.transfer()
    assert Bank.sums(folder)[-1] == (sums[0], sums[1] + 1)
    bank.close()
