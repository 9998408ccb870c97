"""Partitions whose old rows are not what their whole promises: an error, never a made-up NULL."""

from __future__ import annotations

from typing import Any

import pytest

from flowsql.errors import ConnectorError, DataError
from tests.services.fixtures import since
from tests.services.following import Follow, drop_slot, server_table
from tests.services.postgres import PostgresServer


def _make(server: PostgresServer, name: str, whole: str, part: str) -> None:
    server.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    server.execute(f"CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (0) TO (100)")
    server.execute(f"ALTER TABLE {name} REPLICA IDENTITY {whole}")
    server.execute(f"ALTER TABLE {name}_a REPLICA IDENTITY {part}")
    server.execute(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')")


def _table(server: PostgresServer, name: str, **options: str) -> Any:
    return server_table(server, "id INT, v STRING", name, key=("id",), **options)


@since(13)
@pytest.mark.parametrize("mode", ["all", "upsert"])
def test_a_partition_without_full(
    postgres_version: PostgresServer, name: str, follow: Follow, mode: str
) -> None:
    """The log calls its old rows whole; told at the start, and of one that comes later."""
    server = postgres_version
    _make(server, name, "FULL", "DEFAULT")
    follower = follow(_table(server, name, changelog_mode=mode))
    with pytest.raises(ConnectorError, match=f'FULL, but "public.{name}_a" not') as caught:
        follower.start()
    cure = f'ALTER TABLE "public"."{name}_a" REPLICA IDENTITY FULL;'
    assert cure in str(caught.value.hint)
    server.execute(cure)
    follower.start().until(lambda f: len(f.changes) == 2)
    server.execute(f"CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES FROM (100) TO (200)")
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id = 1")
    follower.until(lambda f: len(f.changes) >= 3)
    server.execute(f"INSERT INTO {name} VALUES (100, 'late')")
    with pytest.raises(ConnectorError, match=f'FULL, but "public.{name}_b" not'):
        follower.until(lambda f: len(f.changes) > 4)
    follower.kill()


@since(13)
def test_a_whole_without_full(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """It is what counts where rows before are needed; by key its partitions may have what they like."""
    server = postgres_version
    _make(server, name, "DEFAULT", "FULL")
    follower = follow(_table(server, name)).start().until(lambda f: len(f.changes) == 2)
    server.execute(f"UPDATE {name} SET v = 'x' WHERE id = 1")
    with pytest.raises(DataError, match="the row before") as caught:
        follower.until(lambda f: len(f.changes) > 2)
    assert f'ALTER TABLE "public"."{name}" REPLICA IDENTITY FULL' in str(caught.value)
    follower.kill()
    follower = follow(_table(server, name, changelog_mode="upsert", slot__name=f"{name}_u"))
    follower.start().until(lambda f: len(f.changes) == 2)
    server.execute(f"UPDATE {name} SET v = 'y', id = 9 WHERE id = 1")
    server.execute(f"DELETE FROM {name} WHERE id = 2")
    follower.until_holds(server, name).kill()
    drop_slot(server, f"{name}_u")


@since(13)
def test_a_part_that_has_parts(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """Read by its own name, of which the log speaks then; a part of it that comes later is looked at."""
    server = postgres_version
    server.execute(
        f"CREATE TABLE {name}_all (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        f"CREATE TABLE {name} PARTITION OF {name}_all FOR VALUES FROM (0) TO (100)"
        " PARTITION BY RANGE (id);"
        f"CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (0) TO (50);"
        f"ALTER TABLE {name} REPLICA IDENTITY FULL;"
        f"ALTER TABLE {name}_a REPLICA IDENTITY FULL;"
        f"INSERT INTO {name} VALUES (1, 'a')"
    )
    follower = follow(_table(server, name)).start().until(lambda f: len(f.changes) == 1)
    server.execute(f"UPDATE {name}_all SET v = 'x'")
    follower.until_holds(server, name)
    server.execute(f"CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES FROM (50) TO (100)")
    server.execute(f"INSERT INTO {name} VALUES (50, 'b')")
    with pytest.raises(ConnectorError, match=f'"public.{name}" has .* but "public.{name}_b" not'):
        follower.until(lambda f: len(f.changes) > 3)
    follower.kill()
    server.execute(f"DROP TABLE {name}_all CASCADE")
