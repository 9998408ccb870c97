"""A database of owners and their accounts that never rests; and what the job over it must answer.

`python -m tests.recovery.jobs.shop FOLDER PAUSE SEED` writes until FOLDER/stop is there.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

from flowsql.testing.fake_database import FakeDatabase, Transaction
from tests.recovery.jobs.written import Written

OWNERS = 1500
REGIONS = ("north", "south", "east", "west", None)

SQL = """
SET 'pipeline.name' = 'shop';
SET 'execution.checkpointing.dir' = '{root}/jobs';
SET 'execution.checkpointing.interval' = '40 ms';
SET 'execution.checkpointing.num-retained' = '2';
SET 'pipeline.max-transaction-bytes' = '16 kb';
CREATE TABLE owners (id BIGINT, region STRING, credit BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'fake-database', 'path' = '{root}/db', 'table-name' = 'owners',
    'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE accounts (id BIGINT, owner BIGINT, balance BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'fake-database', 'path' = '{root}/db', 'table-name' = 'accounts',
    'scan.incremental.snapshot.chunk.size' = '20');
CREATE TABLE by_region (region STRING, n BIGINT, accounts BIGINT, balance BIGINT, credit BIGINT)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/out.sqlite',
    'changelog-log' = 'true');
CREATE TABLE by_owner (id BIGINT, n BIGINT, balance BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'changelog-sqlite', 'path' = '{root}/out.sqlite',
    'changelog-log' = 'true');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO by_region
    SELECT o.region, COUNT(*), COUNT(a.id), SUM(a.balance), SUM(o.credit)
    FROM owners o LEFT JOIN accounts a ON a.owner = o.id GROUP BY o.region;
  INSERT INTO by_owner
    SELECT o.id, COUNT(a.id), SUM(a.balance)
    FROM owners o LEFT JOIN accounts a ON a.owner = o.id GROUP BY o.id;
END;
"""


class Shop(Written):
    """Its folder: database, result, and the process that writes the database."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        super().__init__(root, "shop", seed)
        self.file = root / "shop.sql"
        self.file.write_text(SQL.format(root=root))
        database = FakeDatabase(root / "db")
        database.create_table(
            "owners", {"id": "BIGINT", "region": "STRING", "credit": "BIGINT"}, ["id"]
        )
        database.create_table(
            "accounts", {"id": "BIGINT", "owner": "BIGINT", "balance": "BIGINT"}, ["id"]
        )
        writer = Writer(database, seed)
        with database.transaction() as transaction:
            for _ in range(OWNERS):
                writer.open_owner(transaction)
                writer.open_account(transaction)
        database.close()

    @property
    def lsn(self) -> int:
        """The end of the log."""
        database = FakeDatabase(self.root / "db")
        try:
            return database.lsn
        finally:
            database.close()

    def expected(self) -> tuple[set[tuple[object, ...]], set[tuple[object, ...]]]:
        """The two queries over the database as it is now."""
        database = FakeDatabase(self.root / "db")
        by_owner: dict[object, list[int]] = {}
        for account in database.rows("accounts"):
            by_owner.setdefault(account["owner"], []).append(account["balance"])
        regions: dict[object, list[list[int]]] = {}
        owners = set()
        for owner in database.rows("owners"):
            of = by_owner.get(owner["id"], [])
            owners.add((owner["id"], len(of), sum(of) if of else None))
            many = max(1, len(of))
            regions.setdefault(owner["region"], []).append(
                [many, len(of), sum(of), owner["credit"] * many]
            )
        database.close()
        by_region = set()
        for region, parts in regions.items():
            n, accounts, balance, credit = (sum(column) for column in zip(*parts, strict=True))
            by_region.add((region, n, accounts, balance if accounts else None, credit))
        return by_region, owners

    def found(self) -> tuple[set[tuple[object, ...]], set[tuple[object, ...]]]:
        """What the sinks hold; a row held twice fails."""
        with sqlite3.connect(self.root / "out.sqlite") as connection:
            regions = connection.execute(
                'SELECT region, n, accounts, balance, credit, "$count" FROM by_region'
            ).fetchall()
            owners = connection.execute("SELECT id, n, balance FROM by_owner").fetchall()
        connection.close()
        assert {r[-1] for r in regions} <= {1}
        return {r[:-1] for r in regions}, set(owners)

    def check_changelogs(self) -> int:
        """Folds what came, in order: nothing is taken away that is not held. Gives its length."""
        length = 0
        with sqlite3.connect(self.root / "out.sqlite") as connection:
            for table, held in zip(("by_region", "by_owner"), self.found(), strict=True):
                rows: Counter[tuple[object, ...]] = Counter()
                last: dict[object, tuple[object, ...]] = {}
                upsert = table == "by_owner"
                for _, kind, *cells in connection.execute(
                    f'SELECT * FROM "{table}$log" ORDER BY rowid'
                ):
                    length += 1
                    row = tuple(cells)
                    if not upsert:
                        rows[row] += 1 if kind[0] == "+" else -1
                        assert 0 <= rows[row] <= 1, (table, kind, row)
                    elif kind in {"-D", "-U"}:
                        assert row[0] in last, (table, kind, row)
                        assert kind == "-D" or last[row[0]] == row, (table, kind, row)
                        if kind == "-D":
                            del last[row[0]]
                    else:
                        last[row[0]] = row
                assert (set(last.values()) if upsert else set(+rows)) == held
        connection.close()
        return length


