"""Tables that cannot be written: told by a start, and by `flowsql check` before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowsql_connectors.iceberg.preflight import check_table

from flowsql.connector import Role
from flowsql.errors import ConnectorError, FlowSQLError
from flowsql.session import Session
from flowsql.testing import connector_table

from .lake import Lake, add
from .writing import KeyedTable


def test_a_table_that_went_is_not_made_again(tmp_path: Path) -> None:
    """Where a checkpoint has rows for it: it may come back under its name."""
    table = KeyedTable(tmp_path)
    table.step(("+I", 1, "a"))
    table.checkpoint()
    table.step(("+I", 2, "b"))
    table.prepare()
    catalog = table.folder.catalog
    catalog.rename_table("default.t", "default.away")
    with pytest.raises(ConnectorError, match='table "t" is not there any more') as caught:
        table.restart()
    assert caught.value.final
    assert catalog.list_tables("default") == [("default", "away")]
    catalog.rename_table("default.away", "default.t")
    catalog.close()
    table.start()
    table.check()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("version", {}, "has format version 1, and only version 2 can be written"),
        ("tag", {"branch": "v1"}, '"v1" is a tag of table .*t", and only branches are written'),
    ],
)
def test_a_check_says_what_a_start_would(
    lake: Lake, session: Session, change: str, options: dict[str, str], message: str
) -> None:
    """In the same words."""
    table = lake.make(properties={"format-version": "1"} if change == "version" else {})
    add(table, [1])
    if change == "tag":
        head = table.refresh().current_snapshot().snapshot_id
        table.manage_snapshots().create_tag(head, "v1").commit()
    declared = connector_table("id BIGINT, name STRING", {**lake.declared(), **options})
    with pytest.raises(ConnectorError, match=message):
        check_table(declared, Role.SINK)
    text = ", ".join(f"'{k}' = '{v}'" for k, v in {**lake.declared(), **options}.items())
    session.execute(
        f"CREATE TABLE default_catalog.default_database.t (id BIGINT, name STRING) WITH ({text})"
    )
    with pytest.raises(FlowSQLError, match=message):
        session.execute("INSERT INTO default_catalog.default_database.t VALUES (2, 'b')").wait(60)
