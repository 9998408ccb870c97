"""State tables under generated work, against models of plain dicts and lists.

Besides each table by itself: what later operators will build from them, a session merge, an as-of
probe, an interval probe and an accumulator of type ARRAY.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

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
    StateSpec,
    StateStore,
    Timers,
    TimersSpec,
)
from flowsql.types import ArrayType, BigIntType, Field, IntType, VarCharType

MODEST = settings(max_examples=30, deadline=None, derandomize=True)
LONG_ONE = "a string too long for a view, "

numbers = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([-(2**63), 2**63 - 1]))
strings = st.one_of(
    st.none(), st.text("ab\0é", max_size=4), st.integers(0, 3).map(lambda i: f"{LONG_ONE}{i}")
)
keys = st.lists(st.tuples(numbers, strings), max_size=12)
Key = tuple[int | None, str | None]
TYPES = (BigIntType(), VarCharType())


def normal(rows: list[Key]) -> Keys:
    """Keys of plain tuples."""
    arrays = [
        pa.array([r[0] for r in rows], pa.int64()),
        pa.array([r[1] for r in rows], pa.string()),
    ]
    return Keys.of(arrays, TYPES)


def reopen(store: StateStore, specs: list[StateSpec]) -> StateStore:
    """A checkpoint and a restore."""
    store.end_step()
    segments = store.segments()
    other = StateStore.open(specs)
    other.restore(segments)
    return other


@MODEST
@given(
    st.lists(st.tuples(st.sampled_from(["ensure", "free", "end", "restore"]), keys), max_size=25)
)
def test_key_index_and_columns(work: list[tuple[str, list[Key]]]) -> None:
    """Slots belong to keys, are reused only after the step, and lose their values."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", TYPES),
        ColumnsSpec("c", "k", (("n", "int64"),), (Field("s", VarCharType()),)),
    ]
    store = StateStore.open(specs)
    model: dict[Key, list[Any]] = {}
    freed: set[int] = set()
    for kind, rows in work:
        index, columns = store.table("k", KeyIndex), store.table("c", Columns)
        if kind == "ensure":
            slots, is_new = index.ensure(normal(rows))
            for slot, key, new in zip(slots.tolist(), rows, is_new.tolist(), strict=True):
                assert new == (key not in model)
                entry = model.setdefault(key, [slot, 0, None])
                assert slot == entry[0]
                assert slot not in freed
                entry[1] += 1
                entry[2] = f"{LONG_ONE}{entry[1]}" if entry[1] % 2 else "short"
            columns.add(slots, "n", 1)
            columns.write(slots, "s", pa.array([model[k][2] for k in rows], pa.string()))
        elif kind == "free":
            going = [k for k in dict.fromkeys(rows) if k in model]
            index.free(index.find(normal(going)))
            freed.update(model.pop(k)[0] for k in going)
        elif kind == "end":
            store.end_step()
            freed.clear()
        else:
            store = reopen(store, specs)
            freed.clear()
        index, columns = store.table("k", KeyIndex), store.table("c", Columns)
        assert index.find(normal(rows)).tolist() == [
            model[k][0] if k in model else -1 for k in rows
        ]
        slots = np.array([e[0] for e in model.values()], np.int64)
        assert len(index) == len(model)
        assert list(zip(*(a.to_pylist() for a in index.keys(slots)), strict=True)) == list(model)
        assert columns.read(slots, "n").tolist() == [e[1] for e in model.values()]
        assert columns.read(slots, "s").to_pylist() == [e[2] for e in model.values()]


row_work = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "many", "remove", "weigh", "expire", "end", "restore"]),
        st.lists(st.integers(0, 5), max_size=8),
        st.integers(1, 5000),
    ),
    max_size=25,
)


