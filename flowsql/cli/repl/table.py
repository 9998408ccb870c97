"""The table that a query's changes make, kept up to date for the eye."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flowsql.changelog import UPDATE_AFTER, UPDATE_BEFORE, Changes, Keys, concat_changes
from flowsql.errors import ConfigError
from flowsql.types import RowType, arrow_schema

__all__ = ["LiveTable"]

Ints = npt.NDArray[np.int64]


class LiveTable:
    """Rows in the order in which they came; one that is updated stays in its place.

    Args:
        schema: of the rows.
        append: no row is ever taken back.
        limit: rows that are kept. Beyond, the oldest go where `append`; else the table is refused,
            for it would be wrong.

    Attributes:
        rows: the table as of the last `settle`.
        received: changes so far.
        dropped: rows that went because of the limit.
        pending: changes that `settle` has still to put into the table.
    """

    def __init__(self, schema: RowType, *, append: bool, limit: int) -> None:
        self._schema = schema
        self._append = append
        self._limit = limit
        self._arrow = arrow_schema(schema)
        self._waiting: list[Changes] = []
        self._places: Ints = np.zeros(0, np.int64)
        self._next = 0
        self.rows: pa.Table = self._arrow.empty_table()
        self.received = 0
        self.dropped = 0
        self.pending = 0

    def add(self, changes: Changes) -> None:
        """Take changes, in order; the table shows them after `settle`."""
        self._waiting.append(changes)
        self.received += len(changes)
        self.pending += len(changes)

    def settle(self) -> pa.Table:
        """Put what was added into the table.

        Raises:
            ConfigError: it has more rows than it may.
        """
        waiting, self._waiting = self._waiting, []
        self.pending = 0
        if not waiting:
            return self.rows
        if self._append:
            return self._appended(waiting)
        changes = concat_changes(waiting)
        if changes is not None:
            self._updated(changes)
        if self.rows.num_rows > self._limit:
            raise ConfigError(
                f"the result has more than {self._limit} rows",
                hint="SET 'sql-client.execution.max-table-result.rows' to more, or "
                "'sql-client.execution.result-mode' = 'changelog'.",
            )
        return self.rows

    def _appended(self, waiting: list[Changes]) -> pa.Table:
        table = pa.Table.from_batches(
            [*self.rows.to_batches(), *(c.batch.cast(self._arrow) for c in waiting)], self._arrow
        )
        over = max(0, table.num_rows - self._limit)
        self.dropped += over
        self.rows = table.slice(over)
        return self.rows

    def _updated(self, changes: Changes) -> None:
        held = self.rows.num_rows
        merged = concat_changes([*map(Changes, self.rows.to_batches()), changes])
        assert merged is not None
        ids, first = Keys.of(merged.batch.columns, self._schema.types, len(merged)).group()
        touched = np.zeros(len(first), np.bool_)
        touched[ids[held:]] = True
        moved = touched.take(ids[:held])
        still = (~moved).nonzero()[0]
        places = self._walk(
            ids[:held][moved], self._places[moved], ids[held:], changes.codes_or_insert
        )
        counts = [len(at) for at in places.values()]
        rows = np.concatenate([still, np.repeat(first[list(places)], counts).astype(np.int64)])
        at = np.concatenate(
            [self._places[still], np.array([p for at in places.values() for p in at], np.int64)]
        )
        order = np.argsort(at, kind="stable")
        self._places = at[order]
        self.rows = pa.Table.from_batches([merged.batch.take(pa.array(rows[order]))], self._arrow)

    def _walk(
        self, old: Ints, places: Ints, new: Ints, codes: npt.NDArray[np.int8]
    ) -> dict[int, list[int]]:
        """Row → places, of the rows that change.

        The loop is over numbers, for what a person looks at.

        Args:
            old: rows that are in the table.
            places: where.
            new: the changes' rows.
            codes: the changes' kinds.
        """
        found: dict[int, list[int]] = defaultdict(list)
        for row, place in zip(old.tolist(), places.tolist(), strict=True):
            found[row].append(place)
        free: int | None = None
        for row, code in zip(new.tolist(), codes.tolist(), strict=True):
            if code == UPDATE_AFTER and free is not None:
                found[row].append(free)
                free = None
                continue
            free = None
            if code in {0, UPDATE_AFTER}:
                found[row].append(self._next)
                self._next += 1
            elif at := found.get(row):
                # The latest of equal rows goes, as it does when changes are netted.
                place = at.pop()
                free = place if code == UPDATE_BEFORE else None
        return {row: at for row, at in found.items() if at}
