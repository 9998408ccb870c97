"""What a batch of the log holds, decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import UPDATE_BEFORE
from flowsql.errors import DataError
from flowsql_connectors.postgres_cdc.decode.gather import Places, Scattered, strings_of
from flowsql_connectors.postgres_cdc.decode.relations import Relation

__all__ = ["ColumnPlaces", "LogBatch", "Message", "RelationChanges", "Transactions", "Truncate"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Transactions:
    """The transactions that a batch has anything of, in order of commit.

    The first may have begun in an earlier batch, the last may end in a later one.

    Attributes:
        xid: uint32[n], the top-level transaction's number.
        final: int64[n], log position of the commit record.
        time: int64[n], of the commit, microseconds since 1970.
        end: int64[n], log position behind the commit record, where reading goes on; 0 for the last
            one while its end has not come.
    """

    xid: npt.NDArray[np.uint32]
    final: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.xid)


@dataclass(frozen=True, slots=True)
class ColumnPlaces:
    """Where a column's values stand.

    Attributes:
        begins: of each value, rising.
        ends: where it ends; where it begins for what has no text.
        valid: False where there is no text; None where all have.
        unchanged: True where the server did not send the value; None for nowhere.
    """

    begins: Places
    ends: Places
    valid: Mask | None
    unchanged: Mask | None

    def merged(self, other: ColumnPlaces, rows: Places, other_rows: Places) -> ColumnPlaces:
        """These values at `rows` and the other ones at `other_rows`, which fill all rows."""
        size = len(rows) + len(other_rows)
        begins, ends = np.empty(size, np.intp), np.empty(size, np.intp)
        begins[rows], begins[other_rows] = self.begins, other.begins
        ends[rows], ends[other_rows] = self.ends, other.ends
        return ColumnPlaces(
            begins,
            ends,
            _both(self.valid, other.valid, rows, other_rows, otherwise=True),
            _both(self.unchanged, other.unchanged, rows, other_rows, otherwise=False),
        )


def _both(
    one: Mask | None, other: Mask | None, rows: Places, other_rows: Places, *, otherwise: bool
) -> Mask | None:
    if one is None and other is None:
        return None
    out = np.full(len(rows) + len(other_rows), otherwise)
    if one is not None:
        out[rows] = one
    if other is not None:
        out[other_rows] = other
    return out


@dataclass(frozen=True, slots=True)
class RelationChanges:
    """Changes of one table in order; old and new row of an update adjacent.

    An update without an old row (replica identity `default` and `index` where the key stayed) is a
    lone `+U`.

    Attributes:
        relation: the table as it was at these changes.
        kinds: int8[n], as in `flowsql.changelog`.
        key_only: bool[n], true for an old row of which only the identity's columns were sent, all
            others being NULL; None where there is none.
        ordinals: int64[n], rising with the place in the batch over all tables and events.
        transactions: int32[n], numbers into the batch's `Transactions`.
        data: the batch's bytes.
        places: where the values of each of the relation's columns stand in them.
    """

    relation: Relation
    kinds: npt.NDArray[np.int8]
    key_only: Mask | None
    ordinals: npt.NDArray[np.int64]
    transactions: npt.NDArray[np.int32]
    data: Scattered
    places: tuple[ColumnPlaces, ...]

    def __len__(self) -> int:
        return len(self.kinds)

    def text(self, column: int) -> pa.StringArray:
        """The server's text of a column, made when it is asked for.

        NULL where the server sent NULL or, see `unchanged`, nothing. A value that did not change
        is taken from the old row where that is whole.

        Raises DataError where it is not UTF-8.
        """
        at = self.places[column]
        try:
            text = strings_of(self.data.slices(at.begins, at.ends, at.valid))
        except pa.ArrowInvalid as problem:
            raise DataError(
                f'column "{self.relation.columns[column].name}" of table'
                f' "{self.relation.schema}.{self.relation.name}" holds text that is not UTF-8'
            ) from problem
        filled = self._filled(column)
        if filled is None:
            return text
        rows = np.arange(len(self))
        rows[filled] -= 1
        return text.take(pa.array(rows))

    def unchanged(self, column: int) -> Mask | None:
        """Where the value is not known, as it did not change and no whole old row was sent."""
        unchanged = self.places[column].unchanged
        filled = self._filled(column)
        if unchanged is None or filled is None:
            return unchanged
        rest = unchanged & ~filled
        return rest if rest.any() else None

    def _filled(self, column: int) -> Mask | None:
        """Where an unchanged value stands in the row before, which is the old one."""
        unchanged = self.places[column].unchanged
        if unchanged is None:
            return None
        old = self.kinds == UPDATE_BEFORE
        if self.key_only is not None:
            old &= ~self.key_only
        filled = unchanged.copy()
        filled[0] = False
        filled[1:] &= old[:-1]
        return filled if filled.any() else None


@dataclass(frozen=True, slots=True)
class Truncate:
    """`TRUNCATE` of tables.

    Attributes:
        relations: the tables.
        cascade: whether CASCADE was given.
        restart: whether RESTART IDENTITY was given.
        ordinal: as of rows.
        transaction: number into the batch's `Transactions`.
    """

    relations: tuple[Relation, ...]
    cascade: bool
    restart: bool
    ordinal: int
    transaction: int


@dataclass(frozen=True, slots=True)
class Message:
    """What `pg_logical_emit_message` wrote.

    Attributes:
        position: in the log.
        prefix: its first argument of text.
        content: the other.
        ordinal: as of rows.
        transaction: number into the batch's `Transactions`; None outside of one.
    """

    position: int
    prefix: str
    content: bytes
    ordinal: int
    transaction: int | None


@dataclass(frozen=True, slots=True)
class LogBatch:
    """A batch of the log.

    Attributes:
        transactions: of everything below.
        changes: by table (and again after the table changed), each in order.
        truncates: in order.
        messages: in order.
        relations: tables described in this batch that were unknown or another before, in order.
        origins: names of replication origins that changes came from, in order.
        complete: whether the last transaction has ended.
    """

    transactions: Transactions
    changes: tuple[RelationChanges, ...] = ()
    truncates: tuple[Truncate, ...] = ()
    messages: tuple[Message, ...] = ()
    relations: tuple[Relation, ...] = ()
    origins: tuple[str, ...] = ()
    complete: bool = True

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(map(len, self.changes))
