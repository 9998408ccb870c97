"""Files of bids and auctions, written while a job reads them; and what the job must answer.

`python -m tests.recovery.jobs.market FOLDER PAUSE` writes until FOLDER/stop is there.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.recovery.jobs.written import Written

BIDS = 200
AUCTIONS = 40
# A file spans less than the watermark's delay: it may be found after the one that follows it.
SPAN_MS = 1800
START = datetime(2025, 3, 1)  # noqa: DTZ001 - a TIMESTAMP has no zone
TICK = np.datetime64("2025-03-01", "ms")

SQL = """
SET 'pipeline.name' = 'market';
SET 'execution.checkpointing.dir' = '{root}/jobs';
SET 'execution.checkpointing.interval' = '40 ms';
SET 'execution.checkpointing.num-retained' = '2';
CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '4' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '{root}/bid', 'format' = 'parquet',
    'source.monitor-interval' = '20 ms');
CREATE TABLE auction (id BIGINT, item STRING, seller BIGINT, category BIGINT,
    PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '{root}/auction', 'format' = 'parquet',
    'source.monitor-interval' = '20 ms');
CREATE TABLE sales (auction BIGINT, item STRING, price BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{root}/sales', 'format' = 'parquet');
CREATE TABLE per_minute (window_start TIMESTAMP(3), window_end TIMESTAMP(3), bidder BIGINT,
    n BIGINT, top BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{root}/per_minute', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
  INSERT INTO sales SELECT b.auction, a.item, b.price
    FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10;
  INSERT INTO per_minute SELECT window_start, window_end, bidder, COUNT(*), MAX(price)
    FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
    GROUP BY window_start, window_end, bidder;
END;
"""


def bids(number: int) -> pa.Table:
    """The file of that number; some of its auctions come only later."""
    chance = np.random.default_rng(number)
    ids = chance.integers(0, AUCTIONS * (number // 8 + 2), BIDS)
    at = TICK + (number * SPAN_MS + chance.integers(0, SPAN_MS, BIDS)).astype("timedelta64[ms]")
    return pa.table({
        "auction": ids,
        "bidder": chance.integers(0, 30, BIDS),
        "price": number * BIDS + np.arange(BIDS),
        "channel": pa.array(np.array(["web", "app"])[chance.integers(0, 2, BIDS)]),
        "ts": pa.array(at, pa.timestamp("ms")),
    })  # fmt: skip


def auctions(number: int) -> pa.Table:
    """The file of that number."""
    ids = np.arange(number * AUCTIONS, (number + 1) * AUCTIONS)
    return pa.table({
        "id": ids,
        "item": [f"item {i}" for i in ids.tolist()],
        "seller": ids % 7,
        "category": 8 + ids * 7919 % 5,
    })  # fmt: skip


class Market(Written):
    """The folder: input, output, and the process that writes the input."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "market")
        for name in ("bid", "auction"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.file = root / "market.sql"
        if not self.file.exists():
            self.file.write_text(SQL.format(root=root))

    def write(self, number: int) -> None:
        """Add the bids of that number, and now and then auctions."""
        if number % 8 == 0:
            self._put("auction", number // 8, auctions(number // 8))
        self._put("bid", number, bids(number))

    def _put(self, table: str, number: int, rows: pa.Table) -> None:
        hidden = self.root / table / f".{number:06}"
        pq.write_table(rows, hidden)
        hidden.rename(self.root / table / f"{number:06}.parquet")

    def files(self, table: str) -> list[Path]:
        """Those that a reader may see."""
        return sorted(p for p in (self.root / table).iterdir() if p.name[0] != ".")

    def given(self, table: str) -> list[dict[str, object]]:
        """The rows of the input."""
        return [r for p in self.files(table) for r in pq.read_table(p).to_pylist()]

    def sales(self) -> Counter[tuple[object, ...]]:
        """What the sink holds."""
        found = [pq.read_table(p) for p in self.files("sales")]
        rows = [tuple(r.values()) for t in found for r in t.to_pylist()]
        return Counter(rows)

    def per_minute(self) -> Counter[tuple[object, ...]]:
        """What the sink holds."""
        lines = [line for p in self.files("per_minute") for line in p.read_text().splitlines()]
        rows = (json.loads(line) for line in lines)
        return Counter(
            (datetime.fromisoformat(r["window_start"]), datetime.fromisoformat(r["window_end"]),
             r["bidder"], r["n"], r["top"])
            for r in rows
        )  # fmt: skip

    def expected_sales(self) -> Counter[tuple[object, ...]]:
        """The query over the input."""
        items = {a["id"]: a["item"] for a in self.given("auction") if a["category"] == 10}
        return Counter(
            (b["auction"], items[b["auction"]], b["price"])
            for b in self.given("bid")
            if b["auction"] in items
        )

    def expected_per_minute(self, watermark: datetime | None) -> Counter[tuple[object, ...]]:
        """The query over the input, for the windows that the watermark has closed; None: all."""
        windows: dict[tuple[datetime, int], list[int]] = {}
        minute = timedelta(minutes=1)
        for bid in self.given("bid"):
            start = START + (bid["ts"] - START) // minute * minute  # type: ignore[operator]
            windows.setdefault((start, bid["bidder"]), []).append(bid["price"])  # type: ignore[arg-type, index]
        return Counter(
            (start, start + minute, bidder, len(prices), max(prices))
            for (start, bidder), prices in windows.items()
            if watermark is None or start + minute - timedelta(milliseconds=1) <= watermark
        )

    def final_watermark(self) -> datetime:
        """Behind the last bid."""
        return max(b["ts"] for b in self.given("bid")) - timedelta(seconds=4)  # type: ignore[type-var, operator]


def main() -> None:
    """The process that writes."""
    market = Market(Path(sys.argv[1]))
    number = 0
    while not (market.root / "stop").exists():
        market.write(number)
        number += 1
        time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    main()
