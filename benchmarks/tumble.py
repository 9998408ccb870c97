"""How fast is counting by minute?

SELECT window_start, window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from _common import alone, arguments, csv, files, nowhere, parquet, report, session, timed

DELAY = 4_000


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """A bid every millisecond or so, up to four seconds late."""
    times = start + np.arange(count) - random.integers(0, DELAY, count)
    return pa.table({"ts": pa.array(times, pa.timestamp("ms"))})


def ask(path: Path, rows: int) -> None:
    """From one file."""
    with session() as s:
        columns = "ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '4' SECOND"
        files(s, "bid", columns, path)
        statement = nowhere(s, (__doc__ or "").split("\n\n", 1)[1])
        report(f"tumble count, {path.suffix[1:]}", rows, timed(s, statement))


def main() -> None:
    """Parquet and CSV."""
    rows = arguments(__doc__).rows
    path = parquet("tumble", rows, make)
    alone(ask, path, rows)
    alone(ask, csv(path), rows)


if __name__ == "__main__":
    main()
