"""The power goes off between any two disk operations of the checkpoint store."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from flowsql.checkpoint import CheckpointStore, Content, PendingToken
from flowsql.connector import FileOperation, fsync_dir, observe_files, write_file
from flowsql.state.table import Segment
from tests.recovery.disk import Disk, Loss, Recorder

SCHEMA = pa.schema([("k", pa.int64())])


def content(number: int) -> Content:
    """A checkpoint with one table and one token file."""
    rows = pa.record_batch([pa.array([number] * 3)], schema=SCHEMA)
    return Content(
        "j", "r", 1, number, number, "", finished=False, fingerprint="f", plan={}, sources={},
        watermarks={}, operators={}, segments={"a": [Segment("t", "0", SCHEMA, [rows])]},
        tokens={"s": [PendingToken(number, {}, (f"bulk-{number}",))]},
    )  # fmt: skip


@pytest.mark.parametrize("loss", list(Loss))
def test_after_any_prefix_the_last_decided_checkpoint_is_whole(tmp_path: Path, loss: Loss) -> None:
    """What `write` returned is never lost, and what is found is never damaged."""
    root = tmp_path / "job"
    recorder = Recorder()
    sure: list[tuple[int, int]] = []
    with observe_files(recorder):
        store = CheckpointStore(root / "checkpoints")
        store.prepare()
        for number in (1, 2, 3):
            write_file(store.token_files / f"bulk-{number}", b"%d" % number)
            fsync_dir(store.token_files)
            store.write(content(number), lambda: None)
            sure.append((len(recorder.operations), number))
            store.retain(1)
    disk = Disk(root)
    for done, operation in enumerate(recorder.operations, start=1):
        if not operation.path.startswith(str(root)):
            continue
        disk.apply(operation)
        _check(disk, tmp_path / f"after-{done}", loss, [n for at, n in sure if at <= done])


def _check(disk: Disk, target: Path, loss: Loss, decided: list[int]) -> None:
    disk.materialize(target, loss)
    store = CheckpointStore(target / "checkpoints")
    store.prepare()
    numbers = store.numbers()
    if decided:
        assert numbers
        assert numbers[-1] >= decided[-1]
    if numbers:
        found = store.load(numbers[-1])
        found.check()
        store.clean(found)
        assert found.segments("a")[0].batches[0].column(0).to_pylist() == [numbers[-1]] * 3
        token = (store.token_files / f"bulk-{numbers[-1]}").read_bytes()
        assert token == b"%d" % numbers[-1]


def test_the_model_can_fail(tmp_path: Path) -> None:
    """A manifest that is renamed without a sync is found out."""
    disk = Disk(tmp_path)
    path = str(tmp_path / "m.tmp")
    disk.apply(FileOperation("create", path))
    disk.apply(FileOperation("write", path, data=b"content"))
    disk.apply(FileOperation("replace", path, str(tmp_path / "m")))
    disk.apply(FileOperation("fsync_dir", str(tmp_path)))
    disk.materialize(tmp_path / "after", Loss.ALL)
    assert (tmp_path / "after" / "m").read_bytes() == b""
