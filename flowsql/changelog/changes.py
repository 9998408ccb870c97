"""`Changes`: the only thing that flows between operators.

A batch of rows, each with a kind. Four kinds reach users (`+I -U +U -D`, in Flink's numbering);
inside the engine only the sign counts: +1 adds the row, −1 takes it away.

Invariants of every stream of `Changes`:

* rows stand in order of arrival; no operator reorders within a key;
* a batch is never empty, has at most `MAX_ROWS` rows and about `MAX_BYTES` bytes;
* an append stream has no kinds; a retract stream retracts whole rows it gave before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.errors import InternalError

__all__ = [
    "DELETE",
    "INSERT",
    "MAX_BYTES",
    "MAX_ROWS",
    "NO_WATERMARK",
    "UPDATE_AFTER",
    "UPDATE_BEFORE",
    "Changes",
    "Kinds",
    "Marks",
    "concat_changes",
    "kind_names",
    "split_changes",
]

INSERT: Final = 0
UPDATE_BEFORE: Final = 1
UPDATE_AFTER: Final = 2
DELETE: Final = 3

MAX_ROWS: Final = 65_536
MAX_BYTES: Final = 64 << 20

# A watermark is int64 milliseconds since 1970, as in Flink; this is "none yet".
NO_WATERMARK: Final = -(1 << 63)

_NAMES = ("+I", "-U", "+U", "-D")
_SIGNS = np.array([1, -1, 1, -1], dtype=np.int8)

Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Marks:
    """What the runtime knows of each row beside its values; never part of the row.

    Attributes:
        watermark: int64[n] milliseconds, the watermark before the row (DESIGN 7), or None where
            no event time reaches this stream.
        ordinal: int64[n], the row's place of arrival within the step, or None where no operator
            behind has to merge ports by arrival.
    """

    watermark: npt.NDArray[np.int64] | None = None
    ordinal: npt.NDArray[np.int64] | None = None

    def take(self, indices: npt.NDArray[np.int64] | slice) -> Marks:
        """The marks of the chosen rows."""
        return Marks(
            None if self.watermark is None else self.watermark[indices],
            None if self.ordinal is None else self.ordinal[indices],
        )


class Changes:
    """Rows and what happened to them; immutable by convention.

    Args:
        batch: the rows, one Arrow column a field.
        kinds: int8[n] of Flink's row kinds, from Arrow or NumPy; None means all `+I`.
        unchanged: column name → bool[n], true where the source did not send the value
            (unchanged TOAST); such a cell is NULL in `batch` and filled by `normalise`.
        marks: time and order of the rows, see `Marks`.

    Attributes:
        step: the step that gave them, set where changes leave for a result; else None.
    """

    __slots__ = ("batch", "codes", "marks", "step", "unchanged")

    def __init__(
        self,
        batch: pa.RecordBatch,
        kinds: pa.Int8Array | Kinds | None = None,
        unchanged: Mapping[str, npt.NDArray[np.bool_]] | None = None,
        marks: Marks | None = None,
    ) -> None:
        self.batch = batch
        self.codes: Kinds | None = kinds.to_numpy() if isinstance(kinds, pa.Array) else kinds
        self.unchanged = unchanged
        self.marks = marks
        self.step: int | None = None
        if self.codes is not None and len(self.codes) != batch.num_rows:
            raise InternalError("kinds and rows differ in number")

    @property
    def kinds(self) -> pa.Int8Array | None:
        """The kinds as an Arrow array, None where all are `+I`; `codes` is the NumPy view."""
        return None if self.codes is None else pa.array(self.codes, pa.int8())

    def __len__(self) -> int:
        return self.batch.num_rows

    def __repr__(self) -> str:
        counts = np.bincount(self.codes_or_insert, minlength=len(_NAMES)).tolist()
        kinds = ", ".join(f"{n} {name}" for name, n in zip(_NAMES, counts, strict=True) if n)
        step = "" if self.step is None else f" of step {self.step}"
        return f"<Changes{step}: {kinds or 'none'} ({', '.join(self.batch.schema.names)})>"

    @property
    def signs(self) -> npt.NDArray[np.int8]:
        """int8[n]: +1 where the row is added, −1 where it is taken away."""
        if self.codes is None:
            return np.ones(len(self), dtype=np.int8)
        return _SIGNS[self.codes]

    @property
    def codes_or_insert(self) -> Kinds:
        """int8[n]: the kinds, written out where they are all `+I`."""
        return np.zeros(len(self), dtype=np.int8) if self.codes is None else self.codes

    @property
    def watermarks(self) -> npt.NDArray[np.int64] | None:
        """int64[n] milliseconds: the watermark before each row, None without event time."""
        return None if self.marks is None else self.marks.watermark

    def with_batch(self, batch: pa.RecordBatch) -> Changes:
        """Other columns for the same rows (a linear operator's output)."""
        unchanged = self.unchanged
        if unchanged is not None:
            unchanged = {k: v for k, v in unchanged.items() if k in batch.schema.names} or None
        return Changes(batch, self.codes, unchanged, self.marks)

    def filter(self, mask: npt.NDArray[np.bool_]) -> Changes:
        """The rows where `mask` is true; may be empty."""
        return self.take(np.flatnonzero(mask))

    def take(self, indices: npt.NDArray[np.int64]) -> Changes:
        """The rows at `indices`, in that order."""
        return Changes(
            self.batch.take(pa.array(indices)),
            None if self.codes is None else self.codes[indices],
            None
            if self.unchanged is None
            else {name: mask[indices] for name, mask in self.unchanged.items()},
            None if self.marks is None else self.marks.take(indices),
        )

    def slice(self, offset: int, length: int) -> Changes:
        """`length` rows from `offset`, without a copy."""
        rows = slice(offset, offset + length)
        return Changes(
            self.batch.slice(offset, length),
            None if self.codes is None else self.codes[rows],
            None
            if self.unchanged is None
            else {name: mask[rows] for name, mask in self.unchanged.items()},
            None if self.marks is None else self.marks.take(rows),
        )


def kind_names(changes: Changes) -> list[str]:
    """`+I -U +U -D` for each row."""
    return [_NAMES[k] for k in changes.codes_or_insert.tolist()]


def split_changes(changes: Changes) -> Iterator[Changes]:
    """The same rows in pieces that keep the limits of a batch; nothing for no rows.

    A `-U` and the `+U` right behind it stay in one piece.
    """
    rows = len(changes)
    if rows == 0:
        return
    width = max(1, changes.batch.nbytes // rows)
    size = max(2, min(MAX_ROWS, MAX_BYTES // width))
    if rows <= size:
        yield changes
        return
    codes = changes.codes
    start = 0
    while start < rows:
        end = min(start + size, rows)
        if end < rows and codes is not None and codes[end - 1] == UPDATE_BEFORE:
            end -= codes[end] == UPDATE_AFTER
        yield changes.slice(start, int(end) - start)
        start = int(end)


def concat_changes(parts: Iterable[Changes]) -> Changes | None:
    """All rows in one, in order; None for no parts.

    Marks and unchanged columns are kept only if some part has them; a part without kinds counts
    as inserts.
    """
    all_parts = [p for p in parts if len(p)]
    if not all_parts:
        return None
    if len(all_parts) == 1:
        return all_parts[0]
    batch = pa.concat_batches([p.batch for p in all_parts])
    kinds = None
    if any(p.codes is not None for p in all_parts):
        kinds = np.concatenate([p.codes_or_insert for p in all_parts])
    unchanged = None
    if names := {name for p in all_parts for name in p.unchanged or ()}:
        unchanged = {
            name: np.concatenate(
                [(p.unchanged or {}).get(name, np.zeros(len(p), np.bool_)) for p in all_parts]
            )
            for name in names
        }
    return Changes(batch, kinds, unchanged, _concat_marks(all_parts))


def _concat_marks(parts: list[Changes]) -> Marks | None:
    if any(p.marks is None for p in parts):
        return None
    marks = [p.marks for p in parts if p.marks is not None]
    watermarks = [m.watermark for m in marks if m.watermark is not None]
    ordinals = [m.ordinal for m in marks if m.ordinal is not None]
    return Marks(
        np.concatenate(watermarks) if len(watermarks) == len(marks) else None,
        np.concatenate(ordinals) if len(ordinals) == len(marks) else None,
    )
