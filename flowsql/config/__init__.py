"""Options as data, and the engine's own options."""

from __future__ import annotations

from flowsql.config.engine import (
    ENGINE_OPTIONS,
    EngineSettings,
    RestartStrategy,
    is_ignored,
    parse_setting,
)
from flowsql.config.options import (
    UNSET,
    Option,
    OptionType,
    OptionValues,
    parse_duration,
    parse_memory,
    parse_options,
    show_duration,
)
from flowsql.config.places import OptionPlaces

__all__ = [
    "ENGINE_OPTIONS",
    "UNSET",
    "EngineSettings",
    "Option",
    "OptionPlaces",
    "OptionType",
    "OptionValues",
    "RestartStrategy",
    "is_ignored",
    "parse_duration",
    "parse_memory",
    "parse_options",
    "parse_setting",
    "show_duration",
]
