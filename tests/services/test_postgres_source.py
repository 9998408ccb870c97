"""postgres-cdc over real servers: snapshot, log, restarts, faults and refusals."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count

import pytest

from flowsql.connector.plugins import find_connector
from flowsql.errors import ConfigError, ConnectorError, DataError
from tests.services.fixtures import started
from tests.services.following import Follow, clean, make, server_table
from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

_NUMBER = count()
_LONG = "repeat('long', 2000)"  # too long for its row
_CHUNKS = {"scan__incremental__snapshot__chunk__size": "10"}


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
    make(server, name, identity=identity)
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
    make(server, name, identity=identity)
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
    make(server, name, rows=1)
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


def test_commits_that_are_in_the_log_and_not_visible(follow: Follow) -> None:
    """A transaction that waits for a standby is behind no snapshot's log position.

    Positions in the log tell nothing: those that wait were committed before the other, which the
    snapshot of a restart sees; nor does a number: one of them is before it, one behind.
    """
    settings = {"synchronous_commit": "local", "synchronous_standby_names": "silent"}
    with started(15, settings) as server, ExitStack() as stack:
        make(server, "t", rows=30, identity="FULL")
        table = server_table(server, "id INT, v STRING", "t", key=("id",), **_CHUNKS)
        follower = follow(table).start()
        follower.until(lambda f: any(p.finished for p in f.polls)).kill()
        # In chunks that are not read yet.
        read = {r[0] for _, _, r in follower.changes}
        before, local, behind = [i for i in range(1, 31) if i not in read][:3]
        connections = {}
        for i, setting in ((before, "on"), (local, "local"), (behind, "on")):
            connections[i] = server.connect(
                autocommit=False, options=f"-c synchronous_commit={setting}"
            )
            stack.enter_context(closing(connections[i]))
            connections[i].execute(f"UPDATE t SET v = 'new' WHERE id = {i}")
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        threads = []
        for i in (before, behind):
            threads.append(threading.Thread(target=connections[i].commit))
            threads[-1].start()
            end = time.monotonic() + 60
            while len(server.execute(f"SELECT 1 {waiting}")) < len(threads):
                assert time.monotonic() < end
                time.sleep(0.01)
        connections[local].commit()
        seen = dict(server.execute("SELECT id, v FROM t"))
        assert [seen[i] for i in (before, local, behind)] == [f"n{before}", "new", f"n{behind}"]
        follower.start().until(lambda f: f.polls[-1].consistent)
        server.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        for thread in threads:
            thread.join()
        follower.until_holds(server, "t").kill()
        for i in (before, behind):
            assert [row for _, _, row in follower.changes if row[0] == i] == [
                (i, f"n{i}"), (i, f"n{i}"), (i, "new")
            ]  # fmt: skip
        assert [row for _, _, row in follower.changes if row[0] == local] == [(local, "new")]


def test_values_that_did_not_change_are_marked_or_filled(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A long value is not sent again: FULL has it in the old row, else the engine has it."""
    server = postgres_version
    make(server, name, rows=0, identity="DEFAULT")
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
    with pytest.raises(DataError, match=r'does not hold column "v" of a row .* primary key') as no:
        follower.until(lambda f: len(f.changes) > 2)
    # What was written stays as it is: a start from here would end in the same way.
    assert f'TABLE "public"."{name}" REPLICA IDENTITY FULL; Then begin anew' in str(no.value)
    follower.kill()
    follower.position = None
    again = follow(
        server_table(server, "id INT, v STRING", name, key=("id",), changelog_mode="upsert")
    )
    again.start()
    server.execute(f"INSERT INTO {name} (id, v) VALUES (3, 'behind it')")
    again.until(lambda f: len(f.changes) == 2)
    assert [row[0] for row in again.fold(name)] == [2, 3]
    again.kill()


