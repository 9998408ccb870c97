"""`RowLists`: slot → row numbers in order of arrival.

One row of a slot stands in the slot's own word. More of them stand next to each other in an extent
of a shared pool, which is moved to one twice as large when it is full, at most 65,536 rows; full
extents of hot slots are chained. A probe is a few vector calls however often a key came, and an
added row is moved a constant number of times on average.

Pairs whose row is gone are not returned; they are dropped when their extent is moved, and at the end
of a step in which a probe met many of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog.hashing import sort_small
from flowsql.state.kernels import distinct, expand, runs
from flowsql.state.key_index import KeyIndex
from flowsql.state.memory import Vector
from flowsql.state.rows import Rows
from flowsql.state.spec import RowListsSpec
from flowsql.state.table import DirtyMarks, Segment, Table, TableStats

__all__ = ["RowLists"]

Ints = npt.NDArray[np.int64]

_MAX_BITS: Final = 16
_MAX: Final = 1 << _MAX_BITS
_SCHEMA: Final = pa.schema([pa.field("$slot", pa.int64()), pa.field("$row", pa.int64())])
_BATCH: Final = 1 << 16


class RowLists(Table):
    """Row numbers of one `Rows` table behind slots.

    The slots are those of one `KeyIndex`, which tells of released ones if it is given; a table
    whose slots are numbered otherwise calls `expire`.
    """

    def __init__(self, spec: RowListsSpec, rows: Rows, index: KeyIndex | None = None) -> None:
        self.name = spec.name
        self.spec = spec
        self._rows = rows
        self._count = Vector(np.int32)  # entries of the slot's current extent
        self._head = Vector(np.int64)  # the row (count 1 and no extent), or the extent's start
        self._bits = Vector(np.uint8)  # log2 of the extent's size, 0: no extent
        self._pool = Vector(np.int64)
        self._free: list[list[Ints]] = [[] for _ in range(_MAX_BITS + 1)]
        self._chains: dict[
            int, list[tuple[int, int]]
        ] = {}  # hot slot: (start, count), oldest first
        self._thin: list[Ints] = []  # slots of which many pairs are dead
        self._pairs = 0
        self._added = 0
        self._dirty = DirtyMarks()
        if index is not None:
            index.on_release(self.expire)

    def add(self, slots: Ints, rows: Ints) -> None:
        """Append pairs; within a slot they keep this order."""
        n = len(slots)
        if n == 0:
            return
        order, ordered = sort_small(slots)
        start, more = runs(ordered)
        touched = ordered.take(start)
        sorted_rows = rows.take(order)
        end = int(ordered[-1]) + 1
        count, head, bits = self._count.fit(end), self._head.fit(end), self._bits.fit(end)
        self._dirty.mark(touched, end)
        self._pairs += n
        self._added += n
        had = count.take(touched).astype(np.int64)
        inline = bits.take(touched) == 0
        if self._rows.had_removals:
            self._forget_dead(touched, had, inline)
        lone = inline & (had + more == 1)
        if lone.all():
            head[touched] = sorted_rows
            count[touched] = 1
            return
        first = lone.nonzero()[0]
        at = touched.take(first)
        head[at] = sorted_rows.take(start.take(first))
        count[at] = 1
        rest = (~lone).nonzero()[0]
        touched, had, more, start = (a.take(rest) for a in (touched, had, more, start))
        wanted = had + more
        level = bits.take(touched)
        room = np.where(level == 0, 0, np.int64(1) << level.astype(np.int64))
        small = ((wanted > room) & (wanted <= _MAX)).nonzero()[0]
        if len(small):
            self._move(touched.take(small), more.take(small))
            had[small] = count.take(touched.take(small))
        hot = ((wanted > room) & (wanted > _MAX)).nonzero()[0]
        for i in hot.tolist():
            part = sorted_rows[start[i] : start[i] + more[i]]
            self._add_hot(int(touched[i]), part)
        if len(hot):
            keep = np.ones(len(touched), np.bool_)
            keep[hot] = False
            touched, had, more, start = (a[keep] for a in (touched, had, more, start))
        item, source = expand(start, more)
        number = source - start.take(item)
        place = (head.take(touched) + had).take(item) + number
        self._pool.data[place] = sorted_rows.take(source)
        count[touched] = had + more

    def probe(self, slots: Ints) -> tuple[Ints, Ints]:
        """All pairs of each slot.

        Args:
            slots: int64[n], may repeat; −1 has no pairs.

        Returns:
            (probe_index, rows): int64[m] each; index into `slots`, ascending; row numbers of
            rows that are there, in order of arrival for each probe.
        """
        end = self._count.used
        if not end:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        count = self._count.data.take(slots, mode="clip").astype(np.int64)
        head = self._head.data.take(slots, mode="clip")
        outside = (slots < 0) | (slots >= end)
        count[outside] = 0
        if self._chains:
            probe, found = self._probe_chains(slots, count, head)
        elif not len(count) or int(count.max()) <= 1:
            probe = count.nonzero()[0]
            found = self._lone(slots, head, probe)
        else:
            probe, place = expand(head, count)
            found = self._gather(slots, head, probe, place)
        if not self._rows.had_removals or not len(found):
            return probe, found
        alive = self._rows.alive(found)
        if alive.all():
            return probe, found
        self._note_thin(slots, probe, alive)
        keep = alive.nonzero()[0]
        return probe.take(keep), found.take(keep)

    def _lone(self, slots: Ints, head: Ints, probe: Ints) -> Ints:
        """At most one pair a slot: the word itself, or the first of an extent that was emptied."""
        found = head.take(probe)
        bits = self._bits.data.take(slots.take(probe))
        extent = bits.nonzero()[0]
        if len(extent):
            found[extent] = self._pool.data.take(found.take(extent))
        return found

    def _gather(self, slots: Ints, head: Ints, item: Ints, place: Ints) -> Ints:
        inline = self._bits.data.take(slots, mode="clip") == 0
        rows = self._pool.data.take(place, mode="clip")
        if inline.any():
            rows = np.where(inline.take(item), head.take(item), rows)
        return rows

    def _probe_chains(self, slots: Ints, count: Ints, head: Ints) -> tuple[Ints, Ints]:
        """As `probe`, where some slots have more than one extent."""
        hot = np.array(sorted(self._chains), np.int64)
        nearest = np.searchsorted(hot, slots)
        is_hot = hot.take(nearest, mode="clip") == slots
        extents = [self._chains[s] for s in hot.tolist()]
        sizes = np.array([len(e) for e in extents], np.int64)
        table = np.array([pair for e in extents for pair in e], np.int64).reshape(-1, 2)
        first = np.cumsum(sizes) - sizes
        # Every probe has its chained ranges, then the current one.
        chained = np.where(is_hot, sizes.take(nearest, mode="clip"), 0)
        probe, number = expand(np.zeros(len(slots), np.int64), chained + 1)
        current = number == chained.take(probe)
        line = first.take(nearest.take(probe), mode="clip") + number
        starts = np.where(current, head.take(probe), table[:, 0].take(line, mode="clip"))
        counts = np.where(current, count.take(probe), table[:, 1].take(line, mode="clip"))
        item, place = expand(starts, counts)
        inline = current & (self._bits.data.take(slots, mode="clip") == 0).take(probe)
        rows = self._pool.data.take(place, mode="clip")
        rows = np.where(inline.take(item), starts.take(item), rows)
        return probe.take(item), rows

    def _forget_dead(self, slots: Ints, had: Ints, inline: npt.NDArray[np.bool_]) -> None:
        """A slot whose only row is gone is as good as new."""
        single = (inline & (had == 1)).nonzero()[0]
        at = slots.take(single)
        dead = (~self._rows.alive(self._head.data.take(at))).nonzero()[0]
        self._count.data[at.take(dead)] = 0
        had[single.take(dead)] = 0
        self._pairs -= len(dead)

    # -- extents -------------------------------------------------------------------------------

    def _allocate(self, level: int, number: int) -> Ints:
        """Starts of `number` extents of 2^level rows."""
        parts: list[Ints] = []
        free = self._free[level]
        while number and free:
            last = free[-1]
            if len(last) <= number:
                parts.append(free.pop())
            else:
                parts.append(last[:number])
                free[-1] = last[number:]
            number -= len(parts[-1])
        if number:
            start = self._pool.used
            self._pool.fit(start + (number << level))
            parts.append(start + (np.arange(number) << level))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _release_extents(self, level: int, starts: Ints) -> None:
        if len(starts):
            self._free[level].append(starts)

    def _move(self, slots: Ints, more: Ints, least: int = 1) -> None:
        """Give different slots extents with room for their live pairs and `more`.

        Args:
            slots: with one extent at most.
            more: rows about to be added to each.
            least: log2 of the smallest extent.
        """
        count, head, bits = self._count.data, self._head.data, self._bits.data
        had = count.take(slots).astype(np.int64)
        level = bits.take(slots)
        old = head.take(slots)
        item, place = expand(old, had)
        rows = self._gather(slots, old, item, place)
        if self._rows.had_removals:
            alive = self._rows.alive(rows).nonzero()[0]
            item, rows = item.take(alive), rows.take(alive)
            self._pairs -= int(had.sum()) - len(alive)
        kept = np.bincount(item, minlength=len(slots))
        wanted = kept + more
        # A quarter of free room, so that a slot of live and dead pairs is not moved at each add.
        room = np.maximum(1 << least, wanted + (wanted >> 2))
        new_level = np.minimum(np.ceil(np.log2(room)).astype(np.int64), _MAX_BITS)
        new_level[wanted == 0] = 0
        starts = np.zeros(len(slots), np.int64)
        for step in np.bincount(level).nonzero()[0].tolist():
            if step:
                self._release_extents(step, old[level == step])
        for step in np.bincount(new_level).nonzero()[0].tolist():
            if step:
                chosen = (new_level == step).nonzero()[0]
                starts[chosen] = self._allocate(step, len(chosen))
        first = np.cumsum(kept) - kept
        self._pool.data[(starts - first).take(item) + np.arange(len(item))] = rows
        head[slots] = starts
        bits[slots] = new_level
        count[slots] = kept

    def _add_hot(self, slot: int, rows: Ints) -> None:
        """Append to one slot whose pairs do not fit one extent."""
        count, head, bits = self._count.data, self._head.data, self._bits.data
        if bits[slot] != _MAX_BITS:
            # From here on its extents have the full size.
            self._move(np.array([slot]), np.array([1]), _MAX_BITS)
        while len(rows):
            had = int(count[slot])
            part = rows[: _MAX - had]
            start = int(head[slot])
            self._pool.data[start + had : start + had + len(part)] = part
            count[slot] = had + len(part)
            rows = rows[len(part) :]
            if len(rows):
                chain = self._chains.setdefault(slot, [])
                chain.append((start, _MAX))
                self._tidy(chain)
                head[slot] = int(self._allocate(_MAX_BITS, 1)[0])
                count[slot] = 0

    def _tidy(self, chain: list[tuple[int, int]]) -> None:
        """Drop dead pairs of the two oldest extents, and join the two if they fit one.

        Rows leave oldest first as a rule; a probe that meets others sees to it (`end_step`). Work
        stays in proportion to what is added: the chain has grown by one extent.
        """
        if not self._rows.had_removals:
            return
        for i in (0, 1):
            if i < len(chain):
                start, count = chain[i]
                rows = self._pool.data[start : start + count]
                alive = rows[self._rows.alive(rows)]
                self._pool.data[start : start + len(alive)] = alive
                self._pairs -= count - len(alive)
                chain[i] = (start, len(alive))
        if len(chain) > 1 and chain[0][1] + chain[1][1] <= _MAX:
            (a, n), (b, m) = chain[0], chain[1]
            self._pool.data[a + n : a + n + m] = self._pool.data[b : b + m]
            self._release_extents(_MAX_BITS, np.array([b]))
            chain[:2] = [(a, n + m)]

    def _note_thin(self, slots: Ints, probe: Ints, alive: npt.NDArray[np.bool_]) -> None:
        dead = np.bincount(probe[~alive], minlength=len(slots))
        total = np.bincount(probe, minlength=len(slots))
        thin = ((total >= 8) & (2 * dead > total)).nonzero()[0]
        if len(thin):
            self._thin.append(slots.take(thin))

    def end_step(self) -> None:
        """Drop the dead pairs that probes of this step have met; paid for by those probes."""
        if not self._thin:
            return
        slots = distinct(np.concatenate(self._thin))
        self._thin = []
        slots = slots[self._bits.data.take(slots) != 0]
        for slot in [s for s in slots.tolist() if s in self._chains]:
            self._rebuild(slot)
        if self._chains:
            slots = slots[[s not in self._chains for s in slots.tolist()]]
        if len(slots):
            self._move(slots, np.zeros(len(slots), np.int64))

    def _rebuild(self, slot: int) -> None:
        """Write one hot slot's live pairs anew."""
        _, rows = self.probe(np.array([slot]))
        self.expire(np.array([slot]))
        self.add(np.full(len(rows), slot), rows)

    def expire(self, slots: Ints) -> None:
        """Slots (all different) lose all their pairs; for slots that their index released."""
        slots = slots[slots < self._count.used]
        bits = self._bits.data.take(slots)
        for level in np.bincount(bits).nonzero()[0].tolist():
            if level:
                self._release_extents(level, self._head.data.take(slots[bits == level]))
        self._pairs -= int(self._count.data.take(slots).sum())
        if self._chains:
            for slot in slots.tolist():
                for start, count in self._chains.pop(slot, ()):
                    self._release_extents(_MAX_BITS, np.array([start]))
                    self._pairs -= count
        self._count.data[slots] = 0
        self._bits.data[slots] = 0
        self._dirty.mark(slots, self._count.used)

    # -- checkpoint ----------------------------------------------------------------------------

    def stats(self) -> TableStats:
        """Pairs (those of removed rows too, until they are dropped) and their memory."""
        size = self._count.nbytes + self._head.nbytes + self._bits.nbytes + self._pool.nbytes
        return TableStats(self._pairs, size + self._dirty.nbytes, self._added, self._dirty.count())

    def segments(self) -> list[Segment]:
        """All pairs, by slot, in order of arrival within one."""
        busy = self._count.data[: self._count.used].nonzero()[0]
        batches = []
        for at in range(0, len(busy), _BATCH):
            slots = busy[at : at + _BATCH]
            probe, rows = self.probe(slots)
            pair = pa.RecordBatch.from_arrays(
                [pa.array(slots.take(probe)), pa.array(rows)], schema=_SCHEMA
            )
            batches.append(pair)
        self._dirty.clear()
        return [Segment(self.name, "all", _SCHEMA, batches)]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Pairs get back behind their slots."""
        for segment in segments:
            for batch in segment.batches:
                self.add(batch.column(0).to_numpy(), batch.column(1).to_numpy())
        self._dirty.clear()
