"""Dense keys go past the hash table, and nobody can tell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from flowsql.changelog import Keys
from flowsql.state import KeyIndex, KeyIndexSpec, memory
from flowsql.state.direct import DirectCache
from flowsql.types import BigIntType

TOP = 2**63


@pytest.mark.parametrize("large", [1 << 10, memory._LARGE])
@pytest.mark.parametrize("shape", ["random", "up", "down", "slide", "leap", "edges", "mixed"])
def test_key_index_of_integers_against_dict(
    shape: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that count up or down, slide, leap, or lie at the ends of the type's range.

    Also where a window is first used a call after it was made.
    """
    monkeypatch.setattr(memory, "_LARGE", large)
    rng = np.random.default_rng(11)
    index = KeyIndex(KeyIndexSpec("k", (BigIntType(),)))
    model: dict[int | None, int] = {}
    hits = 0
    for step in range(120):
        n = int(rng.integers(1, 400))
        base = {
            "random": 0,
            "up": 100 * step,
            "down": -30_000 * step,
            "slide": 20_000 * step,
            "leap": 0 if step < 40 else 10**12 if step < 80 else 5,
            "edges": -TOP if step % 2 else TOP - 1000,
            "mixed": int(rng.integers(-(10**15), 10**15)) if step % 5 == 0 else 0,
        }[shape]
        keys: list[int | None] = [base + k for k in rng.integers(0, 1000, n).tolist()]
        if step % 3 == 0:
            keys[0] = None
        array = pa.array(keys, pa.int64())
        normal = Keys.of([array], (BigIntType(),))
        assert index.find(normal).tolist() == [model.get(k, -1) for k in keys]
        slots, is_new = index.ensure(normal)
        for key, slot, new in zip(keys, slots.tolist(), is_new.tolist(), strict=True):
            assert new == (key not in model)
            assert model.setdefault(key, slot) == slot
        hits += index._direct is not None and index._direct.find(normal.words[0]) is not None
        share = 0.97 if shape == "slide" else 0.3
        going = [k for k in model if rng.random() < share]
        old = index.find(Keys.of([pa.array(going, pa.int64())], (BigIntType(),)))
        assert old.tolist() == [model.pop(k) for k in going]
        index.free(old)
        gone = Keys.of([pa.array(going, pa.int64())], (BigIntType(),))
        assert (index.find(gone) < 0).all()
        index.end_step()
    assert hits > 20
    assert index.stats().bytes < 20_000_000


def test_a_large_window_waits_for_its_memory() -> None:
    """What it was made for is not kept in it: it is asked again, and then it is."""
    cache = DirectCache()
    keys = np.arange(0, 4 << 20, 64).view(np.uint64)
    slots = np.arange(len(keys))
    cache.learn(keys, slots, len(keys) * 64)
    assert cache._slots is not None
    waits = cache._slots._map is not None
    for again in (waits, False):
        found = cache.find(keys)
        assert found is not None
        assert (found == (-1 if again else slots)).all()
        cache.learn(keys, slots, len(keys) * 64)
