"""What can be asked about an Iceberg table: `t$snapshots`, `t$files` and others."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from flowsql_connectors.iceberg.address import METADATA_TABLES, metadata_name
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    FixedType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimeType,
    UUIDType,
)

from flowsql.errors import FlowSQLError
from flowsql.session import Session

from .lake import COLUMNS, Lake


def rows(session: Session, sql: str) -> list[tuple]:
    """The answer."""
    return session.execute(sql).fetchall()


@pytest.fixture
def table(lake: Lake) -> Table:
    """Of two snapshots, and a tag on the first."""
    made = lake.make()
    for at in (1, 2):
        made.append(pa.table({"id": [at, at + 10], "name": ["a", None]}, schema=COLUMNS))
    first = made.metadata.snapshots[0].snapshot_id
    made.manage_snapshots().create_tag(first, "v1").commit()
    return made.refresh()


def test_snapshots_are_told_with_their_times_and_summaries(session: Session, table: Table) -> None:
    """As the catalog has them; the name needs no backticks."""
    told = rows(session, "SELECT committed_at, snapshot_id, parent_id, operation FROM t$snapshots")
    first, second = table.metadata.snapshots
    assert told == [
        (datetime.fromtimestamp(s.timestamp_ms / 1000, UTC), s.snapshot_id, parent, "append")
        for s, parent in ((first, None), (second, first.snapshot_id))
    ]
    added = "SELECT CAST(summary['added-records'] AS INT) FROM `t$SNAPSHOTS`"
    assert rows(session, added) == [(2,), (2,)]
    assert rows(session, "SELECT COUNT(*) FROM t$history WHERE is_current_ancestor") == [(2,)]
    assert rows(session, "SELECT COUNT(*) FROM t$metadata_log_entries") == [(4,)]
    assert sorted(rows(session, "SELECT name, type, snapshot_id FROM t$refs")) == [
        ("main", "BRANCH", second.snapshot_id),
        ("v1", "TAG", first.snapshot_id),
    ]


def test_files_of_a_snapshot(session: Session, table: Table) -> None:
    """The current one, or one that a hint chooses."""
    told = rows(session, "SELECT record_count, readable_metrics.id.upper_bound FROM t$files")
    assert sorted(told) == [(2, 11), (2, 12)]
    first = table.metadata.snapshots[0].snapshot_id
    for hint in (f"'snapshot-id' = '{first}'", "'tag' = 'v1'"):
        chosen = f"SELECT COUNT(*), SUM(record_count) FROM t$data_files /*+ OPTIONS({hint}) */"
        assert rows(session, chosen) == [(1, 2)]
    assert rows(session, "SELECT record_count, file_count FROM t$partitions") == [(4, 2)]
    assert rows(session, "SELECT * FROM t$delete_files") == []
    assert rows(session, "SELECT COUNT(*) FROM t$all_data_files") == [(2,)]
    assert rows(session, "SELECT SUM(added_data_files_count) FROM t$manifests") == [(2,)]
    assert rows(session, "SELECT COUNT(*) FROM t$all_manifests") == [(3,)]


def test_a_join_of_two_of_them(session: Session, table: Table) -> None:
    """They are tables as any other."""
    joined = (
        "SELECT s.snapshot_id, m.added_data_files_count FROM t$manifests m "
        "JOIN t$snapshots s ON m.added_snapshot_id = s.snapshot_id"
    )
    assert sorted(rows(session, joined)) == sorted(
        (s.snapshot_id, 1) for s in table.metadata.snapshots
    )


def test_a_table_without_snapshots_has_no_rows(session: Session, lake: Lake) -> None:
    """And all its tables can be read."""
    lake.make()
    told = {k: rows(session, f"SELECT * FROM t${k}") for k in METADATA_TABLES}
    assert {k for k, found in told.items() if found} == {"metadata_log_entries"}


def test_columns_of_every_type_are_told(session: Session, lake: Lake) -> None:
    """Whatever Arrow type the client has for their bounds."""
    fields = [
        NestedField(1, "u", UUIDType()),
        NestedField(2, "x", FixedType(4)),
        NestedField(3, "ts", TimestampType()),
        NestedField(4, "tm", TimeType()),
        NestedField(5, "l", ListType(6, UUIDType(), element_required=False)),
        NestedField(7, "r", StructType(NestedField(8, "a", IntegerType(), required=False))),
    ]
    made = lake.make(schema=Schema(*fields))
    schema = made.schema().as_arrow()
    uuid = schema.field("u").type
    columns = [
        pa.ExtensionArray.from_storage(uuid, pa.array([bytes(16)], uuid.storage_type)),
        pa.array([b"abcd"], pa.binary(4)),
        pa.array([1_767_571_200_000_000], pa.timestamp("us")),
        pa.array([3_600_000_001], pa.time64("us")),
        pa.nulls(1, schema.field("l").type),
        pa.array([{"a": 1}], schema.field("r").type),
    ]
    made.append(pa.table(columns, schema=schema))
    for kind in METADATA_TABLES:
        assert (rows(session, f"SELECT * FROM t${kind}") == []) is ("delete" in kind)
    bounds = "SELECT readable_metrics.ts.lower_bound, readable_metrics.x.lower_bound FROM t$files"
    assert rows(session, bounds) == [
        (datetime(2026, 1, 5, tzinfo=UTC).replace(tzinfo=None), b"abcd")
    ]


def test_partitions_of_several_ways_to_divide(session: Session, lake: Lake) -> None:
    """A field that a partition does not have is NULL."""
    schema = Schema(
        NestedField(1, "id", LongType()),
        NestedField(2, "day", StringType()),
    )
    made = lake.make(schema=schema)
    made.append(pa.table({"id": [1], "day": ["a"]}, schema=made.schema().as_arrow()))
    whole = "SELECT `partition`.`day`, record_count FROM t$partitions"
    with pytest.raises(FlowSQLError, match="partition"):
        rows(session, whole)
    with made.update_spec() as update:
        update.add_identity("day")
    assert rows(session, whole) == [(None, 1)]
    made.append(pa.table({"id": [2, 3], "day": ["b", "b"]}, schema=made.schema().as_arrow()))
    assert sorted(rows(session, whole), key=str) == [("b", 2), (None, 1)]


def test_a_partition_by_a_transform(session: Session) -> None:
    """Is told as its value."""
    session.execute("CREATE TABLE d (id BIGINT, ts TIMESTAMP(6)) WITH ('partitioning' = 'day(ts)')")
    session.execute("INSERT INTO d VALUES (1, TIMESTAMP '2026-01-05 10:00:00')").wait()
    told = "SELECT `partition`.ts_day, file_count FROM d$partitions"
    assert rows(session, told) == [(date(2026, 1, 5), 1)]


def test_one_is_declared_beside_the_catalog(session: Session, lake: Lake, table: Table) -> None:
    """Some of its columns; they are checked."""
    options = lake.options.replace("'type' = 'iceberg'", "'catalog-name' = 'lake'")
    where = f"'connector' = 'iceberg', {options}, 'catalog-table' = 't$refs'"
    session.execute("USE CATALOG default_catalog")
    session.execute(f"CREATE TABLE refs (name STRING) WITH ({where})")
    assert sorted(rows(session, "SELECT * FROM refs")) == [("main",), ("v1",)]
    assert rows(session, "CHECK TABLE refs")[0][1] == "ok"
    for columns, message in (
        ("nam STRING", 'table "wrong" has no column "nam" in its catalog'),
        ("name INT", 'column "name" of table "wrong" is declared as INT, and is STRING'),
    ):
        session.execute(f"CREATE TABLE wrong ({columns}) WITH ({where})")
        with pytest.raises(FlowSQLError) as caught:
            rows(session, "SELECT * FROM wrong")
        assert caught.value.message == message
        session.execute("DROP TABLE wrong")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "SELECT * FROM t$snaps",
            (
                'ConnectorError at 1:15: table "t" has no "t$snaps"\n'
                "  SELECT * FROM t$snaps\n"
                "                ^^^^^^^\n"
                'Hint: Did you mean "t$snapshots"?'
            ),
        ),
        (
            "SELECT * FROM x$snapshots",
            (
                'SqlError at 1:15: table "x$snapshots" does not exist\n'
                "  SELECT * FROM x$snapshots\n"
                "                ^^^^^^^^^^^\n"
                "Hint: Known here: t."
            ),
        ),
        (
            "INSERT INTO t$refs (name) VALUES ('a')",
            (
                'ConfigError at 1:13: table "t$refs" tells about another table and cannot be written\n'
                "  INSERT INTO t$refs (name) VALUES ('a')\n"
                "              ^^^^^^"
            ),
        ),
        (
            "DROP TABLE t$refs",
            'ConnectorError: table "t$refs" tells about table "t" and cannot be changed',
        ),
        (
            "ALTER TABLE t$refs RENAME TO y",
            'ConnectorError: table "t$refs" tells about table "t" and cannot be changed',
        ),
        (
            "SELECT * FROM t$refs /*+ OPTIONS('tag' = 'v1') */",
            (
                'ConfigError at 1:34: option "tag" means nothing for a table of refs\n'
                "  SELECT * FROM t$refs /*+ OPTIONS('tag' = 'v1') */\n"
                "                                   ^^^^^^^^^^^^\n"
                "Hint: Leave it out; files, data_files, delete_files, partitions are told of one snapshot."
            ),
        ),
        (
            "SELECT * FROM t$files /*+ OPTIONS('streaming' = 'true') */",
            (
                'ConfigError at 1:35: option "streaming" means nothing for a table of files\n'
                "  SELECT * FROM t$files /*+ OPTIONS('streaming' = 'true') */\n"
                "                                    ^^^^^^^^^^^^^^^^^^^^\n"
                "Hint: Leave it out."
            ),
        ),
        (
            "SELECT * FROM t$files /*+ OPTIONS('tag' = 'v2') */",
            'ConnectorError: table "t$files" has no tag "v2"\nHint: It has: v1.',
        ),
    ],
)
def test_what_does_not_go_is_told(session: Session, table: Table, sql: str, told: str) -> None:
    """With what does, and without the marks that the engine knows a table by."""
    del table
    with pytest.raises(FlowSQLError) as caught:
        session.execute(sql).fetchall()
    assert str(caught.value) == told


def test_a_table_of_such_a_name_is_the_user_s() -> None:
    """Unless it is one of those that can be asked for."""
    assert metadata_name("t$files") == ("t", "files")
    assert metadata_name("a$b$Files") == ("a$b", "files")
    for name in ("t", "t$x", "$files", "t$"):
        assert metadata_name(name) == (name, None)
