"""A bank of two tables whose sums are known at every commit."""

from __future__ import annotations

import random
from pathlib import Path

from flowsql.testing.fake_database.database import FakeDatabase, Transaction
from flowsql.testing.fake_database.store import connect

__all__ = ["Bank"]

TABLES = ("checking", "savings")
COLUMNS = {"id": "BIGINT", "balance": "BIGINT", "version": "BIGINT"}


class Bank:
    """Transfers between accounts.

    A transfer takes from one row what it gives to another, and raises the version of one of them by
    1: over both tables `SUM(balance)` never changes, and `SUM(version)` counts the transfers. Both
    sums are kept at every commit, in the same transaction: `Bank.sums`.
    """

    def __init__(self, folder: Path | str, *, accounts: int = 100, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._folder = folder
        self.database = FakeDatabase(folder)
        for name in TABLES:
            self.database.create_table(name, COLUMNS, ["id"])
        connection = connect(folder)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS sums (lsn INTEGER, balance INTEGER, version INTEGER)"
        )
        connection.close()
        self._accounts = {name: [r["id"] for r in self.database.rows(name)] for name in TABLES}
        rows = [r for name in TABLES for r in self.database.rows(name)]
        self._balance = sum(r["balance"] for r in rows)
        self._version = sum(r["version"] for r in rows)
        self._next = 1 + max((r["id"] for r in rows), default=-1)
        if not rows:
            with self.database.transaction() as transaction:
                for name in TABLES:
                    for _ in range(accounts):
                        self._open_account(transaction, name, 1000)
                self._note(transaction)

    def transfer(self, times: int = 1) -> None:
        """So many transfers in one transaction."""
        with self.database.transaction() as transaction:
            for _ in range(times):
                self._transfer(transaction)
            self._note(transaction)

    def churn(self) -> None:
        """One account is opened, another emptied and closed."""
        with self.database.transaction() as transaction:
            name = self._random.choice(TABLES)
            self._open_account(transaction, name, 0)
            closing = self._random.choice(TABLES)
            if len(self._accounts[closing]) > 2:
                accounts = self._accounts[closing]
                gone = accounts.pop(self._random.randrange(len(accounts)))
                row = transaction.get(closing, gone)
                heir = self._random.choice(accounts)
                other = transaction.get(closing, heir)
                # What the closed account had goes to another, so that no sum changes.
                transaction.update(
                    closing,
                    heir,
                    {
                        "balance": other["balance"] + row["balance"],
                        "version": other["version"] + row["version"],
                    },
                )
                transaction.delete(closing, gone)
            self._note(transaction)

    @staticmethod
    def sums(folder: Path | str) -> list[tuple[int, int]]:
        """(SUM(balance), SUM(version)) over both tables after each commit so far."""
        connection = connect(folder)
        try:
            found = connection.execute("SELECT balance, version FROM sums ORDER BY lsn")
            return [(balance, version) for balance, version in found]
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def _open_account(self, transaction: Transaction, table: str, balance: int) -> None:
        row = {"id": self._next, "balance": balance, "version": 0}
        self._next += 1
        transaction.insert(table, row)
        self._accounts[table].append(row["id"])
        self._balance += balance

    def _transfer(self, transaction: Transaction) -> None:
        amount = self._random.randrange(1, 100)
        giver, taker = self._random.choice(TABLES), self._random.choice(TABLES)
        one = self._random.choice(self._accounts[giver])
        other = self._random.choice(self._accounts[taker])
        row = transaction.get(giver, one)
        transaction.update(
            giver, one, {"balance": row["balance"] - amount, "version": row["version"] + 1}
        )
        row = transaction.get(taker, other)
        transaction.update(taker, other, {"balance": row["balance"] + amount})
        self._version += 1

    def _note(self, transaction: Transaction) -> None:
        transaction.connection.execute(
            "INSERT INTO sums SELECT seq, ?, ? FROM sqlite_sequence WHERE name = 'log'",
            (self._balance, self._version),
        )
