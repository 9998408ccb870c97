"""The formats by name: ours, and strangers' by the entry-point group `flowsql.formats`."""

from __future__ import annotations

from importlib.metadata import entry_points

from flowsql.config import Option, OptionType
from flowsql.errors import ConfigError, nearest
from flowsql.formats.csv_format import CsvFormat
from flowsql.formats.format import Format
from flowsql.formats.json_format import JsonFormat
from flowsql.formats.parquet_format import ParquetFormat

__all__ = ["FORMAT_OPTION", "find_format", "format_names"]

GROUP = "flowsql.formats"

FORMAT_OPTION = Option(
    "format",
    OptionType.STRING,
    "How rows are written as bytes.",
    required=True,
    identifying=True,
)

_OURS: dict[str, Format] = {f.name: f for f in (CsvFormat(), JsonFormat(), ParquetFormat())}


def format_names() -> tuple[str, ...]:
    """All formats that are installed, sorted; imports none."""
    return tuple(sorted({*_OURS, *(e.name for e in entry_points(group=GROUP))}))


def find_format(name: str) -> Format:
    """The format called `name`.

    Raises:
        ConfigError: there is none of that name, or its package cannot be imported.
    """
    if name in _OURS:
        return _OURS[name]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                found = entry.load()
            except ImportError as error:
                raise ConfigError(f'format "{name}" cannot be loaded: {error}') from None
            if isinstance(found, Format):
                return found
            raise ConfigError(f'entry point "{name}" of group "{GROUP}" is not a format')
    near = nearest(name, format_names())
    raise ConfigError(
        f'format "{name}" does not exist',
        hint=(f'Did you mean "{near}"? ' if near else "")
        + f"Installed formats: {', '.join(format_names())}.",
    )
