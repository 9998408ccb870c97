"""Byte strings over 12 bytes, kept in chunks and named by the second word of an Arrow view.

Strings in state are Arrow views (16 bytes: length, then either the bytes or four bytes, a buffer's
number and an offset in it). A `Blobs` owns the buffers, so that gathering views is gathering
strings. A chunk whose strings are all gone is dropped; chunks mostly gone are named by `sparse`,
and their owner moves what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.errors import StateError
from flowsql.state.kernels import distinct

__all__ = ["INLINE", "Blobs", "Sweep", "is_long", "pairs_of", "text_array", "text_lengths"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

INLINE: Final = 12
_MOST: Final = (1 << 31) - 1
_LENGTH: Final = np.uint64(0xFFFFFFFF)
_S32: Final = np.uint64(32)
_FIRST_CHUNK: Final = 1 << 16
_MAX_CHUNK: Final = 1 << 23
_MUCH: Final = 1 << 20  # bytes in sparse chunks
_SLICE: Final = 1 << 15  # positions looked at in one step


def is_long(heads: Words) -> Ints:
    """Indices of the views whose bytes stand in a buffer, by their first words."""
    return ((heads & _LENGTH) > INLINE).nonzero()[0]


def text_lengths(heads: Words) -> Ints:
    """int64[n]: the bytes of strings by the first words of their views."""
    return (heads & _LENGTH).view(np.int64)


def pairs_of(array: pa.Array) -> Words:
    """uint64[n, 2]: the views of a string or binary array; zero where NULL, tails of long ones void."""
    views = array.cast(pa.binary_view())
    pairs = np.frombuffer(views.buffers()[1] or b"", np.uint64).reshape(-1, 2)
    pairs = pairs[views.offset : views.offset + len(array)]
    if array.null_count:
        pairs = pairs.copy()
        pairs[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return pairs


class Blobs:
    """Append-only chunks of bytes with a count of live bytes each."""

    __slots__ = ("_buffers", "_free", "_live", "_open", "_used", "chunks")

    def __init__(self) -> None:
        self.chunks: list[npt.NDArray[np.uint8] | None] = []
        self._buffers: list[pa.Buffer] = []
        self._live = np.zeros(8, np.int64)
        self._free: list[int] = []
        self._open = -1  # the chunk that takes new bytes
        self._used = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, live or not."""
        return sum(len(c) for c in self.chunks if c is not None)

    @property
    def buffers(self) -> list[pa.Buffer]:
        """The buffers that views refer to, in order of their numbers."""
        return self._buffers

    def put(self, values: pa.Array) -> Words:
        """Keep the bytes of a binary array without NULL; returns the views' second words."""
        if not len(values):
            return np.zeros(0, np.uint64)
        _, offset_buffer, data_buffer = values.buffers()
        offsets = np.frombuffer(offset_buffer, np.int32)
        offsets = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
        data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
        starts = offsets[:-1] - offsets[0]
        size = len(data)
        chunk = self._room(size)
        stored = self.chunks[chunk]
        assert stored is not None
        stored[self._used : self._used + size] = data
        words = ((starts + self._used).astype(np.uint64) << _S32) | np.uint64(chunk)
        self._used += size
        self._live[chunk] += size
        return words

    def drop(self, heads: Words, tails: Words) -> None:
        """Forget long strings by both words of their views."""
        if not len(tails):
            return
        ids = (tails & _LENGTH).view(np.int64)
        lengths = (heads & _LENGTH).view(np.int64)
        np.subtract.at(self._live, ids, lengths)
        for chunk in distinct(ids).tolist():
            if self._live[chunk] == 0 and chunk != self._open:
                self._discard(chunk)

    def sparse(self) -> list[int]:
        """Full chunks of which less than a third is live; none unless they hold much."""
        held = [
            (i, len(c))
            for i, c in enumerate(self.chunks)
            if c is not None and i != self._open and 3 * self._live[i] < len(c)
        ]
        if 2 * sum(size for _, size in held) < max(2 * _MUCH, self.nbytes):
            return []
        return [i for i, _ in held]

    def _room(self, size: int) -> int:
        stored = self.chunks[self._open] if self._open >= 0 else None
        if stored is not None and self._used + size <= len(stored):
            return self._open
        closed = self._open
        length = max(size, min(_MAX_CHUNK, max(_FIRST_CHUNK, self.nbytes)))
        fresh: npt.NDArray[Any] = np.empty(length, np.uint8)
        if self._free:
            self._open = self._free.pop()
            self.chunks[self._open] = fresh
            self._buffers[self._open] = pa.py_buffer(fresh)
        else:
            self._open = len(self.chunks)
            self.chunks.append(fresh)
            self._buffers.append(pa.py_buffer(fresh))
            if self._open >= len(self._live):
                self._live = np.concatenate([self._live, np.zeros_like(self._live)])
        self._live[self._open] = 0
        self._used = 0
        if closed >= 0 and self._live[closed] == 0:
            self._discard(closed)
        return self._open

    def _discard(self, chunk: int) -> None:
        self.chunks[chunk] = None
        self._buffers[chunk] = _NOTHING
        self._free.append(chunk)


