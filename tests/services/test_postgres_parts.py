"""Partitions that come and go by themselves, of which the log says nothing: an error, or harmless."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flowsql.errors import ConnectorError
from tests.services.fixtures import since
from tests.services.following import Follow, Follower, server_table
from tests.services.postgres import PostgresServer

pytestmark = since(13)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowsql_connectors.postgres_cdc.server.watching._EVERY", 0.1)


def _make(server: PostgresServer, name: str) -> None:
    """Two partitions of two rows."""
    server.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        f"CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (0) TO (100);"
        f"CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES FROM (100) TO (200);"
        f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b'), (101, 'c'), (102, 'd')"
    )


def _table(server: PostgresServer, name: str, **options: str) -> Any:
    return server_table(
        server, "id INT, v STRING", name, key=("id",), changelog_mode="upsert", **options
    )


def _following(follow: Follow, server: PostgresServer, name: str, **options: str) -> Follower:
    follower = follow(_table(server, name, **options))
    follower.held.add(name)
    follower.start()
    return follower.until(lambda f: f.position is not None and "log" in f.position["splits"])


def _refusal(follower: Follower) -> ConnectorError:
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            follower.source.discover()
            follower.poll()
    except ConnectorError as error:
        return error
    raise AssertionError("nothing was said")


def _looked(follower: Follower) -> dict[str, Any]:
    """The partitions as of a look that began behind this call."""
    watch = follower.source._watch
    looks = []
    judge = watch._judge

    def counted(*found: Any) -> None:
        judge(*found)
        looks.append(found)

    watch._judge = counted
    end = time.monotonic() + 60
    # The first one may have been asked before.
    while len(looks) < 2:
        follower.source.discover()
        follower.poll()
        assert time.monotonic() < end
    watch._judge = judge
    parts: dict[str, Any] = watch.parts
    return parts


@pytest.mark.parametrize(
    ("statements", "fact"),
    [
        ("ALTER TABLE {0} DETACH PARTITION {0}_a", "1 partition of table"),
        ("DROP TABLE {0}_a", "was dropped or detached"),
        ("TRUNCATE {0}_a", 'partition "public.{0}_a" of table "public.{0}"'),
        (
            "TRUNCATE {0}_a; INSERT INTO {0} VALUES (3, 'new')",
            "was truncated by itself, or written anew",
        ),
        (
            (
                "CREATE TABLE {0}_c AS SELECT 201 AS id, 'x' AS v; ALTER TABLE {0}_c ALTER id SET NOT"
                " NULL; ALTER TABLE {0} ATTACH PARTITION {0}_c FOR VALUES FROM (200) TO (300)"
            ),
            'partition "public.{0}_c" was attached to table "public.{0}"',
        ),
        (
            (
                "ALTER TABLE {0} DETACH PARTITION {0}_a; INSERT INTO {0}_a VALUES (4, 'unseen');"
                "ALTER TABLE {0} ATTACH PARTITION {0}_a FOR VALUES FROM (0) TO (100)"
            ),
            'partition "public.{0}_a" was attached to table "public.{0}"',
        ),
    ],
)
def test_rows_that_come_and_go_with_partitions(
    postgres_version: PostgresServer,
    name: str,
    follow: Follow,
    statements: str,
    fact: str,
) -> None:
    """They end the job, while it runs and at a start."""
    server = postgres_version
    _make(server, name)
    follower = _following(follow, server, name)
    server.execute(statements.format(name))
    error = _refusal(follower)
    assert fact.format(name) in error.message
    assert error.final
    follower.kill()
    with pytest.raises(ConnectorError) as caught:
        follower.start()
    assert caught.value.message == error.message
    server.execute(f"DROP TABLE IF EXISTS {name}_a, {name}_c")


def test_an_only_partition(postgres: PostgresServer, name: str, follow: Follow) -> None:
    """Whether the table or the partition was truncated is not known: the log tells of one only."""
    _make(postgres, name)
    postgres.execute(f"DROP TABLE {name}_b")
    follower = _following(follow, postgres, name)
    postgres.execute(f"TRUNCATE {name}_a")
    assert f'partition "public.{name}_a" of table' in _refusal(follower).message


def test_partitions_that_lack_nothing(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """New ones, empty ones, rewritten ones, and TRUNCATE of the whole, which the log tells."""
    server = postgres_version
    _make(server, name)
    follower = _following(follow, server, name)
    for statements in (
        (
            "CREATE TABLE {0}_c PARTITION OF {0} FOR VALUES FROM (200) TO (300);"
            "INSERT INTO {0} VALUES (201, 'e')"
        ),
        (
            "CREATE TABLE {0}_d PARTITION OF {0} FOR VALUES FROM (300) TO (400) PARTITION BY LIST (id);"
            "CREATE TABLE {0}_e PARTITION OF {0}_d FOR VALUES IN (301); INSERT INTO {0} VALUES"
            " (301, 'f')"
        ),
        (
            "CREATE TABLE {0}_f (id int NOT NULL, v text);"
            "ALTER TABLE {0} ATTACH PARTITION {0}_f FOR VALUES FROM (400) TO (500)"
        ),
        "INSERT INTO {0} VALUES (401, 'g')",
        "VACUUM FULL {0}_a",
        "ANALYZE {0}",
        "TRUNCATE {0}",
        "INSERT INTO {0} VALUES (1, 'new'), (101, 'new')",
        "INSERT INTO {0} VALUES (2, 'newer')",
    ):
        server.execute(statements.format(name))
        before = _looked(follower)
        follower.until_holds(server, name)
    assert len(next(iter(before["roots"].values()))) == 6
    # Nor at a start, of what was found before; nor of what came while nothing ran.
    follower.kill()
    server.execute(f"CREATE TABLE {name}_g PARTITION OF {name} FOR VALUES FROM (500) TO (600)")
    server.execute(f"INSERT INTO {name} VALUES (501, 'h')")
    server.execute(f"VACUUM FULL {name}_a")
    follower.start().until_holds(server, name)
    _looked(follower)


def test_rows_that_stay_as_is_wanted(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """As with TRUNCATE of a table: they are kept here."""
    server = postgres_version
    _make(server, name)
    follower = _following(follow, server, name, scan__truncate="ignore")
    server.execute(f"TRUNCATE {name}_a; DROP TABLE {name}_b")
    _looked(follower)
    server.execute(f"INSERT INTO {name} VALUES (3, 'new')")
    follower.until(lambda f: len(f.changes) == 5)
    assert len(follower.fold(name)) == 5
    # Known by then: without the option it goes on as well.
    follower.until(
        lambda f: f.position["source"]["parts"]["roots"] == f.source._watch.parts["roots"]
    )
    follower.kill()
    follower.tables = [_table(server, name)]
    follower.start()
    _looked(follower)
