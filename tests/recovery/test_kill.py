"""A job that is killed again and again gives every row once."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from flowsql.checkpoint import CheckpointStore
from tests.recovery.killing import run_child, run_until_done
from tests.recovery.toys import committed_changes, expected_sums, fold, rows

SUMS = "tests.recovery.children:sums"


def check_tidy(folder: Path) -> None:
    """No temporary file is left anywhere, and one finished checkpoint decides."""
    left = [p.name for p in folder.rglob("*") if p.name.endswith(".tmp")]
    assert left == []
    assert list((folder / "jobs" / "sums" / "pending").iterdir()) == []
    assert list((folder / "jobs" / "sums" / "spool").iterdir()) == []
    store = CheckpointStore(folder / "jobs" / "sums" / "checkpoints")
    for number in store.numbers():
        store.load(number).check()
    assert store.load(store.numbers()[-1]).manifest.finished


@pytest.mark.parametrize("seed", range(2))
def test_sums_after_kills(tmp_path: Path, seed: int) -> None:
    """Updating output: folded, it is the answer; no row is taken away that was not given."""
    chance = random.Random(seed)
    arguments = {"folder": str(tmp_path), "total": 15_000, "aggregate": True}
    assert len(run_until_done(SUMS, arguments, 4, chance)) >= 2
    assert fold(committed_changes(tmp_path / "out")) == expected_sums(15_000, 2)
    check_tidy(tmp_path)


def test_appended_rows_after_kills(tmp_path: Path) -> None:
    """Appended output: every row once, in the order of each split."""
    chance = random.Random(99)
    arguments = {"folder": str(tmp_path), "total": 15_000, "aggregate": False}
    assert len(run_until_done(SUMS, arguments, 4, chance)) >= 2
    given = committed_changes(tmp_path / "out")
    batch = rows(0, 15_000).to_pylist()
    wanted = [(r["k"], r["v"]) for r in batch if r["k"] > 2]
    assert Counter(r for _, r in given) == Counter(dict.fromkeys(wanted, 2))
    check_tidy(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 125))
def test_many_kills(tmp_path: Path, seed: int) -> None:
    """The same, more often."""
    chance = random.Random(seed)
    arguments = {"folder": str(tmp_path), "total": 20_000, "aggregate": seed % 3 > 0}
    run_until_done(SUMS, arguments, 10, chance, limit=120)
    if arguments["aggregate"]:
        assert fold(committed_changes(tmp_path / "out")) == expected_sums(20_000, 2)
    else:
        assert len(committed_changes(tmp_path / "out")) == 2 * sum(
            r["k"] > 2 for r in rows(0, 20_000).to_pylist()
        )
    check_tidy(tmp_path)


@pytest.mark.parametrize(
    "moment", ["before-prepare:2", "after-prepare:2", "before-replace:3", "after-replace:3",
               "before-commit:2", "after-commit:2", "before-acknowledge:2", "after-link:1"]
)  # fmt: skip
def test_named_moments(tmp_path: Path, moment: str) -> None:
    """One kill at each of the moments that decide, then a run to the end."""
    arguments = {"folder": str(tmp_path), "total": 1500, "aggregate": True}
    child = run_child(SUMS, arguments, moment)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == -9, output
    child = run_child(SUMS, arguments, None)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0, output
    assert fold(committed_changes(tmp_path / "out")) == expected_sums(1500, 2)
    record = json.loads((tmp_path / "jobs" / "sums" / "job.json").read_text())
    assert (record["attempt"], record["finished"]) == (2, True)
    check_tidy(tmp_path)


def test_the_harness_notices_a_broken_sink(tmp_path: Path) -> None:
    """A sink that shows rows before the manifest decides gives some of them twice."""
    arguments = {"folder": str(tmp_path), "total": 1500, "aggregate": False, "early": True}
    child = run_child(SUMS, arguments, "after-prepare:3")
    child.communicate(timeout=60)
    child = run_child(SUMS, arguments, None)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0, output
    given = Counter(row for _, row in committed_changes(tmp_path / "out"))
    assert max(given.values()) > 2
