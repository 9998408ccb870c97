"""How fast are the rows read that a table of PostgreSQL has?

Eight columns, in chunks as they are cut by default and in Flink's, by one reader and by two; the job
goes from its start to its end, into nothing: what it takes to begin is in the rate.
"""

from __future__ import annotations

import argparse

from _postgres import (
    ROWS,
    TABLE,
    PostgresServer,
    Spending,
    options,
    server,
    session,
    table,
    wait_for_rows,
)

NAME = "postgres_snapshot"
TURNS = 2


def main() -> None:
    """Every way of reading, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--version", type=int, default=15)
    asked = parser.parse_args()
    with server(NAME, asked.version) as running:
        running.execute(TABLE)
        running.execute(ROWS.format(1, asked.rows))
        running.execute("VACUUM ANALYZE orders")
        running.execute("CHECKPOINT")
        for _ in range(TURNS):
            for readers, chunk in ((1, None), (1, 8_096), (2, None)):
                _read(running, asked.rows, readers, chunk)


def _read(running: PostgresServer, rows: int, readers: int, chunk: int | None) -> None:
    size = {} if chunk is None else {"scan__incremental__snapshot__chunk__size": str(chunk)}
    given = options(running, "snapshot", scan__startup__mode="snapshot", **size)
    with session() as s:
        s.execute(f"SET 'parallelism.default' = '{readers}'")
        table(s, "orders", given, key=True)
        columns = (
            "id BIGINT, customer INT, name STRING, amount DECIMAL(10, 2), quantity INT, "
            "status STRING, ts TIMESTAMP(3), note STRING"
        )
        s.execute(f"CREATE TABLE nowhere ({columns}) WITH ('connector' = 'blackhole')")
        with Spending(running) as spending:
            job = s.execute("INSERT INTO nowhere SELECT * FROM orders")
            wait_for_rows(job, rows)
        job.wait()
    cut = "default chunks" if chunk is None else f"chunks of {chunk:,}"
    what = f"{readers} reader{'s' * (readers > 1)}, {cut}"
    client = spending.spent["engine"] + spending.spent["readers"]
    print(
        f"{NAME:<18} {what:<28} {rows / spending.seconds / 1e3:7.0f} k rows/s by the clock, "
        f"{rows / client / 1e3:.0f} k by processor time of ours ({rows:,}; {spending}; "
        f"{spending.resident:.0f} MB at most)",
        flush=True,
    )


if __name__ == "__main__":
    main()
