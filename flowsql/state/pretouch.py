"""Has the operating system give memory before it is written to.

The first write to a huge page makes the system find and clear two megabytes: 0.2 ms, and 4 ms in
a virtual machine whose host gives it memory as it is asked for. Tables that grow in step cross into
new pages together, so a step of a millisecond would now and then take fifty. A helper thread asks
for the page after the one that is being filled; the call holds no lock of the interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import sys
import threading
from typing import Any, Final

import numpy.typing as npt

__all__ = ["CHUNK", "pretouch"]

CHUNK: Final = 1 << 21  # bytes of a huge page
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE of Linux 5.14


class _Toucher:
    """The thread and what it still has to do."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[npt.NDArray[Any], int]] = queue.SimpleQueue()
        self._madvise: Any = None
        if sys.platform == "linux":
            with contextlib.suppress(OSError, AttributeError):
                self._madvise = ctypes.CDLL(None).madvise
                self._madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self._thread: threading.Thread | None = None

    def want(self, memory: npt.NDArray[Any], chunk: int) -> None:
        if self._madvise is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pretouch", daemon=True)
            self._thread.start()
        self._wanted.put((memory, chunk))

    def _run(self) -> None:
        while self._madvise is not None:
            memory, chunk = self._wanted.get()
            start = memory.ctypes.data
            # Huge pages begin at multiples of their size, the mapping need not.
            first = -(-start // CHUNK) * CHUNK + chunk * CHUNK
            # A kernel that does not know the call refuses: then pages come when they are written.
            if (
                first + CHUNK <= start + memory.nbytes
                and self._madvise(first, CHUNK, _POPULATE_WRITE) != 0
            ):
                self._madvise = None
            # The memory is not kept while nothing is to be done.
            del memory


_toucher = _Toucher()


def _after_fork() -> None:
    """The child has no such thread."""
    global _toucher  # noqa: PLW0603 - threads do not survive a fork
    _toucher = _Toucher()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def pretouch(memory: npt.NDArray[Any], chunk: int) -> None:
    """Have a part of a mapping ready for writing soon; its values stay.

    Args:
        memory: a whole anonymous mapping.
        chunk: number of the `CHUNK` within it.
    """
    _toucher.want(memory, chunk)