@MODEST
@given(row_work)
def test_rows_and_row_lists(work: list[tuple[str, list[int], int]]) -> None:
    """Rows keep number, values and weight while others go; lists give the living in order."""
    specs: list[StateSpec] = [
        RowsSpec("r", (Field("a", BigIntType()), Field("s", VarCharType())), (("m", "int32"),)),
        RowListsSpec("l", "r"),
    ]
    store = StateStore.open(specs)
    model: dict[int, list[Any]] = {}
    lists: dict[int, list[int]] = defaultdict(list)
    for kind, slots, n in work:
        rows, pairs = store.table("r", Rows), store.table("l", RowLists)
        if kind in ("add", "many"):
            where = slots if kind == "add" else [s for s in slots for _ in range(n)]
            text = [f"{LONG_ONE}{i}" if i % 3 else str(i) for i in range(len(where))]
            batch = pa.record_batch(
                [pa.array(where, pa.int64()), pa.array(text, pa.string())], names=["a", "s"]
            )
            made = rows.append(batch)
            pairs.add(np.array(where, np.int64), made)
            for row, slot, t in zip(made.tolist(), where, text, strict=True):
                model[row] = [slot, t, 1, 0]
                lists[slot].append(row)
        elif kind == "remove":
            going = [r for r in model if (r * 7919) % 100 < 30 * len(slots)]
            rows.remove(np.array(going, np.int64))
            for r in going:
                del model[r]
        elif kind == "weigh" and model:
            some = [list(model)[i % len(model)] for i in [*slots, n]]
            rows.add_weight(np.array(some), 3)
            rows.write(np.array(some), "m", np.int32(n))
            for r in some:
                model[r][2] += 3
                model[r][3] = n
        elif kind == "expire":
            pairs.expire(np.unique(np.array(slots, np.int64)))
            for s in slots:
                lists.pop(s, None)
        elif kind == "end":
            store.end_step()
        elif kind == "restore":
            store = reopen(store, specs)
        rows, pairs = store.table("r", Rows), store.table("l", RowLists)
        probe, found = pairs.probe(np.array([*slots, -1, 3], np.int64))
        assert list(zip(probe.tolist(), found.tolist(), strict=True)) == [
            (i, r) for i, s in enumerate([*slots, -1, 3]) for r in lists.get(s, []) if r in model
        ]
        assert len(rows) == len(model)
        some = list(model)[:: max(1, len(model) // 50)]
        at = np.array(some, np.int64)
        taken = rows.take(at)
        assert taken.column(0).to_pylist() == [model[r][0] for r in some]
        assert taken.column(1).to_pylist() == [model[r][1] for r in some]
        assert rows.weights(at).tolist() == [model[r][2] for r in some]
        assert rows.read(at, "m").tolist() == [model[r][3] for r in some]


entries = st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), strings)), max_size=40)