class Writer:
    """Makes transactions."""

    def __init__(self, database: FakeDatabase, seed: int) -> None:
        self._database = database
        self._chance = random.Random(seed)
        self._owners = {r["id"] for r in database.rows("owners")}
        self._accounts = {r["id"] for r in database.rows("accounts")}
        self._next = 1 + max([*self._owners, *self._accounts, 0])

    def open_owner(self, transaction: Transaction) -> None:
        """A new one, without accounts."""
        row = {"id": self._new(), "region": self._chance.choice(REGIONS), "credit": 100}
        transaction.insert("owners", row)
        self._owners.add(row["id"])

    def open_account(self, transaction: Transaction) -> None:
        """A new one; its owner may have none other, or not exist."""
        row = {"id": self._new(), "owner": self._owner(), "balance": self._chance.randrange(500)}
        transaction.insert("accounts", row)
        self._accounts.add(row["id"])

    def act(self) -> None:
        """One transaction."""
        chance = self._chance
        with self._database.transaction() as transaction:
            size = 600 if chance.random() < 0.01 else chance.choice([1, 1, 1, 2, 5])
            for _ in range(size):
                chance.choices(
                    [self._transfer, self._move, self._rename, self._close, self._relocate],
                    [10, 3, 2, 2, 2],
                )[0](transaction)

    def _transfer(self, transaction: Transaction) -> None:
        """From an owner's credit to an account; the two tables change together."""
        owner, account = self._pick(self._owners), self._pick(self._accounts)
        amount = self._chance.randrange(1, 50)
        row = transaction.get("owners", owner)
        transaction.update("owners", owner, {"credit": row["credit"] - amount})
        row = transaction.get("accounts", account)
        transaction.update("accounts", account, {"balance": row["balance"] + amount})

    def _move(self, transaction: Transaction) -> None:
        """An account gets another owner."""
        transaction.update("accounts", self._pick(self._accounts), {"owner": self._owner()})

    def _rename(self, transaction: Transaction) -> None:
        """A primary key changes."""
        table, known = self._chance.choice([("owners", self._owners), ("accounts", self._accounts)])
        old = self._pick(known)
        new = transaction.update(table, old, {"id": self._new()})["id"]
        known.remove(old)
        known.add(new)

    def _close(self, transaction: Transaction) -> None:
        """One goes, another comes."""
        if self._chance.random() < 0.5:
            gone = self._pick(self._owners)
            self._owners.remove(gone)
            transaction.delete("owners", gone)
            self.open_owner(transaction)
        else:
            gone = self._pick(self._accounts)
            self._accounts.remove(gone)
            transaction.delete("accounts", gone)
            self.open_account(transaction)

    def _relocate(self, transaction: Transaction) -> None:
        """An owner with all accounts changes the group."""
        region = self._chance.choice(REGIONS)
        transaction.update("owners", self._pick(self._owners), {"region": region})

    def _pick(self, known: set[int]) -> int:
        return self._chance.choice(sorted(known))

    def _owner(self) -> int | None:
        return None if self._chance.random() < 0.05 else self._pick(self._owners)

    def _new(self) -> int:
        self._next += 1
        return self._next


def main() -> None:
    """The process that writes."""
    root, pause, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    database = FakeDatabase(root / "db")
    writer = Writer(database, seed + 1)
    while not (root / "stop").exists():
        writer.act()
        time.sleep(pause)
    database.close()


if __name__ == "__main__":
    main()
