"""postgres-cdc over real servers: snapshot, log, restarts, faults and refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flowsql.connector import ConnectorTable
from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError, DataError
from tests.services.following import Follower, server_table
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

Follow = Callable[..., Follower]

_NUMBER = count()
_LONG = "repeat('long', 2000)"  # too long for its row
_CHUNKS = {"scan__incremental__snapshot__chunk__size": "10"}


@pytest.fixture
def name(postgres_version: PostgresServer) -> Iterator[str]:
    """A table's name; the table and what is named after it goes at the end."""
    found = f"t{next(_NUMBER)}"
    yield found
    _clean(postgres_version, found)


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Makes followers that let go of everything at the end."""
    made: list[Follower] = []

    def make(*tables: ConnectorTable, lasting: bool = True) -> Follower:
        made.append(Follower(tmp_path, tables, lasting=lasting))
        return made[-1]

    yield make
    for follower in made:
        follower.kill()


def _clean(server: PostgresServer, name: str) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        left = server.execute(
            f"SELECT active FROM pg_replication_slots WHERE slot_name = 'slot_{name}'"
        )
        if not left:
            break
        if not left[0][0]:
            server.execute(f"SELECT pg_drop_replication_slot('slot_{name}')")
        time.sleep(0.05)
    server.execute(f"DROP PUBLICATION IF EXISTS pub_{name}")
    server.execute(f"DROP TABLE IF EXISTS {name} CASCADE")


def _make(server: PostgresServer, name: str, rows: int = 35, identity: str = "FULL") -> None:
    server.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text)")
    server.execute(f"ALTER TABLE {name} REPLICA IDENTITY {identity}")
    server.execute(f"INSERT INTO {name} SELECT g, 'n' || g FROM generate_series(1, {rows}) g")


def _change(server: PostgresServer, name: str) -> None:
    for statement in (
        f"INSERT INTO {name} VALUES (100, 'new'), (101, NULL)",
        f"UPDATE {name} SET v = 'x' WHERE id IN (2, 12, 22, 32)",
        f"UPDATE {name} SET id = id + 200, v = 'moved' WHERE id IN (3, 13, 23, 33)",
        f"DELETE FROM {name} WHERE id IN (4, 14, 24, 34, 100)",
    ):
        server.execute(statement)


@pytest.mark.parametrize(("mode", "identity"), [("all", "FULL"), ("upsert", "DEFAULT")])
def test_tables_are_followed(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str, identity: str
) -> None:
    """What is there, then every change; consistent where the snapshot ends."""
    server = postgres_version
    _make(server, name, identity=identity)
    table = server_table(
        server, "id INT, v STRING", name, key=("id",), changelog_mode=mode, **_CHUNKS
    )
    follower = follow(table).start()
    _change(server, name)
    follower.until(lambda f: f.polls and f.polls[-1].consistent)
    # The snapshot is of the slot's making, before the changes.
    first = [c for c in follower.changes if c[1] == "+I"][:35]
    assert sorted(row for _, _, row in first) == [(i, f"n{i}") for i in range(1, 36)]
    follower.until_holds(server, name)
    follower.kill()


@pytest.mark.parametrize(("mode", "identity"), [("all", "FULL"), ("upsert", "DEFAULT")])
def test_a_kill_anywhere_in_the_snapshot_loses_nothing(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str, identity: str
) -> None:
    """The rest is read under other snapshots, and the log is filtered by what they saw."""
    server = postgres_version
    _make(server, name, identity=identity)
    table = server_table(
        server, "id INT, v STRING", name, key=("id",), changelog_mode=mode, **_CHUNKS
    )
    follower = follow(table).start()
    for chunk in range(1, 4):
        follower.until(lambda f, n=chunk: sum(len(p.finished) for p in f.polls) >= n)
        follower.kill()
        server.execute(f"UPDATE {name} SET v = v || 'k{chunk}'")
        server.execute(f"UPDATE {name} SET id = id + 17 * {chunk} + 40 WHERE id % 5 = {chunk}")
        server.execute(f"DELETE FROM {name} WHERE id % 11 = {chunk}")
        server.execute(f"INSERT INTO {name} VALUES ({-chunk}, 'late')")
        follower.start()
    follower.until_holds(server, name)
    assert follower.polls[-1].consistent or follower.until(lambda f: f.polls[-1].consistent)
    server.execute(f"UPDATE {name} SET v = 'end'")
    follower.until_holds(server, name)
    follower.kill().start().until_holds(server, name)
    follower.kill()


def test_metadata_and_append_only(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Where a row comes from, when it was committed, and what happened to it."""
    server = postgres_version
    _make(server, name, rows=1)
    keys = ("database_name", "schema_name", "table_name", "row_kind", "op_ts")
    table = server_table(
        server,
        "id INT, v STRING",
        name,
        read=("id",),
        metadata={k: k for k in keys},
        scan__read_changelog_as_append_only__enabled="true",
    )
    follower = follow(table).start()
    follower.until(lambda f: len(f.changes) == 1)
    server.execute(f"UPDATE {name} SET v = 'x'")
    server.execute(f"DELETE FROM {name}")
    follower.until(lambda f: len(f.changes) == 4).kill()
    assert {kind for _, kind, _ in follower.changes} == {"+I"}
    assert [row[4] for _, _, row in follower.changes] == ["+I", "-U", "+U", "-D"]
    assert {row[1:4] for _, _, row in follower.changes} == {("postgres", "public", name)}
    first, *rest = [row[5].timestamp() for _, _, row in follower.changes]
    assert first == 0
    assert all(abs(t - time.time()) < 60 for t in rest)


