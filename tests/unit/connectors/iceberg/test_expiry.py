"""Old snapshots leave the table with the files that only they had; nothing else does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.write import expiry
from flowsql_connectors.iceberg.write.target import Target
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from flowsql.connector import Committed, Role
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError
from flowsql.testing import connector_table
from tests.unit.connectors.iceberg.writing import KeyedTable

PREFIX = "flink-maintenance.expire-snapshots."
ENABLED = f"{PREFIX}enabled"
AT_ONCE = {
    ENABLED: "true",
    f"{PREFIX}max-snapshot-age-seconds": "0",
    f"{PREFIX}schedule.commit-count": "1",
}
MERGING = "flink-maintenance.rewrite.min-input-files"
MERGED = "flink-maintenance.rewrite.enabled"


def made(root: Path, **more: str) -> KeyedTable:
    """A table whose older snapshots expire behind each commit."""
    return KeyedTable(root, **{**AT_ONCE, **more})


def there(table: KeyedTable) -> Table:
    """As others open it."""
    found = table.folder.table
    assert found is not None
    return found


def put(table: KeyedTable, *keys: int, name: str = "a") -> None:
    """A checkpoint with some rows."""
    table.step(*(("+U", key, name) for key in keys))
    table.checkpoint()


def others_add(table: KeyedTable, key: int) -> None:
    """One row of another program."""
    row = pa.table({"id": [key], "name": ["theirs"]}, schema=there(table).schema().as_arrow())
    there(table).append(row)
    table.others_wrote({key: "theirs"})


def ids(table: KeyedTable) -> list[int]:
    """Of its snapshots."""
    return [s.snapshot_id for s in there(table).snapshots()]


def head(table: KeyedTable) -> int:
    """The newest snapshot."""
    found = there(table).current_snapshot()
    assert found is not None
    return found.snapshot_id


def check_readable(table: KeyedTable) -> None:
    """All files that its snapshots name are there."""
    for snapshot in there(table).snapshots():
        there(table).scan(snapshot_id=snapshot.snapshot_id).to_arrow()


def committed(table: KeyedTable) -> Committed | None:
    """What a start is told."""
    return find_connector("iceberg").sink(table.declared).committed("job")


def test_old_snapshots_leave_with_their_files(tmp_path: Path) -> None:
    """One is left, and what it names; replaced rows, merged files and deletes are gone at once."""
    table = made(tmp_path, **{MERGING: "3"})
    for number in range(6):
        put(table, 0, 100 + number, name=f"{number}")
        assert len(ids(table)) <= 2
        check_readable(table)
        assert table.folder.strays() == []
    table.check()
    table.restart()
    table.check()
    put(table, 0)
    table.check()
    assert committed(table) == Committed("r1", 7)


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    """As in Flink."""
    table = KeyedTable(tmp_path, **{k: v for k, v in AT_ONCE.items() if k != ENABLED})
    for key in range(3):
        put(table, key)
    assert len(ids(table)) == 3


@pytest.mark.parametrize(("option", "left"), [
    ({f"{PREFIX}retain-last": "3"}, 3),
    ({"history.expire.min-snapshots-to-keep": "2"}, 2),
    ({f"{PREFIX}max-snapshot-age-seconds": "3600"}, 5),
    ({f"{PREFIX}schedule.commit-count": "4"}, 2),
    ({f"{PREFIX}schedule.commit-count": "9", f"{PREFIX}schedule.interval-second": "0"}, 1),
])  # fmt: skip
def test_how_many_stay_and_when(tmp_path: Path, option: dict[str, str], left: int) -> None:
    """By the options, and by the table's properties where they say nothing."""
    table = made(tmp_path, **{MERGED: "false", **option})
    for key in range(5):
        put(table, key)
    assert len(ids(table)) == left
    check_readable(table)


def test_rows_that_are_only_added(tmp_path: Path) -> None:
    """Manifests are merged by the table's own setting: the older ones go."""
    table = made(tmp_path, **{MERGED: "false", "commit.manifest.min-count-to-merge": "2"})
    for key in range(4):
        put(table, key)
    table.check()
    assert len(ids(table)) == 1
    assert table.folder.strays() == []


