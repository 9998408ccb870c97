"""Small files become larger ones: the rows stay, whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flowsql_connectors.iceberg.write import content, target
from flowsql_connectors.iceberg.write.files import ParquetFile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyiceberg.table import Table
from pyiceberg.types import ListType, LongType, NestedField, StructType, TimestampType

import flowsql
from flowsql.changelog import ChangelogMode
from flowsql.errors import ConnectorError
from tests.support.iceberg import IcebergFolder, named_files
from tests.support.iceberg_reader import rows_by_duckdb
from tests.unit.connectors.iceberg.lake import commit, delete_file, file_of, foreign_file
from tests.unit.connectors.iceberg.writing import KeyedTable

FILES = "flink-maintenance.rewrite.min-input-files"
ENABLED = "flink-maintenance.rewrite.enabled"
KEYS = 24


def made(root: Path, files: int = 2, **more: Any) -> KeyedTable:
    """A table whose files are merged as soon as there are so many."""
    return KeyedTable(root, **{FILES: str(files), **more})


def there(table: KeyedTable) -> Table:
    """As others open it."""
    found = table.folder.table
    assert found is not None
    return found


def operations(table: KeyedTable) -> list[str]:
    """What the table's snapshots did."""
    return [s.summary.operation.value for s in there(table).snapshots() if s.summary]


def data_files(table: KeyedTable) -> int:
    """How many there are by now."""
    return len(list(there(table).scan().plan_files()))


def test_files_are_merged_beside_the_rows(tmp_path: Path) -> None:
    """In busy checkpoints as well: else each would cost more than the one before."""
    table = made(tmp_path, files=4)
    chance = random.Random(1)
    most = deletes = 0
    for number in range(20):
        table.step(*(("+U", chance.randrange(200), f"{number}") for _ in range(20)))
        table.checkpoint()
        summary = there(table).current_snapshot().summary
        most = max(most, int(summary["total-data-files"]))
        deletes = max(deletes, int(summary["total-delete-files"] or 0))
    table.check()
    assert "replace" in operations(table)
    assert most <= 5
    assert deletes <= 20
    table.restart()
    assert table.folder.strays() == []


def test_an_idle_checkpoint_merges(tmp_path: Path) -> None:
    """The index points to the new file afterwards; dead rows and their deletes are gone."""
    table = made(tmp_path, files=3)
    for number in range(2):
        table.step(("+I", 2 * number, "a"), ("+I", 2 * number + 1, "a"))
        table.checkpoint()
    table.step(("+U", 0, "b"), ("-D", 1, None))
    table.checkpoint()
    assert data_files(table) == 3
    table.checkpoint()
    table.check()
    summary = there(table).current_snapshot().summary
    assert summary.operation.value == "replace"
    assert data_files(table) == 1
    assert int(summary["total-delete-files"]) == 0
    assert int(summary["total-records"]) == 3
    table.step(("-D", 0, None), ("+U", 2, "c"))
    table.checkpoint()
    table.check()
    count = len(there(table).snapshots())
    table.checkpoint()
    assert len(there(table).snapshots()) == count


@pytest.mark.parametrize("option", [ENABLED, "compaction-enabled"])
def test_it_can_be_switched_off(tmp_path: Path, option: str) -> None:
    """Under both of its names."""
    table = made(tmp_path, **{option: "false"})
    for number in range(5):
        table.step(("+I", number, "a"))
        table.checkpoint()
    table.checkpoint()
    assert data_files(table) == 5
    assert "replace" not in operations(table)


def test_partitions_stay_apart(tmp_path: Path) -> None:
    """A file holds rows of one."""
    table = made(tmp_path, partitioning="truncate(1, name), bucket(2, id)")
    for number in range(4):
        table.step(*(("+U", key, f"{'ab'[key % 2]}{number}") for key in range(8)))
        table.checkpoint()
    for _ in range(6):
        table.checkpoint()
    table.check()
    assert data_files(table) == 4
    kinds = rows_by_duckdb(there(table).metadata_location, "count(DISTINCT id), count(*)")
    assert kinds == [(8, 8)]


def overwritten(table: KeyedTable) -> None:
    """A compaction by somebody else."""
    there(table).overwrite(there(table).scan().to_arrow())


def deleted(table: KeyedTable) -> None:
    """Somebody else deletes a row by its place."""
    file, place = file_of(there(table), 3)
    commit(there(table), delete_file(there(table), {file.file_path: [place]}))
    table.others_wrote({})
    del table.kept[3], table.rows[3]


def removed(table: KeyedTable) -> None:
    """Somebody else takes rows out."""
    there(table).delete("id >= 2")
    for key in [k for k in table.kept if k >= 2]:
        del table.kept[key], table.rows[key]


