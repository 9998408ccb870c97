"""A writer that keeps three tables busy.

`python -m tests.services.writing DSN RATE LARGE EVERY`: RATE transactions a second, and one of
LARGE rows EVERY few seconds. It goes on until SIGTERM, through restarts of the server. What a
transaction does is chosen and done by the server (`writing.sql`).

Money moves between `accounts_a` and `accounts_b`; each transfer raises one row's version by one, so
that the sum of all balances never changes and the sum of all versions tells which commits were
seen. `committed` has that sum after each commit, written in the same transaction. `things` has
changes of every kind, and others in transactions that overlap with all those.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.services.busy import Busy

__all__ = ["make_tables"]

_TABLES = ("accounts_a", "accounts_b")
_AT_ONCE = 0.5  # seconds of transactions that are asked for at once


def make_tables(connection: psycopg.Connection[Any], accounts: int, things: int) -> None:
    """The tables with their first rows; `accounts_b` without whole old rows in the log."""
    for table in _TABLES:
        connection.execute(
            f"CREATE TABLE {table} (id int PRIMARY KEY, balance bigint, version bigint)".encode()
        )
        connection.execute(
            f"INSERT INTO {table} SELECT g, 100, 0 FROM generate_series(1, {accounts}) g".encode()
        )
    connection.execute(
        "CREATE TABLE things (id bigint PRIMARY KEY, name text, amount numeric(12, 2), flag bool)"
    )
    connection.execute(
        "INSERT INTO things SELECT g, 'n' || g, g / 7.0, g % 2 = 0"
        f" FROM generate_series(1, {things}) g".encode()
    )
    connection.execute("ALTER TABLE accounts_a REPLICA IDENTITY FULL")
    connection.execute("ALTER TABLE things REPLICA IDENTITY FULL")
    connection.execute("CREATE TABLE committed (n bigserial PRIMARY KEY, version bigint)")
    connection.execute("INSERT INTO committed (version) VALUES (0)")
    connection.execute(Path(__file__).with_suffix(".sql").read_bytes())
    # Else the first plans, which are kept, read whole tables.
    connection.execute("ANALYZE")


class _Writers:
    """What is asked of the server.

    Args:
        rate: transactions a second.
        large: rows of a large one.
        every: seconds between large ones.
    """

    def __init__(self, rate: float, large: int, every: float) -> None:
        self._rate = rate
        self._large = large
        self._every = every
        self._large_at = time.monotonic() + 1
        self._sizes = -1

    def usual(self) -> str:
        """Transactions for a while, a large one among them if it is time."""
        large = 0
        if time.monotonic() >= self._large_at:
            large = self._large
            self._large_at = time.monotonic() + self._every
            self._sizes += 1
        return f"CALL keep_busy({_AT_ONCE}, {self._rate}, {large}, {self._sizes})"

    def lingering(self) -> str:
        """Transactions that stay open for a while."""
        return f"CALL linger({_AT_ONCE})"


if __name__ == "__main__":
    _dsn, _rate, _large, _every = sys.argv[1:]
    _writers = _Writers(float(_rate), int(_large), float(_every))
    _busy = Busy(_dsn)
    _busy.run(_writers.usual, _writers.lingering)
    print(_busy.there, flush=True)