def test_tags_and_branches_hold_their_files(tmp_path: Path) -> None:
    """Also those that a compaction replaced since; with the tag they go."""
    table = made(tmp_path, **{MERGING: "2"})
    put(table, 1, 2)
    with there(table).manage_snapshots() as tags:
        tags.create_tag(head(table), "kept")
    snapshot, tagged = head(table), sorted(table.folder.rows())
    for number in range(3):
        put(table, 1, name=f"{number}")
    # The rows of the last checkpoint and its compaction are one.
    assert len(ids(table)) <= 3
    assert table.folder.strays() == []
    found = there(table).scan(snapshot_id=snapshot)
    assert sorted(tuple(r.values()) for r in found.to_arrow().to_pylist()) == tagged
    with there(table).manage_snapshots() as tags:
        tags.remove_tag("kept")
    put(table, 1)
    assert snapshot not in ids(table)
    assert len(ids(table)) <= 2
    assert table.folder.strays() == []


def test_a_tag_that_is_too_old_leaves(tmp_path: Path) -> None:
    """By its own age."""
    table = made(tmp_path)
    put(table, 1)
    with there(table).manage_snapshots() as tags:
        tags.create_tag(head(table), "short", max_ref_age_ms=1)
    put(table, 2)
    put(table, 3)
    assert set(there(table).metadata.refs) == {"main"}
    assert table.folder.strays() == []


def test_the_last_mark_stays_below_what_others_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all snapshots between it and the newest: it is found from there."""
    table = made(tmp_path)
    put(table, 1)
    put(table, 2)
    mine = head(table)
    with monkeypatch.context() as patched:
        # Others come between the commit and the expiry.
        real = expiry.Expirer.committed

        def late(self: expiry.Expirer, *given: Any) -> None:
            others_add(table, 100)
            others_add(table, 101)
            self._target.refresh()
            real(self, *given)

        patched.setattr(expiry.Expirer, "committed", late)
        put(table, 3)
    assert len(ids(table)) == 3
    assert mine not in ids(table)
    assert committed(table) == Committed("r1", 3)
    put(table, 4)
    assert len(ids(table)) == 1
    table.check()


def test_parents_stay_known_and_the_log_has_no_hole(tmp_path: Path) -> None:
    """Who stood at the newest one that left goes on; a look at the past finds none, not a wrong one."""
    table = made(tmp_path, **{f"{PREFIX}retain-last": "2", MERGED: "false"})
    for key in range(3):
        put(table, key)
    before = there(table)
    put(table, 3)
    after = there(table)
    oldest, newest = after.snapshots()
    assert oldest.parent_snapshot_id == before.snapshots()[0].snapshot_id
    assert newest.parent_snapshot_id == oldest.snapshot_id
    assert [e.snapshot_id for e in after.history()] == [oldest.snapshot_id, newest.snapshot_id]


# -- whose files they are ---------------------------------------------------------------------------


def test_a_table_whose_files_are_not_its_own(tmp_path: Path) -> None:
    """They may be another's: it is refused, or left alone if the table says so later."""
    table = made(tmp_path)
    put(table, 1)
    with there(table).transaction() as changes:
        changes.set_properties({"gc.enabled": "false"})
    put(table, 2)
    put(table, 3)
    assert len(ids(table)) == 3
    with pytest.raises(ConnectorError) as caught:
        table.restart()
    assert caught.value.message == (
        f"'{ENABLED}' = 'true' is refused: table \"t\" has 'gc.enabled' = 'false'"
    )


@pytest.mark.parametrize(("key", "value", "least"), [
    ("max-snapshot-age-seconds", "-1", 0), ("retain-last", "0", 1),
    ("schedule.commit-count", "0", 1), ("schedule.interval-second", "-1", 0),
])  # fmt: skip
def test_numbers_that_make_no_sense(key: str, value: str, least: int) -> None:
    """Are refused before anything begins."""
    options = {
        "connector": "iceberg",
        "catalog-name": "lake",
        "warehouse": "/tmp",
        PREFIX + key: value,
    }
    with pytest.raises(ConfigError) as caught:
        find_connector("iceberg").check(connector_table("id BIGINT", options), Role.SINK)
    assert caught.value.message == f'option "{PREFIX}{key}" cannot be {value}: the least is {least}'


# -- killed, and others at the same time -----------------------------------------------------------


class Killed(BaseException):
    """The process is no more."""


def kill(*_: Any, **__: Any) -> Any:
    """At this very place."""
    raise Killed


