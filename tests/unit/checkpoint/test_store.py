"""Checkpoints on disk: written whole or not at all, read back as they were, damage is named."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from flowsql.checkpoint import CheckpointStore, Content, PendingToken, SegmentEntry, load
from flowsql.connector import FileOperation, observe_files, write_file
from flowsql.errors import StateError
from flowsql.state.table import Segment

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.string())])


def batch(*rows: tuple[int, str]) -> pa.RecordBatch:
    """Rows of the test table."""
    return pa.RecordBatch.from_pylist([{"k": k, "v": v} for k, v in rows], schema=SCHEMA)


def content(number: int, **changed: object) -> Content:
    """A small checkpoint, some parts changed."""
    parts: dict[str, object] = {
        "job": "j", "run": "r", "attempt": 1, "checkpoint": number, "step": number * 10,
        "created": "2026-01-01T00:00:00Z", "finished": False, "fingerprint": "f",
        "plan": {"nodes": []}, "sources": {"g": {"position": {"splits": {"s": {"at": number}}}}},
        "watermarks": {"scan": {"mark": -(1 << 63)}},
        "operators": {"agg#2": {"watermark": 5, "counters": {"late-rows": 1}}},
        "segments": {
            "agg#2": [
                Segment("groups", "0", SCHEMA, [batch((1, "a"), (2, "b")), batch((3, "ü"))], {"n": 3}),
                Segment("groups", "1", SCHEMA, [], {}),
            ]
        },
        "tokens": {},
    }  # fmt: skip
    parts.update(changed)
    return Content(**parts)


def store(folder: Path) -> CheckpointStore:
    """An empty store."""
    made = CheckpointStore(folder / "checkpoints")
    made.prepare()
    return made


def go_on() -> None:
    """Nothing stops the write."""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Manifest and segments come back equal, empty segments with their schema."""
    s = store(tmp_path)
    written = s.write(content(1), go_on)
    found = s.load(1)
    found.check()
    assert found.manifest == written.manifest
    assert found.manifest.sources["g"]["position"] == {"splits": {"s": {"at": 1}}}
    first, second = found.segments("agg#2")
    assert pa.Table.from_batches(first.batches).to_pylist()[2] == {"k": 3, "v": "ü"}
    assert (first.table, first.part, first.meta) == ("groups", "0", {"n": 3})
    assert (second.batches, second.schema) == ([], SCHEMA)
    assert found.segments("other") == []


def test_any_tool_reads_the_files(tmp_path: Path) -> None:
    """A segment is an Arrow file, the manifest is JSON."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    table = pa.ipc.open_file(s.path(1) / "agg-2.groups.0.arrow").read_all()
    assert table.num_rows == 3
    outer = json.loads((s.path(1) / "manifest.json").read_text())
    assert outer["manifest"]["format"] == "flowsql-checkpoint"
    assert outer["manifest"]["version"] == 1


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Older checkpoints go whole."""
    s = store(tmp_path)
    for n in (1, 2, 3, 4):
        s.write(content(n), go_on)
    assert s.retain(2) == [3, 4]
    assert sorted(p.name for p in s.folder.iterdir()) == ["chk-3", "chk-4", "token-files"]


