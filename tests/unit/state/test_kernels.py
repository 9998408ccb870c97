"""The hash table against a dict while it grows, shrinks and is cleaned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowsql.state import kernels, memory
from flowsql.state.kernels import HashTable, expand, last_of_each, runs


def key_hash(keys: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    """Hashes of which only the first `bits` bits differ much: few bits make long chains."""
    h = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h & ~np.uint64((1 << (64 - bits)) - 1)


@pytest.mark.parametrize("bits", [64, 63, 40, 15])
@pytest.mark.parametrize("shape", ["grow", "slide", "shrink"])
def test_hash_table_against_dict(bits: int, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is found with its value at every moment of a migration."""
    if bits == 40:
        # As large tables do.
        monkeypatch.setattr(kernels, "_LARGE", 1)
    if bits == 63:
        # A new table waits for its memory from 4 kB on.
        monkeypatch.setattr(memory, "_LARGE", 1 << 12)
    rng = np.random.default_rng(bits)
    table = HashTable()
    model: dict[int, int] = {}
    key_of: dict[int, int] = {}
    values = np.zeros(1 << 20, np.int64)  # value → key

    def find(keys: np.ndarray[Any, Any]) -> list[int]:
        def verify(rows: Any, found: np.ndarray[Any, Any]) -> Any:
            return values.take(found, mode="clip") == (keys if rows is None else keys.take(rows))

        return table.find(key_hash(keys, bits), verify).tolist()

    seen_migrating = 0
    number = 0
    for step in range(250 if bits > 15 else 60):
        n = int(rng.integers(1, 300 if step % 50 else 12_000))
        keys = np.arange(number, number + n)
        number += n
        made = np.arange(len(key_of) + 1, len(key_of) + 1 + n)
        values[made] = keys
        key_of.update(zip(made.tolist(), keys.tolist(), strict=True))
        table.insert(key_hash(keys, bits), made)
        model.update(zip(keys.tolist(), made.tolist(), strict=True))
        share = {"grow": 0.0, "slide": 1.0 if step % 50 else 0.0, "shrink": 0.5}[shape]
        going = (
            list(model)[: int(share * n)]
            if shape != "shrink"
            else ([k for k in model if rng.random() < 0.9] if step % 40 == 39 else [])
        )
        gone = np.array(going, np.int64)
        table.delete(key_hash(gone, bits), np.array([model[k] for k in going], np.int64))
        for k in going:
            del model[k]
        seen_migrating += table._old is not None
        if step % 3 == 0:
            table.migrate(100)
        asked = np.concatenate(
            [np.array(list(model)[-400:], np.int64), rng.integers(0, number + 50, 100)]
        )
        assert find(asked) == [model.get(k, -1) for k in asked.tolist()]
        assert table.live == len(model)
    assert seen_migrating or bits == 15
    if shape == "slide":
        assert table.nbytes < 1 << 21


def test_a_migration_that_runs_over_the_end() -> None:
    """Entries whose homes are the last cells wrap to the first ones, also while cells move."""
    table = HashTable()
    top = np.uint64(0xFFFFFFFFFFFFFFFF)
    values: list[int] = []
    for value in range(600):
        table.insert(np.array([top - np.uint64(value % 7 << 33)]), np.array([value]))
        values.append(value)
        if value % 97 == 0:
            tags = np.array([top - np.uint64(v % 7 << 33) for v in values])
            wanted = np.array(values)
            found = table.find(
                tags, lambda rows, got, w=wanted: got == (w if rows is None else w.take(rows))
            )
            assert found.tolist() == values


def test_a_large_table_begins_to_move_a_call_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a call's part is large, and small beside the table, its memory is made ready first."""
    monkeypatch.setattr(memory, "_LARGE", 1 << 18)
    table = HashTable()
    keys = np.arange(600_000)
    moved = []
    for start in range(0, len(keys), 5_000):
        part = keys[start : start + 5_000]
        before = table._old
        table.insert(key_hash(part, 64), part)
        if table._old is not None and table._old is not before:
            moved.append((len(table._old), table._moved))
    late = [size for size, count in moved if count <= 4_096]
    assert late == [size for size, _ in moved if size >= 16 * (4 * 5_000 + 4_096)]
    assert late
    found = table.find(
        key_hash(keys, 64), lambda rows, got: got == (keys if rows is None else keys.take(rows))
    )
    assert (found == keys).all()


def test_small_kernels() -> None:
    """`expand`, `runs` and `last_of_each` on small input."""
    item, element = expand(np.array([5, 0, 9]), np.array([2, 0, 3]))
    assert item.tolist() == [0, 0, 2, 2, 2]
    assert element.tolist() == [5, 6, 9, 10, 11]
    start, length = runs(np.array([1, 1, 4, 7, 7, 7]))
    assert start.tolist() == [0, 2, 3]
    assert length.tolist() == [2, 1, 3]
    assert last_of_each(np.array([3, 1, 3, 2, 1])).tolist() == [4, 3, 2]