class Sweep:
    """Moves what is left in sparse chunks, some positions a step.

    Args:
        blobs: the chunks.
        read: slice of positions → both words of their views, the first one 0 where nobody lives.
        write: (positions, second words): the strings stand elsewhere now.
    """

    def __init__(
        self,
        blobs: Blobs,
        read: Callable[[slice], tuple[Words, Words]],
        write: Callable[[Ints, Words], None],
    ) -> None:
        self._blobs = blobs
        self._read = read
        self._write = write
        self._sparse: Words | None = None
        self._at = 0

    def step(self, end: int) -> None:
        """Look at the next positions; all are below `end`."""
        if self._sparse is None:
            found = self._blobs.sparse()
            if not found:
                return
            self._sparse, self._at = np.array(found, np.uint64), 0
        part = slice(self._at, min(self._at + _SLICE, end))
        heads, tails = self._read(part)
        long = is_long(heads)
        moving = long[np.isin(tails.take(long) & _LENGTH, self._sparse)]
        if len(moving):
            old_heads, old_tails = heads.take(moving), tails.take(moving)
            pairs = np.stack([old_heads, old_tails], axis=1)
            values = text_array(pairs, len(moving), None, self._blobs, pa.binary())
            self._write(moving + part.start, self._blobs.put(values))
            self._blobs.drop(old_heads, old_tails)
        self._at = part.stop
        if self._at >= end:
            self._sparse = None


_NOTHING: Final = pa.py_buffer(b"")


def text_array(
    pairs: npt.NDArray[Any], length: int, valid: pa.Buffer | None, blobs: Blobs, stored: pa.DataType
) -> pa.Array:
    """A string or binary array of views.

    Args:
        pairs: the views, 16 bytes each, C-contiguous.
        length: number of values.
        valid: Arrow's validity bitmap or None.
        blobs: owner of the buffers.
        stored: `pa.string()` or `pa.binary()`.

    Raises:
        StateError: it would have more than 2 GiB.
    """
    heads = pairs.view(np.uint64).reshape(-1, 2)[:, 0]
    # Arrow's cast does not look: its offsets would wrap around.
    if int(text_lengths(heads).sum()) > _MOST:
        raise StateError(
            "more than 2 GiB of text would stand in one column of a batch",
            hint="Let a step have fewer rows with 'pipeline.step.max-rows'.",
        )
    view = pa.string_view() if stored == pa.string() else pa.binary_view()
    buffers = [valid, pa.py_buffer(pairs), *blobs.buffers]
    return pa.Array.from_buffers(view, length, buffers).cast(stored)
