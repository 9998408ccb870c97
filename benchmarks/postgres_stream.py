"""How fast is the log of PostgreSQL read, beside PostgreSQL's own client that throws it away?

Updates of eight columns in one large transaction, with whole old rows and with the key only; small
transactions; how long after its commit a row is in `changes()`; memory over many changes
(`--changes 10000000`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _postgres import (
    ROWS,
    TABLE,
    PostgresServer,
    Spending,
    behind,
    options,
    plain_reader,
    server,
    session,
    table,
    wait_for_rows,
    wait_for_sent,
)

NAME = "postgres_stream"
SMALL = 30_000  # transactions
LATE = 500
PAUSE = 0.01  # seconds between commits whose way is timed
TURNS = 2
STEADY = 2_000  # transactions a second
_NOWHERE = "CREATE TABLE nowhere (id BIGINT, q INT, note STRING) WITH ('connector' = 'blackhole')"


def main() -> None:
    """Every question, one line an answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--changes", type=int, default=0)
    parser.add_argument("--version", type=int, default=15)
    asked = parser.parse_args()
    with server(NAME, asked.version) as running:
        running.execute(TABLE)
        running.execute(ROWS.format(1, asked.rows))
        running.execute("CREATE PUBLICATION orders FOR TABLE orders")
        if asked.changes:
            _memory(running, asked.rows, asked.changes)
            return
        whole = "UPDATE orders SET quantity = quantity + 1"
        running.execute("ALTER TABLE orders REPLICA IDENTITY FULL")
        _beside(running, "updates, old and new rows", [whole], asked.rows, rows_of_each=2)
        small = [f"UPDATE orders SET quantity = 0 WHERE id = {i + 1}" for i in range(SMALL)]
        _beside(running, "transactions of one update", small, SMALL, rows_of_each=2)
        running.execute("ALTER TABLE orders REPLICA IDENTITY DEFAULT")
        _beside(running, "updates, new rows (upsert)", [whole], asked.rows, rows_of_each=1)
        _steady(running)
        _latency(running)


def _beside(
    running: PostgresServer, what: str, statements: list[str], changes: int, rows_of_each: int
) -> None:
    """The same statements for each reader, in turns; starts are not counted."""
    for turn in range(TURNS):
        took = {}
        for who in ("plain", "ours") if turn % 2 else ("ours", "plain"):
            run = _plain if who == "plain" else _ours
            took[who] = run(running, statements, changes * rows_of_each)
            running.execute("SELECT pg_drop_replication_slot('stream')")
        plain, ours = took["plain"], took["ours"]
        print(
            f"{NAME:<18} {what:<28} {changes / ours.seconds / 1e3:7.1f} k changes/s by the clock, "
            f"{plain.seconds / ours.seconds:.0%} of pg_recvlogical's "
            f"{changes / plain.seconds / 1e3:.1f} k ({changes:,}; {ours}; pg_recvlogical: {plain})",
            flush=True,
        )


def _plain(running: PostgresServer, statements: list[str], rows: int) -> Spending:
    del rows
    running.execute("SELECT pg_create_logical_replication_slot('stream', 'pgoutput')")
    with plain_reader(running, "stream"):
        with behind(running) as pid:
            _run(running, statements)
            spending = Spending(running)
            spending.__enter__()
        wait_for_sent(running, pid)
        spending.__exit__()
    # What waits for its end, here, is no part of it.
    spending.spent = {"client": spending.spent["readers"], "server": spending.spent["server"]}
    return spending


def _ours(running: PostgresServer, statements: list[str], rows: int) -> Spending:
    """A job of its own into nothing."""
    asked = "SELECT relreplident FROM pg_class WHERE relname = 'orders'"
    mode = "all" if running.execute(asked) == [("f",)] else "upsert"
    given = options(running, "stream", scan__startup__mode="latest-offset", changelog_mode=mode)
    with session() as s:
        table(s, "orders", given, key=mode == "upsert")
        s.execute(_NOWHERE)
        job = s.execute("INSERT INTO nowhere SELECT id, quantity, note FROM orders")
        with behind(running):
            _run(running, statements)
            spending = Spending(running)
            spending.__enter__()
        wait_for_rows(job, rows)
        spending.__exit__()
        job.stop()
        job.wait()
    return spending


