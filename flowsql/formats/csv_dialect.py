"""What the csv options say, as one value."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CsvDialect"]


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How records are written.

    Attributes:
        delimiter: one character between fields.
        quote: one character around a field, or None.
        escape: one character that takes the next as it is, or None.
        null: the text that is NULL, or None.
        element: text between the elements of an ARRAY or the fields of a ROW.
        comments: lines that begin with `#` are left out.
        ignore_errors: unreadable fields are NULL, unreadable lines left out.
        scientific: DECIMAL 100 is written as 1E+2.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    null: str | None = None
    element: str = ";"
    comments: bool = False
    ignore_errors: bool = False
    scientific: bool = True
