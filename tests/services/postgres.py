"""A PostgreSQL server of our own: its data folder, its port, its processes, and nobody else's."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.services.binaries import binaries
from tests.services.processes import free_port

__all__ = ["PostgresServer"]

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_prepared_transactions": "20",
    "max_connections": "60",
    "shared_buffers": "64MB",
    # A killed server still finds what it wrote: only a killed machine would not.
    "fsync": "off",
    "log_min_messages": "warning",
}
_PATIENCE = 60.0  # seconds


class PostgresServer:
    """A server that is stopped, and whose folder is removed, at the end.

    It runs as the user `postgres` (or any other, without one) where the tests run as root, which
    PostgreSQL refuses. It dies with the process that started it.

    Args:
        version: major version, 12 to 18.
        settings: of postgresql.conf, over those for logical replication.
        data: a data folder to begin as a standby with a copy of; an empty database without.
    """

    def __init__(
        self,
        version: int = 15,
        settings: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self.version = version
        self.port = free_port()
        self.settings = {**_SETTINGS, **(settings or {})}
        self._bin = binaries(version)
        self._folder = Path(tempfile.mkdtemp(prefix=f"flowsql-postgres-{version}-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "server.log"
        # initdb asks the system for its user's name: root's servant must have one.
        self._user = _servant()
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        try:
            if data is None:
                self._run("initdb", "-D", str(self._data), *options)
            else:
                shutil.copytree(data, self._data)
                for path in (self._data, *self._data.rglob("*")):
                    if self._user is not None:
                        os.chown(path, self._user.pw_uid, self._user.pw_gid)
                self.put("standby.signal", b"")
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.version} at 127.0.0.1:{self.port}>"

    @property
    def running(self) -> bool:
        """Whether its first process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process is not None
        return self._process.pid

    def dsn(self, database: str = "postgres") -> str:
        """What libpq connects with, as superuser."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A new connection; commits every statement unless told otherwise."""
        return psycopg.connect(self.dsn(database), **{"autocommit": True, **options})

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of one statement (or several without rows), on a connection of its own."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it and wait until it answers; its databases are as they were."""
        assert not self.running
        flags = [f"-c{name}={value}" for name, value in self.settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._prefix(die_with_us=True),
                    str(self._bin / "postgres"),
                    *("-D", str(self._data), f"-cport={self.port}"),
                    f"-cunix_socket_directories={self._folder}",
                    *flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # An interrupt at the terminal is ours to answer.
                start_new_session=True,
            )
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self.running:
            with contextlib.suppress(psycopg.OperationalError), self.connect(connect_timeout=2):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self!r} did not start: {self.log()[-2000:]}")

    def stop(self, mode: str = "fast") -> None:
        """An orderly stop: `smart` waits for clients, `fast` cuts them, `immediate` drops all."""
        number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        if self._process is not None and self.running:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE)

    def kill(self) -> None:
        """SIGKILL to all its processes, as a machine's power cut but for the disk cache."""
        if self._process is None or not self.running:
            return
        children = _children(self._process.pid)
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._process.wait(_PATIENCE)
        # Its shared memory is free once the last of them is gone.
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and any(Path(f"/proc/{c}/exe").exists() for c in children):
            time.sleep(0.01)

    def restart(self, mode: str = "fast") -> None:
        """Stop (`kill` as a mode is SIGKILL) and start on the same port."""
        if mode == "kill":
            self.kill()
        else:
            self.stop(mode)
        self.start()

    def standby(self, settings: Mapping[str, str] | None = None) -> PostgresServer:
        """A server that follows this one, which is stopped for a moment to be copied.

        Args:
            settings: of the standby, over those of this one.
        """
        self.stop()
        where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        made = {**self.settings, "primary_conninfo": where, **(settings or {})}
        try:
            return PostgresServer(self.version, made, self._data)
        finally:
            self.start()

    def promote(self) -> None:
        """Start what was stopped as a standby that takes over: in another timeline."""
        self.put("standby.signal", b"")
        self.start()
        self.execute("SELECT pg_promote()")

    def cut_connections(self, where: str = "true") -> int:
        """End all other sessions, readers of the log among them; how many there were.

        Args:
            where: a condition over `pg_stat_activity`.
        """
        ended = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            f" AND backend_type IN ('client backend', 'walsender') AND ({where})"
        )
        return sum(1 for (done,) in ended if done)

    def put(self, name: str, content: bytes, *, append: bool = False) -> Path:
        """A file in its data folder, which it and nobody else may read."""
        path = self._data / name
        with path.open("ab" if append else "wb") as file:
            file.write(content)
        path.chmod(0o600)
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)
        return path

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _prefix(self, *, die_with_us: bool = False) -> list[str]:
        """The command before the command: another user, and an end when we end."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return []
        flags = ["--pdeathsig", "INT"] if die_with_us else []
        if self._user is not None:
            flags += [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}"]
            flags += ["--clear-groups"]
        return [setpriv, *flags] if flags else []

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._prefix(), str(self._bin / program), *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} of PostgreSQL {self.version} failed: {done.stderr}")


def _servant() -> pwd.struct_passwd | None:
    """The user to run as where we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and there is no other user")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]
