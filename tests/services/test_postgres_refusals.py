"""What postgres-cdc does not go on with: each an error that names the cure."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from typing import Any

import pytest
from flowsql_connectors.postgres_cdc.server.connections import Server

from flowsql.errors import ConfigError, ConnectorError
from tests.services.fixtures import started
from tests.services.following import Follow, clean, drop_slot, make, server_table, until_idle
from tests.services.postgres import PostgresServer

_NUMBER = count(1000)


def test_truncate(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It ends the job, or does nothing where that is asked for."""
    server = postgres_version
    make(server, name, rows=2)
    table = server_table(server, "id INT, v STRING", name)
    follower = follow(table).start().until(lambda f: len(f.changes) == 2)
    server.execute(f"TRUNCATE {name}")
    server.execute(f"INSERT INTO {name} VALUES (5, 'e')")
    with pytest.raises(ConnectorError, match="was truncated") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert "'scan.truncate' = 'ignore'" in str(caught.value)
    follower.kill()
    follower.tables = [server_table(server, "id INT, v STRING", name, scan__truncate="ignore")]
    follower.start().until(lambda f: len(f.changes) == 3).kill()


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ("ADD COLUMN n int", '"n" is new'),
        ("RENAME COLUMN w TO x", '"w" is gone, "x" is new'),
        ("ALTER COLUMN w TYPE bigint", '"w" has another type'),
        ("DROP COLUMN w", '"w" is gone'),
    ],
)
def test_columns_change(
    postgres_version: PostgresServer, name: str, follow: Follow, change: str, fact: str
) -> None:
    """It ends the job, or does nothing where what is declared can be read."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"ALTER TABLE {name} ADD COLUMN w int")
    options: dict[str, Any] = {}
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"ALTER TABLE {name} {change}")
    server.execute(f"INSERT INTO {name} (id, v) VALUES (3, 'c')")
    with pytest.raises(ConnectorError, match="have changed") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert fact in caught.value.message
    follower.kill()
    with pytest.raises(ConnectorError, match="are others than at the checkpoint"):
        follower.start()
    options["scan__schema_change"] = "ignore"
    follower.tables = [server_table(server, "id INT, v STRING", name, **options)]
    follower.start().until(lambda f: len(f.changes) == 3).kill()


def test_a_declared_column_that_is_gone(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """No NULLs are made up for it."""
    server = postgres_version
    make(server, name, rows=2)
    table = server_table(server, "id INT, v STRING", name, scan__schema_change="ignore")
    follower = follow(table).start().until(lambda f: len(f.changes) == 2)
    server.execute(f"ALTER TABLE {name} DROP COLUMN v")
    server.execute(f"INSERT INTO {name} VALUES (3)")
    with pytest.raises(ConnectorError, match='has no column "v"'):
        follower.until(lambda f: len(f.changes) == 3)
    follower.kill()


def test_a_slot_that_cannot_be_read_on(
    postgres_version: PostgresServer,
    name: str,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gone, ahead, in use, of another kind: each is said, none is a silent gap."""
    server = postgres_version
    make(server, name, rows=2)
    table = server_table(server, "id INT, v STRING", name, connect__max_retries="0")
    follower = follow(table).start().until(lambda f: len(f.changes) == 2)
    follower.until(lambda f: f.position and "log" in f.position["splits"])
    other = follow(table)
    with monkeypatch.context() as patched:
        patched.setattr("flowsql_connectors.postgres_cdc.server.slot_checks._ACTIVE_PATIENCE", 1.0)
        with pytest.raises(ConnectorError, match="is being read by process") as caught:
            other.start()
    assert "(flowsql, role postgres, from 127.0.0.1)" in caught.value.message
    assert "SELECT pg_terminate_backend(" in str(caught.value.hint)
    # Said at once, not only when the patience is over.
    assert other.told == [f"{caught.value.message}: waiting for up to 1 s"]
    follower.kill()
    server.execute(f"INSERT INTO {name} VALUES (7, 'g')")
    assert until_idle(server, f"slot_{name}")
    server.execute(f"SELECT pg_replication_slot_advance('slot_{name}', pg_current_wal_lsn())")
    with pytest.raises(ConnectorError, match="is ahead of the checkpoint"):
        follower.start().until(lambda f: len(f.changes) == 3)
    follower.kill()
    drop_slot(server, f"slot_{name}")
    with pytest.raises(ConnectorError, match="has no replication slot"):
        follower.start()
    server.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'test_decoding')")
    with pytest.raises(ConnectorError, match='is for plugin "test_decoding"'):
        follower.start()


