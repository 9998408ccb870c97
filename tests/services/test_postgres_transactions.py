"""Transactions of every kind come whole, once, when they are committed; idle slots move on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowsql
from flowsql.errors import ConnectorError
from tests.services.following import Follow, Follower, make, server_table
from tests.services.postgres import PostgresServer


def _following(follow: Follow, server: PostgresServer, name: str, **options: Any) -> Follower:
    follower = follow(server_table(server, "id INT, v STRING", name, **options)).start()
    return follower.until(lambda f: "log" in (f.position or {"splits": ()})["splits"])


@pytest.fixture
def spooling(postgres_version: PostgresServer) -> Iterator[PostgresServer]:
    """A server that writes the changes of open transactions to its disk early."""
    if postgres_version.version >= 13:
        postgres_version.execute("ALTER ROLE postgres SET logical_decoding_work_mem = '64kB'")
    yield postgres_version
    postgres_version.execute("ALTER ROLE postgres RESET ALL")


def test_a_prepared_transaction(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """It comes with its COMMIT PREPARED, whatever was acknowledged and restarted since."""
    server = postgres_version
    make(server, name, rows=1)
    follower = _following(follow, server, name)
    for i, what in ((10, "kept"), (20, "undone")):
        with server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(f"INSERT INTO {name} VALUES ({i}, '{what}')".encode())
            connection.execute(f"UPDATE {name} SET v = v || '{what}' WHERE id = {i}".encode())
            connection.execute(f"PREPARE TRANSACTION '{name}_{what}'".encode())
    server.execute(f"INSERT INTO {name} VALUES (2, 'between')")
    follower.until_holds(server, name)
    for _ in range(2):
        server.execute("SELECT pg_logical_emit_message(true, '', ''); CHECKPOINT")
        follower.poll(0.3)
        follower.acknowledge()
        time.sleep(0.2)
        follower.kill().start()
    assert follower.fold(name) == [(1, "n1"), (2, "between")]
    server.execute(f"ROLLBACK PREPARED '{name}_undone'")
    server.execute(f"COMMIT PREPARED '{name}_kept'")
    server.execute(f"INSERT INTO {name} VALUES (3, 'behind')")
    follower.until_holds(server, name)
    assert [r[0] for _, k, r in follower.changes if k == "+I"] == [1, 2, 10, 3]
    assert [k for _, k, r in follower.changes if r[0] == 10] == ["+I", "-U", "+U"]


def test_a_large_transaction_with_parts_that_are_undone(
    spooling: PostgresServer, name: str, follow: Follow
) -> None:
    """200,000 rows; what a savepoint took back, however large, was never there."""
    server = spooling
    make(server, name, rows=1)
    follower = _following(follow, server, name)
    insert = f"INSERT INTO {name} SELECT g, 'r' || g FROM generate_series({{}}, {{}}) g;"
    server.execute(
        f"BEGIN; {insert.format(2, 80_000)} SAVEPOINT a; {insert.format(80_001, 150_000)}"
        f" DELETE FROM {name} WHERE id < 1000; SAVEPOINT b; {insert.format(150_001, 160_000)}"
        f" RELEASE b; ROLLBACK TO a; {insert.format(160_001, 240_000)} SAVEPOINT c;"
        f" {insert.format(240_001, 280_000)} RELEASE c; UPDATE {name} SET v = 'u' WHERE id = 2;"
        f" SAVEPOINT d; TRUNCATE {name}; ROLLBACK TO d; COMMIT"
    )
    follower.until(lambda f: len(f.changes) > 1, 60)
    assert len(follower.changes) == 1 + 200_000 - 1 + 2
    found = follower.fold(name)
    assert len(found) == 200_000
    assert set(found) == set(server.execute(f"SELECT * FROM {name}"))


def test_transactions_that_are_open_at_once(
    spooling: PostgresServer, name: str, follow: Follow
) -> None:
    """They come in the order of their commits, each in one piece."""
    server = spooling
    make(server, name, rows=1)
    follower = _following(follow, server, name)
    with server.connect() as one, server.connect() as other:
        for connection in (one, other):
            connection.execute("BEGIN")
        for part in range(4):
            for connection, start in ((one, 0), (other, 100_000)):
                low = start + 1000 * part + 10
                connection.execute(
                    f"INSERT INTO {name} SELECT g, 'x' FROM generate_series({low}, {low + 999}) g".encode()
                )
        other.execute("COMMIT")
        follower.until(lambda f: len(f.changes) > 1)
        assert {r[0] >= 100_000 for _, _, r in follower.changes[1:]} == {True}
        assert len(follower.changes) == 4001
        one.execute("COMMIT")
    follower.until_holds(server, name)
    assert [r[0] for _, _, r in follower.changes[4001:]] == list(range(10, 4010))


def test_a_slot_for_two_phase_commit(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Somebody else's, from 14 on: it would give what may be rolled back."""
    server = postgres_version
    make(server, name, rows=1)
    two_phase = ", false, true" if server.version >= 14 else ""
    server.execute(
        f"SELECT pg_create_logical_replication_slot('slot_{name}', 'pgoutput'{two_phase})"
    )
    follower = follow(server_table(server, "id INT, v STRING", name))
    if server.version < 14:
        follower.start().until_holds(server, name)
        return
    with pytest.raises(ConnectorError, match="is for two-phase commit"):
        follower.start()