def test_leftovers_without_a_manifest_are_removed(tmp_path: Path) -> None:
    """A folder that no manifest made a checkpoint is none."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    (s.folder / "chk-2").mkdir()
    (s.folder / "chk-2" / "manifest.json.tmp").write_text("half")
    assert s.numbers() == [1]
    s.clean(s.load(1))
    assert not (s.folder / "chk-2").exists()


def test_token_files_live_as_long_as_the_checkpoint(tmp_path: Path) -> None:
    """Bulk of a token is in the checkpoint, comes back at a restore, and goes with it."""
    s = store(tmp_path)
    write_file(s.token_files / "bulk-1", b"rows")
    write_file(s.token_files / "leftover", b"?")
    tokens = {"sink": [PendingToken(1, {"file": "bulk-1"}, ("bulk-1",))]}
    s.write(content(1, tokens=tokens), go_on)
    (s.token_files / "bulk-1").unlink()
    s.clean(s.load(1))
    assert [p.name for p in s.token_files.iterdir()] == ["bulk-1"]
    assert (s.token_files / "bulk-1").read_bytes() == b"rows"
    s.write(content(2), go_on)
    s.retain(1)
    assert list(s.token_files.iterdir()) == []


def test_linked_pieces_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    """A file that never changes is linked, not written again."""
    s = store(tmp_path)
    with pa.OSFile(str(tmp_path / "p.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as w:
        w.write(batch((7, "x")))
    entry = SegmentEntry("pending", "0", "pending-0.arrow", 1)
    s.write(content(1, linked={"sink/pending": [(entry, tmp_path / "p.arrow")]}), go_on)
    (tmp_path / "p.arrow").unlink()
    found = s.load(1)
    found.check()
    assert found.segments("sink/pending")[0].batches[0].to_pylist() == [{"k": 7, "v": "x"}]


def test_a_savepoint_shares_no_file(tmp_path: Path) -> None:
    """Removing the checkpoint leaves the copy whole."""
    s = store(tmp_path)
    write_file(s.token_files / "bulk-1", b"rows")
    tokens = {"sink": [PendingToken(1, {"file": "bulk-1"}, ("bulk-1",))]}
    s.write(content(1, tokens=tokens), go_on)
    target = s.copy_to(1, tmp_path / "save")
    for name in ("agg-2.groups.0.arrow", "token.bulk-1"):
        assert not (s.path(1) / name).samefile(target / name)
    s.remove(1)
    found = load(target)
    found.check()
    assert found.manifest.checkpoint == 1
    with pytest.raises(StateError, match="is not empty"):
        s.copy_to(1, target)


@pytest.mark.parametrize("name", ["agg-2.groups.0.arrow", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damage_is_named(tmp_path: Path, name: str, damage: str) -> None:
    """One flipped bit or one lost byte is found, with the file's name and the cure."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    path = s.path(1) / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data if damage == "flip" else data[:-1]))
    with pytest.raises(StateError) as caught:
        s.load(1).check()
    assert f'checkpoint file "{path}" is damaged' in caught.value.message
    assert "--from PATH" in (caught.value.hint or "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    (s.path(1) / "agg-2.groups.0.arrow").unlink()
    with pytest.raises(StateError, match=r'agg-2\.groups\.0\.arrow" is missing'):
        s.load(1).check()


def test_no_checkpoint_there(tmp_path: Path) -> None:
    """The folder above is a usual mistake: the checkpoints in it are listed."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    with pytest.raises(StateError, match="there is no checkpoint at") as caught:
        load(s.folder)
    assert caught.value.detail == "It has the checkpoints chk-1."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is not the manifest of a flowsql checkpoint"),
        ({"version": 9}, "has format 9, this version reads 1"),
    ],
)
def test_foreign_and_newer_ones_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """What this version does not understand it does not touch."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    path = s.path(1) / "manifest.json"
    outer = json.loads(path.read_text())
    outer["manifest"].update(change)
    path.write_text(json.dumps(outer))
    with pytest.raises(StateError) as caught:
        s.load(1)
    assert message in caught.value.message


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    """Reading a foreign checkpoint opens no file but its own."""
    s = store(tmp_path)
    found = s.write(content(1), go_on)
    entry = found.manifest.files[0]
    object.__setattr__(entry, "path", "../../secret")
    with pytest.raises(StateError, match="outside its folder"):
        found.check()


class Failing:
    """A disk on which the nth operation of a kind fails."""

    def __init__(self, kind: str, number: int, code: int) -> None:
        self.kind, self.number, self.code = kind, number, code

    def before(self, operation: FileOperation) -> None:
        if operation.kind == self.kind:
            self.number -= 1
            if self.number == 0:
                raise OSError(self.code, "No space left on device")

    def after(self, operation: FileOperation) -> None:
        pass


@pytest.mark.parametrize(("kind", "number"), [("write", 1), ("fsync", 2), ("replace", 1)])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, kind: str, number: int) -> None:
    """The failed one vanishes, the error names the cure."""
    s = store(tmp_path)
    s.write(content(1), go_on)
    with (
        pytest.raises(StateError, match="could not write checkpoint 2") as caught,
        observe_files(Failing(kind, number, errno.ENOSPC)),
    ):
        s.write(content(2), go_on)
    assert "Free space" in (caught.value.hint or "")
    assert s.numbers() == [1]
    assert not s.path(2).exists()


def test_giving_up_leaves_nothing(tmp_path: Path) -> None:
    """A write that is told to stop removes what it wrote."""
    s = store(tmp_path)

    def stop() -> None:
        raise StateError("too late")

    with pytest.raises(StateError, match="too late"):
        s.write(content(1), stop)
    assert not s.path(1).exists()


def test_names_that_are_no_utf8_stand_in_a_manifest(tmp_path: Path) -> None:
    """A position names files, whatever their names."""
    position = {"position": {"splits": {"\udcff.csv": {"at": 1}}}}
    s = store(tmp_path)
    s.write(content(1, sources={"g": position}), go_on)
    assert s.load(1).manifest.sources == {"g": position}


def test_a_manifest_that_does_not_say_what_is_committed(tmp_path: Path) -> None:
    """As older ones: nothing is known of it."""
    s = store(tmp_path)
    assert s.write(content(1, committed={"sink": 7}), go_on).manifest.committed == {"sink": 7}
    path = s.path(1) / "manifest.json"
    assert s.load(1).manifest.committed == {"sink": 7}
    inner = json.loads(path.read_text())["manifest"]
    del inner["committed"]
    text = json.dumps(inner, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps({"manifest": inner, "sha256": digest}))
    assert s.load(1).manifest.committed == {}