def test_refusals_at_the_start(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """What does not fit is named before anything is made in the server."""
    server = postgres_version
    make(server, name, rows=2)

    def refused(columns: str, match: str, kind: type[Exception] = ConfigError, **o: Any) -> str:
        table = server_table(server, columns, name, **o)
        with pytest.raises(kind, match=match) as caught:
            follow(table).start()
        return str(caught.value)

    refused("id INT, w STRING", 'has no column "w"')
    refused("id STRING, v INT", "cannot be read as INT")
    assert 'is ("id")' in refused("id INT, v STRING", "does not tell rows", key=("v",))
    assert f'Did you mean "public.{name}"' in refused(
        "id INT, v STRING", "matches", table_name=f"{name}x"
    )
    text = refused(
        "id INT, v STRING", "cannot be reached", ConnectorError, username="nobody_here",
        password="s3cret", connect__max_retries="0",
    )  # fmt: skip
    assert "s3cret" not in text
    assert "Hint: Check 'username'" in text
    refused(
        "id INT, v STRING", "has no publication", ConnectorError,
        debezium__publication__autocreate__mode="disabled",
    )  # fmt: skip
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []
    with pytest.raises(ConfigError, match=r'"debezium\.snapshot\.mode" of Flink is not supported'):
        server_table(server, "id INT", name, debezium__snapshot__mode="never")


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("identity", ["DEFAULT", "NOTHING"])
def test_tables_that_a_publication_would_close(
    postgres: PostgresServer, follow: Follow, identity: str, *, lasting: bool
) -> None:
    """In a publication, a table without replica identity takes no UPDATE and DELETE of anybody."""
    name = f"t{next(_NUMBER)}"
    postgres.execute(f"CREATE TABLE {name} (id int, v text)")
    postgres.execute(f"INSERT INTO {name} VALUES (1, 'a')")
    postgres.execute(f"ALTER TABLE {name} REPLICA IDENTITY {identity}")
    follower = follow(server_table(postgres, "id INT, v STRING", name), lasting=lasting)
    with pytest.raises(ConnectorError, match="cannot be put into a publication") as caught:
        follower.start()
    assert f'Run in the server: ALTER TABLE "public"."{name}" REPLICA IDENTITY FULL;' in str(
        caught.value
    )
    follower.kill()
    postgres.execute(f"UPDATE {name} SET v = 'b'")
    # Somebody who knows that its rows are only added may have put it there.
    postgres.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}")
    follower.start()
    postgres.execute(f"INSERT INTO {name} VALUES (2, 'c')")
    follower.until_holds(postgres, name).kill()
    clean(postgres, name)


@pytest.mark.parametrize("made", [False, True])
def test_a_publication_that_a_select_may_not_make(
    postgres: PostgresServer, follow: Follow, *, made: bool
) -> None:
    """It would have a name of its own, which would help nobody: the cure is about the lasting one."""
    name = f"t{next(_NUMBER)}"
    make(postgres, name, rows=2)
    make(postgres, f"{name}_other", rows=2)
    postgres.execute("CREATE ROLE reader LOGIN REPLICATION")
    postgres.execute(f"GRANT SELECT ON {name} TO reader")
    if made:
        postgres.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}_other")
    table = server_table(postgres, "id INT, v STRING", name, username="reader")
    follower = follow(table, lasting=False)
    with pytest.raises(ConnectorError) as caught:
        follower.start()
    follower.kill()
    assert "permission denied" in str(caught.value.detail)
    cure = str(caught.value.hint).removeprefix("Run in the server: ")
    assert f'"pub_{name}"' in cure
    postgres.execute(cure)
    follower.start().until_holds(postgres, name).kill()
    clean(postgres, f"{name}_other")
    clean(postgres, name)
    postgres.execute("DROP ROLE reader")


