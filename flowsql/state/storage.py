"""Typed columns by position: what rows, values and nested keys are stored in.

A position is a small integer that the owner hands out and takes back. Fixed-width columns are
vectors; strings are vectors of Arrow views over `Blobs`; ROWs are their fields' columns; ARRAY, MAP
and MULTISET values are pieces of Arrow arrays behind a vector of places.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.state.blobs import INLINE, Blobs, Sweep, is_long, pairs_of, text_array, text_lengths
from flowsql.state.kernels import distinct
from flowsql.state.memory import Vector
from flowsql.types import (
    ArrayType,
    BinaryType,
    BitmapType,
    BooleanType,
    CharType,
    DataType,
    MapType,
    MultisetType,
    NullType,
    RowType,
    VarBinaryType,
    VarCharType,
    VariantType,
    arrow_type,
)

__all__ = ["Storage", "make_storage", "validity"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Where = Ints | slice

_PIECE = 1 << 16
# Texts up to so many bytes need not be weighed one by one.
_SHORT = 256


def validity(valid: Bools | None) -> pa.Buffer | None:
    """Arrow's validity bitmap for bool[n], None where all are valid."""
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


class Storage(ABC):
    """Values of one type by position.

    A position holds NULL until it is written where `null_first`, else its first write must come
    before it is read. `drop` must come before a position is written again.
    """

    def __init__(self, data_type: DataType, *, null_first: bool) -> None:
        self.type = data_type
        self.stored = arrow_type(data_type)
        self._null_first = null_first
        # One byte a position, zero for the usual case: NULL where NULL comes first.
        self._flags: Vector | None = Vector(np.uint8) if null_first else None

    def _mark(self, where: Where, array: pa.Array, end: int) -> None:
        """Note which of the values now written are NULL."""
        if array.null_count == 0:
            if self._flags is not None:
                self._flags.fit(end)[where] = 1 if self._null_first else 0
            return
        if self._flags is None:
            self._flags = Vector(np.uint8)
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        self._flags.fit(end)[where] = ~nulls if self._null_first else nulls

    def _valid(self, where: Where) -> Bools | None:
        if self._flags is None:
            return None
        flags = self._flags.data[where]
        return flags != 0 if self._null_first else flags == 0

    @abstractmethod
    def write(self, where: Where, array: pa.Array, end: int) -> None:
        """Store values at different positions, all below `end`."""

    @abstractmethod
    def take(self, positions: Ints) -> pa.Array:
        """The values at `positions`."""

    @abstractmethod
    def widths(self, positions: Ints) -> Ints | int:
        """int64[n]: bytes of the values in an Arrow array; or one number that none exceeds."""

    def drop(self, positions: Ints) -> None:
        """Forget the values at different positions."""
        if self._flags is not None and self._null_first:
            self._flags.data[positions] = 0

    def maintain(self, end: int) -> None:
        """A slice of work that keeps memory in proportion to what is held."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes held."""

    def _flag_bytes(self) -> int:
        return 0 if self._flags is None else self._flags.nbytes


class _Fixed(Storage):
    def __init__(self, data_type: DataType, *, null_first: bool) -> None:
        super().__init__(data_type, null_first=null_first)
        if isinstance(data_type, BooleanType):
            self._width = 1
        else:
            self._width = self.stored.bit_width // 8
        # 16 bytes are moved as complex numbers: only their bits count.
        self._vector = Vector(np.complex128 if self._width == 16 else f"u{self._width}")

    def write(self, where: Where, array: pa.Array, end: int) -> None:
        self._mark(where, array, end)
        data = self._vector.fit(end)
        plain = array.cast(pa.uint8()) if self._bool else array
        buffer = plain.buffers()[1]
        if buffer is None:
            return
        begin = plain.offset * data.itemsize
        data[where] = np.frombuffer(buffer, data.dtype, len(plain), begin)

    @property
    def _bool(self) -> bool:
        return isinstance(self.type, BooleanType)

    def take(self, positions: Ints) -> pa.Array:
        values = self._vector.data.take(positions, mode="clip")
        valid = self._valid(positions)
        if self._bool:
            return pa.array(values != 0, mask=None if valid is None else ~valid)
        return pa.Array.from_buffers(
            self.stored, len(positions), [validity(valid), pa.py_buffer(values)]
        )

    def widths(self, positions: Ints) -> int:
        del positions
        return self._width

    @property
    def nbytes(self) -> int:
        return self._vector.nbytes + self._flag_bytes()


