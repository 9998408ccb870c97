"""Stages changes as Arrow files and applies each checkpoint's in one SQLite transaction."""

# ruff: noqa: S608 - every name passes `_quoted`, every value is bound

from __future__ import annotations

import contextlib
import io
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    UPDATE_BEFORE,
    Changes,
    concat_changes,
    kind_names,
)
from flowsql.connector import (
    JSON,
    Committed,
    ConnectorContext,
    ConnectorTable,
    Guarantee,
    Sink,
    Writer,
    fsync_dir,
    remove,
    write_file,
)
from flowsql.errors import ConfigError, ConnectorError
from flowsql.formats import value_text

__all__ = ["ChangelogSqliteSink"]

_FORMAT = 1
_MARKERS = "flowsql$committed"
_KIND = "$kind"


class ChangelogSqliteSink(Sink):
    """One table of a SQLite file; exactly-once."""

    guarantee = Guarantee.EXACTLY_ONCE

    def __init__(self, table: ConnectorTable) -> None:
        self._table = table
        self._path = Path(table.options["path"]).absolute()
        self._name = table.options["table-name"] or _last_part(table.name)

    def open(self, context: ConnectorContext, previous_tokens: Sequence[JSON]) -> Writer:
        if context.checkpoint_files is None:
            raise ConfigError(
                'connector "changelog-sqlite" needs checkpoints',
                hint="SET 'execution.checkpointing.dir' = '…';",
            )
        kept = {_checked(token)["file"] for token in previous_tokens}
        stem = _stem(context, self._name)
        for path in sorted(context.checkpoint_files.glob(f"{stem}*.arrow")):
            if path.name not in kept:
                remove(path)
        writer = ChangelogSqliteWriter(self._table, self._name, self._path, context)
        writer.create_tables()
        return writer

    def committed(self, job: str) -> Committed | None:
        if not self._path.exists():
            return None
        with _connect(self._path) as connection:
            return _marker(connection, job, self._name)

    def holders(self) -> Sequence[str]:
        if not self._path.exists():
            return ()
        with _connect(self._path) as connection:
            return _marked_jobs(connection, self._name)


def _stem(context: ConnectorContext, name: str) -> str:
    # Brackets and the like would be read as a pattern.
    return f"sqlite-{quote(context.attempt.job, safe='')}@{quote(name, safe='')}@"


