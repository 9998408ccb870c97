"""Values that lie scattered in a buffer, read for all rows at once.

A `Scattered` buffer has zero bytes behind its end, so that a number may be read at the end of any
row. A place further out is an IndexError: who walks along lengths that were sent catches it, and
compares where the walk ends with where the rows do before it reads any value.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["LARGEST", "Places", "Scattered", "packed", "slices", "strings_of"]

Places = npt.NDArray[np.intp]

# Arrow's string offsets have 31 bits.
LARGEST: Final = (1 << 31) - 64
_PADDING: Final = 16
_NATIVE: Final = {
    form: np.dtype(form).newbyteorder("=")
    for form in (">i2", ">u2", ">i4", ">u4", ">i8", ">f4", ">f8")
}


class Scattered:
    """Bytes, and integers in network order that begin at any of them."""

    __slots__ = ("_buffer", "_padded", "_views", "octets", "size")

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._padded = b"".join((*pieces, bytes(_PADDING)))
        self.size = len(self._padded) - _PADDING
        self._buffer = pa.py_buffer(self._padded)
        self._views: dict[str, npt.NDArray[Any]] = {}
        self.octets = np.frombuffer(self._padded, np.uint8)

    def piece(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`."""
        return self._padded[start:end]

    def numbers(self, places: Places, form: str) -> npt.NDArray[Any]:
        """One value of the NumPy type `form` (`>i4`) at each place, in the machine's order."""
        at_any_byte = self._views.get(form)
        if at_any_byte is None:
            dtype = np.dtype(form)
            count = len(self._padded) - dtype.itemsize + 1
            at_any_byte = np.ndarray((count,), dtype, self._padded, strides=(1,))
            self._views[form] = at_any_byte
        return at_any_byte[places].astype(_NATIVE[form])

    def int16(self, places: Places) -> npt.NDArray[np.int16]:
        """16 bits, signed."""
        return self.numbers(places, ">i2")

    def int32(self, places: Places) -> npt.NDArray[np.int32]:
        """32 bits, signed."""
        return self.numbers(places, ">i4")

    def int64(self, places: Places) -> npt.NDArray[np.int64]:
        """64 bits, signed."""
        return self.numbers(places, ">i8")

    def blocks(self, places: Places, size: int) -> npt.NDArray[np.uint8]:
        """uint8[n, size]: so many bytes at each place, which must have them."""
        at_any_byte = np.ndarray(
            (len(self._padded) - size + 1,), f"V{size}", self._padded, strides=(1,)
        )
        return at_any_byte[places].view(np.uint8).reshape(len(places), size)

    def slices(
        self, starts: Places, ends: Places, valid: npt.NDArray[np.bool_] | None
    ) -> pa.BinaryArray:
        """As the function `slices`, of these bytes."""
        return slices(self._buffer, starts, ends, valid)


def slices(
    data: pa.Buffer, starts: Places, ends: Places, valid: npt.NDArray[np.bool_] | None
) -> pa.BinaryArray:
    """The bytes between each start and end as one binary column.

    Args:
        data: all bytes, below 2 GiB.
        starts: rising; no slice begins before the one before it ends.
        ends: of a row that is not valid the same as its start.
        valid: False makes NULL; None where all are.
    """
    rows = len(starts)
    if rows == 0:
        return pa.array([], pa.binary())
    # Slices and the gaps between them are one long column; every other value is a slice.
    offsets = np.empty(2 * rows, np.int32)
    offsets[0::2] = starts
    offsets[1::2] = ends
    both = pa.Array.from_buffers(pa.binary(), 2 * rows - 1, [None, pa.py_buffer(offsets), data])
    chosen = both.filter(_every_other(rows))
    if valid is None:
        return chosen
    return pa.Array.from_buffers(
        pa.binary(), rows, [packed(valid), *chosen.buffers()[1:]], offset=chosen.offset
    )


@lru_cache(maxsize=8)
def _every_other(rows: int) -> pa.BooleanArray:
    bits = b"\x55" * ((2 * rows + 7) // 8)
    return pa.Array.from_buffers(pa.bool_(), 2 * rows - 1, [None, pa.py_buffer(bits)])


def packed(valid: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    """A mask as Arrow's bitmap; None stays None."""
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))


def strings_of(values: pa.BinaryArray) -> pa.StringArray:
    """The same bytes as text; raises pa.ArrowInvalid where they are not UTF-8."""
    # Eight times as fast as a cast for few rows, and the same check.
    text = values.view(pa.string())
    text.validate(full=True)
    return text
