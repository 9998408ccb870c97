"""What does a step of 1,000 rows cost, with a million keys in every table?

Scan, three filters and projections, then two branches: TUMBLE with a window aggregate; an inner join, a
left join, a GROUP BY and a sink materialiser.
"""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
from _common import Chain, Node, arguments

from flowsql.changelog import ChangelogMode, Changes, Marks
from flowsql.expr import AggregateCall, Column, Expression, bind_call, number_literal
from flowsql.physical.specs import (
    Filter,
    GroupAggregate,
    Join,
    JoinKind,
    JoinSide,
    Project,
    SideLayout,
    SinkMaterialize,
    TumbleAssign,
    WindowAggregate,
)
from flowsql.types import BigIntType, DataType, Field, RowType, TimestampType

KEYS = 1_000_000
STEP = 1_000
BIG, TIME = BigIntType(), TimestampType(precision=3)
APPEND, RETRACT = ChangelogMode.APPEND, ChangelogMode.RETRACT
COUNT = AggregateCall("COUNT", (), distinct=False, filter=None, type=BigIntType(nullable=False))


def row(**columns: DataType) -> RowType:
    """A row type."""
    return RowType(tuple(Field(n, t) for n, t in columns.items()), nullable=False)


BID = row(id=BIG, auction=BIG, bidder=BIG, price=BIG, ts=TIME)


def column(of: RowType, name: str) -> Column:
    """A column by name."""
    at = of.index(name)
    return Column(type=of.types[at], index=at, name=name)


def call(function: str, of: RowType, name: str) -> AggregateCall:
    """An aggregate over BIGINT."""
    return AggregateCall(function, (column(of, name),), distinct=False, filter=None, type=BIG)


def linear() -> list[Node]:
    """Three filters, each with a projection behind."""
    nodes = []
    for bound in (0, 1, 2):
        condition = bind_call(">=", [column(BID, "price"), number_literal(str(bound))], None)
        nodes.append(Node(Filter(condition), [BID], BID, APPEND))
        price = bind_call("+", [column(BID, "price"), number_literal("1")], None)
        expressions: list[Expression] = [column(BID, n) for n in BID.names]
        expressions[3] = price
        nodes.append(Node(Project(tuple(expressions)), [BID], BID, APPEND))
    return nodes


def windowed() -> list[Node]:
    """TUMBLE and its aggregate by bidder."""
    window = RowType((*BID.fields, Field("window_start", TIME), Field("window_end", TIME)))
    bounds = ("window_start", "window_end")
    output = row(bidder=BIG, n=COUNT.type, top=BIG, window_start=TIME, window_end=TIME)
    spec = WindowAggregate((2,), (COUNT, call("MAX", BID, "price")), 5, 6, bounds)
    return [
        Node(TumbleAssign(4, 1_000, 0, bounds), [BID], window, APPEND),
        Node(spec, [window], output, APPEND),
    ]


def joined() -> list[Node]:
    """Inner join, left join, GROUP BY, materialiser."""
    auction, person = row(id=BIG, category=BIG), row(id=BIG, town=BIG)
    first = row(id=BIG, auction=BIG, bidder=BIG, price=BIG, category=BIG)
    second = row(id=BIG, auction=BIG, price=BIG, category=BIG, town=BIG)
    sides = (
        JoinSide((1,), (0, 1, 2, 3), SideLayout.HAS_UNIQUE_KEY, (0,), APPEND),
        JoinSide((0,), (1,), SideLayout.KEY_IS_UNIQUE, (0,), RETRACT),
    )
    inner = Join(JoinKind.INNER, *sides, (False,))
    sides = (
        JoinSide((2,), (0, 1, 3, 4), SideLayout.HAS_UNIQUE_KEY, (0,), RETRACT),
        JoinSide((0,), (1,), SideLayout.KEY_IS_UNIQUE, (0,), RETRACT),
    )
    left = Join(JoinKind.LEFT, *sides, (False,))
    calls = (COUNT, call("SUM", second, "price"), call("AVG", second, "price"))
    grouped = row(auction=BIG, n=COUNT.type, total=BIG, mean=BIG)
    return [
        Node(inner, [BID, auction], first),
        Node(left, [first, person], second),
        Node(GroupAggregate((1,), calls, RETRACT), [second], grouped),
        Node(SinkMaterialize((0,)), [grouped], grouped),
    ]


def bids(random: np.random.Generator, start: int, count: int) -> Changes:
    """A batch of bids, a millisecond apart."""
    times = np.arange(start, start + count)
    keys = [random.integers(0, KEYS, count) for _ in range(2)]
    columns = [times, *keys, random.integers(0, 1000, count)]
    arrays = [pa.array(c) for c in columns] + [pa.array(times * 1000, pa.timestamp("us"))]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(BID.names))
    return Changes(batch, marks=Marks(times - 1))


def load(chain: Chain, port: int, at: int) -> None:
    """A million rows of a table."""
    for start in range(0, KEYS, 50_000):
        ids = np.arange(start, start + 50_000)
        names = list(chain.nodes[at].output.names[:2])
        batch = pa.RecordBatch.from_arrays([pa.array(ids), pa.array(ids % 100)], names=names)
        chain.push(Changes(batch), port, at)
    chain.end_step()


def main() -> None:
    """Fill, then many small steps."""
    options = arguments(__doc__, 2_000_000)
    head, window, rest = Chain(*linear()), Chain(*windowed()), Chain(*joined())
    load(rest, 1, 0)
    load(rest, 1, 1)
    random = np.random.default_rng(3)
    spent: list[float] = []

    def step(start: int, count: int) -> None:
        batch = bids(random, start, count)
        begun = time.process_time()
        out: list[Changes] = [batch]
        for node in head.nodes:
            out = [o for c in out for o in node.operator.process(0, c)]
        for chain in (window, rest):
            for changes in out:
                chain.push(changes)
            chain.end_step(start + count - 1 if chain is window else None)
        for node in head.nodes:
            node.store.end_step()
        spent.append(time.process_time() - begun)

    start = 0
    while start < options.rows:
        step(start, 50_000)
        start += 50_000
    spent.clear()
    for _ in range(1_000):
        step(start, STEP)
        start += STEP
    times = np.sort(np.array(spent)) * 1e3
    print(
        f"step of {STEP:,} rows: p50 {times[len(times) // 2]:.2f} ms, "
        f"p99 {times[int(len(times) * 0.99)]:.2f} ms, worst {times[-1]:.2f} ms"
    )


if __name__ == "__main__":
    main()