class _Null(Storage):
    def write(self, where: Where, array: pa.Array, end: int) -> None:
        pass

    def take(self, positions: Ints) -> pa.Array:
        return pa.nulls(len(positions))

    def widths(self, positions: Ints) -> int:
        del positions
        return 0

    @property
    def nbytes(self) -> int:
        return 0


class _Text(Storage):
    def __init__(self, data_type: DataType, *, null_first: bool) -> None:
        super().__init__(data_type, null_first=null_first)
        self._views = Vector(np.complex128)
        self._blobs = Blobs()
        self._sweep = Sweep(self._blobs, self._read, self._rewrite)
        self._longest = INLINE

    def _read(self, where: slice) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        pairs = self._views.data[where].view(np.uint64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _rewrite(self, positions: Ints, tails: npt.NDArray[np.uint64]) -> None:
        pairs = self._views.data.view(np.uint64).reshape(-1, 2)
        pairs[positions, 1] = tails

    def maintain(self, end: int) -> None:
        self._sweep.step(min(end, self._views.used))

    def write(self, where: Where, array: pa.Array, end: int) -> None:
        self._mark(where, array, end)
        pairs = pairs_of(array)
        long = is_long(pairs[:, 0])
        if len(long):
            self._longest = max(self._longest, int(text_lengths(pairs[long, 0]).max()))
            pairs = pairs.copy()
            pairs[long, 1] = self._blobs.put(array.cast(pa.binary()).take(pa.array(long)))
        self._views.fit(end)[where] = np.ascontiguousarray(pairs).view(np.complex128)[:, 0]

    def take(self, positions: Ints) -> pa.Array:
        views = self._views.data.take(positions, mode="clip")
        return text_array(
            views, len(positions), validity(self._valid(positions)), self._blobs, self.stored
        )

    def widths(self, positions: Ints) -> Ints | int:
        if self._longest <= _SHORT:
            return self._longest + 4
        views = self._views.data.take(positions, mode="clip")
        return text_lengths(views.view(np.uint64).reshape(-1, 2)[:, 0]) + 4

    def drop(self, positions: Ints) -> None:
        super().drop(positions)
        if not self._blobs.chunks:
            return
        pairs = self._views.data.take(positions).view(np.uint64).reshape(-1, 2)
        long = is_long(pairs[:, 0])
        if len(long):
            self._blobs.drop(pairs[long, 0], pairs[long, 1])
            self._views.data[positions[long]] = 0

    @property
    def nbytes(self) -> int:
        return self._views.nbytes + self._blobs.nbytes + self._flag_bytes()


class _Row(Storage):
    def __init__(self, data_type: RowType, *, null_first: bool) -> None:
        super().__init__(data_type, null_first=null_first)
        self._fields = [make_storage(f.type, null_first=null_first) for f in data_type.fields]

    def write(self, where: Where, array: pa.Array, end: int) -> None:
        self._mark(where, array, end)
        for field, child in zip(self._fields, array.flatten(), strict=True):
            field.write(where, child, end)

    def take(self, positions: Ints) -> pa.Array:
        valid = self._valid(positions)
        children = [f.take(positions) for f in self._fields]
        mask = None if valid is None else pa.array(~valid)
        return pa.StructArray.from_arrays(children, fields=list(self.stored), mask=mask)

    def widths(self, positions: Ints) -> Ints | int:
        return sum((f.widths(positions) for f in self._fields), 0)

    def drop(self, positions: Ints) -> None:
        super().drop(positions)
        for field in self._fields:
            field.drop(positions)

    def maintain(self, end: int) -> None:
        for field in self._fields:
            field.maintain(end)

    @property
    def nbytes(self) -> int:
        return sum(f.nbytes for f in self._fields) + self._flag_bytes()


class _Nested(Storage):
    """Pieces of Arrow arrays. The place of a value is its number since the beginning of time.

    Small pieces are joined as they come, so that their number stays logarithmic in those of one
    size; a piece whose values are all dropped is forgotten, one of which few are left is written
    again behind the others.
    """

    def __init__(self, data_type: DataType, *, null_first: bool) -> None:
        super().__init__(data_type, null_first=null_first)
        self._places = Vector(np.int64)  # place + 1, 0 for never written
        self._owners: list[Ints] = []  # by piece: the position of each value, −1 if dropped
        self._pieces: list[pa.Array] = []
        self._starts = np.zeros(0, np.int64)
        self._live: list[int] = []
        self._next = 0

    def write(self, where: Where, array: pa.Array, end: int) -> None:
        self._mark(where, array, end)
        n = len(array)
        if n == 0:
            return
        places = np.arange(self._next + 1, self._next + 1 + n)
        self._places.fit(end)[where] = places
        owners = np.arange(where.start, where.stop) if isinstance(where, slice) else where
        self._append(array, owners.astype(np.int64))

    def _append(self, array: pa.Array, owners: Ints) -> None:
        self._pieces.append(array)
        self._owners.append(owners.copy())
        self._starts = np.append(self._starts, self._next)
        self._live.append(len(array))
        self._next += len(array)
        while len(self._pieces) > 1 and self._joinable():
            b, a = self._pieces.pop(), self._pieces.pop()
            self._pieces.append(pa.concat_arrays([a, b]))
            bo, ao = self._owners.pop(), self._owners.pop()
            self._owners.append(np.concatenate([ao, bo]))
            self._starts = self._starts[:-1]
            last = self._live.pop()
            self._live[-1] += last

    def _joinable(self) -> bool:
        a, b = len(self._pieces[-2]), len(self._pieces[-1])
        adjacent = int(self._starts[-2]) + a == int(self._starts[-1])
        return adjacent and a <= 2 * b and a + b <= _PIECE

    def take(self, positions: Ints) -> pa.Array:
        places = self._places.data.take(positions, mode="clip") - 1
        valid = self._valid(positions)
        known = places >= 0 if valid is None else (places >= 0) & valid
        if not known.any():
            return pa.nulls(len(positions), self.stored)
        piece = np.searchsorted(self._starts, places, side="right") - 1
        piece[~known] = -1
        parts, order = [], []
        for number in distinct(piece).tolist():
            rows = (piece == number).nonzero()[0]
            if number < 0:
                parts.append(pa.nulls(len(rows), self.stored))
            else:
                inside = places.take(rows) - self._starts[number]
                parts.append(self._pieces[number].take(pa.array(inside)))
            order.append(rows)
        joined = pa.concat_arrays(parts)
        back = np.empty(len(positions), np.int64)
        back[np.concatenate(order)] = np.arange(len(positions))
        return joined.take(pa.array(back))

    def widths(self, positions: Ints) -> int:
        del positions
        # Their mean.
        held = sum(map(len, self._pieces))
        return sum(p.nbytes for p in self._pieces) // max(1, held)

    def drop(self, positions: Ints) -> None:
        super().drop(positions)
        places = self._places.data.take(positions) - 1
        gone = places[places >= 0]
        self._places.data[positions] = 0
        piece = np.searchsorted(self._starts, gone, side="right") - 1
        for number in distinct(piece).tolist():
            inside = gone[piece == number] - self._starts[number]
            self._owners[number][inside] = -1
            self._live[number] -= len(inside)
        self._collect()

    def _collect(self) -> None:
        """Forget empty pieces and write sparse ones again, a piece at a time."""
        dead = [i for i, live in enumerate(self._live) if live == 0]
        for i in reversed(dead):
            del self._pieces[i], self._owners[i], self._live[i]
        if dead:
            self._starts = np.delete(self._starts, dead)
        for i, live in enumerate(self._live):
            if 4 * live < len(self._pieces[i]) and i + 1 < len(self._pieces):
                inside = (self._owners[i] >= 0).nonzero()[0]
                owners = self._owners[i].take(inside)
                array = self._pieces[i].take(pa.array(inside))
                del self._pieces[i], self._owners[i], self._live[i]
                self._starts = np.delete(self._starts, i)
                self._places.data[owners] = np.arange(self._next + 1, self._next + 1 + live)
                self._append(array, owners)
                return

    @property
    def nbytes(self) -> int:
        return (
            self._places.nbytes
            + sum(p.nbytes for p in self._pieces)
            + sum(o.nbytes for o in self._owners)
            + self._flag_bytes()
        )


def make_storage(data_type: DataType, *, null_first: bool = False) -> Storage:
    """The storage for values of `data_type`.

    Args:
        data_type: their Flink type.
        null_first: positions that were never written, or were dropped, read as NULL.
    """
    kind: Any  # each takes the type it is chosen for
    match data_type:
        case NullType():
            kind = _Null
        case CharType() | VarCharType() | BinaryType() | VarBinaryType():
            kind = _Text
        case BitmapType() | VariantType():
            kind = _Text
        case RowType():
            kind = _Row
        case ArrayType() | MapType() | MultisetType():
            kind = _Nested
        case _:
            kind = _Fixed
    return kind(data_type, null_first=null_first)
