"""How fast is a filter?

SELECT auction, price FROM bid WHERE price > 900
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from _common import alone, arguments, csv, files, nowhere, parquet, report, session, timed


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids."""
    del start
    return pa.table(
        {"auction": random.integers(0, 600_000, count), "price": random.integers(0, 1000, count)}
    )


def ask(path: Path, rows: int) -> None:
    """From one file."""
    with session() as s:
        files(s, "bid", "auction BIGINT, price BIGINT", path)
        statement = nowhere(s, "SELECT auction, price FROM bid WHERE price > 900")
        report(f"filter, {path.suffix[1:]}", rows, timed(s, statement))


def main() -> None:
    """Parquet and CSV."""
    rows = arguments(__doc__).rows
    path = parquet("filter", rows, make)
    alone(ask, path, rows)
    alone(ask, csv(path), rows)


if __name__ == "__main__":
    main()
