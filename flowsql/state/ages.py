"""Numbers by the time of their last write, taken out in slices once that is long ago.

What a table keeps for a while is found again by when it was written. A number stands in the queue
once; a later write leaves it where it is, and when it comes out its owner puts it back by then.
Times fall into buckets, so that putting in costs an append, and taking out what is taken out,
whatever waits. A number comes out up to a bucket's width late: whether it is over its owner
decides by the time it keeps itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["WRITTEN", "AgeQueue"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# The column with the time of the last write, in milliseconds.
WRITTEN: Final = "written"

# Buckets that a lifetime is divided into: what is over is held so much longer at most.
_BUCKETS: Final = 32
_CHUNK: Final = 1 << 14


class _Bucket:
    """Numbers in chunks; the last is filled up before another one is begun."""

    __slots__ = ("chunks", "filled")

    def __init__(self) -> None:
        self.chunks: list[Ints] = []
        self.filled = 0  # of the last chunk

    def put(self, numbers: Ints) -> None:
        at = 0
        while at < len(numbers):
            if not self.chunks or self.filled == len(self.chunks[-1]):
                # As large as what there is, so that few numbers take little room.
                held = sum(map(len, self.chunks[-2:]))
                room = min(_CHUNK, max(held, len(numbers) - at, 16))
                self.chunks.append(np.empty(room, np.int64))
                self.filled = 0
            chunk = self.chunks[-1]
            size = min(len(chunk) - self.filled, len(numbers) - at)
            chunk[self.filled : self.filled + size] = numbers[at : at + size]
            self.filled += size
            at += size

    def take(self, most: int) -> Ints:
        """At most so many numbers, the last first."""
        parts: list[Ints] = []
        while self.chunks and most:
            size = min(self.filled, most)
            parts.append(self.chunks[-1][self.filled - size : self.filled])
            self.filled -= size
            most -= size
            if not self.filled:
                self.chunks.pop()
                self.filled = len(self.chunks[-1]) if self.chunks else 0
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class AgeQueue:
    """A queue of numbers that live for `ttl` milliseconds after their last write."""

    def __init__(self, ttl: int) -> None:
        self._width = max(1, ttl // _BUCKETS)
        self._buckets: dict[int, _Bucket] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, time: int, numbers: Ints) -> None:
        """Numbers that were written at `time` (milliseconds)."""
        if len(numbers):
            self._buckets.setdefault(time // self._width, _Bucket()).put(numbers)
            self._size += len(numbers)

    def put_each(self, times: Ints, numbers: Ints) -> None:
        """Numbers that were written at different times."""
        if not len(numbers):
            return
        at = times // self._width
        order = np.argsort(at, kind="stable")
        at, numbers = at.take(order), numbers.take(order)
        starts = np.concatenate([[0], (at[1:] != at[:-1]).nonzero()[0] + 1, [len(at)]])
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            self.put(int(at[start]) * self._width, numbers[start:stop])

    def take(self, time: int, most: int) -> Ints:
        """At most so many of the numbers that were put in for times up to `time`."""
        parts: list[Ints] = []
        last = (time + 1) // self._width - 1
        for bucket in sorted(b for b in self._buckets if b <= last):
            part = self._buckets[bucket].take(most)
            parts.append(part)
            most -= len(part)
            self._size -= len(part)
            if not self._buckets[bucket].chunks:
                del self._buckets[bucket]
            if not most:
                break
        if not parts:
            return np.zeros(0, np.int64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def keep(self, wanted: Callable[[Ints], Bools]) -> None:
        """Leave out all other numbers.

        Args:
            wanted: bool[n] for numbers.
        """
        held, self._buckets = self._buckets, {}
        size, self._size = self._size, 0
        for bucket in list(held):
            numbers = held.pop(bucket).take(size)
            self.put(bucket * self._width, numbers[wanted(numbers)])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(c.nbytes for b in list(self._buckets.values()) for c in b.chunks)
