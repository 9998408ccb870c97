"""What a sink's columns promise, held against the rows that are written.

    CREATE TABLE t (name VARCHAR(3), a ARRAY<ROW<b INT NOT NULL>>) …

`table.exec.sink.not-null-enforcer` says what happens to a NULL where the table says NOT NULL,
`table.exec.sink.type-length-enforcer` what happens to text and bytes that do not keep their length, and
`table.exec.sink.nested-constraint-enforcer` how deep is looked. A cast to the column's type cuts and
fills already: values of another length come from tables whose rows are not what they declare.

Places are named as in Flink: `a.b` within a row, `a[0].b` in an array, `a[key]` and `a[value]` in a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flowsql.changelog import Changes
from flowsql.errors import DataError, Span
from flowsql.expr import EvalSettings
from flowsql.expr.casting import kernel_between
from flowsql.expr.lists import entries
from flowsql.runtime.nodes import OperatorNode
from flowsql.types import (
    MAX_LENGTH,
    ArrayType,
    BinaryType,
    CharType,
    DataType,
    MapType,
    RowType,
    VarBinaryType,
    VarCharType,
)

__all__ = ["Constraints", "Enforcers", "GuardedNode"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_NULLS = "table.exec.sink.not-null-enforcer"
_LENGTHS = "table.exec.sink.type-length-enforcer"


@dataclass(frozen=True, slots=True)
class Enforcers:
    """The settings; see the module.

    Attributes:
        nulls: error or drop.
        lengths: ignore, trim_pad or error.
        nested: ignore, rows or rows_and_collections.
    """

    nulls: str = "error"
    lengths: str = "ignore"
    nested: str = "ignore"


@dataclass(frozen=True, slots=True)
class _Place:
    """Values somewhere within a column.

    Attributes:
        owners: int64[n], the row of each value.
        parts: of the name, text or a number for each value.
    """

    owners: Ints
    parts: tuple[str | Ints, ...]

    def take(self, chosen: Ints, *more: str | Ints) -> _Place:
        """The place of some of the values, or of what is in them, whose name goes on with `more`."""
        parts = (p if isinstance(p, str) else p.take(chosen) for p in self.parts)
        return _Place(self.owners.take(chosen), (*parts, *more))

    def name(self, at: int) -> str:
        return "".join(p if isinstance(p, str) else str(p[at]) for p in self.parts)


@dataclass(frozen=True, slots=True)
class _Breach:
    """Values that do not keep a constraint.

    Attributes:
        place: of these values alone.
        is_null: it is NOT NULL that they do not keep.
        says: the error of one of them.
    """

    place: _Place
    is_null: bool
    says: Callable[[int], DataError]


class Constraints:
    """Those of one table.

    Args:
        table: its name.
        row: its columns as they are declared.
        nulls: columns whose values may be NULL though they are NOT NULL.
        enforcers: the settings.
        span: where the SQL names the table.
    """

    def __init__(
        self,
        table: str,
        row: RowType,
        nulls: Sequence[int],
        enforcers: Enforcers,
        span: Span | None = None,
    ) -> None:
        self._table = table
        self._span = span
        self._enforcers = enforcers
        self._deep = enforcers.nested == "rows_and_collections"
        self._checked = [
            (i, f.name, f.type.with_nullable(i not in nulls))
            for i, f in enumerate(row.fields)
            if i in nulls or self._promises(f.type)
        ]
        self._fitted = {
            i: fit for i, f in enumerate(row.fields) if (fit := self._fit(f.type)) is not None
        }

    def __bool__(self) -> bool:
        return bool(self._checked or self._fitted)

    @property
    def fits(self) -> bool:
        """Whether values are brought to their length."""
        return bool(self._fitted)

    def fitted(self, changes: Changes) -> Changes:
        """With text and bytes of the length of their types."""
        batch = changes.batch
        columns = batch.columns
        for i, fit in self._fitted.items():
            columns[i] = fit(columns[i])
        return changes.with_batch(pa.RecordBatch.from_arrays(columns, schema=batch.schema))

    def checked(self, changes: Changes, *, keyed_deletes: bool) -> Changes | None:
        """The rows that keep the constraints, or None where there are none.

        Args:
            changes: to be written.
            keyed_deletes: a row that goes needs no more than its key.

        Raises:
            DataError: a row does not, and must not be left out.
        """
        first: tuple[int, DataError] | None = None
        dropped: Bools | None = None
        for i, name, kind in self._checked:
            column = changes.batch.column(i)
            for breach in self._breaches(column, kind, _Place(_rows(len(column)), (name,))):
                owners = breach.place.owners
                leaves_out = breach.is_null and self._enforcers.nulls == "drop"
                at = _rows(len(owners))
                if keyed_deletes or not leaves_out:
                    # What goes was let in before.
                    at = (changes.signs.take(owners) > 0).nonzero()[0]
                if leaves_out:
                    dropped = np.zeros(len(changes), np.bool_) if dropped is None else dropped
                    dropped[owners.take(at)] = True
                elif len(at):
                    worst = int(at[owners.take(at).argmin()])
                    if first is None or owners[worst] < first[0]:
                        first = int(owners[worst]), breach.says(worst)
        if dropped is not None and dropped.any():
            changes = changes.filter(~dropped)
            if not len(changes):
                return None
            if first is not None and dropped[first[0]]:
                # A row is left out before its lengths count; another one's still do.
                return self.checked(changes, keyed_deletes=keyed_deletes)
        if first is not None:
            first[1].span = self._span
            raise first[1]
        return changes

    def _promises(self, kind: DataType) -> bool:
        """Whether a value that is not NULL has anything to keep."""
        nested = self._enforcers.nested != "ignore"
        match kind:
            case CharType() | VarCharType() | BinaryType() | VarBinaryType():
                return self._enforcers.lengths == "error" and kind.length < MAX_LENGTH
            case RowType():
                return nested and any(self._holds(f.type) for f in kind.fields)
            case ArrayType():
                return self._deep and self._holds(kind.element)
            case MapType():
                return self._deep and (self._holds(kind.key) or self._holds(kind.value))
            case _:
                return False

    def _holds(self, kind: DataType) -> bool:
        return not kind.nullable or self._promises(kind)

    def _breaches(self, values: Any, kind: DataType, place: _Place) -> Iterator[_Breach]:
        if values.null_count:
            is_null = values.is_null().to_numpy(zero_copy_only=False)
            if not kind.nullable:
                yield self._null(place.take(is_null.nonzero()[0]))
            there = (~is_null).nonzero()[0]
            values, place = values.take(pa.array(there)), place.take(there)
        if not len(values) or not self._promises(kind):
            return
        match kind:
            case CharType() | VarCharType():
                yield from self._lengths(pc.utf8_length(values), kind, place)
            case BinaryType() | VarBinaryType():
                yield from self._lengths(pc.binary_length(values), kind, place)
            case RowType():
                every = _rows(len(values))
                for i, field in enumerate(kind.fields):
                    inner = place.take(every, f".{field.name}")
                    yield from self._breaches(values.field(i), field.type, inner)
            case ArrayType():
                owner, at, counts = entries(values)
                within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
                inner = place.take(owner, "[", within, "]")
                yield from self._breaches(values.values.take(pa.array(at)), kind.element, inner)
            case MapType():
                owner, at, _ = entries(values)
                chosen = pa.array(at)
                for child, inside, name in (
                    (values.keys, kind.key, "[key]"),
                    (values.items, kind.value, "[value]"),
                ):
                    yield from self._breaches(child.take(chosen), inside, place.take(owner, name))

    def _null(self, place: _Place) -> _Breach:
        def says(at: int) -> DataError:
            return DataError(
                f'column "{place.name(at)}" of table "{self._table}" is NOT NULL, but a NULL is '
                "written to it",
                hint=f"Give it a value with COALESCE, or SET '{_NULLS}' = 'DROP' to leave such rows "
                "out.",
            )

        return _Breach(place, is_null=True, says=says)

    def _lengths(
        self,
        lengths: Any,
        kind: CharType | VarCharType | BinaryType | VarBinaryType,
        place: _Place,
    ) -> Iterator[_Breach]:
        given = lengths.to_numpy(zero_copy_only=False)
        bad = given > kind.length
        if isinstance(kind, CharType | BinaryType):
            bad = given != kind.length
        wrong = bad.nonzero()[0]
        if not len(wrong):
            return
        place, given = place.take(wrong), given.take(wrong)
        unit = "character" if isinstance(kind, CharType | VarCharType) else "byte"

        def says(at: int) -> DataError:
            n = int(given[at])
            # Within collections nothing is cut or filled.
            fits = "'TRIM_PAD' cuts and fills values, " if not self._deep else ""
            return DataError(
                f'column "{place.name(at)}" of table "{self._table}" is '
                f"{kind.with_nullable(True)}, but a value of {n} {unit}{'' if n == 1 else 's'} is "
                "written to it",
                hint=f"CAST it, or SET '{_LENGTHS}': {fits}'IGNORE' writes them as they are.",
            )

        yield _Breach(place, is_null=False, says=says)

    def _fit(self, kind: DataType) -> Callable[[Any], Any] | None:
        """Brings a column to the length of its type; None where there is nothing to do."""
        if self._enforcers.lengths != "trim_pad":
            return None
        match kind:
            case CharType() | VarCharType():
                return _to_length(VarCharType(), kind)
            case BinaryType() | VarBinaryType():
                return _to_length(VarBinaryType(), kind)
            case RowType() if self._enforcers.nested != "ignore":
                fits = {
                    i: fit
                    for i, f in enumerate(kind.fields)
                    if (fit := self._fit(f.type)) is not None
                }
                return (lambda values: _fit_fields(values, fits)) if fits else None
            case _:
                return None


class GuardedNode(OperatorNode):
    """An operator that is given only what the table behind it takes.

    Attributes:
        constraints: of the table, or None.
    """

    constraints: Constraints | None = None

    def push(self, port: int, changes: Changes) -> None:
        if self.constraints is not None:
            admitted = self.constraints.checked(
                self.constraints.fitted(changes), keyed_deletes=False
            )
            if admitted is None:
                return
            changes = admitted
        super().push(port, changes)


def _rows(n: int) -> Ints:
    return np.arange(n, dtype=np.int64)


def _to_length(source: DataType, target: DataType) -> Callable[[Any], Any] | None:
    kernel = kernel_between(source, target, safe=False, settings=EvalSettings())
    return None if kernel is None else lambda values: kernel(None, values)


def _fit_fields(values: Any, fits: dict[int, Callable[[Any], Any]]) -> Any:
    fields = [values.field(i) for i in range(values.type.num_fields)]
    for i, fit in fits.items():
        fields[i] = fit(fields[i])
    mask = values.is_null() if values.null_count else None
    return pa.StructArray.from_arrays(fields, fields=list(values.type), mask=mask)
