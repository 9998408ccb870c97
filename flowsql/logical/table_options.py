"""The options of a table that are the engine's, whatever its connector."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flowsql.config import Option, OptionType, OptionValues, parse_options
from flowsql.errors import ConfigError

__all__ = ["TABLE_OPTIONS", "parse_unresolved", "resolve_references"]

_REFERENCE = re.compile(r"\$\{(\w+)\}")

TABLE_OPTIONS: tuple[Option, ...] = (
    Option("connector", OptionType.STRING, "Who reads and writes the table.", required=True),
    Option(
        "scan.watermark.emit.strategy",
        OptionType.ENUM,
        "When the watermark rises: with every row, or at the end of a step.",
        "on-event",
        flink_default="on-periodic",
        choices=("on-event", "on-periodic"),
    ),
    Option(
        "scan.watermark.idle-timeout",
        OptionType.DURATION,
        "A split silent for so long no longer holds back the watermark.",
    ),
    Option(
        "scan.watermark.all-idle-close",
        OptionType.DURATION,
        "Time goes on to its end when all splits have been silent for so long.",
    ),
    Option(
        "scan.bad-record",
        OptionType.ENUM,
        "What becomes of a record that cannot be read.",
        "fail",
        choices=("fail", "skip", "dead-letter"),
    ),
    Option(
        "scan.dead-letter.table",
        OptionType.STRING,
        "The table that takes bad records: table_name STRING, place STRING, record BYTES, "
        "reason STRING.",
    ),
)


def parse_unresolved(
    declared: Sequence[Option], given: Mapping[str, str], *, where: str
) -> OptionValues:
    """The options as far as they are known before `${NAME}` is resolved.

    A text option keeps the reference; any other with one has its default until a connector opens.

    Raises:
        ConfigError: as `parse_options`.
    """
    later = {
        key
        for key, text in given.items()
        if _REFERENCE.search(text)
        and any(o.matches(key) and o.type is not OptionType.STRING for o in declared)
    }
    known = [replace(o, required=False) if o.key in later else o for o in declared]
    return parse_options(known, {k: v for k, v in given.items() if k not in later}, where=where)


def resolve_references(
    given: Mapping[str, str], *, where: str, environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The options with every `${NAME}` replaced by the environment's value.

    Raises:
        ConfigError: a variable is not set.
    """
    known = os.environ if environment is None else environment
    resolved = {}
    for key, text in given.items():
        for name in _REFERENCE.findall(text):
            if name not in known:
                raise ConfigError(
                    f'{where}: option "{key}" needs the environment variable "{name}", '
                    "which is not set",
                    hint=f"Set {name} before the start.",
                )
        resolved[key] = _REFERENCE.sub(lambda m: known[m[1]], text)
    return resolved
