"""TRUNCATE: rows that the engine holds are taken back, in the transaction's own step."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

import flowsql
from flowsql.connector import Emptied
from flowsql.errors import ConnectorError
from tests.services.fixtures import since
from tests.services.following import Follow, Follower, make, server_table
from tests.services.postgres import PostgresServer

_UPSERT = {"key": ("id",), "changelog_mode": "upsert"}


def _held(follow: Follow, server: PostgresServer, *names: str, **options: str) -> Follower:
    """Follows tables whose rows the engine would hold, through one slot."""
    shared = {"slot__name": f"slot_{names[0]}", "debezium__publication__name": f"pub_{names[0]}"}
    tables = [
        server_table(server, "id INT, v STRING", n, **_UPSERT, **shared, **options) for n in names
    ]
    follower = follow(*tables)
    follower.held = set(names)
    return follower


def test_it_stands_in_its_place(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Between the rows before and behind it, of all its tables, whatever polls are cut into."""
    server = postgres_version
    make(server, name, rows=9)
    other = f"{name}_other"
    server.execute(
        f"CREATE TABLE {other} (id int PRIMARY KEY REFERENCES {name}, v text);"
        f"INSERT INTO {other} VALUES (1, 'one')"
    )
    follower = _held(follow, server, name, other).start()
    follower.until(lambda f: len(f.changes) == 10 and "log" in f.position["splits"])
    server.execute(
        f"BEGIN; INSERT INTO {name} VALUES (10, 'x'), (11, 'y'); TRUNCATE {name} CASCADE;"
        f"INSERT INTO {name} VALUES (1, 'new'), (12, 'z'); INSERT INTO {other} VALUES (12, 'o');"
        f"TRUNCATE {other}; INSERT INTO {other} VALUES (1, 'last'); COMMIT"
    )
    position, before = follower.position, list(follower.changes)
    while len(follower.changes) == 10:
        follower.poll(max_rows=2)
    of = [k for n, k, _ in follower.changes[10:] if n == name]
    assert of == ["+I", "+I", "0", "+I", "+I"]
    assert [k for n, k, _ in follower.changes[10:] if n == other] == ["0", "+I", "0", "+I"]
    follower.until_holds(server, name, other).kill()
    follower.position, follower.changes = position, before
    follower.start().until_holds(server, name, other)
    server.execute(f"TRUNCATE {other}")
    follower.until_holds(server, name, other).kill()
    server.execute(f"DROP TABLE {other}")


def test_a_cut_in_its_midst(postgres: PostgresServer, name: str, follow: Follow) -> None:
    """The connection breaks within a large transaction: it is not given twice, nor left out."""
    make(postgres, name, rows=1)
    follower = _held(follow, postgres, name, heartbeat__interval__ms="100").start()
    follower.until(lambda f: len(f.changes) == 1 and "log" in f.position["splits"])
    rows = "SELECT g, repeat('x', 300) FROM generate_series({}, {}) g"
    postgres.execute(
        f"BEGIN; TRUNCATE {name}; INSERT INTO {name} {rows.format(2, 40_000)};"
        f"TRUNCATE {name}; INSERT INTO {name} {rows.format(40_001, 90_000)}; COMMIT"
    )
    cuts = 0
    while len(follower.changes) == 1:
        poll = follower.poll(max_rows=65_536)
        if poll is not None and poll.pieces and cuts < 3:
            cuts += postgres.cut_connections("backend_type = 'walsender'")
    assert cuts >= 1
    kinds = [k for _, k, _ in follower.changes[1:]]
    assert [kinds.count(k) for k in ("0", "+I")] == [2, 89_999]
    assert kinds.index("0") == 0
    assert kinds.index("0", 1) == 40_000
    assert len(follower.fold(name)) == 50_000
    assert any(isinstance(p, Emptied) for poll in follower.polls for p in poll.pieces)


@since(13)
def test_a_partitioned_table(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """The whole of it loses its rows; from 13 on, which publishes by the root."""
    server = postgres_version
    server.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        f"CREATE TABLE {name}_low PARTITION OF {name} FOR VALUES FROM (0) TO (10);"
        f"CREATE TABLE {name}_high PARTITION OF {name} FOR VALUES FROM (10) TO (20);"
        f"INSERT INTO {name} VALUES (1, 'a'), (11, 'b')"
    )
    follower = _held(follow, server, name)
    follower.start().until(lambda f: len(f.changes) == 2)
    server.execute(f"BEGIN; TRUNCATE {name}; INSERT INTO {name} VALUES (12, 'c'); COMMIT")
    follower.until_holds(server, name)


