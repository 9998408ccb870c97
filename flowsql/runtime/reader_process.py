"""A process for readers, as the engine sees it: started early, asked, handed on, ended.

It serves one reader after another. What it loads it loads once, so that it is started before it is
needed, and the reader that follows another takes over its process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pyarrow as pa

from flowsql.connector import JSON
from flowsql.errors import ConnectorError
from flowsql.runtime.frames import receive, send

__all__ = ["Handover", "ReaderProcess"]

# The paths that this process finds modules at, so that a connector is the same in both.
_BOOT = (
    "import sys; channel, life = map(int, sys.argv[1:3]); sys.path[:] = sys.argv[3:]; "
    "from flowsql.runtime.child import main; main(channel, life)"
)
_BUFFER = 4 << 20
_LAST_WORDS = 5.0  # seconds


class ReaderProcess:
    """Starts the process, which loads a connector; used by one thread at a time, but for `kill`.

    Args:
        connector: its name, as its entry point has it.
        named: the tables that are read, for messages.

    Raises:
        ConnectorError: it could not be started.
    """

    def __init__(self, connector: str, named: str) -> None:
        self.connector = connector
        self._named = named
        self._ended = False
        ours, theirs = socket.socketpair()
        watched, self._life = os.pipe()
        for side in (ours, theirs):
            for kind in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                side.setsockopt(socket.SOL_SOCKET, kind, _BUFFER)
        self._channel = ours
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    *(sys.executable, "-c", _BOOT, str(theirs.fileno()), str(watched)),
                    *(path or os.getcwd() for path in sys.path),  # noqa: PTH109 - as a module path
                ],
                pass_fds=(theirs.fileno(), watched),
                stdin=subprocess.DEVNULL,
                # Ctrl-C in a terminal is for the engine, which drains before its readers end.
                process_group=0,
                # What a library prints must not stand between results.
                stdout=2,
            )
        except OSError as error:
            ours.close()
            os.close(self._life)
            raise ConnectorError(
                f"could not start a process for a reader of {named}: {error.strerror}",
                hint="SET 'pipeline.reader' = 'thread' reads in this process.",
            ) from None
        finally:
            theirs.close()
            os.close(watched)
        with contextlib.suppress(OSError):
            # Where it is gone already the first question finds out how.
            send(self._channel, {"load": connector})

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, question: JSON) -> tuple[JSON, pa.Buffer | None]:
        """Its answer; raises ConnectorError where it is gone."""
        try:
            send(self._channel, question)
            return receive(self._channel)
        except (EOFError, OSError):
            raise self._gone() from None

    def kill(self) -> None:
        """End it at once; from any thread, where it does not answer."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def end(self) -> None:
        """Let it close what it has, and wait until it is over."""
        if self._ended:
            return
        self._ended = True
        self._channel.close()
        try:
            self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._life)

    def _gone(self) -> ConnectorError:
        try:
            code = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code < 0:
            try:
                how = f"was ended by {signal.Signals(-code).name}"
            except ValueError:
                how = f"was ended by signal {-code}"
        else:
            how = f"ended with exit code {code}"
        return ConnectorError(
            f"the process that reads {self._named} {how}",
            hint="Where nobody ended it, look for a lack of memory in the system's log."
            if code == -signal.SIGKILL
            else None,
        )


class Handover:
    """A process on its way from a reader that is over to the one that follows."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._process: ReaderProcess | None = None
        self._given = False
        self._left = False

    def give(self, process: ReaderProcess | None) -> None:
        """By the reader that is over: its process, or None where it has none to give."""
        with self._changed:
            self._process, self._given = process, True
            left = self._left
            self._changed.notify()
        if left and process is not None:
            process.end()

    def take(self) -> ReaderProcess | None:
        """By the one that follows; None where it has to start one of its own."""
        with self._changed:
            if self._changed.wait_for(lambda: self._given, _LAST_WORDS):
                return self._process
            self._left = True
            return None
