"""`Ordered` and `Timers` against sorted lists, on random work."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import NO_WATERMARK, Keys
from flowsql.state import (
    KeyIndex,
    KeyIndexSpec,
    Ordered,
    OrderedSpec,
    SortColumn,
    StateStore,
    Timers,
    TimersSpec,
)
from flowsql.types import (
    BigIntType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    TimestampType,
    VarCharType,
    arrow_type,
)

INDEX = KeyIndexSpec("k", (BigIntType(),))


def make_slots(index: KeyIndex, keys: list[int]) -> np.ndarray[Any, Any]:
    """Slots of integer keys."""
    return index.ensure(Keys.of([pa.array(keys, pa.int64())], (BigIntType(),)))[0]


VALUES: dict[DataType, list[Any]] = {
    BigIntType(): [-(2**63), -5, 0, 1, 2**63 - 1],
    DoubleType(): [float("-inf"), -1.5, -0.0, 0.0, 1e300, float("inf"), float("nan")],
    FloatType(): [float("-inf"), -1.5, -0.0, 0.0, 1.5, float("inf"), float("nan")],
    BooleanType(): [False, True],
    DecimalType(30, 0): [-(10**29), -1, 0, 1, 2**64, 10**29],
    DecimalType(5, 0): [-9, 0, 9],
    VarCharType(): ["", "a", "a\0", "abcdefgh", "abcdefghijkl", "abcdefghijkl\0", "abcdefghijklm", "abcdefghijklmn",
                    "abcdefghijklz", "b", "é", "日本"],
}  # fmt: skip


@pytest.mark.parametrize("data_type", VALUES, ids=str)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
def test_order_of_values(data_type: DataType, descending: bool, nulls_first: bool) -> None:
    """Every type sorts as Flink does, NULLs where they are wanted, and is given back."""
    store = StateStore.open(
        [INDEX, OrderedSpec("o", "k", (SortColumn(data_type, descending, nulls_first),))]
    )
    index, ordered = store.table("k", KeyIndex), store.table("o", Ordered)
    values = [*VALUES[data_type]]
    expected = values[::-1] if descending else values
    expected = [None, *expected] if nulls_first else [*expected, None]
    mixed = np.random.default_rng(0).permutation(len(expected)).tolist()
    array = pa.array(expected, arrow_type(data_type)).take(pa.array(mixed))
    slots = make_slots(index, [7] * len(expected))
    for i in range(0, len(expected), 2):
        ordered.add(slots[i : i + 2], [array.slice(i, 2)])
        ordered.end_step()
    found = ordered.entries(slots[:1])
    assert [str(v) for v in found.values[0].to_pylist()] == [
        str(v) for v in pa.array(expected, arrow_type(data_type)).to_pylist()
    ]
    assert found.values[0].type == arrow_type(data_type)
    ordered.remove(slots, [array])
    assert len(ordered.entries(slots[:1]).probe) == 0
    assert ordered.orphans == 0


@pytest.mark.parametrize("kind", ["int", "text"])
@pytest.mark.parametrize("with_rows", [False, True])
def test_ordered_against_lists(kind: str, with_rows: bool) -> None:
    """Every question, under churn, with freed and restored slots."""
    rng = np.random.default_rng(5)
    data_type: DataType = BigIntType(nullable=False) if kind == "int" else VarCharType()
    sort = (SortColumn(data_type), SortColumn(BigIntType(), descending=True))
    specs = [INDEX, OrderedSpec("o", "k", sort, "r" if with_rows else None)]
    store = StateStore.open(specs)
    model: dict[int, dict[tuple[Any, int, int], int]] = {}

    def value(n: int) -> Any:
        return (
            n if kind == "int" else f"a prefix of them all {n:03d}"[: 3 * n if n % 4 == 0 else 99]
        )

    def key(entry: tuple[Any, int, int]) -> tuple[Any, int, int]:
        return (entry[0], -entry[1], entry[2])

    for step in range(80):
        index, ordered = store.table("k", KeyIndex), store.table("o", Ordered)
        n = int(rng.integers(1, 400))
        wide = [2, 30, 300][step % 3]
        keys = rng.integers(0, wide, n).tolist()
        a = [value(i) for i in rng.integers(0, 40, n).tolist()]
        b = rng.integers(0, 3, n).tolist()
        rows = rng.integers(0, 3, n) if with_rows else None
        weights = rng.integers(1, 3, n)
        ordered.add(
            make_slots(index, keys), [pa.array(a), pa.array(b)], rows, weights if step % 2 else None
        )
        for i, k in enumerate(keys):
            entry = (a[i], b[i], int(rows[i]) if rows is not None else 0)
            bag = model.setdefault(k, {})
            bag[entry] = bag.get(entry, 0) + (int(weights[i]) if step % 2 else 1)
        going = [
            (k, e)
            for k, bag in model.items()
            for e in bag
            if rng.random() < (0.9 if step % 9 == 8 else 0.3)
        ]
        if going:
            ordered.remove(
                make_slots(index, [k for k, _ in going]),
                [pa.array([e[0] for _, e in going]), pa.array([e[1] for _, e in going])],
                np.array([e[2] for _, e in going]) if with_rows else None,
            )
            for k, e in going:
                model[k][e] -= 1
                if not model[k][e]:
                    del model[k][e]
        if step % 10 == 5:
            gone = [k for k in model if k % 5 == 0]
            index.free(make_slots(index, gone))
            for k in gone:
                del model[k]
            store.end_step()
        if step % 25 == 24:
            store.end_step()
            segments = store.segments()
            store = StateStore.open(specs)
            store.restore(segments)
            index, ordered = store.table("k", KeyIndex), store.table("o", Ordered)
        asked = [k for k in rng.integers(0, 300, 30).tolist() if k in model] + list(model)[:1]
        slots = make_slots(index, asked)
        lists = [sorted(model[k], key=key) for k in asked]

        def check(
            found: Any, expected: list[list[tuple[Any, int, int]]], asked: list[int] = asked
        ) -> None:
            wanted = [(i, e) for i, part in enumerate(expected) for e in part]
            assert found.probe.tolist() == [i for i, _ in wanted]
            assert found.values[0].to_pylist() == [e[0] for _, e in wanted]
            assert found.values[1].to_pylist() == [e[1] for _, e in wanted]
            if with_rows:
                assert found.rows.tolist() == [e[2] for _, e in wanted]
            assert found.weights.tolist() == [model[asked[i]][e] for i, e in wanted]

        check(ordered.entries(slots), lists)
        check(ordered.first(slots, 3), [part[:3] for part in lists])
        check(ordered.last(slots, 2), [part[-2:] for part in lists])
        t = [value(i) for i in rng.integers(0, 40, len(asked)).tolist()]
        u = [value(i) for i in rng.integers(0, 40, len(asked)).tolist()]
        firsts = [[e[0] for e in part] for part in lists]
        check(
            ordered.asof(slots, pa.array(t)),
            [
                part[: bisect.bisect_right(f, x)][-1:]
                for part, f, x in zip(lists, firsts, t, strict=True)
            ],
        )
        check(
            ordered.range(slots, pa.array(t), pa.array(u)),
            [[e for e in part if x <= e[0] <= y] for part, x, y in zip(lists, t, u, strict=True)],
        )
        check(
            ordered.range(slots, None, pa.array(u)),
            [[e for e in part if e[0] <= y] for part, y in zip(lists, u, strict=True)],
        )
        assert ordered.rank(slots, [pa.array(t), pa.array([1] * len(asked))]).tolist() == [
            sum(key(e) < (x, -1, -1) for e in part) for part, x in zip(lists, t, strict=True)
        ]
        least, there = ordered.min(slots)
        assert least.to_pylist() == [f[0] if f else None for f in firsts]
        assert there.tolist() == [bool(f) for f in firsts]
        assert ordered.max(slots)[0].to_pylist() == [f[-1] if f else None for f in firsts]
    assert ordered.orphans == 0
    stored = sum(len(bag) for bag in model.values())
    assert ordered.stats().rows == stored
    assert ordered._leaves._next <= 12 * (stored // 24 + 20)


def test_taking_what_is_not_there_is_counted() -> None:
    """Weight taken from an entry that has it not is ignored and counted."""
    store = StateStore.open([INDEX, OrderedSpec("o", "k", (SortColumn(BigIntType()),))])
    index, ordered = store.table("k", KeyIndex), store.table("o", Ordered)
    slots = make_slots(index, [1, 1, 1])
    ordered.add(slots[:1], [pa.array([5])])
    ordered.remove(slots, [pa.array([5, 5, 6])])
    assert ordered.max(slots[:1])[0].to_pylist() == [None]
    assert ordered.orphans == 2


def test_drop_below_keeps_the_last_version() -> None:
    """Versions below the time leave, but the last one of each slot stays (temporal joins)."""
    sort = (SortColumn(TimestampType(3, nullable=False)),)
    rng = np.random.default_rng(1)
    store = StateStore.open([INDEX, OrderedSpec("o", "k", sort, "rows")])
    index, ordered = store.table("k", KeyIndex), store.table("o", Ordered)
    model: dict[int, list[int]] = {}
    number = 0
    for step in range(60):
        n = 50
        keys = rng.integers(0, 20, n).tolist()
        times = (step * 10 + rng.integers(0, 100, n)).tolist()
        rows = np.arange(number, number + n)
        number += n
        ordered.add(make_slots(index, keys), [pa.array(times, pa.timestamp("us"))], rows)
        for k, t in zip(keys, times, strict=True):
            model.setdefault(k, []).append(t)
        before = sum(map(len, model.values()))
        for k, versions in model.items():
            versions.sort()
            below = bisect.bisect_left(versions, step * 10)
            model[k] = versions[max(0, below - 1) :]
        dropped = ordered.drop_below(step * 10, keep_last=1)
        assert before - sum(map(len, model.values())) == len(dropped)
        found = ordered.entries(make_slots(index, list(model)))
        assert found.values[0].cast(pa.int64()).to_pylist() == [
            t for v in model.values() for t in v
        ]


def test_timers_against_dict() -> None:
    """Set, move, clear, due, free and restore agree with a dict."""
    rng = np.random.default_rng(2)
    specs = [INDEX, TimersSpec("t", "k")]
    store = StateStore.open(specs)
    model: dict[int, int] = {}
    for step in range(400):
        index, timers = store.table("k", KeyIndex), store.table("t", Timers)
        n = int(rng.integers(1, 200))
        keys = rng.integers(0, 600, n).tolist()
        times = (step * 10 + rng.integers(-20, 3000, n)).tolist()
        timers.set(np.array(times), make_slots(index, keys))
        model.update(zip(keys, times, strict=True))
        if step % 3 == 0:
            some = list(model)[::7]
            timers.clear(make_slots(index, some))
            for k in some:
                del model[k]
        if step % 7 == 0:
            some = list(model)[::5]
            index.free(make_slots(index, some))
            for k in some:
                del model[k]
            store.end_step()
        if step % 2:
            due = timers.due(step * 10)
            fired = index.keys(due)[0].to_pylist()
            assert sorted(fired) == sorted(k for k, t in model.items() if t <= step * 10)
            assert [model[k] for k in fired] == sorted(model[k] for k in fired)
            for k in fired:
                del model[k]
        every = make_slots(index, list(range(600)))
        assert timers.read(every).tolist() == [model.get(k, NO_WATERMARK) for k in range(600)]
        store.end_step()
        if step % 100 == 99:
            segments = store.segments()
            store = StateStore.open(specs)
            store.restore(segments)
    assert timers.stats().rows == len(model)


def test_long_runs_of_timers_are_merged_in_slices() -> None:
    """Times put in great numbers come out complete while runs are being merged."""
    rng = np.random.default_rng(3)
    store = StateStore.open([INDEX, TimersSpec("t", "k")])
    index, timers = store.table("k", KeyIndex), store.table("t", Timers)
    expected: list[int] = []
    got: list[int] = []
    for step in range(12):
        n = 60_000
        slots = make_slots(index, list(range(step * n, (step + 1) * n)))
        times = rng.integers(0, 1_000_000, n) + step * 1000
        timers.set(times, slots)
        expected += slots[times <= step * 1000].tolist()
        got += timers.due(step * 1000).tolist()
        store.end_step()
    got += timers.due(1 << 40).tolist()
    assert sorted(got) == list(range(12 * 60_000))