def test_a_commit_that_is_in_the_log_and_not_visible(follow: Follow) -> None:
    """A transaction that waits for a standby is behind no snapshot's log position.

    Positions in the log tell nothing: the one that waits was committed before the other, which
    the snapshot of a restart sees.
    """
    with PostgresServer(15) as server:
        _make(server, "t", rows=20, identity="FULL")
        table = server_table(server, "id INT, v STRING", "t", key=("id",), **_CHUNKS)
        follower = follow(table).start()
        follower.until(lambda f: any(p.finished for p in f.polls)).kill()
        # In chunks that are not read yet.
        unread = [i for i in range(1, 21) if i not in {r[0] for _, _, r in follower.changes}]
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'silent'")
        server.execute("SELECT pg_reload_conf()")
        local = server.connect(autocommit=False, options="-c synchronous_commit=local")
        waiting = server.connect(autocommit=False)
        local.execute(f"UPDATE t SET v = 'local' WHERE id = {unread[0]}")
        waiting.execute(f"UPDATE t SET v = 'waited' WHERE id = {unread[1]}")
        thread = threading.Thread(target=waiting.commit)
        thread.start()
        end = time.monotonic() + 10
        while not server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
            assert time.monotonic() < end
        local.commit()
        seen = dict(server.execute("SELECT id, v FROM t"))
        assert (seen[unread[0]], seen[unread[1]]) == ("local", f"n{unread[1]}")
        follower.start().until(lambda f: f.polls[-1].consistent)
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
        thread.join()
        follower.until_holds(server, "t").kill()
        whole = [row for _, kind, row in follower.changes if row[0] == unread[1]]
        assert whole == [(unread[1], f"n{unread[1]}"), (unread[1], f"n{unread[1]}"),
                         (unread[1], "waited")]  # fmt: skip
        assert [r for _, _, r in follower.changes if r[0] == unread[0]] == [(unread[0], "local")]
        local.close()
        waiting.close()