def _in_deleting(monkeypatch: pytest.MonkeyPatch) -> None:
    delete = expiry.delete_files

    def some(io: Any, locations: Iterable[str]) -> None:
        delete(io, list(locations)[:2])
        kill()

    monkeypatch.setattr(expiry, "delete_files", some)


def _behind_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    remove, write = Target.remove, SqlCatalog._write_metadata

    def dying(*given: Any, **more: Any) -> bool:
        def written(*to: Any, **named: Any) -> None:
            write(*to, **named)
            kill()

        monkeypatch.setattr(SqlCatalog, "_write_metadata", staticmethod(written))
        return remove(*given, **more)

    monkeypatch.setattr(Target, "remove", dying)


PLACES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the plan": lambda m: m.setattr(expiry, "_named", kill),
    "before the commit": lambda m: m.setattr(Target, "remove", kill),
    "with metadata that nobody took": _behind_metadata,
    "before deleting": lambda m: m.setattr(expiry, "unreferenced", kill),
    "in deleting": _in_deleting,
}


@pytest.mark.parametrize("place", PLACES)
def test_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The next start finishes it, what others wrote included; the rows are committed once."""
    table = made(tmp_path, **{MERGED: "false"})
    put(table, 1, 2)
    others_add(table, 100)
    put(table, 1, name="b")
    others_delete(table, 100)
    table.step(("+U", 2, "c"))
    table.prepare()
    with monkeypatch.context() as patched:
        PLACES[place](patched)
        with pytest.raises(Killed):
            table.commit()
    table.restart()
    table.check()
    check_readable(table)
    assert table.folder.strays() == []
    put(table, 5)
    assert len(ids(table)) == 1
    table.check()
    assert table.folder.strays() == []


def others_delete(table: KeyedTable, key: int) -> None:
    """One row less, with the file of it or a new one in its place."""
    there(table).delete(f"id = {key}")
    del table.rows[key], table.kept[key]


@pytest.mark.parametrize("what", ["append", "tag", "rollback"])
def test_others_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Then nothing expires until the next commit, least of all what they named a moment ago."""
    table = made(tmp_path, **{MERGED: "false"})
    put(table, 1)
    first = head(table)
    with monkeypatch.context() as patched:
        patched.setattr(Target, "remove", lambda *_: False)
        put(table, 2)
    assert len(ids(table)) == 2
    assert table.folder.strays() == []
    remove = Target.remove

    def late(*given: Any) -> bool:
        if what == "append":
            others_add(table, 100)
        elif what == "tag":
            with there(table).manage_snapshots() as tags:
                tags.create_tag(first, "mine")
        else:
            there(table).manage_snapshots().rollback_to_snapshot(first).commit()
        return remove(*given)

    monkeypatch.setattr(Target, "remove", late)
    put(table, 3)
    assert first in ids(table)
    check_readable(table)
    assert table.folder.strays() == [] or what == "rollback"


@pytest.mark.parametrize("place", ["_named", "unreferenced"])
def test_others_expire_what_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The checkpoint has landed and stands; a later commit or start removes what is left."""
    table = made(tmp_path)
    put(table, 1)

    def gone(*_: object) -> None:
        raise FileNotFoundError("a manifest list")

    with monkeypatch.context() as patch:
        patch.setattr(expiry, place, gone)
        put(table, 1, name="b")
    table.check()
    put(table, 2)
    table.restart()
    put(table, 3)
    table.check()
    check_readable(table)
    assert len(ids(table)) == 1
    assert table.folder.strays() == []


def test_an_answer_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshots are gone, and so are their files."""
    table = made(tmp_path, **{MERGED: "false"})
    put(table, 1)
    real = Table._do_commit

    def losing(self: Table, updates: Any, requirements: Any) -> None:
        real(self, updates, requirements)
        if any("snapshot_ids" in type(u).model_fields for u in updates):
            raise ConnectionError("no answer")

    monkeypatch.setattr(Table, "_do_commit", losing)
    put(table, 2)
    assert len(ids(table)) == 1
    assert table.folder.strays() == []


