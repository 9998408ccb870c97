"""Tables of Iceberg's own REST catalog, and of Glue's likeness, on an S3 server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.table import Table

import flowsql
from flowsql.errors import ConnectorError, SqlError
from flowsql.session import Session
from tests.services.binaries import ServerUnavailable

if TYPE_CHECKING:
    from tests.services.lake import LakeServer

_NUMBER = count()


@pytest.fixture(scope="module")
def server() -> Iterator[LakeServer]:
    """One for all tests of this file."""
    from tests.services.lake import LakeServer

    try:
        made = LakeServer()
    except ServerUnavailable as reason:
        # A change is not accepted without what only a server can tell.
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
    yield made
    made.close()


@pytest.fixture
def session(server: LakeServer) -> Session:
    """In a database of its own of the catalog `lake`."""
    opened = flowsql.connect()
    given = ", ".join(f"'{k}' = '{v}'" for k, v in server.options.items())
    opened.execute(f"CREATE CATALOG lake WITH ({given})")
    opened.execute("USE CATALOG lake")
    name = f"db{next(_NUMBER)}"
    opened.execute(f"CREATE DATABASE {name}")
    opened.execute(f"USE {name}")
    return opened


def theirs(server: LakeServer, session: Session, name: str) -> Table:
    """The table, as plain pyiceberg finds it."""
    (database,) = session.execute("SHOW CURRENT DATABASE").fetchall()[0]
    given = {k: v for k, v in server.options.items() if k not in ("type", "catalog-type")}
    return RestCatalog("other", **given).load_table((database, name))


def test_a_table_is_made_written_and_read(server: LakeServer, session: Session) -> None:
    """By us, and read by others; dropped with its files."""
    session.execute(
        "CREATE TABLE orders (id BIGINT, city STRING, PRIMARY KEY (id, city) NOT ENFORCED)"
        " PARTITIONED BY (city)"
    )
    assert session.execute("SHOW TABLES").fetchall() == [("orders",)]
    session.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'a')").wait(120)
    found = session.execute("SELECT id FROM orders WHERE city = 'a'").fetchall()
    assert sorted(found) == [(1,), (3,)]
    table = theirs(server, session, "orders")
    assert sorted(table.scan().to_arrow().column("id").to_pylist()) == [1, 2, 3]
    assert table.schema().identifier_field_names() == {"id", "city"}
    below = table.location().partition("/warehouse/")[2]
    assert server.files(below)
    session.execute("DROP TABLE orders")
    assert session.execute("SHOW TABLES").fetchall() == []


def test_what_others_commit_is_read(server: LakeServer, session: Session) -> None:
    """At once, at an earlier snapshot, and as it comes."""
    session.execute("CREATE TABLE t (id BIGINT, name STRING)")
    table = theirs(server, session, "t")
    rows = table.schema().as_arrow().empty_table()

    def add(*ids: int) -> int:
        table.append(rows.from_pylist([{"id": i, "name": f"n{i}"} for i in ids], rows.schema))
        return table.refresh().current_snapshot().snapshot_id

    first = add(1, 2)
    add(3)
    assert sorted(session.execute("SELECT id FROM t").fetchall()) == [(1,), (2,), (3,)]
    hint = f"/*+ OPTIONS('snapshot-id' = '{first}') */"
    assert sorted(session.execute(f"SELECT id FROM t {hint}").fetchall()) == [(1,), (2,)]
    hint = "/*+ OPTIONS('streaming' = 'true', 'monitor-interval' = '50ms') */"
    result = session.execute(f"SELECT id FROM t {hint}")
    steps = result.changes()
    assert next(steps).batch.to_pylist() == [{"id": 3}]
    add(4, 5)
    assert next(steps).batch.to_pylist() == [{"id": 4}, {"id": 5}]
    result.close()


def test_a_table_is_altered(server: LakeServer, session: Session) -> None:
    """And its database is dropped with it."""
    session.execute("CREATE TABLE t (id BIGINT)")
    session.execute("ALTER TABLE t ADD name STRING")
    session.execute("ALTER TABLE t RENAME TO u")
    fields = theirs(server, session, "u").schema().fields
    assert [f.name for f in fields] == ["id", "name"]
    (database,) = session.execute("SHOW CURRENT DATABASE").fetchall()[0]
    session.execute("USE `default`")
    with pytest.raises(SqlError, match="is not empty"):
        session.execute(f"DROP DATABASE {database}")
    session.execute(f"DROP DATABASE {database} CASCADE")
    assert (database,) not in session.execute("SHOW DATABASES").fetchall()


def test_storage_that_cannot_be_reached_is_told(server: LakeServer, session: Session) -> None:
    """Where it was asked for, and what to look at."""
    session.execute("CREATE TABLE t (id BIGINT)")
    session.execute("INSERT INTO t VALUES (1)").wait(120)
    (database,) = session.execute("SHOW CURRENT DATABASE").fetchall()[0]
    given = {**server.options, "s3.endpoint": "http://127.0.0.1:9", "s3.connect-timeout": "1"}
    text = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
    session.execute(f"CREATE CATALOG astray WITH ({text})")
    with pytest.raises(ConnectorError) as caught:
        session.execute(f"SELECT * FROM astray.{database}.t").fetchall()
    assert "s3.endpoint" in (caught.value.hint or "")


def test_a_catalog_of_glue(server: LakeServer) -> None:
    """As far as what stands for it here is like it."""
    given = {k: v for k, v in server.options.items() if k.startswith("s3.")}
    given |= {
        "type": "iceberg",
        "catalog-type": "glue",
        "warehouse": "s3://lake/glue",
        "glue.endpoint": server.endpoint,
        "glue.region": "us-east-1",
        "glue.access-key-id": "test",
        "glue.secret-access-key": "testtest",
    }
    session = flowsql.connect()
    text = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
    session.execute(f"CREATE CATALOG g WITH ({text})")
    session.execute("USE CATALOG g")
    session.execute("CREATE TABLE t (id BIGINT)")
    session.execute("INSERT INTO t VALUES (1), (2)").wait(120)
    session.execute("ALTER TABLE t ADD name STRING")
    assert sorted(session.execute("SELECT * FROM t").fetchall()) == [(1, None), (2, None)]
    session.execute("DROP TABLE t")
    assert session.execute("SHOW TABLES").fetchall() == []
