"""CREATE CATALOG … 'type' = 'iceberg': what is declared, listed and changed there."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform
from pyiceberg.types import LongType, NestedField, TimestampType

import flowsql
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError, SqlError
from flowsql.session import Session

from .lake import Lake


def rows(session: Session, sql: str) -> list[tuple]:
    """The answer."""
    return session.execute(sql).fetchall()


def names(session: Session, sql: str) -> list[str]:
    """The only column of the answer."""
    return [row[0] for row in rows(session, sql)]


def test_a_new_catalog_gets_its_default_database(tmp_path: Path) -> None:
    """And its file and folder."""
    session = flowsql.connect()
    warehouse = tmp_path / "a" / "b"
    session.execute(f"CREATE CATALOG c WITH ('type' = 'iceberg', 'warehouse' = '{warehouse}')")
    assert (warehouse / "catalog.db").exists()
    assert names(session, "SHOW DATABASES IN c") == ["default"]


def test_a_dry_session_makes_nothing(tmp_path: Path) -> None:
    """What it declares can be used within it."""
    session = Session(dry=True)
    session.execute(f"CREATE CATALOG c WITH ('type' = 'iceberg', 'warehouse' = '{tmp_path}/w')")
    session.execute("USE CATALOG c")
    session.execute("CREATE DATABASE shop")
    session.execute("CREATE TABLE shop.t (id BIGINT)")
    assert names(session, "SHOW TABLES IN shop") == ["t"]
    session.execute("ALTER TABLE shop.t RENAME TO u")
    session.execute("ALTER TABLE shop.u ADD b INT")
    assert [r[0] for r in rows(session, "DESCRIBE shop.u")] == ["id", "b"]
    assert not (tmp_path / "w").exists()


def test_a_held_session_keeps_what_it_declared_when_it_is_told(tmp_path: Path) -> None:
    """In the order in which it was declared."""
    session = Session(held=True)
    session.execute(f"CREATE CATALOG c WITH ('type' = 'iceberg', 'warehouse' = '{tmp_path}/w')")
    session.execute("CREATE TABLE c.`default`.t (id BIGINT)")
    session.execute("ALTER TABLE c.`default`.t RENAME TO u")
    session.execute("ALTER TABLE c.`default`.u ADD b INT")
    session.keep()
    with contextlib.closing(SqlCatalog("c", uri=f"sqlite:///{tmp_path}/w/catalog.db")) as kept:
        table = kept.load_table("default.u")
    assert [f.name for f in table.schema().fields] == ["id", "b"]


def test_databases_come_and_go(lake: Lake, session: Session) -> None:
    """With their properties; one that has tables only with CASCADE."""
    session.execute("CREATE DATABASE shop COMMENT 'sales' WITH ('owner' = 'me')")
    found = dict(rows(session, "DESCRIBE DATABASE EXTENDED shop"))
    assert found["comment"] == "sales"
    assert "owner" in str(found)
    session.execute("ALTER DATABASE shop SET ('owner' = 'you')")
    assert lake.catalog.load_namespace_properties("shop")["owner"] == "you"
    session.execute("CREATE TABLE shop.t (id BIGINT)")
    with pytest.raises(SqlError, match="is not empty"):
        session.execute("DROP DATABASE shop")
    session.execute("DROP DATABASE shop CASCADE")
    assert names(session, "SHOW DATABASES") == ["default"]
    lake.catalog.create_namespace("theirs")
    assert names(session, "SHOW DATABASES") == ["default", "theirs"]


def test_a_table_is_made_as_it_is_declared(lake: Lake, session: Session) -> None:
    """The key becomes identifier fields, PARTITIONED BY identity partitions."""
    session.execute(
        "CREATE TABLE t (id BIGINT, city STRING COMMENT 'where', PRIMARY KEY (id, city) NOT ENFORCED)"
        " COMMENT 'people' PARTITIONED BY (city) WITH ('write.upsert.enabled' = 'true')"
    )
    table = lake.catalog.load_table("default.t")
    assert table.schema().identifier_field_names() == {"id", "city"}
    assert [str(f.transform) for f in table.spec().fields] == ["identity"]
    assert table.properties["write.upsert.enabled"] == "true"
    assert not [k for k in table.properties if k.startswith("catalog") or k == "warehouse"]
    assert rows(session, "DESCRIBE t") == [
        ("id", "BIGINT", False, "PRI(id, city)", None, None, None),
        ("city", "STRING", False, "PRI(id, city)", None, None, "where"),
    ]
    (shown,) = names(session, "SHOW CREATE TABLE t")
    assert "PRIMARY KEY (`id`, `city`) NOT ENFORCED" in shown
    assert "COMMENT 'people'\nPARTITIONED BY (`city`)" in shown
    assert "'write.upsert.enabled' = 'true'" in shown


def test_what_shows_a_table_makes_it_again(lake: Lake, session: Session) -> None:
    """In any other catalog the shown statement declares the same table."""
    lake.make()
    (shown,) = names(session, "SHOW CREATE TABLE t")
    other = flowsql.connect()
    other.execute(shown.replace("`lake`.`default`.", ""))
    assert rows(other, "SELECT * FROM t") == []


def test_a_table_of_others_is_there_at_once(lake: Lake, session: Session) -> None:
    """Columns, key and partitions as Flink has them."""
    schema = Schema(
        NestedField(1, "id", LongType(), required=True),
        NestedField(2, "ts", TimestampType()),
        identifier_field_ids=[1],
    )
    spec = PartitionSpec(
        PartitionField(1, 1000, BucketTransform(4), "b"),
        PartitionField(2, 1001, DayTransform(), "d"),
    )
    lake.make("theirs", schema, partition_spec=spec)
    assert names(session, "SHOW TABLES") == ["theirs"]
    assert rows(session, "DESCRIBE theirs")[1][:2] == ("ts", "TIMESTAMP(6)")
    (shown,) = names(session, "SHOW CREATE TABLE theirs")
    assert "'partitioning' = 'bucket(4, id), day(ts)'" in shown
    assert "PARTITIONED BY" not in shown
    assert rows(session, "SELECT * FROM lake.`default`.theirs") == []


def test_alter_table_keeps_the_rows(lake: Lake, session: Session) -> None:
    """Columns are known by number: a renamed one keeps its values, one added again has none."""
    table = lake.make()
    table.append(pa.table([pa.array([7]), ["x"]], schema=table.schema().as_arrow()))
    session.execute("ALTER TABLE t RENAME name TO title")
    assert rows(session, "SELECT id, title FROM t") == [(7, "x")]
    session.execute("ALTER TABLE t ADD (a INT COMMENT 'new' FIRST, b STRING AFTER id)")
    assert [r[0] for r in rows(session, "DESCRIBE t")] == ["a", "id", "b", "title"]
    assert rows(session, "SELECT * FROM t") == [(None, 7, None, "x")]
    session.execute("ALTER TABLE t MODIFY a BIGINT")
    assert rows(session, "DESCRIBE t")[0][1] == "BIGINT"
    session.execute("ALTER TABLE t DROP title")
    session.execute("ALTER TABLE t ADD title STRING")
    assert rows(session, "SELECT id, title FROM t") == [(7, None)]
    session.execute("ALTER TABLE t SET ('write.parquet.compression-codec' = 'gzip')")
    assert table.refresh().properties["write.parquet.compression-codec"] == "gzip"
    session.execute("ALTER TABLE t RESET ('write.parquet.compression-codec')")
    assert "write.parquet.compression-codec" not in table.refresh().properties
    session.execute("ALTER TABLE t RENAME TO u")
    assert rows(session, "SELECT id FROM u") == [(7,)]


def test_drop_table_removes_its_files_unless_they_are_others(lake: Lake, session: Session) -> None:
    """As in Flink; `gc.enabled` = false says that others use them."""
    gone, kept = lake.make("gone"), lake.make("kept", properties={"gc.enabled": "false"})
    for table in (gone, kept):
        table.append(pa.table([pa.array([7]), ["x"]], schema=table.schema().as_arrow()))
        session.execute(f"DROP TABLE {table.name()[-1]}")
    assert names(session, "SHOW TABLES") == []
    assert not list((lake.warehouse / "default/gone").rglob("*.parquet"))
    assert list((lake.warehouse / "default/kept").rglob("*.parquet"))


def test_tables_of_two_catalogs_are_joined(lake: Lake, session: Session) -> None:
    """By their full names."""
    table = lake.make()
    table.append(pa.table([pa.array([7, 8]), ["x", "y"]], schema=table.schema().as_arrow()))
    session.execute("USE CATALOG default_catalog")
    session.from_arrow("mine", pa.table({"id": [8, 9], "n": [80, 90]}))
    joined = "SELECT m.n, t.name FROM mine m JOIN lake.`default`.t AS t ON m.id = t.id"
    assert rows(session, joined) == [(80, "y")]


def test_a_watermark_is_declared_beside_the_catalog(lake: Lake, session: Session) -> None:
    """By LIKE, as in Flink."""
    lake.make("e", Schema(NestedField(1, "ts", TimestampType())))
    session.execute("USE CATALOG default_catalog")
    session.execute(
        "CREATE TABLE e (rt AS CAST(ts AS TIMESTAMP(3)), WATERMARK FOR rt AS rt)"
        " LIKE lake.`default`.e"
    )
    assert [r[0] for r in rows(session, "DESCRIBE e")] == ["ts", "rt"]
    assert rows(session, "SELECT * FROM e") == []


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        ("CREATE TABLE u (id BIGINT, e AS id + 1)", 'column "e" cannot be kept', "LIKE"),
        ("CREATE TABLE u (ts TIMESTAMP(3), WATERMARK FOR ts AS ts)", "a watermark cannot", "LIKE"),
        ("CREATE TABLE u (id BIGINT) DISTRIBUTED INTO 4 BUCKETS", "DISTRIBUTED means", "Leave"),
        ("CREATE TABLE u (id BIGINT) WITH ('connector' = 'print')", '"connector"', "Leave it out"),
        ("CREATE TABLE u (id BIGINT) WITH ('uri' = 'x')", '"uri"', "CREATE CATALOG lake"),
        ("ALTER TABLE t SET ('warehouse' = '/x')", '"warehouse"', "Leave it out"),
        ("CREATE VIEW v AS SELECT 1 AS a", "keeps no views", "CREATE TEMPORARY VIEW"),
        ("DROP VIEW t", '"t" is a table', "DROP TABLE"),
        ("SELECT * FROM tt", 'table "tt" does not exist', 'Did you mean "t"?'),
        ("SELECT * FROM shop.t", 'database "shop" does not exist', "default"),
        (
            "CREATE TABLE u (d DOUBLE, PRIMARY KEY (d) NOT ENFORCED)",
            'column "d" of type DOUBLE cannot be in the PRIMARY KEY of table "u"',
            "other columns",
        ),
    ],
)
def test_what_the_catalog_cannot_keep_is_refused(
    lake: Lake, session: Session, sql: str, message: str, hint: str | None
) -> None:
    """With the way that there is."""
    lake.make()
    with pytest.raises(FlowSQLError) as caught:
        session.execute(sql)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_secrets_stay_as_they_are_written(
    lake: Lake, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is resolved when the catalog is opened, and shown as it was written."""
    lake.make()
    monkeypatch.setenv("LAKE_KEY", "hidden")
    session.execute(
        f"CREATE CATALOG c WITH ({lake.options}, 's3.secret-access-key' = '${{LAKE_KEY}}')"
    )
    session.execute(f"CREATE CATALOG d WITH ({lake.options}, 'token' = 'hidden')")
    lake.others("c").create_table(
        "default.t", lake.catalog.load_table("default.t").schema(), f"{lake.warehouse}/x"
    )
    (shown,) = names(session, "SHOW CREATE TABLE c.`default`.t")
    assert "'s3.secret-access-key' = '${LAKE_KEY}'" in shown
    session.execute("CREATE TABLE d.`default`.t (id BIGINT)")
    (shown,) = names(session, "SHOW CREATE TABLE d.`default`.t")
    assert "'token' = '******'" in shown
    (shown,) = names(session, "SHOW CREATE CATALOG d")
    assert "'token' = '******'" in shown
    assert ("option:token", "******") in rows(session, "DESCRIBE CATALOG EXTENDED d")
    monkeypatch.delenv("LAKE_KEY")
    with pytest.raises(ConfigError, match='"LAKE_KEY", which is not set'):
        session.execute(f"CREATE CATALOG e WITH ({lake.options}, 'token' = '${{LAKE_KEY}}')")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("'type' = 'icebergs'", "no catalog type", 'Did you mean "iceberg"?'),
        ("'type' = 'iceberg'", 'needs option "uri"', "'jdbc:sqlite:/data/catalog.db'"),
        ("'type' = 'iceberg', 'warehose' = '/x'", 'no option "warehose"', '"warehouse"'),
        ("'type' = 'iceberg', 'catalog-type' = 'hadoop'", '"hadoop"', "jdbc"),
        ("'type' = 'iceberg', 'catalog-impl' = 'a.B'", '"catalog-impl"', "Java"),
    ],
)
def test_wrong_options_of_a_catalog(options: str, message: str, hint: str) -> None:
    """Are told where they stand."""
    with pytest.raises(ConfigError) as caught:
        flowsql.connect().execute(f"CREATE CATALOG c WITH ({options})")
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_catalog_that_cannot_be_reached_is_told_when_it_is_made(tmp_path: Path) -> None:
    """Not later."""
    (tmp_path / "catalog.db").write_text("no database at all, but long enough to look at it")
    with pytest.raises(ConnectorError, match="file is not a database"):
        flowsql.connect().execute(
            f"CREATE CATALOG c WITH ('type' = 'iceberg', 'warehouse' = '{tmp_path}')"
        )


