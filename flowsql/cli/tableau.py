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

__all__ = ["MAX_WIDTH", "Expanded", "Tableau", "printable", "text_width"]

MAX_WIDTH = 30  # characters of a cell, the default of table.display.max-column-width

_NULL = "<NULL>"
_ROW_LINE = 40  # characters of the line above a row that stands by itself
# Shown as what they are: in a terminal they would move the cursor, or worse.
_CONTROL = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160))}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class Tableau:
    """Renders the rows of one schema.

    Columns are as wide as any value of their type, or, after `fit`, as certain rows. A wider cell
    moves the rest of its line; only text and nested values are cut, where they are too long.

    Args:
        schema: the rows' schema.
        settings: how values become text (time zone).
        op: whether an `op` column shows the kind of each row.
        longest: characters of text and nested values.
    """

    def __init__(
        self, schema: RowType, settings: EvalSettings, *, op: bool, longest: int = MAX_WIDTH
    ) -> None:
        self._schema = schema
        self._settings = settings
        self._op = op
        self._most = [_type_width(t) or longest for t in schema.types]
        # Of any value of the type: later rows are not known when the head is printed.
        self._widths = [
            max(text_width(f.name), most, len(_NULL))
            for f, most in zip(schema.fields, self._most, strict=True)
        ]
        if op:
            self._most.insert(0, 2)
            self._widths.insert(0, 2)

    def cells(self, batch: pa.RecordBatch) -> list[list[str]]:
        """The text of each column's values, NULL as `<NULL>`."""
        columns = []
        for column, data_type in zip(batch.columns, self._schema.types, strict=True):
            texts = to_text(column, data_type, self._settings, printing=True)
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
        return "\n".join(filter(None, [self.head(), *rows, self.rule(), foot]))

    def fit(self, table: pa.Table, *, more: bool = False, widen: bool = False) -> None:
        """Make the columns from now on as wide as these rows need.

        Args:
            table: the rows.
            more: others will follow: columns of numbers and times get the width of their type.
            widen: no column gets narrower.
        """
        before = self._widths
        self._widths = [
            max(text_width(name), min(most, max(map(text_width, cells))))
            for name, most, cells in zip(
                self._schema.names, self._most[self._op :], self._columns(table), strict=True
            )
        ]
        if more:
            types = [_type_width(t) or 0 for t in self._schema.types]
            self._widths = list(map(max, self._widths, types))
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
                _fit(cell, width, max(width, most), left=is_left)
                for cell, width, most, is_left in zip(
                    row, self._widths, self._most, left, strict=True
                )
            )
            + " |"
            for row in zip(*columns, strict=True)
        ]


class Expanded(Tableau):
    """The same rows, one column a line and no value cut: for rows wider than the terminal.

    Args:
        schema: the rows' schema.
        settings: how values become text (time zone).
        op: whether the line above a row shows its kind.
    """

    def __init__(self, schema: RowType, settings: EvalSettings, *, op: bool) -> None:
        super().__init__(schema, settings, op=op)
        self._number = 0
        self._names = max(map(text_width, schema.names))

    def fit(self, table: pa.Table, *, more: bool = False, widen: bool = False) -> None:
        """Every row stands by itself."""

    def head(self) -> str:
        """Nothing: each row has its names."""
        return ""

    def rule(self) -> str:
        """Nothing."""
        return ""

    def _lines(self, columns: Sequence[Sequence[str]]) -> list[str]:
        lines = []
        for row in zip(*columns, strict=True):
            self._number += 1
            cells = list(row)
            kind = f" {cells.pop(0)}" if self._op else ""
            lines.append(f"-[ row {self._number}{kind} ]".ljust(_ROW_LINE, "-"))
            lines += [
                f"{_fit(name, self._names, self._names, left=True)} | {printable(cell)}"
                for name, cell in zip(self._schema.names, cells, strict=True)
            ]
        return lines


def _type_width(kind: DataType) -> int | None:
    """Characters that any value of the type has, as Flink counts them; None if there is no limit."""
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
            return None


def text_width(text: str) -> int:
    """Columns a terminal needs for the text (wide East Asian characters take two)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def printable(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return text if text.isprintable() else text.translate(_CONTROL)


def _fit(cell: str, width: int, most: int, *, left: bool) -> str:
    cell = printable(cell)
    if text_width(cell) > most:
        while text_width(cell) > most - 3:
            cell = cell[:-1]
        cell += "..."
    pad = " " * (width - text_width(cell))
    return cell + pad if left else pad + cell
