"""The options of the datagen connector."""

from __future__ import annotations

from flowsql.connector import Option, OptionType

__all__ = ["OPTIONS"]

OPTIONS = (
    Option("rows-per-second", OptionType.INT, "How fast rows are made.", default=10_000),
    Option(
        "number-of-rows",
        OptionType.INT,
        "How many rows are made; not set: without end, unless a sequence ends.",
        identifying=True,
    ),
    Option(
        "seed",
        OptionType.INT,
        "The same seed makes the same random values; not set: another one at every fresh start.",
        identifying=True,
    ),
    Option("scan.parallelism", OptionType.INT, "Accepted for Flink's sake: there is one reader."),
    Option(
        "fields.#.kind",
        OptionType.ENUM,
        "Random values, or whole numbers one after the other.",
        default="random",
        choices=("random", "sequence"),
        identifying=True,
    ),
    Option("fields.#.min", OptionType.FLOAT, "The smallest random number.", identifying=True),
    Option("fields.#.max", OptionType.FLOAT, "The largest random number.", identifying=True),
    Option(
        "fields.#.max-past",
        OptionType.DURATION,
        "How far a random time lies back at most.",
        default=0,
        identifying=True,
    ),
    Option(
        "fields.#.length",
        OptionType.INT,
        "Length of a random string (100) or array (3).",
        identifying=True,
    ),
    Option(
        "fields.#.var-len",
        OptionType.BOOLEAN,
        "The length is the largest one, not the only one.",
        default=False,
        identifying=True,
    ),
    Option("fields.#.start", OptionType.INT, "Where a sequence starts.", identifying=True),
    Option("fields.#.end", OptionType.INT, "Where a sequence ends.", identifying=True),
    Option(
        "fields.#.null-rate",
        OptionType.FLOAT,
        "The share of NULL among random values.",
        default=0.0,
        identifying=True,
    ),
)