def test_generated_columns(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """The log has stored ones from version 18 on; others are refused before anything is made."""
    server = postgres_version
    server.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED)"
    )
    server.execute(f"INSERT INTO {name} VALUES (1)")
    follower = follow(server_table(server, "id INT, g INT", name))
    if server.version < 18:
        with pytest.raises(ConfigError, match=r'column "g" of table .* is generated, and not in'):
            follower.start()
        return
    follower.start()
    server.execute(f"INSERT INTO {name} VALUES (2)")
    follower.until_holds(server, name).kill()


def test_tables_that_inherit_are_others(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Their rows are in the log under their own names, so the snapshot leaves them out."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"CREATE TABLE {name}_child () INHERITS ({name})")
    server.execute(f"INSERT INTO {name}_child VALUES (50, 'child')")
    follower = follow(server_table(server, "id INT, v STRING", name, key=("id",))).start()
    server.execute(f"INSERT INTO {name}_child VALUES (51, 'child')")
    server.execute(f"INSERT INTO {name} VALUES (3, 'own')")
    follower.until(lambda f: len(f.changes) >= 3)
    assert sorted(follower.fold(name)) == [(1, "n1"), (2, "n2"), (3, "own")]


def test_policies_that_hide_rows_are_an_error(postgres: PostgresServer, follow: Follow) -> None:
    """They would hide them in the snapshot and not in the log."""
    name = f"t{next(_NUMBER)}"
    make(postgres, name, rows=2)
    postgres.execute("CREATE ROLE reader LOGIN REPLICATION")
    postgres.execute(f"GRANT SELECT ON {name} TO reader")
    postgres.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    postgres.execute(f"CREATE POLICY p ON {name} USING (id = 1)")
    postgres.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}")
    follower = follow(server_table(postgres, "id INT, v STRING", name, username="reader"))
    with pytest.raises(ConnectorError) as caught:
        follower.start().until(lambda f: len(f.changes) == 2)
    assert "row-level security" in str(caught.value)
    follower.kill()
    clean(postgres, name)
    postgres.execute("DROP ROLE reader")


def test_a_publication_that_is_dropped(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """The server ends the log with an error, which is not tried again for ever."""
    server = postgres_version
    make(server, name, rows=2)
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"DROP PUBLICATION pub_{name}")
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    with pytest.raises(ConnectorError, match="does not send the log") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert f"pub_{name}" in str(caught.value)


def test_another_timeline(follow: Follow) -> None:
    """A server that took over is read on where its history holds what was read."""
    with started(15) as server:
        make(server, "t", rows=2)
        table = server_table(server, "id INT, v STRING", "t", key=("id",))
        follower = follow(table).start().until(lambda f: len(f.changes) == 2)
        follower.until(lambda f: "log" in f.position["splits"])
        server.stop()
        server.promote()
        server.execute("INSERT INTO t VALUES (3, 'new')")
        follower.until_holds(server, "t")
        assert follower.position["splits"]["log"]["timeline"] == 2
        follower.kill()
        # As if more had been read of the old timeline than the new one holds.
        follower.position["splits"]["log"] |= {"timeline": 1}
        with pytest.raises(ConnectorError, match="has gone another way") as caught:
            follower.start().until(lambda f: len(f.changes) == 4)
        assert "Timeline 1 was left at" in str(caught.value)


