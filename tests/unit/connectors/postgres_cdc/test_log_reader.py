"""The reader of the log, where connections break."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from flowsql_connectors.postgres_cdc.decode.messages import LogBatch
from flowsql_connectors.postgres_cdc.log import log_reader
from flowsql_connectors.postgres_cdc.log.log_reader import LogReader

from flowsql.changelog import Changes
from flowsql.connector import Piece, Poll

from .making import INT4, TEXT, begin, change, commit, relation, row

_LARGE = "x" * 1_000_000


class _Server:
    def open(self, *, replication: bool) -> _Server:
        assert replication
        return self

    def close(self) -> None:
        """Nothing is held."""


class _Maker:
    """The numbers of rows, without those that were made before."""

    def make(self, batch: LogBatch, dropped: int) -> list[tuple[str, Changes]]:
        ids = [int(i) for c in batch.changes for i in c.text(0).to_pylist()]
        rows = pa.RecordBatch.from_pydict({"id": ids[dropped:]})
        return [("t", Changes(rows, np.zeros(len(rows), np.int8)))] if len(rows) else []


def _inserts(*ids: int) -> list[bytes]:
    head = relation(1, [("id", INT4), ("v", TEXT)])
    return [head, *(change("I", 1, row("N", str(i), _LARGE)) for i in ids)]


def _keepalive(end: int) -> bytes:
    return b"k" + struct.pack(">QqB", end, 0, 0)


def _ids(poll: Poll) -> list[int]:
    pieces = [p for p in poll.pieces if isinstance(p, Piece)]
    return [i for p in pieces for i in p.changes.batch.column(0).to_pylist()]


def _reader(
    monkeypatch: pytest.MonkeyPatch, *streams: list[list[bytes] | psycopg.Error]
) -> LogReader:
    left = iter(streams)

    class Stream:
        def __init__(self, *_: Any) -> None:
            self._given = next(left)

        def take(self, timeout: float) -> list[bytes]:
            del timeout
            given = self._given.pop(0) if self._given else []
            if isinstance(given, psycopg.Error):
                raise given
            return given

        def close(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr(log_reader, "LogStream", Stream)
    check: Callable[..., int] = lambda _connection, _lsn, timeline: timeline  # noqa: E731
    server: Any = _Server()
    maker: Any = _Maker()
    return LogReader(
        server,
        "slot",
        "publication",
        start=50,
        timeline=1,
        bound=0,
        stop=None,
        maker=maker,
        acknowledged=50,
        connection=None,
        idle_seconds=0.0,
        check=check,
    )


def test_half_a_transaction_ends_with_no_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a break the server tells its position before it sends the transaction anew."""
    first = [begin(7, final=1000), *_inserts(*range(10))]
    again = [begin(7, final=1000), *_inserts(*range(12)), commit(end=1008, final=1000)]
    reader = _reader(
        monkeypatch, [first, psycopg.OperationalError("cut")], [[_keepalive(900)], [], again]
    )
    polls = []
    while not any(p.boundary and p.pieces for p in polls):
        poll = reader.poll(1000, 0.2)
        if poll is not None:
            polls.append(poll)
            assert not (poll.boundary and 50 < reader.lsn < 1008)
    told = [(_ids(p), p.boundary) for p in polls if p.pieces]
    assert told == [(list(range(10)), False), ([10, 11], True)]
    assert reader.lsn == 1008
