"""What does a step of 1,000 rows cost, with a million keys of state in every table?

Scan, three filters and projections, then two branches: TUMBLE with a window aggregate; an inner join, a
left join, a GROUP BY and a materialiser in front of a sink with another key.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from _common import alone, memory, nowhere, session, watch_steps
from flowsql_connectors.blackhole.connector import BlackholeConnector

from flowsql.changelog import ChangelogMode

KEYS = 1_000_000
STEP = 1_000
FILL = 50_000
FILLED = 2_000_000  # bids before the small steps begin
MEASURED = 1_000

BID = pa.schema(
    [(n, pa.int64()) for n in ("id", "auction", "bidder", "price")] + [("ts", pa.timestamp("ms"))]
)
AUCTION = pa.schema([("id", pa.int64()), ("category", pa.int64())])
PERSON = pa.schema([("id", pa.int64()), ("town", pa.int64())])

VIEWS = """
CREATE VIEW first_view AS SELECT id, auction, bidder, price + 1 AS price, ts FROM bid WHERE price >= 0;
CREATE VIEW second_view AS SELECT id, auction, bidder, price * 2 AS price, ts FROM first_view WHERE price >= 1;
CREATE VIEW third_view AS SELECT id, auction, bidder, price - 1 AS price, ts FROM second_view WHERE price >= 2;
"""
PER_SECOND = """
SELECT window_start, window_end, bidder, COUNT(*) AS n, MAX(price) AS top
FROM TABLE(TUMBLE(TABLE third_view, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end, bidder
"""
SALES = """
SELECT auction * 3 AS code, n, total, mean FROM (
  SELECT b.auction, COUNT(*) AS n, SUM(b.price + a.category) AS total, AVG(p.town) AS mean
  FROM third_view b JOIN auction a ON b.auction = a.id LEFT JOIN person p ON b.bidder = p.id
  GROUP BY b.auction)
"""


class Feed:
    """Steps, begun anew for each reader."""

    def __init__(self, table: str) -> None:
        self._table = table

    def __iter__(self) -> Iterator[pa.RecordBatch | None]:
        return self._bids() if self._table == "bid" else self._others()

    def _bids(self) -> Iterator[pa.RecordBatch | None]:
        random = np.random.default_rng(3)
        counts = [0] * (KEYS // FILL) + [FILL] * (FILLED // FILL) + [STEP] * MEASURED
        start = 0
        for count in counts:
            if not count:
                yield None
                continue
            times = np.arange(start, start + count)
            start += count
            keys = [random.integers(0, KEYS, count) for _ in range(2)]
            columns = [times, *keys, random.integers(0, 1000, count)]
            arrays = [pa.array(c) for c in columns] + [pa.array(times, pa.timestamp("ms"))]
            yield pa.RecordBatch.from_arrays(arrays, schema=BID)

    def _others(self) -> Iterator[pa.RecordBatch]:
        schema = AUCTION if self._table == "auction" else PERSON
        for start in range(0, KEYS, FILL):
            ids = np.arange(start, start + FILL)
            yield pa.RecordBatch.from_arrays([pa.array(ids), pa.array(ids % 100)], schema=schema)


def ask() -> None:
    """Fill, then many small steps."""
    steps = watch_steps()
    # A sink that takes only upserts, so that a materialiser is needed.
    BlackholeConnector.sink_modes = lambda *_: frozenset({ChangelogMode.UPSERT})  # type: ignore[method-assign]
    with session() as s:
        watermark = "ts - INTERVAL '1' SECOND"
        s.from_changes("bid", BID, Feed("bid"), watermark=watermark, mode="append")
        for name, schema in (("auction", AUCTION), ("person", PERSON)):
            s.from_changes(name, schema, Feed(name), primary_key=["id"], mode="retract")
        s.execute(VIEWS)
        inserts = f"{nowhere(s, PER_SECOND, 'window_start, bidder')}; {nowhere(s, SALES, 'code')}"
        inserts += " ON CONFLICT DO DEDUPLICATE;"
        job = s.execute(f"EXECUTE STATEMENT SET BEGIN {inserts} END")
        job.wait()
        operators = job.status()["operators"]
    p50, p99, worst = steps.percentiles(MEASURED, 50, 99, 100)
    wall = np.percentile(steps.wall[-MEASURED:], 99)
    print(
        f"step of {STEP:,} rows, {len(operators)} operators: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst "
        f"{worst:.2f} ms of processor time; p99 {wall:.2f} ms by the clock; at most {memory()[1]:.0f} MB",
        flush=True,
    )
    for operator in operators:
        print(f"  {operator['title'][:60]:60} {operator['ms']}", flush=True)


def main() -> None:
    """Once."""
    alone(ask)


if __name__ == "__main__":
    main()
