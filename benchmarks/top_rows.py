"""How fast are Top-N and deduplication of bids by auction?

SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS n FROM bid)
WHERE n <= 1 (or 10); ORDER BY ts DESC: the last bid of each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from _common import alone, arguments, files, nowhere, parquet, report, session, timed

# As in Nexmark an auction is bid for while it is among the newest; about 15 bids each.
BIDS = 15
OPEN = 1_000


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids in order of time."""
    number = np.arange(start, start + count)
    return pa.table(
        {
            "auction": number // BIDS + random.integers(0, OPEN, count),
            "bidder": random.integers(0, 1_000_000, count),
            "price": random.integers(100, 10_000_000, count),
            "ts": pa.array(number * 100 + 1_600_000_000_000_000, pa.timestamp("us")),
        }
    )


def ask(path: Path, rows: int, what: str, order: str, last: int) -> None:
    """The first rows of each auction."""
    with session() as s:
        schema = "auction BIGINT, bidder BIGINT, price BIGINT, ts TIMESTAMP(3)"
        files(s, "bid", f"{schema}, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND", path)
        query = (
            "SELECT auction, bidder, price, ts FROM (SELECT *, ROW_NUMBER() OVER "
            f"(PARTITION BY auction ORDER BY {order}) AS n FROM bid) WHERE n <= {last}"
        )
        report(what, rows, timed(s, nowhere(s, query)))


def main() -> None:
    """From Parquet."""
    rows = arguments(__doc__).rows
    path = parquet("top_rows", rows, make)
    for what, order, last in (
        ("highest bid", "price DESC", 1),
        ("10 highest bids", "price DESC", 10),
        ("first bid", "ts", 1),
        ("last bid", "ts DESC", 1),
    ):
        alone(ask, path, rows, what, order, last)


if __name__ == "__main__":
    main()
