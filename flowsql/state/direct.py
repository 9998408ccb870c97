"""Dense integer keys find their slots without hashing.

Keys of auctions, users and orders count up. For a key of one integer column a `DirectCache` holds
the slot of key k at place k − base, as long as the keys' range is in proportion to their number.
It is a cache in front of the hash table, which knows every key: it may be thrown away at any time,
and fills again as keys are found.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.state.memory import Vector

__all__ = ["DirectCache"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# The range of keys may be so many times their number, and any range up to the second number.
_SPREAD: Final = 4
_ALWAYS: Final = 1 << 20
_LIMIT: Final = 1 << 31


class DirectCache:
    """Key word → slot, for keys in [base, base + span)."""

    __slots__ = ("_base", "_highest", "_lowest", "_slots", "_span")

    def __init__(self) -> None:
        self._slots: Vector | None = None  # slot + 1, by key − base
        self._base = 0
        self._span = np.uint64(0)
        self._lowest = _LIMIT << 32  # of the keys learned since the window was made
        self._highest = -self._lowest

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 0 if self._slots is None else self._slots.nbytes

    def find(self, words: Words) -> Ints | None:
        """int64[n]: the slots, −1 where the cache does not know; None where it knows nothing."""
        if self._slots is None:
            return None
        place = words - np.uint64(self._base & 0xFFFFFFFFFFFFFFFF)
        inside = place < self._span
        whole = bool(inside.all())
        # A place outside reads another key's slot, which is thrown away.
        found = self._slots.data.take(place.view(np.int64), mode="clip").astype(np.int64)
        found -= 1
        if not whole:
            found[~inside] = -1
        return found

    def learn(self, words: Words, slots: Ints, live: int) -> None:
        """Keys have these slots; `live` keys there are in all."""
        if not len(words):
            return
        keys = words.view(np.int64)
        ready = self._fit(int(keys.min()), int(keys.max()), live)
        if self._slots is None or not ready:
            return
        place = words - np.uint64(self._base & 0xFFFFFFFFFFFFFFFF)
        inside = (place < self._span).nonzero()[0]
        if len(inside) < len(words):
            place, slots = place.take(inside), slots.take(inside)
        self._slots.data[place.view(np.int64)] = slots + 1

    def forget(self, words: Words) -> None:
        """Keys have no slots any more."""
        if self._slots is None:
            return
        place = words - np.uint64(self._base & 0xFFFFFFFFFFFFFFFF)
        self._slots.data[place[place < self._span].view(np.int64)] = 0

    def _fit(self, low: int, high: int, live: int) -> bool:
        """Make, widen or move the window so that these keys are in it, or give it up.

        Returns:
            False where the window is not to be used yet: its memory is being made ready.
        """
        allowed = min(_LIMIT, max(_ALWAYS, _SPREAD * live))
        lowest, highest = min(low, self._lowest), max(high, self._highest)
        if highest - lowest >= allowed:
            # Older keys may be gone by now: what came just now decides.
            lowest, highest = low, high
            if high - low >= allowed:
                self._slots = None
                return False
        self._lowest, self._highest = lowest, highest
        if self._slots is not None and self._base <= low:
            end = highest - self._base + 1
            if end <= 2 * allowed and end <= _LIMIT:
                self._span = np.uint64(max(int(self._span), end))
                self._slots.fit(int(self._span))
                return True
        # Room below for as many keys again, so that windows do not move down step by step.
        self._base = max(lowest - (highest - lowest) // 2, -(1 << 63))
        self._span = np.uint64(highest - self._base + 1)
        self._slots = Vector(np.int32)
        self._slots.reserve(int(self._span))
        return not self._slots.prepare(lowest - self._base, highest - self._base + 1)
