"""Netting and labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import Changes, Marks, kind_names, label, net, upsert_form
from flowsql.types import BigIntType, DoubleType, VarCharType

TYPES = [BigIntType(), VarCharType()]
CODES = {"+I": 0, "-U": 1, "+U": 2, "-D": 3}


def changes(*rows: str) -> Changes:
    """`"+I 1 a"` … as changes."""
    parts = [row.split() for row in rows]
    batch = pa.record_batch(
        [pa.array([int(p[1]) for p in parts]), pa.array([p[2] for p in parts])], names=["k", "v"]
    )
    return Changes(batch, np.array([CODES[p[0]] for p in parts], np.int8))


def shown(got: Changes | None) -> list[str]:
    """The reverse of `changes`."""
    if got is None:
        return []
    rows = zip(*(c.to_pylist() for c in got.batch.columns), strict=True)
    return [f"{kind} {k} {v}" for kind, (k, v) in zip(kind_names(got), rows, strict=True)]


def test_equal_rows_cancel() -> None:
    """Whole rows cancel, in any order; what is left keeps its order."""
    assert shown(net(changes("+I 1 a", "-D 1 a"), TYPES)) == []
    assert shown(net(changes("-U 1 a", "+U 1 b", "-U 1 b", "+U 1 a"), TYPES)) == []
    got = net(changes("+I 2 x", "-U 1 a", "+U 1 b", "-U 1 b", "+U 1 c", "+I 3 y"), TYPES)
    assert shown(got) == ["+I 2 x", "-D 1 a", "+I 1 c", "+I 3 y"]


def test_multiplicities_are_kept() -> None:
    """Two equal rows less one are one; the latest insertion and the earliest retraction stay."""
    assert shown(net(changes("+I 1 a", "+I 1 a", "+I 2 b", "-D 1 a"), TYPES)) == [
        "+I 1 a",
        "+I 2 b",
    ]
    got = net(changes("-D 1 a", "+I 2 b", "-D 1 a", "+I 1 a"), TYPES)
    assert shown(got) == ["-D 1 a", "+I 2 b"]


def test_a_chain_of_updates_keeps_retraction_before_insertion() -> None:
    """A → b → a → b: the retraction of a stands first."""
    got = net(changes("-U 1 a", "+U 1 b", "-U 1 b", "+U 1 a", "-U 1 a", "+U 1 b"), TYPES)
    assert shown(got) == ["-D 1 a", "+I 1 b"]


def test_netting_uses_the_normal_form() -> None:
    """NaN cancels NaN; −0.0 does not cancel 0.0."""
    batch = pa.record_batch([pa.array([float("nan"), float("nan"), 0.0, -0.0])], names=["d"])
    got = net(Changes(batch, np.array([0, 3, 0, 3], np.int8)), [DoubleType()])
    assert got is not None
    assert [str(v) for v in got.batch.column(0).to_pylist()] == ["0.0", "-0.0"]


def test_appends_pass_and_lose_their_marks() -> None:
    """Nothing to cancel: the same rows, without kinds and marks."""
    batch = pa.record_batch([pa.array([1, 1]), pa.array(["a", "a"])], names=["k", "v"])
    got = net(Changes(batch, marks=Marks(np.zeros(2, np.int64))), TYPES)
    assert got is not None
    assert got.codes is None
    assert got.marks is None
    assert shown(got) == ["+I 1 a", "+I 1 a"]


def test_labels_by_key() -> None:
    """An update's rows stand side by side, whatever was between them."""
    got = label(changes("-D 1 a", "-D 2 x", "+I 3 z", "+I 1 b", "+I 1 c", "-D 4 q"), [0], TYPES)
    assert shown(got) == ["-D 1 a", "+I 1 b", "+I 1 c", "-D 2 x", "+I 3 z", "-D 4 q"]
    got = label(changes("+I 1 b", "-D 2 x", "-D 1 a", "+I 2 y"), [0], TYPES)
    assert shown(got) == ["-U 1 a", "+U 1 b", "-U 2 x", "+U 2 y"]
    assert shown(upsert_form(got)) == ["+U 1 b", "+U 2 y"]


def test_labels_without_key() -> None:
    """Only the sign is said."""
    got = label(changes("-U 1 a", "+U 1 b"), None, TYPES)
    assert shown(got) == ["-D 1 a", "+I 1 b"]


@pytest.mark.parametrize("seed", range(5))
def test_netting_against_counting(seed: int) -> None:
    """Folding the net change gives what folding the changes gives, with nothing to cancel left."""
    rng = np.random.default_rng(seed)
    rows = [
        f"{'+I' if rng.random() < 0.5 else '-D'} {rng.integers(5)} v{rng.integers(3)}"
        for _ in range(200)
    ]
    expected: dict[str, int] = {}
    for row in rows:
        expected[row[3:]] = expected.get(row[3:], 0) + (1 if row[0] == "+" else -1)
    got = shown(net(changes(*rows), TYPES))
    for row, count in expected.items():
        assert sum(g == f"+I {row}" for g in got) == max(0, count)
        assert sum(g == f"-D {row}" for g in got) == max(0, -count)
