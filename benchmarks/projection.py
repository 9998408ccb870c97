"""How fast are expressions?

Ten usual functions together, then four expensive ones each by itself, over events with 100,000
distinct texts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from _common import alone, arguments, files, nowhere, parquet, report, session, timed

USUAL = """
SELECT UPPER(name),
       SUBSTRING(name, 2, 5),
       CONCAT(name, '-', tag),
       CAST(amount AS DECIMAL(12, 2)),
       ABS(balance),
       ROUND(rate, 2),
       CASE WHEN balance > 0 THEN 'credit' WHEN balance < 0 THEN 'debit' ELSE 'none' END,
       COALESCE(tag, name),
       TIMESTAMPDIFF(MINUTE, opened, closed),
       EXTRACT(HOUR FROM closed)
FROM event
"""

EXPENSIVE = {
    "REGEXP_EXTRACT": "REGEXP_EXTRACT(name, '([a-z]+)-([0-9]+)', 2)",
    "JSON_VALUE": "JSON_VALUE(document, '$.user.id')",
    "DATE_FORMAT": "DATE_FORMAT(closed, 'yyyy-MM-dd HH:mm')",
    "SPLIT_INDEX": "SPLIT_INDEX(name, '-', 1)",
}

COLUMNS = (
    "name STRING, tag STRING, amount STRING, balance BIGINT, rate DOUBLE, document STRING, "
    "opened TIMESTAMP(3), closed TIMESTAMP(3)"
)


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Events."""
    number = random.integers(0, 100_000, count)
    names = pa.array([f"user-{n:05}" for n in range(100_000)])
    documents = pa.array(
        [f'{{"user": {{"id": {n}, "name": "u{n}"}}, "ok": true}}' for n in range(100_000)]
    )
    amounts = pa.array([f"{n / 100:.2f}" for n in range(100_000)])
    opened = 1_700_000_000_000 + start + np.arange(count)
    closed = opened + random.integers(0, 7_200_000, count)
    tag = pa.array([f"t{n}" for n in range(1000)]).take(pa.array(number % 1000))
    return pa.table(
        {
            "name": names.take(pa.array(number)),
            "tag": pc.if_else(pa.array(number % 10 == 0), pa.scalar(None, pa.string()), tag),
            "amount": amounts.take(pa.array(random.integers(0, 100_000, count))),
            "balance": random.integers(-1000, 1000, count),
            "rate": random.random(count) * 100,
            "document": documents.take(pa.array(number)),
            "opened": pa.array(opened, pa.timestamp("ms")),
            "closed": pa.array(closed, pa.timestamp("ms")),
        }
    )


def ask(path: Path, rows: int, name: str, query: str) -> None:
    """One projection over the whole file."""
    with session() as s:
        files(s, "event", COLUMNS, path)
        report(f"projection, {name}", rows, timed(s, nowhere(s, query)))


def main() -> None:
    """The ten together, then the others one by one."""
    rows = arguments(__doc__).rows
    path = parquet("projection", rows, make)
    alone(ask, path, rows, "ten functions", USUAL)
    for name, expression in EXPENSIVE.items():
        alone(ask, path, rows, name, f"SELECT {expression} FROM event")


if __name__ == "__main__":
    main()
