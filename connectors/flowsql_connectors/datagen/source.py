"""Makes rows at the asked rate."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from flowsql.changelog import MAX_ROWS, Changes
from flowsql.connector import JSON, ConnectorTable, Piece, Poll, Reader, Source, Split
from flowsql.errors import ConnectorError
from flowsql.types import arrow_schema
from flowsql_connectors.datagen.generate import Moment, field_plans, sequence_rows

__all__ = ["DatagenReader", "DatagenSource"]

_FORMAT = 1


class DatagenSource(Source):
    """One split with all rows."""

    def __init__(self, table: ConnectorTable, position: JSON | None, *, bounded: bool) -> None:
        self._table = table
        self._finished = position is not None and bool(position["finished"])
        self.bounded = bounded

    def discover(self) -> Sequence[Split]:
        return () if self._finished else (Split("rows", (self._table.name,)),)

    def open(self, splits: Sequence[tuple[Split, JSON | None]]) -> Reader:
        reader = DatagenReader(self._table)
        reader.assign(splits)
        return reader

    def finished(self, split: str, result: JSON) -> Sequence[JSON]:
        del split, result
        self._finished = True
        return ()

    def position(self) -> JSON:
        return {"format": _FORMAT, "connector": "datagen", "finished": self._finished}


class DatagenReader(Reader):
    """Position: the number of rows made, the seed, and when row 0 was due."""

    def __init__(self, table: ConnectorTable, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        self._clock = clock
        self._plans = field_plans(table)
        self._schema = arrow_schema(table.read_schema)
        self._rate: int = table.options["rows-per-second"]
        limits = [table.options["number-of-rows"], sequence_rows(table)]
        self._limit = min((n for n in limits if n is not None), default=None)
        self._row = 0
        self._moment: Moment | None = None
        self._done = False
        self._opened = 0.0
        self._first = 0
        self._idle = threading.Event()

    def assign(self, splits: Sequence[tuple[Split, JSON | None]]) -> None:
        for _, position in splits:
            if position is None:
                seed = self._table.options["seed"]
                self._moment = Moment(
                    secrets.randbits(62) if seed is None else seed,
                    time.time_ns() // 1_000_000,
                    self._rate,
                )
            else:
                known = (position.get("connector"), position.get("format"))
                if known != ("datagen", _FORMAT):
                    raise ConnectorError(
                        f'the stored position of table "{self._table.name}" cannot be read',
                        detail=f"It was written by {known[0]!r}, format {known[1]!r}.",
                    )
                self._row = position["row"]
                self._moment = Moment(position["seed"], position["start"], self._rate)
            self._opened, self._first = self._clock(), self._row

    def poll(self, max_rows: int, timeout: float) -> Poll | None:
        if self._moment is None or self._done:
            self._idle.wait(timeout)
            return None
        due = self._first + 1 + int((self._clock() - self._opened) * self._rate)
        end = min(due, self._row + min(max_rows, MAX_ROWS))
        if self._limit is not None:
            end = min(end, self._limit)
        if end <= self._row and (self._limit is None or self._row < self._limit):
            self._idle.wait(min(timeout, 1 / self._rate))
            return None
        pieces: tuple[Piece, ...] = ()
        if end > self._row:
            pieces = (Piece(self._table.name, "rows", self._rows(self._row, end)),)
            self._row = end
        if self._limit is not None and self._row >= self._limit:
            self._done = True
            return Poll(pieces, finished={"rows": {}})
        return Poll(pieces)

    def position(self, split: str) -> JSON:
        del split
        moment = self._moment
        assert moment is not None
        return {
            "format": _FORMAT,
            "connector": "datagen",
            "row": self._row,
            "seed": moment.seed,
            "start": moment.start,
        }

    def _rows(self, start: int, end: int) -> Changes:
        assert self._moment is not None
        rows = np.arange(start, end, dtype=np.uint64)
        columns = [self._plans[name](rows, self._moment) for name in self._schema.names]
        # The number of rows is known even where no column is read.
        columns.append(pa.nulls(len(rows)))
        names = self._schema.names
        return Changes(pa.RecordBatch.from_arrays(columns, names=[*names, ""]).select(names))
