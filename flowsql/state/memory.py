"""Growing arrays that never move: what state tables are made of.

A table of ten million rows must not pay for its growth in one step. A `Vector` therefore reserves
address space, not memory, and the operating system gives pages when they are first written. Where
the space is refused (strict overcommit, an address limit) it grows by copying, and only speed is lost.

A large vector that grows fast gets huge pages: random access to gigabytes is half address
translation. One that grows a few rows at a time gets small ones, so that each step pays for its
own rows: a huge page would make one step in many wait for two megabytes. The system is asked to
join the small pages of what is full, in its own time.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowsql.state.pretouch import CHUNK, pretouch

__all__ = ["Vector"]

_RESERVED: Final = 1 << 31  # elements
_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)
_PAGE: Final = mmap.PAGESIZE
_HUGE: Final = getattr(mmap, "MADV_HUGEPAGE", None)
_SMALL: Final = getattr(mmap, "MADV_NOHUGEPAGE", None)
# From here on a vector is large.
_LARGE: Final = 4 << 20
# Chunks made ready at a time where elements come one after the other, and else.
_AHEAD: Final = 8
_MOST: Final = 64
# Elements that a fast vector grows by in one call, on average over a huge page.
_FAST: Final = 1 << 15


class Vector:
    """A NumPy array with room to grow; new elements are zero.

    Attributes:
        data: at least as long as the largest `fit`; fetch it anew after each `fit`.
        used: the largest `fit` or `reserve`.
    """

    __slots__ = ("_calls", "_chunk", "_huge", "_map", "_reached", "data", "used")

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._map: mmap.mmap | None = None
        self.data: npt.NDArray[Any]
        self.used = 0
        self._chunk = -1  # the last that was made ready
        self._huge: bool | None = None  # which pages come next; None: as the system likes
        self._reached = 0  # elements by then,
        self._calls = 0  # and calls since
        kind = np.dtype(dtype)
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
            self._map = mmap.mmap(-1, _RESERVED * kind.itemsize, flags=flags)
        except (OSError, ValueError, OverflowError):
            self.data = np.zeros(1024, kind)
        else:
            self.data = np.frombuffer(self._map, kind)

    def fit(self, size: int) -> npt.NDArray[Any]:
        """Make room for `size` elements, of which the last come next; returns `data`."""
        if size > self.used:
            self.reserve(size)
            self.expect(size)
        return self.data

    def reserve(self, size: int) -> npt.NDArray[Any]:
        """Make room for `size` elements, in whatever order they come; returns `data`."""
        self.used = max(self.used, size)
        if size > len(self.data):
            grown = np.zeros(max(size, 2 * len(self.data)), self.data.dtype)
            grown[: len(self.data)] = self.data
            self.data = grown
        return self.data

    def expect(self, position: int) -> None:
        """Elements from about `position` on will be written soon: memory is made ready for them."""
        self._calls += 1
        width = self.data.dtype.itemsize
        if self.used * width >= _LARGE and self._map is not None:
            chunk = (position * width + CHUNK // 2) // CHUNK
            if chunk != self._chunk:
                self._enter(chunk, position)

    def prepare(self, start: int, stop: int) -> bool:
        """These elements of a new vector will be written soon, in whatever order.

        Returns:
            Whether there is so much memory to be made ready that waiting a step for it pays.
        """
        width = self.data.dtype.itemsize
        if self._map is None or (stop - start) * width < _LARGE:
            return False
        self._advise(_HUGE, 0)
        self._huge = True
        first = self._chunk = start * width // CHUNK
        last = min(stop * width // CHUNK, first + _MOST)
        for chunk in range(first, last + 1):
            pretouch(self.data, chunk)
        return True

    def _enter(self, chunk: int, position: int) -> None:
        """The chunk will be needed next."""
        grown = position - self._reached
        # What is filled in a circle goes on at the beginning as it came to the end.
        fast = grown >= _FAST * self._calls if grown > 0 else bool(self._huge)
        if self._huge is None and fast:
            self._advise(_HUGE, 0)
        elif fast != self._huge:
            self._advise(_HUGE if fast else _SMALL, chunk)
        if fast:
            # As much as was filled since the last call: what is filled by tens of megabytes a step
            # would else wait for all of them but one.
            filled = chunk - self._chunk if self._chunk >= 0 else 1
            for ahead in range(min(max(filled, 1), _AHEAD)):
                pretouch(self.data, chunk + ahead)
        elif chunk >= 2:
            # The one before is still being filled.
            self._advise(_HUGE, 0, chunk - 1)
        self._huge, self._chunk = fast, chunk
        self._reached, self._calls = position, 0

    def _advise(self, pages: int | None, first: int, stop: int | None = None) -> None:
        """Wish for pages of a size, for chunks from `first` up to `stop` or all."""
        if self._map is not None and pages is not None:
            end = len(self._map) if stop is None else stop * CHUNK
            # Refused where the kernel has none: then all is as before.
            with contextlib.suppress(OSError):
                self._map.madvise(pages, first * CHUNK, end - first * CHUNK)

    def clear(self, start: int, stop: int) -> None:
        """Zero elements; whole pages go back to the operating system."""
        width = self.data.dtype.itemsize
        if self._map is not None and (stop - start) * width >= 1 << 16:
            first = -(-start * width // _PAGE) * _PAGE
            last = stop * width // _PAGE * _PAGE
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
            self.data[start : first // width + 1] = 0
            self.data[last // width : stop] = 0
        else:
            self.data[start:stop] = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the elements that were asked for."""
        return self.used * int(self.data.dtype.itemsize)