@pytest.mark.parametrize("others", [overwritten, deleted, removed])
@pytest.mark.parametrize("restarted", [False, True])
def test_others_change_a_file_meanwhile(
    tmp_path: Path, others: Callable[[KeyedTable], None], restarted: bool
) -> None:
    """The compaction is dropped, the rows that came since find their places."""
    table = made(tmp_path, files=4, **{ENABLED: "true"})
    for key in range(4):
        table.step(("+I", key, "a"))
        table.prepare() if key == 3 else table.checkpoint()
    table.commit()
    table.prepare()
    assert "rewritten" in table._tokens[0]
    if not restarted:
        table.step(("+U", 0, "b"), ("+U", 9, "b"))
    others(table)
    if restarted:
        table.restart()
        table.step(("+U", 0, "b"), ("+U", 9, "b"))
    table.commit()
    table.checkpoint()
    table.check()
    table.step(*(("+U", key, "c") for key in range(6)))
    table.checkpoint()
    table.check()


def test_a_compaction_that_no_token_holds_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint could not be prepared; rows came before the next one was."""
    table = made(tmp_path, files=3)
    for key in range(3):
        table.step(("+I", key, "a"))
        table.checkpoint()

    def full(*_: object) -> None:
        raise ConnectorError("no space left")

    table.step(("+I", 3, "a"))
    with monkeypatch.context() as patch:
        patch.setattr(content, "_write", full)
        patch.setattr(content, "_packed", full)
        with pytest.raises(ConnectorError, match="no space left"):
            table.prepare()
    table.step(("+U", 0, "b"), ("-D", 1, None))
    table.checkpoint()
    table.check()
    table.step(("+U", 3, "b"))
    table.checkpoint()
    table.check()


def test_a_disk_that_is_full_leaves_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a merged file is none."""
    table = made(tmp_path, files=3)
    for key in range(3):
        table.step(("+I", key, "a"))
        table.checkpoint()

    def full(self: ParquetFile, batch: pa.RecordBatch) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ParquetFile, "write", full)
        with pytest.raises(ConnectorError, match="No space left on device"):
            table.prepare()
    table.step(("+U", 0, "b"))
    table.checkpoint()
    table.check()


def test_files_of_an_older_schema(tmp_path: Path) -> None:
    """A column that others added while the job runs keeps its values."""
    table = made(tmp_path, files=3)
    for key in range(3):
        table.step(("+I", key, f"v{key}"))
        table.checkpoint()
    with there(table).update_schema() as change:
        change.add_column("more", LongType())
    there(table).append(
        pa.table(
            {"id": pa.array([7], pa.int64()), "name": ["x"], "more": pa.array([5], pa.int64())},
            schema=there(table).schema().as_arrow(),
        )
    )
    table.others_wrote({7: "x"})
    table.step(("+U", 1, "w"))
    table.checkpoint()
    table.checkpoint()
    assert data_files(table) == 1
    found = {r["id"]: (r["name"], r["more"]) for r in there(table).scan().to_arrow().to_pylist()}
    assert found == {0: ("v0", None), 1: ("w", None), 2: ("v2", None), 7: ("x", 5)}


def test_values_of_others_stay(tmp_path: Path) -> None:
    """Times of twelve bytes, of any century; lists that are NULL and lists that are empty."""
    table = made(tmp_path, files=3)
    for key in range(2):
        table.step(("+I", key, f"v{key}"))
        table.checkpoint()
    inner = StructType(NestedField(11, "x", LongType()))
    with there(table).update_schema() as change:
        change.add_column("at", TimestampType())
        change.add_column("l", ListType(12, inner, element_required=False))
    rows: list[dict[str, Any]] = [
        {"id": 7, "name": "x", "at": dt.datetime.fromisoformat("9999-12-31"), "l": None},
        {"id": 8, "name": "x", "at": dt.datetime.fromisoformat("0001-01-01"), "l": []},
        {"id": 9, "name": "x", "at": None, "l": [{"x": 1}, None]},
    ]
    held = pa.Table.from_pylist(rows, there(table).schema().as_arrow())
    commit(there(table), foreign_file(there(table), held, use_deprecated_int96_timestamps=True))
    table.others_wrote({row["id"]: "x" for row in rows})
    table.step(("+U", 1, "w"))
    table.checkpoint()
    table.checkpoint()
    (task,) = there(table).scan().plan_files()
    assert "foreign" not in task.file.file_path
    found = pq.read_table(task.file.file_path).to_pylist()
    assert [row for row in found if row["id"] > 6] == rows