@MODEST
@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "free", "restore"]), entries), max_size=12)
)
def test_ordered(work: list[tuple[str, list[tuple[int, str | None]]]]) -> None:
    """Bags of nullable strings, NULL last, in descending order."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", (BigIntType(),)),
        OrderedSpec("o", "k", (SortColumn(VarCharType(), descending=True, nulls_first=False),)),
    ]
    store = StateStore.open(specs)
    model: dict[int, dict[str | None, int]] = defaultdict(dict)

    def slots_of(keys: list[int]) -> np.ndarray[Any, Any]:
        array = pa.array(keys, pa.int64())
        return store.table("k", KeyIndex).ensure(Keys.of([array], (BigIntType(),)))[0]

    for kind, given_rows in work:
        rows = given_rows
        ordered = store.table("o", Ordered)
        if kind in ("add", "remove"):
            if kind == "remove":
                rows = [(k, v) for k, v in dict.fromkeys(rows) if v in model[k]]
            slots = slots_of([k for k, _ in rows])
            values = [pa.array([v for _, v in rows], pa.string())]
            (ordered.add if kind == "add" else ordered.remove)(slots, values)
            for k, v in rows:
                model[k][v] = model[k].get(v, 0) + (1 if kind == "add" else -1)
                if not model[k][v]:
                    del model[k][v]
        elif kind == "free":
            gone = sorted({k for k, _ in rows})
            store.table("k", KeyIndex).free(slots_of(gone))
            for k in gone:
                model.pop(k, None)
            store.end_step()
        else:
            store = reopen(store, specs)
        ordered = store.table("o", Ordered)
        asked = [0, 1, 2, 3, 2]
        expected = [
            sorted((v for v in model[k] if v is not None), key=str.encode, reverse=True)
            + [v for v in model[k] if v is None]
            for k in asked
        ]
        found = ordered.entries(slots_of(asked))
        assert found.values[0].to_pylist() == [v for part in expected for v in part]
        assert found.weights.tolist() == [
            model[k][v] for k, part in zip(asked, expected, strict=True) for v in part
        ]
        best, there = ordered.min(slots_of(asked))
        assert best.to_pylist() == [part[0] if part else None for part in expected]
        assert there.tolist() == [bool(part) for part in expected]
        assert ordered.orphans == 0


GAP = 10
events = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=10), st.booleans()
    ),
    max_size=10,
)


@MODEST
@given(events)
def test_session_merge(steps: list[tuple[list[tuple[int, int]], bool]]) -> None:
    """Sessions with a gap, merged as events come, closed by timers: as if merged all at once."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", (BigIntType(),)),
        OrderedSpec(
            "sessions",
            "k",
            (SortColumn(BigIntType(nullable=False)), SortColumn(BigIntType(nullable=False))),
        ),
        TimersSpec("t", "k"),
    ]
    store = StateStore.open(specs)
    waiting: dict[int, list[int]] = defaultdict(list)
    for step, (rows, restart) in enumerate(steps):
        base = 20 * step
        index, sessions, timers = (
            store.table("k", KeyIndex),
            store.table("sessions", Ordered),
            store.table("t", Timers),
        )
        for key, offset in rows:
            start, end = base + offset, base + offset + GAP
            slot, _ = index.ensure(Keys.of([pa.array([key])], (BigIntType(),)))
            met = sessions.range(slot, None, pa.array([end]))
            ends = met.values[1].to_numpy()
            touching = np.flatnonzero(ends >= start)
            sessions.remove(
                slot.repeat(len(touching)), [v.take(pa.array(touching)) for v in met.values]
            )
            begin = min([start, *met.values[0].to_numpy()[touching].tolist()])
            end = max([end, *ends[touching].tolist()])
            sessions.add(slot, [pa.array([begin]), pa.array([end])])
            first_end = sessions.first(slot, 1).values[1].to_numpy()
            timers.set(first_end - 1, slot)
            waiting[key].append(start)
        watermark = base + 19
        closed: list[tuple[int, int, int]] = []
        while len(due := timers.due(watermark)):
            first = sessions.first(due, 1)
            sessions.remove(due, first.values)
            closed += zip(
                index.keys(due)[0].to_pylist(), *(v.to_pylist() for v in first.values), strict=True
            )
            rest = sessions.first(due, 1)
            timers.set(rest.values[1].to_numpy() - 1, due.take(rest.probe))
            empty = np.setdiff1d(np.arange(len(due)), rest.probe)
            index.free(due.take(empty))
        expected: list[tuple[int, int, int]] = []
        for key, starts in waiting.items():
            merged: list[list[int]] = []
            for start in sorted(starts):
                if merged and start <= merged[-1][1]:
                    merged[-1][1] = start + GAP
                else:
                    merged.append([start, start + GAP])
            over = [m for m in merged if m[1] - 1 <= watermark]
            expected += [(key, *m) for m in over]
            waiting[key] = [s for s in starts if not over or s >= over[-1][1]]
        assert sorted(closed) == sorted(expected)
        store = reopen(store, specs) if restart else store
        store.end_step()
    assert store.table("sessions", Ordered).orphans == 0


versions = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.one_of(st.none(), st.integers(0, 9))),
    max_size=12,
)


