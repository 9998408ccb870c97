"""Key → (file, position) of every row of a table: what makes an upsert two short writes.

State: `keys`, a slot for each row's key; `places`, its file's number and its position there;
`files`, a number for each file's location. Numbers below zero are no files but rows that are still
gathered (`upserts.py`); a checkpoint holds none of those.

Cost: 8 B of places a key beside what `KeyIndex` takes; a few vector calls a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import Keys
from flowsql.connector import ColumnsSpec, KeyIndexSpec, StateSpec
from flowsql.types import DataType, VarCharType

__all__ = ["Places", "RowIndex", "index_state"]

Ints = npt.NDArray[np.int64]
_PATH: Final = (VarCharType(nullable=False),)


def index_state(key: Sequence[DataType]) -> tuple[StateSpec, ...]:
    """The tables that the index of a key of these types needs."""
    return (
        KeyIndexSpec("files", _PATH),
        KeyIndexSpec("keys", tuple(key)),
        ColumnsSpec("places", "keys", (("file", "int32"), ("position", "int32"))),
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows are.

    Attributes:
        files: number of each row's file, or of what gathers it.
        positions: in it.
    """

    files: Ints
    positions: Ints

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: Any) -> Places:
        """Those at `rows`, indices or a mask."""
        return Places(self.files[rows], self.positions[rows])


class RowIndex:
    """The index; its tables are the engine's, and checkpointed by it."""

    def __init__(self, tables: Any, key: Sequence[DataType]) -> None:
        self._files, self._keys, self._places = (tables[n] for n in ("files", "keys", "places"))
        self._tables = tables
        self.key = tuple(key)

    def __len__(self) -> int:
        return len(self._keys)

    # -- rows -----------------------------------------------------------------------------------

    def keys_of(self, columns: Sequence[pa.Array]) -> Keys:
        """Keys in normal form."""
        return Keys.of(columns, self.key, len(columns[0]))

    def ensure(self, keys: Keys) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The slot of each key, and whether it is new."""
        return self._keys.ensure(keys)

    def find(self, keys: Keys) -> Ints:
        """The slot of each key, −1 where there is none."""
        return self._keys.find(keys)

    def columns(self, slots: Ints) -> list[pa.Array]:
        """The keys of slots, also of those that were freed in this step."""
        return self._keys.keys(slots)

    def free(self, slots: Ints) -> None:
        """Forget rows."""
        self._keys.free(slots)

    def places(self, slots: Ints) -> Places:
        """Where the rows of slots are."""
        read = self._places.read
        return Places(
            read(slots, "file").astype(np.int64), read(slots, "position").astype(np.int64)
        )

    def put(self, slots: Ints, file: int, first: int) -> None:
        """The rows of slots stand in a file, one behind the other from `first` on."""
        self._places.write(slots, "file", np.int32(file))
        self._places.write(slots, "position", np.arange(first, first + len(slots), dtype=np.int32))

    def move(self, slots: Ints, file: int, positions: Ints) -> None:
        """The rows of slots stand in a file, each at its position."""
        self._places.write(slots, "file", np.int32(file))
        self._places.write(slots, "position", positions.astype(np.int32))

    def counts(self) -> dict[str, int]:
        """How many rows each file has, by location."""
        files = self._places.read(self._keys.live(), "file")
        numbers = self._files.live()
        counts = np.bincount(files[files >= 0], minlength=self._files.capacity)[numbers]
        return dict(zip(self.locations(numbers), counts.tolist(), strict=True))

    def in_files(self, numbers: Ints) -> Ints:
        """The slots of all rows in some files."""
        live = self._keys.live()
        there = np.zeros(self._files.capacity, np.bool_)
        there[numbers[numbers >= 0]] = True
        files = self._places.read(live, "file")
        return live[there[np.maximum(files, 0)] & (files >= 0)]

    def settle(self) -> None:
        """Between two steps: what was freed may be used again."""
        for table in self._tables.values():
            table.end_step()

    # -- files ----------------------------------------------------------------------------------

    def file(self, location: str) -> int:
        """The number of a file, given if it has none."""
        slots, _ = self._files.ensure(self._paths([location]))
        return int(slots[0])

    def file_numbers(self, locations: Sequence[str]) -> Ints:
        """Numbers of files, −1 where they have none."""
        if not locations:
            return np.zeros(0, np.int64)
        return self._files.find(self._paths(locations))

    def locations(self, numbers: Ints) -> list[str]:
        """Where files are, by their numbers."""
        (column,) = self._files.keys(numbers)
        return column.to_pylist()

    def all_locations(self) -> list[str]:
        """Every file that has a number."""
        return self.locations(self._files.live())

    def forget_files(self, locations: Sequence[str]) -> None:
        """Files in which no row is any more."""
        if locations:
            numbers = self._files.find(self._paths(locations))
            self._files.free(numbers[numbers >= 0])

    @staticmethod
    def _paths(locations: Sequence[str]) -> Keys:
        return Keys.of([pa.array(locations, pa.string())], _PATH, len(locations))
