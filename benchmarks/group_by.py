"""How fast is GROUP BY over 600,000 keys, integers and strings?

SELECT number, COUNT(*), SUM(price) FROM bid GROUP BY number
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from _common import alone, arguments, csv, files, nowhere, parquet, report, session, timed

KEYS = 600_000


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids with both keys."""
    del start
    number = pa.array(random.integers(0, KEYS, count))
    text = pc.binary_join_element_wise("user-", number.cast(pa.string()), "")
    return pa.table({"number": number, "text": text, "price": random.integers(0, 1000, count)})


def ask(path: Path, rows: int, key: str) -> None:
    """By one key, from one file."""
    with session() as s:
        files(s, "bid", "number BIGINT, text STRING, price BIGINT", path)
        query = f"SELECT {key}, COUNT(*), SUM(price) FROM bid GROUP BY {key}"
        report(f"group by {key}, {path.suffix[1:]}", rows, timed(s, nowhere(s, query)))


def main() -> None:
    """Both keys, Parquet and CSV."""
    rows = arguments(__doc__).rows
    path = parquet("group_by", rows, make)
    for file in (path, csv(path)):
        for key in ("number", "text"):
            alone(ask, file, rows, key)


if __name__ == "__main__":
    main()
