"""What does a step cost as state grows, and does memory stay flat while keys come and go?

SELECT k, COUNT(*), SUM(v) FROM t GROUP BY k, fed by `from_changes`:

* a step of 10,000 rows at 10 k, 1 M and 10 M keys; promised: at 10 M keys at most 1.5 times that at
  1 M and 2.5 times that at 10 k (strings 3 times);
* one hot key in 10,000 steps: the last steps cost what the first did;
* keys sliding over ten times the live set: memory flat.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from _common import alone, memory, nowhere, session, watch_steps

from flowsql.changelog import DELETE, Changes

Ints = npt.NDArray[np.int64]

STEP = 10_000
FILL = 100_000
MEASURED = 300


def texts(numbers: Ints) -> pa.Array:
    """`user-…` of each number."""
    return pc.binary_join_element_wise("user-", pa.array(numbers).cast(pa.string()), "")


def spread(numbers: Ints) -> pa.Array:
    """The same numbers far apart, so that they cannot be addressed directly."""
    return pa.array((numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64))


KINDS: dict[str, Callable[[Ints], pa.Array]] = {"integer": spread, "string": texts}


def batch(keys: pa.Array) -> pa.RecordBatch:
    """Rows with these keys."""
    return pa.record_batch([keys, pa.array(np.arange(len(keys)))], names=["k", "v"])


class Feed:
    """Steps of a generator, begun anew for each reader."""

    def __init__(self, steps: Callable[[], Iterator[Changes]]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[Changes]:
        return self._steps()


def group(
    feed: Callable[[], Iterator[Changes]], schema: pa.Schema, mode: str, queue: str = "256 mb"
) -> None:
    """The query over a feed, to its end."""
    with session() as s:
        s.execute(f"SET 'pipeline.queue.max-bytes' = '{queue}'")
        s.from_changes("t", schema, Feed(feed), mode=mode)
        statement = nowhere(s, "SELECT k, COUNT(*), SUM(v) FROM t GROUP BY k")
        s.execute(statement).wait()


def size(kind: str, keys: int) -> None:
    """Steps over `keys` keys that are all there."""
    make = KINDS[kind]

    def feed() -> Iterator[Changes]:
        for at in range(0, keys, FILL):
            yield Changes(batch(make(np.arange(at, min(at + FILL, keys)))))
        # (Nearly) every row another key, so that a step gives as many changes at every size.
        random = np.random.default_rng(1)
        for _ in range(MEASURED):
            few = keys <= STEP
            chosen = random.permutation(keys) if few else random.integers(0, keys, STEP)
            yield Changes(batch(make(chosen)))

    steps = watch_steps()
    group(feed, batch(make(np.arange(1))).schema, "append")
    # The last step only finds that the input is over.
    middle, high = steps.percentiles(MEASURED, 50, 99)
    filling = max(steps.cpu[:-MEASURED], default=0.0)
    print(
        f"10,000 rows at {keys:,} {kind} keys: p50 {middle:.2f} ms, p99 {high:.2f} ms of processor "
        f"time; longest step of {FILL:,} new keys {filling:.0f} ms; at most {memory()[1]:.0f} MB",
        flush=True,
    )


def hot_key(count: int) -> None:
    """A row for the same key in every step: its minimum comes and goes, its join list grows."""

    def left() -> Iterator[Changes]:
        for number in range(count):
            yield Changes(
                pa.record_batch([pa.array([1]), pa.array([number * 7919 % 10007])], ["k", "v"])
            )

    def right() -> Iterator[Changes]:
        for number in range(count):
            kinds = None if number % 2 == 0 else np.array([DELETE], np.int8)
            yield Changes(
                pa.record_batch([pa.array([2]), pa.array([number // 2])], ["k", "v"]), kinds
            )

    steps = watch_steps()
    with session() as s:
        schema = pa.schema([("k", pa.int64()), ("v", pa.int64())])
        s.from_changes("l", schema, Feed(left), mode="retract")
        s.from_changes("r", schema, Feed(right), mode="retract")
        query = "SELECT l.k, MIN(l.v), COUNT(r.v) FROM l LEFT JOIN r ON l.k = r.k GROUP BY l.k"
        s.execute(nowhere(s, query)).wait()
    tenth = count // 10
    print(
        f"one hot key, left join and MIN, {count:,} steps: first tenth "
        f"{np.median(steps.cpu[10:tenth]):.2f} ms, last tenth {np.median(steps.cpu[-tenth:]):.2f} ms, "
        f"longest {max(steps.cpu[10:]):.1f} ms",
        flush=True,
    )


def sliding(kind: str, live: int) -> None:
    """Keys come and go, ten times as many as live at once."""
    make = KINDS[kind]

    def feed() -> Iterator[Changes]:
        for at in range(0, 11 * live, STEP):
            new = batch(make(np.arange(at, at + STEP)))
            if at < live:
                yield Changes(new)
                continue
            old = batch(make(np.arange(at - live, at - live + STEP)))
            kinds = np.repeat(np.array([0, DELETE], np.int8), STEP)
            yield Changes(pa.concat_batches([new, old]), kinds)

    steps = watch_steps(memory_every=live // STEP)
    group(feed, batch(make(np.arange(1))).schema, "retract", queue="4 mb")
    turns = ", ".join(f"{mb:.0f}" for mb in steps.resident)
    print(
        f"{live:,} {kind} keys sliding ten times: MB after each turn {turns}; step of "
        f"{2 * STEP:,} rows p50 {np.median(steps.cpu):.1f} ms, longest {max(steps.cpu):.1f} ms",
        flush=True,
    )


def main() -> None:
    """Everything, or the small sizes only."""
    small = "small" in sys.argv[1:]
    for kind in KINDS:
        for keys in (10_000, 1_000_000) if small else (10_000, 1_000_000, 10_000_000):
            alone(size, kind, keys)
    alone(hot_key, 1_000 if small else 10_000)
    for kind in KINDS:
        alone(sliding, kind, 100_000 if small else 1_000_000)


if __name__ == "__main__":
    main()
