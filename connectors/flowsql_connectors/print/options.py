"""The options of the print connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType

__all__ = ["OPTIONS"]

OPTIONS = (
    Option("print-identifier", OptionType.STRING, "Stands before every line: `identifier> `."),
    Option(
        "standard-error",
        OptionType.BOOLEAN,
        "Writes to standard error instead of standard output.",
        default=False,
    ),
    Option("sink.parallelism", OptionType.INT, "Accepted for Flink's sake: there is one writer."),
)
