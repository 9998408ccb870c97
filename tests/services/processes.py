"""A server that is a process of the tests' own: started, waited for, and gone with them."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.services.binaries import ServerUnavailable

__all__ = ["Servant", "free_port", "java"]

_PATIENCE = 120.0  # seconds


class Servant:
    """A process that answers on a port of this machine once it is ready.

    Args:
        command: that starts it; its work folder is an empty one of its own.
        port: that it will listen on.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it printed.
    """

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port = port
        self._folder = Path(tempfile.mkdtemp(prefix="flowsql-server-"))
        # It dies with the tests, however these die.
        servant = shutil.which("setpriv")
        prefix = [servant, "--pdeathsig", "KILL"] if servant else []
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *command],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, and forget what it kept."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            time.sleep(0.05)
        log = (self._folder / "server.log").read_text(errors="replace")
        raise RuntimeError(f"nothing answers on port {self.port}: {log[-2000:]}")


def free_port() -> int:
    """A port that nobody listens on, below those that clients are given.

    So a server that is restarted finds its port free, whoever has connected to anything meanwhile.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.socket() as held:
            held.bind(("127.0.0.1", port))
            return port


def java(classes: str, main: str, *arguments: str) -> list[str]:
    """The command that runs a class.

    Raises:
        ServerUnavailable: there is no Java.
    """
    program = shutil.which("java")
    if program is None:
        raise ServerUnavailable(f"java, which runs {main}, is not installed")
    opened = [f"--add-opens=java.base/java.{p}=ALL-UNNAMED" for p in ("lang", "net")]
    small = ["-Xmx384m", "-XX:TieredStopAtLevel=1"]
    return [program, *small, *opened, "-cp", classes, main, *arguments]