def test_a_commit_that_is_refused_leaves_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try comes with the next commit."""
    table = made(tmp_path, **{MERGED: "false"})
    put(table, 1)
    real, refused = Table._do_commit, []

    def refusing(self: Table, updates: Any, requirements: Any) -> None:
        if not refused and any("snapshot_ids" in type(u).model_fields for u in updates):
            refused.append(1)
            raise CommitFailedException("others")
        real(self, updates, requirements)

    monkeypatch.setattr(Table, "_do_commit", refusing)
    put(table, 2)
    assert len(ids(table)) == 2
    assert table.folder.strays() == []
    put(table, 3)
    assert len(ids(table)) == 1


def test_many_snapshots_leave_in_several_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job waits for a few only; the rest follows with the next commits, whatever the schedule."""
    monkeypatch.setattr(expiry, "_MOST", 2)
    table = made(tmp_path, **{f"{PREFIX}schedule.commit-count": "6", MERGED: "false"})
    for key in range(7):
        put(table, key)
    assert len(ids(table)) == 7 - 4
    put(table, 7)
    assert len(ids(table)) == 7 + 1 - 6
    table.check()
    assert table.folder.strays() == []


# -- checkpoints -----------------------------------------------------------------------------------


def test_an_older_checkpoint_is_not_committed_again(tmp_path: Path) -> None:
    """Its rows are there; files of it that were merged since are gone, and nobody asks for them."""
    table = made(tmp_path, **{MERGING: "2"})
    put(table, 1, 2)
    table.step(("+U", 1, "b"), ("+I", 3, "b"))
    table.prepare()
    older = list(table._tokens), table._segments
    table.commit()
    for number in range(3):
        put(table, 1, name=f"{number}")
    table.writer.close()
    table._tokens, table._segments = older
    table.start()
    table.check()
    put(table, 3, name="c")
    table.check()
    check_readable(table)


def test_files_that_are_gone_are_not_committed(tmp_path: Path) -> None:
    """Rows that were rolled back, whose snapshot expired since: not a table that nobody can read."""
    table = KeyedTable(tmp_path)
    put(table, 1)
    kept = head(table)
    table.step(("+I", 2, "b"))
    table.prepare()
    (token,) = table._tokens
    table.writer.commit(token)
    gone = head(table)
    there(table).manage_snapshots().rollback_to_snapshot(kept).commit()
    there(table).maintenance.expire_snapshots().by_id(gone).commit()
    for path in table.folder.strays():
        Path(path).unlink()
    table.writer.close()
    with pytest.raises(
        ConnectorError, match=r"not there any more, and table \"t\" has not its rows"
    ):
        table.start()
    assert head(table) == kept
    check_readable(table)


# -- any history -----------------------------------------------------------------------------------


def scramble(table: KeyedTable, chance: random.Random) -> None:
    """One step of the job or of others."""
    kinds = ["put"] * 4 + ["add", "delete", "tag", "untag", "branch", "restart"]
    match chance.choice(kinds):
        case "put":
            put(table, *chance.sample(range(6), 2), name=f"n{chance.randrange(99)}")
        case "add":
            others_add(table, 1000 + chance.randrange(10**9))
        case "delete" if table.kept:
            others_delete(table, chance.choice(sorted(table.kept)))
        case "tag" | "branch" as kind:
            name = f"{kind}{chance.randrange(2)}"
            if name not in there(table).metadata.refs and ids(table):
                with there(table).manage_snapshots() as refs:
                    make = refs.create_tag if kind == "tag" else refs.create_branch
                    make(chance.choice(ids(table)), name)
        case "untag":
            for name in set(there(table).metadata.refs) - {"main"}:
                with there(table).manage_snapshots() as refs:
                    kind = there(table).metadata.refs[name].snapshot_ref_type.value
                    (refs.remove_tag if kind == "tag" else refs.remove_branch)(name)
        case "restart":
            table.restart()


@pytest.mark.parametrize("seed", [*range(2), *(
    pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40)
)])  # fmt: skip
def test_any_history(tmp_path: Path, seed: int) -> None:
    """Whatever others do, every snapshot that is left can be read, and no file is left over."""
    chance = random.Random(seed)
    last = str(chance.choice([1, 1, 2, 3]))
    table = made(tmp_path, **{MERGING: "2", f"{PREFIX}retain-last": last})
    put(table, 1, 2)
    for _ in range(8):
        scramble(table, chance)
        check_readable(table)
    put(table, 1, name="end")
    table.restart()
    table.check()
    check_readable(table)
    assert table.folder.strays() == []
