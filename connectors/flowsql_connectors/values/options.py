"""The options of the values connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType

__all__ = ["OPTIONS"]

OPTIONS = (
    Option(
        "data",
        OptionType.STRING,
        "The rows, one JSON list or object a line.",
        default="",
        identifying=True,
    ),
    Option(
        "changelog-mode",
        OptionType.ENUM,
        "The kinds that occur: inserts; whole updates; or the last row of a primary key.",
        default="i",
        choices=("i", "i,ub,ua,d", "i,ua,d"),
        identifying=True,
    ),
    Option(
        "bounded",
        OptionType.BOOLEAN,
        "The scan ends behind the last row; otherwise it waits for ever.",
        default=True,
    ),
)
