"""A replication connection, served by a thread of its own.

The thread does two things: it takes what the server sends, up to a limit, and it tells the server
how far we are: once a second, when it asks, and when more was confirmed, so that the server keeps
neither log nor patience waiting while the engine is busy.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

from flowsql_connectors.postgres_cdc.decode.wire import standby_status
from flowsql_connectors.postgres_cdc.server.connections import Connection, lsn_text

__all__ = ["LogStream"]

_STATUS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_QUEUE_BYTES: Final = 32 << 20
# Small, so that decoding and the engine work side by side, and little is whole when they wait.
_TAKEN_BYTES: Final = 4 << 20
_AT_ONCE: Final = 8192  # messages
_AT_ONCE_BYTES: Final = 2 << 20
_KEEPALIVE: Final = ord("k")


class LogStream:
    """The log of a slot from a position on, as frames.

    Args:
        connection: for replication; the stream closes it.
        slot, publication: what is read.
        start: log position.
        confirmed: gives the log position below which nothing is needed again.

    Raises:
        psycopg.Error: the server does not begin.
    """

    def __init__(
        self,
        connection: Connection,
        slot: str,
        publication: str,
        start: int,
        confirmed: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._confirmed = confirmed
        self._skipping: str | None = None
        connection.add_notice_handler(self._heed)
        # The grammar of replication has no parameters: a list of names within a string.
        names = sql.Literal(sql.Identifier(publication).as_string(connection))
        connection.execute(
            sql.SQL(
                "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})"
            )
            .format(sql.Identifier(slot), sql.SQL(lsn_text(start)), names)
            .as_bytes(connection)
        )
        self._ready = threading.Condition()
        self._came: deque[tuple[list[bytes], int]] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._closing = False
        self._received = 0
        self._thread = threading.Thread(target=self._run, name=f"log of {slot}", daemon=True)
        self._thread.start()

    def take(self, timeout: float) -> list[bytes]:
        """What came since the last call, some megabytes at most.

        Waits for something at most `timeout` seconds. Raises what ended the stream, behind the last
        of what came before.
        """
        frames: list[bytes] = []
        taken = 0
        with self._ready:
            if not self._came and self._error is None:
                self._ready.wait(timeout)
            while self._came and taken < _TAKEN_BYTES:
                more, size = self._came.popleft()
                frames += more
                taken += size
            self._bytes -= taken
            if not frames and self._error is not None:
                raise self._error
        return frames

    def close(self) -> None:
        """Let go of the connection; may be called twice."""
        self._closing = True
        if self._thread is not threading.current_thread():
            self._thread.join(5)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - raised again by who takes
            with self._ready:
                self._error = error
                self._ready.notify_all()
        finally:
            with contextlib.suppress(Exception):
                self._connection.close()

    def _serve(self) -> None:
        pg = self._connection.pgconn
        told, told_at = -1, 0.0
        asked = False
        while not self._closing:
            now = time.monotonic()
            confirmed = self._confirmed()
            if asked or confirmed != told or now - told_at >= _STATUS_SECONDS:
                self._tell(pg, confirmed if confirmed != told else 0)
                told, told_at, asked = confirmed, now, False
            pg.flush()
            if self._bytes > _QUEUE_BYTES:
                with self._ready:
                    self._ready.wait(_LOOK_SECONDS / 4)
                continue
            frames, size, asked = self._take(pg)
            if self._skipping is not None:
                raise psycopg.errors.UndefinedObject(self._skipping)
            if frames:
                with self._ready:
                    self._came.append((frames, size))
                    self._bytes += size
                    self._ready.notify_all()
            if len(frames) < _AT_ONCE and size < _AT_ONCE_BYTES and not asked:
                readable, _, _ = select.select([pg.socket], [], [], _LOOK_SECONDS)
                if readable:
                    pg.consume_input()

    def _heed(self, notice: psycopg.errors.Diagnostic) -> None:
        # From version 18 on a publication that is gone is a warning, and its changes are left out.
        # The text may be of any language.
        if notice.source_function == "LoadPublications":
            self._skipping = notice.message_primary or "a publication is not there"

    def _tell(self, pg: psycopg.pq.abc.PGconn, confirmed: int) -> None:
        now = time.time_ns() // 1000
        if confirmed:
            pg.put_copy_data(standby_status(confirmed, now, written=self._received))
        # A server that is stopped waits until what it sent is flushed, which is not before the next
        # checkpoint; where nothing is said of that, it waits until it is received.
        pg.put_copy_data(standby_status(0, now, written=self._received))

    def _take(self, pg: psycopg.pq.abc.PGconn) -> tuple[list[bytes], int, bool]:
        """The frames that are here, their bytes, and whether the server wants an answer."""
        frames: list[bytes] = []
        total = 0
        asked = False
        get = pg.get_copy_data
        while len(frames) < _AT_ONCE and total < _AT_ONCE_BYTES:
            size, data = get(1)
            if size > 0:
                frame = data.tobytes()
                frames.append(frame)
                total += size
                if frame[0] == _KEEPALIVE:
                    self._received = int.from_bytes(frame[1:9], "big")
                    asked = asked or bool(frame[-1])
            elif size == 0:
                break
            else:
                if frames:
                    # The end is met again at the next call.
                    break
                result = pg.get_result()
                if result is None or result.status != psycopg.pq.ExecStatus.FATAL_ERROR:
                    text = pg.get_error_message()
                    raise psycopg.OperationalError(text or "the server ended the stream")
                raise psycopg.errors.error_from_result(result)
        return frames, total, asked
