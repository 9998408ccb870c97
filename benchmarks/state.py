"""What a step costs as state grows, and whether memory stays flat while keys come and go.

    taskset -c 0 python benchmarks/state.py [small]

* a step of 10,000 rows at 10 k, 1 M and 10 M keys (integers, strings): find the key's slot, add to two
  accumulators, read them back; promised: 10 M keys ≤ 1.5 × 1 M and ≤ 2.5 × 10 k (strings 3 ×);
* `ensure` of 600 k keys in batches of 64 k: ≥ 15 M rows/s (strings ≥ 6 M);
* one hot key in 10,000 steps: the last steps cost what the first did;
* keys sliding over ten times the live set: memory flat;
* the longest pause while 10 M keys and rows come.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.state import (
    Columns,
    ColumnsSpec,
    KeyIndex,
    KeyIndexSpec,
    Ordered,
    OrderedSpec,
    RowLists,
    RowListsSpec,
    Rows,
    RowsSpec,
    SortColumn,
    StateStore,
    Timers,
    TimersSpec,
)
from flowsql.types import BigIntType, DataType, Field, VarCharType

Ints = npt.NDArray[np.int64]

STEP = 10_000
BATCH = 1 << 16


def texts(numbers: Ints) -> pa.Array:
    """`user-…` of each number, made by Arrow."""
    return pa.compute.binary_join_element_wise("user-", pa.array(numbers).cast(pa.string()), "")


KINDS: dict[str, tuple[DataType, Callable[[Ints], pa.Array]]] = {
    "int": (BigIntType(), pa.array),
    "string": (VarCharType(), texts),
}


def resident() -> float:
    """Resident MB now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize() / 2**20


def spread(numbers: Ints) -> Ints:
    """The same numbers far apart, so that they cannot be addressed directly."""
    return (numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)


def grouped(key: DataType) -> StateStore:
    """State of a GROUP BY with two accumulators."""
    columns = ColumnsSpec("c", "k", (("count", "int64"), ("sum", "int64")))
    return StateStore.open([KeyIndexSpec("k", (key,)), columns])


