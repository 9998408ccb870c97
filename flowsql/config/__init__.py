"""Options as data, and the engine's own options."""

from __future__ import annotations

from flowsql.config.options import (
    UNSET,
    Option,
    OptionType,
    OptionValues,
    parse_duration,
    parse_memory,
    parse_options,
)

__all__ = [
    "UNSET",
    "Option",
    "OptionType",
    "OptionValues",
    "parse_duration",
    "parse_memory",
    "parse_options",
]
