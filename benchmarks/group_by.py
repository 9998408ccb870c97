"""How fast is GROUP BY over 600,000 keys, integers and strings?

SELECT k, COUNT(*), SUM(price), MIN(price), MAX(price) FROM bid GROUP BY k
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from _common import Chain, Node, arguments, drive, parquet, report, scan

from flowsql.changelog import ChangelogMode, Changes
from flowsql.expr import AggregateCall, Column
from flowsql.physical.specs import GroupAggregate
from flowsql.types import BigIntType, DataType, Field, RowType, VarCharType

KEYS = 600_000
PRICE = Column(type=BigIntType(), index=1, name="price")


def make(random: np.random.Generator, start: int, count: int) -> pa.Table:
    """Bids with both keys."""
    del start
    number = pa.array(random.integers(0, KEYS, count))
    return pa.table(
        {
            "number": number,
            "text": pc.binary_join_element_wise("user-", number.cast(pa.string()), ""),
            "price": random.integers(0, 1000, count),
        }
    )


def run(rows: int, key: str, key_type: DataType) -> None:
    """One query."""
    path = parquet("group_by", rows, make)
    bid = RowType((Field(key, key_type), Field("price", BigIntType())), nullable=False)
    calls = [
        AggregateCall("COUNT", (), distinct=False, filter=None, type=BigIntType(nullable=False))
    ]
    calls += [
        AggregateCall(f, (PRICE,), distinct=False, filter=None, type=BigIntType())
        for f in ("SUM", "MIN", "MAX")
    ]
    fields = [Field(key, key_type), *(Field(f"a{i}", c.type) for i, c in enumerate(calls))]
    output = RowType(tuple(fields), nullable=False)
    spec = GroupAggregate((0,), tuple(calls), ChangelogMode.APPEND)
    chain = Chain(Node(spec, [bid], output))
    batches = ((0, Changes(b), None) for b in scan(path, bid.names))
    report(f"group by {key}", chain, lambda: drive(chain, batches))


def main() -> None:
    """Both keys."""
    options = arguments(__doc__)
    run(options.rows, "number", BigIntType())
    run(options.rows, "text", VarCharType())


if __name__ == "__main__":
    main()
