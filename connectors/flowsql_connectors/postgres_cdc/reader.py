"""Reads the splits of a source: chunks first, then the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from flowsql.connector import JSON, Poll, Reader, SourceStatus, Split
from flowsql.errors import ConnectorError
from flowsql_connectors.postgres_cdc.log.log_reader import FORMAT, LOG, LogReader
from flowsql_connectors.postgres_cdc.snapshot.copying import ChunkReader

__all__ = ["NAME", "PostgresReader"]

NAME = "postgres-cdc"


class PostgresReader(Reader):
    """Chunks one after the other, and the log once it is given.

    Args:
        chunks: reads chunks.
        open_log: makes the reader of the log, from its split's payload and a position in it.
    """

    def __init__(
        self, chunks: ChunkReader, open_log: Callable[[JSON, JSON | None], LogReader]
    ) -> None:
        self._chunks = chunks
        self._open_log = open_log
        self._log: LogReader | None = None

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for split, position in splits:
            if position is not None:
                check_format(position)
            if split.id == LOG:
                self._log = self._open_log(split.payload, position)
            else:
                self._chunks.assign(split)

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        if not self._chunks.idle:
            return self._chunks.poll(max_rows, timeout)
        if self._log is not None:
            poll = self._log.poll(max_rows, timeout)
            if poll is not None and LOG in poll.finished:
                self._log.close()
                self._log = None
            return poll
        time.sleep(timeout)
        return None

    def position(self, split: str) -> JSON:
        position: JSON = {"format": FORMAT, "connector": NAME}
        if split == LOG:
            assert self._log is not None
            position["lsn"] = self._log.lsn
            position["timeline"] = self._log.timeline
        return position

    def status(self) -> SourceStatus | None:
        return None if self._log is None else self._log.status()

    def tell(self, message: JSON) -> None:
        if message.get("chunks") == "read":
            # The snapshot holds back the server's clearing up.
            self._chunks.close()
        if self._log is not None and "acknowledged" in message:
            self._log.acknowledge(message["acknowledged"])

    def close(self) -> None:
        self._chunks.close()
        if self._log is not None:
            self._log.close()


def check_format(position: JSON) -> None:
    """Raise ConnectorError for a position that somebody else, or a newer version, wrote."""
    if (position.get("connector"), position.get("format")) != (NAME, FORMAT):
        raise ConnectorError(
            f'the stored position of connector "{NAME}" cannot be read',
            detail=f"It was written by {position.get('connector')!r}, "
            f"format {position.get('format')!r}.",
        )
