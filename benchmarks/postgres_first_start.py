"""How much memory does the first start on a large table need, where output waits until it is consistent?

A narrow table of 20 M rows, read to its end in mode `initial`; nothing is shown before the tables equal the
server at a commit, so every row waits. Engine and readers may have 2 GiB each of memory of their own (RLIMIT_DATA),
and `memory.process` is what such a limit would make it. What they take together is watched.
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
import time
from pathlib import Path

from _postgres import PostgresServer, _children, options, server, session

NAME = "postgres_first_start"
LIMIT = 2 << 30
TABLE = "CREATE TABLE orders (id bigint PRIMARY KEY, amount int)"
PIECE = 1_000_000


def main() -> None:
    """One line: rows, seconds, highest memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--version", type=int, default=15)
    asked = parser.parse_args()
    with server(NAME, asked.version) as running:
        running.execute(TABLE)
        for start in range(1, asked.rows + 1, PIECE):
            end = min(start + PIECE - 1, asked.rows)
            running.execute(
                f"INSERT INTO orders SELECT g, g FROM generate_series({start}, {end}) g"
            )
        running.execute("VACUUM ANALYZE orders")
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
        _read(running, asked.rows)


def _read(running: PostgresServer, rows: int) -> None:
    watch = _Watch()
    with session() as s:
        s.execute(f"SET 'memory.process' = '{LIMIT * 6 // 10}'")
        given = options(running, "first_start")
        columns = "id BIGINT, amount INT, PRIMARY KEY (id) NOT ENFORCED"
        s.execute(f"CREATE TABLE orders ({columns}) WITH ({given})")
        s.execute("CREATE TABLE nowhere (id BIGINT, amount INT) WITH ('connector' = 'blackhole')")
        began, spent = time.perf_counter(), time.process_time()
        job = s.execute("INSERT INTO nowhere SELECT * FROM orders")
        waiting = 0
        while (status := job.status()).get("rows_out", 0) < rows:
            waiting = max(waiting, status.get("pending_rows", 0))
            if status["state"] in {"failed", "ended"}:
                raise SystemExit(str(job.error))
            time.sleep(0.1)
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
        job.stop()
        job.wait()
    own, all_ = watch.end()
    print(
        f"{NAME:<22} {rows / 1e6:.1f} M rows in {seconds:.0f} s ({spent:.1f} s of the engine's processor time),"
        f" {waiting / 1e6:.1f} M of them waiting; highest together: {own:.0f} MB of their own, {all_:.0f} MB with files",
        flush=True,
    )


class _Watch:
    """The highest memory of this process and its readers, in MB: of their own, and in all."""

    def __init__(self) -> None:
        self._highest = [0.0, 0.0]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> tuple[float, float]:
        """Stop watching."""
        self._over.set()
        self._thread.join()
        own, all_ = self._highest
        return own, all_

    def _run(self) -> None:
        while not self._over.wait(0.1):
            sums = [0.0, 0.0]
            for pid in [os.getpid(), *_children(os.getpid())]:
                try:
                    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                except OSError:
                    continue
                if "\nName:\tpostgres" in f"\n{status}" or "setpriv" in status:
                    continue
                for i, field in enumerate(("RssAnon", "VmRSS")):
                    for line in status.splitlines():
                        if line.startswith(f"{field}:"):
                            sums[i] += int(line.split()[1]) / 1e3
            self._highest = [max(a, b) for a, b in zip(self._highest, sums, strict=True)]


if __name__ == "__main__":
    main()
