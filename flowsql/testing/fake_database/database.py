"""Writes the fake database."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowsql.testing.fake_database.store import connect

__all__ = ["FakeDatabase", "Transaction"]

Row = dict[str, Any]

_PURGE_EVERY = 200


class FakeDatabase:
    """One writer of the database in `folder`; use one at a time.

    Values are JSON scalars; a DECIMAL or a time is its text.
    """

    def __init__(self, folder: Path | str) -> None:
        self._connection = connect(folder, create=True)
        self._commits = 0
        with self._sqlite_transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO meta VALUES (?, ?)",
                [("id", uuid.uuid4().hex), ("floor", "0")],
            )

    def create_table(self, name: str, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """A table with typed columns and a primary key; nothing happens where it exists."""
        with self._sqlite_transaction():
            found = self._connection.execute(
                "SELECT id FROM tables WHERE name = ?", (name,)
            ).fetchone()
            if found:
                return
            number = self._connection.execute(
                "INSERT INTO tables (name, columns, key) VALUES (?, ?, ?)",
                (name, json.dumps(dict(columns)), json.dumps(list(key))),
            ).lastrowid
            data = f"data_{number}"
            self._connection.execute(f"CREATE TABLE {data} (key TEXT PRIMARY KEY, chunk, row TEXT)")
            self._connection.execute(f"CREATE INDEX {data}_chunk ON {data} (chunk)")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything in the context happens at once, or, on an exception, nothing."""
        with self._sqlite_transaction():
            transaction = Transaction(self._connection)
            yield transaction
            transaction.finish()
        self._commits += 1
        if self._commits % _PURGE_EVERY == 0:
            self.purge()

    def rows(self, table: str) -> list[Row]:
        """The rows now, by primary key's text."""
        number, _ = _table(self._connection, table)
        found = self._connection.execute(f"SELECT row FROM data_{number} ORDER BY key")  # noqa: S608 - a number
        return [json.loads(row) for (row,) in found]

    @property
    def lsn(self) -> int:
        """The last LSN of the log."""
        return _last_lsn(self._connection)

    def purge(self) -> None:
        """Drop the log up to where every slot has confirmed; without a slot, nothing."""
        with self._sqlite_transaction():
            (confirmed,) = self._connection.execute("SELECT MIN(confirmed) FROM slots").fetchone()
            if confirmed:
                self._connection.execute("DELETE FROM log WHERE lsn <= ?", (confirmed,))
                self._connection.execute(
                    "UPDATE meta SET value = MAX(CAST(value AS INTEGER), ?) WHERE key = 'floor'",
                    (confirmed,),
                )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _sqlite_transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


class Transaction:
    """Changes of one transaction, in order."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._tables: dict[str, tuple[int, list[str]]] = {}
        self._last: int | None = None

    @property
    def connection(self) -> Any:
        """For more that is to be kept in the same transaction."""
        return self._connection

    def insert(self, table: str, row: Row) -> None:
        """A new row; its key must be new."""
        number, key = self._known(table)
        self._connection.execute(
            f"INSERT INTO data_{number} VALUES (?, ?, ?)",  # noqa: S608 - a number
            (_key(row, key), row[key[0]], json.dumps(row)),
        )
        self._log(number, "I", None, row, ())

    def update(
        self,
        table: str,
        key: Sequence[Any] | Any,
        change: Row | None = None,
        *,
        unchanged: Sequence[str] = (),
    ) -> Row:
        """Changes columns of the row with that key, which may be the key's own; gives the new row.

        Args:
            table: its name.
            key: the values of its primary key (one value may stand by itself).
            change: column → new value.
            unchanged: columns that the log does not send, as PostgreSQL with large values.
        """
        number, names = self._known(table)
        old = self.get(table, key)
        new = {**old, **(change or {})}
        self._connection.execute(
            f"UPDATE data_{number} SET key = ?, chunk = ?, row = ? WHERE key = ?",  # noqa: S608 - a number
            (_key(new, names), new[names[0]], json.dumps(new), _key(old, names)),
        )
        self._log(number, "U", old, new, unchanged)
        return new

    def delete(self, table: str, key: Sequence[Any] | Any) -> None:
        """The row with that key is gone."""
        number, names = self._known(table)
        old = self.get(table, key)
        self._connection.execute(
            f"DELETE FROM data_{number} WHERE key = ?",  # noqa: S608 - a number
            (_key(old, names),),
        )
        self._log(number, "D", old, None, ())

    def get(self, table: str, key: Sequence[Any] | Any) -> Row:
        """The row with that key.

        Raises:
            KeyError: there is none.
        """
        number, _ = self._known(table)
        values = list(key) if isinstance(key, list | tuple) else [key]
        found = self._connection.execute(
            f"SELECT row FROM data_{number} WHERE key = ?",  # noqa: S608 - a number
            (json.dumps(values),),
        ).fetchone()
        if found is None:
            raise KeyError(key)
        row: Row = json.loads(found[0])
        return row

    def finish(self) -> None:
        """The last change ends the transaction."""
        if self._last is not None:
            self._connection.execute("UPDATE log SET last = 1 WHERE lsn = ?", (self._last,))

    def _known(self, table: str) -> tuple[int, list[str]]:
        if table not in self._tables:
            self._tables[table] = _table(self._connection, table)
        return self._tables[table]

    def _log(
        self, number: int, kind: str, old: Row | None, new: Row | None, unchanged: Sequence[str]
    ) -> None:
        self._last = self._connection.execute(
            'INSERT INTO log ("table", kind, old, new, unchanged) VALUES (?, ?, ?, ?, ?)',
            (
                number,
                kind,
                None if old is None else json.dumps(old),
                None if new is None else json.dumps(new),
                json.dumps(list(unchanged)) if unchanged else None,
            ),
        ).lastrowid


def _last_lsn(connection: Any) -> int:
    """The largest LSN ever given, also where its line is dropped."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return int(found[0]) if found else 0


def _table(connection: Any, name: str) -> tuple[int, list[str]]:
    found = connection.execute("SELECT id, key FROM tables WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise KeyError(name)
    return found[0], json.loads(found[1])


def _key(row: Row, names: Sequence[str]) -> str:
    return json.dumps([row[n] for n in names])