def test_rows_that_are_only_added(tmp_path: Path) -> None:
    """A table without a key is compacted where that is asked for; a reader of what is added goes on."""
    root = tmp_path / "lake"
    session = flowsql.connect()
    options = f"'connector' = 'iceberg', 'catalog-name' = 'lake', 'warehouse' = '{root}'"
    session.execute(
        f"CREATE TABLE t (id BIGINT) WITH ({options}, '{ENABLED}' = 'true', '{FILES}' = '3')"
    )
    session.execute("INSERT INTO t VALUES (0)").wait(60)
    hint = "'streaming' = 'true', 'monitor-interval' = '10ms'"
    hint += ", 'starting-strategy' = 'TABLE_SCAN_THEN_INCREMENTAL'"
    result = session.execute(f"SELECT * FROM t /*+ OPTIONS({hint}) */")
    found: list[int] = []
    steps = result.changes()
    for key in range(1, 6):
        session.execute(f"INSERT INTO t VALUES ({key})").wait(60)
    while len(found) < 6:
        changes = next(steps)
        assert changes.kinds is None or set(changes.kinds.to_pylist()) <= {0}
        found += changes.batch.column("id").to_pylist()
    result.close()
    assert sorted(found) == list(range(6))
    table = IcebergFolder(root, "t").table
    assert table is not None
    assert "replace" in [s.summary.operation.value for s in table.snapshots() if s.summary]
    assert len(list(table.scan().plan_files())) < 6
    assert sorted(session.execute("SELECT id FROM t").fetchall()) == [(i,) for i in range(6)]
    session.close()


def test_a_reader_of_changes_sees_none(tmp_path: Path) -> None:
    """A compaction of a table with a key."""
    table = made(tmp_path, files=3)
    for number in range(2):
        table.step(("+U", 1, f"{number}"), ("+I", 10 + number, "a"))
        table.checkpoint()
    session = flowsql.connect()
    session.execute(
        "CREATE TABLE t (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
        f"'connector' = 'iceberg', 'catalog-name' = 'lake', 'warehouse' = '{tmp_path}/out')"
    )
    hint = "'streaming' = 'true', 'monitor-interval' = '10ms'"
    hint += ", 'starting-strategy' = 'TABLE_SCAN_THEN_INCREMENTAL'"
    result = session.execute(f"SELECT * FROM t /*+ OPTIONS({hint}) */")
    steps = result.changes()
    first: list[int] = []
    while len(first) < 3:
        first += next(steps).batch.column("id").to_pylist()
    table.step(("+I", 20, "a"))
    table.checkpoint()
    table.checkpoint()
    assert operations(table)[-1] == "replace"
    table.step(("+U", 1, "last"))
    table.checkpoint()
    later = [row for _ in range(2) for row in next(steps).batch.to_pylist()]
    result.close()
    session.close()
    assert later[0] == {"id": 20, "name": "a"}
    assert [row["id"] for row in later[1:]] == [1, 1]


# A case takes a second: none is made smaller.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
EVENTS = st.lists(
    st.sampled_from(["checkpoint", "idle", "undecided", "killed", "late", "foreign", "delete"]),
    min_size=4,
    max_size=8,
)


@settings(
    max_examples=60 if os.environ.get("FLOWSQL_TEST_ALL") else 3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(events=EVENTS, seed=st.integers(0, 1000), parts=st.booleans())
def test_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, events: list[str], seed: int, parts: bool
) -> None:
    """Upserts, compactions, others' commits, deaths: the table is what the manifests say."""
    chance = random.Random(seed)
    options = {"partitioning": "bucket(2, id)"} if parts else {}
    table = made(tmp_path_factory.mktemp("t"), files=chance.choice([2, 3]), **options)

    def step() -> None:
        rows = []
        for _ in range(chance.randrange(1, 12)):
            kind = chance.choice(["-D", "+I", "+U", "+U"])
            rows.append((kind, chance.randrange(KEYS), f"{chance.randrange(99)}"))
        table.step(*rows)

    def foreign() -> None:
        if table.folder.table is None or there(table).current_snapshot() is None:
            return
        if chance.random() < 0.5:
            if there(table).scan().to_arrow().num_rows:
                overwritten(table)
            return
        limit = chance.randrange(KEYS)
        rows = there(table).scan(row_filter=f"id < {limit}").to_arrow()
        if rows.num_rows:
            there(table).overwrite(rows, overwrite_filter=f"id < {limit}")

    for event in events:
        if event != "idle":
            step()
        table.prepare(decided=event != "undecided")
        if event in {"late", "delete"}:
            step()
        if event == "foreign" or (event == "killed" and chance.random() < 0.5):
            foreign()
        if event in {"undecided", "killed"}:
            table.restart()
        table.commit()
        if event == "late":
            foreign()
        table.check()
    table.restart()
    table.check()
    table.writer.close()


