"""Row number → position, while rows come, go and are moved together.

Row numbers count up for ever; positions are reused. Numbers are cut into pages of 4,096. A page
whose rows are mostly live stands in a frame of as many positions, so that one lookup a page finds
a row. When less than a quarter of a full frame is live, its rows move to frames of strays, which a
hash table finds one by one, and the frame is used again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from flowsql.errors import InternalError
from flowsql.state.kernels import HashTable, distinct
from flowsql.state.memory import Vector

__all__ = ["PAGE", "RowMap"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_BITS: Final = 12
PAGE: Final = 1 << _BITS
_MASK: Final = PAGE - 1
_NO_FRAME: Final = -1
_STRAYS: Final = -2  # a frame's page, where it holds strays
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)


class RowMap:
    """Hands out row numbers and positions.

    Attributes:
        next: the next row number.
        end: all positions are below this.
    """

    __slots__ = (
        "_closed",
        "_closed_strays",
        "_frame_page",
        "_free",
        "_identity",
        "_live",
        "_numbers",
        "_page_base",
        "_page_frame",
        "_stray_at",
        "_strays",
        "end",
        "next",
    )

    def __init__(self) -> None:
        self.next = 0
        self.end = 0
        self._page_base = 0  # pages below have no frame
        self._page_frame = np.full(16, _NO_FRAME, np.int64)
        self._frame_page = np.full(16, _NO_FRAME, np.int64)
        self._live = np.zeros(16, np.int64)  # live rows by frame
        self._free: list[int] = []
        self._closed: list[int] = []  # pages and frames of strays that became full
        self._closed_strays: list[int] = []
        self._identity = True  # page p stands in frame p, for all pages
        self._strays = HashTable()
        self._numbers: Vector | None = None  # row number by position, in frames of strays
        self._stray_at = 0  # next position for a stray; at a frame's start: none is open

    @property
    def nbytes(self) -> int:
        """Bytes of the map."""
        size = self._page_frame.nbytes + self._frame_page.nbytes + self._live.nbytes
        return size + self._strays.nbytes + (self._numbers.nbytes if self._numbers else 0)

    # -- lookup --------------------------------------------------------------------------------

    def positions(self, rows: Ints) -> Ints:
        """int64[n]: where rows stand; −1 for rows that are gone (or still: a dead row's place)."""
        if self._identity:
            return rows
        page = rows >> _BITS
        page -= self._page_base
        frame = self._page_frame.take(page, mode="clip")
        frame[page < 0] = _NO_FRAME
        found = (frame << _BITS) | (rows & _MASK)
        strays = (frame < 0).nonzero()[0]
        if len(strays):
            found[strays] = self._find_strays(rows.take(strays))
        return found

    def known(self, rows: Ints) -> Ints:
        """`positions` of rows that must be there."""
        found = self.positions(rows)
        if len(found) and int(found.min()) < 0:
            raise InternalError("a row number does not exist any more")
        return found

    def _find_strays(self, rows: Ints) -> Ints:
        numbers = self._numbers
        if numbers is None:
            return np.full(len(rows), -1, np.int64)

        def verify(asked: Ints | None, at: Ints) -> Bools:
            wanted = rows if asked is None else rows.take(asked)
            return numbers.data.take(at, mode="clip") == wanted

        return self._strays.find(_hash(rows), verify)

    def numbers(self, positions: Ints) -> Ints:
        """int64[n]: the row numbers that stand at live positions."""
        if self._identity:
            return positions
        rows = self._frame_page.take(positions >> _BITS)
        strays = (rows == _STRAYS).nonzero()[0]
        rows <<= _BITS
        rows |= positions & _MASK
        if len(strays) and self._numbers is not None:
            rows[strays] = self._numbers.data.take(positions.take(strays))
        return rows

    # -- coming --------------------------------------------------------------------------------

    def append(self, count: int) -> tuple[Ints, Ints | slice]:
        """New row numbers, ascending, and their positions (a slice where they are adjacent)."""
        rows = np.arange(self.next, self.next + count)
        first_page = -(-self.next // PAGE)
        self.next += count
        last_page = -(-self.next // PAGE)
        for page in range(first_page, last_page):
            if page:
                self._closed.append(page - 1)
            self._give_frame(page, self._take_frame())
        self._count(rows)
        positions = self.positions(rows)
        # Frames are adjacent unless one of them was used before.
        if count and (self._identity or bool((np.diff(positions) == 1).all())):
            return rows, slice(int(positions[0]), int(positions[-1]) + 1)
        return rows, positions

    def _count(self, rows: Ints) -> None:
        if not len(rows):
            return
        first, last = int(rows[0]) >> _BITS, int(rows[-1]) >> _BITS
        for page in range(first, last + 1):
            start = max(page << _BITS, int(rows[0]))
            stop = min((page + 1) << _BITS, int(rows[-1]) + 1)
            self._live[self._page_frame[page - self._page_base]] += stop - start

    def _take_frame(self) -> int:
        if self._free:
            return self._free.pop()
        frame = self.end >> _BITS
        self.end += PAGE
        if frame >= len(self._live):
            more = len(self._live)
            self._live = np.concatenate([self._live, np.zeros(more, np.int64)])
            self._frame_page = np.concatenate([self._frame_page, np.full(more, _NO_FRAME)])
        return frame

    def _give_frame(self, page: int, frame: int) -> None:
        place = page - self._page_base
        if place >= len(self._page_frame):
            self._make_room(page)
            place = page - self._page_base
        self._page_frame[place] = frame
        self._frame_page[frame] = page
        self._identity = self._identity and frame == page

    def _make_room(self, page: int) -> None:
        """Forget pages without a frame at the beginning, and double what is left."""
        kept = (self._page_frame >= 0).nonzero()[0]
        first = int(kept[0]) if len(kept) else len(self._page_frame)
        rest = self._page_frame[first:]
        self._page_base += first
        if not len(rest):
            self._page_base = page
        self._identity = self._identity and self._page_base == 0
        size = max(16, 2 * len(rest), page - self._page_base + 1)
        self._page_frame = np.full(size, _NO_FRAME, np.int64)
        self._page_frame[: len(rest)] = rest

    # -- going ---------------------------------------------------------------------------------

    def release(self, positions: Ints) -> tuple[list[int], list[int]]:
        """Rows at different positions died; returns (frames now empty, frames now sparse).

        Empty frames have to be `reuse`d, sparse ones `evacuate`d, when the owner is ready.
        """
        frames = positions >> _BITS
        np.subtract.at(self._live, frames, 1)
        if self._numbers is not None:
            strays = positions[self._frame_page.take(frames) == _STRAYS]
            if len(strays):
                self._strays.delete(_hash(self._numbers.data.take(strays)), strays)
        touched = distinct(np.concatenate([frames, self._newly_closed()]))
        closed = touched[self._is_closed(touched)]
        live = self._live.take(closed)
        empty = closed[live == 0].tolist()
        sparse = closed[(live > 0) & (live < PAGE // 4)].tolist()
        return empty, sparse

    def _newly_closed(self) -> Ints:
        """Frames that became full since the last call: their rows may have died before."""
        pages = np.array(self._closed, np.int64) - self._page_base
        pages = pages[pages >= 0]
        frames = self._page_frame.take(pages)
        strays = np.array(self._closed_strays, np.int64)
        self._closed, self._closed_strays = [], []
        return np.concatenate([frames[frames >= 0], strays])

    @property
    def has_closed(self) -> bool:
        """Whether `release` has frames to judge even where no row died."""
        return bool(self._closed or self._closed_strays)

    def _is_closed(self, frames: Ints) -> Bools:
        """No more rows will be added to the frame."""
        page = self._frame_page.take(frames)
        open_page = self.next >> _BITS if self.next & _MASK else _NO_FRAME
        open_stray = self._stray_at >> _BITS if self._stray_at & _MASK else _NO_FRAME
        return (page != open_page) & (frames != open_stray) & (page != _NO_FRAME)

    def live(self, frame: int) -> int:
        """How many rows of a frame are live."""
        return int(self._live[frame])

    def reuse(self, frame: int) -> slice:
        """An empty frame may hold other rows; returns its positions."""
        page = int(self._frame_page[frame])
        if page >= 0:
            self._page_frame[page - self._page_base] = _NO_FRAME
        self._frame_page[frame] = _NO_FRAME
        self._identity = False
        self._free.append(frame)
        return slice(frame << _BITS, (frame + 1) << _BITS)

    def evacuate(self, old: Ints) -> Ints:
        """New positions for the live rows of one frame, which is empty afterwards."""
        rows = self.numbers(old)
        frame = int(old[0]) >> _BITS
        if self._frame_page[frame] == _STRAYS:
            self._strays.delete(_hash(rows), old)
        self._live[frame] = 0
        self._identity = False
        return self.add_strays(rows)

    def add_strays(self, rows: Ints) -> Ints:
        """Positions for rows that are found one by one."""
        parts: list[Ints] = []
        wanted = len(rows)
        if self._numbers is None:
            self._numbers = Vector(np.int64)
        while wanted:
            if self._stray_at & _MASK == 0:
                if self._stray_at:
                    self._closed_strays.append((self._stray_at >> _BITS) - 1)
                frame = self._take_frame()
                self._frame_page[frame] = _STRAYS
                self._stray_at = frame << _BITS
            size = min(wanted, PAGE - (self._stray_at & _MASK))
            parts.append(np.arange(self._stray_at, self._stray_at + size))
            self._live[self._stray_at >> _BITS] += size
            self._stray_at += size
            wanted -= size
        new = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        self._numbers.fit(self.end)[new] = rows
        self._strays.insert(_hash(rows), new)
        return new

    # -- restore -------------------------------------------------------------------------------

    def restore(self, next_row: int, pages: Ints, counts: Ints) -> None:
        """Give frames to the pages of which enough rows live; before any row is placed.

        Args:
            next_row: the next row number of the checkpoint.
            pages: all pages with live rows, ascending.
            counts: live rows of each.
        """
        self.next = -(-next_row // PAGE) * PAGE
        dense = pages[counts >= PAGE // 4]
        self._identity = False
        self._page_base = int(dense[0]) if len(dense) else self.next >> _BITS
        for page, count in zip(dense.tolist(), counts[counts >= PAGE // 4].tolist(), strict=True):
            frame = self._take_frame()
            self._give_frame(page, frame)
            self._live[frame] = count
        last = self.next >> _BITS
        if last - self._page_base >= len(self._page_frame):
            self._make_room(last)

    def place(self, rows: Ints) -> Ints:
        """Positions of restored rows; strays are made on the way."""
        page = (rows >> _BITS) - self._page_base
        frame = self._page_frame.take(page, mode="clip")
        frame[page < 0] = _NO_FRAME
        found = (frame << _BITS) | (rows & _MASK)
        strays = (frame < 0).nonzero()[0]
        found[strays] = self.add_strays(rows.take(strays))
        return found


def _hash(rows: Ints) -> Words:
    h = rows.view(np.uint64) * _MULTIPLIER
    h ^= h >> np.uint64(32)
    h *= _MULTIPLIER
    return h
