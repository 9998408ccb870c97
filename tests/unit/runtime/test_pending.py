"""Held-back output: kept on disk, netted when delivered, part of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import DELETE, INSERT, Changes, net
from flowsql.checkpoint import CheckpointStore, Content
from flowsql.runtime import pending as pending_module
from flowsql.runtime.pending import PendingOutput
from flowsql.types import BigIntType, VarCharType

TYPES = (BigIntType(), VarCharType())


def changes(rows: list[tuple[int, str]], kinds: list[int] | None = None) -> Changes:
    """Rows of (key, text)."""
    batch = pa.record_batch(
        [pa.array([k for k, _ in rows], pa.int64()), pa.array([v for _, v in rows], pa.string())],
        names=["k", "v"],
    )
    return Changes(batch, None if kinds is None else np.array(kinds, np.int8))


def output(folder: Path, key: tuple[int, ...] | None) -> PendingOutput:
    """An empty one."""
    return PendingOutput(folder, "p", TYPES, key, lambda c: net(c, TYPES))


def delivered(pending: PendingOutput) -> list[tuple[int, str]]:
    """All rows delivered; fails where one is taken away."""
    found = []
    for part in pending.deliver():
        assert part.codes is None or not part.codes.any()
        found += [(r["k"], r["v"]) for r in part.batch.to_pylist()]
    return found


@pytest.mark.parametrize("flush", [1, 1 << 20])
def test_updates_are_netted(tmp_path: Path, flush: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a key that changed in many steps only the last row is delivered, wherever files end."""
    monkeypatch.setattr(pending_module, "_FLUSH_BYTES", flush)
    pending = output(tmp_path, (0,))
    for key in range(300):
        pending.add(changes([(key, "first")]))
    for key in range(300):
        pending.add(changes([(key, "first"), (key, "second")], [DELETE, INSERT]))
    pending.add(changes([(7, "second")], [DELETE]))
    assert sorted(delivered(pending)) == [(k, "second") for k in range(300) if k != 7]
    pending.clear()
    pending.sweep()
    assert list(tmp_path.iterdir()) == []
    assert pending.rows == 0


def test_appended_rows_keep_their_order(tmp_path: Path) -> None:
    """Without a key nothing is sorted."""
    pending = output(tmp_path, None)
    pending.add(changes([(5, "a"), (1, "b")]))
    pending.flush()
    pending.add(changes([(3, "c")]))
    assert delivered(pending) == [(5, "a"), (1, "b"), (3, "c")]


@pytest.mark.parametrize("flush", [1, 1 << 20])
def test_added_rows_keep_their_order(
    tmp_path: Path, flush: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to net, so that nothing is sorted, in files or in memory."""
    monkeypatch.setattr(pending_module, "_FLUSH_BYTES", flush)
    pending = output(tmp_path, (0,))
    rows = [(5, "a"), (1, "b"), (300, "c"), (3, "d")]
    for row in rows:
        pending.add(changes([row]))
    assert delivered(pending) == rows


def test_of_a_key_the_last_row_wins(tmp_path: Path) -> None:
    """Where added rows replace each other, they are netted without any that is taken away."""
    pending = PendingOutput(
        tmp_path, "p", TYPES, (0,), lambda c: c.slice(len(c) - 1, 1), last_wins=True
    )
    pending.add(changes([(1, "old")]))
    pending.flush()
    pending.add(changes([(1, "new")]))
    assert delivered(pending) == [(1, "new")]


def test_a_checkpoint_holds_them(tmp_path: Path) -> None:
    """Restored, they go on growing and are delivered together."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    pending = output(first, (0,))
    pending.add(changes([(1, "old"), (2, "x")]))
    store = CheckpointStore(tmp_path / "checkpoints")
    store.prepare()
    content = Content(
        "j", "r", 1, 1, 1, "", finished=False, fingerprint="f", plan={}, sources={}, watermarks={},
        operators={}, segments={}, tokens={}, linked={"sink/pending": pending.entries()},
    )  # fmt: skip
    found = store.write(content, lambda: None)
    found.check()
    again = output(second, (0,))
    again.restore(found, "sink/pending")
    assert again.rows == 2
    again.add(changes([(1, "old"), (1, "new")], [DELETE, INSERT]))
    assert sorted(delivered(again)) == [(1, "new"), (2, "x")]
    again.clear()
    again.sweep()
    found.check()
