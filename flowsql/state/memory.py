"""Growing arrays that never move: what state tables are made of.

A table of ten million rows must not pay for its growth in one step. A `Vector` therefore reserves
address space, not memory, and the operating system gives pages when they are first written. Where
the space is refused (strict overcommit, an address limit) it grows by copying, and only speed is lost.
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
_HUGE_PAGES: Final = getattr(mmap, "MADV_HUGEPAGE", None)
# A vector gets huge pages from here on: random access to gigabytes is half address translation.
_LARGE: Final = 4 << 20


class Vector:
    """A NumPy array with room to grow; new elements are zero.

    Attributes:
        data: at least as long as the largest `fit`; fetch it anew after each `fit`.
        used: the largest `fit`.
    """

    __slots__ = ("_chunk", "_map", "data", "used")

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._map: mmap.mmap | None = None
        self.data: npt.NDArray[Any]
        self.used = 0
        self._chunk = -1  # the last that was made ready
        kind = np.dtype(dtype)
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
            self._map = mmap.mmap(-1, _RESERVED * kind.itemsize, flags=flags)
        except (OSError, ValueError, OverflowError):
            self.data = np.zeros(1024, kind)
        else:
            self.data = np.frombuffer(self._map, kind)

    def fit(self, size: int) -> npt.NDArray[Any]:
        """Make room for `size` elements; returns `data`."""
        if size > self.used:
            width = self.data.dtype.itemsize
            if self.used * width < _LARGE <= size * width:
                self._use_huge_pages()
            self.used = size
            self.expect(size)
            if size > len(self.data):
                grown = np.zeros(max(size, 2 * len(self.data)), self.data.dtype)
                grown[: len(self.data)] = self.data
                self.data = grown
        return self.data

    def expect(self, position: int) -> None:
        """Elements from about `position` on will be written soon: memory is made ready for them."""
        width = self.data.dtype.itemsize
        if self.used * width >= _LARGE and self._map is not None:
            chunk = (position * width + CHUNK // 2) // CHUNK
            if chunk != self._chunk:
                self._chunk = chunk
                pretouch(self.data, chunk)

    def _use_huge_pages(self) -> None:
        if self._map is not None and _HUGE_PAGES is not None:
            # Refused where the kernel has none: then all is as before.
            with contextlib.suppress(OSError):
                self._map.madvise(_HUGE_PAGES)

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
