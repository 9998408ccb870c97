"""How fast is a join of two append-only tables, and how much memory does it take?

SELECT b.auction, a.category, b.price FROM bid b JOIN auction a ON b.auction = a.id
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from _common import (
    alone,
    arguments,
    csv,
    files,
    nowhere,
    parquet,
    report,
    session,
    timed,
    watch_steps,
)

# One auction for fifteen bids; auctions and their bids come at about the same time.
SHARE = 16


def auctions(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Auctions with ascending ids."""
    ids = np.arange(start, start + count)
    return pa.table({"id": ids, "category": random.integers(0, 50, count)})


def bids(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids on the auctions of the time."""
    newest = (start + np.arange(count)) // (SHARE - 1)
    auction = np.maximum(newest + 100 - random.integers(0, 20_000, count), 0)
    return pa.table({"auction": auction, "price": random.integers(0, 1000, count)})


def ask(bid: Path, auction: Path, rows: int) -> None:
    """The auction's id is its primary key; a bid has none."""
    with session() as s:
        files(s, "bid", "auction BIGINT, price BIGINT", bid)
        files(s, "auction", "id BIGINT, category BIGINT, PRIMARY KEY (id) NOT ENFORCED", auction)
        statement = nowhere(s, (__doc__ or "").split("\n\n", 1)[1])
        steps = watch_steps(memory_every=1)
        taken = timed(s, statement)
        report(f"append-only join, {bid.suffix[1:]}", rows, taken)
        print(f"  resident after its last step {steps.resident[-1]:.0f} MB", flush=True)


def main() -> None:
    """Parquet and CSV."""
    rows = arguments(__doc__).rows
    few = rows // SHARE
    bid = parquet("join_bids", rows - few, bids)
    auction = parquet("join_auctions", few, auctions)
    alone(ask, bid, auction, rows)
    alone(ask, csv(bid), csv(auction), rows)


if __name__ == "__main__":
    main()