def test_the_slot_stays_behind(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """By as many checkpoints as are asked for."""
    server = postgres_version
    make(server, name, rows=1)
    follower = _following(follow, server, name, scan__lsn_commit__checkpoints_num_delay="2")
    places = []
    for i in range(2, 7):
        server.execute(f"INSERT INTO {name} VALUES ({i}, 'x')")
        follower.until(lambda f, n=i: len(f.changes) == n)
        places.append(follower.position["splits"]["log"]["lsn"])
        follower.acknowledge()
    confirmed = (
        "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{}'"
    )
    end = time.monotonic() + 60
    while True:
        ((at,),) = server.execute(confirmed.format(f"slot_{name}"))
        assert at <= places[2]
        if at == places[2]:
            break
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("where", ["table", "database"])
def test_an_idle_slot_moves_on(
    postgres_version: PostgresServer, name: str, tmp_path: Path, where: str
) -> None:
    """While others are written: a table that is not read, another database of the server."""
    server = postgres_version
    make(server, name, rows=2)
    database = "postgres" if where == "table" else "elsewhere"
    if where == "database":
        server.execute("CREATE DATABASE elsewhere")
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path)}) as session:
        job = session.execute(
            f"""
            SET 'pipeline.name' = 'idle';
            SET 'execution.checkpointing.interval' = '100ms';
            CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
              'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{server.port}',
              'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',
              'table-name' = '{name}', 'slot.name' = 'slot_{name}',
              'heartbeat.interval.ms' = '100ms', 'debezium.publication.name' = 'pub_{name}');
            CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)
              WITH ('connector' = 'changelog-sqlite', 'path' = '{tmp_path}/out.db');
            INSERT INTO o SELECT * FROM t;
            """
        )
        server.execute("CREATE TABLE noise (t text)", database)
        end = time.monotonic() + 60
        start = server.execute("SELECT pg_current_wal_lsn()")[0][0]
        moved = 0
        while moved < 2:
            assert time.monotonic() < end, server.execute("SELECT * FROM pg_replication_slots")
            server.execute("INSERT INTO noise VALUES (repeat('x', 1000))", database)
            server.execute("CHECKPOINT")
            at = server.execute("SELECT pg_current_wal_lsn()")[0][0]
            time.sleep(0.3)
            ((passed,),) = server.execute(
                f"SELECT restart_lsn > '{start}'::pg_lsn AND confirmed_flush_lsn > '{start}'::pg_lsn"
                f" FROM pg_replication_slots WHERE slot_name = 'slot_{name}'"
            ) or [(False,)]
            if passed:
                moved, start = moved + 1, at
        assert job.status()["state"] == "running"
        job.stop()
    if where == "database":
        server.execute("DROP DATABASE elsewhere")
    else:
        server.execute("DROP TABLE noise")
