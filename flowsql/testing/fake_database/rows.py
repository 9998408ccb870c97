"""Changes of one table on their way into columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from flowsql.changelog import (
    DELETE,
    INSERT,
    UPDATE_AFTER,
    UPDATE_BEFORE,
    Changes,
    split_changes,
)
from flowsql.connector import JSON, ConnectorTable
from flowsql.errors import ConnectorError
from flowsql.formats import JsonColumns, TextStyle
from flowsql.types import arrow_schema

__all__ = ["TableRows"]


class TableRows:
    """Collects the changes of one table; `take` gives them as columns.

    Attributes:
        name: the table's full name.
        source_name: its name in the database.
        number: its number in the database.
        key: the names of its primary key in the database.
    """

    def __init__(self, table: ConnectorTable) -> None:
        self.name = table.name
        self.source_name: str = table.options["table-name"]
        self.number = 0
        self.key: list[str] = []
        self._upsert = table.options["changelog-mode"] == "upsert"
        self._fields = table.read_schema.fields
        self._schema = arrow_schema(table.read_schema)
        self._columns = JsonColumns(TextStyle())
        self._rows: list[JSON] = []
        self._kinds: list[int] = []
        self._unchanged: dict[str, list[int]] = {}

    def insert(self, row: JSON) -> None:
        """A row of a snapshot."""
        self._add(INSERT, row)

    def change(
        self,
        kind: str,
        old: JSON | None,
        new: JSON | None,
        unchanged: Sequence[str],
        counts: Callable[[JSON], bool],
    ) -> None:
        """A line of the log; `counts` says of a row whether it is to be given.

        An update that moves the row to another key is a delete and an insert, each judged by
        itself.
        """
        if kind == "U" and old is not None and new is not None:
            if any(old[k] != new[k] for k in self.key):
                self.change("D", old, None, (), counts)
                self.change("I", None, new, (), counts)
            elif counts(new):
                if not self._upsert:
                    self._add(UPDATE_BEFORE, old)
                self._add(UPDATE_AFTER, new, unchanged if self._upsert else ())
        elif kind == "I" and new is not None:
            if counts(new):
                self._add(INSERT, new)
        elif old is not None and counts(old):
            self._add(DELETE, {k: old[k] for k in self.key} if self._upsert else old)

    def take(self) -> Iterator[Changes]:
        """What was collected, in pieces that keep the limits of a batch."""
        rows, self._rows = self._rows, []
        if not rows:
            return iter(())
        kinds = np.array(self._kinds, np.int8)
        self._kinds = []
        masks = {}
        for name, places in self._unchanged.items():
            masks[name] = np.zeros(len(rows), np.bool_)
            masks[name][places] = True
        self._unchanged = {}
        arrays: list[Any] = []
        for field in self._fields:
            values = [row.get(field.name) for row in rows]
            array, bad = self._columns.column(values, field.type)
            if bad is not None:
                wrong = values[int(np.flatnonzero(bad)[0])]
                raise ConnectorError(
                    f'column "{field.name}" of table "{self.source_name}" holds {wrong!r}, '
                    f"which is no {field.type}"
                )
            arrays.append(array)
        arrays.append(pa.nulls(len(rows)))
        names = self._schema.names
        batch = pa.RecordBatch.from_arrays(arrays, names=[*names, ""]).select(names)
        return split_changes(Changes(batch, kinds, masks or None))

    def _add(self, kind: int, row: JSON, unchanged: Sequence[str] = ()) -> None:
        for name in set(unchanged).intersection(self._schema.names):
            self._unchanged.setdefault(name, []).append(len(self._rows))
        if unchanged:
            row = {k: v for k, v in row.items() if k not in unchanged}
        self._rows.append(row)
        self._kinds.append(kind)
