"""`flowsql slots`: what servers keep for jobs, and how they let go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from flowsql.cli.main import main
from tests.services.following import make, until_idle
from tests.services.postgres import PostgresServer

_JOB = """
SET 'pipeline.name' = 'held';
SET 'execution.checkpointing.interval' = '100ms';
CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{port}',
  'username' = 'postgres', 'database-name' = 'postgres', 'schema-name' = 'public',
  'table-name' = '{name}', 'slot.name' = 'slot_{name}', 'debezium.publication.name' = 'pub_{name}');
CREATE TABLE o (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = 'out.db');
INSERT INTO o SELECT * FROM t;
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the job, and gives it once it has a checkpoint."""
    jobs = []

    def started() -> subprocess.Popen[bytes]:
        with Path("log").open("wb") as log:
            job = subprocess.Popen(
                [sys.executable, "-m", "flowsql.cli.main", "run", "job.sql"],
                stdout=log,
                stderr=log,
                env=os.environ,
            )
        jobs.append(job)
        end = time.monotonic() + 60
        while not list(Path(".flowsql").glob("held/checkpoints/chk-*/manifest.json")):
            assert job.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        return job

    yield started
    for job in jobs:
        job.kill()
        job.wait()


def test_slots_are_listed_and_dropped(
    postgres_version: PostgresServer,
    name: str,
    capsys: pytest.CaptureFixture[str],
    start: Callable[[], subprocess.Popen[bytes]],
) -> None:
    """Not one that is read, nor one that a job would go on with, unless that is meant."""
    server = postgres_version
    make(server, name, rows=3)
    Path("job.sql").write_text(_JOB.format(port=server.port, name=name))
    slot = f"slot_{name}"

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["slots", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    assert run("list", "job.sql") == (
        0, "the servers of the file's tables keep no slot for them\n", ""
    )  # fmt: skip
    job = start()
    code, _, err = run("drop", "job.sql", slot, "--force")
    assert code == 1
    # Whether the log is read already or not.
    assert f'job "held" is running, and its log is in slot "{slot}"' in err
    assert "Stop the job first: flowsql stop held.\n" in err
    out = ""
    while "process" not in out:
        assert job.poll() is None
        code, out, _ = run("list", "job.sql")
        assert code == 0
    head, line = out.splitlines()
    assert head.split("  ")[0] == "slot"
    assert line.startswith(f"{slot}  127.0.0.1:{server.port}/postgres  process ")
    assert "(flowsql)" in line
    assert line.split()[-2:] == [f"pub_{name}", "held"]
    assert ("reserved" in line) is (server.version >= 13)
    code, _, err = run("drop", "job.sql", slot, "--dir", "others")
    assert code == 1
    assert f'slot "{slot}" of server "127.0.0.1:{server.port}/postgres" is being read by' in err
    assert 'it is none of those in "others"' in err
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 0
    code, _, err = run("drop", "job.sql", slot)
    assert code != 0
    assert 'job "held" would go on from checkpoint' in err
    assert "--force" in err
    code, _, err = run("drop", "job.sql", slot + "x", "--force")
    assert code == 2
    assert f'Did you mean "{slot}"?' in err
    assert run("list", "job.sql")[1].splitlines()[1].split("  ")[2] == "nobody"
    manifests = {path: path.read_bytes() for path in Path(".flowsql").rglob("manifest.json")}
    for path in manifests:
        path.write_bytes(b"{")
    code, _, err = run("drop", "job.sql", slot)
    assert code == 1
    assert f'whether job "held" needs slot "{slot}" is not known' in err
    for path, content in manifests.items():
        path.write_bytes(content)
    code, out, _ = run("drop", "job.sql", slot, "--force", "--dir", ".flowsql")
    assert code == 0
    assert out == (
        f'slot "{slot}" of server "127.0.0.1:{server.port}/postgres" is dropped\n'
        f'publication "pub_{name}" stays: it costs nothing\n'
    )
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


def test_whether_a_start_can_go_on(
    postgres_version: PostgresServer,
    name: str,
    capsys: pytest.CaptureFixture[str],
    start: Callable[[], subprocess.Popen[bytes]],
) -> None:
    """`flowsql check` compares the position of the last checkpoint with what the server has."""
    server = postgres_version
    make(server, name, rows=3)
    Path("job.sql").write_text(_JOB.format(port=server.port, name=name))
    slot = f"slot_{name}"

    def check() -> tuple[int, str]:
        code = main(["check", "job.sql"])
        return code, capsys.readouterr().out

    job = start()
    while not server.execute(
        f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
    ):
        assert job.poll() is None
        time.sleep(0.05)
    code, said = check()
    assert code == 0
    assert 'Note: job "held" is running, so what its next start' in said
    assert "is being read by" not in said
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 0
    until_idle(server, slot)
    code, said = check()
    assert code == 0
    assert 'Note: a start of job "held" goes on from checkpoint ' in said
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "a start goes on from checkpoint " in said
    assert f' if slot "{slot}" still has what follows it, as flowsql check tells' in said
    server.execute(f"ALTER PUBLICATION pub_{name} DROP TABLE {name}")
    server.execute(f"INSERT INTO {name} VALUES (7, 'g')")
    code, said = check()
    assert code == 3
    assert f'publication "pub_{name}"' in said
    assert "begin anew with --fresh" in said
    server.execute(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    code, said = check()
    assert f'replication slot "{slot}"' in said
    assert "is ahead of the checkpoint" in said
    # All at once.
    assert f'publication "pub_{name}"' in said
    server.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    code, said = check()
    assert code == 3
    assert f'has no replication slot "{slot}" any more' in said
    # What a start says is the same, and it changes nothing there.
    assert main(["run", "job.sql"]) == 1
    assert "publication" in capsys.readouterr().err
    assert server.execute("SELECT 1 FROM pg_replication_slots") == []


def test_a_slot_without_a_job(
    postgres: PostgresServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is dropped as it is; slots that nobody named are not ours."""
    Path("job.sql").write_text(_JOB.format(port=postgres.port, name=name))
    for slot in (f"slot_{name}", "foreign"):
        postgres.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    assert main(["slots", "list", "job.sql"]) == 0
    assert "foreign" not in capsys.readouterr().out
    assert main(["slots", "drop", "job.sql", "foreign"]) == 2
    assert main(["slots", "drop", "job.sql", f"slot_{name}"]) == 0
    assert capsys.readouterr().out.endswith(" is dropped\n")
    postgres.execute("SELECT pg_drop_replication_slot('foreign')")


def test_the_slot_of_a_query(
    postgres: PostgresServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown while it is there, and whose it is."""
    Path("job.sql").write_text(_JOB.format(port=postgres.port, name=name))
    with psycopg.connect(f"{postgres.dsn()} replication=database", autocommit=True) as connection:
        connection.execute(
            "CREATE_REPLICATION_SLOT flowsql_0123456789ab TEMPORARY LOGICAL pgoutput"
        )
        assert main(["slots", "list", "job.sql"]) == 0
        assert "flowsql_0123456789ab  127.0.0.1:" in capsys.readouterr().out


def test_a_job_ends_by_what_trying_again_does_not_mend(
    postgres_version: PostgresServer, name: str, start: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """It says what is to be done, and is not started again and again."""
    make(postgres_version, name, rows=3)
    Path("job.sql").write_text(_JOB.format(port=postgres_version.port, name=name))
    job = start()
    postgres_version.execute(f"ALTER PUBLICATION pub_{name} DROP TABLE {name}")
    assert job.wait(60) == 1
    said = Path("log").read_text()
    assert "restarting" not in said
    assert f'publication "pub_{name}"' in said
    assert "Hint: See that the publication holds all tables of the job, and begin anew" in said
