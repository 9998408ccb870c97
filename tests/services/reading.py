"""A table of a real server, read by COPY and from the log, as the decoders' users will."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from flowsql_connectors.postgres_cdc import (
    SESSION_OPTIONS,
    CatalogType,
    ColumnReading,
    CopyDecoder,
    LogBatch,
    LogDecoder,
    PgType,
    default_type,
    read_column,
    read_frames,
    read_text,
    resolve_type,
    types_query,
)

from flowsql.types import DataType
from tests.services.postgres import PostgresServer

__all__ = ["Log", "columns_of", "copied", "logged", "reading_of", "typed"]

_COLUMNS = """
SELECT attname, atttypid::int8, atttypmod FROM pg_catalog.pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def columns_of(server: PostgresServer, table: str) -> dict[str, PgType]:
    """The server's types of a table's columns."""
    with server.connect() as connection:
        found = connection.execute(_COLUMNS, [table]).fetchall()
        rows = connection.execute(types_query(oid for _, oid, _ in found).encode()).fetchall()
    catalog = {row[0]: CatalogType(*row) for row in rows}
    return {name: resolve_type(oid, modifier, catalog) for name, oid, modifier in found}


def reading_of(
    server: PostgresServer, table: str, declared: Mapping[str, DataType] | None = None
) -> tuple[ColumnReading, ...]:
    """How a table's columns are read: as declared, else as their default."""
    return tuple(
        read_column(name, pg, (declared or {}).get(name, default_type(pg)), table)
        for name, pg in columns_of(server, table).items()
    )


def copied(
    server: PostgresServer, table: str, readings: Sequence[ColumnReading], order: str = "id"
) -> pa.RecordBatch:
    """A table's rows by binary COPY."""
    decoder = CopyDecoder(readings)
    chosen = ", ".join(reading.expression() for reading in readings)
    with server.connect(options=SESSION_OPTIONS) as connection, connection.cursor() as cursor:
        query = f"COPY (SELECT {chosen} FROM {table} ORDER BY {order}) TO STDOUT (FORMAT binary)"
        with cursor.copy(query.encode()) as copy:
            messages = list(copy)
    # Cut anywhere: the header comes with the first row, the end after the last.
    batches = [decoder.decode(messages[:1]), decoder.decode(messages[1:])]
    assert decoder.finished
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


class Log:
    """A replication connection that reads a slot of its own."""

    def __init__(
        self, server: PostgresServer, publication: str, slot: str, options: str = ""
    ) -> None:
        self._connection = psycopg.connect(
            f"{server.dsn()} replication=database",
            autocommit=True,
            options=f"{SESSION_OPTIONS} {options}",
        )
        self._connection.execute(
            f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT".encode()
        )
        self._connection.execute(
            f"START_REPLICATION SLOT {slot} LOGICAL 0/0"
            f" (proto_version '1', publication_names '{publication}'".encode()
            + (b", messages 'true')" if server.version >= 14 else b")")
        )
        self._server = server
        self.decoder = LogDecoder()

    def frames(self) -> list[bytes]:
        """All messages up to what is written by now."""
        asked = "SELECT pg_current_wal_{}_lsn() - '0/0'::pg_lsn"
        end = int(self._server.execute(asked.format("insert"))[0][0])
        # A page with nothing but its header has not been written.
        if end % 8192 in {24, 40}:
            end -= end % 8192
        if self._server.execute(asked.format("flush"))[0][0] < end:
            # Nobody hurries to write what belongs to no commit.
            self._server.execute("CHECKPOINT")
        out: list[bytes] = []
        deadline = time.monotonic() + 60
        connection = self._connection.pgconn
        while time.monotonic() < deadline:
            size, data = connection.get_copy_data(1)
            if size > 0:
                out.append(bytes(data))
                if data[:1] == b"k" and int.from_bytes(data[1:9], "big") >= end:
                    return out
            elif size == 0:
                select.select([connection.socket], [], [], 0.05)
                connection.consume_input()
                if not out or out[-1][:1] != b"k":
                    self._ask()
            else:
                raise AssertionError("the stream ended")
        raise AssertionError("the log did not come")

    def _ask(self) -> None:
        from flowsql_connectors.postgres_cdc import standby_status

        self._connection.pgconn.put_copy_data(
            standby_status(0, time.time_ns() // 1000, answer=True)
        )
        self._connection.pgconn.flush()

    def batch(self) -> LogBatch:
        """What was committed since the last call."""
        return self.decoder.decode(read_frames(self.frames()))

    def close(self) -> None:
        self._connection.close()


@contextmanager
def logged(server: PostgresServer, *tables: str, options: str = "") -> Iterator[Log]:
    """A log of the tables from now on, by a session with more `options` (`-c name=value`)."""
    name = f"log_of_{tables[0].rpartition('.')[2]}"
    server.execute(f"DROP PUBLICATION IF EXISTS {name}")
    server.execute(f"CREATE PUBLICATION {name} FOR TABLE {', '.join(tables)}")
    log = Log(server, name, name, options)
    try:
        yield log
    finally:
        log.close()


def typed(batch: LogBatch, readings: Sequence[ColumnReading]) -> pa.RecordBatch:
    """The rows of the one table that a batch has changes of."""
    (changes,) = batch.changes
    arrays: list[Any] = []
    for i, reading in enumerate(readings):
        assert changes.relation.columns[i].name == reading.name
        arrays.append(read_text(changes.text(i), reading))
    return pa.RecordBatch.from_arrays(arrays, [reading.name for reading in readings])
