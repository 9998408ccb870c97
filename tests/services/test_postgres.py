"""The servers that tests start do what tests ask of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.services.postgres import PostgresServer
from tests.services.proxy import CuttingProxy

ROOT = Path(__file__).parents[2]


def test_a_server_is_of_its_version_and_ready_for_logical_decoding(
    postgres_version: PostgresServer,
) -> None:
    """The version asked for, its log readable."""
    rows = postgres_version.execute(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('wal_level')"
    )
    assert rows == [(postgres_version.version, "logical")]


def test_what_was_committed_outlives_a_kill() -> None:
    """SIGKILL of all processes, then a start on the same port with the same rows."""
    with PostgresServer() as server:
        port = server.port
        server.execute("CREATE TABLE t AS SELECT 42 AS a")
        server.restart("kill")
        assert (server.port, server.execute("SELECT a FROM t")) == (port, [(42,)])
        server.stop()
        assert not server.running
        with pytest.raises(psycopg.OperationalError):
            server.execute("SELECT 1")
        server.start()
        assert server.execute("SELECT a FROM t") == [(42,)]


def test_connections_are_cut(postgres: PostgresServer) -> None:
    """The sessions meant end, others go on."""
    with (
        postgres.connect(application_name="victim") as victim,
        postgres.connect(application_name="other") as other,
    ):
        assert postgres.cut_connections("application_name = 'victim'") == 1
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_way_to_a_server_is_cut(postgres: PostgresServer) -> None:
    """At once, in the middle of an answer, and so that nobody gets in any more."""
    with CuttingProxy(postgres.port) as proxy:
        dsn = postgres.dsn().replace(str(postgres.port), str(proxy.port))
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert proxy.cut() == 1
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with psycopg.connect(dsn, autocommit=True) as connection:
            proxy.cut_after(5_000_000)
            seen: list[int] = []
            with pytest.raises(psycopg.OperationalError):
                _read_ten_megabytes(connection, seen)
            # A reset drops what had arrived and was not read yet.
            assert 0 < sum(seen) < 5_000_000
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn)
        proxy.refuse(False)
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def _read_ten_megabytes(connection: psycopg.Connection[Any], seen: list[int]) -> None:
    query = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000)) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        seen.extend(len(row) for row in copy)


def test_a_server_ends_with_who_started_it() -> None:
    """A killed test run leaves no server behind."""
    code = (
        "import os, signal\n"
        "from tests.services.postgres import PostgresServer\n"
        "print(PostgresServer().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The server's user looks into it; pytest closes its own folder to others whenever it starts.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        pid = int(done.stdout)
        # The server's process is nobody's child now; its end is seen by its entry only.
        end = time.monotonic() + 60
        while _alive(pid):
            assert time.monotonic() < end, f"process {pid} is still there"
            time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