class ChangelogSqliteWriter(Writer):
    """Writes one table."""

    def __init__(
        self, table: ConnectorTable, name: str, path: Path, context: ConnectorContext
    ) -> None:
        self._table = table
        self._name = name
        self._path = path
        self._context = context
        self._log = table.options["changelog-log"]
        self._pending: list[Changes] = []

    def create_tables(self) -> None:
        """Make what is missing in the file."""
        columns = ", ".join(_quoted(n) for n in self._table.schema.names)
        with _connect(self._path) as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_quoted(_MARKERS)} "
                "(job TEXT, name TEXT, run TEXT, checkpoint INTEGER, PRIMARY KEY (job, name))"
            )
            if self._table.primary_key:
                key = ", ".join(_quoted(n) for n in self._table.primary_key)
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {_quoted(self._name)} ({columns}, "
                    f"PRIMARY KEY ({key}))"
                )
            else:
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {_quoted(self._name)} ({columns}, "
                    '"$count" INTEGER NOT NULL, "$row" TEXT PRIMARY KEY)'
                )
            if self._log:
                connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {_quoted(self._name + '$log')} "
                    f'("checkpoint" INTEGER, "kind" TEXT, {columns})'
                )

    def write(self, changes: Changes) -> None:
        self._pending.append(changes)

    def prepare(self, checkpoint: int) -> JSON | None:
        changes = concat_changes(self._pending)
        if changes is None:
            return None
        attempt = self._context.attempt
        name = (
            f"{_stem(self._context, self._name)}{attempt.run}@{attempt.number}@{checkpoint}.arrow"
        )
        batch = changes.batch.append_column(_KIND, pa.array(changes.codes_or_insert))
        buffer = io.BytesIO()
        with pa.ipc.new_file(buffer, batch.schema) as writer:
            writer.write_batch(batch)
        path = self._context.checkpoint_file(name)
        try:
            write_file(path, buffer.getbuffer())
            fsync_dir(path.parent)
        except OSError as error:
            raise ConnectorError(f'could not write "{path}": {error.strerror}') from None
        self._pending = []
        return {
            "format": _FORMAT,
            "connector": "changelog-sqlite",
            "run": attempt.run,
            "checkpoint": checkpoint,
            "file": name,
        }

    def commit(self, token: JSON) -> None:
        run, checkpoint = _checked(token)["run"], token["checkpoint"]
        job = self._context.attempt.job
        with _connect(self._path) as connection:
            marker = _marker(connection, job, self._name)
            if marker is not None and marker.run == run and marker.checkpoint >= checkpoint:
                return
            changes = self._staged(token)
            if self._table.primary_key:
                self._fold_by_key(connection, changes)
            else:
                self._fold_multiset(connection, changes)
            if self._log:
                self._append_log(connection, changes, checkpoint)
            connection.execute(
                f"INSERT INTO {_quoted(_MARKERS)} VALUES (?, ?, ?, ?) ON CONFLICT (job, name) "
                "DO UPDATE SET run = excluded.run, checkpoint = excluded.checkpoint",
                (job, self._name, run, checkpoint),
            )

    def abort(self, token: JSON) -> None:
        remove(self._context.checkpoint_file(_checked(token)["file"]))

    def close(self) -> None:
        self._pending = []

    def _staged(self, token: JSON) -> Changes:
        path = self._context.checkpoint_file(token["file"])
        try:
            with pa.ipc.open_file(path) as reader:
                batch = reader.get_batch(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise ConnectorError(f'could not read "{path}": {error}') from None
        names = [n for n in batch.schema.names if n != _KIND]
        return Changes(batch.select(names), batch.column(_KIND).to_numpy())

    def _fold_by_key(self, connection: sqlite3.Connection, changes: Changes) -> None:
        """The last change of each key decides; `-U` only announces it."""
        codes = changes.codes_or_insert
        changes = changes.filter(codes != UPDATE_BEFORE)
        codes = changes.codes_or_insert
        key = changes.batch.select(list(self._table.primary_key))
        last = {values: i for i, values in enumerate(_values(key))}
        chosen = changes.take(np.array(sorted(last.values()), np.int64))
        codes = chosen.codes_or_insert
        name, names = _quoted(self._name), self._table.schema.names
        gone = chosen.filter(codes == DELETE)
        if len(gone):
            where = " AND ".join(f"{_quoted(k)} IS ?" for k in self._table.primary_key)
            keys = _values(gone.batch.select(list(self._table.primary_key)))
            connection.executemany(f"DELETE FROM {name} WHERE {where}", keys)
        kept = chosen.filter(codes != DELETE)
        if len(kept):
            marks = ", ".join("?" * len(names))
            connection.executemany(
                f"INSERT OR REPLACE INTO {name} VALUES ({marks})", _values(kept.batch)
            )

    def _fold_multiset(self, connection: sqlite3.Connection, changes: Changes) -> None:
        """Counts rise and fall; a count below zero retracts what was never there."""
        name, names = _quoted(self._name), self._table.schema.names
        marks = ", ".join("?" * (len(names) + 2))
        rows = zip(_values(changes.batch), changes.signs.tolist(), strict=True)
        connection.executemany(
            f'INSERT INTO {name} VALUES ({marks}) ON CONFLICT ("$row") '
            'DO UPDATE SET "$count" = "$count" + excluded."$count"',
            # Python's own form tells NULL from 'null' and 1 from '1'.
            ((*row, sign, repr(row)) for row, sign in rows),
        )
        wrong = connection.execute(f'SELECT "$row" FROM {name} WHERE "$count" < 0').fetchone()
        if wrong:
            raise ConnectorError(
                f'table "{self._name}" cannot give up the row {wrong[0]}: it does not hold it'
            )
        connection.execute(f'DELETE FROM {name} WHERE "$count" = 0')

    def _append_log(
        self, connection: sqlite3.Connection, changes: Changes, checkpoint: int
    ) -> None:
        marks = ", ".join("?" * (len(self._table.schema.names) + 2))
        rows = zip(kind_names(changes), _values(changes.batch), strict=True)
        connection.executemany(
            f"INSERT INTO {_quoted(self._name + '$log')} VALUES ({marks})",
            ((checkpoint, kind, *row) for kind, row in rows),
        )


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, durable when the context ends without an error."""
    try:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise ConnectorError(f'could not open "{path}": {error}') from None
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise ConnectorError(f'could not write to "{path}": {error}') from None
    finally:
        connection.close()


def _marked_jobs(connection: sqlite3.Connection, name: str) -> list[str]:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_MARKERS,)).fetchone()
    if not known:
        return []
    found = connection.execute(
        f"SELECT job FROM {_quoted(_MARKERS)} WHERE name = ? ORDER BY job", (name,)
    )
    return [job for (job,) in found]


def _marker(connection: sqlite3.Connection, job: str, name: str) -> Committed | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_MARKERS,)).fetchone()
    if not known:
        return None
    found = connection.execute(
        f"SELECT run, checkpoint FROM {_quoted(_MARKERS)} WHERE job = ? AND name = ?", (job, name)
    ).fetchone()
    return Committed(*found) if found else None


def _values(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Rows as SQLite stores them: numbers, text and bytes; all else as its text."""
    if not batch.num_columns:
        return [()] * batch.num_rows
    return list(zip(*(_stored(c).to_pylist() for c in batch.columns), strict=True))


def _stored(column: pa.Array) -> pa.Array:
    kind = column.type
    native = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)
    if any(test(kind) for test in native) or pa.types.is_binary(kind):
        return column
    return value_text(column)


def _last_part(name: str) -> str:
    """`sales` of `catalog.database.sales`, without the mark of a hint."""
    return name.partition("#")[0].rpartition(".")[2].strip("`")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _checked(token: JSON) -> JSON:
    if (token.get("connector"), token.get("format")) != ("changelog-sqlite", _FORMAT):
        raise ConnectorError(
            "a token of another connector cannot be committed",
            detail=f"It was written by {token.get('connector')!r}, format {token.get('format')!r}.",
        )
    return token
