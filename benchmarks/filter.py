"""How fast is a filter over Parquet?

SELECT auction, price FROM bid WHERE price > 900
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from _common import Chain, Node, arguments, drive, parquet, report, scan

from flowsql.changelog import ChangelogMode, Changes
from flowsql.expr import Column, bind_call, number_literal
from flowsql.physical.specs import Filter
from flowsql.types import BigIntType, Field, RowType

BID = RowType((Field("auction", BigIntType()), Field("price", BigIntType())), nullable=False)


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids."""
    del start
    return pa.table(
        {"auction": random.integers(0, 600_000, count), "price": random.integers(0, 1000, count)}
    )


def main() -> None:
    """Make, run, print."""
    options = arguments(__doc__)
    path = parquet("filter", options.rows, make)
    price = Column(type=BigIntType(), index=1, name="price")
    condition = bind_call(">", [price, number_literal("900")], None)
    chain = Chain(Node(Filter(condition), [BID], BID, ChangelogMode.APPEND))
    batches = ((0, Changes(b), None) for b in scan(path, BID.names))
    report("filter", chain, lambda: drive(chain, batches))


if __name__ == "__main__":
    main()
