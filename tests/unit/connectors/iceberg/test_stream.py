"""Snapshot by snapshot: what each changed, exactly, in one transaction."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from flowsql_connectors.iceberg.write.commit import Delta, commit_delta
from flowsql_connectors.iceberg.write.history import commit_removal
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from flowsql.errors import ConnectorError
from flowsql.testing import row_text

from .lake import (
    Lake,
    add,
    commit,
    data_files,
    delete_file,
    delete_rows,
    equality_file,
    file_of,
    head,
)
from .streaming import Stream


@pytest.fixture
def table(lake: Lake) -> Table:
    """Without rows; its files have several row groups."""
    return lake.make(properties={"write.parquet.row-group-limit": "3"})


def test_each_snapshot_is_a_transaction(lake: Lake, table: Table) -> None:
    """However small the polls are."""
    add(table, [0])
    stream = Stream(lake, starting_strategy="INCREMENTAL_FROM_LATEST_SNAPSHOT_EXCLUSIVE")
    assert stream.step() is None
    add(table, range(1, 9))
    add(table, [9])
    assert stream.step(rows=2) == [f"+I[{i}, n{i}]" for i in range(1, 9)]
    assert stream.step() == ["+I[9, n9]"]
    assert stream.step() is None


def test_where_it_begins(lake: Lake, table: Table) -> None:
    """By each strategy."""
    first, second = add(table, [1]), add(table, [2])
    add(table, [3])
    time = {s.snapshot_id: s.timestamp_ms for s in table.refresh().snapshots()}[second]
    every = [["+I[1, n1]"], ["+I[2, n2]"], ["+I[3, n3]"]]
    assert Stream(lake).steps() == every[2:]
    begin = "INCREMENTAL_FROM_"
    assert Stream(lake, starting_strategy=f"{begin}LATEST_SNAPSHOT_EXCLUSIVE").steps() == []
    assert Stream(lake, starting_strategy=f"{begin}EARLIEST_SNAPSHOT").steps() == every
    chosen = {"starting_strategy": f"{begin}SNAPSHOT_ID", "start_snapshot_id": str(first)}
    assert Stream(lake, **chosen).steps() == every
    chosen = {
        "starting_strategy": f"{begin}SNAPSHOT_TIMESTAMP",
        "start_snapshot_timestamp": str(time),
    }
    assert Stream(lake, **chosen).steps() == every[1:]
    chosen["start_snapshot_timestamp"] = str(time + 10**9)
    assert Stream(lake, **chosen).steps() == []
    with pytest.raises(ConnectorError, match="has no snapshot 5 on branch"):
        Stream(lake, starting_strategy=f"{begin}SNAPSHOT_ID", start_snapshot_id="5")


@pytest.mark.parametrize(
    "strategy",
    ["TABLE_SCAN_THEN_INCREMENTAL", "INCREMENTAL_FROM_LATEST_SNAPSHOT",
     "INCREMENTAL_FROM_EARLIEST_SNAPSHOT"],
)  # fmt: skip
def test_a_table_without_snapshots_is_read_from_its_first(
    lake: Lake, table: Table, strategy: str
) -> None:
    """Also behind a restart."""
    stream = Stream(lake, starting_strategy=strategy)
    assert stream.step() is None
    again = Stream(lake, starting_strategy=strategy, position=stream.position())
    add(table, [1])
    add(table, [2])
    assert stream.steps() == [["+I[1, n1]"], ["+I[2, n2]"]]
    assert again.steps() == [["+I[1, n1]"], ["+I[2, n2]"]]


def test_position_deletes_take_their_rows_back(lake: Lake, table: Table) -> None:
    """Those that were there; rows that a snapshot added and deleted were never there."""
    add(table, range(5))
    stream = Stream(lake)
    assert len(stream.step() or ()) == 5
    delete_rows(table, 1, 3)
    assert stream.step() == ["-D[1, n1]", "-D[3, n3]"]
    file, at = file_of(table, 1)
    _, other = file_of(table, 2)
    commit(table, delete_file(table, {file.file_path: [at, other]}))
    assert stream.step() == ["-D[2, n2]"]
    commit(table, delete_file(table, {file.file_path: [at]}))
    assert stream.step() is None


def test_an_upsert_is_a_deletion_and_an_insertion(lake: Lake, table: Table) -> None:
    """In one transaction, the old row first."""
    add(table, range(3))
    stream = Stream(lake)
    stream.step()
    scratch = lake.make("scratch")
    add(scratch, [1, 7], name="m")
    (new,) = data_files(scratch)
    file, at = file_of(table, 1)
    deletes = delete_file(table, {file.file_path: [at], new.file_path: [1]})
    commit(table, new, deletes)
    assert stream.step() == ["-D[1, n1]", "+I[1, m1]"]


def test_removed_and_rewritten_files(lake: Lake, table: Table) -> None:
    """Copy-on-write deletes and overwrites of others are exact as well."""
    add(table, [1, 2])
    add(table, [3])
    delete_rows(table, 1)
    stream = Stream(lake)
    assert stream.step() == ["-D[1, n1]"]
    table.refresh().delete("id = 3")
    assert stream.step() == ["-D[3, n3]"]
    add(table, [4, 5])
    stream.step()
    table.refresh().delete("id = 4")
    assert Counter(stream.step() or ()) == Counter(["-D[4, n4]", "-D[5, n5]", "+I[5, n5]"])


def test_a_compaction_changes_nothing(lake: Lake, table: Table) -> None:
    """Whatever files it puts in place of others; deletes that follow it are read."""
    add(table, [1])
    add(table, [2])
    stream = Stream(lake)
    stream.step()
    old = [f.file_path for f in data_files(table)]
    scratch = lake.make("scratch")
    add(scratch, [1, 2])
    (new,) = data_files(scratch)
    commit_delta(
        table.refresh(),
        Delta(added=(new,), removed=frozenset(old), replaces=True),
        check=lambda _: None,
        name=lambda: "c",
        settings={},
        branch="main",
    )
    assert stream.step() is None
    assert stream.position()["splits"]["snapshots"]["after"] == head(table)
    delete_rows(table, 2)
    assert stream.step() == ["-D[2, n2]"]


def test_without_a_key_only_growth_is_read(lake: Lake, table: Table) -> None:
    """Anything else ends the job, and is not passed over by a restart."""
    add(table, [1, 2])
    stream = Stream(lake, keyed=False)
    assert stream.step() == ["+I[1, n1]", "+I[2, n2]"]
    position = stream.position()
    add(table, [3])
    deleting = delete_rows(table, 1)
    assert stream.step() == ["+I[3, n3]"]
    with pytest.raises(ConnectorError, match=f"snapshot {deleting} .* removed rows") as caught:
        stream.step()
    assert "PRIMARY KEY" in (caught.value.hint or "")
    again = Stream(lake, keyed=False, position=position)
    assert again.step() == ["+I[3, n3]"]
    with pytest.raises(ConnectorError, match="removed rows"):
        again.step()


def test_equality_deletes_end_the_job(lake: Lake, table: Table) -> None:
    """Nobody knows which rows are gone without reading all of them."""
    add(table, [1])
    stream = Stream(lake)
    stream.step()
    commit(table, equality_file(table, {"id": [1]}))
    with pytest.raises(ConnectorError, match="by equality"):
        stream.step()


def test_what_equality_deletes_are_not_about_is_followed(lake: Lake, table: Table) -> None:
    """Rows that they took away before are none that a later snapshot removes."""
    add(table, [1, 2, 3, 4])
    places = {row: file_of(table, row) for row in (1, 2, 3)}
    file, _ = places[1]
    add(table, [5])
    commit(table, equality_file(table, {"id": [2]}))

    def delete(*rows: int) -> None:
        commit(table, delete_file(table, {file.file_path: [places[row][1] for row in rows]}))

    stream = Stream(lake, starting_strategy="TABLE_SCAN_THEN_INCREMENTAL")
    given = [line for step in stream.steps() for line in step]
    assert sorted(given) == [f"+I[{i}, n{i}]" for i in (1, 3, 4, 5)]
    delete(1)
    delete(2, 3)
    assert stream.steps() == [["-D[1, n1]"], ["-D[3, n3]"]]
    add(table, [6])
    commit(table, removed=[file.file_path])
    assert stream.steps() == [["+I[6, n6]"], ["-D[4, n4]"]]
    (new,) = _written_elsewhere(lake, [7])
    commit(table, new, equality_file(table, {"id": [7]}))
    with pytest.raises(ConnectorError, match="by equality"):
        stream.step()


def _written_elsewhere(lake: Lake, ids: list[int]) -> list[DataFile]:
    scratch = lake.make("scratch")
    add(scratch, ids)
    return data_files(scratch)


def test_a_snapshot_that_expired_unread_ends_the_job(lake: Lake, table: Table) -> None:
    """What it changed is known to nobody any more."""
    add(table, [1])
    stream = Stream(lake)
    stream.step()
    gone = add(table, [2])
    add(table, [3])
    table.refresh().maintenance.expire_snapshots().by_id(gone).commit()
    with pytest.raises(ConnectorError, match="have expired that were not read yet"):
        stream.step()


def test_what_is_before_the_first_snapshot_need_not_be_there(lake: Lake, table: Table) -> None:
    """An append says by itself what it added; a deletion needs what was before."""
    first = add(table, [1, 2])
    second = add(table, [3])
    table.refresh().maintenance.expire_snapshots().by_id(first).commit()
    earliest = "INCREMENTAL_FROM_EARLIEST_SNAPSHOT"
    assert Stream(lake, starting_strategy=earliest).steps() == [["+I[3, n3]"]]
    delete_rows(table, 1)
    table.refresh().maintenance.expire_snapshots().by_id(second).commit()
    with pytest.raises(ConnectorError, match="the one before it has expired"):
        Stream(lake, starting_strategy=earliest).step()


def test_a_table_that_was_empty_may_have_lost_its_first_snapshots(lake: Lake, table: Table) -> None:
    """The oldest that is kept does not pass for the first."""
    stream = Stream(lake, starting_strategy="INCREMENTAL_FROM_LATEST_SNAPSHOT")
    assert stream.step() is None
    first = add(table, [1])
    add(table, [2])
    table.refresh().maintenance.expire_snapshots().by_id(first).commit()
    with pytest.raises(ConnectorError, match="have expired that were not read yet"):
        stream.step()


def test_a_branch_that_is_set_back_ends_the_job(lake: Lake, table: Table) -> None:
    """Its rows would have to be taken back by nobody knows which."""
    first = add(table, [1])
    add(table, [2])
    stream = Stream(lake)
    stream.step()
    table.refresh().manage_snapshots().rollback_to_snapshot(first).commit()
    with pytest.raises(ConnectorError, match='is no part of branch "main"'):
        stream.step()


def test_the_table_and_then_its_changes(lake: Lake, table: Table) -> None:
    """Nothing is consistent before the last file of the first snapshot is read."""
    add(table, [1, 2])
    add(table, [3])
    delete_rows(table, 2)
    stream = Stream(lake, starting_strategy="TABLE_SCAN_THEN_INCREMENTAL")
    add(table, [4])
    assert len(stream.splits) == 3
    read: Counter[str] = Counter()
    while "+I[4, n4]" not in read:
        poll = stream.reader.poll(1, 0.005)
        if poll is None:
            continue
        read.update(line for piece in poll.pieces for line in row_text(piece.changes))
        whole = Counter(["+I[1, n1]", "+I[3, n3]"]) <= read
        assert poll.consistent is (whole and not poll.finished)
        for split in poll.finished:
            for message in stream.source.finished(split, {}):
                stream.reader.tell(message)
    assert read.total() == 3


def test_a_catalog_that_is_away_for_a_while(lake: Lake, table: Table) -> None:
    """Is asked again at the next interval, so often; what came meanwhile is read then."""
    add(table, [1])
    stream = Stream(lake, max_allowed_planning_failures="2")
    assert stream.step() == ["+I[1, n1]"]
    add(table, [2])
    file, away = lake.warehouse / "catalog.db", lake.warehouse / "away"
    file.rename(away)
    stream.until(lambda: stream.reader.status().attempt > 0)
    assert "catalog" in stream.reader.status().trouble
    away.rename(file)
    assert stream.step() == ["+I[2, n2]"]
    assert stream.reader.status().attempt == 0
    file.rename(away)
    with pytest.raises(ConnectorError, match="catalog"):
        stream.until(lambda: False)
    assert stream.reader.status().attempt == 2
    away.rename(file)


def test_a_job_follows_a_table(lake: Lake, table: Table) -> None:
    """Through SQL: a snapshot is one step of the answer."""
    add(table, range(3))
    session = lake.session()
    session.execute("USE CATALOG lake")
    hint = (
        "OPTIONS('streaming' = 'true', 'monitor-interval' = '10ms',"
        " 'starting-strategy' = 'TABLE_SCAN_THEN_INCREMENTAL')"
    )
    result = session.execute(f"SELECT COUNT(*) AS n, MAX(name) AS m FROM t /*+ {hint} */")
    steps = result.changes()

    def current() -> tuple[int, str]:
        changes = next(steps)
        return tuple(changes.batch.slice(len(changes) - 1).to_pylist()[0].values())

    assert current() == (3, "n2")
    add(table, range(3, 6))
    assert current() == (6, "n5")
    result.close()


def test_it_goes_on_where_what_it_read_last_expires_by_our_rules(lake: Lake, table: Table) -> None:
    """The next snapshot still names its parent."""
    first = add(table, [1])
    stream = Stream(lake)
    assert stream.step() == ["+I[1, n1]"]
    add(table, [2])
    commit_removal(table.refresh(), {first}, (), {}, by_client=True)
    assert stream.steps() == [["+I[2, n2]"]]


def test_a_snapshot_whose_files_are_gone_ends_the_job(lake: Lake, table: Table) -> None:
    """As where it expires while it is read."""
    add(table, [1])
    stream = Stream(lake)
    stream.step()
    add(table, [2])
    found = table.refresh().current_snapshot()
    assert found is not None
    Path(found.manifest_list.removeprefix("file://")).unlink()
    with pytest.raises(ConnectorError) as caught:
        stream.step()
    assert caught.value.message == 'a file of metadata is gone (table "t")'
    assert "expire those that are older" in str(caught.value.hint)
