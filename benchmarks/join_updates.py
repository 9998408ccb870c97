"""How fast is a join where a fifth of the rows on both sides are updates?

SELECT b.id, a.category, b.price FROM bid b JOIN auction a ON b.auction = a.id
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from _common import alone, arguments, nowhere, parquet, report, session, timed

from flowsql.changelog import UPDATE_AFTER, UPDATE_BEFORE, Changes

SHARE = 16
STEPS = 500_000  # rows of a step, both tables together
BLOCK = 10  # eight inserts, then the update of a row that came a thousand rows before
AUCTION = pa.schema([("id", pa.int64()), ("category", pa.int64())])
BID = pa.schema([("id", pa.int64()), ("auction", pa.int64()), ("price", pa.int64())])
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


class Feed:
    """A Parquet file with a column of kinds, as steps; can be iterated again."""

    def __init__(self, path: Path, columns: Sequence[str], rows: int) -> None:
        self._path = path
        self._columns = [*columns, "kind"]
        self._rows = rows

    def __iter__(self) -> Iterator[Changes]:
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(self._rows, columns=self._columns, use_threads=False):
                kinds = batch.column(batch.num_columns - 1)
                yield Changes(batch.select(range(batch.num_columns - 1)), kinds)


def ask(bid: Path, auction: Path, rows: int, key: Sequence[str]) -> None:
    """The auction's id is its primary key; the bids have one or none."""
    few = STEPS // SHARE
    with session() as s:
        feed = Feed(bid, BID.names, STEPS - few)
        s.from_changes("bid", BID, feed, primary_key=key, mode="retract")
        feed = Feed(auction, AUCTION.names, few)
        s.from_changes("auction", AUCTION, feed, primary_key=["id"], mode="retract")
        statement = nowhere(s, (__doc__ or "").split("\n\n", 1)[1])
        name = "with a key" if key else "without a key"
        report(f"join with updates, bids {name}, parquet", rows, timed(s, statement))
        counts = s.jobs[-1].status()["orphan_retractions"]
        assert not counts, counts


def main() -> None:
    """With the bids' key and without."""
    rows = arguments(__doc__).rows
    few = rows // SHARE
    bid = parquet("updates_bids", rows - few, bids)
    auction = parquet("updates_auctions", few, auctions)
    for key in (["id"], []):
        alone(ask, bid, auction, rows, key)


if __name__ == "__main__":
    main()
