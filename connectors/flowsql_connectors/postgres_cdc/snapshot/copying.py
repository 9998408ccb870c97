"""Reads chunks of a snapshot by binary COPY.

Each is read in a transaction of its own: a lock that outlived it would make TRUNCATE wait, and behind
that every other reader of the table, ours too. Who gets the table in between, and truncates or
rewrites it, leaves nothing in it for a snapshot from before: that is looked for behind every chunk.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from typing import Final

import psycopg
from psycopg import sql

from flowsql.connector import JSON, Emptied, Piece, Poll, Split
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.decode.copy_binary import CopyDecoder
from flowsql_connectors.postgres_cdc.rows import RowShape
from flowsql_connectors.postgres_cdc.server.catalog import ServerTable
from flowsql_connectors.postgres_cdc.server.connections import Connection, Server
from flowsql_connectors.postgres_cdc.snapshot.chunks import Chunk, ChunkKey
from flowsql_connectors.postgres_cdc.snapshot.files import rewritten

__all__ = ["ChunkReader", "SnapshotTable"]

_BATCH_BYTES: Final = 32 << 20
_LOOK_SECONDS: Final = 1.0


class SnapshotTable:
    """One table of the server: what of it goes to which tables of the job.

    Attributes:
        source: it.
        shapes: of the tables of the job.
        key: what its chunks are ranges of.
    """

    def __init__(self, source: ServerTable, shapes: list[RowShape], key: ChunkKey | None) -> None:
        self.source = source
        self.shapes = shapes
        self.key = key


class ChunkReader:
    """Reads chunks one after the other, all under the same snapshot.

    Args:
        server: where.
        tables: by the name that splits use.
    """

    def __init__(self, server: Server, tables: dict[str, SnapshotTable]) -> None:
        self._server = server
        self._tables = tables
        self._waiting: deque[Split] = deque()
        self._connection: Connection | None = None
        self._split: Split | None = None
        self._shapes: deque[RowShape] = deque()
        self._decoder: CopyDecoder | None = None
        self._copying = False
        self._emptied: tuple[Piece | Emptied, ...] = ()
        self._rows = 0

    @property
    def idle(self) -> bool:
        """There is no chunk to read."""
        return self._split is None and not self._waiting

    def assign(self, split: Split) -> None:
        """One more chunk."""
        self._waiting.append(split)

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        """The next rows of a chunk; a boundary at its end."""
        try:
            return self._poll(max_rows, timeout)
        except psycopg.Error as error:
            raise self._server.error(error, "ended the reading of a table") from None

    def _poll(self, max_rows: int, timeout: float) -> Poll | None:
        if self._split is None:
            if not self._waiting:
                return None
            self._begin(self._waiting.popleft())
        assert self._split is not None
        if self._decoder is None:
            if not self._shapes:
                return self._finished()
            self._ask(self._shapes[0])
        assert self._decoder is not None
        messages = self._messages(max_rows, timeout)
        if not messages:
            return None
        batch = self._decoder.decode(messages)
        shape = self._shapes[0]
        ended = self._decoder.finished
        pieces, self._emptied = self._emptied, ()
        if batch.num_rows:
            columns = batch.columns if shape.readings else ()
            changes = shape.changes(columns, batch.num_rows, None, None)
            pieces = (*pieces, Piece(shape.table.name, self._split.id, changes))
            self._rows += batch.num_rows
        if ended:
            self._end()
            if not self._shapes:
                return self._finished(pieces)
        return Poll(pieces, boundary=False, consistent=False) if pieces else None

    def _finished(self, pieces: tuple[Piece | Emptied, ...] = ()) -> Poll:
        assert self._split is not None
        self._end_transaction(self._tables[self._split.payload["table"]].source)
        result: JSON = {"rows": self._rows}
        poll = Poll(pieces, finished={self._split.id: result}, consistent=False)
        self._split, self._rows = None, 0
        return poll

    def _begin(self, split: Split) -> None:
        self._split = split
        self._shapes = deque(self._tables[split.payload["table"]].shapes)
        if split.payload["anew"]:
            self._emptied = tuple(Emptied(s.table.name, split.id) for s in self._shapes)
        if self._connection is None:
            self._connection = self._server.connect()
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            snapshot = sql.Literal(split.payload["snapshot"])
            self._connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        except psycopg.Error as error:
            ours = self._server.error(error, "has let go of the snapshot of the tables")
            raise ConnectorError(
                ours.message, detail=ours.detail, hint="Start again: the job goes on."
            ) from None

    def _end_transaction(self, table: ServerTable) -> None:
        """Raise where the table was emptied or rewritten since the snapshot; let go of it."""
        assert self._connection is not None
        emptied = rewritten(self._server, self._connection, table.oid)
        self._connection.execute("COMMIT")
        if emptied:
            raise ConnectorError(
                f'table "{table}" of the server was truncated or rewritten while its rows were read',
                detail="A snapshot from before sees none of them.",
                hint="Start again: the job goes on with what is there now.",
            )

    def _ask(self, shape: RowShape) -> None:
        assert self._split is not None
        assert self._connection is not None
        payload = self._split.payload
        table = self._tables[payload["table"]]
        condition = Chunk(payload["low"], payload["high"]).condition(table.key)
        query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT binary)").format(
            sql.SQL(shape.select()),
            table.source.in_sql(),
            sql.SQL("") if condition is None else sql.SQL(" WHERE {}").format(condition),
        )
        pg = self._connection.pgconn
        pg.send_query(query.as_bytes(self._connection))
        while pg.flush():
            select.select([], [pg.socket], [], 1)
        while pg.is_busy():
            select.select([pg.socket], [], [], 1)
            pg.consume_input()
        result = pg.get_result()
        if result is None or result.status != psycopg.pq.ExecStatus.COPY_OUT:
            text = b"" if result is None else result.error_message
            raise psycopg.OperationalError(text.decode(errors="replace"))
        self._decoder = CopyDecoder(shape.copied)
        self._copying = True

    def _messages(self, max_rows: int, timeout: float) -> list[bytes]:
        """Up to `max_rows` rows, fewer at the end of the time or of the data."""
        assert self._connection is not None
        pg = self._connection.pgconn
        get = pg.get_copy_data
        end = time.monotonic() + timeout
        messages: list[bytes] = []
        add = messages.append
        size = 0
        while (room := max_rows - len(messages)) > 0 and size < _BATCH_BYTES:
            # Half of what a row costs the reader is this loop; bytes() takes three times as long.
            for _ in range(room):
                count, data = get(1)
                if count <= 0:
                    break
                add(data.tobytes())
                size += count
                if size >= _BATCH_BYTES:
                    break
            if count == 0:
                left = end - time.monotonic()
                if left <= 0:
                    break
                select.select([pg.socket], [], [], left)
                pg.consume_input()
            elif count < 0:
                result = pg.get_result()
                if result is None or result.status != psycopg.pq.ExecStatus.COMMAND_OK:
                    text = b"" if result is None else result.error_message
                    raise psycopg.OperationalError(text.decode(errors="replace"))
                while pg.get_result() is not None:
                    pass
                self._copying = False
                break
        return messages

    def _end(self) -> None:
        """Behind the trailer of a COPY: the next statement may come."""
        while self._copying:
            self._messages(1, _LOOK_SECONDS)
        self._decoder = None
        self._shapes.popleft()

    def close(self) -> None:
        """Let go of the connection and the snapshot."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None