def test_what_is_not_in_the_log(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A view, what is not logged, and a whole with such a part are named, not passed over."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"CREATE VIEW {name}_v AS SELECT * FROM {name}")
    server.execute(f"CREATE MATERIALIZED VIEW {name}_m AS SELECT * FROM {name}")
    server.execute(f"CREATE UNLOGGED TABLE {name}_u (id int, v text)")
    server.execute(f"CREATE TABLE {name}_p (id int, v text) PARTITION BY LIST (id)")
    server.execute(f"CREATE UNLOGGED TABLE {name}_part PARTITION OF {name}_p FOR VALUES IN (1)")
    server.execute(
        f"CREATE FOREIGN DATA WRAPPER {name}; CREATE SERVER {name} FOREIGN DATA WRAPPER {name};"
        f"CREATE FOREIGN TABLE {name}_f (id int, v text) SERVER {name};"
        f"CREATE TABLE {name}_w (id int, v text) PARTITION BY LIST (id);"
        f"CREATE FOREIGN TABLE {name}_away PARTITION OF {name}_w FOR VALUES IN (1) SERVER {name}"
    )
    for matched, refused in (
        (f"{name}_v", f'"public.{name}_v" is a view'),
        (f"{name}_m", "is a materialized view"),
        (f"{name}_u", f"ALTER TABLE public.{name}_u SET LOGGED"),
        (f"{name}(_u)?", f'"public.{name}_u" is an unlogged table'),
        (f"{name}_f", "is a foreign table"),
        (f"{name}(_f)?", f'"public.{name}_f" is a foreign table'),
        (f"{name}_p", f'"public.{name}_part" is an unlogged table'),
        (f"{name}_w", f'"public.{name}_away" is a foreign table'),
    ):
        if matched in {f"{name}_p", f"{name}_w"} and server.version < 13:
            continue
        with pytest.raises(ConfigError) as caught:
            follow(server_table(server, "id INT, v STRING", name, table_name=matched)).start()
        assert refused in str(caught.value)
    follower = follow(server_table(server, "id INT, v STRING", name, table_name=f"{name}(_v)?"))
    follower.start().until(lambda f: len(f.changes) == 2).kill()
    server.execute(f"DROP MATERIALIZED VIEW {name}_m")
    server.execute(f"DROP TABLE {name}_u, {name}_p, {name}_w")
    server.execute(f"DROP FOREIGN DATA WRAPPER {name} CASCADE")


def test_a_part_that_is_published_as_the_whole(
    postgres: PostgresServer, name: str, follow: Follow
) -> None:
    """Nothing would come under its own name."""
    postgres.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY LIST (id)")
    postgres.execute(f"CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES IN (1)")
    part = server_table(postgres, "id INT, v STRING", name, table_name=f"{name}_1")
    asked = f'gives the changes of "public.{name}_1" under the name of "public.{name}"'
    whole = server_table(postgres, "id INT, v STRING", name)
    with pytest.raises(ConnectorError, match=asked):
        follow(part, whole).start()
    postgres.execute(
        f"CREATE PUBLICATION pub_{name} FOR TABLE {name} WITH (publish_via_partition_root)"
    )
    with pytest.raises(ConnectorError, match=asked):
        follow(part).start()
    # A SELECT has a publication of its own.
    follower = follow(part, lasting=False).start()
    postgres.execute(f"INSERT INTO {name} VALUES (1, 'one')")
    follower.until(lambda f: len(f.changes) == 1).kill()


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("SELECT 1 / 0", "refused a statement"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "ended the connection"),
    ],
)
def test_statements_that_fail(postgres: PostgresServer, statement: str, fact: str) -> None:
    """One that cannot be done is not one that a server which goes away left undone."""
    server = Server(server_table(postgres, "id INT", "t"))
    with closing(server.connect()) as connection, pytest.raises(ConnectorError) as caught:
        server.rows(connection, statement)
    assert caught.value.message == f'PostgreSQL server "{server}" {fact}'
