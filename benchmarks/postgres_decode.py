"""How fast do PostgreSQL's bytes become columns?

A real server's rows and changes of eight columns, kept in memory as they came, decoded again and again: the
snapshot's binary COPY, and the log with old and new rows of updates, up to typed columns. Once through the
connection as well, server and client on this machine.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from _common import alone, arguments
from flowsql_connectors.postgres_cdc import (
    SESSION_OPTIONS,
    ColumnReading,
    CopyDecoder,
    LogDecoder,
    read_frames,
    read_text,
)

# The servers are the tests'.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.services.binaries import ServerUnavailable
from tests.services.postgres import PostgresServer
from tests.services.reading import logged, reading_of

BATCH = 16_000  # messages decoded together
SMALL = 300

TABLE = """
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, name varchar(20), amount decimal(10, 2),
  quantity int, status varchar(20), ts timestamp(3), note text);
ALTER TABLE orders REPLICA IDENTITY FULL;
"""
ROWS = """
INSERT INTO orders SELECT i, i * 7 % 100000, 'customer ' || i % 1000, i % 1000000 / 100.0, i % 50, 'state ' || i % 5,
  timestamp '2024-01-01' + i * interval '1.234 s', 'a note of some length, number ' || i
FROM generate_series({}, {}) i
"""


def main(rows: int) -> None:
    """Start a server, fill it, read it."""
    ours = os.sched_getaffinity(0)
    try:
        # The server may use the other cores; what it inherits is set before it starts.
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        server = PostgresServer(15)
    except ServerUnavailable as reason:
        print(f"{'postgres_decode':<24} {reason}")
        return
    finally:
        os.sched_setaffinity(0, ours)
    with server:
        server.execute(TABLE)
        server.execute(ROWS.format(1, rows))
        server.execute("VACUUM ANALYZE orders")
        readings = reading_of(server, "public.orders")
        _snapshot(server, readings, rows)
        with logged(server, "orders") as log:
            server.execute("UPDATE orders SET quantity = quantity + 1 WHERE id <= 200000")
            updates = [frame for frame in log.frames() if frame[:1] == b"w"]
        with logged(server, "orders") as log:
            server.execute(ROWS.format(rows + 1, rows + 200_000))
            inserts = [frame for frame in log.frames() if frame[:1] == b"w"]
    for name, frames in (("inserts", inserts), ("updates, old and new", updates)):
        _log(name, frames, readings)


def _snapshot(server: PostgresServer, readings: Sequence[ColumnReading], rows: int) -> None:
    chosen = ", ".join(reading.expression() for reading in readings)
    query = f"COPY (SELECT {chosen} FROM public.orders) TO STDOUT (FORMAT binary)"
    batches: list[list[memoryview]] = [[]]
    decoder, seconds = CopyDecoder(readings), 0.0
    with server.connect(options=SESSION_OPTIONS) as connection:
        wall, cpu = time.perf_counter(), time.process_time()
        connection.pgconn.exec_(query.encode())
        get = connection.pgconn.get_copy_data
        size, message = get(0)
        while size >= 0:
            batches[-1].append(message)
            if len(batches[-1]) == BATCH:
                seconds += _took(lambda: decoder.decode(batches[-1]))
                batches.append([])
            size, message = get(0)
        seconds += _took(lambda: decoder.decode(batches[-1]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        while connection.pgconn.get_result():
            pass
    _line("snapshot, end to end", rows, cpu, f"{rows / wall / 1e6:.2f} M by the clock")
    _line("snapshot, decoding", rows, seconds)


def _log(name: str, frames: Sequence[bytes], readings: Sequence[ColumnReading]) -> None:
    """Up to typed columns; `frames` are one transaction."""
    changes = len(frames) - 3  # begin, the table, commit
    decoder = LogDecoder()
    seconds = 0.0
    for start in range(0, len(frames), BATCH):
        part = frames[start : start + BATCH]
        seconds += _took(lambda: _decode(decoder, part, readings))  # noqa: B023 (called at once)
    _line(f"log, {name}", changes, seconds)
    few = [frames[0], *frames[2:5], frames[-1]]
    took = _took(lambda: [_decode(decoder, few, readings) for _ in range(SMALL)])
    print(f"{'postgres_decode':<24} {f'log, 3 {name}':<36} {took / SMALL * 1e3:8.3f} ms a batch")


def _decode(
    decoder: LogDecoder, frames: Sequence[bytes], readings: Sequence[ColumnReading]
) -> None:
    for changes in decoder.decode(read_frames(frames)).changes:
        for i, reading in enumerate(readings):
            read_text(changes.text(i), reading)


def _took(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _line(what: str, rows: int, seconds: float, more: str = "") -> None:
    rate = f"{rows / seconds / 1e6:6.2f} M/s of processor time"
    print(f"{'postgres_decode':<24} {what:<36} {rate}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    alone(main, arguments(__doc__, rows=1_000_000).rows)
