"""Statements that are asked of a server again and again, through its restarts.

`python -m tests.services.busy DSN STATEMENT` does so until SIGTERM, and prints for how many seconds
the server was there; `{there}` in the statement is how many they were before.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

__all__ = ["Busy"]


class Busy:
    """Connections that are busy until SIGTERM.

    Args:
        dsn: of the server.

    Attributes:
        there: seconds for which the server was there for the first.
    """

    def __init__(self, dsn: str) -> None:
        self.there = 0.0
        self._dsn = dsn
        self._over = False

    def run(self, statement: Callable[[], str], *others: Callable[[], str]) -> None:
        """Ask; each has a connection."""
        signal.signal(signal.SIGTERM, self._end)
        threads = [threading.Thread(target=self._call, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        self._call(statement, first=True)
        for thread in threads:
            thread.join()

    def _end(self, *_: object) -> None:
        self._over = True

    def _call(self, statement: Callable[[], str], *, first: bool = False) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._over:
            try:
                if connection is None:
                    connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
                began = time.monotonic()
                try:
                    connection.execute(statement().encode())
                finally:
                    if first:
                        self.there += time.monotonic() - began
            except psycopg.OperationalError:
                # The server is away.
                if connection is not None:
                    connection.close()
                    connection = None
                time.sleep(0.05)


if __name__ == "__main__":
    _dsn, _statement = sys.argv[1:]
    _busy = Busy(_dsn)
    _busy.run(lambda: _statement.format(there=_busy.there))
    print(_busy.there, flush=True)
