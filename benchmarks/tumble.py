"""How fast is counting by minute?

SELECT window_start, window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from _common import Chain, Node, arguments, drive, parquet, report, scan

from flowsql.changelog import NO_WATERMARK, ChangelogMode, Changes, Marks
from flowsql.expr import AggregateCall
from flowsql.physical.specs import TumbleAssign, WindowAggregate
from flowsql.types import BigIntType, Field, RowType, TimestampType

TIME = TimestampType(precision=3)
BID = RowType((Field("ts", TIME),), nullable=False)
DELAY = 4_000


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """A bid every millisecond or so, up to four seconds late."""
    times = start + np.arange(count) - random.integers(0, DELAY, count)
    return pa.table({"ts": pa.array(times * 1000, pa.timestamp("us"))})


def feed(rows: int) -> Iterator[tuple[int, Changes, int]]:
    """Batches with the watermark before each row, as a scan gives them."""
    highest = NO_WATERMARK
    for batch in scan(parquet("tumble", rows, make), BID.names):
        times = batch.column(0).cast(pa.int64()).to_numpy() // 1000 - DELAY
        running = np.maximum.accumulate(times)
        marks = np.empty_like(running)
        marks[0] = highest
        np.maximum(running[:-1], highest, out=marks[1:])
        highest = max(highest, int(running[-1]))
        yield 0, Changes(batch, marks=Marks(marks)), highest


def main() -> None:
    """The planner keeps only the window columns that are read."""
    options = arguments(__doc__)
    parquet("tumble", options.rows, make)
    columns = ("window_start", "window_end")
    window = RowType((*BID.fields, *(Field(c, TIME) for c in columns)), nullable=False)
    count = AggregateCall("COUNT", (), distinct=False, filter=None, type=BigIntType(nullable=False))
    output = RowType((Field("n", count.type), *window.fields[1:]), nullable=False)
    chain = Chain(
        Node(TumbleAssign(0, 60_000, 0, columns), [BID], window, ChangelogMode.APPEND),
        Node(WindowAggregate((), (count,), 1, 2, columns), [window], output, ChangelogMode.APPEND),
    )
    report("tumble count", chain, lambda: drive(chain, feed(options.rows)))


if __name__ == "__main__":
    main()
