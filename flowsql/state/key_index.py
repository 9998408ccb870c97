"""`KeyIndex`: key ↔ dense slot.

Slots are small integers by which `Columns`, `RowLists`, `Ordered` and `Timers` address a key's
state. A new key takes the slot freed longest ago, else the next one; new keys of one call get
theirs in order of first appearance, whatever the hash seed.

State: for each slot the words of its key (`flowsql.changelog.keys`), the bytes of long strings, and
a hash table of slots. Cost: a few vector calls a batch, whatever the number of keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog.key_layout import NULL_COLUMNS, KeyLayout, LeafKind, text_leaves
from flowsql.changelog.keys import Keys, typed_arrays
from flowsql.errors import InternalError
from flowsql.state.blobs import Blobs, Sweep, is_long, text_array
from flowsql.state.direct import DirectCache
from flowsql.state.kernels import HashTable
from flowsql.state.memory import Vector
from flowsql.state.spec import KeyIndexSpec
from flowsql.state.storage import Storage, make_storage
from flowsql.state.table import DirtyMarks, Segment, Table, TableStats, batches_of
from flowsql.types import arrow_type

__all__ = ["KeyIndex"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_MAX_SLOTS: Final = (1 << 31) - 1
# Cells of a growing hash table moved at the end of each step: about a millisecond.
_SLICE: Final = 1 << 13


class KeyIndex(Table):
    """Keys of one type list and their slots.

    Contract:

    * `ensure` and `find` take keys of the spec's types; NULL is a key like any other;
    * a slot is live from `ensure` to `free`; until `end_step` a freed slot's key and values can
      still be read, but its key is not found any more, and the slot is not given out again;
    * what lives behind slots (`Columns`, …) registers with `on_release` and forgets them there.
    """

    def __init__(self, spec: KeyIndexSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self.layout = KeyLayout.of(spec.key)
        self._seed = secrets.randbits(64)
        self._table = HashTable()
        kinds = [leaf.kind for leaf in self.layout.leaves]
        self._direct = DirectCache() if kinds == [LeafKind.FIXED] else None
        self._words = [Vector(np.uint64) for _ in range(self.layout.words)]
        self._nulls: Vector | None = None
        self._leaves = text_leaves(self.layout)
        # By TEXT leaf, once a long value came: where its bytes are.
        self._tails: list[Vector | None] = [None] * self.layout.texts
        self._blobs: list[Blobs] = [Blobs() for _ in range(self.layout.texts)]
        self._sweeps = [
            Sweep(b, self._reader(i), self._writer(i)) for i, b in enumerate(self._blobs)
        ]
        self._nested: dict[int, Storage] = {
            leaf.text: make_storage(leaf.type)
            for leaf in self._leaves
            if leaf.kind is LeafKind.NESTED
        }
        self._live = Vector(np.uint8)
        self._next = 0
        self._count = 0
        self._added = 0
        self._reusable: list[Ints] = []
        self._freed: list[Ints] = []
        self._listeners: list[Callable[[Ints], None]] = []
        self._dirty = DirtyMarks()

    # -- keys to slots -------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """All slots ever given out are below this."""
        return self._next

    def __len__(self) -> int:
        return self._count

    def ensure(self, keys: Keys) -> tuple[Ints, Bools]:
        """The slot of every key, made where there is none.

        Returns:
            (slots, is_new): int64[n]; bool[n], true at exactly one row of each new key, its first.
        """
        slots = self._find(keys)
        is_new = np.zeros(len(keys), np.bool_)
        missing = (slots < 0).nonzero()[0]
        if not len(missing):
            return slots, is_new
        whole = len(missing) == len(keys)
        absent = keys if whole else keys.take(missing)
        ids, first = absent.group()
        distinct = absent if len(first) == len(absent) else absent.take(first)
        made = self._allocate(len(first))
        self._store(made, distinct)
        self._table.insert(distinct.hash(self._seed), made)
        if self._direct is not None:
            self._learn(distinct, made)
        slots[missing] = made.take(ids)
        is_new[missing.take(first)] = True
        return slots, is_new

    def find(self, keys: Keys) -> Ints:
        """int64[n]: the slot of every key, −1 where there is none."""
        return self._find(keys)

    def _find(self, keys: Keys) -> Ints:
        if keys.layout is not self.layout and keys.layout.words != self.layout.words:
            raise InternalError(f'keys of other types were given to state table "{self.name}"')

        direct = self._direct
        found = None if direct is None else direct.find(keys.words[0])
        if direct is None or found is None:
            return self._find_hashed(keys)
        if keys.nulls is not None:
            found[keys.nulls != 0] = -1
        rest = (found < 0).nonzero()[0]
        if len(rest):
            asked = keys if len(rest) == len(keys) else keys.take(rest)
            slots = self._find_hashed(asked)
            found[rest] = slots
            self._learn(asked, slots)
        return found

    def _find_hashed(self, keys: Keys) -> Ints:
        def verify(rows: Ints | None, slots: Ints) -> Bools:
            return self._equal(slots, keys, rows)

        return self._table.find(keys.hash(self._seed), verify)

    def _learn(self, keys: Keys, slots: Ints) -> None:
        """Tell the cache of keys that have slots."""
        known = slots >= 0
        if keys.nulls is not None:
            known &= keys.nulls == 0
        rows = known.nonzero()[0]
        if self._direct is not None and len(rows):
            self._direct.learn(keys.words[0].take(rows), slots.take(rows), self._count)

    def _equal(self, slots: Ints, keys: Keys, rows: Ints | None) -> Bools:
        """Slot by slot: does it hold the key of that row? Slots may be out of range."""
        same: Bools | None = None
        for mine, theirs in zip(self._words, keys.words, strict=True):
            part = mine.data.take(slots, mode="clip") == (
                theirs if rows is None else theirs.take(rows)
            )
            same = part if same is None else np.logical_and(same, part, out=same)
        if same is None:
            same = np.ones(len(slots), np.bool_)
        if self._nulls is not None or keys.nulls is not None:
            same &= self._nulls_of(slots) == (
                np.uint64(0)
                if keys.nulls is None
                else keys.nulls
                if rows is None
                else keys.nulls.take(rows)
            )
        for leaf, tails in zip(self._leaves, self._tails, strict=True):
            if tails is None or not keys.texts[leaf.text].long:
                continue
            heads = keys.words[leaf.word]
            maybe = (same & (slots >= 0) & (slots < self._next)).nonzero()[0]
            asked = maybe if rows is None else rows.take(maybe)
            long = is_long(heads.take(asked))
            if len(long):
                maybe, asked = maybe.take(long), asked.take(long)
                same[maybe] = keys.equals_text(
                    leaf.text, asked, self._bytes(leaf.text, slots[maybe])
                )
        return same

    def _nulls_of(self, slots: Ints) -> Words | np.uint64:
        return np.uint64(0) if self._nulls is None else self._nulls.data.take(slots, mode="clip")

    def _bytes(self, text: int, slots: Ints) -> pa.Array:
        """binary[n]: the bytes of TEXT leaf `text`, also of a nested one."""
        return text_array(
            self._pairs(text, slots), len(slots), None, self._blobs[text], pa.binary()
        )

    def _pairs(self, text: int, slots: Ints) -> Words:
        leaf = self._leaves[text]
        pairs = np.empty((len(slots), 2), np.uint64)
        pairs[:, 0] = self._words[leaf.word].data.take(slots)
        pairs[:, 1] = self._words[leaf.word + 1].data.take(slots)
        tails = self._tails[text]
        if tails is not None:
            long = is_long(pairs[:, 0])
            pairs[long, 1] = tails.data.take(slots.take(long))
        return pairs

    # -- slots to keys -------------------------------------------------------------------------

    def keys(self, slots: Ints) -> list[pa.Array]:
        """The key columns of slots, typed, in the order of the spec."""
        n = len(slots)
        texts: list[pa.Array] = []
        nulls = self._null_bits(slots)
        for leaf in self._leaves:
            if leaf.kind is LeafKind.NESTED:
                texts.append(self._nested[leaf.text].take(slots))
                continue
            bits = nulls[self.layout.leaves.index(leaf)]
            valid = None
            if bits is not None and bits.any():
                valid = pa.py_buffer(np.packbits(~bits, bitorder="little"))
            pairs = self._pairs(leaf.text, slots)
            texts.append(text_array(pairs, n, valid, self._blobs[leaf.text], arrow_type(leaf.type)))
        words = [w.data.take(slots) for w in self._words]
        return typed_arrays(self.layout, words, nulls, texts, n)

    def _null_bits(self, slots: Ints) -> list[Bools | None]:
        bits: list[Bools | None] = []
        first = None if self._nulls is None else self._nulls.data.take(slots)
        for i in range(len(self.layout.leaves)):
            if i >= NULL_COLUMNS:
                at = self.layout.null_words + i // NULL_COLUMNS - 1
                word = self._words[at].data.take(slots)
            elif first is None:
                bits.append(None)
                continue
            else:
                word = first
            bits.append((word >> np.uint64(i % NULL_COLUMNS)) & np.uint64(1) != 0)
        return bits

    def key_groups(self, slots: Ints) -> npt.NDArray[np.uint8]:
        """uint8[n]: the key group of each slot's key."""
        return self._stored_keys(slots).key_group()

    def _stored_keys(self, slots: Ints) -> Keys:
        """The keys of slots in normal form; good for hashes, not for their long strings."""
        nulls = None if self._nulls is None else self._nulls.data.take(slots)
        words = tuple(w.data.take(slots) for w in self._words)
        return Keys(self.layout, len(slots), words, nulls, ())

    def _reader(self, text: int) -> Callable[[slice], tuple[Words, Words]]:
        """What a sweep reads of TEXT leaf `text`: views with their real second words."""

        def read(where: slice) -> tuple[Words, Words]:
            tails = self._tails[text]
            assert tails is not None
            heads = self._words[self._leaves[text].word].data[where]
            return heads * (self._live.data[where] != 0), tails.data[where]

        return read

    def _writer(self, text: int) -> Callable[[Ints, Words], None]:
        def write(slots: Ints, words: Words) -> None:
            tails = self._tails[text]
            assert tails is not None
            tails.data[slots] = words

        return write

    # -- life of a slot ------------------------------------------------------------------------

    def _allocate(self, n: int) -> Ints:
        parts: list[Ints] = []
        wanted = n
        while wanted and self._reusable:
            oldest = self._reusable[0]
            if len(oldest) <= wanted:
                parts.append(self._reusable.pop(0))
            else:
                parts.append(oldest[:wanted])
                self._reusable[0] = oldest[wanted:]
            wanted -= len(parts[-1])
        if wanted:
            parts.append(np.arange(self._next, self._next + wanted))
            self._next += wanted
            if self._next > _MAX_SLOTS:
                raise InternalError(f'state table "{self.name}" has no slots left')
        self._count += n
        self._added += n
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _store(self, slots: Ints, keys: Keys) -> None:
        end = self._next
        for mine, theirs in zip(self._words, keys.words, strict=True):
            mine.fit(end)[slots] = theirs
        if keys.nulls is not None and self._nulls is None:
            self._nulls = Vector(np.uint64)
        if self._nulls is not None:
            self._nulls.fit(end)[slots] = 0 if keys.nulls is None else keys.nulls
        for leaf in self._leaves:
            long = keys.long_text(leaf.text)
            if long is not None:
                rows, values = long
                tails = self._tails[leaf.text]
                if tails is None:
                    tails = self._tails[leaf.text] = Vector(np.uint64)
                tails.fit(end)[slots.take(rows)] = self._blobs[leaf.text].put(values)
            if leaf.text in self._nested:
                self._nested[leaf.text].write(slots, keys.nested_values(leaf.text), end)
        self._live.fit(end)[slots] = 1
        self._dirty.mark(slots, end)

    def free(self, slots: Ints) -> None:
        """Let keys go; all different and live. Reused after `end_step`."""
        if not len(slots):
            return
        keys = self._stored_keys(slots)
        self._table.delete(keys.hash(self._seed), slots)
        if self._direct is not None:
            # The word of NULL is that of zero, which then fills in again when it is found.
            self._direct.forget(keys.words[0])
        self._live.data[slots] = 0
        self._dirty.mark(slots, self._next)
        self._freed.append(slots)
        self._count -= len(slots)

    def expire(self, slots: Ints) -> None:
        """`free` for those of the slots that are live (state TTL)."""
        self.free(slots[self._live.data.take(slots, mode="clip") != 0])

    def alive(self, slots: Ints) -> Bools:
        """bool[n]: slots that hold a key."""
        return self._live.data.take(slots) != 0

    def live(self) -> Ints:
        """All live slots, ascending; O(capacity): for checkpoints and inspection."""
        return self._live.data[: self._next].nonzero()[0]

    def on_release(self, listener: Callable[[Ints], None]) -> None:
        """Call `listener(slots)` at the end of the step in which slots were freed."""
        self._listeners.append(listener)

    def end_step(self) -> None:
        """Freed slots lose their values and may be given out again."""
        if self._freed:
            slots = self._freed[0] if len(self._freed) == 1 else np.concatenate(self._freed)
            self._freed = []
            for listener in self._listeners:
                listener(slots)
            self._forget(slots)
            self._reusable.append(slots)
        self._table.migrate(_SLICE)
        for storage in self._nested.values():
            storage.maintain(self._next)
        for sweep in self._sweeps:
            sweep.step(self._next)

    def _forget(self, slots: Ints) -> None:
        for leaf, tails in zip(self._leaves, self._tails, strict=True):
            if tails is not None:
                heads = self._words[leaf.word].data.take(slots)
                long = is_long(heads)
                self._blobs[leaf.text].drop(heads.take(long), tails.data.take(slots.take(long)))
        for storage in self._nested.values():
            storage.drop(slots)

    # -- checkpoint ----------------------------------------------------------------------------

    def stats(self) -> TableStats:
        """Live keys and their memory."""
        size = self._table.nbytes + self._live.nbytes + self._dirty.nbytes
        size += sum(w.nbytes for w in self._words) + (self._nulls.nbytes if self._nulls else 0)
        size += sum(t.nbytes for t in self._tails if t is not None)
        size += sum(b.nbytes for b in self._blobs)
        size += sum(s.nbytes for s in self._nested.values())
        size += 0 if self._direct is None else self._direct.nbytes
        return TableStats(self._count, size, self._added, self._dirty.count())

    @property
    def _schema(self) -> pa.Schema:
        fields = [pa.field("$slot", pa.int64()), pa.field("$key_group", pa.uint8())]
        fields += [pa.field(f"key{i}", arrow_type(t)) for i, t in enumerate(self.spec.key)]
        return pa.schema(fields)

    def segments(self) -> list[Segment]:
        """All keys with slot and key group."""

        def columns(slots: Ints) -> list[pa.Array]:
            return [pa.array(slots), pa.array(self.key_groups(slots)), *self.keys(slots)]

        schema = self._schema
        batches = batches_of(schema, self.live(), columns)
        self._dirty.clear()
        return [Segment(self.name, "all", schema, batches, {"next": self._next})]

    def restore(self, segments: Sequence[Segment]) -> None:
        """Keys get the slots they had."""
        for segment in segments:
            self._next = max(self._next, int(segment.meta["next"]))
            for batch in segment.batches:
                slots = batch.column(0).to_numpy()
                keys = Keys.of(batch.columns[2:], self.spec.key, batch.num_rows)
                self._store(slots, keys)
                self._table.insert(keys.hash(self._seed), slots)
                self._count += len(slots)
        unused = (self._live.fit(self._next)[: self._next] == 0).nonzero()[0]
        if len(unused):
            self._reusable.append(unused)
        self._dirty.clear()
