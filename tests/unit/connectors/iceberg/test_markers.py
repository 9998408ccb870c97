"""What a table says of the jobs that wrote it, when its snapshots are no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.table import Table

from flowsql.connector import Committed
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConnectorError
from tests.unit.connectors.iceberg.writing import KeyedTable


def committed(table: KeyedTable) -> Committed | None:
    """What a start is told."""
    return find_connector("iceberg").sink(table.declared).committed("job")


def there(table: KeyedTable) -> Table:
    """As others open it."""
    found = table.folder.table
    assert found is not None
    return found


def others_add(table: KeyedTable, key: int) -> None:
    """One row of another program."""
    row = pa.table({"id": [key], "name": ["theirs"]}, schema=there(table).schema().as_arrow())
    there(table).append(row)
    table.others_wrote({key: "theirs"})


def others_expire(table: KeyedTable) -> None:
    """All snapshots but the newest; the client makes it one without a parent."""
    tomorrow = datetime.now() + timedelta(days=1)  # noqa: DTZ005 (as the client has it)
    there(table).maintenance.expire_snapshots().older_than(tomorrow).commit()
    (left,) = there(table).snapshots()
    assert left.parent_snapshot_id is None


@pytest.mark.parametrize("before", [0, 2])
def test_the_last_checkpoint_outlives_its_snapshot(tmp_path: Path, before: int) -> None:
    """Killed behind its commit, which others have let expire: nothing is committed again."""
    table = KeyedTable(tmp_path)
    for number in range(before):
        table.step(("+I", number, "a"))
        table.checkpoint()
    table.step(("+I", 7, "a"))
    table.prepare()
    (token,) = table._tokens
    table.writer.commit(token)
    others_add(table, 100)
    others_expire(table)
    found = committed(table)
    assert found == Committed("r1", before + 1)
    assert found.instead == 'drop table "default.t" of catalog "lake"'
    table.restart()
    table.check()
    assert len(there(table).snapshots()) == 1
    table.step(("+U", 7, "b"), ("-D", 100, None))
    table.checkpoint()
    table.check()
    assert committed(table) == Committed("r1", before + 2)


@pytest.mark.parametrize("expired", [False, True])
def test_a_checkpoint_that_was_rolled_back_is_not_there(tmp_path: Path, expired: bool) -> None:
    """Also where its snapshot is no more, nor the table's first."""
    table = KeyedTable(tmp_path)
    others_add(table, 100)
    others_add(table, 101)
    others_expire(table)
    kept = there(table).current_snapshot()
    assert kept is not None
    table.step(("+I", 7, "a"))
    table.checkpoint()
    there(table).manage_snapshots().rollback_to_snapshot(kept.snapshot_id).commit()
    if expired:
        others_expire(table)
    assert committed(table) is None


def test_what_others_add_behind_a_rollback_hides_nothing(tmp_path: Path) -> None:
    """As long as the snapshot that was rolled back is there."""
    table = KeyedTable(tmp_path)
    others_add(table, 100)
    kept = there(table).current_snapshot()
    assert kept is not None
    table.step(("+I", 7, "a"))
    table.checkpoint()
    there(table).manage_snapshots().rollback_to_snapshot(kept.snapshot_id).commit()
    others_add(table, 101)
    assert committed(table) is None


def test_what_a_tag_holds_behind_what_expired_is_not_guessed(tmp_path: Path) -> None:
    """The branch may lead there, or may have been set back; without the tag it is believed."""
    table = KeyedTable(tmp_path)
    others_add(table, 100)
    table.step(("+I", 7, "a"))
    table.checkpoint()
    mine = there(table).current_snapshot()
    assert mine is not None
    with there(table).manage_snapshots() as tags:
        tags.create_tag(mine.snapshot_id, "kept")
    others_add(table, 101)
    others_add(table, 102)
    tomorrow = datetime.now() + timedelta(days=1)  # noqa: DTZ005 (as the client has it)
    there(table).maintenance.expire_snapshots().older_than(tomorrow).commit()
    with pytest.raises(ConnectorError) as caught:
        committed(table)
    assert caught.value.message == (
        'whether the table has the rows of checkpoint 1 of job "job" cannot be told'
    )
    assert str(mine.snapshot_id) in str(caught.value.detail)
    assert list(find_connector("iceberg").sink(table.declared).holders()) == ["job"]
    with there(table).manage_snapshots() as tags:
        tags.remove_tag("kept")
    there(table).maintenance.expire_snapshots().by_id(mine.snapshot_id).commit()
    assert committed(table) == Committed("r1", 1)
