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

__all__ = ["MAX_WIDTH", "Tableau", "text_width"]

MAX_WIDTH = 30  # characters of a cell, Flink's sql-client.display.max-column-width

_NULL = "<NULL>"


class Tableau:
    """Renders the rows of one schema.

    Args:
        schema: the rows' schema.
        settings: how values become text (time zone).
        op: whether an `op` column shows the kind of each row.
    """

    def __init__(self, schema: RowType, settings: EvalSettings, *, op: bool) -> None:
        self._schema = schema
        self._settings = settings
        self._op = op

    def cells(self, batch: pa.RecordBatch) -> list[list[str]]:
        """The text of each column's values, NULL as `<NULL>`."""
        columns = []
        for column, data_type in zip(batch.columns, self._schema.types, strict=True):
            texts = to_text(column, data_type, self._settings)
            values = texts.to_pylist() if isinstance(texts, pa.Array) else list(texts)
            columns.append([_NULL if v is None else v for v in values])
        return columns

    def table(self, table: pa.Table) -> str:
        """A whole table with widths that fit, and the number of rows."""
        columns = [
            [cell for batch in table.to_batches() for cell in self.cells(batch)[i]]
            for i in range(len(self._schema.fields))
        ]
        widths = [
            min(MAX_WIDTH, max([text_width(name), *map(text_width, cells)]))
            for name, cells in zip(self._schema.names, columns, strict=True)
        ]
        rows = self._lines(columns, widths)
        count = table.num_rows
        return "\n".join(
            [*self._header(widths), *rows, self._rule(widths)] if rows else ["Empty set"]
        ) + (f"\n{count} row{'s' if count != 1 else ''} in set" if rows else "")

    def stream_header(self) -> str:
        """The head of a table whose rows are still to come."""
        return "\n".join(self._header(self._stream_widths()))

    def stream_rows(self, changes: Changes) -> str:
        """Lines for a batch of changes."""
        columns = self.cells(changes.batch)
        if self._op:
            columns = [kind_names(changes), *columns]
        return "\n".join(self._lines(columns, self._stream_widths()))

    def stream_end(self) -> str:
        """The closing rule."""
        return self._rule(self._stream_widths())

    def _stream_widths(self) -> list[int]:
        widths = [
            max(text_width(f.name), _type_width(f.type), len(_NULL)) for f in self._schema.fields
        ]
        return [2, *widths] if self._op else widths

    def _header(self, widths: Sequence[int]) -> list[str]:
        names = ["op", *self._schema.names] if self._op else list(self._schema.names)
        return [self._rule(widths), *self._lines([[n] for n in names], widths), self._rule(widths)]

    def _rule(self, widths: Sequence[int]) -> str:
        return "+" + "+".join("-" * (w + 2) for w in widths) + "+"

    def _lines(self, columns: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
        left = [isinstance(t, CharType | VarCharType) for t in self._schema.types]
        if len(columns) > len(left):
            left = [True, *left]
        return [
            "| "
            + " | ".join(
                _fit(cell, width, left=is_left)
                for cell, width, is_left in zip(row, widths, left, strict=True)
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
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fit(cell: str, width: int, *, left: bool) -> str:
    cell = cell.replace("\n", "\\n")
    if text_width(cell) > width:
        while text_width(cell) > width - 3:
            cell = cell[:-1]
        cell += "..."
    pad = " " * (width - text_width(cell))
    return cell + pad if left else pad + cell
