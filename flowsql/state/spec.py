"""What an operator declares about its state; the runtime makes the tables and hands them in.

An operator's spec in `physical/` lists one `StateSpec` a table. Tables of one operator refer to
each other by name: `Columns`, `Timers` and `RowLists` live behind the slots of a `KeyIndex`,
`RowLists` behind the row numbers of a `Rows`. The specs are stored in every checkpoint's manifest.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowsql.types import DataType, Field

__all__ = [
    "ColumnsSpec",
    "KeyIndexSpec",
    "OrderedSpec",
    "RowListsSpec",
    "RowsSpec",
    "SortColumn",
    "StateSpec",
    "TimersSpec",
]


@dataclass(frozen=True, slots=True)
class StateSpec:
    """Base of all specs.

    Attributes:
        name: unique within its operator; part of the checkpoint's file names.
    """

    name: str


@dataclass(frozen=True, slots=True)
class KeyIndexSpec(StateSpec):
    """Key ↔ dense slot.

    Attributes:
        key: types of the key's columns, in order; may be empty (one key: the global group).
    """

    key: tuple[DataType, ...]


@dataclass(frozen=True, slots=True)
class ColumnsSpec(StateSpec):
    """Accumulators by slot.

    Attributes:
        index: the `KeyIndex` whose slots are used; a freed slot is reset to zero and NULL.
        fixed: (name, NumPy dtype) of fixed-width columns without NULL, zero at first.
        values: columns of any type, NULL at first.
    """

    index: str
    fixed: tuple[tuple[str, str], ...] = ()
    values: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class RowsSpec(StateSpec):
    """Rows by row number, each with an int64 weight.

    Attributes:
        fields: the stored columns.
        mutable: (name, NumPy dtype) of fixed-width columns that may be overwritten.
    """

    fields: tuple[Field, ...]
    mutable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RowListsSpec(StateSpec):
    """Slot → row numbers.

    Attributes:
        rows: the `Rows` table the numbers belong to; pairs whose row is gone are not returned
            and vanish at the next merge.
    """

    rows: str


@dataclass(frozen=True, slots=True)
class SortColumn:
    """One column of an order."""

    type: DataType
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True, slots=True)
class OrderedSpec(StateSpec):
    """Entries of a slot in an order, each with an int64 weight (multiplicity).

    Attributes:
        index: the `KeyIndex` whose slots are used; entries of a freed slot are gone.
        sort: the order; entries with equal sort columns and row number are one entry.
        rows: the `Rows` table whose row numbers the entries carry, or None (values only).
    """

    index: str
    sort: tuple[SortColumn, ...]
    rows: str | None = None


@dataclass(frozen=True, slots=True)
class TimersSpec(StateSpec):
    """One time (int64 milliseconds) a slot.

    Attributes:
        index: the `KeyIndex` whose slots are used; a freed slot loses its time.
    """

    index: str
