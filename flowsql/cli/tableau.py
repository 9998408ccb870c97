"""Rows as text tables, in the form of Flink's `tableau` result mode."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pyarrow as pa

from flowsql.changelog import Changes, kind_names
from flowsql.expr import EvalSettings, to_text
from flowsql.types import (
    BigIntType,
    BooleanType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    IntType,
    LocalZonedTimestampType,
    RowType,
    SmallIntType,
    TimestampType,
    TimeType,
    TinyIntType,
    VarCharType,
)

__all__ = ["MAX_WIDTH", "Tableau", "printable", "text_width"]

MAX_WIDTH = 30  # characters of a cell, Flink's sql-client.display.max-column-width

_NULL = "<NULL>"
# Shown as what they are: in a terminal they would move the cursor, or worse.
_CONTROL = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160))}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class Tableau:
    """Renders the rows of one schema.

    Columns are as wide as any value of their type, or, after `fit`, as certain rows. A wider cell
    moves the rest of its line; only beyond MAX_WIDTH it is cut.

    Args:
        schema: the rows' schema.
        settings: how values become text (time zone).
        op: whether an `op` column shows the kind of each row.
    """

    def __init__(self, schema: RowType, settings: EvalSettings, *, op: bool) -> None:
        self._schema = schema
        self._settings = settings
        self._op = op
        # Of any value of the type: later rows are not known when the head is printed.
        self._widths = [
            max(text_width(f.name), _type_width(f.type), len(_NULL)) for f in schema.fields
        ]
        if op:
            self._widths.insert(0, 2)

    def cells(self, batch: pa.RecordBatch) -> list[list[str]]:
        """The text of each column's values, NULL as `<NULL>`."""
        columns = []
        for column, data_type in zip(batch.columns, self._schema.types, strict=True):
            texts = to_text(column, data_type, self._settings)
            values = texts.to_pylist() if isinstance(texts, pa.Array) else list(texts)
            columns.append([_NULL if v is None else v for v in values])
        return columns

    def table(self, table: pa.Table, *, whole: bool = True) -> str:
        """A whole table with widths that fit, and the number of rows.

        Args:
            table: the rows.
            whole: these are all; else it is said that there would be more.
        """
        cut = "" if whole else " so far; interrupted, the result is incomplete"
        if not table.num_rows:
            return f"Empty set{cut}"
        self.fit(table)
        rows = self._lines(self._columns(table))
        foot = f"{self.count(table.num_rows)}{cut or ' in set'}"
        return "\n".join([self.head(), *rows, self.rule(), foot])

    def fit(self, table: pa.Table, *, more: bool = False, widen: bool = False) -> None:
        """Make the columns from now on as wide as these rows need.

        Args:
            table: the rows.
            more: others will follow: columns of numbers and times get the width of their type.
            widen: no column gets narrower.
        """
        before = self._widths
        self._widths = [
            min(MAX_WIDTH, max([text_width(field.name), *map(text_width, cells)]))
            for field, cells in zip(self._schema.fields, self._columns(table), strict=True)
        ]
        if more:
            types = [_type_width(f.type) for f in self._schema.fields]
            self._widths = [
                max(width, kind) if kind < MAX_WIDTH else width
                for width, kind in zip(self._widths, types, strict=True)
            ]
        if self._op:
            self._widths.insert(0, 2)
        if widen:
            self._widths = list(map(max, before, self._widths))

    def head(self) -> str:
        """The names of the columns between two rules."""
        names = ["op", *self._schema.names] if self._op else list(self._schema.names)
        return "\n".join([self.rule(), *self._lines([[n] for n in names]), self.rule()])

    def changes(self, changes: Changes) -> str:
        """Lines for a batch of changes."""
        columns = self.cells(changes.batch)
        return "\n".join(self._lines([kind_names(changes), *columns] if self._op else columns))

    def rule(self) -> str:
        """The line above and below the rows."""
        return "+" + "+".join("-" * (w + 2) for w in self._widths) + "+"

    @staticmethod
    def count(rows: int) -> str:
        """`1 row`, `2 rows`."""
        return f"{rows} row{'s' if rows != 1 else ''}"

    def _columns(self, table: pa.Table) -> list[list[str]]:
        batches = [self.cells(batch) for batch in table.to_batches()]
        return [
            [cell for columns in batches for cell in columns[i]]
            for i in range(len(self._schema.fields))
        ]

    def _lines(self, columns: Sequence[Sequence[str]]) -> list[str]:
        left = [isinstance(t, CharType | VarCharType) for t in self._schema.types]
        if len(columns) > len(left):
            left = [True, *left]
        return [
            "| "
            + " | ".join(
                _fit(cell, width, left=is_left)
                for cell, width, is_left in zip(row, self._widths, left, strict=True)
            )
            + " |"
            for row in zip(*columns, strict=True)
        ]


def _type_width(kind: DataType) -> int:
    """Characters that any value of the type has, as Flink counts them; MAX_WIDTH if unknown."""
    match kind:
        case BooleanType():
            return 5
        case TinyIntType():
            return 4
        case SmallIntType():
            return 6
        case IntType():
            return 11
        case BigIntType():
            return 20
        case DecimalType():
            return kind.precision + 3  # sign, point and a leading zero
        case DateType():
            return 10
        case TimeType():
            return 8 if kind.precision == 0 else 9 + kind.precision
        case TimestampType() | LocalZonedTimestampType():
            return 19 if kind.precision == 0 else 20 + kind.precision
        case _:
            return MAX_WIDTH


def text_width(text: str) -> int:
    """Columns a terminal needs for the text (wide East Asian characters take two)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def printable(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return text if text.isprintable() else text.translate(_CONTROL)


def _fit(cell: str, width: int, *, left: bool) -> str:
    cell = printable(cell)
    most = max(width, MAX_WIDTH)
    if text_width(cell) > most:
        while text_width(cell) > most - 3:
            cell = cell[:-1]
        cell += "..."
    pad = " " * (width - text_width(cell))
    return cell + pad if left else pad + cell
