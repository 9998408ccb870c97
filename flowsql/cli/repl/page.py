"""What a live table looks like: a page of rows, or one row by itself; plain lines and their style."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from flowsql.changelog import Changes
from flowsql.cli.tableau import MAX_WIDTH, Tableau, printable, text_width
from flowsql.expr import EvalSettings, to_text
from flowsql.types import RowType

__all__ = ["Line", "Page", "crop"]

Line: TypeAlias = tuple[str, str]  # style, text

_HEAD_LINES = 2
_GAP = "  "
_LEAST_VALUE = 20


@dataclass(frozen=True, slots=True)
class _Record:
    """A row that was opened: the table may go on changing.

    Attributes:
        number: its place in the table, from 1.
        of: rows the table had.
        fields: name, type and value of each column, as text.
    """

    number: int
    of: int
    fields: tuple[tuple[str, str, str], ...]


class Page:
    """Where somebody looks at a table.

    Args:
        schema: of the rows.
        settings: how values become text (time zone).
        follow: the last rows are shown until somebody moves about.
        longest: characters of text and nested values.

    Attributes:
        table: what is looked at.
        cursor: the chosen row.
        top: the first row that is shown.
        touched: somebody moved about: the page is not to be taken away.
    """

    def __init__(
        self,
        schema: RowType,
        settings: EvalSettings,
        *,
        follow: bool = False,
        longest: int = MAX_WIDTH,
    ) -> None:
        self._schema = schema
        self._settings = settings
        self._tableau = Tableau(schema, settings, op=False, longest=longest)
        self._fitted = False
        self._height = 1
        self._left = 0
        self._edges = [0]
        self._record: _Record | None = None
        self._record_top = 0
        self._at_end = follow
        self.table: pa.Table | None = None
        self.cursor = 0
        self.top = 0
        self.touched = False

    # Moving

    @property
    def opened(self) -> bool:
        """Whether one row is shown by itself."""
        return self._record is not None

    def move(self, rows: int) -> None:
        """Up or down."""
        self.touched = True
        if self._record is not None:
            self._record_top = max(0, self._record_top + rows)
            return
        self.cursor += rows
        self._at_end = False
        self._clamp()

    def turn(self, pages: int) -> None:
        """A page up or down."""
        self.move(pages * self._height)

    def first(self) -> None:
        """To the first row."""
        self.move(-max(self._count, self._record_top))

    def last(self) -> None:
        """To the last row, whichever it is from now on."""
        self.move(self._count)
        self._at_end = self._record is None

    def shift(self, columns: int) -> None:
        """Left or right by whole columns; where one row is shown, to other rows."""
        self.touched = True
        if self._record is not None:
            self.cursor = max(0, min(self.cursor + columns, self._count - 1))
            self.open()
            return
        near = min(range(len(self._edges)), key=lambda i: abs(self._edges[i] - self._left))
        self._left = self._edges[max(0, min(len(self._edges) - 1, near + columns))]

    def open(self) -> None:
        """Show the chosen row by itself."""
        self.touched = True
        if self.table is None or not self._count:
            return
        row = self.table.slice(self.cursor, 1)
        fields = []
        for field, column in zip(self._schema.fields, row.columns, strict=True):
            texts = list(
                to_text(column.combine_chunks(), field.type, self._settings, printing=True)
            )
            value = texts[0].as_py() if hasattr(texts[0], "as_py") else texts[0]
            fields.append((field.name, str(field.type), "<NULL>" if value is None else value))
        self._record = _Record(self.cursor + 1, self._count, tuple(fields))
        self._record_top = 0

    def close(self) -> None:
        """Back to the table."""
        self._record = None

    @property
    def _count(self) -> int:
        return 0 if self.table is None else self.table.num_rows

    def _clamp(self) -> None:
        self.cursor = max(0, min(self.cursor, self._count - 1))
        if self._at_end:
            self.cursor = max(0, self._count - 1)
        self.top = max(0, min(self.top, self._count - self._height))
        self.top = min(self.top, self.cursor)
        self.top = max(self.top, self.cursor - self._height + 1)

    # Drawing

    def lines(self, width: int, height: int) -> list[Line]:
        """What stands on so many lines of so many columns; fewer where there is less.

        Args:
            width: columns of the terminal.
            height: lines, two of which are the head.
        """
        if self._record is not None:
            return self._record_lines(self._record, width, height)
        self._height = max(1, height - _HEAD_LINES)
        self._clamp()
        shown = self._fit()
        head = self._tableau.head().split("\n")
        edges = [i for i, c in enumerate(head[0]) if c == "+"]
        # Where all is seen there is nothing to the right.
        self._edges = [e for e in edges[:-1] if e < edges[-1] + 1 - width // 2] or [0]
        self._left = min(self._left, self._edges[-1]) if edges[-1] + 1 > width else 0
        lines: list[Line] = [("class:head", head[1]), ("class:rule", head[2])]
        texts = self._rows(shown)
        for number, text in enumerate(texts, self.top):
            lines.append(("class:cursor" if number == self.cursor else "", text))
        return [(style, crop(text, self._left, width)) for style, text in lines]

    def plain(self, width: int) -> list[str]:
        """The page as it is, with rules around, to be left on the screen."""
        shown = self._fit()
        lines = [*self._tableau.head().split("\n"), *self._rows(shown), self._tableau.rule()]
        return [crop(line, self._left, width) for line in lines]

    def fits(self, width: int, height: int) -> bool:
        """Whether the whole table can be printed without wrapping or scrolling; then it is a page."""
        if self.table is None or not self._count:
            return True
        if self._count > height:
            return False
        self._tableau.fit(self.table)
        if len(self._tableau.rule()) > width:
            return False
        self._height, self.top = self._count, 0
        return True

    @property
    def place(self) -> str:
        """`rows 1-20 of 230`."""
        if not self._count:
            return "no rows"
        last = min(self._count, self.top + self._height)
        if (self.top, last) == (0, self._count):
            return f"{self._count:,} row{'s' * (self._count != 1)}"
        return f"rows {self.top + 1:,}-{last:,} of {self._count:,}"

    def _fit(self) -> pa.Table | None:
        if self.table is None:
            return None
        shown = self.table.slice(self.top, self._height)
        if shown.num_rows:
            self._tableau.fit(shown, widen=self._fitted)
            self._fitted = True
        return shown

    def _rows(self, shown: pa.Table | None) -> list[str]:
        batches = [] if shown is None else shown.to_batches()
        return [
            line
            for b in batches
            if b.num_rows
            for line in self._tableau.changes(Changes(b)).split("\n")
        ]

    def _record_lines(self, record: _Record, width: int, height: int) -> list[Line]:
        names = max(text_width(name) for name, _, _ in record.fields)
        types = min(24, max(len(kind) for _, kind, _ in record.fields))
        if width - names - types - 2 * len(_GAP) < _LEAST_VALUE:
            types = 0  # the value is what one wants to see
        gap = _GAP if types else ""
        room = max(10, width - names - types - len(_GAP) - len(gap))
        body: list[Line] = []
        for name, kind, value in record.fields:
            texts = [part for line in value.split("\n") for part in _wrapped(printable(line), room)]
            pad = " " * (names - text_width(name))
            short = "" if not types else kind if len(kind) <= types else f"{kind[: types - 1]}…"
            for number, text in enumerate(texts):
                front = " " * (names + len(gap) + types)
                if not number:
                    front = f"{name}{pad}{gap}{short:<{types}}"
                body.append(("", f"{front}{_GAP}{text}"))
        self._record_top = max(0, min(self._record_top, len(body) - (height - _HEAD_LINES)))
        head: list[Line] = [
            ("class:head", f"row {record.number:,} of {record.of:,}"),
            ("class:rule", "-" * width),
        ]
        shown = body[self._record_top : self._record_top + max(1, height - _HEAD_LINES)]
        return [(style, crop(text, 0, width)) for style, text in [*head, *shown]]


def crop(text: str, left: int, width: int) -> str:
    """The columns of a line from `left` on; where more follows, the last is an arrow."""
    if text.isascii():
        shown = text[left : left + width]
        return f"{shown[:-1]}>" if len(text) > left + width and shown.strip("-+") else shown
    out, at = [], 0
    for character in text:
        size = _columns(character)
        if at >= left and at + size <= left + width:
            out.append(character)
        at += size
    return "".join(out)


def _columns(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _wrapped(text: str, width: int) -> list[str]:
    """The text in pieces of at most so many columns; one piece where it is empty."""
    if text_width(text) <= width:
        return [text]
    pieces, piece, size = [], "", 0
    for character in text:
        if size + _columns(character) > width:
            pieces.append(piece)
            piece, size = "", 0
        piece += character
        size += _columns(character)
    return [*pieces, piece]