def test_views_are_the_session_s(lake: Lake, session: Session) -> None:
    """A temporary one stands beside the catalog's tables, which are not looked into for others."""
    lake.make()
    session.execute("CREATE TEMPORARY VIEW v AS SELECT id FROM t")
    assert names(session, "SHOW VIEWS") == ["v"]
    assert names(session, "SHOW TABLES") == ["t", "v"]


def test_create_table_as_fills_it(lake: Lake, session: Session) -> None:
    """And leaves none behind where it fails."""
    session.execute("CREATE TABLE d AS SELECT 1 AS a, 'x' AS b").wait(60)
    assert rows(session, "SELECT * FROM d") == [(1, "x")]
    session.execute("DROP TABLE d")
    with pytest.raises(FlowSQLError):
        session.execute("CREATE TABLE c AS SELECT 1 AS a, MULTISET[1] AS b, NO_SUCH(1) AS c")
    assert names(session, "SHOW TABLES") == []


def test_what_a_catalog_does_not_keep_has_its_place(lake: Lake) -> None:
    """In a program, too, of which nothing is done before all of it is right."""
    session = Session(held=True)
    session.execute(f"CREATE CATALOG lake WITH ({lake.options})")
    with pytest.raises(SqlError, match="keeps no views") as caught:
        session.execute("CREATE VIEW lake.`default`.v AS SELECT 1 AS a")
    assert caught.value.position == (1, 13)


def test_a_catalog_needs_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose file is not made yet."""
    monkeypatch.setitem(sys.modules, "pyiceberg", None)
    with flowsql.connect() as session, pytest.raises(ConnectorError, match="needs pyiceberg"):
        session.execute(f"CREATE CATALOG c WITH ('type' = 'iceberg', 'warehouse' = '{tmp_path}')")


def test_databases_have_levels(session: Session) -> None:
    """All are listed; one that has others below it is not dropped."""
    session.execute("CREATE DATABASE `a.b`")
    assert names(session, "SHOW DATABASES") == ["a", "a.b", "default"]
    with pytest.raises(ConnectorError, match=r'database "a" has others below it: a\.b'):
        session.execute("DROP DATABASE a CASCADE")
    session.execute("DROP DATABASE `a.b`")
    assert names(session, "SHOW DATABASES") == ["default"]
