"""What every kind of catalog does on its real server, or on what stands for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

import flowsql
from flowsql.errors import ConnectorError, SqlError
from flowsql.session import Session
from tests.services.lake import Lake


class Others:
    """Another program that uses the same database: plain pyiceberg."""

    def __init__(self, lake: Lake, kind: str, database: str) -> None:
        told = {"jdbc": "sql"}.get(kind, kind)
        # A SQL catalog holds several; ours is called as in the session.
        self.catalog: Catalog = load_catalog("lake", type=told, **lake.properties(kind))
        self.database = database

    def table(self, name: str) -> Table:
        """As it is now."""
        return self.catalog.load_table((self.database, name))


@pytest.fixture
def others(lake: Lake, kind: str, database: str) -> Iterator[Others]:
    """In the database of the session."""
    made = Others(lake, kind, database)
    yield made
    made.catalog.close()


def rows(session: Session, sql: str) -> list[tuple]:
    """The answer, sorted."""
    return sorted(session.execute(sql).fetchall(), key=repr)


def test_a_table_is_made_written_and_read(lake: Lake, session: Session, others: Others) -> None:
    """By us, and read by others; dropped with its files."""
    session.execute(
        "CREATE TABLE orders (id BIGINT, city STRING COMMENT 'where', PRIMARY KEY (id, city) NOT"
        " ENFORCED) COMMENT 'all of them' PARTITIONED BY (city)"
    )
    assert session.execute("SHOW TABLES").fetchall() == [("orders",)]
    session.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'a')").wait(120)
    assert rows(session, "SELECT id FROM orders WHERE city = 'a'") == [(1,), (3,)]
    table = others.table("orders")
    assert sorted(table.scan().to_arrow().column("id").to_pylist()) == [1, 2, 3]
    assert table.schema().identifier_field_names() == {"id", "city"}
    described = session.execute("DESCRIBE orders").fetchall()
    assert [row[:2] for row in described] == [("id", "BIGINT"), ("city", "STRING")]
    shown = session.execute("SHOW CREATE TABLE orders").fetchall()[0][0]
    assert "PARTITIONED BY (`city`)" in shown
    assert "'connector' = 'iceberg'" in shown
    assert lake.files(table.location())
    session.execute("DROP TABLE orders")
    assert session.execute("SHOW TABLES").fetchall() == []
    assert lake.files(table.location()) == []
    with pytest.raises(NoSuchTableError):
        others.table("orders")


def test_what_others_commit_is_read(session: Session, others: Others) -> None:
    """At once, at an earlier snapshot, joined, and as it comes."""
    session.execute("CREATE TABLE t (id BIGINT, name STRING)")
    table = others.table("t")
    empty = table.schema().as_arrow().empty_table()

    def add(*ids: int) -> int:
        table.append(empty.from_pylist([{"id": i, "name": f"n{i}"} for i in ids], empty.schema))
        return table.refresh().current_snapshot().snapshot_id

    first = add(1, 2)
    add(3)
    assert rows(session, "SELECT id FROM t") == [(1,), (2,), (3,)]
    hint = f"/*+ OPTIONS('snapshot-id' = '{first}') */"
    joined = f"SELECT a.id, b.name FROM t a JOIN t {hint} AS b ON a.id = b.id"
    assert rows(session, joined) == [(1, "n1"), (2, "n2")]
    hint = "/*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '50ms') */"
    result = session.execute(f"SELECT id FROM t {hint}")
    steps = result.changes()
    assert next(steps).batch.to_pylist() == [{"id": 3}]
    add(4, 5)
    assert next(steps).batch.to_pylist() == [{"id": 4}, {"id": 5}]
    result.close()


def test_a_table_is_altered(session: Session, others: Others, database: str) -> None:
    """And its database is dropped with it."""
    session.execute("CREATE TABLE t (id BIGINT)")
    session.execute("INSERT INTO t VALUES (1), (2)").wait(120)
    session.execute("ALTER TABLE t ADD name STRING")
    assert rows(session, "SELECT * FROM t") == [(1, None), (2, None)]
    session.execute("ALTER TABLE t SET ('write.target-file-size-bytes' = '1000000')")
    assert others.table("t").properties["write.target-file-size-bytes"] == "1000000"
    session.execute("ALTER TABLE t RENAME TO u")
    assert [f.name for f in others.table("u").schema().fields] == ["id", "name"]
    session.execute("USE `default`")
    with pytest.raises(SqlError, match="is not empty"):
        session.execute(f"DROP DATABASE {database}")
    session.execute(f"DROP DATABASE {database} CASCADE")
    assert (database,) not in session.execute("SHOW DATABASES").fetchall()


def test_databases_have_comments_and_properties(session: Session, database: str) -> None:
    """Which can be changed."""
    session.execute(f"CREATE DATABASE {database}x COMMENT 'sales' WITH ('owner' = 'me')")
    session.execute(f"ALTER DATABASE {database}x SET ('team' = 'us')")
    found = dict(session.execute(f"DESCRIBE DATABASE EXTENDED {database}x").fetchall())
    assert found["comment"] == "sales"
    assert (found["option:owner"], found["option:team"]) == ("me", "us")
    session.execute(f"DROP DATABASE {database}x")


def test_what_is_not_there_is_told(session: Session, database: str) -> None:
    """With the nearest name."""
    session.execute("CREATE TABLE orders (id BIGINT)")
    with pytest.raises(SqlError, match="order") as caught:
        session.execute("SELECT * FROM oders").fetchall()
    assert "orders" in (caught.value.hint or "")
    with pytest.raises(SqlError, match="exists"):
        session.execute("CREATE TABLE orders (id BIGINT)")
    with pytest.raises(SqlError, match="exists"):
        session.execute(f"CREATE DATABASE {database}")


def test_storage_that_cannot_be_reached_is_told(lake: Lake, rest: str, database: str) -> None:
    """Where it was asked for, and what to look at."""
    session = flowsql.connect()
    for name, more in {
        "lake": {},
        "astray": {"s3.endpoint": "http://127.0.0.1:9", "s3.connect-timeout": "1"},
    }.items():
        given = {**lake.options(rest), **more}
        text = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
        session.execute(f"CREATE CATALOG {name} WITH ({text})")
    session.execute(f"CREATE DATABASE lake.{database}")
    session.execute(f"CREATE TABLE lake.{database}.t (id BIGINT)")
    session.execute(f"INSERT INTO lake.{database}.t VALUES (1)").wait(120)
    with pytest.raises(ConnectorError) as caught:
        session.execute(f"SELECT * FROM astray.{database}.t").fetchall()
    assert "s3.endpoint" in (caught.value.hint or "")
