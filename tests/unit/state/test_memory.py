"""Vectors grow without moving, and by copying where address space is refused."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest

from flowsql.state import memory
from flowsql.state.memory import Vector


@pytest.mark.parametrize("reserved", [True, False])
def test_vector_grows_with_zeros(reserved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old elements stay, new ones are zero, cleared ones are zero again."""
    if not reserved:

        def refuse(*args: Any, **kwargs: Any) -> mmap.mmap:
            raise OSError(12, "cannot allocate memory")

        monkeypatch.setattr(memory.mmap, "mmap", refuse)
    vector = Vector(np.int32)
    first = vector.fit(10)
    first[:10] = np.arange(10)
    data = vector.fit(3_000_000)
    assert (data is first) == reserved
    assert data[:10].tolist() == list(range(10))
    assert not data[10:3_000_000].any()
    assert vector.nbytes == 12_000_000
    data[:3_000_000] = 7
    vector.clear(5, 2_000_003)
    assert data[:5].tolist() == [7] * 5
    assert not data[5:2_000_003].any()
    assert (data[2_000_003:3_000_000] == 7).all()
    vector.clear(2_000_010, 2_000_020)
    assert data[2_000_009:2_000_021].tolist() == [7] + [0] * 10 + [7]


def test_pages_follow_the_speed_of_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows by whole batches gets huge pages at once, by a few rows when it is full."""
    asked: list[tuple[str, int, int | None]] = []
    ready: list[int] = []

    def advise(vector: Vector, pages: int | None, first: int, stop: int | None = None) -> None:
        asked.append(("small" if pages == memory._SMALL else "huge", first, stop))

    monkeypatch.setattr(memory, "_HUGE", 14)
    monkeypatch.setattr(memory, "_SMALL", 15)
    monkeypatch.setattr(Vector, "_advise", advise)
    monkeypatch.setattr(memory, "pretouch", lambda data, chunk: ready.append(chunk))
    chunk = memory.CHUNK // 8
    fast = Vector(np.int64)
    if fast._map is None:
        pytest.skip("address space is refused here")
    for size in range(0, 5 * chunk, 1 << 16):
        fast.fit(size)
    assert (asked, ready) == ([("huge", 0, None)], [2, 3, 4, 5])
    asked.clear()
    ready.clear()
    for size in range(5 * chunk, 7 * chunk, 1000):
        fast.fit(size)
    # The page that was made ready stays; then full ones may be joined.
    assert asked == [("small", 6, None), ("huge", 0, 5), ("huge", 0, 6)]
    assert ready == []
    asked.clear()
    for size in range(7 * chunk, 9 * chunk, 1 << 16):
        fast.fit(size)
    assert (asked[-1], ready) == (("huge", 9, None), [9])


def test_a_circle_goes_on_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is filled past its end goes on at its beginning with the same pages."""
    asked: list[tuple[int | None, int]] = []
    monkeypatch.setattr(
        Vector, "_advise", lambda _, pages, first, *__: asked.append((pages, first))
    )
    monkeypatch.setattr(memory, "pretouch", lambda *_: None)
    vector = Vector(np.uint64)
    if vector._map is None:
        pytest.skip("address space is refused here")
    vector.reserve(1 << 20)
    for position in [*range(1 << 17, 1 << 20, 1 << 16), 1000, 2000]:
        vector.expect(position)
    assert asked == [(memory._HUGE, 0)]


def test_memory_is_made_ready_as_far_ahead_as_it_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five chunks a call, five chunks ahead; a part of a new vector before it is used."""
    ready: list[int] = []
    monkeypatch.setattr(memory, "pretouch", lambda data, chunk: ready.append(chunk))
    chunk = memory.CHUNK // 8
    vector = Vector(np.uint64)
    if vector._map is None:
        pytest.skip("address space is refused here")
    vector.reserve(64 * chunk)
    assert not vector.prepare(0, chunk)
    assert ready == []
    assert vector.prepare(0, 4 * chunk)
    assert ready == [0, 1, 2, 3, 4]
    ready.clear()
    for position in (5, 10):
        vector.expect(position * chunk)
    assert ready == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    ready.clear()
    vector.expect(60 * chunk)
    assert len(ready) == memory._AHEAD