@MODEST
@given(st.lists(st.tuples(versions, st.booleans()), max_size=8))
def test_as_of_probe(steps: list[tuple[list[tuple[int, int, int | None]], bool]]) -> None:
    """The version valid at a time, with later versions of one time winning, and old ones dropped."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", (BigIntType(),)),
        RowsSpec("r", (Field("v", BigIntType()),)),
        OrderedSpec("versions", "k", (SortColumn(BigIntType(nullable=False)),), "r"),
    ]
    store = StateStore.open(specs)
    model: dict[int, dict[int, int | None]] = defaultdict(dict)
    for step, (came, restart) in enumerate(steps):
        base = 10 * step
        index, rows, ordered = (
            store.table("k", KeyIndex),
            store.table("r", Rows),
            store.table("versions", Ordered),
        )
        if came:
            slots, _ = index.ensure(Keys.of([pa.array([c[0] for c in came])], (BigIntType(),)))
            values = pa.array([c[2] for c in came], pa.int64())
            made = rows.append(pa.record_batch([values], names=["v"]))
            ordered.add(slots, [pa.array([base + c[1] for c in came])], made)
        for key, offset, value in came:
            model[key][base + offset] = value
        times = list(range(base, base + 40, 3))
        for key in range(3):
            slot = index.find(Keys.of([pa.array([key] * len(times))], (BigIntType(),)))
            found = ordered.asof(slot, pa.array(times))
            assert found.rows is not None
            got: list[Any] = ["none"] * len(times)
            for i, v in zip(
                found.probe.tolist(), rows.take(found.rows).column(0).to_pylist(), strict=True
            ):
                got[i] = v
            expected = []
            for t in times:
                valid = [v for v in model[key] if v <= t]
                expected.append(model[key][max(valid)] if valid else "none")
            assert got == expected
        rows.remove(ordered.drop_below(base + 10, keep_last=1))
        for key in range(3):
            slot = index.find(Keys.of([pa.array([key])], (BigIntType(),)))
            old = [t for t in ordered.entries(slot).values[0].to_pylist() if t < base + 10]
            assert len(old) <= 1
        store = reopen(store, specs) if restart else store
        store.end_step()


@MODEST
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=15),
            st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40)), max_size=15),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_interval_probe(
    steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]], bool]],
) -> None:
    """Rows of the other side with −5 ≤ difference of times ≤ 3, as two nested loops find them."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", (BigIntType(),)),
        RowsSpec("r", (Field("k", BigIntType()), Field("t", BigIntType()))),
        OrderedSpec("by_time", "k", (SortColumn(BigIntType(nullable=False)),), "r"),
    ]
    store = StateStore.open(specs)
    model: list[tuple[int, int]] = []
    for step, (offsets, probes, restart) in enumerate(steps):
        index, rows, ordered = (
            store.table("k", KeyIndex),
            store.table("r", Rows),
            store.table("by_time", Ordered),
        )
        came = [(k, t + 10 * step) for k, t in offsets]
        batch = pa.record_batch(
            [
                pa.array([c[0] for c in came], pa.int64()),
                pa.array([c[1] for c in came], pa.int64()),
            ],
            names=["k", "t"],
        )
        if came:
            slots, _ = index.ensure(Keys.of([batch.column(0)], (BigIntType(),)))
            ordered.add(slots, [batch.column(1)], rows.append(batch))
        model += came
        if probes:
            slots = index.find(Keys.of([pa.array([k for k, _ in probes])], (BigIntType(),)))
            times = np.array([t for _, t in probes]) + 10 * step
            found = ordered.range(slots, pa.array(times - 5), pa.array(times + 3))
            assert found.rows is not None
            stored = rows.take(found.rows)
            got = sorted(
                zip(
                    found.probe.tolist(),
                    stored.column(0).to_pylist(),
                    stored.column(1).to_pylist(),
                    strict=True,
                )
            )
            assert got == sorted(
                (i, k, t)
                for i, (key, _) in enumerate(probes)
                for k, t in model
                if k == key and times[i] - 5 <= t <= times[i] + 3
            )
        rows.remove(ordered.drop_below(10 * step))
        model = [(k, t) for k, t in model if t >= 10 * step]
        assert len(rows) == len(model)
        store = reopen(store, specs) if restart else store
        store.end_step()


arrays = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "free", "reset", "restore"]),
        st.lists(
            st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(-5, 5))), max_size=60
        ),
    ),
    max_size=30,
)


@MODEST
@given(arrays)
def test_array_accumulator(work: list[tuple[str, list[tuple[int, int | None]]]]) -> None:
    """An accumulator of type ARRAY<INT>: NULL at first, empty is not NULL, versions do not pile up."""
    specs: list[StateSpec] = [
        KeyIndexSpec("k", (BigIntType(),)),
        ColumnsSpec("c", "k", (), (Field("items", ArrayType(IntType())),)),
    ]
    store = StateStore.open(specs)
    model: dict[int, list[int | None] | None] = {}
    for kind, rows in work:
        index, columns = store.table("k", KeyIndex), store.table("c", Columns)
        touched = list(dict.fromkeys(k for k, _ in rows))
        keys = Keys.of([pa.array(touched, pa.int64())], (BigIntType(),))
        if kind in ("append", "reset"):
            slots, _ = index.ensure(keys)
            held = dict(zip(touched, columns.read(slots, "items").to_pylist(), strict=True))
            assert held == {k: model.get(k) for k in touched}
            for k, v in rows:
                held[k] = [*(held[k] or []), v]
            if kind == "reset":
                held = {k: [] if k % 2 else None for k in touched}
            columns.write(
                slots, "items", pa.array([held[k] for k in touched], pa.list_(pa.int32()))
            )
            model.update(held)
        elif kind == "free":
            slots = index.find(keys)
            index.free(slots[slots >= 0])
            for k in touched:
                model.pop(k, None)
            store.end_step()
        else:
            store = reopen(store, specs)
    assert store.table("c", Columns).stats().bytes < 200_000
