"""How fast is a join of two append-only tables, and how much memory does it take?

SELECT b.auction, a.category, b.price FROM bid b JOIN auction a ON b.auction = a.id
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from _common import Chain, Node, arguments, drive, parquet, report, scan

from flowsql.changelog import ChangelogMode, Changes
from flowsql.physical.specs import Join, JoinKind, JoinSide, SideLayout
from flowsql.types import BigIntType, Field, RowType

# One auction for fifteen bids; auctions and their bids come at about the same time.
SHARE = 16


def row(*names: str) -> RowType:
    """BIGINT columns."""
    return RowType(tuple(Field(n, BigIntType()) for n in names), nullable=False)


AUCTION, BID = row("id", "category"), row("auction", "price")


def auctions(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Auctions with ascending ids."""
    ids = np.arange(start, start + count)
    return pa.table({"id": ids, "category": random.integers(0, 50, count)})


def bids(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids on the auctions of the time."""
    newest = (start + np.arange(count)) // (SHARE - 1)
    auction = np.maximum(newest + 100 - random.integers(0, 20_000, count), 0)
    return pa.table({"auction": auction, "price": random.integers(0, 1000, count)})


def feed(rows: int) -> Iterator[tuple[int, Changes, None]]:
    """Both tables side by side."""
    few = rows // SHARE
    left = scan(parquet("join_bids", rows - few, bids), BID.names)
    right = scan(parquet("join_auctions", few, auctions), AUCTION.names)
    for number, batch in enumerate(left):
        if number % (SHARE - 1) == 0 and (other := next(right, None)) is not None:
            yield 1, Changes(other), None
        yield 0, Changes(batch), None
    for batch in right:
        yield 1, Changes(batch), None


def main() -> None:
    """The auction's id is its primary key; a bid has none."""
    options = arguments(__doc__)
    few = options.rows // SHARE
    parquet("join_bids", options.rows - few, bids)
    parquet("join_auctions", few, auctions)
    append = ChangelogMode.APPEND
    spec = Join(
        JoinKind.INNER,
        JoinSide((0,), (0, 1), SideLayout.NO_UNIQUE_KEY, (), append),
        JoinSide((0,), (1,), SideLayout.KEY_IS_UNIQUE, (0,), append),
        (False,),
    )
    chain = Chain(Node(spec, [BID, AUCTION], row("auction", "price", "category"), append))
    report("append join", chain, lambda: drive(chain, feed(options.rows)))


if __name__ == "__main__":
    main()
