"""What the server leaves out of its log without a word, and how much of it it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowsql.errors import ConnectorError
from tests.services.fixtures import since
from tests.services.following import Follow, Follower, make, server_table
from tests.services.postgres import PostgresServer


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowsql_connectors.postgres_cdc.server.watching._EVERY", 0.1)


def _following(follow: Follow, server: PostgresServer, name: str, **options: Any) -> Follower:
    table = server_table(server, "id INT, v STRING", name, **options)
    follower = follow(table).start()
    return follower.until(
        lambda f: len(f.changes) == 2 and (not f.lasting or "log" in f.position["splits"])
    )


def _refusal(follower: Follower, seconds: float = 60.0) -> ConnectorError:
    """What the job ends with."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            follower.source.discover()
            follower.poll()
    except ConnectorError as error:
        return error
    raise AssertionError("nothing was said")


@pytest.mark.parametrize(
    ("statements", "fact"),
    [
        ("ALTER PUBLICATION pub_{0} DROP TABLE {0}", 'does not hold "public.{0}" any more'),
        (
            "ALTER PUBLICATION pub_{0} DROP TABLE {0}; ALTER PUBLICATION pub_{0} ADD TABLE {0}",
            'was taken out of publication "pub_{0}"',
        ),
        ("DROP PUBLICATION pub_{0}", 'publication "pub_{0}" of PostgreSQL'),
        (
            "DROP PUBLICATION pub_{0}; CREATE PUBLICATION pub_{0} FOR TABLE {0}",
            "was dropped and made again",
        ),
        ("ALTER PUBLICATION pub_{0} SET (publish = 'insert')", "does not publish update, delete"),
        (
            (
                "ALTER PUBLICATION pub_{0} SET (publish = 'insert'); ALTER PUBLICATION pub_{0} SET"
                " (publish = 'insert, update, delete, truncate')"
            ),
            "was altered, and may have left out changes for a while",
        ),
    ],
)
def test_a_publication_that_leaves_changes_out(
    postgres_version: PostgresServer, name: str, follow: Follow, statements: str, fact: str
) -> None:
    """It ends the job, while it runs and at a start, though nothing is written."""
    server = postgres_version
    make(server, name, rows=2)
    follower = _following(follow, server, name)
    server.execute(statements.format(name))
    error = _refusal(follower)
    assert fact.format(name) in error.message
    assert "begin anew with --fresh" in str(error)
    follower.kill()
    with pytest.raises(ConnectorError) as caught:
        follower.start()
    assert fact.format(name) in caught.value.message


