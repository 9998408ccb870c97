"""Somebody has locked a table: whom a start and a snapshot wait for is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flowsql_connectors.postgres_cdc.server import locks

from flowsql.connector import StartInterrupted
from flowsql.connector.plugins import find_connector
from flowsql.testing import attempt_context
from tests.services.following import Follow, make, server_table
from tests.services.postgres import PostgresServer

_LOCK = "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_FIRST", 0.1)
    monkeypatch.setattr(locks, "_EVERY", 0.1)


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_start(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """Its publication cannot be made meanwhile; then it begins."""
    server = postgres_version
    make(server, name, rows=3)
    follower = follow(server_table(server, "id INT, v STRING", name))
    starting = threading.Thread(target=follower.start)
    with server.connect(application_name="maintenance") as other, other.transaction():
        pid = other.info.backend_pid
        other.execute(_LOCK.format(name).encode())
        starting.start()
        _until(lambda: any("is locked" in told for told in follower.told))
    starting.join(60)
    follower.until(lambda f: len(f.changes) == 3).kill()
    (waited,) = [told for told in follower.told if "is locked" in told]
    assert waited == (
        f'table "public.{name}" of PostgreSQL server "127.0.0.1:{server.port}/postgres" is locked,'
        f" or about to be, by process {pid} (maintenance, role postgres, from 127.0.0.1): reading"
        " it waits for the end of that transaction"
    )


def test_a_start_that_is_to_stop(
    postgres_version: PostgresServer, name: str, tmp_path: Path
) -> None:
    """It ends though the lock stays, and leaves nothing."""
    server = postgres_version
    make(server, name, rows=3)
    told: list[str] = []
    stopping, raised = threading.Event(), list[BaseException]()
    context = replace(attempt_context(tmp_path), tell=told.append, stopping=stopping.is_set)

    def start() -> None:
        table = server_table(server, "id INT, v STRING", name)
        try:
            find_connector("postgres-cdc").open_source([table], None, context)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            raised.append(error)

    starting = threading.Thread(target=start)
    with server.connect() as other, other.transaction():
        other.execute(_LOCK.format(name).encode())
        starting.start()
        _until(lambda: any("is locked" in line for line in told))
        stopping.set()
        starting.join(60)
    assert [type(error) for error in raised] == [StartInterrupted]
    left = "SELECT pubname FROM pg_publication UNION ALL SELECT slot_name FROM pg_replication_slots"
    assert not {f"pub_{name}", f"slot_{name}"} & {row[0] for row in server.execute(left)}


def test_a_snapshot(postgres_version: PostgresServer, name: str, follow: Follow) -> None:
    """Amid its chunks; of a table whose partition is locked, too. Behind it nobody asks."""
    server, before = postgres_version, set(threading.enumerate())
    columns = "id int, v text, PRIMARY KEY (id)"
    server.execute(f"CREATE TABLE {name} ({columns}) PARTITION BY RANGE (id)")
    server.execute(f"CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (0) TO (100)")
    server.execute(f"INSERT INTO {name} SELECT i, 'v' FROM generate_series(1, 35) i")
    chunks = {"scan__incremental__snapshot__chunk__size": "7"}
    table = server_table(server, "id INT, v STRING", name, key=("id",), **chunks)
    follower = follow(table).start()
    reading = threading.Thread(target=lambda: follower.until(lambda f: len(f.changes) == 35))
    with server.connect() as other, other.transaction():
        other.execute(_LOCK.format(f"{name}_a").encode())
        reading.start()
        _until(lambda: any(f'table "public.{name}_a" ' in told for told in follower.told))
    reading.join(60)
    assert len(follower.changes) == 35
    _until(
        lambda: (
            not any(t.name.startswith("locks ") for t in threading.enumerate() if t not in before)
        )
    )
    follower.kill()
