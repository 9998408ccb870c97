"""The file that holds the fake database: one SQLite database in WAL mode.

| table | what |
| --- | --- |
| `meta` | `id` of the database, `floor`: the log holds what comes behind this LSN |
| `tables` | name, columns, primary key |
| `data_<n>` | the rows of a table now: primary key, chunk key, row as JSON |
| `log` | one line a change; `last` ends a transaction |
| `slots` | up to which LSN a reader needs the log no more |

A transaction of the fake database is one of SQLite's, so that readers see all of it or nothing, and
a snapshot knows its LSN exactly: the largest that it sees.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from flowsql.errors import ConnectorError

__all__ = ["SCHEMA", "connect", "database_file"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tables (
  id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, columns TEXT NOT NULL, key TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS log (
  lsn INTEGER PRIMARY KEY AUTOINCREMENT, "table" INTEGER NOT NULL, kind TEXT NOT NULL,
  old TEXT, new TEXT, unchanged TEXT, last INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS slots (name TEXT PRIMARY KEY, confirmed INTEGER NOT NULL);
"""


def database_file(folder: Path | str) -> Path:
    """The file within the folder."""
    return Path(folder).absolute() / "database.sqlite"


def connect(folder: Path | str, *, create: bool = False) -> sqlite3.Connection:
    """A connection; transactions are begun and ended by hand.

    Raises:
        ConnectorError: there is no database and `create` is false.
    """
    path = database_file(folder)
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise ConnectorError(
            f'"{path.parent}" holds no fake database',
            hint="Make one with: python -m flowsql.testing.fake_database <folder>",
        )
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # Kept by the operating system whatever process dies; only the machine must go on.
    connection.execute("PRAGMA synchronous = NORMAL")
    if create:
        connection.executescript(SCHEMA)
    return connection
