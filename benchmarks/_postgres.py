"""What the benchmarks of postgres-cdc share: a server, a table of eight columns, who spent what.

Server, reader and engine share the machine's cores, so every result gives processor time by
process beside the clock: on a machine that does other work as well, compare what was measured in
turns.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

# The servers are the tests'.
sys.path.insert(0, str(Path(__file__).parents[1]))

import flowsql
from flowsql.runtime.job import Job
from tests.services.binaries import ServerUnavailable
from tests.services.postgres import PostgresServer

__all__ = [
    "COLUMNS",
    "ROWS",
    "TABLE",
    "Spending",
    "behind",
    "options",
    "plain_reader",
    "server",
    "session",
    "table",
    "wait_for_rows",
    "wait_for_sent",
]

TABLE = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, name varchar(20), amount decimal(10, 2),
  quantity int, status varchar(20), ts timestamp(3), note text);
"""
ROWS = """
INSERT INTO orders SELECT i, i * 7 % 100000, 'customer ' || i % 1000, i % 1000000 / 100.0, i % 50, 'state ' || i % 5,
  timestamp '2024-01-01' + i * interval '1.234 s', 'a note of some length, number ' || i
FROM generate_series({}, {}) i
"""
COLUMNS = (
    "id BIGINT, customer INT NOT NULL, name STRING, amount DECIMAL(10, 2), quantity INT, "
    "status STRING, ts TIMESTAMP(3), note STRING"
)
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.03


@contextlib.contextmanager
def server(name: str, version: int = 15) -> Iterator[PostgresServer]:
    """A server that may use all cores; says so where there is none."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        started = PostgresServer(version, {"shared_buffers": "256MB", "max_wal_size": "4GB"})
    except ServerUnavailable as reason:
        print(f"{name:<18} {reason}")
        raise SystemExit(0) from None
    with started:
        yield started


def session() -> flowsql.Session:
    """A session that writes a checkpoint a second."""
    folder = tempfile.mkdtemp(prefix="flowsql-benchmark-")
    config = {"execution.checkpointing.dir": folder, "execution.checkpointing.interval": "1 s"}
    return flowsql.connect(config, tune_process=True)


def options(server: PostgresServer, slot: str, **more: str) -> str:
    """Of a table over `orders`; `__` in a key is a dot."""
    given = {
        "connector": "postgres-cdc",
        "hostname": "127.0.0.1",
        "port": str(server.port),
        "username": "postgres",
        "database-name": "postgres",
        "schema-name": "public",
        "table-name": "orders",
        "slot.name": slot,
        "debezium.publication.name": "orders",
        **{k.replace("__", ".").replace("_", "-"): v for k, v in more.items()},
    }
    return ", ".join(f"'{k}' = '{v}'" for k, v in given.items())


@dataclass
class Spending:
    """Processor time while the block runs: ours, and that of the server's processes that serve us.

    Attributes:
        server: any.
        seconds: by the clock.
        spent: seconds by who spent them: `engine`, `readers`, `server`.
        resident: highest memory of engine and readers together, MB.
    """

    server: PostgresServer
    seconds: float = 0.0
    spent: Mapping[str, float] = field(default_factory=dict)
    resident: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._first: dict[int, float] = {}
        self._last: dict[int, tuple[str, float]] = {}
        self._backends = self._serving()
        self._look()
        self._began = time.perf_counter()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self._over.set()
        self._thread.join()
        spent: dict[str, float] = {}
        for pid, (who, seconds) in self._last.items():
            spent[who] = spent.get(who, 0.0) + seconds - self._first[pid]
        self.spent = spent

    def __str__(self) -> str:
        return ", ".join(f"{who} {seconds:.2f} s" for who, seconds in sorted(self.spent.items()))

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        resident = 0.0
        for who, pids in (
            ("engine", [os.getpid()]),
            ("readers", _children(os.getpid())),
            ("server", self._serving()),
        ):
            for pid in pids:
                with contextlib.suppress(OSError, ValueError):
                    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
                    fields = text.rpartition(")")[2].split()
                    seconds = (int(fields[11]) + int(fields[12])) / _TICKS
                    # What comes later has spent nothing before.
                    new = 0.0 if hasattr(self, "_began") else seconds
                    self._first.setdefault(pid, new)
                    self._last[pid] = (who, seconds)
                    if who != "server":
                        resident += int(fields[21]) * resource.getpagesize() / 1e6
        self.resident = max(self.resident, resident)

    def _serving(self) -> list[int]:
        """The server's processes but those that keep house, and sessions idle since before."""
        return _children(self.server.pid)


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextlib.contextmanager
def plain_reader(server: PostgresServer, slot: str) -> Iterator[subprocess.Popen[bytes]]:
    """PostgreSQL's own client reads a slot, and throws away what comes."""
    process = subprocess.Popen(
        [
            *("pg_recvlogical", "-d", server.dsn(), "--slot", slot, "--start", "-f", "/dev/null"),
            *("-o", "proto_version=1", "-o", "publication_names=orders", "--no-loop"),
        ]
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def behind(server: PostgresServer) -> Iterator[int]:
    """Nothing is sent while the block makes what is to be read; who sends is let go at its end."""
    asked = "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'"
    while not (found := server.execute(asked)):
        time.sleep(0.05)
    ((pid,),) = found
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_for_sent(server: PostgresServer, pid: int) -> None:
    """Until all that was committed by now is sent by the process `pid`."""
    with server.connect() as connection:
        ((end,),) = connection.execute("SELECT pg_current_wal_lsn()::text").fetchall()
        asked = "SELECT 1 FROM pg_stat_replication WHERE pid = %s AND sent_lsn >= %s::pg_lsn"
        while not connection.execute(asked, [pid, end]).fetchall():
            time.sleep(_LOOK_SECONDS)


def wait_for_rows(job: Job, rows: int) -> None:
    """Until the job has read so many."""
    while (status := job.status()).get("rows_in", 0) < rows:
        if status["state"] in {"failed", "ended"}:
            raise SystemExit(str(job.error))
        time.sleep(_LOOK_SECONDS)


def table(s: Any, name: str, given: str, key: bool = False) -> None:
    """A table over `orders`."""
    primary = ", PRIMARY KEY (id) NOT ENFORCED" if key else ""
    s.execute(f"CREATE TABLE {name} ({COLUMNS}{primary}) WITH ({given})")