def test_values_that_did_not_change_are_marked_or_filled(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A long value is not sent again: FULL has it in the old row, else the engine has it."""
    server = postgres_version
    _make(server, name, rows=0, identity="DEFAULT")
    server.execute(f"ALTER TABLE {name} ADD COLUMN n int, ALTER COLUMN v SET STORAGE EXTERNAL")
    server.execute(f"INSERT INTO {name} SELECT 1, {_LONG}")
    columns = "id INT, v STRING, n INT"
    table = server_table(server, columns, name, key=("id",), changelog_mode="upsert")
    follower = follow(table).start().until(lambda f: len(f.changes) == 1)
    server.execute(f"UPDATE {name} SET n = 1")
    follower.until(lambda f: len(f.changes) == 2)
    (piece,) = follower.polls[-1].pieces
    assert piece.changes.unchanged is not None
    assert {k: m.tolist() for k, m in piece.changes.unchanged.items()} == {"v": [True]}
    server.execute(f"UPDATE {name} SET id = 2")
    with pytest.raises(DataError, match=r'does not hold column "v" of a row .* primary key'):
        follower.until(lambda f: len(f.changes) > 2)
    follower.kill()


def test_full_identity_is_asked_for_by_name(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Mode `all` without the row before is no changelog."""
    server = postgres_version
    _make(server, name, rows=1, identity="DEFAULT")
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    server.execute(f"INSERT INTO {name} VALUES (2, 'b')")
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id = 1")
    with pytest.raises(DataError, match="the row before") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert f"ALTER TABLE public.{name} REPLICA IDENTITY FULL" in str(caught.value)
    follower.kill()


def test_a_large_transaction_is_cut_and_comes_once(
    follow: Follow, postgres: PostgresServer
) -> None:
    """The connection breaks within it; what was handed out is not handed out again."""
    name = f"t{next(_NUMBER)}"
    _make(postgres, name, rows=3)
    with CuttingProxy(postgres.port) as proxy:
        table = server_table(postgres, "id INT, v STRING", name, port=proxy.port, key=("id",))
        follower = follow(table).start().until(lambda f: len(f.changes) == 3)
        postgres.execute(
            f"BEGIN; INSERT INTO {name} SELECT g, repeat('x', 100) FROM generate_series(4, 200003)"
            f" g; UPDATE {name} SET v = 'y' WHERE id < 4; COMMIT"
        )
        for size in (10 << 20, 16 << 20):
            proxy.cut_after(size)
            seen = len(follower.polls)
            follower.until(lambda f, n=seen: len(f.polls) > n)
        follower.until(lambda f: f.polls[-1].boundary and len(f.changes) > 3, 60)
        assert len(follower.changes) == 3 + 200_000 + 6
        assert len({row for _, _, row in follower.changes}) == 200_000 + 6
        proxy.cut()
        postgres.execute(f"DELETE FROM {name} WHERE id > 3")
        follower.until(lambda f: len(f.changes) == 400_009, 60)
        follower.kill()
    _clean(postgres, name)


@pytest.mark.parametrize("how", ["fast", "kill"])
def test_the_server_restarts(follow: Follow, how: str) -> None:
    """The reader waits until it is back and goes on."""
    with PostgresServer(15) as server:
        _make(server, "t", rows=3)
        table = server_table(server, "id INT, v STRING", "t", key=("id",))
        follower = follow(table).start().until(lambda f: len(f.changes) == 3)
        server.execute("INSERT INTO t VALUES (10, 'before')")
        follower.until(lambda f: len(f.changes) == 4)
        began = time.monotonic()
        server.kill() if how == "kill" else server.stop(how)
        # It does not wait for a checkpoint to confirm what was sent.
        assert time.monotonic() - began < 10
        end = time.monotonic() + 1
        while time.monotonic() < end:
            follower.poll()
        server.start()
        server.execute("INSERT INTO t VALUES (11, 'behind')")
        server.execute("UPDATE t SET v = 'after'")
        follower.until_holds(server, "t").kill()


def test_only_what_was_acknowledged_is_let_go(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """The slot moves on with checkpoints, with an idle server too, and never before them."""
    server = postgres_version
    _make(server, name, rows=1)
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    asked = (
        "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots"
        f" WHERE slot_name = 'slot_{name}'"
    )
    ((start,),) = server.execute(asked)
    server.execute(f"INSERT INTO {name} VALUES (2, 'b')")
    follower.until(lambda f: len(f.changes) == 2)
    time.sleep(1.3)
    assert server.execute(asked) == [(start,)]
    follower.acknowledge()
    assert follower.position is not None
    wanted = follower.position["splits"]["log"]["lsn"]
    end = time.monotonic() + 10
    while server.execute(asked)[0][0] != wanted:
        assert time.monotonic() < end
        follower.poll()
    server.execute("CREATE TABLE other AS SELECT 1; DROP TABLE other")
    follower.until(lambda f: f.position["splits"]["log"]["lsn"] > wanted)
    follower.kill()


def test_what_keeps_no_checkpoints_leaves_nothing(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Neither slot nor publication nor connection."""
    server = postgres_version
    _make(server, name)
    table = server_table(server, "id INT, v STRING", name, key=("id",), **_CHUNKS)
    follower = follow(table, lasting=False).start()
    _change(server, name)
    follower.until_holds(server, name)
    assert server.execute("SELECT temporary FROM pg_replication_slots") == [(True,)]
    follower.kill()
    end = time.monotonic() + 10
    while server.execute("SELECT 1 FROM pg_replication_slots") and time.monotonic() < end:
        time.sleep(0.02)
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []
    assert server.execute("SELECT 1 FROM pg_publication") == []
    assert server.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = 'flowsql'") == []


@pytest.mark.parametrize(
    ("mode", "found"),
    [("latest-offset", ["later"]), ("committed-offset", ["between", "later"])],
)
def test_where_a_start_begins(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str, found: list[str]
) -> None:
    """Changes from now on, or those that the slot keeps."""
    server = postgres_version
    _make(server, name)
    table = server_table(server, "id INT, v STRING", name, scan__startup__mode=mode)
    follow(table).start().kill()
    server.execute(f"INSERT INTO {name} VALUES (100, 'between')")
    follower = follow(table).start()
    server.execute(f"INSERT INTO {name} VALUES (101, 'later')")
    follower.until(lambda f: f.changes and f.changes[-1][2][1] == "later").kill()
    assert [row[1] for _, _, row in follower.changes] == found


def test_only_the_snapshot(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It ends by itself, and the server keeps no slot."""
    server = postgres_version
    _make(server, name)
    table = server_table(
        server, "id INT, v STRING", name, key=("id",), scan__startup__mode="snapshot", **_CHUNKS
    )
    assert find_connector("postgres-cdc").bounded(table)
    follower = follow(table).start()
    follower.until(lambda f: not f._splits).kill()
    assert sorted(follower.fold(name)) == sorted(server.execute(f"SELECT * FROM {name}"))
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


_UNORDERED = {"numeric", "timestamp"}
_KEYS: list[tuple[str, str]] = [
    ("bigint", "g * 1000000007::bigint"),
    ("int", "g"),
    ("text", "chr(64 + g) || g"),
    ("varchar(40)", "md5(g::text)"),
    ("uuid", "md5(g::text)::uuid"),
    ("bytea", "decode(md5(g::text), 'hex')"),
    ("numeric", "g / 3.0"),
    ("timestamp", "timestamp '2020-01-01' + g * interval '1 day'"),
]


@pytest.mark.parametrize(("kind", "value"), _KEYS)
def test_keys_of_any_type(postgres: PostgresServer, follow: Follow, kind: str, value: str) -> None:
    """Chunks by every kind of key, with a restart among them."""
    name = f"t{next(_NUMBER)}"
    postgres.execute(f"CREATE TABLE {name} (k {kind}, n int, v int, PRIMARY KEY (k, n))")
    postgres.execute(f"INSERT INTO {name} SELECT {value}, g % 3, g FROM generate_series(1, 50) g")
    postgres.execute(f"ANALYZE {name}")
    types = {"bigint": "BIGINT", "int": "INT", "bytea": "BYTES", "numeric": "DECIMAL(38, 18)"}
    types["timestamp"] = "TIMESTAMP(6)"
    table = server_table(
        postgres,
        f"k {types.get(kind, 'STRING')}, n INT, v INT",
        name,
        key=("k", "n"),
        changelog_mode="upsert",
        scan__incremental__snapshot__chunk__size="7",
    )
    follower = follow(table).start()
    follower.until(lambda f: any(p.finished for p in f.polls)).kill()
    postgres.execute(f"UPDATE {name} SET v = -v WHERE v % 2 = 0")
    postgres.execute(f"DELETE FROM {name} WHERE v % 5 = 0")
    follower.start().until(lambda f: f.polls[-1].consistent).kill()
    wanted = sorted(v for (v,) in postgres.execute(f"SELECT v FROM {name}"))
    assert sorted(row[2] for row in follower.fold(name)) == wanted
    # The order of some types cannot be told from their text: the next column of the key serves.
    assert sum(len(p.finished) for p in follower.polls) > (1 if kind in _UNORDERED else 3)
    _clean(postgres, name)


def test_partitions_and_patterns(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A partitioned table comes under its own name; a pattern reads many tables as one."""
    server = postgres_version
    server.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    server.execute(f"CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (0) TO (10)")
    server.execute(f"CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES FROM (10) TO (1000)")
    for part in (name, f"{name}_a", f"{name}_b"):
        server.execute(f"ALTER TABLE {part} REPLICA IDENTITY FULL")
    server.execute(f"INSERT INTO {name} SELECT g, 'n' || g FROM generate_series(1, 20) g")
    table = server_table(
        server, "id INT, v STRING", name, key=("id",), metadata={"t": "table_name"},
        table_name=f"{name}.*",
    )  # fmt: skip
    follower = follow(table).start()
    follower.until(lambda f: len(f.changes) == 20)
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id IN (2, 12)")
    follower.until(lambda f: len(f.changes) == 24).kill()
    assert {row[2] for _, _, row in follower.changes} == {name}


def test_truncate(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It ends the job, or does nothing where that is asked for."""
    server = postgres_version
    _make(server, name, rows=2)
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
    _make(server, name, rows=2)
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
    _make(server, name, rows=2)
    table = server_table(server, "id INT, v STRING", name, scan__schema_change="ignore")
    follower = follow(table).start().until(lambda f: len(f.changes) == 2)
    server.execute(f"ALTER TABLE {name} DROP COLUMN v")
    server.execute(f"INSERT INTO {name} VALUES (3)")
    with pytest.raises(ConnectorError, match='has no column "v"'):
        follower.until(lambda f: len(f.changes) == 3)
    follower.kill()


def test_a_slot_that_cannot_be_read_on(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Gone, ahead, in use, of another kind: each is said, none is a silent gap."""
    server = postgres_version
    _make(server, name, rows=2)
    table = server_table(server, "id INT, v STRING", name, connect__max_retries="0")
    follower = follow(table).start().until(lambda f: len(f.changes) == 2)
    follower.until(lambda f: f.position and "log" in f.position["splits"])
    other = follow(table)
    with pytest.raises(ConnectorError, match="being read by somebody else: process"):
        other.start()
    follower.kill()
    server.execute(f"INSERT INTO {name} VALUES (7, 'g')")
    time.sleep(0.2)
    server.execute(f"SELECT pg_replication_slot_advance('slot_{name}', pg_current_wal_lsn())")
    with pytest.raises(ConnectorError, match="is ahead of the checkpoint"):
        follower.start().until(lambda f: len(f.changes) == 3)
    follower.kill()
    server.execute(f"SELECT pg_drop_replication_slot('slot_{name}')")
    with pytest.raises(ConnectorError, match="has no replication slot"):
        follower.start()
    server.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'test_decoding')")
    with pytest.raises(ConnectorError, match='is for plugin "test_decoding"'):
        follower.start()


def test_refusals_at_the_start(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """What does not fit is named before anything is made in the server."""
    server = postgres_version
    _make(server, name, rows=2)

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
    refused(
        "id INT, v STRING", "has no publication", ConnectorError,
        debezium__publication__autocreate__mode="disabled",
    )  # fmt: skip
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []
    with pytest.raises(ConfigError, match=r'"debezium\.snapshot\.mode" of Flink is not supported'):
        server_table(server, "id INT", name, debezium__snapshot__mode="never")


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
    _make(server, name, rows=2)
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
    _make(postgres, name, rows=2)
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
    _clean(postgres, name)
    postgres.execute("DROP ROLE reader")


def test_a_publication_that_is_dropped(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """The server ends the log with an error, which is not tried again for ever."""
    server = postgres_version
    _make(server, name, rows=2)
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"DROP PUBLICATION pub_{name}")
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    with pytest.raises(ConnectorError, match="does not send the log") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert f"pub_{name}" in str(caught.value)


def test_another_timeline(follow: Follow) -> None:
    """A server that took over is read on where its history holds what was read."""
    with PostgresServer(15) as server:
        _make(server, "t", rows=2)
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