def step(store: StateStore, key: DataType, array: pa.Array) -> None:
    """One step of the GROUP BY."""
    index, columns = store.table("k", KeyIndex), store.table("c", Columns)
    slots, _ = index.ensure(Keys.of([array], [key]))
    columns.add(slots, "count", 1)
    columns.add(slots, "sum", slots)
    columns.read(slots, "count")
    columns.read(slots, "sum")
    store.end_step()


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of processor time of one call: other processes do not count."""
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1e3


def fill(store: StateStore, kind: str, keys: int) -> float:
    """Bring `keys` keys in batches; returns the longest batch in ms."""
    data_type, make = KINDS[kind]
    longest = 0.0
    for at in range(0, keys, BATCH):
        array = make(spread(np.arange(at, min(at + BATCH, keys))))
        longest = max(longest, timed(partial(step, store, data_type, array)))
    return longest


def steps_by_size(kind: str, sizes: list[int]) -> None:
    """A step of 10,000 rows at several sizes of state."""
    data_type, make = KINDS[kind]
    rng = np.random.default_rng(1)
    for size in sizes:
        store = grouped(data_type)
        longest = fill(store, kind, size)
        arrays = [make(spread(rng.integers(0, size, STEP))) for _ in range(60)]
        times = [timed(partial(step, store, data_type, array)) for array in arrays][10:]
        print(
            f"{kind:7} {size:>10,} keys: step {np.median(times):6.2f} ms (best {min(times):5.2f}), "
            f"longest batch while filling {longest:6.1f} ms, {resident():6.0f} MB",
            flush=True,
        )


def _ensure(index: KeyIndex, array: pa.Array, data_type: DataType) -> None:
    index.ensure(Keys.of([array], [data_type]))


def ensure_rate(kind: str) -> None:
    """`ensure` alone."""
    data_type, make = KINDS[kind]
    rng = np.random.default_rng(2)
    index = KeyIndex(KeyIndexSpec("k", (data_type,)))
    for name, change in (("dense", np.asarray), ("spread", spread)):
        arrays = [make(change(rng.integers(0, 600_000, BATCH))) for _ in range(60)]
        times = []
        for array in arrays:
            times.append(timed(partial(_ensure, index, array, data_type)))
            index.end_step()
        print(
            f"{kind:7} {name:6} ensure 600 k keys: all {BATCH * 60 / sum(times) / 1e3:5.1f} M/s, "
            f"warm {BATCH * 30 / sum(times[30:]) / 1e3:5.1f} M/s"
        )
        index = KeyIndex(KeyIndexSpec("k", (data_type,)))


def hot_key(steps: int) -> None:
    """A join key that gets a row in every step, and is probed by one."""
    rows = Rows(RowsSpec("r", (Field("a", BigIntType()), Field("b", BigIntType()))))
    lists = RowLists(RowListsSpec("l", "r"), rows)
    store = StateStore.open(
        [
            KeyIndexSpec("k", (BigIntType(),)),
            OrderedSpec("o", "k", (SortColumn(BigIntType(nullable=False)),)),
        ]
    )
    ordered = store.table("o", Ordered)
    store.table("k", KeyIndex).ensure(Keys.of([pa.array([1])], [BigIntType()]))
    one = np.zeros(1, np.int64)
    batch = pa.record_batch([pa.array(one), pa.array(one)], names=["a", "b"])
    adds, probes, extremes = [], [], []
    for i in range(steps):
        adds.append(timed(lambda: lists.add(one, rows.append(batch))))
        probes.append(timed(lambda: lists.probe(one)))

        def extreme(i: int = i) -> None:
            ordered.add(one, [pa.array([i * 7919 % 10007])])
            ordered.min(one)

        extremes.append(timed(extreme))
        rows.end_step()
        lists.end_step()
        store.end_step()
    tenth = steps // 10
    for name, times in (("add", adds), ("probe", probes), ("min", extremes)):
        print(
            f"hot key {name:6}: first tenth {np.median(times[:tenth]) * 1e3:6.1f} µs, "
            f"last tenth {np.median(times[-tenth:]) * 1e3:6.1f} µs, longest {max(times):5.2f} ms"
        )


def sliding(kind: str, live: int) -> None:
    """Keys come and go, ten times as many as live at once."""
    data_type, make = KINDS[kind]
    key = KeyIndexSpec("k", (data_type,))
    store = StateStore.open(
        [
            key,
            ColumnsSpec("c", "k", (("count", "int64"),), (Field("v", VarCharType()),)),
            RowsSpec("r", (Field("a", BigIntType()), Field("s", VarCharType()))),
            RowListsSpec("l", "r"),
            OrderedSpec("o", "k", (SortColumn(BigIntType(nullable=False)),)),
            TimersSpec("t", "k"),
        ]
    )
    index, columns, rows = (
        store.table("k", KeyIndex),
        store.table("c", Columns),
        store.table("r", Rows),
    )
    lists, ordered, timers = (
        store.table("l", RowLists),
        store.table("o", Ordered),
        store.table("t", Timers),
    )
    window: list[tuple[Ints, Ints]] = []
    sizes: list[float] = []
    longest = 0.0
    for at in range(0, 11 * live, STEP):
        numbers = np.arange(at, at + STEP)
        array, long = make(numbers), texts(numbers + 10**15)

        def one(array: pa.Array = array, long: pa.Array = long, numbers: Ints = numbers) -> None:
            slots, _ = index.ensure(Keys.of([array], [data_type]))
            columns.write(slots, "v", long)
            new = rows.append(pa.record_batch([pa.array(numbers), long], names=["a", "s"]))
            lists.add(slots, new)
            ordered.add(slots, [pa.array(numbers)])
            timers.set(numbers + live, slots)
            window.append((slots, new))
            if len(window) * STEP > live:
                old, gone = window.pop(0)
                lists.probe(old)
                rows.remove(gone)
                assert len(timers.due(int(numbers[0]))) in (STEP, STEP - 1, 1, 0)
                index.free(old)
            store.end_step()

        longest = max(longest, timed(one))
        if (at // STEP) % max(1, live // STEP) == 0 and at:
            sizes.append(resident())
    bytes_ = {name: s.bytes >> 20 for name, s in store.stats().items()}
    print(
        f"{kind:7} sliding {live:,} live: MB after each turn {[round(s) for s in sizes]}, longest step {longest:.1f} ms, tables {bytes_} MB"
    )


def join_rows(total: int) -> None:
    """Rows of a join's two sides: memory and pauses."""
    specs = [KeyIndexSpec("k", (BigIntType(),))]
    fields = (Field("a", BigIntType()), Field("b", BigIntType()))
    specs += [RowsSpec("lr", fields), RowListsSpec("ll", "lr")]
    store = StateStore.open(specs)
    index, rows, lists = (
        store.table("k", KeyIndex),
        store.table("lr", Rows),
        store.table("ll", RowLists),
    )
    rng = np.random.default_rng(4)
    before, longest, spent = resident(), 0.0, 0.0
    for _ in batches(total):
        numbers = rng.integers(0, total // 3, BATCH)
        batch = pa.record_batch([pa.array(numbers), pa.array(numbers)], names=["a", "b"])

        def one(batch: pa.RecordBatch = batch) -> None:
            slots, _ = index.ensure(Keys.of([batch.column(0)], [BigIntType()]))
            lists.add(slots, rows.append(batch))
            store.end_step()

        took = timed(one)
        longest, spent = max(longest, took), spent + took
    print(
        f"join side of {total:,} rows, {len(index):,} keys: {resident() - before:.0f} MB, "
        f"{total / spent / 1e3:.1f} M rows/s, longest batch {longest:.1f} ms"
    )


def batches(total: int) -> Iterator[int]:
    """Starts of batches."""
    return iter(range(0, total, BATCH))


def main() -> None:
    """Everything, or the small sizes only."""
    small = "small" in sys.argv[1:]
    sizes = [10_000, 1_000_000] if small else [10_000, 1_000_000, 10_000_000]
    for kind in KINDS:
        ensure_rate(kind)
    for kind in KINDS:
        steps_by_size(kind, sizes)
    hot_key(1000 if small else 10_000)
    for kind in KINDS:
        sliding(kind, 100_000)
    join_rows(sizes[-1])


if __name__ == "__main__":
    main()