def test_full_identity_is_asked_for_by_name(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Mode `all` without the row before is no changelog."""
    server = postgres_version
    make(server, name, rows=1, identity="DEFAULT")
    follower = follow(server_table(server, "id INT, v STRING", name)).start()
    server.execute(f"INSERT INTO {name} VALUES (2, 'b')")
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id = 1")
    with pytest.raises(DataError, match="the row before") as caught:
        follower.until(lambda f: len(f.changes) == 3)
    assert f'ALTER TABLE "public"."{name}" REPLICA IDENTITY FULL' in str(caught.value)
    follower.kill()


def test_a_large_transaction_is_cut_and_comes_once(
    follow: Follow, postgres: PostgresServer
) -> None:
    """The connection breaks within it; what was handed out is not handed out again."""
    name = f"t{next(_NUMBER)}"
    make(postgres, name, rows=3)
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
    clean(postgres, name)


@pytest.mark.parametrize("how", ["fast", "kill"])
def test_the_server_restarts(follow: Follow, how: str) -> None:
    """The reader waits until it is back and goes on."""
    with started(15, {"wal_sender_timeout": "1h"}) as server:
        make(server, "t", rows=3)
        table = server_table(server, "id INT, v STRING", "t", key=("id",))
        follower = follow(table).start().until(lambda f: len(f.changes) == 3)
        server.execute("INSERT INTO t VALUES (10, 'before')")
        follower.until(lambda f: len(f.changes) == 4)
        # It does not wait for a checkpoint to confirm what was sent, until wal_sender_timeout.
        server.kill() if how == "kill" else server.stop(how)
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
    make(server, name, rows=1)
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
    end = time.monotonic() + 60
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
    make(server, name)
    publications = server.execute("SELECT pubname FROM pg_publication ORDER BY 1")
    table = server_table(server, "id INT, v STRING", name, key=("id",), **_CHUNKS)
    follower = follow(table, lasting=False).start()
    _change(server, name)
    follower.until_holds(server, name)
    assert server.execute("SELECT temporary FROM pg_replication_slots") == [(True,)]
    follower.kill()
    end = time.monotonic() + 60
    # A session is seen for a moment after it has let go of its slot.
    left = "pg_replication_slots", "pg_stat_activity WHERE application_name = 'flowsql'"
    while any(server.execute(f"SELECT 1 FROM {what}") for what in left):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert server.execute("SELECT pubname FROM pg_publication ORDER BY 1") == publications


@pytest.mark.parametrize(
    ("mode", "found"),
    [("latest-offset", ["later"]), ("committed-offset", ["between", "later"])],
)
def test_where_a_start_begins(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str, found: list[str]
) -> None:
    """Changes from now on, or those that the slot keeps."""
    server = postgres_version
    make(server, name)
    table = server_table(server, "id INT, v STRING", name, scan__startup__mode=mode)
    follow(table).start().kill()
    server.execute(f"INSERT INTO {name} VALUES (100, 'between')")
    follower = follow(table).start()
    server.execute(f"INSERT INTO {name} VALUES (101, 'later')")
    follower.until(lambda f: f.changes and f.changes[-1][2][1] == "later").kill()
    assert [row[1] for _, _, row in follower.changes] == found


_SNAPSHOT = {"scan__startup__mode": "snapshot", **_CHUNKS}


def test_only_the_snapshot(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It ends by itself, and the server keeps no slot."""
    server = postgres_version
    make(server, name)
    table = server_table(server, "id INT, v STRING", name, key=("id",), **_SNAPSHOT)
    assert find_connector("postgres-cdc").bounded(table)
    follower = follow(table).start()
    server.execute(f"INSERT INTO {name} VALUES (100, 'later')")
    follower.until(lambda f: not f._splits)
    follower.acknowledge()
    follower.kill()
    assert sorted(row[0] for row in follower.fold(name)) == list(range(1, 36))
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


@pytest.mark.parametrize(("mode", "identity"), [("all", "FULL"), ("upsert", "DEFAULT")])
def test_a_killed_snapshot_goes_on_to_one_state(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str, identity: str
) -> None:
    """What was read before the kill is brought by the log to where the rest is read."""
    server = postgres_version
    make(server, name, identity=identity)
    table = server_table(
        server, "id INT, v STRING", name, key=("id",), changelog_mode=mode, **_SNAPSHOT
    )
    follower = follow(table).start()
    for chunk in range(1, 3):
        follower.until(lambda f, n=chunk: sum(len(p.finished) for p in f.polls) >= n)
        follower.kill()
        server.execute(f"UPDATE {name} SET v = v || 'k{chunk}'")
        server.execute(f"DELETE FROM {name} WHERE id % 11 = {chunk}")
        server.execute(f"INSERT INTO {name} VALUES ({-chunk}, 'late')")
        follower.start()
    wanted = sorted(server.execute(f"SELECT * FROM {name}"))
    follower.until(lambda f: "log" in f._splits)
    # Killed again, behind the chunks.
    follower.kill().start().until(lambda f: not f._splits)
    assert sorted(follower.fold(name)) == wanted
    assert follower.polls[-1].consistent
    follower.kill().start()
    assert not follower._splits
    assert server.execute("SELECT 1 FROM pg_replication_slots")
    follower.acknowledge()
    follower.kill()
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


@pytest.mark.parametrize("cut", [False, True])
def test_a_snapshot_that_no_checkpoint_has(
    postgres_version: PostgresServer, name: str, follow: Follow, cut: bool
) -> None:
    """It begins anew, and nothing of the first start keeps the server's log."""
    server = postgres_version
    make(server, name)
    table = server_table(server, "id INT, v STRING", name, key=("id",), **_SNAPSHOT)
    follower = follow(table).start()
    if cut:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'flowsql'"
        )
    follower.kill()
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []
    follower.start().until(lambda f: not f._splits)
    follower.acknowledge()
    follower.kill()
    assert sorted(row[0] for row in follower.fold(name)) == list(range(1, 36))
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


