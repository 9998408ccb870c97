"""What other programs do to a table that is kept by key."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowsql_connectors.iceberg.write import live
from flowsql_connectors.iceberg.write.commit import _Producer
from pyiceberg.table import Table

from flowsql.errors import ConnectorError
from tests.unit.connectors.iceberg.lake import commit, delete_file, delete_rows, file_of, head
from tests.unit.connectors.iceberg.writing import KeyedTable


def there(table: KeyedTable) -> Table:
    """As others open it."""
    found = table.folder.table
    assert found is not None
    return found


@pytest.mark.parametrize("prepared", [False, True])
def test_a_rollback(tmp_path: Path, prepared: bool) -> None:
    """It brings rows back that were deleted by their places: they are replaced all the same."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "old"), ("+I", 2, "old"))
    table.checkpoint()
    first = head(there(table))
    table.step(("+U", 1, "new"), ("-D", 2, None))
    table.checkpoint()
    if prepared:
        table.step(("+U", 1, "newer"))
        table.prepare()
    there(table).manage_snapshots().set_current_snapshot(snapshot_id=first).commit()
    if prepared:
        table.commit()
    else:
        table.step(("+U", 1, "newer"))
        table.checkpoint()
    table.others_wrote({2: "old"})
    table.check()
    table.step(("+U", 2, "newest"), ("-D", 1, None))
    table.checkpoint()
    table.check()


def test_a_rollback_while_the_job_stands_still(tmp_path: Path) -> None:
    """The index tells from the rows of each file."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "old"), ("+I", 2, "old"))
    table.checkpoint()
    first = head(there(table))
    table.step(("-D", 2, None))
    table.checkpoint()
    there(table).manage_snapshots().set_current_snapshot(snapshot_id=first).commit()
    table.restart()
    table.others_wrote({2: "old"})
    table.step(("+U", 2, "new"))
    table.checkpoint()
    table.check()


def test_two_jobs_keep_keys_of_their_own(tmp_path: Path) -> None:
    """Each deletes by place, and neither takes the other's update for a second row of a key."""
    one = KeyedTable(tmp_path)
    two = KeyedTable(tmp_path, job="other", run="r2")
    for number in range(3):
        for table, other, key in ((one, two, 1), (two, one, 100)):
            table.step(("+U", key, f"{number}"))
            table.checkpoint()
            other.others_wrote({key: f"{number}"})
    one.check()


def test_deletes_of_several_files_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many data files there are."""
    table = KeyedTable(tmp_path)
    for key in range(6):
        table.step(("+I", 2 * key, "a"), ("+I", 2 * key + 1, "a"))
        table.checkpoint()
    table.writer.close()
    delete_rows(there(table), 0, 2, 4)
    opened: list[str] = []
    real = live.read_positions
    monkeypatch.setattr(
        live, "read_positions", lambda io, d: (opened.append(d.file_path), real(io, d))[1]
    )
    later = KeyedTable(tmp_path, run="r2")
    later.kept = {k: "a" for k in range(12) if k not in (0, 2, 4)}
    later.rows = dict(later.kept)
    later.step(("+I", 0, "b"), ("+U", 3, "b"))
    later.checkpoint()
    later.check()
    assert len(opened) == len(set(opened))


def test_a_commit_reads_no_manifest_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only delete files are removed; those that it wrote itself it knows."""
    table = KeyedTable(tmp_path)
    table.step(*(("+I", k, "a") for k in range(30)))
    table.checkpoint()
    for number in range(9):
        table.step(("-D", number, None))
        table.checkpoint()
    read = []
    real = _Producer.fetch_manifest_entry

    def noted(self: _Producer, manifest: object, *args: object, **more: object) -> object:
        read.append(manifest)
        return real(self, manifest, *args, **more)

    monkeypatch.setattr(_Producer, "fetch_manifest_entry", noted)
    table.step(("-D", 20, None))
    table.checkpoint()
    table.check()
    assert len(read) == 9
    assert {m.content.name for m in read} == {"DELETES"}


def test_a_row_that_others_deleted_by_its_place(tmp_path: Path) -> None:
    """Ours to write again."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.checkpoint()
    table.step(("+U", 1, "b"))
    table.prepare()
    file, place = file_of(there(table), 1)
    commit(there(table), delete_file(there(table), {file.file_path: [place]}))
    table.commit()
    table.check()
    table.step(("-D", 1, None), ("+U", 2, "b"))
    table.checkpoint()
    table.check()


def test_one_job_begun_twice(tmp_path: Path) -> None:
    """Before either has committed anything, no start could tell: the second one to commit ends."""
    one, other = KeyedTable(tmp_path), KeyedTable(tmp_path, run="r2")
    one.step(("+I", 1, "a"))
    other.step(("+I", 1, "a"))
    one.checkpoint()
    with pytest.raises(ConnectorError, match='rows of another run of job "job"') as caught:
        other.checkpoint()
    assert caught.value.final
    one.step(("+U", 1, "b"))
    one.checkpoint()
    one.check()


def test_a_branch_that_is_not_there(tmp_path: Path) -> None:
    """Where it is to begin, the job cannot know."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"))
    table.checkpoint()
    with pytest.raises(ConnectorError, match='has no branch "audit"') as caught:
        KeyedTable(tmp_path, job="other", branch="audit")
    assert "create_branch" in (caught.value.hint or "")
    there(table).manage_snapshots().create_branch(head(there(table)), "audit").commit()
    audit = KeyedTable(tmp_path, job="other", branch="audit")
    audit.step(("+U", 1, "b"), ("+I", 2, "b"))
    audit.checkpoint()
    found = there(table).scan().use_ref("audit").to_arrow().sort_by("id").to_pylist()
    assert found == [{"id": 1, "name": "b"}, {"id": 2, "name": "b"}]
    table.check()