def test_a_publication_that_is_given_more(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """It is the same for the tables that are read."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"CREATE TABLE {name}_more (id int PRIMARY KEY)")
    follower = _following(follow, server, name)
    server.execute(f"ALTER PUBLICATION pub_{name} SET TABLE {name}, {name}_more")
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    follower.until(lambda f: len(f.changes) == 3)
    with pytest.raises(AssertionError, match="nothing was said"):
        _refusal(follower, 0.5)
    follower.kill()
    follower.start().until_holds(server, name)
    server.execute(f"DROP TABLE {name}_more")


@since(15)
def test_a_publication_of_a_schema(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """It holds the table, partitioned as it is, until the schema is taken out of it."""
    server = postgres_version
    server.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        f"CREATE TABLE {name}_low PARTITION OF {name} FOR VALUES FROM (0) TO (10);"
        f"ALTER TABLE {name} REPLICA IDENTITY FULL; ALTER TABLE {name}_low REPLICA IDENTITY FULL;"
        f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b');"
        f"CREATE PUBLICATION pub_{name} FOR TABLES IN SCHEMA public"
        " WITH (publish_via_partition_root = true)"
    )
    follower = _following(follow, server, name)
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    follower.until_holds(server, name)
    with pytest.raises(AssertionError, match="nothing was said"):
        _refusal(follower, 0.5)
    # Held twice, then once.
    server.execute(f"ALTER PUBLICATION pub_{name} ADD TABLE {name}")
    follower.kill().start()
    server.execute(f"ALTER PUBLICATION pub_{name} DROP TABLE {name}")
    with pytest.raises(AssertionError, match="nothing was said"):
        _refusal(follower, 0.5)
    server.execute(f"ALTER PUBLICATION pub_{name} SET TABLE {name}_low")
    assert "does not hold" in _refusal(follower).message


def test_a_publication_of_all_tables(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """A table of it that is made again is another one, whose changes nobody reads."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"CREATE PUBLICATION pub_{name} FOR ALL TABLES")
    follower = _following(follow, server, name)
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    follower.until_holds(server, name)
    server.execute(f"DROP TABLE {name}")
    make(server, name, rows=1)
    assert "was dropped" in _refusal(follower).message
    follower.kill()
    with pytest.raises(ConnectorError, match="is not the one of the checkpoint"):
        follower.start()


@pytest.mark.parametrize("idle", [True, False])
def test_a_table_that_is_renamed(
    postgres_version: PostgresServer, name: str, follow: Follow, *, idle: bool
) -> None:
    """With or without changes; or it goes on under its new name."""
    server = postgres_version
    make(server, name, rows=2)
    follower = _following(follow, server, name)
    server.execute(f"ALTER TABLE {name} RENAME TO {name}_new")
    if not idle:
        server.execute(f"INSERT INTO {name}_new VALUES (3, 'c')")
    error = _refusal(follower)
    assert f'"public.{name}" of' in error.message
    assert f'is called "public.{name}_new" now' in error.message
    follower.kill()
    server.execute(f"ALTER TABLE {name}_new RENAME TO {name}")
    follower.tables = [server_table(server, "id INT, v STRING", name, scan__schema_change="ignore")]
    follower.start()
    server.execute(f"ALTER TABLE {name} RENAME TO {name}_new")
    server.execute(f"INSERT INTO {name}_new VALUES (4, 'd')")
    follower.until(lambda f: len(f.changes) == (3 if idle else 4))
    server.execute(f"DROP TABLE {name}_new")


def test_a_table_that_is_dropped(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """No message of the log tells of it."""
    make(postgres_version, name, rows=2)
    follower = _following(follow, postgres_version, name)
    postgres_version.execute(f"DROP TABLE {name}")
    assert f'table "public.{name}" of' in _refusal(follower).message


def test_an_identity_without_the_key(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Whose deletions would be of nothing."""
    server = postgres_version
    make(server, name, rows=2, identity="DEFAULT")
    server.execute(f"ALTER TABLE {name} ALTER v SET NOT NULL; CREATE UNIQUE INDEX ON {name} (v)")
    follower = _following(follow, server, name, key=("id",), changelog_mode="upsert")
    server.execute(f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {name}_v_idx")
    server.execute(f"DELETE FROM {name} WHERE id = 1")
    error = _refusal(follower)
    assert "its replica identity is index" in error.message
    assert f'ALTER TABLE "public"."{name}" REPLICA IDENTITY FULL' in str(error)


def test_a_slot_from_before_the_publication(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """With changes in between, of which the server does not know whether to tell."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"SELECT pg_create_logical_replication_slot('slot_{name}', 'pgoutput')")
    server.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    server.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}")
    options = {"scan__startup__mode": "committed-offset"}
    follower = follow(server_table(server, "id INT, v STRING", name, **options)).start()
    error = _refusal(follower)
    assert f'"pub_{name}"' in str(error)
    assert "was made behind changes that the slot still has" in str(error)
    assert error.final


def test_a_query_is_watched_as_well(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """Though its slot is its reader's own."""
    server = postgres_version
    make(server, name, rows=2)
    server.execute(f"CREATE PUBLICATION pub_{name} FOR TABLE {name}")
    follower = follow(server_table(server, "id INT, v STRING", name), lasting=False).start()
    follower.until(lambda f: len(f.changes) == 2)
    _until(lambda: follower.source.status().log_end)
    assert follower.source.status().kept_bytes is None
    server.execute(f"ALTER PUBLICATION pub_{name} DROP TABLE {name}")
    assert "does not hold" in _refusal(follower).message


def _until(there: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def _write(server: PostgresServer, megabytes: int) -> None:
    """So much log, of no table that is read."""
    server.execute("CREATE TABLE IF NOT EXISTS noise (t text)")
    for _ in range(megabytes):
        server.execute(
            "INSERT INTO noise SELECT string_agg(md5(random()::text), '') FROM"
            " generate_series(1, 32) a, generate_series(1, 1000) b GROUP BY b"
        )
    server.execute("DROP TABLE noise")


def test_the_budget_of_the_log(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It is said once each time that more is kept; what was read and acknowledged is not."""
    server = postgres_version
    make(server, name, rows=2)
    follower = _following(follow, server, name, scan__wal_lag_budget="3mb")

    def notices() -> list[str]:
        follower.source.discover()
        return [t for t in follower.told if "scan.wal-lag-budget" in t]

    def caught_up() -> bool:
        # What a slot keeps ends at a list of running transactions, which every checkpoint writes.
        server.execute("SELECT pg_logical_emit_message(true, '', ''); CHECKPOINT")
        follower.poll()
        follower.acknowledge()
        return not follower.source.status().over_budget

    for times in (1, 2):
        # A change that is not acknowledged yet: an idle slot moves on by itself.
        server.execute(f"INSERT INTO {name} VALUES ({10 + times}, 'x')")
        follower.until(lambda f: len(f.changes) == 2 + times)  # noqa: B023
        _write(server, 5)
        _until(lambda: len(notices()) == times)  # noqa: B023
        status = follower.source.status()
        assert status.over_budget
        assert status.kept_bytes > 3 << 20
        _until(caught_up)
        assert len(notices()) == times
    assert notices()[0].endswith("than 'scan.wal-lag-budget' allows (3 MB)")


def test_a_budget_that_ends_the_job(postgres: PostgresServer, name: str, follow: Follow) -> None:
    """What is kept at a start is read; what comes to be kept behind that ends it."""
    make(postgres, name, rows=2)
    options = {"scan__wal_lag_budget": "3mb", "scan__wal_lag_budget__exceeded": "fail"}
    follower = _following(follow, postgres, name, **options)
    _until(lambda: follower.source.status().kept_bytes is not None)
    _write(postgres, 5)
    error = _refusal(follower)
    assert "more than 'scan.wal-lag-budget' allows (3 MB)" in error.message
    follower.kill().start()
    postgres.execute(f"INSERT INTO {name} VALUES (3, 'c')")
    follower.until(lambda f: len(f.changes) == 3)
    follower.source.discover()


@pytest.fixture(params=[15, 18])
def tight(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that keeps little of its log."""
    settings = {"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0", "max_wal_size": "32MB"}
    with PostgresServer(request.param, settings) as server:
        yield server


def test_a_slot_that_loses_its_log(tight: PostgresServer, follow: Follow) -> None:
    """By max_slot_wal_keep_size: it is said before where there is time, and then it is an error."""
    make(tight, "t", rows=2)
    follower = _following(follow, tight, "t").kill()
    for _ in range(4):
        _write(tight, 12)
        tight.execute("SELECT pg_switch_wal(); CHECKPOINT")
    with pytest.raises(ConnectorError, match="is lost: wal_removed") as caught:
        follower.start()
    assert "raise max_slot_wal_keep_size" in str(caught.value)


def test_a_slot_that_is_lost_while_it_is_read(tight: PostgresServer, follow: Follow) -> None:
    """By a job that does not keep up."""
    make(tight, "t", rows=2)
    follower = _following(follow, tight, "t")
    for _ in range(4):
        _write(tight, 12)
        tight.execute("SELECT pg_switch_wal(); CHECKPOINT")
    assert "is lost: wal_removed" in _refusal(follower).message


def test_a_slot_that_nobody_read_for_too_long(follow: Follow) -> None:
    """idle_replication_slot_timeout of version 18."""
    with PostgresServer(18, {"idle_replication_slot_timeout": "1s"}) as server:
        make(server, "t", rows=2)
        follower = _following(follow, server, "t").kill()
        # The time counts from when the server has noticed that nobody reads.
        lost = "SELECT 1 FROM pg_replication_slots WHERE invalidation_reason IS NOT NULL"
        _until(lambda: server.execute("CHECKPOINT") or server.execute(lost))
        with pytest.raises(ConnectorError, match="is lost: idle_timeout") as caught:
            follower.start()
        assert "raise idle_replication_slot_timeout" in str(caught.value)
