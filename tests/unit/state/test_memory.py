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
