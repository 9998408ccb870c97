"""What a reader makes in the server for itself goes with it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowsql.cli.main import main
from flowsql.errors import ConnectorError
from tests.recovery.jobs.kills import SqlJob
from tests.recovery.jobs.zygote import Zygote
from tests.services.following import Follow, make, server_table
from tests.services.postgres import PostgresServer

_TABLE = """
CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{port}',
  'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',
  'table-name' = '{name}', 'slot.name' = 'slot_{name}', 'debezium.publication.name' = 'pub_{name}',
  'scan.startup.mode' = '{mode}', 'scan.incremental.snapshot.chunk.size' = '2');
"""
_JOB = """
SET 'pipeline.name' = 'once';
SET 'state.checkpoints.num-retained' = '3';
SET 'execution.checkpointing.interval' = '50ms';
CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = 'out.db');
INSERT INTO o SELECT * FROM t;
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _left(server: PostgresServer, name: str) -> list[str]:
    """Publications of a table with the names of those that readers make for themselves."""
    found = server.execute(
        "SELECT DISTINCT pubname::text FROM pg_publication_tables"
        f" WHERE pubname ~ '^flowsql_' AND tablename = '{name}'"
    )
    return [publication for (publication,) in found]


def _slots(server: PostgresServer, name: str) -> list[str]:
    """Slots of queries, and of the job that reads a table."""
    found = server.execute(
        "SELECT slot_name::text FROM pg_replication_slots"
        f" WHERE slot_name ~ '^flowsql_' OR slot_name = 'slot_{name}'"
    )
    return [slot for (slot,) in found]


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _reads(server: PostgresServer, name: str) -> bool:
    """Whether a query reads the log through a slot that is called as its publication."""
    made = _left(server, name)
    asked = "SELECT slot_name::text FROM pg_replication_slots WHERE active AND temporary"
    return bool(made) and (made[0],) in server.execute(asked)


def _killed_query(server: PostgresServer, name: str) -> str:
    """The publication that a query left which was killed while it read the log."""
    text = _TABLE.format(port=server.port, name=name, mode="initial")
    Path("tables.sql").write_text(text)
    with Path("out").open("wb") as out:
        query = subprocess.Popen(
            [sys.executable, "-m", "flowsql.cli.main", "-e", f"{text} SELECT id FROM t"],
            stdout=out,
            stderr=out,
            env=os.environ,
        )
    try:
        _until(lambda: query.poll() is not None or _reads(server, name))
        assert query.poll() is None, Path("out").read_text()
        (made,) = _left(server, name)
    finally:
        query.kill()
        query.wait()
    # The server notices that its clients have gone, one session after the other.
    claimed = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = "
    _until(lambda: made not in _slots(server, name))
    _until(lambda: server.execute(f"{claimed}{int(made[-8:], 16)}") == [])
    assert _left(server, name) == [made]
    return made


def test_the_next_query_clears_up(
    postgres_version: PostgresServer, name: str, follow: Follow
) -> None:
    """What a killed one left goes, what lives or is somebody's own stays."""
    server = postgres_version
    make(server, name, rows=3)
    left = _killed_query(server, name)
    server.execute(f"CREATE PUBLICATION flowsql_0123456789ab FOR TABLE {name}")
    table = server_table(server, "id INT, v STRING", name)
    first = follow(table, lasting=False).start()
    (told,) = [line for line in first.told if f'publication "{left}"' in line]
    assert "was dropped: the query that made it was killed" in told
    (mine,) = set(_left(server, name)) - {"flowsql_0123456789ab"}
    assert mine != left
    second = follow(table, lasting=False).start()
    assert not any(mine in line for line in second.told)
    assert len(_left(server, name)) == 3
    server.execute(f"INSERT INTO {name} VALUES (9, 'new')")
    first.until_holds(server, name).kill()
    second.until_holds(server, name).kill()
    assert _left(server, name) == ["flowsql_0123456789ab"]
    server.execute("DROP PUBLICATION flowsql_0123456789ab")


