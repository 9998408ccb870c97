"""More than fits: transactions larger than memory, and a sink that is slower than the server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import flowsql
from flowsql.runtime.job import Job
from flowsql.runtime.units import Spool
from tests.services.following import clean, make
from tests.services.postgres import PostgresServer

_LARGE = 60_000
_SMALL = 1_000
_TRANSACTIONS = 100
_SLEEP = 0.5  # seconds
_SENDER_PATIENCE = 3


def _start(
    session: flowsql.Session, server: PostgresServer, name: str, folder: Path, query: str
) -> Job:
    options = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": "postgres",
        "database-name": "postgres",
        "schema-name": "public",
        "table-name": name,
        "slot.name": f"slot_{name}",
        "debezium.publication.name": f"pub_{name}",
    }
    given = ", ".join(f"'{k}' = '{v}'" for k, v in options.items())
    session.execute(
        f"CREATE TABLE a (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ({given});"
        "CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ("
        f"'connector' = 'changelog-sqlite', 'path' = '{folder / 'out'}')"
    )
    job = session.execute(query)
    assert isinstance(job, Job)
    return job


def _until(true: Callable[[], Any], job: Job, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert job.error is None
        assert time.monotonic() < end
        time.sleep(0.02)


def _held(folder: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(folder / "out", timeout=60) as out:
        made = out.execute("SELECT 1 FROM sqlite_master WHERE name = 'o'").fetchall()
        return out.execute("SELECT id, v FROM o ORDER BY 1").fetchall() if made else []


def test_a_transaction_that_does_not_fit_waits_on_disk(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its commit; then it is one step, and the disk is free again."""
    spooled: list[Path] = []
    replay = Spool.replay

    def noted(spool: Spool) -> Any:
        spooled.extend(tmp_path.rglob("*.arrow"))
        return replay(spool)

    monkeypatch.setattr(Spool, "replay", noted)
    name = "wide"
    make(postgres, name, rows=10)
    config = {
        "execution.checkpointing.dir": str(tmp_path / "jobs"),
        "execution.checkpointing.interval": "100 ms",
        "pipeline.max-transaction-bytes": "1 mb",
    }
    with flowsql.connect(config) as session:
        job = _start(session, postgres, name, tmp_path, "INSERT INTO o SELECT * FROM a")
        _until(lambda: len(_held(tmp_path)) == 10, job)
        postgres.execute(
            f"BEGIN; INSERT INTO {name} SELECT g, repeat('x', 100) || g"
            f" FROM generate_series(11, {_LARGE}) g; UPDATE {name} SET v = 'y' WHERE id % 2 = 0;"
            f" DELETE FROM {name} WHERE id % 3 = 0; COMMIT"
        )
        wanted = postgres.execute(f"SELECT id, v FROM {name} ORDER BY 1")
        counts = set()

        def there() -> bool:
            held = _held(tmp_path)
            counts.add(len(held))
            return held == wanted

        _until(there, job)
        # Nobody sees a part of it.
        assert counts == {10, len(wanted)}
        assert spooled
        assert not list(tmp_path.rglob("*.arrow"))
        job.stop()
        job.wait()
    clean(postgres, name)


def test_a_slow_sink_loses_neither_the_server_nor_memory(tmp_path: Path) -> None:
    """The server hears of us while rows wait; no more of them wait than may."""
    with PostgresServer(15, {"wal_sender_timeout": f"{_SENDER_PATIENCE}s"}) as server:
        make(server, "t", rows=1)

        def slow(value: pa.StringArray) -> pa.StringArray:
            time.sleep(_SLEEP)
            return value

        config = {
            "execution.checkpointing.dir": str(tmp_path / "jobs"),
            "execution.checkpointing.interval": "100 ms",
            "pipeline.queue.max-bytes": "2 mb",
            "pipeline.step.max-rows": "2000",
        }
        with flowsql.connect(config) as session:
            session.create_temporary_function(
                "slow",
                flowsql.udf(slow, input_types=["STRING"], result_type="STRING", func_type="arrow"),
            )
            job = _start(session, server, "t", tmp_path, "INSERT INTO o SELECT id, slow(v) FROM a")
            _until(lambda: _held(tmp_path), job)
            asked = "SELECT pid FROM pg_stat_replication"
            sender = server.execute(asked)
            with server.connect() as connection:
                for i in range(_TRANSACTIONS):
                    connection.execute(
                        "INSERT INTO t SELECT g, repeat('x', 500)"
                        " FROM generate_series(%s::int, %s::int) g",
                        [2 + i * _SMALL, 1 + (i + 1) * _SMALL],
                    )
            queued: list[int] = []

            def there() -> bool:
                queued.append(job.status()["sources"][0]["queued_bytes"])
                return len(_held(tmp_path)) == 1 + _TRANSACTIONS * _SMALL

            began = time.monotonic()
            _until(there, job)
            assert time.monotonic() - began > 2 * _SENDER_PATIENCE
            # Of 50 MB; the limit and what came at once.
            assert 1 << 20 < max(queued) < 12 << 20
            assert server.execute(asked) == sender
            job.stop()
            job.wait()