def move(table: Table, key: int, name: str) -> None:
    """Another program deletes a row where it is, and adds it again, in one snapshot."""
    file, at = file_of(table, key)
    before = {task.file.file_path for task in table.scan().plan_files()}
    row = {"id": pa.array([key], pa.int64()), "name": [name]}
    table.append(pa.table(row, schema=table.schema().as_arrow()), branch="aside")
    aside = table.refresh().scan(snapshot_id=table.snapshot_by_name("aside").snapshot_id)
    added = [task.file for task in aside.plan_files() if task.file.file_path not in before]
    table.manage_snapshots().remove_branch("aside").commit()
    commit(table, *added, delete_file(table, {file.file_path: [at]}))


@pytest.mark.parametrize("last", [("-D", 1, None), ("+U", 1, "new")])
def test_others_move_a_row_that_is_about_to_be_deleted(
    tmp_path: Path, last: tuple[str, int, str | None]
) -> None:
    """The compaction of its file holds no more: the row is looked for where it stands now."""
    table = made(tmp_path)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.checkpoint()
    table.step(("+I", 3, "a"))
    table.checkpoint()
    table.step(("+I", 4, "b"), last)
    table.prepare()
    assert table.writer._prepared["r1/3"].compaction is not None
    move(there(table), 1, "a")
    table.commit()
    table.check()


def rewrite_and_expire(table: KeyedTable) -> None:
    """Another program rewrites all rows, and removes every file that was before."""
    theirs = there(table)
    before = named_files(theirs)
    theirs.overwrite(theirs.scan().to_arrow())
    gone = [s.snapshot_id for s in theirs.snapshots()[:-1]]
    theirs.maintenance.expire_snapshots().by_ids(gone).commit()
    for path in before - named_files(there(table)):
        Path(path).unlink()


@pytest.mark.parametrize("files", [2, 100])
def test_others_remove_the_files_that_it_would_read(tmp_path: Path, files: int) -> None:
    """They rewrite the table and expire what was before: a checkpoint goes on without them."""
    table = made(tmp_path, files=files)
    table.step(*(("+I", key, "a") for key in range(KEYS)))
    table.checkpoint()
    for number in range(9):
        table.step(("-D", number, None))
        table.checkpoint()
    rewrite_and_expire(table)
    table.step(("-D", 9, None), ("+U", 10, "b"))
    table.checkpoint()
    table.check()
    table.checkpoint()
    table.check()


def test_others_remove_the_manifests_that_it_would_read(tmp_path: Path) -> None:
    """Where rows are only added, the snapshot that was seen last may be gone as a whole."""
    table = made(tmp_path, mode=ChangelogMode.APPEND, **{ENABLED: "true"})
    for key in range(2):
        table.step(("+I", key, "a"))
        table.checkpoint()
    rewrite_and_expire(table)
    table.step(("+I", 9, "a"))
    table.checkpoint()
    table.check()
    table.step(("+I", 10, "a"))
    table.checkpoint()
    table.check()
    assert "replace" in operations(table)


@pytest.mark.parametrize("mode", [ChangelogMode.UPSERT, ChangelogMode.APPEND])
def test_others_remove_what_a_commit_begins_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: ChangelogMode
) -> None:
    """Between the look at the table and the commit: it begins from what there is then."""
    table = made(tmp_path, files=100, mode=mode)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.checkpoint()
    table.step(("+I", 3, "b"))
    table.prepare()
    real, calls = target.commit_delta, []

    def late(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            rewrite_and_expire(table)
        return real(*given, **named)

    monkeypatch.setattr(target, "commit_delta", late)
    table.commit()
    table.check()
    assert len(calls) == 2


def test_a_table_without_its_manifests_is_an_error(tmp_path: Path) -> None:
    """It is not tried again and again, as if others had come first."""
    table = made(tmp_path, files=100)
    table.step(("+I", 1, "a"))
    table.checkpoint()
    table.step(("+I", 3, "b"))
    table.prepare()
    Path(there(table).current_snapshot().manifest_list).unlink()
    with pytest.raises(ConnectorError, match="No such file"):
        table.commit()


def test_others_remove_what_a_start_found(tmp_path: Path) -> None:
    """Where the rows of the last checkpoint were there already, the first rows come much later."""
    table = made(tmp_path, files=100)
    table.step(("+I", 1, "a"), ("+I", 2, "a"))
    table.prepare()
    for token in table._tokens:
        table.writer.commit(token)
    table.restart()
    rewrite_and_expire(table)
    table.step(("+U", 1, "b"))
    table.checkpoint()
    table.check()