def test_a_query_between_its_publication_and_its_slot(
    postgres: PostgresServer, name: str, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one that starts right then leaves it alone."""
    make(postgres, name, rows=3)
    table = server_table(postgres, "id INT, v STRING", name)
    made = "flowsql_connectors.postgres_cdc.server.slots.create_slot"
    from flowsql_connectors.postgres_cdc.server.slots import create_slot

    def create_later(*given: object, **named: object) -> object:
        monkeypatch.setattr(made, create_slot)
        (early,) = _left(postgres, name)
        assert early not in _slots(postgres, name)
        other = follow(table, lasting=False).start()
        assert early in _left(postgres, name)
        other.kill()
        assert _left(postgres, name) == [early]
        return create_slot(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(made, create_later)
    follow(table, lasting=False).start().until_holds(postgres, name).kill()
    assert _left(postgres, name) == []


def test_what_a_killed_query_left_is_listed(
    postgres: PostgresServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`flowsql slots` shows it, and drops it."""
    make(postgres, name, rows=3)
    left = _killed_query(postgres, name)
    assert main(["slots", "list", "tables.sql"]) == 0
    (line,) = [at for at in capsys.readouterr().out.splitlines() if at.startswith(left)]
    server = f"127.0.0.1:{postgres.port}/postgres"
    assert line.split() == [left, server, "nobody", "gone", left]
    assert main(["slots", "drop", "tables.sql", left]) == 0
    assert capsys.readouterr().out == f'publication "{left}" of server "{server}" is dropped\n'
    assert _left(postgres, name) == []


def test_a_connection_that_the_server_ended(
    postgres: PostgresServer, name: str, follow: Follow
) -> None:
    """What was to be dropped over it is dropped over another."""
    make(postgres, name, rows=3)
    follower = follow(server_table(postgres, "id INT, v STRING", name), lasting=False).start()
    follower.until_holds(postgres, name)
    assert _left(postgres, name)
    postgres.cut_connections()
    follower.kill()
    assert _left(postgres, name) == []


def _run(server: PostgresServer, name: str, mode: str = "snapshot") -> subprocess.Popen[bytes]:
    Path("job.sql").write_text(_TABLE.format(port=server.port, name=name, mode=mode) + _JOB)
    with Path("log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flowsql.cli.main", "run", "job.sql"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )


@pytest.mark.parametrize("reads", ["SELECT id FROM t", _JOB], ids=["query", "job"])
def test_ctrl_c_while_the_server_waits_for_others(
    postgres_version: PostgresServer, name: str, reads: str
) -> None:
    """A slot is made once all open transactions have ended: a start that waits for that ends."""
    server = postgres_version
    make(server, name, rows=3)
    text = _TABLE.format(port=server.port, name=name, mode="initial")
    with server.connect(autocommit=False) as other, Path("log").open("wb") as log:
        other.execute("SELECT txid_current()")
        started = subprocess.Popen(
            [sys.executable, "-m", "flowsql.cli.main", "-e", f"{text} {reads}"],
            stdout=log,
            stderr=log,
        )
        try:
            _until(
                lambda: (
                    started.poll() is not None
                    or b"the transactions that are open" in Path("log").read_bytes()
                )
            )
            assert started.poll() is None, Path("log").read_text()
            started.send_signal(signal.SIGINT)
            assert started.wait(60) == 0, Path("log").read_text()
        finally:
            started.kill()
            started.wait()
        assert _slots(server, name) == []
        assert _left(server, name) == []
        other.rollback()
    said = Path("log").read_text()
    assert "Error" not in said


def test_a_snapshot_job_leaves_nothing(postgres: PostgresServer, name: str) -> None:
    """Neither slot nor publication, with several checkpoints kept, killed in its midst or not."""
    make(postgres, name, rows=300)
    job = _run(postgres, name)
    try:
        _until(
            lambda: (
                job.poll() is not None
                or list(Path(".flowsql").glob("once/checkpoints/chk-*/manifest.json"))
            )
        )
    finally:
        job.kill()
        job.wait()
    said = Path("log").read_text()
    assert 'publication "flowsql_' in said
    assert "it goes when the snapshot is read" in said
    if job.returncode == 0:
        # It was too fast for the kill: the next one is another run.
        Path("out.db").unlink()
    assert _run(postgres, name).wait(120) == 0, Path("log").read_text()
    assert f"slot_{name}" not in _slots(postgres, name)
    assert _left(postgres, name) == []
    assert postgres.execute(f"SELECT 1 FROM pg_publication WHERE pubname = 'pub_{name}'") == []


def test_a_snapshot_job_that_is_begun_anew_after_a_kill(
    postgres: PostgresServer, name: str, tmp_path: Path, zygote: Zygote
) -> None:
    """The new run makes the dead one's slot anew, and nothing is left at its end."""
    make(postgres, name, rows=30)
    tables = _TABLE.format(port=postgres.port, name=name, mode="snapshot")
    job = SqlJob(zygote, tmp_path / "job.sql", tmp_path / "jobs", "once")
    job.file.write_text(
        f"SET 'execution.checkpointing.dir' = '{job.jobs}';"
        + tables
        + _JOB.replace("out.db", str(tmp_path / "out.db"))
    )
    assert job.run(kill_at="before-acknowledge:1").code == -signal.SIGKILL
    assert job.store.numbers()
    killed = job.record()["run"]
    assert f"slot_{name}" in _slots(postgres, name)
    again = job.run("--fresh")
    assert again.code == 0, again.text
    assert "would begin anew" not in again.text
    assert job.record()["run"] != killed
    assert f"slot_{name}" not in _slots(postgres, name)
    assert _left(postgres, name) == []
    with contextlib.closing(sqlite3.connect(tmp_path / "out.db")) as made:
        assert sorted(made.execute("SELECT id, v FROM o")) == sorted(
            postgres.execute(f"SELECT id, v FROM {name}")
        )


@pytest.mark.parametrize("moved", [False, True])
def test_a_snapshot_job_killed_before_its_first_checkpoint(
    postgres_version: PostgresServer, name: str, follow: Follow, *, moved: bool
) -> None:
    """The same run finds its slot and makes it anew; one that somebody has read since is not its."""
    server = postgres_version
    make(server, name, rows=3)
    table = server_table(server, "id INT, v STRING", name, scan__startup__mode="snapshot")
    slot = table.options["slot.name"]
    killed = follow(table).start()
    assert slot in _slots(server, name)
    if moved:
        server.execute(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    again = follow(table).start()
    assert any("is there already" in told for told in again.told) is moved
    again.until(lambda f: f.source.complete and len(f.changes) == 3)
    again.source.end()
    assert (slot in _slots(server, name)) is moved
    assert len(_left(server, name)) == moved
    again.kill()
    killed.kill()
    assert slot not in _slots(server, name)
    assert _left(server, name) == []


def test_a_snapshot_job_that_has_to_do_without_its_slot(
    postgres: PostgresServer, name: str, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has made until then goes at once."""

    def failing(*_: object) -> None:
        raise ConnectorError("the connection was lost")

    monkeypatch.setattr("flowsql_connectors.postgres_cdc.source.Exported", failing)
    make(postgres, name, rows=3)
    follower = follow(
        server_table(postgres, "id INT, v STRING", name, scan__startup__mode="snapshot")
    )
    follower.start()
    assert any("could not go on, but would begin anew: the conn" in t for t in follower.told)
    assert f"slot_{name}" not in _slots(postgres, name)
    assert _left(postgres, name) == []
    follower.until_holds(postgres, name)
