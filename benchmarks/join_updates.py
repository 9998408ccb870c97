"""How fast is a join where a fifth of the rows on both sides are updates?

SELECT b.id, a.category, b.price FROM bid b JOIN auction a ON b.auction = a.id
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from _common import Chain, Node, arguments, drive, parquet, report, scan

from flowsql.changelog import UPDATE_AFTER, UPDATE_BEFORE, ChangelogMode, Changes
from flowsql.physical.specs import Join, JoinKind, JoinSide, SideLayout
from flowsql.types import BigIntType, Field, RowType

SHARE = 16
BLOCK = 10  # eight inserts, then the update of a row that came a thousand rows before


def row(*names: str) -> RowType:
    """BIGINT columns."""
    return RowType(tuple(Field(n, BigIntType()) for n in names), nullable=False)


AUCTION, BID = row("id", "category"), row("id", "auction", "price")
Ints = npt.NDArray[np.int64]


def changelog(start: int, count: int) -> tuple[Ints, Ints, npt.NDArray[np.int8]]:
    """(id, version, kind) of each row."""
    at = np.arange(start, start + count)
    block, place = at // BLOCK, at % BLOCK
    fresh = 8 * block + np.minimum(place, 7)
    old = 8 * (block - 100) + block % 8
    updates = (place >= 8) & (old >= 0)
    kinds = np.zeros(count, np.int8)
    kinds[updates & (place == 8)] = UPDATE_BEFORE
    kinds[updates & (place == 9)] = UPDATE_AFTER
    # Before the first update there are two more inserts of rows that nobody updates.
    early = (place >= 8) & (old < 0)
    ids = np.where(updates, old, np.where(early, -at - 1, fresh))
    return ids, (kinds == UPDATE_AFTER).astype(np.int64), kinds


def auctions(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """An update changes the category."""
    del random
    ids, version, kinds = changelog(start, count)
    return pa.table({"id": ids, "category": (ids * 7 + version) % 50, "kind": kinds})


def bids(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """An update changes the price."""
    del random
    ids, version, kinds = changelog(start, count)
    auction = np.maximum(np.abs(ids) // (SHARE - 1) - np.abs(ids * 7919) % 10_000, 0)
    return pa.table(
        {"id": ids, "auction": auction, "price": (ids * 13 + version) % 1000, "kind": kinds}
    )


def feed(rows: int) -> Iterator[tuple[int, Changes, None]]:
    """Both tables side by side."""
    few = rows // SHARE
    left = scan(parquet("updates_bids", rows - few, bids), [*BID.names, "kind"])
    right = scan(parquet("updates_auctions", few, auctions), [*AUCTION.names, "kind"])
    for number, batch in enumerate(left):
        if number % (SHARE - 1) == 0 and (other := next(right, None)) is not None:
            yield 1, changes(other), None
        yield 0, changes(batch), None
    for batch in right:
        yield 1, changes(batch), None


def changes(batch: pa.RecordBatch) -> Changes:
    """The last column holds the kinds."""
    kinds = batch.column(batch.num_columns - 1)
    return Changes(batch.select(list(range(batch.num_columns - 1))), kinds)


def main() -> None:
    """Both tables have a primary key; the auction's is the join key."""
    options = arguments(__doc__)
    few = options.rows // SHARE
    parquet("updates_bids", options.rows - few, bids)
    parquet("updates_auctions", few, auctions)
    retract = ChangelogMode.RETRACT
    for layout, unique in ((SideLayout.HAS_UNIQUE_KEY, (0,)), (SideLayout.NO_UNIQUE_KEY, ())):
        spec = Join(
            JoinKind.INNER,
            JoinSide((1,), (0, 2), layout, unique, retract),
            JoinSide((0,), (1,), SideLayout.KEY_IS_UNIQUE, (0,), retract),
            (False,),
        )
        chain = Chain(Node(spec, [BID, AUCTION], row("id", "price", "category")))
        report(
            f"join with updates, bids: {layout.value}",
            chain,
            lambda chain=chain: drive(chain, feed(options.rows)),
        )
        orphans = chain.nodes[0].operator.context.counters.as_dict()
        assert not orphans, orphans


if __name__ == "__main__":
    main()
