"""Statements that are asked of a server again and again, through its restarts.

`python -m tests.services.busy DSN STATEMENT` does so until SIGTERM, and prints for how many seconds
the server was there.
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
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._over = False

    def run(self, statement: Callable[[], str], *others: Callable[[], str]) -> float:
        """For how many seconds the server was there for the first; each has a connection."""
        signal.signal(signal.SIGTERM, self._end)
        threads = [threading.Thread(target=self._call, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        there = self._call(statement)
        for thread in threads:
            thread.join()
        return there

    def _end(self, *_: object) -> None:
        self._over = True

    def _call(self, statement: Callable[[], str]) -> float:
        connection: psycopg.Connection[Any] | None = None
        there = 0.0
        while not self._over:
            try:
                if connection is None:
                    connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
                began = time.monotonic()
                try:
                    connection.execute(statement().encode())
                finally:
                    there += time.monotonic() - began
            except psycopg.OperationalError:
                # The server is away.
                if connection is not None:
                    connection.close()
                    connection = None
                time.sleep(0.05)
        return there


if __name__ == "__main__":
    _dsn, _statement = sys.argv[1:]
    print(Busy(_dsn).run(lambda: _statement), flush=True)