def _run(running: PostgresServer, statements: list[str]) -> None:
    with running.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _steady(running: PostgresServer) -> None:
    """What it takes to keep up with many small transactions."""
    script = Path(tempfile.gettempdir()) / "flowsql-benchmark-pgbench.sql"
    script.write_text(
        "\\set a random(1, 300000)\n\\set b random(1, 300000)\n"
        "BEGIN; UPDATE orders SET quantity = quantity - 1 WHERE id = :a;"
        " UPDATE orders SET quantity = quantity + 1 WHERE id = :b; COMMIT;\n"
    )
    given = options(running, "stream", scan__startup__mode="latest-offset", changelog_mode="upsert")
    with session() as s:
        table(s, "orders", given, key=True)
        s.execute(_NOWHERE)
        job = s.execute("INSERT INTO nowhere SELECT id, quantity, note FROM orders")
        with behind(running):
            pass
        with Spending(running) as spending:
            done = subprocess.run(
                [
                    *("pgbench", "-n", "-M", "prepared", "-c", "2", "-R", str(STEADY), "-T", "10"),
                    *("-f", str(script), running.dsn()),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            (count,) = re.findall(r"actually processed: ([0-9]+)", done.stdout)
            began = time.perf_counter()
            wait_for_rows(job, 2 * int(count))
            behind_by = time.perf_counter() - began
        job.stop()
        job.wait()
    running.execute("SELECT pg_drop_replication_slot('stream')")
    print(
        f"{NAME:<18} {f'{STEADY:,} transactions/s for 10 s':<28} {int(count):,} transactions, over"
        f" {behind_by * 1e3:.0f} ms behind the last ({spending}; pgbench among the readers)",
        flush=True,
    )


def _latency(running: PostgresServer) -> None:
    """From the COMMIT being sent to the row being there."""
    with session() as s:
        table(
            s,
            "orders",
            options(running, "late", scan__startup__mode="latest-offset", changelog_mode="upsert"),
            key=True,
        )
        sent: dict[int, float] = {}
        took: list[float] = []

        def write() -> None:
            time.sleep(2)
            with running.connect(autocommit=False) as connection:
                for i in range(LATE):
                    connection.execute("UPDATE orders SET quantity = %s WHERE id = 1", [1000 + i])
                    sent[1000 + i] = time.perf_counter()
                    connection.commit()
                    time.sleep(PAUSE)

        writer = threading.Thread(target=write)
        writer.start()
        result = s.execute("SELECT quantity FROM orders")
        for changes in result.changes():
            now = time.perf_counter()
            quantities = changes.batch.column(0).to_pylist()
            took += [now - sent[q] for q in quantities]
            if 1000 + LATE - 1 in quantities:
                break
        writer.join()
        result.close()
    p50, p99, most = np.percentile(np.array(took) * 1e3, [50, 99, 100])
    print(
        f"{NAME:<18} {'a row, COMMIT to changes()':<28} p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"longest {most:.1f} ms ({LATE} transactions)",
        flush=True,
    )


def _memory(running: PostgresServer, rows: int, changes: int) -> None:
    """Resident memory of engine and readers while many changes go through."""
    given = options(running, "ours", scan__startup__mode="latest-offset", changelog_mode="upsert")
    with session() as s:
        table(s, "orders", given, key=True)
        s.execute(_NOWHERE)
        job = s.execute("INSERT INTO nowhere SELECT id, quantity, note FROM orders")
        with behind(running):
            pass
        done, highest = 0, []
        began = time.perf_counter()
        while done < changes:
            with Spending(running) as spending:
                running.execute("UPDATE orders SET quantity = quantity + 1")
                done += rows
                wait_for_rows(job, done)
            highest.append(spending.resident)
        seconds = time.perf_counter() - began
        job.stop()
        job.wait()
    tenths = [max(part) for part in np.array_split(highest, min(10, len(highest)))]
    print(
        f"{NAME:<18} {'memory, engine and reader':<28} "
        + ", ".join(f"{mb:.0f}" for mb in tenths)
        + f" MB at most in each tenth of {done:,} changes ({done / seconds / 1e3:.1f} k/s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
