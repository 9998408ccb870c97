"""Durable file operations: each is observed, in order, with what it did."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from flowsql.connector import (
    FileOperation,
    fsync_dir,
    kill_point,
    make_dirs,
    observe_files,
    open_for_write,
    remove,
    remove_tree,
    replace,
    write_file,
)


class Recorder:
    """Keeps every operation after it was done."""

    def __init__(self) -> None:
        self.done: list[FileOperation] = []
        self.begun = 0

    def before(self, operation: FileOperation) -> None:
        self.begun += 1

    def after(self, operation: FileOperation) -> None:
        self.done.append(operation)


def test_every_operation_is_seen_in_order(tmp_path: Path) -> None:
    """A journal of the observer tells what happened to the disk."""
    recorder = Recorder()
    with observe_files(recorder):
        make_dirs(tmp_path / "a" / "b")
        write_file(tmp_path / "a" / "b" / "x", b"hello")
        replace(tmp_path / "a" / "b" / "x", tmp_path / "a" / "b" / "y")
        fsync_dir(tmp_path / "a" / "b")
        with kill_point("commit"):
            pass
        remove(tmp_path / "missing")
        remove_tree(tmp_path / "a")
    kinds = [o.kind for o in recorder.done]
    assert kinds == [
        "mkdir", "fsync_dir", "mkdir", "fsync_dir", "create", "write", "fsync", "replace",
        "fsync_dir", "commit", "remove", "rmdir", "rmdir",
    ]  # fmt: skip
    assert recorder.done[5].data == b"hello"
    assert not (tmp_path / "a").exists()


def test_arrow_writes_through_it(tmp_path: Path) -> None:
    """What the journal holds is, written out again, the file."""
    recorder = Recorder()
    batch = pa.record_batch({"a": list(range(300_000))})
    with observe_files(recorder), open_for_write(tmp_path / "f") as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write(batch)
        file.sync()
    content = bytearray()
    for operation in recorder.done:
        if operation.kind == "write":
            assert operation.offset == len(content)
            content += operation.data
    assert (tmp_path / "f").read_bytes() == bytes(content)
    assert pa.ipc.open_file(pa.BufferReader(bytes(content))).read_all().num_rows == 300_000
