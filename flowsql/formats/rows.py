"""Puts the readable rows of a block and its bad records together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.errors import DataError
from flowsql.formats.format import BadRow, Decoded
from flowsql.formats.text import list_parts
from flowsql.types import ArrayType, DataType, Field, MapType, RowType

__all__ = ["BadCells", "assemble", "check_nulls", "needs_values", "wrong_nulls"]

_SHOWN = 60


def needs_values(data_type: DataType) -> bool:
    """Whether a column of the type must not be NULL, or something within it."""
    if not data_type.nullable:
        return True
    match data_type:
        case ArrayType(element=element):
            return needs_values(element)
        case MapType(value=value):
            return needs_values(value)
        case RowType(fields=fields):
            return any(needs_values(f.type) for f in fields)
        case _:
            return False


def check_nulls(column: pa.Array, field: Field, path: str) -> None:
    """Refuse a column of a file that holds a NULL where its declaration has none; raises DataError."""
    if wrong_nulls(column, field.type) is not None:
        within = "" if not field.type.nullable else "something within "
        raise DataError(
            f'{within}column "{field.name}" of "{path}" is NULL and declared NOT NULL',
            hint="Declare the column without NOT NULL.",
        )


def wrong_nulls(array: pa.Array, data_type: DataType) -> npt.NDArray[np.bool_] | None:
    """bool[n]: rows with a NULL where the type has none, or None where there is no such row.

    The engine takes NOT NULL for a fact: such a row would be counted by `COUNT(a)` and found by
    `a IS NULL` at once.
    """
    wrong = np.zeros(len(array), np.bool_)
    if not data_type.nullable and array.null_count:
        wrong |= array.is_null().to_numpy(zero_copy_only=False)
    match data_type:
        case ArrayType(element=element) if needs_values(element):
            offsets, flat = list_parts(array)
            _spread(wrong, offsets, wrong_nulls(flat, element))
        case MapType(value=value) if needs_values(value):
            entries = pa.ListArray.from_arrays(
                array.offsets, array.items, mask=array.is_null() if array.null_count else None
            )
            offsets, flat = list_parts(entries)
            _spread(wrong, offsets, wrong_nulls(flat, value))
        case RowType(fields=fields):
            there = pc.is_valid(array).to_numpy(zero_copy_only=False)
            for column, field in zip(array.flatten(), fields, strict=True):
                if needs_values(field.type):
                    inner = wrong_nulls(column, field.type)
                    if inner is not None:
                        wrong |= inner & there
        case _:
            pass
    return wrong if wrong.any() else None


def _spread(
    wrong: npt.NDArray[np.bool_],
    offsets: npt.NDArray[np.int32],
    inner: npt.NDArray[np.bool_] | None,
) -> None:
    """A row is wrong if one of its elements is."""
    if inner is not None:
        owner = np.repeat(np.arange(len(wrong)), np.diff(offsets))
        wrong[owner[inner]] = True


class BadCells:
    """The first cell of each row that cannot be taken.

    Args:
        rows: of the batch.
        empty: what to say of an unreadable cell without any text.

    Attributes:
        reasons: row → why it is bad.
        missing: rows with a NULL in a NOT NULL column: bad even where unreadable cells are not.
    """

    def __init__(self, rows: int, empty: str = "") -> None:
        self._rows = rows
        self._empty = empty
        self.reasons: dict[int, str] = {}
        self.missing: set[int] = set()

    def add_nulls(self, field: Field, array: pa.Array) -> None:
        """NULLs of a column that has none; called after `add`."""
        if not needs_values(field.type):
            return
        wrong = wrong_nulls(array, field.type)
        if wrong is None:
            return
        within = "" if not field.type.nullable else "something within "
        for row in np.flatnonzero(wrong).tolist():
            self.missing.add(row)
            self.reasons.setdefault(
                row, f'{within}column "{field.name}" is NULL and declared NOT NULL'
            )

    def add(
        self, field: Field, bad: npt.NDArray[np.bool_] | None, shown: Callable[[int], str]
    ) -> None:
        """Unreadable cells of a column; `shown` gives the text of a row's cell."""
        if bad is None:
            return
        for row in np.flatnonzero(bad).tolist():
            if row not in self.reasons:
                text = shown(row)
                if len(text) > _SHOWN:
                    text = text[:_SHOWN] + "…"
                nature = field.type.with_nullable(nullable=True)
                why = f'column "{field.name}": "{text}" cannot be read as {nature}'
                if text.casefold() == field.name.casefold():
                    why += " (a header line is a record like any other)"
                self.reasons[row] = why if text else why + self._empty


def assemble(
    batch: pa.RecordBatch,
    record_of: npt.NDArray[np.int64],
    cells: BadCells,
    bad: Sequence[BadRow],
    place: Callable[[int], tuple[int, bytes]],
    *,
    records: int,
    lines: int,
    ignore_errors: bool,
    kinds: npt.NDArray[np.int8] | None = None,
) -> Decoded:
    """What a decoder returns.

    Args:
        batch: rows that could be taken apart, unreadable cells being NULL.
        record_of: int64[n], the record of each row.
        cells: their unreadable cells.
        bad: records that could not be taken apart.
        place: record → its line and bytes.
        records: how many records the block has.
        lines: how many lines the block has.
        ignore_errors: unreadable cells stay NULL, records that cannot be taken apart vanish, as
            do those with a NULL in a NOT NULL column.
        kinds: int8[n], what happened to each row; None where all are inserts.
    """
    keep: npt.NDArray[np.bool_] | None = None
    every: Sequence[BadRow] = ()
    if ignore_errors:
        if cells.missing:
            keep = np.ones(len(record_of), np.bool_)
            keep[list(cells.missing)] = False
    else:
        failed = {int(record_of[row]): why for row, why in cells.reasons.items()}
        every = [*bad, *(BadRow(n, *place(n), why) for n, why in failed.items())]
        every = sorted(every, key=lambda b: b.record)
        if failed:
            # A record may give several rows; it is good or bad as a whole.
            keep = ~np.isin(record_of, np.fromiter(failed, np.int64))
    if keep is not None:
        batch, record_of = batch.filter(pa.array(keep)), record_of[keep]
        kinds = None if kinds is None else kinds[keep]
    return Decoded(batch, records, lines, tuple(every), record_of, kinds)