def test_one_of_several_tables(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """Whose rows are whose is not known: only all of them together can be taken back."""
    server = postgres_version
    for part, key in (("a", 1), ("b", 2)):
        server.execute(f"CREATE TABLE {name}_{part} (id int PRIMARY KEY, v text)")
        server.execute(f"INSERT INTO {name}_{part} VALUES ({key}, '{part}')")
    pattern = f"{name}_[ab]"
    follower = _held(follow, server, name, table_name=pattern).start()
    follower.until(lambda f: len(f.changes) == 2)
    server.execute(f"TRUNCATE {name}_b, {name}_a")
    follower.until(lambda f: len(f.changes) == 3)
    assert follower.fold(name) == []
    server.execute(f"INSERT INTO {name}_a VALUES (1, 'a'); TRUNCATE {name}_b")
    with pytest.raises(ConnectorError, match=f'table "public.{name}_b" of the server was') as error:
        follower.until(lambda f: len(f.changes) == 5)
    assert f'Table "{name}" has rows of 1 more tables, which stay.' in str(error.value)
    follower.kill()
    server.execute(f"DROP TABLE {name}_a, {name}_b")


def test_a_snapshot_that_is_read_around_it(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """What was read before is taken back, and all rows are read anew, however often it is so."""
    server = postgres_version
    make(server, name, rows=12)
    other = f"{name}_other"
    make(server, other, rows=7)
    chunks = {"scan__incremental__snapshot__chunk__size": "5"}
    follower = _held(follow, server, name, other, **chunks).start()
    for key in range(101, 104):
        # One chunk of each snapshot, the last of them but one that took back the first.
        read = sum(len(p.finished) for p in follower.polls)
        follower.until(lambda f, n=read: sum(len(p.finished) for p in f.polls) > n).kill()
        server.execute(
            f"BEGIN; UPDATE {name} SET v = 'old'; TRUNCATE {name};"
            f"INSERT INTO {name} SELECT g, 'new' FROM generate_series({key}, {key} + 20) g; COMMIT;"
            f"DELETE FROM {other} WHERE id = {key} - 100"
        )
        follower.start()
    told = (
        f'table "public.{name}" of the server was truncated or rewritten before all of its rows'
        " were read: they are read from the first one on"
    )
    assert [t for t in follower.told if "truncated" in t] == [told] * 3
    follower.until_holds(server, name, other)
    follower.until(lambda f: f.polls[-1].consistent)
    server.execute(f"TRUNCATE {name}; INSERT INTO {name} VALUES (1, 'last')")
    follower.until_holds(server, name, other).kill()
    assert [k for n, k, _ in follower.changes if n == other].count("0") == 0
    server.execute(f"DROP TABLE {other}")


def test_a_snapshot_of_several_tables_that_is_read_around_it(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Where not all rows go, those from before cannot be told apart: nothing is guessed."""
    server = postgres_version
    make(server, f"{name}_a", rows=12)
    make(server, f"{name}_b", rows=2)
    chunks = {"scan__incremental__snapshot__chunk__size": "5", "table_name": f"{name}_[ab]"}
    follower = _held(follow, server, name, **chunks).start()
    follower.until(lambda f: f.polls and f.polls[-1].finished).kill()
    server.execute(f"TRUNCATE {name}_a; INSERT INTO {name}_a VALUES (1, 'x'), (12, 'y')")
    follower.start()
    with pytest.raises(ConnectorError, match="was truncated") as error:
        follower.until(lambda f: len(f.changes) > 20)
    assert f'Table "{name}" has rows of 1 more tables, which stay.' in str(error.value)
    follower.kill()
    server.execute(f"DROP TABLE {name}_a, {name}_b")


@pytest.mark.parametrize(
    ("statement", "held"),
    [
        ("TRUNCATE {}", True),
        ("ALTER TABLE {} ALTER COLUMN v TYPE varchar(9)", True),
        ("ALTER TABLE {} ALTER COLUMN v TYPE varchar(9)", False),
    ],
)
def test_a_snapshot_from_before(
    postgres_version: PostgresServer, name: str, follow: Follow, statement: str, *, held: bool
) -> None:
    """It sees nothing of a table that was emptied or rewritten: a chunk is not taken as empty."""
    server = postgres_version
    make(server, name, rows=12)
    chunks = {"scan__incremental__snapshot__chunk__size": "5", "scan__schema_change": "ignore"}
    follower = _held(follow, server, name, **chunks)
    follower.held = {name} if held else set()
    follower.start().until(lambda f: f.polls and f.polls[-1].finished)
    # It does not wait for us.
    server.execute(f"SET lock_timeout = '5s'; {statement.format(name)}")
    server.execute(f"INSERT INTO {name} (id, v) VALUES (20, 'new')")
    with pytest.raises(ConnectorError, match="was truncated or rewritten while its rows were read"):
        follower.until(lambda f: len(f.changes) >= 12)
    follower.kill().start()
    follower.until_holds(server, name)
    assert ("0" in [k for _, k, _ in follower.changes]) is held


def test_a_query_takes_all_rows_back(postgres_version: PostgresServer, name: str) -> None:
    """In one step with the rest of the transaction: no result without it is seen."""
    server = postgres_version
    make(server, name, rows=20, identity="DEFAULT")
    make(server, f"{name}_b", rows=5)
    options = (
        f"'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{server.port}',"
        " 'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',"
        f" 'slot.name' = 'slot_{name}', 'changelog-mode' = 'upsert'"
    )
    with flowsql.connect() as session:
        for table in (name, f"{name}_b"):
            session.execute(
                f"CREATE TABLE {table} (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)"
                f" WITH ({options}, 'table-name' = '{table}')"
            )
        result = session.execute(
            f"SELECT COUNT(*) FROM (SELECT id FROM {name} UNION ALL SELECT id FROM {name}_b)"
        )
        seen: list[list[int]] = []
        for changes in result.changes():
            rows = changes.batch.column(0).to_pylist()
            seen.append([r * s for r, s in zip(rows, changes.signs.tolist(), strict=True)])
            match seen[-1]:
                case [*_, 25]:
                    server.execute(
                        f"BEGIN; INSERT INTO {name}_b SELECT g FROM generate_series(6, 10) g;"
                        f"TRUNCATE {name}; INSERT INTO {name} VALUES (3, 'c'); COMMIT"
                    )
                case [-25, 11]:
                    server.execute(f"TRUNCATE {name}, {name}_b")
                case [-11]:
                    break
        assert seen[-3:] == [[25], [-25, 11], [-11]]
    server.execute(f"DROP TABLE {name}_b")


def test_a_job_that_reads_the_rows(
    postgres_version: PostgresServer, name: str, tmp_path: Path
) -> None:
    """It begins a new attempt by itself, in which all of them are taken back and read anew."""
    postgres = postgres_version
    make(postgres, name, rows=3_000)
    postgres.execute(f"ANALYZE {name}")
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "20 ms",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "10 ms",
    }
    with flowsql.connect(config) as session:
        session.execute(
            "CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
            f"'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{postgres.port}',"
            "'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',"
            f"'table-name' = '{name}', 'slot.name' = 'slot_{name}', 'changelog-mode' = 'upsert',"
            f"'debezium.publication.name' = 'pub_{name}',"
            "'scan.incremental.snapshot.chunk.size' = '50')"
        )
        session.execute(
            "CREATE TABLE o (g STRING, n BIGINT, s BIGINT, PRIMARY KEY (g) NOT ENFORCED)"
            f" WITH ('connector' = 'changelog-sqlite', 'path' = '{tmp_path}/out.db')"
        )
        job = session.execute(
            "INSERT INTO o SELECT SUBSTRING(v, 1, 1), COUNT(*), SUM(id) FROM t"
            " GROUP BY SUBSTRING(v, 1, 1)"
        )
        end = time.monotonic() + 60
        while job.status().get("rows_in", 0) < 200:
            assert time.monotonic() < end
            time.sleep(0.01)
        postgres.execute(f"TRUNCATE {name}; INSERT INTO {name} VALUES (4, 'a'), (20, 'b')")
        wanted = [("a", 1, 4), ("b", 1, 20)]
        with sqlite3.connect(tmp_path / "out.db", timeout=10) as db:
            while not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'o'").fetchall() or (
                wanted != db.execute("SELECT g, n, s FROM o ORDER BY g").fetchall()
            ):
                assert time.monotonic() < end, job.status()
                time.sleep(0.02)
        job.stop()


def test_a_job_that_is_stopped_around_it(
    postgres: PostgresServer, name: str, tmp_path: Path
) -> None:
    """What was held at a checkpoint is taken back behind it."""
    make(postgres, name, rows=7)
    job = f"""
    SET 'pipeline.name' = 'emptying';
    SET 'execution.checkpointing.dir' = '{tmp_path}';
    SET 'execution.checkpointing.interval' = '50ms';
    CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
      'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{postgres.port}',
      'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',
      'table-name' = '{name}', 'slot.name' = 'slot_{name}', 'changelog-mode' = 'upsert',
      'debezium.publication.name' = 'pub_{name}');
    CREATE TABLE o (g INT, n BIGINT, PRIMARY KEY (g) NOT ENFORCED)
      WITH ('connector' = 'changelog-sqlite', 'path' = '{tmp_path}/out.db');
    INSERT INTO o SELECT id % 2, COUNT(*) FROM t GROUP BY id % 2;
    """

    def rows() -> list[tuple[int, int]]:
        with sqlite3.connect(tmp_path / "out.db") as db:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'o'").fetchall()
            return db.execute("SELECT g, n FROM o ORDER BY g").fetchall() if made else []

    def run_until(wanted: list[tuple[int, int]]) -> None:
        with flowsql.connect() as session:
            running = session.execute(job)
            end = time.monotonic() + 60
            while rows() != wanted:
                assert time.monotonic() < end, f"{rows()}: {running.status()}"
                time.sleep(0.05)
            running.stop()

    run_until([(0, 3), (1, 4)])
    postgres.execute(f"TRUNCATE {name}; INSERT INTO {name} VALUES (4, 'd'), (6, 'f')")
    run_until([(0, 2)])
