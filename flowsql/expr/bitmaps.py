"""BITMAP values: sets of 32-bit integers, each stored as bytes in the portable Roaring format.

Of all forms in which the format can write a set, one is stored, the shortest, with arrays where
runs are no shorter: so equal sets are equal bytes, and keys, joins and netting need know nothing
of bitmaps. It is what Flink's BITMAP_TO_BYTES writes of a set that was built of integers.

Members are unsigned here, 0 to 4294967295; in SQL's arrays the same 32 bits are a signed INT.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import ConfigError
from flowsql.expr.faults import Fault
from flowsql.expr.vector import each
from flowsql.types.constants import NO_TEXT, join_texts

__all__ = [
    "Bitmap",
    "build",
    "cardinality",
    "combined",
    "dump",
    "load",
    "members",
    "read",
    "require",
    "stored",
    "texts",
]

Ints = npt.NDArray[np.int64]
Members = npt.NDArray[np.uint32]
Bitmap = Any  # pyroaring.BitMap, which is loaded only where there are bitmaps

# Containers of runs are announced by this cookie, and only by it.
_RUNS: Final = 12347
# Characters of a text behind which no further member is written, as in Flink.
_LONG: Final = 0x80000


@cache
def _class() -> Callable[..., Any]:
    try:
        from pyroaring import BitMap  # noqa: PLC0415
    except ImportError as e:
        raise ConfigError(
            "values of type BITMAP need the Python package pyroaring, which is not installed",
            hint='Run: pip install "flowsql[bitmap]"',
        ) from e
    found: Callable[..., Any] = BitMap
    return found


def require() -> None:
    """Raise ConfigError, naming the cure, where bitmaps cannot be computed with."""
    _class()


def build(values: npt.NDArray[Any]) -> Bitmap:
    """The set of 32-bit integers, signed or not, in any order."""
    return _class()(array("I", values.astype(np.uint32, copy=False).tobytes()))


def load(data: bytes) -> Bitmap:
    """A stored value as a set that can be changed."""
    return _class().deserialize(data)  # type: ignore[attr-defined]


def dump(bitmap: Bitmap) -> bytes:
    """The set in its stored form."""
    bitmap.run_optimize()
    data: bytes = bitmap.serialize()
    if data[:2] != _RUNS.to_bytes(2, "little"):
        return data
    containers = _runs_no_shorter(data)
    if not containers:
        return data
    # The library leaves a container of runs as it is where an array is as short.
    for key in containers:
        low, high = key << 16, (key + 1) << 16
        part = (bitmap & _class()(range(low, high))).to_array()
        bitmap.remove_range(low, high)
        bitmap |= build(np.frombuffer(part, np.uint32))
    return bytes(bitmap.serialize())


def _runs_no_shorter(data: bytes) -> list[int]:
    """Keys of the containers of runs that an array would hold in as many bytes."""
    n = int.from_bytes(data[2:4], "little") + 1
    flags = data[4 : 4 + (n + 7) // 8]
    at = 4 + len(flags)
    head = np.frombuffer(data, "<u2", 2 * n, at).reshape(n, 2).tolist()
    at += 4 * n
    if n >= 4:
        at += 4 * n  # where each container begins
    found = []
    for i, (key, less) in enumerate(head):
        count = less + 1
        if flags[i >> 3] >> (i & 7) & 1:
            runs = int.from_bytes(data[at : at + 2], "little")
            at += 2 + 4 * runs
            if count == 2 * runs + 1:
                found.append(key)
        else:
            at += 2 * count if count <= 4096 else 8192
    return found


def read(data: bytes) -> bytes:
    """The stored form of bytes from outside; what follows a bitmap in them is passed over.

    Raises:
        Fault: they are no bitmap.
    """
    try:
        return dump(load(data))
    except (ValueError, IndexError) as e:
        raise Fault(
            f"bytes are no bitmap: {_hex(data)}",
            hint="A bitmap is read in the portable format of Roaring bitmaps for 32 bits: "
            "what BITMAP_TO_BYTES and most Roaring libraries write.",
        ) from e


def stored(column: Any) -> Any:
    """A column of bitmaps from outside as `read` gives them.

    Raises:
        Fault: a value is no bitmap.
    """
    return each(read, pa.binary(), column)


def _hex(data: bytes) -> str:
    return f"X'{data[:8].hex()}'" if len(data) <= 8 else f"X'{data[:8].hex()}…'"


def cardinality(data: bytes) -> int:
    """How many members a stored value has, by its head alone."""
    n, at = int.from_bytes(data[4:8], "little"), 8
    if data[:2] == _RUNS.to_bytes(2, "little"):
        n = int.from_bytes(data[2:4], "little") + 1
        at = 4 + (n + 7) // 8
    return int(np.frombuffer(data, "<u2", 2 * n, at)[1::2].sum(dtype=np.int64)) + n


def members(column: Any, most: int | None = None) -> tuple[Members, Ints]:
    """The members of all values of a column, ascending in each, and how many each has.

    Args:
        column: stored values; NULL has no members.
        most: so many of a value are enough.
    """
    found = [_members(data, most) for data in column.to_pylist()]
    counts = np.fromiter(map(len, found), np.int64, len(found))
    return (np.concatenate(found) if found else np.zeros(0, np.uint32)), counts


def _members(data: bytes | None, most: int | None) -> Members:
    if data is None:
        return np.zeros(0, np.uint32)
    bitmap = load(data)
    if most is not None and len(bitmap) > most:
        bitmap = bitmap[:most]
    return np.frombuffer(bitmap.to_array(), np.uint32)


def texts(column: Any) -> Any:
    """`{1,2,3}` of each value; a long one ends in `,...}`."""
    values, counts = members(column, _LONG)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    numbers = pa.array(values).cast(pa.string())
    joined = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets), numbers), ",")
    if (counts > _LONG // 11).any():
        joined = pa.array(map(_cut, joined.to_pylist()), pa.string())
    text = join_texts("{", joined, "}")
    return pc.if_else(column.is_valid(), text, NO_TEXT) if column.null_count else text


def _cut(text: str) -> str:
    """What Flink writes of it: up to the first comma with which text and brace are too long."""
    at = text.find(",", _LONG - 1)
    return text if at < 0 else f"{text[: at + 1]}..."


def combined(operation: str, values: Sequence[bytes]) -> bytes:
    """One stored value of several from left to right by "AND", "ANDNOT", "OR" or "XOR"."""
    bitmap = load(values[0])
    for data in values[1:]:
        other = load(data)
        if operation == "AND":
            bitmap &= other
        elif operation == "ANDNOT":
            bitmap -= other
        elif operation == "OR":
            bitmap |= other
        else:
            bitmap ^= other
    return dump(bitmap)
