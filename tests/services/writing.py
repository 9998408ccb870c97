"""A writer that keeps three tables busy.

`python -m tests.services.writing DSN RATE SEED LARGE EVERY`: RATE transactions a second, and one of
LARGE rows EVERY few seconds; SEED chooses. It goes on until SIGTERM, through restarts of the
server: whether the last commit came through is asked of the server then.

Money moves between `accounts_a` and `accounts_b`; each transfer raises one row's version by one, so
that the sum of all balances never changes and the sum of all versions tells which commits were
seen. `committed` has that sum after each commit, written in the same transaction. `things` has
changes of every kind.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
from itertools import count
from typing import Any

import psycopg

__all__ = ["make_tables"]

_TABLES = ("accounts_a", "accounts_b")
_FIRST_LARGE_ID = 1_000_000_000


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


class _Writer:
    """One connection that writes one transaction after the other, each in one message.

    Args:
        dsn: of the server.
        seed: of everything that is chosen.
        large: rows of a large transaction.
    """

    def __init__(self, dsn: str, seed: int, large: int) -> None:
        self._dsn = dsn
        self._random = random.Random(seed)
        self._large = large
        self._connection: psycopg.Connection[Any] | None = None
        self._ids: dict[str, list[int]] = {}
        self._version = 0
        self._new = count()
        self._sizes = count()

    def write(self, *, large: bool) -> bool:
        """One transaction; False where the server is away."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            statements = self._huge() if large else self._usual()
            if self._random.random() < 0.03:
                before = self._version
                given_up = ["BEGIN", *self._transfer(), *self._transfer(), "ROLLBACK"]
                self._version = before
                statements = [*given_up, "BEGIN", *statements]
            else:
                statements = ["BEGIN", *statements]
            self._connection.execute("; ".join([*statements, "COMMIT"]).encode())
        except psycopg.OperationalError:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        return True

    def _connect(self) -> None:
        connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=5)
        self._connection = connection
        self._learn()

    def _learn(self) -> None:
        """What there is now."""
        assert self._connection is not None
        for table in (*_TABLES, "things"):
            rows = self._connection.execute(
                f"SELECT id FROM {table} WHERE id < {_FIRST_LARGE_ID}".encode()
            ).fetchall()
            self._ids[table] = [row[0] for row in rows]
        (highest,) = [max(max(ids, default=0) for ids in self._ids.values())]
        self._new = count(highest + 1)
        found = self._connection.execute("SELECT max(version) FROM committed").fetchone()
        assert found is not None
        self._version = found[0]

    def _usual(self) -> list[str]:
        chance = self._random
        statements = []
        for _ in range(1 if chance.random() < 0.8 else chance.randint(2, 5)):
            statements += self._transfer()
        if chance.random() < 0.1:
            # Nothing of it comes to be, nor of what was let go within it.
            statements.append("SAVEPOINT s")
            for table in _TABLES:
                statements.append(
                    f"UPDATE {table} SET balance = 0, version = version + 1000"
                    f" WHERE id = {chance.choice(self._ids[table])}"
                )
            if chance.random() < 0.5:
                statements += ["SAVEPOINT t", "DELETE FROM things WHERE id < 50", "RELEASE t"]
            statements.append("ROLLBACK TO s")
        if chance.random() < 0.15:
            statements += self._rearrange()
        if chance.random() < 0.4:
            for _ in range(chance.randint(1, 4)):
                statements.append(self._thing())
        statements.append(f"INSERT INTO committed (version) VALUES ({self._version})")
        return statements

    def _transfer(self) -> list[str]:
        giver, taker = self._random.sample(_TABLES, 2)
        self._version += 1
        amount = self._random.randint(1, 50)
        return [
            (
                f"UPDATE {giver} SET balance = balance - {amount}, version = version + 1"
                f" WHERE id = {self._random.choice(self._ids[giver])}"
            ),
            (
                f"UPDATE {taker} SET balance = balance + {amount}"
                f" WHERE id = {self._random.choice(self._ids[taker])}"
            ),
        ]

    def _rearrange(self) -> list[str]:
        """A key that changes, an account that is opened, or one that is closed."""
        chance = self._random
        table = chance.choice(_TABLES)
        ids = self._ids[table]
        place, new = chance.randrange(len(ids)), next(self._new)
        old = ids[place]
        match chance.randrange(4):
            case 0:
                ids.append(new)
                return [f"INSERT INTO {table} VALUES ({new}, 0, 0)"]
            case 1:
                ids[place] = ids[-1]
                ids.pop()
                heir = chance.choice(ids)
                return [
                    (
                        f"UPDATE {table} SET balance = {table}.balance + o.balance,"
                        f" version = {table}.version + o.version FROM {table} o"
                        f" WHERE {table}.id = {heir} AND o.id = {old}"
                    ),
                    f"DELETE FROM {table} WHERE id = {old}",
                ]
            case 2:
                # There and back again within one transaction.
                return [
                    f"UPDATE {table} SET id = {new} WHERE id = {old}",
                    f"UPDATE {table} SET id = {old} WHERE id = {new}",
                ]
        ids[place] = new
        return [f"UPDATE {table} SET id = {new} WHERE id = {old}"]

    def _thing(self) -> str:
        chance = self._random
        ids = self._ids["things"]
        kind = chance.randrange(4) if len(ids) > 10 else 0
        new = next(self._new)
        if kind == 0:
            ids.append(new)
            name = chance.choice(["NULL", "''", f"'ä{new}'", "repeat('long', 1000)"])
            return f"INSERT INTO things VALUES ({new}, {name}, {new % 1000} / 3.0, NULL)"
        place = chance.randrange(len(ids))
        old = ids[place]
        if kind == 1:
            return f"UPDATE things SET amount = amount + 0.01, flag = NOT flag WHERE id = {old}"
        if kind == 2:
            ids[place] = new
            return f"UPDATE things SET id = {new}, name = name || '+' WHERE id = {old}"
        ids[place] = ids[-1]
        ids.pop()
        return f"DELETE FROM things WHERE id = {old}"

    def _huge(self) -> list[str]:
        """Many rows at once: made, changed, taken away; or everybody pays."""
        large = f"id >= {_FIRST_LARGE_ID}"
        statements = self._transfer()
        match next(self._sizes) % 4:
            case 0:
                statements += [
                    f"DELETE FROM things WHERE {large}",
                    (
                        f"INSERT INTO things SELECT {_FIRST_LARGE_ID} + g, 'g' || g, g, true"
                        f" FROM generate_series(1, {self._large}) g"
                    ),
                ]
            case 1:
                payers = len(self._ids["accounts_a"])
                self._version += payers
                heir = self._random.choice(self._ids["accounts_b"])
                statements += [
                    "UPDATE accounts_a SET balance = balance - 1, version = version + 1",
                    f"UPDATE accounts_b SET balance = balance + {payers} WHERE id = {heir}",
                ]
            case 2:
                statements.append(f"UPDATE things SET amount = -amount WHERE {large}")
            case 3:
                statements.append(f"DELETE FROM things WHERE {large}")
        statements.append(f"INSERT INTO committed (version) VALUES ({self._version})")
        return statements


def main() -> None:
    """Write until SIGTERM; tell how many transactions in how many seconds."""
    dsn, rate, seed, large = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    every = float(sys.argv[5])
    over = False

    def end(*_: object) -> None:
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, end)
    writer = _Writer(dsn, seed, large)
    began = due = time.monotonic()
    done = 0
    large_at = began + 1
    while not over:
        is_large = bool(large) and time.monotonic() >= large_at
        if writer.write(large=is_large):
            done += 1
            if is_large:
                large_at = time.monotonic() + every
        else:
            time.sleep(0.05)
        # What was missed is not made up for.
        due = max(due + 1 / rate, time.monotonic() - 0.1)
        with contextlib.suppress(ValueError):
            time.sleep(due - time.monotonic())
    print(done, round(time.monotonic() - began, 1), flush=True)


if __name__ == "__main__":
    main()
