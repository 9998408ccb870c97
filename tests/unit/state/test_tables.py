"""Each table against a plain model, on random work."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import Keys
from flowsql.errors import InternalError, StateError
from flowsql.state import (
    Columns,
    ColumnsSpec,
    KeyIndex,
    KeyIndexSpec,
    RowLists,
    RowListsSpec,
    Rows,
    RowsSpec,
    StateStore,
)
from flowsql.types import (
    ArrayType,
    BigIntType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    Field,
    IntType,
    MapType,
    RowType,
    TimestampType,
    VarCharType,
    arrow_type,
)

ALL_TYPES: tuple[DataType, ...] = (
    BigIntType(),
    VarCharType(),
    DoubleType(),
    BooleanType(),
    DecimalType(10, 2),
    DecimalType(30, 3),
    TimestampType(3),
    ArrayType(IntType()),
    MapType(VarCharType(), IntType()),
    RowType((Field("a", IntType()), Field("b", VarCharType()))),
)


def column(data_type: DataType, numbers: list[int]) -> pa.Array:
    """A value of `data_type` for each number; 0 gives NULL, equal numbers equal values."""
    return pa.array([value(data_type, n) for n in numbers], arrow_type(data_type))


def value(data_type: DataType, n: int) -> Any:
    """The value with number `n`."""
    if n == 0:
        return None
    match data_type:
        case BooleanType():
            return n % 2 == 0
        case VarCharType():
            return f"s{n}" if n % 3 else f"a string that is longer than a view {n}"
        case DecimalType():
            return Decimal(n)
        case TimestampType():
            return pa.scalar(n * 1000, pa.timestamp("us")).as_py()
        case ArrayType():
            return [None if n % 5 == 0 else n, n + 1][: n % 3]
        case MapType():
            return [(f"k{i}", n) for i in range(n % 3)]
        case RowType():
            return {"a": n, "b": None if n % 4 == 0 else f"b{n}"}
        case _:
            return n


@pytest.mark.parametrize("data_type", ALL_TYPES, ids=str)
def test_key_index_returns_typed_keys(data_type: DataType) -> None:
    """`keys` gives back what `ensure` was given, for every type."""
    index = KeyIndex(KeyIndexSpec("k", (data_type,)))
    numbers = [1, 2, 0, 3, 9, 12, 15, 4, 5]
    array = column(data_type, numbers)
    slots, _ = index.ensure(Keys.of([array], (data_type,)))
    assert array.to_pylist() == index.keys(slots)[0].to_pylist()
    assert array.type == index.keys(slots)[0].type


def test_key_index_numbers_new_keys_in_order() -> None:
    """New keys get slots in order of first appearance; `is_new` marks exactly those rows."""
    index = KeyIndex(KeyIndexSpec("k", (BigIntType(),)))
    slots, is_new = index.ensure(Keys.of([pa.array([7, 5, 7, None, 5, 9])], (BigIntType(),)))
    assert slots.tolist() == [0, 1, 0, 2, 1, 3]
    assert is_new.tolist() == [True, True, False, True, False, True]
    assert index.find(Keys.of([pa.array([8, 5])], (BigIntType(),))).tolist() == [-1, 1]


def test_global_group_has_one_key() -> None:
    """A key without columns is one key."""
    index = KeyIndex(KeyIndexSpec("k", ()))
    slots, is_new = index.ensure(Keys.of([], (), 3))
    assert slots.tolist() == [0, 0, 0]
    assert is_new.tolist() == [True, False, False]
    assert index.find(Keys.of([], (), 1)).tolist() == [0]
    assert index.keys(np.array([0])) == []


@pytest.mark.parametrize("types", [(BigIntType(),), (VarCharType(), IntType()), ALL_TYPES], ids=len)
def test_key_index_against_dict(types: tuple[DataType, ...]) -> None:
    """Churn with frees, reuse and restores agrees with a dict."""
    rng = np.random.default_rng(1)
    spec = KeyIndexSpec("k", types)
    columns_spec = ColumnsSpec("c", "k", (("n", "int64"),), (Field("v", VarCharType()),))
    store = StateStore.open([spec, columns_spec])
    model: dict[tuple[int, ...], tuple[int, str]] = {}
    for step in range(60):
        index = store.table("k", KeyIndex)
        columns = store.table("c", Columns)
        wide = 40 if step % 7 else 400
        numbers = rng.integers(0, wide, (rng.integers(1, 120), len(types)))
        if len(types) > 3:
            numbers[:, 1:] = numbers[:, :1]  # else nothing ever meets
        arrays = [column(t, numbers[:, i].tolist()) for i, t in enumerate(types)]
        keys = Keys.of(arrays, types)
        slots, is_new = index.ensure(keys)
        columns.add(slots, "n", 1)
        names = [f"value number {i} of step {step}"[: 5 + i % 30] for i in range(len(slots))]
        columns.write(slots, "v", pa.array(names))
        seen: set[tuple[int, ...]] = set()
        for row, number in enumerate(map(tuple, numbers.tolist())):
            assert (number not in model and number not in seen) == is_new[row]
            seen.add(number)
        for row, number in enumerate(map(tuple, numbers.tolist())):
            model[number] = (model.get(number, (0, ""))[0] + 1, names[row])
        assert len(model) == len(index)
        going = [k for k in model if rng.random() < 0.3]
        if going:
            arrays = [column(t, [k[i] for k in going]) for i, t in enumerate(types)]
            keys = Keys.of(arrays, types)
            old = index.find(keys)
            assert [model[k][0] for k in going] == columns.read(old, "n").tolist()
            assert [model[k][1] for k in going] == columns.read(old, "v").to_pylist()
            index.free(old)
            assert (index.find(keys) < 0).all()
            for k in going:
                del model[k]
        store.end_step()
        if step % 10 == 9:
            segments = store.segments()
            store = StateStore.open([spec, columns_spec])
            store.restore(segments)


ROWS = RowsSpec("r", (Field("a", BigIntType()), Field("s", VarCharType())), (("matches", "int32"),))


@pytest.mark.parametrize("lifetime", ["short", "mixed", "long"])
def test_rows_against_dict(lifetime: str) -> None:
    """Rows under churn, moved and restored, agree with a dict; memory follows the live rows."""
    rng = np.random.default_rng(2)
    rows = Rows(ROWS)
    model: dict[int, list[Any]] = {}
    dead: list[int] = []
    for step in range(120):
        n = int(rng.integers(1, 2000))
        a = rng.integers(0, 1000, n)
        texts = [f"text {i}" if i % 2 else f"a much longer text {i}" for i in a.tolist()]
        weights = rng.integers(1, 3, n) if step % 2 else None
        batch = pa.record_batch([pa.array(a), pa.array(texts)], names=["a", "s"])
        new = rows.append(batch, weights)
        for i, row in enumerate(new.tolist()):
            model[row] = [int(a[i]), texts[i], 1 if weights is None else int(weights[i]), 0]
        some = rng.choice(np.array(list(model)), 50)
        more = rows.add_weight(some, 2)
        for row in some.tolist():
            model[row][2] += 2
        assert [model[r][2] for r in some.tolist()] == more.tolist()
        rows.write(some, "matches", np.int32(step))
        for row in some.tolist():
            model[row][3] = step
        if lifetime == "short":
            going = [r for r in model if rng.random() < 0.95]
        elif lifetime == "mixed":
            going = [r for r in model if r % 100 and rng.random() < 0.5]
        else:
            going = [r for r in model if rng.random() < 0.02]
        rows.remove(np.array(going, np.int64))
        for row in going:
            del model[row]
        dead += going[:20]
        rows.end_step()
        live = np.array(list(model), np.int64)
        assert rows.alive(live).all()
        assert not rows.alive(np.array(dead, np.int64)).any()
        asked = rng.permutation(live)[:500]
        taken = rows.take(asked)
        assert [model[r][0] for r in asked.tolist()] == taken.column(0).to_pylist()
        assert [model[r][1] for r in asked.tolist()] == taken.column(1).to_pylist()
        assert [model[r][2] for r in asked.tolist()] == rows.weights(asked).tolist()
        assert [model[r][3] for r in asked.tolist()] == rows.read(asked, "matches").tolist()
        if step % 40 == 39:
            segments = rows.segments()
            rows = Rows(ROWS)
            rows.restore(segments)
            assert sorted(model) == rows.live().tolist()
    if lifetime != "long":
        assert rows._map.end <= 8 * len(model) + 8 * 4096


def test_reading_a_row_that_is_gone_is_our_mistake() -> None:
    """A row number of a frame that was used again is refused, not answered by another row."""
    rows = Rows(RowsSpec("r", (Field("a", BigIntType()),)))
    batch = pa.record_batch([pa.array(np.arange(10_000))], names=["a"])
    old = rows.append(batch)
    rows.append(batch)
    rows.remove(old)
    rows.end_step()
    with pytest.raises(InternalError, match="does not exist any more"):
        rows.take(old[:1])


def test_row_lists_against_dict() -> None:
    """Pairs under churn agree with lists, hot slots included."""
    rng = np.random.default_rng(3)
    spec = RowsSpec("r", (Field("a", BigIntType()),))
    rows = Rows(spec)
    lists = RowLists(RowListsSpec("l", "r"), rows)
    model: dict[int, list[int]] = {}
    alive: set[int] = set()
    for step in range(150):
        n = int(rng.integers(1, 3000))
        wide = [1, 50, 5000][step % 3]
        slots = rng.integers(0, wide, n)
        new = rows.append(pa.record_batch([pa.array(slots)], names=["a"]))
        lists.add(slots, new)
        for s, r in zip(slots.tolist(), new.tolist(), strict=True):
            model.setdefault(s, []).append(r)
        alive.update(new.tolist())
        share = 0.9 if step % 10 == 9 else 0.1
        going = [r for r in alive if rng.random() < share] if step % 2 else []
        rows.remove(np.array(going, np.int64))
        alive.difference_update(going)
        asked = np.append(rng.integers(-1, 6000, 40), 0)
        probe, found = lists.probe(asked)
        expected = [
            (i, r) for i, s in enumerate(asked.tolist()) for r in model.get(s, []) if r in alive
        ]
        assert expected == list(zip(probe.tolist(), found.tolist(), strict=True))
        if step % 20 == 10:
            gone = np.unique(rng.integers(0, 60, 5))
            lists.expire(gone)
            for s in gone.tolist():
                model.pop(s, None)
        rows.end_step()
        lists.end_step()
        if step % 50 == 49:
            saved = rows.segments(), lists.segments()
            rows = Rows(spec)
            rows.restore(saved[0])
            lists = RowLists(RowListsSpec("l", "r"), rows)
            lists.restore(saved[1])


@pytest.mark.parametrize("churn", [False, True])
def test_row_lists_of_a_very_hot_slot(churn: bool) -> None:
    """More rows than an extent holds stay in order, and dead ones leave the memory."""
    rows = Rows(RowsSpec("r", (Field("a", BigIntType()),)))
    lists = RowLists(RowListsSpec("l", "r"), rows)
    kept: list[np.ndarray[Any, Any]] = []
    for step in range(40):
        slots = np.zeros(20_000, np.int64)
        slots[0] = 1
        new = rows.append(pa.record_batch([pa.array(slots)], names=["a"]))
        lists.add(slots, new)
        kept.append(new[1:])
        if churn and step >= 5:
            rows.remove(kept.pop(0))
        rows.end_step()
        lists.end_step()
        probe, found = lists.probe(np.array([1, 0]))
        assert (probe[step + 1 :] == 1).all()
        assert np.array_equal(np.concatenate(kept), found[step + 1 :])
    if churn:
        assert lists._pool.used < 400_000
    lists.expire(np.array([0]))
    assert lists.probe(np.array([1, 0]))[0].tolist() == [0] * 40


def test_long_strings_leave_memory_at_random() -> None:
    """A few survivors everywhere do not hold the memory of those that went."""
    key = VarCharType()
    specs = [
        KeyIndexSpec("k", (key,)),
        ColumnsSpec("c", "k", (), (Field("s", key),)),
        RowsSpec("r", (Field("s", RowType((Field("x", key),))),)),
    ]
    store = StateStore.open(specs)
    index, columns, rows = (
        store.table("k", KeyIndex),
        store.table("c", Columns),
        store.table("r", Rows),
    )
    rng = np.random.default_rng(8)
    model: dict[str, int] = {}
    number = 0
    for step in range(150):
        names = [f"{i:>100}" for i in range(number, number + 1000)]
        number += 1000
        texts = pa.array(names)
        slots, _ = index.ensure(Keys.of([texts], (key,)))
        columns.write(slots, "s", texts)
        nested = pa.StructArray.from_arrays([texts], names=["x"])
        made = rows.append(pa.record_batch([nested], names=["s"]))
        model.update(zip(names, made.tolist(), strict=True))
        going = [n for n in model if rng.random() < (0.5 if step % 2 else 0.02)]
        index.free(index.find(Keys.of([pa.array(going, pa.string())], (key,))))
        rows.remove(np.array([model.pop(n) for n in going], np.int64))
        store.end_step()
    for _ in range(30):
        store.end_step()
    held = pa.array(list(model))
    slots = index.find(Keys.of([held], (key,)))
    assert index.keys(slots)[0].equals(held)
    assert columns.read(slots, "s").equals(held)
    assert rows.take(np.array(list(model.values()))).column(0).field(0).equals(held)
    live = 100 * len(model)
    for blobs in (index._blobs[0], columns._values["s"]._blobs, rows._columns[0]._fields[0]._blobs):
        assert blobs.nbytes < 4 * live + (6 << 20)


def test_texts_that_fill_no_one_column_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A string column ends at 2 GiB: a checkpoint takes fewer rows at once, whatever they weigh."""
    monkeypatch.setattr("flowsql.state.blobs._MOST", 100)
    table = Rows(RowsSpec("r", (Field("v", VarCharType()),)))
    values = ["x" * 3] * 5 + ["y" * 90, "z" * 40, "w" * 40, "v" * 40]
    rows = table.append(pa.record_batch([values], names=["v"]))
    with pytest.raises(StateError, match="more than 2 GiB of text"):
        table.take(rows)
    segments = table.segments()
    assert len(segments[0].batches) > 1
    again = Rows(table.spec)
    again.restore(segments)
    assert [again.take(rows[i : i + 1]).column(0)[0].as_py() for i in range(9)] == values