def test_a_snapshot_without_a_slot_cannot_go_on(
    postgres: PostgresServer, name: str, follow: Follow
) -> None:
    """A slot that is there may be another job's: it is neither read nor dropped."""
    make(postgres, name)
    postgres.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'pgoutput')")
    before = postgres.execute("SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots")
    table = server_table(postgres, "id INT, v STRING", name, key=("id",), **_SNAPSHOT)
    follower = follow(table).start()
    (told,) = follower.told
    assert told == (
        "a restart in the middle of the snapshot could not go on, but would begin anew:"
        f' replication slot "slot_{name}" is there already'
    )
    follower.until(lambda f: any(p.finished for p in f.polls)).kill()
    with pytest.raises(ConnectorError, match="read in part is gone"):
        follower.start()
    assert before == postgres.execute(
        "SELECT slot_name, confirmed_flush_lsn FROM pg_replication_slots"
    )


_KEYS: list[tuple[str, str]] = [
    ("bigint", "g * 1000000007::bigint"),
    ("int", "g"),
    ("text", "chr(64 + g) || g"),
    ("varchar(40)", "md5(g::text)"),
    ("uuid", "md5(g::text)::uuid"),
    ("bytea", "decode(md5(g::text), 'hex')"),
    ("numeric", "g / 3.0"),
    ("timestamp", "timestamp '2020-01-01' + g * interval '1 day'"),
    ('text COLLATE "en-x-icu"', "CASE g % 2 WHEN 0 THEN 'A' ELSE 'a' END || g"),
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
    assert sum(len(p.finished) for p in follower.polls) > 3
    clean(postgres, name)


def test_partitions_and_patterns(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A partitioned table comes under its own name; a pattern reads many tables as one.

    The log of version 12 has partitions only.
    """
    server = postgres_version
    old = server.version < 13
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
    whole = follow(server_table(server, "id INT, v STRING", name))
    if old:
        with pytest.raises(ConfigError, match=f'"public.{name}" is a partitioned table') as caught:
            whole.start()
        assert f"'{name}_.*'" in str(caught.value)
    follower = follow(table).start()
    follower.until(lambda f: len(f.changes) == 20)
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id IN (2, 12)")
    follower.until(lambda f: len(f.changes) == 24).kill()
    names = {f"{name}_a", f"{name}_b"} if old else {name}
    assert {row[2] for _, _, row in follower.changes} == names
    if not old:
        whole.start().until(lambda f: len(f.changes) == 20).kill()


@pytest.mark.parametrize("key", ["", "int", "text"])
@pytest.mark.parametrize("rows", [0, 1, 30])
def test_tables_of_few_rows_and_without_a_key(
    postgres: PostgresServer, name: str, follow: Follow, key: str, rows: int
) -> None:
    """There is at least one chunk, and a restart behind it loses nothing."""
    kind = f"{key} PRIMARY KEY" if key else "int"
    postgres.execute(f"CREATE TABLE {name} (id {kind}, v text)")
    postgres.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
    fill = f"INSERT INTO {name} SELECT g, 'v' FROM generate_series({{}}, {{}}) g"
    postgres.execute(fill.format(1, rows))
    column = "id STRING" if key == "text" else "id INT"
    table = server_table(
        postgres, f"{column}, v STRING", name, key=("id",) if key else (), **_CHUNKS
    )
    follower = follow(table).start()
    follower.until(lambda f: any(p.finished for p in f.polls)).kill()
    postgres.execute(f"UPDATE {name} SET v = 'w'")
    postgres.execute(fill.format(100, 103))
    if not key:
        # Twice the same, of which one goes.
        postgres.execute(fill.format(100, 103))
        postgres.execute(f"DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name})")
    follower.start().until_holds(postgres, name)
    follower.kill()


def test_a_slot_whose_publication_lacked_the_table(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """What the slot keeps has none of the table's changes: that is no place to go on from."""
    server = postgres_version
    make(server, name)
    server.execute(f"CREATE TABLE {name}_b (id int)")
    server.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}_b")
    server.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'pgoutput')")
    server.execute(f"INSERT INTO {name} VALUES (100, 'between')")
    table = server_table(server, "id INT, v STRING", name, scan__startup__mode="committed-offset")
    with pytest.raises(ConnectorError, match=f'does not hold "public.{name}"') as caught:
        follow(table).start()
    assert caught.value.detail == "What was changed in them so far is not in the log."
    members = f"SELECT tablename FROM pg_publication_tables WHERE pubname = 'pub_{name}'"
    assert server.execute(members) == [(f"{name}_b",)]
    server.execute(f"DROP TABLE {name}_b")


def test_a_transaction_that_began_before_its_table_was_published(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """It is read whole or not at all."""
    server = postgres_version
    make(server, name)
    server.execute(f"CREATE TABLE {name}_b (id int)")
    server.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}_b")
    server.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'pgoutput')")
    table = server_table(server, "id INT, v STRING", name, scan__startup__mode="latest-offset")
    with server.connect() as open_one, ThreadPoolExecutor(1) as other:
        open_one.execute(f"BEGIN; INSERT INTO {name} VALUES (100, 'first half')".encode())
        starting = other.submit(follow(table).start)
        published = f"SELECT 1 FROM pg_publication_tables WHERE tablename = '{name}'"
        while not server.execute(published) and not starting.done():
            pass
        time.sleep(0.3)
        open_one.execute(f"INSERT INTO {name} VALUES (101, 'second half'); COMMIT".encode())
        follower = starting.result()
    server.execute(f"INSERT INTO {name} VALUES (102, 'later')")
    follower.until(lambda f: f.changes and f.changes[-1][2][1] == "later").kill()
    assert [row[0] for _, _, row in follower.changes] == [102]
    server.execute(f"DROP TABLE {name}_b")
